//! What the scheduler decides about one sequence, without an actor: may it be opened, do its rows
//! fit, and what becomes of its timings. Who computes next is `swarmllm_protocol::schedule`.

use swarmllm_protocol::ids::{LayerRange, ModelId, PeerId};
use swarmllm_protocol::limits::PAGE_TOKENS;
use swarmllm_protocol::wire::{
    CacheType, NextHop, OpenStage, Profile, RefusalReason, RowEncoding, Rows, StageTrace,
};

/// Sequences known at one node, waiting ones included.
pub const SEQUENCES_MAX: usize = 4096;

/// Bytes that sequences of other nodes may bring with them in all: names of pages, and guides.
pub const BROUGHT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that any sequence may bring.
const BROUGHT_FREE_BYTES: usize = 16 * 1024;

// Even if all bring what they may.
const _: () = assert!(SEQUENCES_MAX * BROUGHT_FREE_BYTES <= BROUGHT_MAX_BYTES);

/// Whether a sequence brings more than there is room for beside `others`.
#[must_use]
pub fn brings_too_much(bytes: usize, others: impl FnOnce() -> usize) -> bool {
    bytes > BROUGHT_FREE_BYTES && others() + bytes > BROUGHT_MAX_BYTES
}

/// What a loaded shard can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardFacts {
    /// Which model.
    pub model: ModelId,
    /// Which layers, half-open.
    pub layers: LayerRange,
    /// Layers of the whole model.
    pub n_layers: u32,
    /// Context length in tokens.
    pub context: u32,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Width of a row between layers.
    pub hidden: u32,
    /// Run profile of the shard.
    pub profile: Profile,
    /// How it keeps keys and values.
    pub cache: CacheType,
    /// Pages of its cache.
    pub n_pages: u32,
}

/// Finds the shard for a stage, or says why there is none.
///
/// # Errors
/// A reason for the wire and a sentence for the person at the other end.
pub fn admit(
    shards: &[ShardFacts],
    n_open: usize,
    open: &OpenStage,
) -> Result<usize, (RefusalReason, String)> {
    if n_open >= SEQUENCES_MAX {
        return Err((RefusalReason::Busy, "too many sequences are open: try again".into()));
    }
    let found = shards.iter().position(|s| s.model == open.model && s.layers == open.layers);
    let Some(index) = found else {
        let detail = format!("layers {} of that model are not loaded here", open.layers);
        return Err((RefusalReason::LayersNotHeld, detail));
    };
    let shard = &shards[index];
    if (shard.profile, shard.cache) != (open.profile, open.cache) {
        let detail = format!(
            "this node runs the model as {:?} with a cache of {}, not as {:?} with {}; give all \
             nodes the same `cache.type`",
            shard.profile, shard.cache, open.profile, open.cache
        );
        return Err((RefusalReason::ProfileUnsupported, detail));
    }
    let invalid = |detail: String| Err((RefusalReason::Invalid, detail));
    if open.max_positions > shard.context {
        return invalid(format!(
            "{} positions asked for; the model's context is {}",
            open.max_positions, shard.context
        ));
    }
    if open.max_positions.div_ceil(PAGE_TOKENS) > shard.n_pages {
        let room = shard.n_pages * PAGE_TOKENS;
        let detail = format!("{} positions asked for; the cache holds {room}", open.max_positions);
        return Err((RefusalReason::OutOfPages, detail));
    }
    let is_last = shard.layers.end == shard.n_layers;
    let answers = matches!(open.next, NextHop::Requester);
    if is_last != answers || is_last != open.wanted.is_some() {
        return invalid("only the last stage samples and answers the requester".to_owned());
    }
    if (open.stage == 0) != (shard.layers.start == 0) {
        return invalid("the first stage is the one with layer 0".to_owned());
    }
    Ok(index)
}

/// The number of a client that names itself; 0 for those that do not.
#[must_use]
pub fn client_number(name: &str) -> u64 {
    if name.is_empty() { 0 } else { number_of(name.as_bytes()) }
}

fn number_of(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    u64::from_le_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 8]))
}

/// Whose requests share what: each client of this node, and each other node.
#[must_use]
pub fn flow_of(peer: PeerId, client: u64) -> u64 {
    namespace_of(peer) ^ client
}

/// Who may share prefixes.
#[must_use]
pub fn namespace_of(peer: PeerId) -> u64 {
    number_of(&peer.0)
}

/// Checks that rows are what the shard computes on: one sequence must not spoil a batch.
///
/// # Errors
/// A sentence that says what was expected.
pub fn check_kind(facts: &ShardFacts, rows: &Rows, payload: &[u8]) -> Result<(), String> {
    let encoding = match (facts.layers.start, facts.profile) {
        (0, _) => RowEncoding::Tokens,
        (_, Profile::F16) => RowEncoding::F16,
        (_, Profile::F32) => RowEncoding::F32,
    };
    if rows.encoding != encoding {
        return Err(format!("{:?} rows arrived where {encoding:?} were due", rows.encoding));
    }
    if encoding != RowEncoding::Tokens {
        return match rows.hidden == facts.hidden {
            true => Ok(()),
            false => Err(format!("rows of {} values, not {}", rows.hidden, facts.hidden)),
        };
    }
    let tokens = payload.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    match tokens.max() {
        Some(token) if token >= facts.vocab => {
            Err(format!("token {token} does not exist, there are {}", facts.vocab))
        }
        _ => Ok(()),
    }
}

/// Checks that rows continue a sequence exactly where it stands.
///
/// # Errors
/// A sentence that says what was expected.
pub fn check_rows(rows: &Rows, position: u32, max_positions: u32) -> Result<u32, String> {
    if rows.first_position != position {
        return Err(format!(
            "rows for position {} arrived where {position} was due",
            rows.first_position
        ));
    }
    match rows.first_position.checked_add(rows.n_rows) {
        Some(end) if rows.n_rows > 0 && end <= max_positions => Ok(end),
        _ => Err(format!("rows beyond the {max_positions} positions that were opened")),
    }
}

/// Timings of a stage since it last reported them: chunks that sample nothing report with the
/// next one that does.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Unreported {
    /// Sum of compute time.
    pub compute_us: u32,
    /// Sum of bytes sent on.
    pub bytes_out: u32,
}

impl Unreported {
    /// Adds a step.
    pub fn add(&mut self, compute_us: u32, bytes_out: u32) {
        self.compute_us = self.compute_us.saturating_add(compute_us);
        self.bytes_out = self.bytes_out.saturating_add(bytes_out);
    }

    /// Turns the sums into a trace entry and starts over.
    pub fn report(&mut self, stage: u16, residence_us: u32, link_rtt_us: u32) -> StageTrace {
        let Unreported { compute_us, bytes_out } = std::mem::take(self);
        StageTrace { stage, compute_us, residence_us, bytes_out, link_rtt_us }
    }
}

#[cfg(test)]
mod tests {
    use swarmllm_protocol::ids::RequestId;
    use swarmllm_protocol::wire::{Lineage, Sampling, Wanted};

    use super::*;

    fn facts() -> ShardFacts {
        ShardFacts {
            model: ModelId([1; 32]),
            layers: LayerRange { start: 2, end: 4 },
            n_layers: 4,
            context: 64,
            vocab: 9,
            hidden: 2,
            profile: Profile::F16,
            cache: CacheType::F16,
            n_pages: 2,
        }
    }

    fn open() -> OpenStage {
        OpenStage {
            request: RequestId([7; 16]),
            model: ModelId([1; 32]),
            layers: LayerRange { start: 2, end: 4 },
            stage: 1,
            stages: 2,
            profile: Profile::F16,
            cache: CacheType::F16,
            lineage: Lineage::New,
            named_pages: 0,
            prompt: 7,
            next: NextHop::Requester,
            wanted: Some(Wanted::Tokens(Sampling::default())),
            max_positions: 64,
        }
    }

    #[test]
    fn a_stage_is_admitted_only_with_its_own_layers_and_role() {
        assert_eq!(admit(&[facts()], 0, &open()), Ok(0));
        let foreign = OpenStage { layers: LayerRange { start: 0, end: 4 }, ..open() };
        assert_eq!(admit(&[facts()], 0, &foreign).unwrap_err().0, RefusalReason::LayersNotHeld);
        let silent = OpenStage { wanted: None, ..open() };
        assert_eq!(admit(&[facts()], 0, &silent).unwrap_err().0, RefusalReason::Invalid);
        let long = OpenStage { max_positions: 65, ..open() };
        assert_eq!(admit(&[facts()], 0, &long).unwrap_err().0, RefusalReason::Invalid);
        let other = OpenStage { cache: CacheType::Q8, ..open() };
        let reason = admit(&[facts()], 0, &other).unwrap_err().0;
        assert_eq!(reason, RefusalReason::ProfileUnsupported);
        let small = ShardFacts { n_pages: 1, ..facts() };
        assert_eq!(admit(&[small], 0, &open()).unwrap_err().0, RefusalReason::OutOfPages);
        let full = admit(&[facts()], SEQUENCES_MAX, &open());
        assert_eq!(full.unwrap_err().0, RefusalReason::Busy);
    }

    #[test]
    fn rows_of_another_kind_are_refused_before_they_reach_a_batch() {
        let rows = |encoding, hidden| Rows {
            request: RequestId([7; 16]),
            first_position: 0,
            n_rows: 1,
            hidden,
            encoding,
            sample: false,
            trace: Vec::new(),
        };
        let first = ShardFacts { layers: LayerRange { start: 0, end: 2 }, ..facts() };
        let token = |token: u32| Rows::token_payload(&[token]);
        assert!(check_kind(&first, &rows(RowEncoding::Tokens, 0), &token(8)).is_ok());
        assert!(check_kind(&first, &rows(RowEncoding::Tokens, 0), &token(9)).is_err());
        assert!(check_kind(&first, &rows(RowEncoding::F16, 2), &[0; 4]).is_err());
        assert!(check_kind(&facts(), &rows(RowEncoding::F16, 2), &[0; 4]).is_ok());
        assert!(check_kind(&facts(), &rows(RowEncoding::F16, 3), &[0; 6]).is_err());
        assert!(check_kind(&facts(), &rows(RowEncoding::F32, 2), &[0; 8]).is_err());
    }

    #[test]
    fn unsampled_chunks_report_with_the_next_sampled_one() {
        let mut unreported = Unreported::default();
        unreported.add(10, 100);
        unreported.add(5, 50);
        let trace = unreported.report(1, 7, 3);
        assert_eq!((trace.compute_us, trace.bytes_out, trace.residence_us), (15, 150, 7));
        assert_eq!(unreported, Unreported::default());
    }
}
