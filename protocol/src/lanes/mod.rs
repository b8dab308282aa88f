//! Three lanes over one stream of records: messages are cut into fragments, and whatever is most
//! urgent goes next.
//!
//! Owned by `connection/established.rs`. Priority is strict: control before tensor before bulk,
//! decided anew for every fragment, so a prefill of megabytes delays a token by one fragment.
//! Reading order: this file, `sender.rs`, `receiver.rs`, `credit.rs`, `budget.rs`, `bandwidth.rs`.
//! Layout of a fragment (the plaintext of one record): flags `u8` (bits 0-1 lane, bit 2 first, bit
//! 4 starved), on a first fragment the message's length `u32` LE, then data. Every fragment but the
//! last of a message carries exactly [`FRAGMENT_DATA_MAX_BYTES`], so a message has one way to
//! travel. Bit 3 marks what connections tell each other (`connection/signal.rs`), no lane's.
//! Order: messages of one lane arrive in order; rows of one request never overtake each other,
//! because small rows follow their request into the bulk lane while larger ones wait there, and
//! bulk waits while the tensor lane does.
//! Credits: tensor and bulk carry no more than the receiver has granted, counted from the
//! connection's start: data bytes, and [`MESSAGE_CREDIT_BYTES`] for each message, so that many tiny
//! ones cost what they take to hold. They are per lane and not per generation: all rows of a node
//! have one consumer, which never lets one generation's rows wait for those of another, so a window
//! each would buy nothing and cost a map that strangers fill.
//! Errors: [`LaneError`]; a declared length is checked against its lane before allocation, and the
//! credit before anything is kept.
//! Absent on purpose: credits for control. It is handled as it comes, and small.

mod bandwidth;
pub mod budget;
mod credit;
mod receiver;
mod sender;

pub use bandwidth::Bandwidth;
pub use credit::{Credit, Forgone, Grant};
pub use receiver::Receiver;
pub use sender::Sender;

use crate::limits::{
    BULK_MESSAGE_MAX_BYTES, BULK_QUEUE_MAX_BYTES, BULK_WINDOW_MAX_BYTES, CONTROL_MESSAGE_MAX_BYTES,
    CONTROL_QUEUE_MAX_BYTES, FRAGMENT_DATA_MAX_BYTES, MESSAGE_CREDIT_BYTES, STALL_MS,
    TENSOR_MESSAGE_MAX_BYTES, TENSOR_QUEUE_MAX_BYTES, TENSOR_WINDOW_MAX_BYTES,
};

const LANES: usize = 3;
const LANE_MASK: u8 = 0b011;
const FIRST_FLAG: u8 = 0b100;
/// The sender has more for this lane and no credit.
const STARVED_FLAG: u8 = 0b1_0000;
const TOTAL_BYTES: usize = 4;

/// A class of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Everything small: opening, closing, tokens, liveness.
    Control,
    /// Rows of a token or a few.
    Tensor,
    /// Rows of a prefill.
    Bulk,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; LANES] = [Self::Control, Self::Tensor, Self::Bulk];

    /// Most bytes of one message.
    #[must_use]
    pub fn message_limit(self) -> usize {
        match self {
            Self::Control => CONTROL_MESSAGE_MAX_BYTES,
            Self::Tensor => TENSOR_MESSAGE_MAX_BYTES,
            Self::Bulk => BULK_MESSAGE_MAX_BYTES,
        }
    }

    /// Most bytes waiting to be sent.
    #[must_use]
    pub fn queue_limit(self) -> usize {
        match self {
            Self::Control => CONTROL_QUEUE_MAX_BYTES,
            Self::Tensor => TENSOR_QUEUE_MAX_BYTES,
            Self::Bulk => BULK_QUEUE_MAX_BYTES,
        }
    }

    /// Most bytes that a receiver keeps room for at once; `None` where none are counted.
    fn window_limit(self) -> Option<usize> {
        match self {
            Self::Control => None,
            Self::Tensor => Some(TENSOR_WINDOW_MAX_BYTES),
            Self::Bulk => Some(BULK_WINDOW_MAX_BYTES),
        }
    }

    fn of_flags(flags: u8) -> Option<Self> {
        Self::ALL.get(usize::from(flags & LANE_MASK)).copied()
    }
}

/// Why a fragment or a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// A fragment without its header, without data, or with unknown flags.
    #[error("a fragment of {length} bytes is no fragment")]
    Malformed {
        /// Bytes of it.
        length: usize,
    },
    /// A message longer than its lane carries.
    #[error("a message of {length} bytes on the {lane:?} lane, which carries at most {limit}")]
    TooLong {
        /// Which lane.
        lane: Lane,
        /// Declared bytes.
        length: usize,
        /// Most bytes of the lane.
        limit: usize,
    },
    /// A first fragment while a message is unfinished, or a later one without a first.
    #[error("a fragment out of order on the {lane:?} lane")]
    OutOfOrder {
        /// Which lane.
        lane: Lane,
    },
    /// More data than the message has left, or fewer than a fragment must carry.
    #[error("a fragment of {got} bytes on the {lane:?} lane where {expected} were due")]
    Length {
        /// Which lane.
        lane: Lane,
        /// Bytes there are.
        got: usize,
        /// Bytes due.
        expected: usize,
    },
    /// More data than was granted.
    #[error("{excess} bytes beyond the credit of the {lane:?} lane")]
    Overdrawn {
        /// Which lane.
        lane: Lane,
        /// Bytes too many.
        excess: u64,
    },
    /// A grant that takes back, acknowledges what was never sent, or promises too much.
    #[error("a grant for the {lane:?} lane that cannot be meant")]
    Grant {
        /// Which lane.
        lane: Lane,
    },
    /// The rest of a message, or anything at all for a wide window, did not come.
    #[error("nothing came on the {lane:?} lane for {STALL_MS} ms, though more was due")]
    Stalled {
        /// Which lane.
        lane: Lane,
    },
    /// Too much is waiting in the lane; nothing was queued.
    #[error("the {lane:?} lane is full: {queued_bytes} bytes wait to be sent")]
    Full {
        /// Which lane.
        lane: Lane,
        /// Bytes waiting.
        queued_bytes: usize,
    },
}

/// Data bytes of the fragment that comes next when so many are left of a message.
fn fragment_bytes(left: usize) -> usize {
    left.min(FRAGMENT_DATA_MAX_BYTES)
}

/// Credit that a message takes whole.
fn message_cost(bytes: usize) -> usize {
    bytes + MESSAGE_CREDIT_BYTES
}

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod tests;
