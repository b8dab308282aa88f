//! The states of one recurrent layer: one slot per page, beside the pages of other layers.
//!
//! Called by the state-space blocks of `kernel::cpu` and of the plain back end. A slot holds the
//! state after the last position that was computed in its page, and how many positions of the
//! sequence that are. So a full page's slot is what any sequence with this prefix continues from.
//! A position that no slot holds cannot be continued from: [`continues`] says so beforehand.
//!
//! Shapes: a slot is `slot` f32 values, whose layout is the block's own matter.
//! Errors: of the system, when there is no memory. Memory is taken when a slot is first written.

use std::ops::Range;

use memmap2::{MmapMut, MmapRaw};

use super::PAGE_TOKENS;

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

/// The slots of one layer.
#[derive(Debug)]
pub struct StatePages {
    slot: usize,
    values: MmapRaw,
    held: MmapRaw,
}

/// Zeroed memory straight from the system, for `n` values of 4 bytes.
fn zeroed(n: Option<usize>) -> std::io::Result<MmapRaw> {
    let bytes = n.and_then(|n| n.checked_mul(4)).filter(|bytes| *bytes <= isize::MAX as usize);
    let bytes = bytes.ok_or(std::io::ErrorKind::OutOfMemory)?;
    Ok(MmapRaw::from(MmapMut::map_anon(bytes.max(4))?))
}

impl StatePages {
    /// Empty slots; fails when the system has no such room.
    pub fn new(n_pages: u32, slot: usize) -> std::io::Result<Self> {
        let n_pages = n_pages as usize;
        Ok(Self { slot, values: zeroed(n_pages.checked_mul(slot))?, held: zeroed(Some(n_pages))? })
    }

    /// How many positions a page's slot holds.
    pub fn held(&self, page: u32) -> u32 {
        let held = self.held.as_ptr().cast::<u32>();
        assert!((page as usize) < self.held.len() / 4, "page {page} does not exist");
        // SAFETY: inside of the mapping, which is aligned; writers need `&mut self`.
        unsafe { *held.add(page as usize) }
    }

    /// Says how many positions a page's slot holds from now on.
    pub fn hold(&mut self, page: u32, positions: u32) {
        let held = self.held.as_mut_ptr().cast::<u32>();
        assert!((page as usize) < self.held.len() / 4, "page {page} does not exist");
        // SAFETY: as in `held`; nobody else has `self`.
        unsafe { *held.add(page as usize) = positions };
    }

    /// All slots, one after the other, and the values of each.
    pub fn slots(&mut self) -> (&mut [f32], usize) {
        let values = self.values.as_mut_ptr().cast::<f32>();
        // SAFETY: the whole mapping, which is aligned and only reached through `self`; any bits
        // are an f32.
        let values = unsafe { std::slice::from_raw_parts_mut(values, self.values.len() / 4) };
        (values, self.slot)
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
        let mut states = StatePages::new(4, 3).unwrap();
        states.hold(2, 40);
        states.hold(1, 32);
        let check = |pages: &[u32], first| continues(pages, first, |page| states.held(page));
        assert!(check(&[3], 0).is_ok() && check(&[1, 0], 32).is_ok());
        assert!(check(&[1, 2], 40).is_ok());
        for (pages, first) in [([1, 2], 39), ([1, 2], 41), ([0, 1], 32), ([1, 0], 33)] {
            assert!(check(&pages, first).unwrap_err().contains("go back to position"));
        }
        assert!(StatePages::new(u32::MAX, usize::MAX / 8).is_err());
    }
}
