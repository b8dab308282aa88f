//! The numbers of the table and its lookups, in one place so that a simulation can sweep them.
//!
//! Used by every part of this folder. [`DhtSettings::default`] is what nodes run with; the reasons
//! are measured by `swarmllm-sim sweep`. Units are last in the names. Errors: none.
//! Absent on purpose: anything a peer could object to; those bounds are in `limits.rs`.

/// How a node keeps its table and looks things up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhtSettings {
    /// Whether others may ask this node: it names itself in its questions. A node behind a NAT is
    /// none.
    pub is_server: bool,
    /// Contacts of a bucket, and how many nodes count as "near a key" (`k`).
    pub bucket_size: usize,
    /// Contacts that a bucket keeps in case a listed one dies.
    pub replacements: usize,
    /// Contacts of one address group in a bucket.
    pub per_group_bucket: usize,
    /// Contacts of one address group in the whole table.
    pub per_group_table: usize,
    /// Buckets per bit of distance, as a power of two: 1 is one bucket a bit (`b`).
    pub split_bits: u8,
    /// Questions without an answer after which a contact loses its place even without a successor.
    pub failures_max: u8,
    /// How long after a question without an answer a contact is asked again.
    pub retry_after_ms: u64,
    /// Whether the first listed contact starts lookups that fill the table.
    pub fills_itself: bool,
    /// How often somebody in the table is checked.
    pub revalidate_every_ms: u64,
    /// How often the table is refreshed by a lookup.
    pub refresh_every_ms: u64,
    /// Questions under way on one path (`alpha`).
    pub alpha: usize,
    /// The same on each path that joins later.
    pub alpha_wide: usize,
    /// Paths that a lookup starts with.
    pub paths_first: usize,
    /// Paths that it widens to when a record does not turn up (`d`).
    pub paths: usize,
    /// Contacts taken of one answer.
    pub take_per_answer: usize,
    /// Contacts of one address group that a lookup asks.
    pub per_group_lookup: usize,
    /// Per cent of the estimated region within which a record is stored.
    pub announce_radius_percent: u32,
    /// Per cent of it within which a node is expected to keep one; smaller, since two nodes'
    /// estimates differ.
    pub find_radius_percent: u32,
    /// Per cent of a bucket: while fewer or more nodes than that answered near a key, a lookup asks
    /// farther away too.
    pub expected_near_percent: (usize, usize),
    /// Questions of one lookup for records, at most.
    pub find_messages_max: usize,
    /// Questions of one lookup to announce a record, at most.
    pub announce_messages_max: usize,
    /// Nodes that keep one record, at most.
    pub holders_max: usize,
    /// Per cent of the estimated round trip after which somebody else is asked as well.
    pub patience_percent: u64,
    /// Lower and upper bound of that.
    pub patience_ms: (u64, u64),
    /// Per cent of it after which an answer is no longer waited for.
    pub give_up_percent: u64,
    /// Lower and upper bound of that; a mere ping is given the upper one.
    pub give_up_ms: (u64, u64),
}

impl Default for DhtSettings {
    fn default() -> Self {
        Self {
            is_server: true,
            bucket_size: 20,
            replacements: 10,
            per_group_bucket: 2,
            per_group_table: 10,
            split_bits: 1,
            failures_max: 3,
            retry_after_ms: 5_000,
            fills_itself: true,
            revalidate_every_ms: 10_000,
            refresh_every_ms: 600_000,
            alpha: 3,
            alpha_wide: 2,
            paths_first: 1,
            paths: 4,
            take_per_answer: 8,
            per_group_lookup: 2,
            announce_radius_percent: 125,
            find_radius_percent: 75,
            expected_near_percent: (80, 160),
            find_messages_max: 60,
            announce_messages_max: 96,
            holders_max: 96,
            patience_percent: 150,
            patience_ms: (100, 2_000),
            give_up_percent: 600,
            give_up_ms: (500, 2_000),
        }
    }
}
