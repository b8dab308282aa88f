//! The states of one recurrent layer: one slot per page, beside the pages of other layers.
//!
//! Called by the state-space blocks of `kernel::cpu` and of the plain back end. A slot holds the
//! state after the last position that was computed in its page, and how many positions of the
//! sequence that are. So a full page's slot is what any sequence with this prefix continues from.
//! A position that no slot holds cannot be continued from: [`continues`] says so beforehand.
//!
//! Shapes: a slot is `slot` f32 values, whose layout is the block's own matter.
//! Errors: a position that cannot be continued from, in words.

use std::{ops::Range, sync::Arc};

use super::{
    PAGE_TOKENS,
    arena::{KvArena, PagePart},
};

/// Rows of a sequence that lie in one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which of the sequence's rows.
    pub rows: Range<usize>,
    /// The page whose slot holds the state before them; none at position 0.
    pub from: Option<u32>,
    /// The page they lie in, whose slot gets the state behind them.
    pub page: u32,
    /// Positions up to their end.
    pub end: u32,
}

/// The stretches of a sequence's rows, in order.
pub fn stretches(
    pages: &[u32],
    first_position: u32,
    n_rows: usize,
) -> impl Iterator<Item = Stretch> + '_ {
    let end = first_position + n_rows as u32;
    let mut next = first_position;
    std::iter::from_fn(move || {
        let position = next;
        if position == end {
            return None;
        }
        next = end.min((position / PAGE_TOKENS + 1) * PAGE_TOKENS);
        Some(Stretch {
            rows: (position - first_position) as usize..(next - first_position) as usize,
            from: position.checked_sub(1).map(|before| pages[(before / PAGE_TOKENS) as usize]),
            page: pages[(position / PAGE_TOKENS) as usize],
            end: next,
        })
    })
}

/// Whether rows from `first_position` on can be computed; `held` gives a page's positions.
pub fn continues(
    pages: &[u32],
    first_position: u32,
    held: impl Fn(u32) -> u32,
) -> Result<(), String> {
    let Some(before) = first_position.checked_sub(1) else { return Ok(()) };
    let page = pages[(before / PAGE_TOKENS) as usize];
    let held = held(page);
    if held == first_position {
        return Ok(());
    }
    let start = before / PAGE_TOKENS * PAGE_TOKENS;
    Err(format!(
        "it cannot continue at position {first_position}: a recurrent layer keeps one state per \
         page, and page {page} holds that after {held} positions; go back to position {start}"
    ))
}

/// Where a slot's values begin, behind the number of positions.
const VALUES_AT: usize = 64;

/// The slots of one layer: its part of every page of the arena.
#[derive(Debug)]
pub struct StatePages {
    slot: usize,
    part: PagePart,
}

impl StatePages {
    /// A layer's part of the pages, which it reserves.
    pub fn new(arena: &Arc<KvArena>, slot: usize) -> Self {
        Self { slot, part: arena.reserve(Self::page_bytes(slot)) }
    }

    /// Bytes of a page whose slot has so many values.
    pub fn page_bytes(slot: usize) -> usize {
        slot.saturating_mul(4).saturating_add(VALUES_AT)
    }

    /// How many positions a page's slot holds.
    pub fn held(&self, page: u32) -> u32 {
        // SAFETY: 4 bytes, aligned; writers need `&mut self`.
        unsafe { self.part.at(page, 0..4).cast::<u32>().read() }
    }

    /// Says how many positions a page's slot holds from now on.
    pub fn hold(&mut self, page: u32, positions: u32) {
        // SAFETY: as in `held`; nobody else has `self`.
        unsafe { self.part.at(page, 0..4).cast::<u32>().write(positions) };
    }

    /// Where some values of a page's slot lie; whoever uses them answers for who else does.
    pub fn values(&self, page: u32, range: Range<usize>) -> *mut f32 {
        assert!(range.end <= self.slot, "outside of the slot");
        self.part.at(page, VALUES_AT + range.start * 4..VALUES_AT + range.end * 4).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_at_pages() {
        let all: Vec<_> = stretches(&[7, 3, 5], 30, 36).collect();
        let of = |rows, from, page, end| Stretch { rows, from, page, end };
        let expected =
            [of(0..2, Some(7), 7, 32), of(2..34, Some(7), 3, 64), of(34..36, Some(3), 5, 66)];
        assert_eq!(all, expected);
        let first: Vec<_> = stretches(&[7], 0, 1).collect();
        assert_eq!(first, [of(0..1, None, 7, 1)]);
    }

    #[test]
    fn only_what_is_held_can_be_continued() {
        let arena = Arc::new(KvArena::new(4));
        let mut states = StatePages::new(&arena, 3);
        arena.map().unwrap();
        states.hold(2, 40);
        states.hold(1, 32);
        let check = |pages: &[u32], first| continues(pages, first, |page| states.held(page));
        assert!(check(&[3], 0).is_ok() && check(&[1, 0], 32).is_ok());
        assert!(check(&[1, 2], 40).is_ok());
        for (pages, first) in [([1, 2], 39), ([1, 2], 41), ([0, 1], 32), ([1, 0], 33)] {
            assert!(check(&pages, first).unwrap_err().contains("go back to position"));
        }
    }
}
