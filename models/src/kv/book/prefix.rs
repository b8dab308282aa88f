//! How sequences find and make prefixes: opening them, and what becomes known of them.
//!
//! The part of [`PageBook`] that looks at keys. Errors: [`BookError`], of forks only; keys that
//! make no sense (too many, twice the same, at the wrong place) are cut off or lead nowhere.

use super::sequence::Sequence;
use super::tree::Parent;
use super::{
    Attached, Behind, BookError, PAGE_TOKENS, PageBook, PageKey, SequenceId, full_pages, shareable,
};

impl PageBook {
    /// Opens a sequence and gives it the longest prefix that is known.
    ///
    /// `namespace`: who may share; pages are found only inside of it. `chain`: the keys of the
    /// prompt's full pages in order, of which as many are used as it has and the shard could hold.
    /// `prompt`: its length in tokens; the last one is always left to compute. A sequence of this
    /// number that is attached is detached first.
    pub fn attach(
        &mut self,
        sequence: SequenceId,
        namespace: u64,
        chain: &[PageKey],
        prompt: u32,
    ) -> Attached {
        self.detach(sequence);
        let n_keys = full_pages(prompt).min(self.pool.counts().total as usize);
        let chain = &chain[..n_keys.min(chain.len())];
        let reusable = &chain[..full_pages(prompt.saturating_sub(1)).min(chain.len())];
        let pages = self.pool.hold_prefix(namespace, reusable);
        let behind = self.leader(namespace, reusable, pages.len());
        let positions = pages.len() as u32 * PAGE_TOKENS;
        let mut entry = Sequence::new(namespace, chain.to_vec(), prompt);
        entry.asked = prompt;
        entry.computed = positions;
        entry.known = pages.len();
        entry.append(pages);
        if behind.is_none() {
            self.claims.claim(sequence, &mut entry);
        }
        self.sequences.insert(sequence, entry);
        Attached { positions, behind }
    }

    /// Who computes page `next` of this chain, and how much of it.
    fn leader(&self, namespace: u64, chain: &[PageKey], next: usize) -> Option<Behind> {
        let leader = self.claims.first(namespace, next, chain.get(next)?)?;
        let same = chain.iter().zip(&self.sequences.get(&leader)?.chain);
        let same = same.take_while(|(ours, theirs)| ours == theirs).count();
        let positions = same as u32 * PAGE_TOKENS;
        (same > next).then_some(Behind { leader, positions })
    }

    /// Opens a sequence as another sample of a live one's prompt, sharing its pages of positions
    /// `0..positions`, also a partial one: whoever writes into it first gets a copy. Returns how
    /// many positions it starts with: rounded down to full pages when states are kept.
    ///
    /// Namespace, prompt and the prompt's keys are the parent's. Fails unless the parent is
    /// attached and has computed these positions, and `sequence` is a new number.
    pub fn fork(
        &mut self,
        sequence: SequenceId,
        parent: SequenceId,
        positions: u32,
    ) -> Result<u32, BookError> {
        if self.sequences.contains_key(&sequence) {
            return Err(BookError::AlreadyAttached { sequence });
        }
        let other = self.sequences.get(&parent);
        let other = other.ok_or(BookError::UnknownSequence { sequence: parent })?;
        if positions > other.computed {
            let computed = other.computed;
            return Err(BookError::NotComputed { wanted: positions, computed });
        }
        let positions = shareable(self.keeps_states, positions);
        let keys = other.chain[..other.prompt_keys()].to_vec();
        let mut entry = Sequence::new(other.namespace, keys, other.prompt);
        entry.computed = positions;
        entry.known = other.known.min(full_pages(positions)).min(entry.chain.len());
        entry.append(other.pages()[..positions.div_ceil(PAGE_TOKENS) as usize].iter().copied());
        entry.pages().iter().for_each(|page| self.pool.hold(*page));
        self.sequences.insert(sequence, entry);
        Ok(positions)
    }

    /// Says that a sequence has computed positions `0..positions`: its full pages with a key
    /// become known to others. No more count than there are pages for; a smaller number than
    /// before, or a sequence that is not attached, changes nothing.
    pub fn computed(&mut self, sequence: SequenceId, positions: u32) {
        if let Some(entry) = self.sequences.get_mut(&sequence) {
            let room = entry.pages().len() as u32 * PAGE_TOKENS;
            entry.computed = entry.computed.max(positions.min(room));
            self.claims.withdraw(sequence, entry, full_pages(entry.computed));
            self.publish(sequence);
        }
    }

    /// Gives keys of the pages behind the prompt's full ones (the answer's), in order; further
    /// calls append. Ignored when keys of the prompt are missing, or nothing is attached.
    pub fn extend(&mut self, sequence: SequenceId, keys: &[PageKey]) {
        let total = self.pool.counts().total as usize;
        if let Some(entry) = self.sequences.get_mut(&sequence)
            && entry.chain.len() >= full_pages(entry.prompt)
        {
            let room = total.saturating_sub(entry.chain.len());
            entry.chain.extend_from_slice(&keys[..keys.len().min(room)]);
            self.publish(sequence);
        }
    }

    /// Makes full pages known, up to the first without a key.
    fn publish(&mut self, sequence: SequenceId) {
        let Some(entry) = self.sequences.get_mut(&sequence) else { return };
        while entry.known < full_pages(entry.computed).min(entry.chain.len()) {
            let index = entry.known;
            let page = entry.pages()[index];
            let parent = match index.checked_sub(1) {
                Some(before) => Parent::Page(entry.pages()[before]),
                None => Parent::Namespace(entry.namespace),
            };
            let Some(known) = self.pool.publish(page, parent, entry.chain[index]) else { return };
            if known != page {
                entry.replace(index, known);
            }
            entry.known += 1;
        }
    }
}
