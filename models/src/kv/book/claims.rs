//! Which live sequence is going to compute which page, so that others may wait for it.
//!
//! Called by [`PageBook`](super::PageBook) only. No errors. One entry per page that a sequence
//! has announced, so never more than the chains of the attached sequences are long.

use std::collections::BTreeSet;

use super::sequence::Sequence;
use super::{PageKey, SequenceId, full_pages};

/// Namespace, place in the chain, key, and who computes it.
type Claim = (u64, usize, PageKey, SequenceId);

/// The announced pages.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeSet<Claim>);

impl Claims {
    /// Announces what of its prompt a sequence has not computed.
    pub(super) fn claim(&mut self, number: SequenceId, sequence: &mut Sequence) {
        self.withdraw(number, sequence, usize::MAX);
        sequence.claimed = full_pages(sequence.computed)..sequence.prompt_keys();
        for index in sequence.claimed.clone() {
            self.0.insert((sequence.namespace, index, sequence.chain[index], number));
        }
    }

    /// Withdraws what a sequence has announced of its first `n` pages.
    pub(super) fn withdraw(&mut self, number: SequenceId, sequence: &mut Sequence, n: usize) {
        let claimed = &mut sequence.claimed;
        while claimed.start < claimed.end.min(n) {
            let key = sequence.chain[claimed.start];
            self.0.remove(&(sequence.namespace, claimed.start, key, number));
            claimed.start += 1;
        }
    }

    /// The lowest number that has announced a page.
    pub(super) fn first(&self, namespace: u64, index: usize, key: &PageKey) -> Option<SequenceId> {
        let any = (namespace, index, *key, 0)..=(namespace, index, *key, SequenceId::MAX);
        Some(self.0.range(any).next()?.3)
    }

    /// How many pages are announced.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
