//! Hands out page numbers.
//!
//! Called by the owner of a shard's pages (one allocator per shard). Pages are given lowest number
//! first at the start and last-released first later, which keeps touched memory small.
//! Errors: [`OutOfPages`]; releasing a page that is not taken is ignored.

/// Fewer pages are free than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} pages wanted, {free} of {total} free; wait for a sequence to end")]
pub struct OutOfPages {
    /// How many were asked for.
    pub wanted: u32,
    /// How many are free.
    pub free: u32,
    /// How many there are.
    pub total: u32,
}

/// The free pages of one arena.
#[derive(Clone, Debug)]
pub struct PageAllocator {
    free: Vec<u32>,
    taken: Vec<bool>,
}

impl PageAllocator {
    /// An allocator of pages `0..n_pages`, all free.
    pub fn new(n_pages: u32) -> Self {
        Self { free: (0..n_pages).rev().collect(), taken: vec![false; n_pages as usize] }
    }

    /// Takes `n` pages, or none.
    pub fn reserve(&mut self, n: u32) -> Result<Vec<u32>, OutOfPages> {
        if n > self.free() {
            return Err(OutOfPages { wanted: n, free: self.free(), total: self.total() });
        }
        let mut pages = self.free.split_off(self.free.len() - n as usize);
        pages.reverse();
        for page in &pages {
            self.taken[*page as usize] = true;
        }
        Ok(pages)
    }

    /// Gives pages back.
    pub fn release(&mut self, pages: &[u32]) {
        for page in pages.iter().rev() {
            if let Some(taken) = self.taken.get_mut(*page as usize)
                && *taken
            {
                *taken = false;
                self.free.push(*page);
            }
        }
    }

    /// How many pages are free.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// How many pages there are.
    pub fn total(&self) -> u32 {
        self.taken.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_given_once_and_come_back() {
        let mut pages = PageAllocator::new(4);
        assert_eq!(pages.reserve(3).unwrap(), [0, 1, 2]);
        let error = pages.reserve(2).unwrap_err();
        assert_eq!(error, OutOfPages { wanted: 2, free: 1, total: 4 });
        pages.release(&[1, 0, 1, 99]);
        assert_eq!((pages.free(), pages.total()), (3, 4));
        assert_eq!(pages.reserve(3).unwrap(), [0, 1, 3]);
        assert!(pages.reserve(0).unwrap().is_empty());
    }
}
