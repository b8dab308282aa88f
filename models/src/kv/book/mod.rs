//! The books of a shard's KV pages: who holds which, and which prefixes are known.
//!
//! Called by the owner of a shard's pages (one [`PageBook`] per shard). It moves no data: pages
//! are numbers, contents are known by keys only. Nothing here looks at a clock or rolls dice; the
//! order of calls is the time, so equal calls give equal answers.
//!
//! A page is *used* (some sequence holds it), *cached* (nobody does, but its content is known by
//! key) or *free*. Full pages become known when they are computed, as nodes of a tree (`tree`);
//! who holds a known page also holds the pages before it, so no page is thrown away before those
//! that follow it. Who computes a page that became known meanwhile lets go of its own and takes
//! the known one. Which cached page is given up first: `eviction`. Who computes what: `claims`.
//!
//! Two rules are the caller's. [`PageBook::grow`] comes before every write, also into pages that
//! were granted before, as a fork may share them by now. And batches run in the order of the
//! calls: a page that is let go may be granted anew at once, while work that was queued before
//! still reads it.
//!
//! Errors: [`BookError`]. Keys are claims of a requester; false ones spoil only its namespace.

mod claims;
mod eviction;
mod pool;
mod prefix;
mod sequence;
mod tree;

#[cfg(test)]
mod hostile_calls;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PAGE_TOKENS;
use claims::Claims;
use pool::Pool;
use sequence::Sequence;

/// Names the content of a full page: a hash over the model, its profile, and all tokens up to the
/// page's end. Equal keys mean equal contents.
pub type PageKey = [u8; 16];

/// A sequence's number, given by the caller; unique among the attached ones.
pub type SequenceId = u64;

/// What a call cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// Fewer pages can be had than are wanted.
    #[error("{wanted} pages wanted, {available} of {total} can be had; wait for a sequence to end")]
    OutOfPages {
        /// How many the call needs.
        wanted: u32,
        /// How many are free or cached.
        available: u32,
        /// How many there are.
        total: u32,
    },
    /// No such sequence is attached.
    #[error("sequence {sequence} is not attached; attach it first")]
    UnknownSequence {
        /// The number asked for.
        sequence: SequenceId,
    },
    /// A fork under the number of a live sequence.
    #[error("sequence {sequence} is attached already; choose another number or detach it first")]
    AlreadyAttached {
        /// The number that is taken.
        sequence: SequenceId,
    },
    /// A fork of positions that the parent does not have yet.
    #[error("{wanted} positions wanted of a sequence that has computed {computed}; fork it later")]
    NotComputed {
        /// Positions asked for.
        wanted: u32,
        /// Positions there are.
        computed: u32,
    },
    /// Trimming a sequence that computes already.
    #[error("sequence {sequence} computes already; detach it and attach it again")]
    AlreadyStarted {
        /// Its number.
        sequence: SequenceId,
    },
}

/// What a sequence starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Positions whose pages are there already; the first one to compute.
    pub positions: u32,
    /// Who is about to compute more of the same prompt.
    pub behind: Option<Behind>,
}

/// A sequence that it can pay to wait for.
///
/// Attach again once the leader has computed these positions, or is detached. A sequence that was
/// told to wait leads nobody until it grows, so no two can wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The one that computes.
    pub leader: SequenceId,
    /// Positions that can be reused when it got there.
    pub positions: u32,
}

/// A page whose content is wanted in another one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCopy {
    /// The page that is read.
    pub from: u32,
    /// The page that is written, whole, in every layer.
    pub to: u32,
}

/// How many pages are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// All pages.
    pub total: u32,
    /// Pages without content.
    pub free: u32,
    /// Known pages that nobody holds: all of them can be evicted now.
    pub cached: u32,
    /// Pages that sequences hold.
    pub used: u32,
}

/// Counters since the start; they only grow. A prompt counts when its sequence first grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixStatistics {
    /// Tokens of prompts.
    pub asked: u64,
    /// Those of them that were there already.
    pub hit: u64,
    /// Cached pages that were given up for others.
    pub evictions: u64,
}

/// The books of one shard.
#[derive(Debug)]
pub struct PageBook {
    keeps_states: bool,
    pool: Pool,
    sequences: BTreeMap<SequenceId, Sequence>,
    claims: Claims,
    asked: u64,
    hit: u64,
}

impl PageBook {
    /// Books of pages `0..n_pages`, all free; some 100 bytes of memory each.
    ///
    /// `keeps_states`: the shard has recurrent layers, whose pages can only be continued at their
    /// end, so a partial page is never shared. Pages beyond the last position that a `u32` can
    /// name are left out.
    pub fn new(n_pages: u32, keeps_states: bool) -> Self {
        Self {
            keeps_states,
            pool: Pool::new(n_pages.min(u32::MAX / PAGE_TOKENS)),
            sequences: BTreeMap::new(),
            claims: Claims::default(),
            asked: 0,
            hit: 0,
        }
    }

    /// Gives back what is held beyond `positions` by a sequence that has computed nothing itself
    /// (another stage knew less). Returns the positions that are left.
    pub fn trim(&mut self, sequence: SequenceId, positions: u32) -> Result<u32, BookError> {
        let entry = self.sequences.get_mut(&sequence);
        let entry = entry.ok_or(BookError::UnknownSequence { sequence })?;
        if entry.started {
            return Err(BookError::AlreadyStarted { sequence });
        }
        let positions = shareable(self.keeps_states, positions.min(entry.computed));
        entry.go_back(positions);
        for page in entry.cut(positions.div_ceil(PAGE_TOKENS) as usize).into_iter().rev() {
            self.pool.release(page);
        }
        Ok(positions)
    }

    /// Makes room so that positions `from..to` can be written: takes free pages, evicts cached
    /// ones if it must, and replaces pages in the range that somebody else may read. All or
    /// nothing.
    ///
    /// Positions from `from` on count as not computed afterwards, so what is known behind them is
    /// replaced too, and keys of the answer there are forgotten. Only the page `from` lies in can
    /// hold something that is still needed; if it was replaced, its copy is returned: to be
    /// carried out before anything that this or a later grow allows is written. An empty range
    /// changes nothing.
    pub fn grow(
        &mut self,
        sequence: SequenceId,
        from: u32,
        to: u32,
    ) -> Result<Option<PageCopy>, BookError> {
        let entry = self.sequences.get_mut(&sequence);
        let entry = entry.ok_or(BookError::UnknownSequence { sequence })?;
        if from >= to {
            return Ok(None);
        }
        let shared: Vec<usize> = entry.shared(&self.pool, from, to).collect();
        let wanted = shared.len() as u32 + entry.missing(to);
        let mut granted = self.pool.take(wanted)?.into_iter();
        entry.go_back(from);
        if !entry.started {
            let hit = entry.start(&mut self.pool, &mut self.claims, sequence);
            self.asked += u64::from(entry.asked);
            self.hit += u64::from(hit);
        }
        let mut copy = None;
        let mut replaced = Vec::new();
        for (index, to) in shared.into_iter().zip(&mut granted) {
            let page = entry.replace(index, to);
            if index as u32 == from / PAGE_TOKENS && !from.is_multiple_of(PAGE_TOKENS) {
                copy = Some(PageCopy { from: page, to });
            }
            replaced.push(page);
        }
        entry.append(granted);
        for page in replaced.into_iter().rev() {
            self.pool.release(page);
        }
        Ok(copy)
    }

    /// How many pages such a grow takes from the free and the cached ones; it succeeds exactly if
    /// there are so many. A sequence that is not attached holds nothing.
    pub fn pages_needed(&self, sequence: SequenceId, from: u32, to: u32) -> u32 {
        match self.sequences.get(&sequence) {
            _ if from >= to => 0,
            None => to.div_ceil(PAGE_TOKENS),
            Some(entry) => entry.shared(&self.pool, from, to).count() as u32 + entry.missing(to),
        }
    }

    /// The pages of a sequence, in order. Built when it is asked for after a change; cheap else.
    pub fn table(&self, sequence: SequenceId) -> Option<Arc<[u32]>> {
        Some(self.sequences.get(&sequence)?.table())
    }

    /// Ends a sequence: its known pages stay as cache, the others become free. One that is not
    /// attached is ignored.
    pub fn detach(&mut self, sequence: SequenceId) {
        if let Some(mut entry) = self.sequences.remove(&sequence) {
            self.claims.withdraw(sequence, &mut entry, usize::MAX);
            for page in entry.cut(0).into_iter().rev() {
                self.pool.release(page);
            }
        }
    }

    /// How many pages are what.
    pub fn counts(&self) -> PageCounts {
        self.pool.counts()
    }

    /// How much was asked for, found and evicted.
    pub fn statistics(&self) -> PrefixStatistics {
        PrefixStatistics { asked: self.asked, hit: self.hit, evictions: self.pool.evictions() }
    }
}

/// Full pages in so many positions.
fn full_pages(positions: u32) -> usize {
    (positions / PAGE_TOKENS) as usize
}

/// Which of so many positions another sequence can continue from.
fn shareable(keeps_states: bool, positions: u32) -> u32 {
    if keeps_states { positions / PAGE_TOKENS * PAGE_TOKENS } else { positions }
}
