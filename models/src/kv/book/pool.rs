//! All pages: how many sequences hold each, what is known, what is free.
//!
//! Called by [`PageBook`](super::PageBook) only. Pages are given lowest number first at the start
//! and last-released first later, which keeps touched memory small.
//! Errors: [`BookError::OutOfPages`].

use super::eviction::EvictionOrder;
use super::tree::{Parent, PrefixTree};
use super::{BookError, PageCounts, PageKey};

/// The pages of one shard. Fields are open to the checks of tests only.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) holders: Vec<u32>,
    pub(super) free: Vec<u32>,
    pub(super) tree: PrefixTree,
    pub(super) cached: EvictionOrder,
    evictions: u64,
}

impl Pool {
    /// Pages `0..n_pages`, all free.
    pub(super) fn new(n_pages: u32) -> Self {
        Self {
            holders: vec![0; n_pages as usize],
            free: (0..n_pages).rev().collect(),
            tree: PrefixTree::new(n_pages),
            cached: EvictionOrder::new(n_pages),
            evictions: 0,
        }
    }

    /// How many pages are what.
    pub(super) fn counts(&self) -> PageCounts {
        let (total, free) = (self.holders.len() as u32, self.free.len() as u32);
        let cached = self.cached.len() as u32;
        PageCounts { total, free, cached, used: total - free - cached }
    }

    /// Cached pages that were given up.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Whether a page's content is known to others.
    pub(super) fn is_known(&self, page: u32) -> bool {
        self.tree.node(page).is_some()
    }

    /// Whether a page has one holder and nobody else can find it: only then it may be written.
    pub(super) fn is_own(&self, page: u32) -> bool {
        self.holders[page as usize] == 1 && !self.is_known(page)
    }

    /// Takes `n` pages for one holder, free ones first, or none.
    pub(super) fn take(&mut self, n: u32) -> Result<Vec<u32>, BookError> {
        let PageCounts { total, free, cached, .. } = self.counts();
        if n > free + cached {
            return Err(BookError::OutOfPages { wanted: n, available: free + cached, total });
        }
        let pages: Vec<u32> =
            (0..n).map_while(|_| self.free.pop().or_else(|| self.evict())).collect();
        pages.iter().for_each(|page| self.holders[*page as usize] = 1);
        Ok(pages)
    }

    fn evict(&mut self) -> Option<u32> {
        let page = self.cached.pop()?;
        self.tree.remove(page);
        self.evictions += 1;
        Some(page)
    }

    /// One more sequence holds a page that is used or cached.
    pub(super) fn hold(&mut self, page: u32) {
        let holders = &mut self.holders[page as usize];
        if *holders == 0 {
            self.cached.remove(page);
        }
        *holders += 1;
    }

    /// A sequence lets go of a page. Pages of one sequence are released last one first.
    pub(super) fn release(&mut self, page: u32) {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders > 0 {
            return;
        }
        match self.is_known(page) {
            true => self.cached.push(page),
            false => self.free.push(page),
        }
    }

    /// A page that is held was of use again.
    pub(super) fn reuse(&mut self, page: u32) {
        self.cached.reuse(page);
    }

    /// Holds the longest known prefix of these keys.
    pub(super) fn hold_prefix(&mut self, namespace: u64, keys: &[PageKey]) -> Vec<u32> {
        let mut pages = Vec::new();
        let mut parent = Parent::Namespace(namespace);
        for key in keys {
            let Some(page) = self.tree.find(parent, *key) else { break };
            self.hold(page);
            pages.push(page);
            parent = Parent::Page(page);
        }
        pages
    }

    /// Makes a page known that is held, at a place whose parent is held too. If another page is
    /// known there, that one is held instead. Returns the page that is known now, or none: while
    /// others hold it, as they may hold other pages before it; and when it has another key.
    pub(super) fn publish(&mut self, page: u32, parent: Parent, key: PageKey) -> Option<u32> {
        if let Some(place) = self.tree.node(page) {
            return (place == (parent, key)).then_some(page);
        }
        if let Some(known) = self.tree.find(parent, key) {
            self.hold(known);
            self.release(page);
            return Some(known);
        }
        if self.holders[page as usize] > 1 {
            return None;
        }
        self.tree.insert(page, parent, key);
        Some(page)
    }
}
