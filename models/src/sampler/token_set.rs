//! A set of token ids, one bit each.
//!
//! Filled by a constraint, read by the sampler once per token: iteration skips empty words, so a
//! small set of a large vocabulary costs next to nothing. Errors: none; ids beyond the size are
//! not in the set. Absent on purpose: set arithmetic.

/// A set of token ids below a fixed size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenSet {
    words: Vec<u32>,
}

impl TokenSet {
    /// No tokens, with room for ids below `size`.
    pub fn empty(size: u32) -> TokenSet {
        TokenSet { words: vec![0; size.div_ceil(32) as usize] }
    }

    /// Adds `id`; beyond the size it is passed over.
    pub fn insert(&mut self, id: u32) {
        if let Some(word) = self.words.get_mut((id / 32) as usize) {
            *word |= 1 << (id % 32);
        }
    }

    /// Takes over a set of the same size as bits, lowest id first.
    pub fn copy_words(&mut self, words: &[u32]) {
        self.words.clear();
        self.words.extend_from_slice(words);
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get((id / 32) as usize).is_some_and(|word| word & (1 << (id % 32)) != 0)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no id.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The ids below `end`, ascending.
    pub fn ids_below(&self, end: usize) -> impl Iterator<Item = usize> + '_ {
        let words = self.words.iter().enumerate().filter(|(_, word)| **word != 0);
        let ids = words.flat_map(|(at, word)| {
            (0..32).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 32 + bit)
        });
        ids.take_while(move |id| *id < end)
    }
}

#[cfg(test)]
mod tests {
    use super::TokenSet;

    #[test]
    fn holds_what_was_put_in() {
        let mut set = TokenSet::empty(70);
        assert!(set.is_empty());
        for id in [0, 31, 32, 69, 500] {
            set.insert(id);
        }
        assert_eq!(set.len(), 4);
        assert!(set.contains(31) && set.contains(69) && !set.contains(30) && !set.contains(500));
        assert_eq!(set.ids_below(100).collect::<Vec<_>>(), [0, 31, 32, 69]);
        assert_eq!(set.ids_below(32).collect::<Vec<_>>(), [0, 31]);
        let mut copy = TokenSet::default();
        copy.copy_words(&[1 | 1 << 31, 1, 1 << 5]);
        assert_eq!(copy, set);
    }
}
