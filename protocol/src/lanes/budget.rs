//! How much all connections of a node may have been granted beyond their first windows.
//!
//! Asked by whoever owns several connections, before each grants anything: it keeps the counts,
//! and hands in what the others hold. Without it memory would be bounded per connection only, and
//! connections cost a stranger nothing.
//! Rule: there are two parts. [`STRANGERS_BYTES`] are for peers that have not taken part in any
//! generation yet, and only for messages larger than the first window: the one by which somebody
//! asks for a generation may be, and the first rows of a neighbour on a route. The rest is for
//! everybody else; a window takes at most half of what is left, and never what one largest message
//! needs, so that messages, which end by themselves, always find room behind each other.
//! Nothing is taken back and no connection is ended for want of room: who gets none is granted no
//! more than its first window, or waits.
//! Units: bytes. Errors: none. Absent on purpose: fairness among peers; a peer is as many as it
//! likes.

use crate::limits::{BULK_MESSAGE_MAX_BYTES, MESSAGE_CREDIT_BYTES};

/// What one largest message takes.
pub const LARGEST_MESSAGE_BYTES: u64 = (BULK_MESSAGE_MAX_BYTES + MESSAGE_CREDIT_BYTES) as u64;

/// The part of peers that have not taken part in a generation yet: one largest message, and a few
/// of the usual size.
pub const STRANGERS_BYTES: u64 = LARGEST_MESSAGE_BYTES + 4 * 1024 * 1024;

/// The least that works: every window but the first may be refused, a largest message must not.
pub const BUDGET_MIN_BYTES: u64 = STRANGERS_BYTES + 2 * LARGEST_MESSAGE_BYTES;

/// Which part of the budget a connection takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not taken part in a generation yet.
    Stranger,
    /// It has.
    Known,
}

/// What one connection may hold of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// For a message that is larger than the window.
    pub message: u64,
    /// For windows wider than the first.
    pub window: u64,
}

impl Share {
    /// That of a connection which shares with nobody.
    pub const ALL: Self = Self { message: u64::MAX, window: u64::MAX };

    /// What is left when so much is held elsewhere in the same connection.
    pub(super) fn beside(self, bytes: u64) -> Self {
        let Self { message, window } = self;
        Self { message: message.saturating_sub(bytes), window: window.saturating_sub(bytes) }
    }
}

/// The budget of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    known: u64,
}

impl Budget {
    /// So many bytes, or the least that works.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { known: bytes.max(BUDGET_MIN_BYTES) - STRANGERS_BYTES }
    }

    /// What a connection may hold when others of its standing hold so much.
    #[must_use]
    pub fn share(self, standing: Standing, others: u64) -> Share {
        match standing {
            Standing::Stranger => {
                Share { message: STRANGERS_BYTES.saturating_sub(others), window: 0 }
            }
            Standing::Known => {
                let message = self.known.saturating_sub(others);
                Share { message, window: message.saturating_sub(LARGEST_MESSAGE_BYTES) / 2 }
            }
        }
    }

    /// Most bytes that are ever granted out of it.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.known + STRANGERS_BYTES
    }
}
