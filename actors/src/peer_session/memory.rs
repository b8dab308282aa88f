//! What all sessions of a node hold together, and what each may hold more.
//!
//! One per node, shared by its sessions. Each asks for its share before it grants anything, and
//! says afterwards what it holds; the rules are `swarmllm_protocol::lanes::budget`'s. Nobody is
//! ended for want of room: a session that gets none waits here, and is told when others gave some
//! back.
//! Units: bytes. All sessions run on one thread; were they not, each could overdraw by one grant.
//!
//! The bound. At most 512 sessions that were accepted and 256 with peers that are let in, each with
//! - what a stranger may send unasked: two windows of 64 KiB, and a buffer of 18 KiB to read into
//!   (84 KiB for peers that take part in generations);
//! - what a peer that does not read leaves here: 81 KiB sealed and 256 KiB of control messages, at
//!   most 1,024, then the session ends; pings are not answered beside 1 KiB that waits;
//! - replies: where those of this node's own requests go, 4,096 entries of about 100 bytes;
//! - a mailbox of 512 messages, which this node's own stages and generations fill.
//!
//! Beside that, in all sessions together:
//! - the budget: what was granted beyond the first windows (of it 20 MiB to strangers);
//! - [`OUTGOING_MAX_BYTES`] of rows for peers that are slow to take them: above, a session with
//!   more than [`OUTGOING_FREE_BYTES`] counts as congested, and no more is computed for it than
//!   the step that has begun.
//!
//! What sequences keep of such messages is bounded by `batch_scheduler`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::Recipient;
use swarmllm_protocol::lanes::budget::{Budget, Share, Standing};

use super::credit::CreditReturned;
use crate::mailbox::offer;

/// Bytes that wait to be sent in all sessions, above which each may have only a few.
pub const OUTGOING_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes that may wait in any session.
pub const OUTGOING_FREE_BYTES: u64 = 128 * 1024;

/// Someone who waits for room: the number of its session, and how to tell it.
type Waiting = (u64, Recipient<CreditReturned>);

/// The counts of one node.
#[derive(Debug)]
pub struct SessionMemory {
    budget: Budget,
    strangers: AtomicU64,
    known: AtomicU64,
    outgoing: AtomicU64,
    waiting: Mutex<Vec<Waiting>>,
}

impl SessionMemory {
    /// Nothing held yet.
    pub fn new(budget: Budget) -> Arc<SessionMemory> {
        let [strangers, known, outgoing] = Default::default();
        Arc::new(SessionMemory { budget, strangers, known, outgoing, waiting: Mutex::default() })
    }

    fn of(&self, standing: Standing) -> &AtomicU64 {
        match standing {
            Standing::Stranger => &self.strangers,
            Standing::Known => &self.known,
        }
    }

    /// Room was given back: whoever waits looks again, those first that have waited longest.
    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for (_, session) in waiting {
            offer(&session, CreditReturned);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one session holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    memory: Arc<SessionMemory>,
    standing: Standing,
    extra: u64,
    outgoing: u64,
}

impl Held {
    /// Nothing yet, of a peer nobody knows.
    pub(super) fn nothing(memory: &Arc<SessionMemory>) -> Held {
        let standing = Standing::Stranger;
        Held { memory: Arc::clone(memory), standing, extra: 0, outgoing: 0 }
    }

    /// The peer takes part in a generation.
    pub(super) fn become_known(&mut self) {
        if self.standing == Standing::Stranger {
            let extra = self.extra;
            self.set_extra(0);
            self.standing = Standing::Known;
            self.set_extra(extra);
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.standing == Standing::Known
    }

    /// What the session may hold now.
    pub(super) fn share(&self) -> Share {
        let all = self.memory.of(self.standing).load(Ordering::Relaxed);
        self.memory.budget.share(self.standing, all.saturating_sub(self.extra))
    }

    /// So much was granted beyond the first windows, and is not given back.
    pub(super) fn set_extra(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.extra, bytes);
        replace(self.memory.of(self.standing), before, bytes);
        if bytes < before {
            self.memory.wake();
        }
    }

    /// So many bytes wait to be sent; whether that is too much beside what others wait with.
    pub(super) fn set_outgoing(&mut self, bytes: u64) -> bool {
        let before = std::mem::replace(&mut self.outgoing, bytes);
        let all = replace(&self.memory.outgoing, before, bytes);
        all > OUTGOING_MAX_BYTES && bytes > OUTGOING_FREE_BYTES
    }

    /// To be told when there is room again.
    pub(super) fn wait(&self, id: u64, session: impl FnOnce() -> Recipient<CreditReturned>) {
        let mut waiting = self.memory.waiting();
        if waiting.iter().all(|(other, _)| *other != id) {
            waiting.push((id, session()));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set_extra(0);
        self.set_outgoing(0);
    }
}

/// Counts `after` instead of `before`; the new sum.
fn replace(sum: &AtomicU64, before: u64, after: u64) -> u64 {
    let added = sum.fetch_add(after, Ordering::Relaxed) + after;
    sum.fetch_sub(before, Ordering::Relaxed);
    added - before
}

#[cfg(test)]
mod tests {
    use swarmllm_protocol::lanes::budget::{LARGEST_MESSAGE_BYTES, STRANGERS_BYTES};

    use super::*;

    #[test]
    fn what_one_session_holds_another_cannot() {
        let memory = SessionMemory::new(Budget::new(0));
        let (mut one, two) = (Held::nothing(&memory), Held::nothing(&memory));
        assert_eq!(two.share().message, STRANGERS_BYTES);
        one.set_extra(LARGEST_MESSAGE_BYTES);
        assert_eq!(one.share().message, STRANGERS_BYTES, "its own is not in its way");
        assert_eq!(two.share().message, STRANGERS_BYTES - LARGEST_MESSAGE_BYTES);
        // It goes to the other part with what it holds.
        one.become_known();
        assert_eq!(two.share().message, STRANGERS_BYTES);
        let mut three = Held::nothing(&memory);
        three.become_known();
        assert_eq!(three.share().message, 2 * LARGEST_MESSAGE_BYTES - LARGEST_MESSAGE_BYTES);
        drop(one);
        assert_eq!(three.share().message, 2 * LARGEST_MESSAGE_BYTES);
    }

    #[test]
    fn a_session_with_little_to_send_is_never_the_one_too_much() {
        let memory = SessionMemory::new(Budget::new(0));
        let (mut slow, mut other) = (Held::nothing(&memory), Held::nothing(&memory));
        assert!(!slow.set_outgoing(OUTGOING_MAX_BYTES));
        assert!(!other.set_outgoing(OUTGOING_FREE_BYTES));
        assert!(other.set_outgoing(OUTGOING_FREE_BYTES + 1));
        assert!(slow.set_outgoing(OUTGOING_MAX_BYTES));
        drop(slow);
        assert!(!other.set_outgoing(OUTGOING_FREE_BYTES + 1));
    }
}
