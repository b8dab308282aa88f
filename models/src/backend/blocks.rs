//! The blocks of a network, each loaded for one engine: the canonical CPU kernels, or `plain`.
//!
//! Called by `layer`. Shapes: the residual stream in and out, `[rows, hidden]`.

use std::sync::{Arc, Mutex, PoisonError};

use burn::{backend::Dispatch, tensor::Tensor};

use super::{
    BlockError, Engine, SwarmOps as _,
    flex::{AttentionCall, FeedForwardCall, HeadCall, LatentCall, MixtureCall},
    parts::{
        AttentionParts, ExpertParts, FeedForwardParts, HeadParts, LatentParts, MixtureParts,
        OutputParts, ProjectionParts, UnitParts,
    },
    plain,
};
use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::BatchPlan,
        feed_forward::{CpuFeedForward, CpuProjection, CpuUnit},
        latent::{CpuCompression, CpuLatentAttention},
        linear::Weight,
        mixture::{CpuExpert, CpuMixture, CpuSharedExpert},
        network::{CpuAttention, CpuContext, CpuHead, CpuLinear, CpuOutput, kinds},
    },
};

/// Loads weights for the CPU kernels.
pub(super) struct CpuLoader<'a> {
    pub(super) context: &'a CpuContext,
    pub(super) gguf: &'a Gguf,
}

impl CpuLoader<'_> {
    fn weight(&self, info: &TensorInfo) -> Result<Weight, BlockError> {
        let failed = |source| BlockError::Weight { name: info.name.clone(), source };
        self.context.weight(self.gguf, info).map_err(failed)
    }

    fn linear(&self, infos: &[TensorInfo]) -> Result<CpuLinear, BlockError> {
        let weights: Result<_, _> = infos.iter().map(|info| self.weight(info)).collect();
        Ok(CpuLinear::new(weights?))
    }

    pub(super) fn one(&self, info: &TensorInfo) -> Result<CpuLinear, BlockError> {
        self.linear(std::slice::from_ref(info))
    }

    fn projection(&self, parts: ProjectionParts) -> Result<CpuProjection, BlockError> {
        Ok(CpuProjection { weight: self.weight(&parts.weight)?, bias: parts.bias })
    }

    fn output(&self, parts: OutputParts) -> Result<CpuOutput, BlockError> {
        let OutputParts { projection, norm } = parts;
        Ok(CpuOutput { linear: self.one(&projection.weight)?, bias: projection.bias, norm })
    }

    fn unit(&self, parts: UnitParts) -> Result<CpuUnit, BlockError> {
        let gate = parts.gate.map(|gate| self.projection(gate)).transpose()?;
        Ok(CpuUnit::new(gate, self.projection(parts.up)?, parts.activation))
    }

    fn expert(&self, parts: ExpertParts) -> Result<CpuExpert, BlockError> {
        Ok(CpuExpert { unit: self.unit(parts.unit)?, down: self.one(&parts.down)? })
    }
}

/// Pre-norm attention with its residual addition.
#[derive(Clone, Debug)]
pub enum Attention {
    /// For the CPU kernels.
    Cpu(Arc<CpuAttention>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<Mutex<plain::PlainAttention>>),
}

impl Attention {
    /// Loads the weights and makes empty pages.
    pub fn load(engine: &Engine, gguf: &Gguf, parts: AttentionParts) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainAttention::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(Mutex::new(block))));
        };
        let loader = CpuLoader { context, gguf };
        let block = CpuAttention {
            norm: parts.norm,
            query_key_value: loader.linear(&parts.query_key_value)?,
            preparation: parts.preparation,
            output: loader.output(parts.output)?,
            shape: parts.shape,
            pages: Mutex::new(parts.cache.pages(&parts.shape, false)),
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds what each row attends to.
    pub fn forward(&self, x: Tensor<2>, plan: &Arc<BatchPlan>) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, plan, context) = (block.clone(), plan.clone(), context.clone());
                let call = AttentionCall { block, plan, context };
                Tensor::from_dispatch(Dispatch::attention(x.into_dispatch(), call))
            }
            Self::Plain(block) => {
                block.lock().unwrap_or_else(PoisonError::into_inner).forward(x, plan)
            }
        }
    }

    /// Copies a page over another, where the layer keeps its own; else the arena does.
    pub fn copy_page(&self, from: u32, to: u32) {
        if let Self::Plain(block) = self {
            block.lock().unwrap_or_else(PoisonError::into_inner).copy_page(from, to);
        }
    }
}

/// Pre-norm latent attention with its residual addition.
#[derive(Clone, Debug)]
pub enum LatentAttention {
    /// For the CPU kernels.
    Cpu(Arc<CpuLatentAttention>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<Mutex<plain::PlainLatentAttention>>),
}

impl LatentAttention {
    /// Loads the weights and makes empty pages.
    pub fn load(engine: &Engine, gguf: &Gguf, parts: LatentParts) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainLatentAttention::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(Mutex::new(block))));
        };
        let loader = CpuLoader { context, gguf };
        let heads = |gguf: &Gguf, infos: &[TensorInfo]| -> Result<Vec<_>, BlockError> {
            let loader = CpuLoader { context, gguf };
            infos.iter().map(|info| loader.one(info)).collect()
        };
        let keys_in = parts.key_heads_in.as_ref().unwrap_or(gguf);
        let compression = parts.query_compression.map(|(down, norm)| -> Result<_, BlockError> {
            Ok(CpuCompression { down: loader.one(&down)?, norm })
        });
        let query_compression = compression.transpose()?;
        let (query, latent) = (loader.one(&parts.query)?, loader.one(&parts.latent)?);
        let first = query_compression.as_ref().map_or(&query, |compression| &compression.down);
        let block = CpuLatentAttention {
            norm: parts.norm,
            kinds: kinds(first.weights.iter().chain(&latent.weights)),
            query_compression,
            query,
            latent,
            latent_norm: parts.latent_norm,
            key_heads: heads(keys_in, &parts.key_heads)?,
            value_heads: heads(gguf, &parts.value_heads)?,
            output: loader.output(parts.output)?,
            rotation: parts.rotation,
            shape: parts.shape,
            pages: Mutex::new(parts.cache.pages(&parts.shape, true)),
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds what each row attends to.
    pub fn forward(&self, x: Tensor<2>, plan: &Arc<BatchPlan>) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, plan, context) = (block.clone(), plan.clone(), context.clone());
                let call = LatentCall { block, plan, context };
                Tensor::from_dispatch(Dispatch::latent_attention(x.into_dispatch(), call))
            }
            Self::Plain(block) => {
                block.lock().unwrap_or_else(PoisonError::into_inner).forward(x, plan)
            }
        }
    }

    /// Copies a page over another, where the layer keeps its own; else the arena does.
    pub fn copy_page(&self, from: u32, to: u32) {
        if let Self::Plain(block) = self {
            block.lock().unwrap_or_else(PoisonError::into_inner).copy_page(from, to);
        }
    }
}

/// Pre-norm feed-forward with its residual addition.
#[derive(Clone, Debug)]
pub enum FeedForward {
    /// For the CPU kernels.
    Cpu(Arc<CpuFeedForward>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<plain::PlainFeedForward>),
}

impl FeedForward {
    /// Loads the weights.
    pub fn load(engine: &Engine, gguf: &Gguf, parts: FeedForwardParts) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainFeedForward::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(block)));
        };
        let loader = CpuLoader { context, gguf };
        let block = CpuFeedForward {
            norm: parts.norm,
            unit: loader.unit(parts.unit)?,
            output: loader.output(parts.output)?,
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds the transformed rows; the result is rounded to f16 when `round` says so.
    pub fn forward(&self, x: Tensor<2>, round: bool) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, context) = (block.clone(), context.clone());
                let call = FeedForwardCall { block, round, context };
                Tensor::from_dispatch(Dispatch::feed_forward(x.into_dispatch(), call))
            }
            Self::Plain(block) => block.forward(x, round),
        }
    }
}

/// Pre-norm mixture of experts with its residual addition.
#[derive(Clone, Debug)]
pub enum Mixture {
    /// For the CPU kernels.
    Cpu(Arc<CpuMixture>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<plain::PlainMixture>),
}

impl Mixture {
    /// Loads the weights.
    pub fn load(engine: &Engine, gguf: &Gguf, parts: MixtureParts) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainMixture::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(block)));
        };
        let loader = CpuLoader { context, gguf };
        let shared = parts.shared.map(|(expert, gate)| -> Result<_, BlockError> {
            let gate = gate.map(|gate| loader.one(&gate)).transpose()?;
            Ok(CpuSharedExpert { expert: loader.expert(expert)?, gate })
        });
        let experts: Result<_, _> =
            parts.experts.into_iter().map(|expert| loader.expert(expert)).collect();
        let block = CpuMixture {
            norm: parts.norm,
            router: loader.one(&parts.router)?,
            routing: parts.routing,
            experts: experts?,
            shared: shared.transpose()?,
            post_norm: parts.post_norm,
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Adds the transformed rows; the result is rounded to f16 when `round` says so.
    pub fn forward(&self, x: Tensor<2>, round: bool) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, context) = (block.clone(), context.clone());
                let call = MixtureCall { block, round, context };
                Tensor::from_dispatch(Dispatch::mixture(x.into_dispatch(), call))
            }
            Self::Plain(block) => block.forward(x, round),
        }
    }
}

/// The final norm and the projection to logits.
#[derive(Clone, Debug)]
pub enum Head {
    /// For the CPU kernels.
    Cpu(Arc<CpuHead>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<plain::PlainHead>),
}

impl Head {
    /// Loads norm and projection.
    pub fn load(engine: &Engine, gguf: &Gguf, parts: HeadParts) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainHead::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(block)));
        };
        let HeadParts { norm, output, soft_cap } = parts;
        let output = CpuLoader { context, gguf }.one(&output)?;
        Ok(Self::Cpu(Arc::new(CpuHead { norm, output, soft_cap }), context.clone()))
    }

    /// The logits of rows.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let call = HeadCall { block: block.clone(), context: context.clone() };
                Tensor::from_dispatch(Dispatch::head(x.into_dispatch(), call))
            }
            Self::Plain(block) => block.forward(x),
        }
    }
}
