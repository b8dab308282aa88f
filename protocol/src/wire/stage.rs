//! How a stage is opened and how it refuses: the messages around one generation, and their bounds.
//!
//! Part of `wire.rs`, which carries them in [`super::Body`].
//! Units: positions and rows count tokens, layers are half-open ranges. Errors: [`WireError`].
//! Absent on purpose: rows; they travel behind their message (`tensor_frame.rs`).

use std::{fmt, ops::RangeInclusive};

use super::{PeerAddress, WireError, at_most, below, layers};
use crate::{
    codec::{Decode, Encode},
    ids::{LayerRange, ModelId, RequestId},
    limits::{
        LOG_PROBABILITIES_MAX, PAGE_TOKENS, POSITIONS_MAX, SCORED_MAX, STAGES_MAX, TEMPERATURE_MAX,
    },
};

/// Everything a stage must know about one generation.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct OpenStage {
    /// Which generation.
    pub request: RequestId,
    /// Which model.
    pub model: ModelId,
    /// Which layers to compute.
    pub layers: LayerRange,
    /// Place in the route, from 0.
    pub stage: u16,
    /// Stages of the route.
    pub stages: u16,
    /// How values are rounded at layer borders; part of the one answer.
    pub profile: Profile,
    /// How keys and values are kept; part of the one answer.
    pub cache: CacheType,
    /// What it has to do with a generation before.
    pub lineage: Lineage,
    /// Where the result goes.
    pub next: NextHop,
    /// What is wanted of the last row: present exactly on the last stage.
    pub wanted: Option<Wanted>,
    /// Keys in the payload.
    pub named_pages: u32,
    /// Rows before the first token: the prompt, and the answer as far as it is known.
    pub prompt: u32,
    /// Positions there may be, prompt and answer.
    pub max_positions: u32,
}

/// What a generation has to do with one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Lineage {
    /// Nothing.
    New,
    /// It goes on with one that was preempted here, and keeps its age.
    Resumes(RequestId),
    /// It is another sample of the prompt of one that is open here.
    SampleOf(RequestId),
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum CacheType {
    /// As they are.
    F32,
    /// In half precision.
    F16,
    /// In 8 bits, with a scale for 32 values.
    Q8,
}

/// As settings spell it.
impl fmt::Display for CacheType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8_0",
        })
    }
}

/// Rounding at layer borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Profile {
    /// Nothing is rounded.
    F32,
    /// Rounded to half precision.
    F16,
}

/// Where a stage sends what it computed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum NextHop {
    /// Rows to the next stage.
    Stage(PeerAddress),
    /// The sampled token to the requester: this is the last stage.
    Requester,
}

/// What the last stage gives.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub enum Wanted {
    /// A token behind every row that asks for one.
    Tokens(Sampling),
    /// The mean of all rows behind the final norm, once.
    Embedding,
    /// How likely each token of the prompt was behind those before it, and so many of the
    /// likeliest; once. The prompt's tokens come as the guide's answer so far.
    Scores(u8),
}

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep so many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens up to this share of probability.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the likeliest.
    pub min_p: f32,
    /// Keep the tokens of most typical information up to this share of probability.
    pub typical_p: f32,
    /// Divides positive logits of tokens of the answer, multiplies negative ones; 1 does nothing.
    pub repetition_penalty: f32,
    /// Subtracted from a logit for every time its token is in the answer.
    pub frequency_penalty: f32,
    /// Subtracted from a logit when its token is in the answer.
    pub presence_penalty: f32,
    /// Tell how likely the token was, and so many of the likeliest.
    pub log_probabilities: Option<u8>,
    /// With the position, decides every draw.
    pub seed: u64,
}

/// Why a stage will not take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum RefusalReason {
    /// No such model here.
    UnknownModel,
    /// The model is here, these layers are not.
    LayersNotHeld,
    /// This node cannot compute in that profile.
    ProfileUnsupported,
    /// Not enough free pages for the positions asked for.
    OutOfPages,
    /// Too many generations already.
    Busy,
    /// The next stage could not be reached from here.
    NextUnreachable,
    /// This node is stopping.
    Stopping,
    /// The request itself is wrong.
    Invalid,
}

impl OpenStage {
    pub(super) fn validate(&self) -> Result<(), WireError> {
        layers(&self.layers)?;
        below("stage", self.stage.into(), STAGES_MAX.into())?;
        at_most("stages", self.stages.into(), STAGES_MAX.into())?;
        if self.stage >= self.stages {
            return Err(WireError::Invalid { what: "stage", reason: "is not one of the stages" });
        }
        if self.prompt == 0 || self.prompt > self.max_positions {
            return Err(WireError::Invalid {
                what: "prompt",
                reason: "must be 1 to max_positions",
            });
        }
        let full_pages = self.prompt / PAGE_TOKENS;
        at_most("named pages", self.named_pages as usize, full_pages as usize)?;
        at_most("max_positions", self.max_positions as usize, POSITIONS_MAX as usize)?;
        match (&self.next, &self.wanted) {
            (NextHop::Stage(peer), None) => peer.validate(),
            (NextHop::Requester, Some(Wanted::Tokens(sampling))) => sampling.validate(),
            (NextHop::Requester, Some(Wanted::Embedding)) => Ok(()),
            (NextHop::Requester, Some(Wanted::Scores(n_top))) => {
                at_most("log-probabilities", (*n_top).into(), LOG_PROBABILITIES_MAX.into())?;
                at_most("tokens to score", self.prompt as usize, SCORED_MAX as usize + 1)
            }
            _ => Err(WireError::Invalid {
                what: "wanted",
                reason: "must be given to the last stage and to no other",
            }),
        }
    }
}

/// Greedy, and nothing else.
impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            log_probabilities: None,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Finite numbers in the ranges where they mean something.
    pub fn validate(&self) -> Result<(), WireError> {
        let between = |what, value: f32, range: RangeInclusive<f32>| {
            // A comparison with a NaN is false, so NaNs are refused here too.
            if range.contains(&value) {
                Ok(())
            } else {
                Err(WireError::Invalid { what, reason: "must be a number in its range" })
            }
        };
        between("temperature", self.temperature, 0.0..=TEMPERATURE_MAX)?;
        between("top_p", self.top_p, 0.0..=1.0)?;
        between("min_p", self.min_p, 0.0..=1.0)?;
        between("typical_p", self.typical_p, 0.0..=1.0)?;
        between("repetition_penalty", self.repetition_penalty, 0.01..=10.0)?;
        between("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?;
        between("presence_penalty", self.presence_penalty, -2.0..=2.0)?;
        let n_top = self.log_probabilities.unwrap_or(0);
        at_most("log_probabilities", n_top.into(), LOG_PROBABILITIES_MAX.into())
    }
}
