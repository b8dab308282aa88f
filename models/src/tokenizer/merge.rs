//! Merging neighbouring symbols, best pair first, in n log n: the loop both vocabulary kinds share.
//!
//! Called by `byte_pair.rs` (order = merge rank) and `sentence_piece.rs` (order = score, best
//! first). A symbol is a byte range of the text; ranges always tile the text. Of pairs with equal
//! order the leftmost wins. Errors: none. Source: Sennrich et al. 2016 (byte pair encoding), with
//! a heap over a linked list, so that a hostile run of a million letters costs n log n.
//! Absent on purpose: a cache of words; equal words merge again.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

/// No neighbour.
const NONE: u32 = u32::MAX;

/// A symbol of the text under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    start: u32,
    end: u32,
    /// Token of the symbol's text, if it has one.
    pub(crate) token: Option<u32>,
    previous: u32,
    next: u32,
}

impl Symbol {
    /// The symbol's place in the text.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// How good a merge is (low first) and which token it makes.
pub(crate) type Merge = (u32, u32);

/// Order, left symbol, right symbol, end of the pair when it was seen, token it would make. Symbols
/// only grow to the right, so a pair is still the one that was seen exactly when left still meets
/// right and right still ends there.
type Candidate = Reverse<(u32, u32, u32, u32, u32)>;

/// Reusable space of one encoding.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Candidate>,
}

impl Merger {
    /// Forgets the last text.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.heap.clear();
    }

    /// Appends the next symbol of the text; ranges must follow each other.
    pub(crate) fn push(&mut self, range: Range<usize>, token: Option<u32>) {
        let index = self.symbols.len() as u32;
        if let Some(last) = self.symbols.last_mut() {
            last.next = index;
        }
        let previous = if index == 0 { NONE } else { index - 1 };
        let (start, end) = (range.start as u32, range.end as u32);
        self.symbols.push(Symbol { start, end, token, previous, next: NONE });
    }

    /// Merges until `find` knows no pair, then visits what is left in order.
    pub(crate) fn run(
        &mut self,
        find: impl Fn(&Symbol, &Symbol) -> Option<Merge>,
        mut visit: impl FnMut(&Symbol),
    ) {
        for left in 0..self.symbols.len().saturating_sub(1) {
            self.offer(left as u32, &find);
        }
        while let Some(Reverse((_, left, right, end, token))) = self.heap.pop() {
            let pair = (self.symbols[left as usize], self.symbols[right as usize]);
            if pair.0.next != right || pair.1.end != end || pair.1.start != pair.0.end {
                continue;
            }
            self.join(left, right, token);
            self.offer(left, &find);
            if pair.0.previous != NONE {
                self.offer(pair.0.previous, &find);
            }
        }
        let mut at = if self.symbols.is_empty() { NONE } else { 0 };
        while at != NONE {
            visit(&self.symbols[at as usize]);
            at = self.symbols[at as usize].next;
        }
    }

    fn offer(&mut self, left: u32, find: &impl Fn(&Symbol, &Symbol) -> Option<Merge>) {
        let first = &self.symbols[left as usize];
        if first.next == NONE {
            return;
        }
        let second = &self.symbols[first.next as usize];
        if let Some((order, token)) = find(first, second) {
            self.heap.push(Reverse((order, left, first.next, second.end, token)));
        }
    }

    fn join(&mut self, left: u32, right: u32, token: u32) {
        let gone = self.symbols[right as usize];
        let kept = &mut self.symbols[left as usize];
        kept.end = gone.end;
        kept.token = Some(token);
        kept.next = gone.next;
        // A swallowed symbol is empty, so that no stale candidate fits it again.
        self.symbols[right as usize].start = gone.end;
        self.symbols[right as usize].next = NONE;
        if gone.next != NONE {
            self.symbols[gone.next as usize].previous = left;
        }
    }
}
