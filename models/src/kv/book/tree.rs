//! The known pages as a tree: each follows another one, or starts a namespace.
//!
//! Called by `pool`. No errors. A node is a page, so there are never more nodes than pages,
//! whatever keys are claimed: the same key after another page is another node.

use std::collections::BTreeMap;

use super::PageKey;

/// What a page follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parent {
    /// Nothing: it is the first of its namespace.
    Namespace(u64),
    /// A known page.
    Page(u32),
}

/// What is known under which keys.
#[derive(Debug)]
pub(super) struct PrefixTree {
    nodes: Vec<Option<(Parent, PageKey)>>,
    pages: BTreeMap<(Parent, PageKey), u32>,
}

impl PrefixTree {
    /// Nothing known of so many pages.
    pub(super) fn new(n_pages: u32) -> Self {
        Self { nodes: vec![None; n_pages as usize], pages: BTreeMap::new() }
    }

    /// Where a page stands.
    pub(super) fn node(&self, page: u32) -> Option<(Parent, PageKey)> {
        self.nodes[page as usize]
    }

    /// The page that follows with this key.
    pub(super) fn find(&self, parent: Parent, key: PageKey) -> Option<u32> {
        self.pages.get(&(parent, key)).copied()
    }

    /// Adds a page that has no place at a place that has no page.
    pub(super) fn insert(&mut self, page: u32, parent: Parent, key: PageKey) {
        self.nodes[page as usize] = Some((parent, key));
        self.pages.insert((parent, key), page);
    }

    /// Takes out a page that none follows.
    pub(super) fn remove(&mut self, page: u32) {
        if let Some(place) = self.nodes[page as usize].take() {
            self.pages.remove(&place);
        }
    }
}
