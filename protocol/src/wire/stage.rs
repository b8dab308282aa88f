//! How a stage is opened and how it refuses: the messages around one generation, and their bounds.
//!
//! Part of `wire.rs`, which carries them in [`super::Body`].
//! Units: positions and rows count tokens, layers are half-open ranges. Errors: [`WireError`].
//! Absent on purpose: rows; they travel behind their message (`tensor_frame.rs`).

use std::fmt;

use super::{PeerAddress, WireError, at_most, below, layers};
use crate::{
    codec::{Decode, Encode},
    ids::{LayerRange, ModelId, RequestId},
    limits::{PAGE_TOKENS, POSITIONS_MAX, STAGES_MAX, TEMPERATURE_MAX},
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
    /// How the token is chosen: present exactly on the last stage.
    pub sampling: Option<Sampling>,
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
        match (&self.next, &self.sampling) {
            (NextHop::Stage(peer), None) => peer.validate(),
            (NextHop::Requester, Some(sampling)) => sampling.validate(),
            _ => Err(WireError::Invalid {
                what: "sampling",
                reason: "must be given to the last stage and to no other",
            }),
        }
    }
}

impl Sampling {
    /// Finite numbers in the ranges where they mean something.
    pub fn validate(&self) -> Result<(), WireError> {
        let within = |what, value: f32, highest: f32| {
            // A comparison with a NaN is false, so NaNs are refused here too.
            if (0.0..=highest).contains(&value) {
                Ok(())
            } else {
                Err(WireError::Invalid { what, reason: "must be a number in its range" })
            }
        };
        within("temperature", self.temperature, TEMPERATURE_MAX)?;
        within("top_p", self.top_p, 1.0)?;
        within("min_p", self.min_p, 1.0)
    }
}
