//! Room of received rows in their session's window, held by whoever has the rows.
//!
//! Dropped with them, once they are computed or forgotten; the session then grants the peer as much
//! again. So a stage that is slower than the one before it is sent no more than its window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::{Message, Recipient};
use swarmllm_protocol::lanes::{Credit, Lane};

use crate::mailbox::offer;

/// Notification. Sender: whoever drops a [`HeldCredit`]. Handler: its session. At most one waits.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CreditReturned;

/// What came back and was not granted again yet.
#[derive(Debug)]
pub(super) struct Returned {
    bytes: [AtomicUsize; Lane::ALL.len()],
    is_told: AtomicBool,
    has_generation: AtomicBool,
    session: Recipient<CreditReturned>,
}

impl Returned {
    pub(super) fn new(session: Recipient<CreditReturned>) -> Arc<Returned> {
        let (bytes, is_told, has_generation) = Default::default();
        Arc::new(Returned { bytes, is_told, has_generation, session })
    }

    /// The peer takes part in a generation of this node.
    pub(super) fn note_generation(&self) {
        self.has_generation.store(true, Ordering::Relaxed);
    }

    /// Whether it ever did.
    pub(super) fn has_generation(&self) -> bool {
        self.has_generation.load(Ordering::Relaxed)
    }

    /// Everything that came back since the last call.
    pub(super) fn take(&self) -> impl Iterator<Item = Credit> + '_ {
        self.is_told.store(false, Ordering::Relaxed);
        let taken = Lane::ALL.into_iter().map(|lane| Credit {
            lane,
            bytes: self.bytes[lane as usize].swap(0, Ordering::Relaxed),
        });
        taken.filter(|credit| credit.bytes > 0)
    }
}

/// Room that rows take until this is dropped.
#[derive(Debug)]
pub struct HeldCredit {
    credit: Credit,
    returned: Arc<Returned>,
}

impl HeldCredit {
    pub(super) fn new(credit: Credit, returned: &Arc<Returned>) -> HeldCredit {
        HeldCredit { credit, returned: Arc::clone(returned) }
    }

    /// The rows were due: whoever sent them takes part in a generation.
    pub fn were_due(&self) {
        self.returned.note_generation();
    }
}

impl Drop for HeldCredit {
    fn drop(&mut self) {
        let Returned { bytes, is_told, session, .. } = &*self.returned;
        bytes[self.credit.lane as usize].fetch_add(self.credit.bytes, Ordering::Relaxed);
        // A full box will be emptied by the session, which looks here at every turn.
        if !is_told.swap(true, Ordering::Relaxed) && !offer(session, CreditReturned) {
            is_told.store(false, Ordering::Relaxed);
        }
    }
}
