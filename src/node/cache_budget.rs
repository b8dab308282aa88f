//! How many cache pages each loaded shard gets: a budget of memory, shared; and what sessions get.
//!
//! Called by `tree.rs` before shards are loaded. Pure: sizes in, counts out. The shards get the
//! same number of pages, so memory in proportion to the size of a page; each has room for one full
//! context at least. Pages are reserved, not taken: memory that no sequence has touched costs
//! nothing. Units: bytes, and pages of `PAGE_TOKENS` positions.
//! Absent on purpose: a budget for devices, whose caches are taken at once.

use swarmllm_models::kv::PAGE_TOKENS;
use swarmllm_protocol::lanes::budget::Budget;

/// Sequences of a whole context that a shard has room for at most, unless a budget is given.
const SEQUENCES_MAX: u32 = 64;
/// Pages that a shard has at most: what keeps the books of them takes memory, too.
const PAGES_MAX: u32 = 1 << 22;
/// The part of the available memory that caches may take unless a budget is given: one in so many.
const AVAILABLE_SHARE: u64 = 4;

/// Taken to be available where the system does not say.
const AVAILABLE_UNKNOWN: u64 = 2 << 30;

/// The part of the available memory that sessions may hold beyond their first windows.
const SESSIONS_SHARE: u64 = 32;
/// Most of it: 20 Gbit/s over a round trip of 200 ms.
const SESSIONS_MAX_BYTES: u64 = 512 << 20;

/// What sessions may hold of the rows that others send, beyond their first windows.
pub(super) fn of_sessions(available: Option<u64>) -> Budget {
    let share = available.unwrap_or(AVAILABLE_UNKNOWN) / SESSIONS_SHARE;
    Budget::new(share.min(SESSIONS_MAX_BYTES))
}

/// What a shard's cache is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShardCache {
    /// Bytes of a page of all its layers.
    pub(super) page_bytes: u64,
    /// Positions of a whole context.
    pub(super) context: u32,
}

impl ShardCache {
    /// Pages of one full context.
    fn context_pages(self) -> u32 {
        self.context.div_ceil(PAGE_TOKENS)
    }
}

/// Pages of each shard. Without a budget: a quarter of the available memory, as far as 64 sequences
/// of a whole context could use it.
pub(super) fn pages(
    budget: Option<u64>,
    available: Option<u64>,
    shards: &[ShardCache],
) -> Vec<u32> {
    let quarter = available.unwrap_or(AVAILABLE_UNKNOWN) / AVAILABLE_SHARE;
    let bytes = budget.unwrap_or(quarter);
    let of_all: u64 = shards.iter().map(|shard| shard.page_bytes).fold(0, u64::saturating_add);
    let each = u32::try_from(bytes / of_all.max(1)).unwrap_or(u32::MAX);
    let share = |shard: &ShardCache| {
        let one = shard.context_pages();
        let most = if budget.is_some() { PAGES_MAX } else { one.saturating_mul(SEQUENCES_MAX) };
        each.min(most).clamp(one, PAGES_MAX.max(one))
    };
    shards.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swarmllm_protocol::lanes::budget::BUDGET_MIN_BYTES;

    use super::*;

    const SMALL: ShardCache = ShardCache { page_bytes: 1000, context: 100 };
    const LARGE: ShardCache = ShardCache { page_bytes: 3000, context: 3200 };

    #[test]
    fn a_budget_is_shared_in_proportion_to_pages() {
        assert_eq!(pages(Some(4_000_000), Some(0), &[SMALL, LARGE]), [1000, 1000]);
        assert_eq!(pages(Some(2_000_000), None, &[SMALL]), [2000]);
    }

    #[test]
    fn sessions_get_a_small_share() {
        assert_eq!(of_sessions(Some(8 << 30)).bytes(), 256 << 20);
        assert_eq!(of_sessions(Some(u64::MAX)).bytes(), SESSIONS_MAX_BYTES);
        assert_eq!(of_sessions(Some(0)).bytes(), BUDGET_MIN_BYTES);
    }

    #[test]
    fn one_full_context_fits_always() {
        for budget in [Some(0), Some(1), None] {
            assert_eq!(pages(budget, Some(0), &[SMALL, LARGE]), [4, 100]);
        }
    }

    #[test]
    fn without_a_budget_it_is_a_quarter_of_memory_as_far_as_contexts_need_it() {
        assert_eq!(pages(None, Some(4 * 4_000_000), &[SMALL, LARGE]), [4 * 64, 1000]);
        assert_eq!(pages(None, Some(u64::MAX), &[SMALL, LARGE]), [4 * 64, 100 * 64]);
        let unknown = ShardCache { page_bytes: 1 << 20, context: 3200 };
        assert_eq!(pages(None, None, &[unknown]), [512]);
        assert_eq!(pages(Some(u64::MAX), None, &[SMALL]), [PAGES_MAX]);
    }

    proptest! {
        #[test]
        fn a_budget_is_kept_where_contexts_fit(
            budget: u64,
            page_bytes in proptest::collection::vec(1u64..1 << 40, 1..4),
        ) {
            let shards: Vec<_> =
                page_bytes.iter().map(|n| ShardCache { page_bytes: *n, context: 1 }).collect();
            let least: u64 = page_bytes.iter().sum();
            let counts = pages(Some(budget), None, &shards);
            let used: u128 =
                counts.iter().zip(&page_bytes).map(|(n, b)| u128::from(*n) * u128::from(*b)).sum();
            prop_assert!(used <= u128::from(budget.max(least)));
        }
    }
}
