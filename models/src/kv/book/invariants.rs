//! What must hold between any two calls, looked up in the books themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Parent;
use super::{PageBook, PageKey};

/// A namespace, and the keys from its root to a page.
pub(super) type Path = (u64, Vec<PageKey>);

impl PageBook {
    /// Where a known page stands.
    pub(super) fn path(&self, page: u32) -> Option<Path> {
        let (parent, key) = self.pool.tree.node(page)?;
        let mut path = match parent {
            Parent::Namespace(namespace) => (namespace, Vec::new()),
            Parent::Page(before) => self.path(before).expect("a known page follows a known one"),
        };
        path.1.push(key);
        Some(path)
    }

    /// All known pages by path.
    pub(super) fn known(&self) -> BTreeMap<Path, u32> {
        let all = 0..self.counts().total;
        all.filter_map(|page| Some((self.path(page)?, page))).collect()
    }

    /// How many sequences hold each page.
    pub(super) fn holders(&self) -> Vec<u32> {
        let mut holders = vec![0; self.counts().total as usize];
        for sequence in self.sequences.values() {
            let pages: BTreeSet<u32> = sequence.pages().iter().copied().collect();
            assert_eq!(pages.len(), sequence.pages().len(), "a page twice in one table");
            pages.iter().for_each(|page| holders[*page as usize] += 1);
        }
        holders
    }

    /// Panics where the books contradict themselves.
    pub(super) fn check(&self) {
        let (counts, holders, known) = (self.counts(), self.holders(), self.known());
        assert_eq!(self.pool.holders, holders);
        let free: BTreeSet<u32> = self.pool.free.iter().copied().collect();
        let cached: Vec<u32> = self.pool.cached.in_order().collect();
        assert_eq!(free.len(), self.pool.free.len(), "a page is free twice");
        let known_pages: BTreeSet<u32> = known.values().copied().collect();
        assert_eq!(known.len(), (0..counts.total).filter(|p| self.pool.is_known(*p)).count());
        for page in 0..counts.total {
            let is_used = holders[page as usize] > 0;
            assert_eq!(free.contains(&page), !is_used && !known_pages.contains(&page));
            assert_eq!(cached.contains(&page), !is_used && known_pages.contains(&page));
            let Some((Parent::Page(before), _)) = self.pool.tree.node(page) else { continue };
            let place = |page| cached.iter().position(|other| *other == page);
            assert!(holders[before as usize] >= holders[page as usize], "held without its prefix");
            assert!(place(before).is_none_or(|before| place(page) < Some(before)), "parent first");
        }
        let used = holders.iter().filter(|n| **n > 0).count();
        assert_eq!(counts.used as usize, used);
        assert_eq!((counts.cached as usize, counts.free as usize), (cached.len(), free.len()));
        self.check_sequences();
    }

    fn check_sequences(&self) {
        let mut n_claims = 0;
        for (number, sequence) in &self.sequences {
            let pages = sequence.pages();
            assert_eq!(*self.table(*number).unwrap(), *pages);
            assert!(sequence.known <= pages.len() && sequence.known <= sequence.chain.len());
            assert!(sequence.chain.len() <= self.counts().total as usize);
            n_claims += sequence.claimed.len();
            let mut parent = Parent::Namespace(sequence.namespace);
            let n_known = pages.iter().take_while(|page| self.pool.is_known(**page)).count();
            for (index, page) in pages.iter().enumerate() {
                let node = self.pool.tree.node(*page);
                assert_eq!(node.is_some(), index < n_known, "known pages come first");
                assert!(node.is_none_or(|node| node.0 == parent), "known pages follow each other");
                let known = (index < sequence.known).then(|| (parent, sequence.chain[index]));
                assert!(known.is_none() || known == node, "known under another key");
                parent = Parent::Page(*page);
            }
        }
        assert_eq!(self.claims.len(), n_claims);
    }
}
