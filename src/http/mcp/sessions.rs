//! Which sessions of the handshake era are open, and which one gives way to a newcomer.
//!
//! Used by `mcp.rs`. Many clients never say that they are gone; instead of refusing newcomers, the
//! session that was silent longest ends. Its client, if there is one, is told 404 and opens
//! another, as the protocol has it. Pure; bounded by the number given.

use std::collections::HashMap;

/// Ids of sessions by when they were used last.
#[derive(Debug)]
pub(super) struct Sessions {
    max: usize,
    /// Of the next use.
    now: u64,
    used: HashMap<String, u64>,
}

impl Sessions {
    /// Room for so many.
    pub(super) fn new(max: usize) -> Sessions {
        Sessions { max, now: 0, used: HashMap::new() }
    }

    /// A request came for this session; unknown ones are none of ours.
    pub(super) fn used(&mut self, id: &str) {
        if let Some(at) = self.used.get_mut(id) {
            *at = self.now;
            self.now += 1;
        }
    }

    /// A session was opened; returns the one that has to end for it.
    pub(super) fn opened(&mut self, id: String) -> Option<String> {
        self.used.insert(id, self.now);
        self.now += 1;
        if self.used.len() <= self.max {
            return None;
        }
        let oldest = self.used.iter().min_by_key(|(_, at)| **at).map(|(id, _)| id.clone())?;
        self.used.remove(&oldest);
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_silent_longest_gives_way() {
        let mut sessions = Sessions::new(2);
        assert_eq!(sessions.opened("a".to_owned()), None);
        assert_eq!(sessions.opened("b".to_owned()), None);
        sessions.used("a");
        sessions.used("never opened");
        assert_eq!(sessions.opened("c".to_owned()), Some("b".to_owned()));
        assert_eq!(sessions.opened("d".to_owned()), Some("a".to_owned()));
    }
}
