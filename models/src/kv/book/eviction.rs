//! Which cached page is given up first.
//!
//! Called by `pool`. No errors. Every step costs the logarithm of the cached pages.
//!
//! A page is worth the age of the cache when it was let go, plus one, plus how often it was
//! reused (at most [`MAX_REUSES`]). The page that is worth least goes first, among equals the one
//! let go first, and its worth is the new age. So new pages are worth one more than the oldest of
//! the last exchange, and the age grows by one whenever the pages nobody came back for were
//! exchanged once: a prefix that was reused n times outlives about n such exchanges by prompts
//! that come once, and then goes too unless somebody asks again. (Known as LFU with dynamic
//! ageing.)
//!
//! Whoever holds a page holds the pages before it, reuses them as well, and lets go of the last
//! one first. So a page is always worth more than those that follow it, or as much and let go
//! later: leaves go before parents without anyone looking.

use std::collections::BTreeMap;

/// Beyond so many reuses, a page is not worth more.
const MAX_REUSES: u8 = 15;

/// Worth, and when it was let go.
type Rank = (u64, u64);

/// The cached pages in order.
#[derive(Debug)]
pub(super) struct EvictionOrder {
    pages: Vec<(Rank, u8)>,
    order: BTreeMap<Rank, u32>,
    age: u64,
    clock: u64,
}

impl EvictionOrder {
    /// None of so many pages is cached.
    pub(super) fn new(n_pages: u32) -> Self {
        let pages = vec![((0, 0), 0); n_pages as usize];
        Self { pages, order: BTreeMap::new(), age: 0, clock: 0 }
    }

    /// How many pages are cached.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// A page was of use again.
    pub(super) fn reuse(&mut self, page: u32) {
        let (_, reuses) = &mut self.pages[page as usize];
        *reuses = MAX_REUSES.min(*reuses + 1);
    }

    /// The last holder lets go of a page.
    pub(super) fn push(&mut self, page: u32) {
        let (rank, reuses) = &mut self.pages[page as usize];
        *rank = (self.age + 1 + u64::from(*reuses), self.clock);
        self.clock += 1;
        self.order.insert(*rank, page);
    }

    /// A cached page is held again.
    pub(super) fn remove(&mut self, page: u32) {
        self.order.remove(&self.pages[page as usize].0);
    }

    /// Gives up the page that is worth least.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let ((worth, _), page) = self.order.pop_first()?;
        self.age = worth;
        self.pages[page as usize].1 = 0;
        Some(page)
    }

    /// Cached pages, the next to go first.
    #[cfg(test)]
    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> + '_ {
        self.order.values().copied()
    }
}
