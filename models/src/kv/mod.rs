//! The memory of sequences: keys and values in pages of [`PAGE_TOKENS`] positions, and states of
//! recurrent layers, one per page ([`StatePages`]).
//!
//! Called by `shard` (owns one [`KvArena`], copies its pages), by its layers (each has its part of
//! every page, [`KvPages`] or [`StatePages`]), and by the owner of a shard, who hands out page
//! numbers with [`PageBook`].
//!
//! Shapes: a page is one contiguous block with the parts of all layers. A layer's part holds, per
//! key-value head, keys as `[key_dim][PAGE_TOKENS]` (so that scores of 32 positions are computed
//! side by side), then values as `[PAGE_TOKENS][value_dim]`; or a state and how many positions it
//! holds. Latent attention keeps keys only: its values are the keys' first `value_dim` numbers.
//! Keys and values are floats, or 8-bit numbers with a scale per 32 ([`KvType`]); states are f32.
//! A sequence names its pages in order; position p is in its page number p / PAGE_TOKENS. Memory
//! is reserved at the start but taken from the system only when a page is first written.
//!
//! Errors: [`BookError`], and the system's when it refuses memory.

mod arena;
mod book;
mod elements;
mod pages;
mod state_pages;

pub use arena::{KvArena, PagePart, part_bytes};
pub use book::{
    Attached, Behind, BookError, PageBook, PageCopy, PageCounts, PageKey, PrefixStatistics,
    SequenceId,
};
pub use elements::KvType;
pub use pages::{KvPages, KvShape};
pub use state_pages::{StatePages, Stretch, continues, stretches};

/// Positions per page; also the tile of attention, so a tile never crosses a page.
pub const PAGE_TOKENS: u32 = 32;
