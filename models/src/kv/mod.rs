//! The memory of sequences: keys and values in pages of [`PAGE_TOKENS`] positions, and states of
//! recurrent layers, one per page ([`StatePages`]).
//!
//! Called by `shard` (owns one [`KvPages`] per layer), attention (reads and writes it), and by the
//! owner of a shard, who hands out page numbers with [`PageBook`] (or [`PageAllocator`], which
//! knows no prefixes).
//!
//! Shapes: a page of one layer holds, per key-value head, keys as `[key_dim][PAGE_TOKENS]` (so
//! that scores of 32 positions are computed side by side) and values as `[PAGE_TOKENS][value_dim]`.
//! Latent attention keeps keys only: its values are the keys' first `value_dim` numbers.
//! A sequence names its pages in order; position p is in its page number p / PAGE_TOKENS. The same
//! page number is used in every layer. Memory is reserved at the start but taken from the system
//! only when a page is first written.
//!
//! Errors: [`OutOfPages`], [`BookError`]. Absent on purpose: quantised pages.

mod allocator;
mod book;
mod pages;
mod state_pages;

pub use allocator::{OutOfPages, PageAllocator};
pub use book::{
    Attached, Behind, BookError, PageBook, PageCopy, PageCounts, PageKey, PrefixStatistics,
    SequenceId,
};
pub use pages::{KvPages, KvShape, KvType};
pub use state_pages::{StatePages, Stretch, continues, stretches};

/// Positions per page; also the tile of attention, so a tile never crosses a page.
pub const PAGE_TOKENS: u32 = 32;
