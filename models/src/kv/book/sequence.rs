//! One attached sequence.
//!
//! Called by [`PageBook`](super::PageBook) only. No errors. The known pages of a table come
//! first, and each follows the one before it in the tree as well.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::claims::Claims;
use super::pool::Pool;
use super::{PAGE_TOKENS, PageKey, SequenceId, full_pages};

/// What the books say of a sequence.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Inside of which pages are shared.
    pub(super) namespace: u64,
    /// Keys of its full pages, as far as they are known.
    pub(super) chain: Vec<PageKey>,
    /// Tokens of its prompt.
    pub(super) prompt: u32,
    /// Tokens of its prompt as they count in statistics: none for a fork.
    pub(super) asked: u32,
    /// Positions whose content is there.
    pub(super) computed: u32,
    /// Full pages of its chain that are known to others.
    pub(super) known: usize,
    /// Which of the chain's pages it has announced to compute.
    pub(super) claimed: Range<usize>,
    /// Whether it ever grew.
    pub(super) started: bool,
    pages: Vec<u32>,
    table: OnceLock<Arc<[u32]>>,
}

impl Sequence {
    /// A sequence without pages.
    pub(super) fn new(namespace: u64, chain: Vec<PageKey>, prompt: u32) -> Self {
        Self {
            namespace,
            chain,
            prompt,
            asked: 0,
            computed: 0,
            known: 0,
            claimed: 0..0,
            started: false,
            pages: Vec::new(),
            table: OnceLock::new(),
        }
    }

    /// How many keys of the chain are the prompt's.
    pub(super) fn prompt_keys(&self) -> usize {
        full_pages(self.prompt).min(self.chain.len())
    }

    /// The pages it holds, in order.
    pub(super) fn pages(&self) -> &[u32] {
        &self.pages
    }

    /// The same to be kept by others.
    pub(super) fn table(&self) -> Arc<[u32]> {
        self.table.get_or_init(|| self.pages.as_slice().into()).clone()
    }

    /// Adds pages at the end.
    pub(super) fn append(&mut self, pages: impl IntoIterator<Item = u32>) {
        let before = self.pages.len();
        self.pages.extend(pages);
        if self.pages.len() != before {
            self.table.take();
        }
    }

    /// Puts another page in a place and returns the one that was there.
    pub(super) fn replace(&mut self, index: usize, page: u32) -> u32 {
        self.table.take();
        std::mem::replace(&mut self.pages[index], page)
    }

    /// Takes the pages behind the first `n`.
    pub(super) fn cut(&mut self, n: usize) -> Vec<u32> {
        self.table.take();
        self.pages.split_off(n.min(self.pages.len()))
    }

    /// Forgets the content from a position on, and keys of other tokens than the prompt's there.
    pub(super) fn go_back(&mut self, positions: u32) {
        if positions < self.computed {
            self.computed = positions;
            self.known = self.known.min(full_pages(positions));
            self.chain.truncate(full_pages(self.prompt).max(full_pages(positions)));
        }
    }

    /// Which places of the table must be replaced before `from..to` is written: what others may
    /// read there, and what is known behind it.
    pub(super) fn shared<'a>(
        &'a self,
        pool: &'a Pool,
        from: u32,
        to: u32,
    ) -> impl Iterator<Item = usize> + 'a {
        let end = to.div_ceil(PAGE_TOKENS) as usize;
        (full_pages(from)..self.pages.len())
            .take_while(move |index| *index < end || pool.is_known(self.pages[*index]))
            .filter(|index| !pool.is_own(self.pages[*index]))
    }

    /// How many pages the table lacks for positions `0..to`.
    pub(super) fn missing(&self, to: u32) -> u32 {
        to.div_ceil(PAGE_TOKENS).saturating_sub(self.pages.len() as u32)
    }

    /// It begins to compute: what it found counts as used once more. Returns the positions found
    /// that statistics count.
    pub(super) fn start(
        &mut self,
        pool: &mut Pool,
        claims: &mut Claims,
        number: SequenceId,
    ) -> u32 {
        self.started = true;
        claims.claim(number, self);
        if self.asked == 0 {
            return 0;
        }
        self.pages[..full_pages(self.computed)].iter().for_each(|page| pool.reuse(*page));
        self.computed
    }
}
