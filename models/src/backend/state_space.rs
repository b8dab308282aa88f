//! The state-space block (Mamba) per device.
//!
//! Called by `layer::state_space`. As the other blocks of `backend`: canonical on the CPU, composed
//! of burn's operations elsewhere. The stream is `[rows, hidden]`, f32.
//! Errors: loading gives [`BlockError`]; a position whose state is not held is told by
//! [`StateSpace::continues`] before anything is computed.

use std::sync::{Arc, Mutex, PoisonError};

use burn::{backend::Dispatch, tensor::Tensor};

use super::{
    BlockError, Engine, SwarmOps, blocks::CpuLoader, parts::CacheParts, plain::state_space as plain,
};
use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::BatchPlan,
        network::{CpuContext, CpuSelection, CpuStateSpace},
        norm::Norm,
        state_space::{Convolution, Scan, ScanShape},
    },
    kv::StatePages,
};

/// What a state-space block is made of.
#[derive(Debug)]
pub struct StateSpaceParts<'a> {
    /// The norm before it.
    pub norm: Norm,
    /// The first projection.
    pub input: &'a TensorInfo,
    /// Weights of the convolution, `[channels][kernel]`.
    pub convolution: Vec<f32>,
    /// Its bias, per channel.
    pub convolution_bias: Vec<f32>,
    /// Where B, C and the time steps come from.
    pub selection: SelectionParts<'a>,
    /// What is added to the time steps, per head.
    pub step_bias: Vec<f32>,
    /// Sizes of the scan.
    pub shape: ScanShape,
    /// A, `[heads][state]` or `[heads]`.
    pub decay: Vec<f32>,
    /// D, per head.
    pub skip: Vec<f32>,
    /// Projection back.
    pub output: &'a TensorInfo,
    /// The cache.
    pub cache: CacheParts,
}

/// What the two generations do differently, see `kernel::cpu::network`.
#[derive(Debug)]
pub enum SelectionParts<'a> {
    /// Projections of the convolved channels.
    Mamba1 {
        /// To the inputs of the time steps, B and C.
        project: &'a TensorInfo,
        /// From those inputs to time steps.
        steps: &'a TensorInfo,
        /// Epsilon of the norms of the three parts, if they are normalised.
        epsilon: Option<f32>,
    },
    /// All from the first projection.
    Mamba2 {
        /// After the gate, group by group.
        norm: Norm,
    },
}

/// Arguments of the state-space operation.
#[derive(Clone, Debug)]
pub struct StateSpaceCall {
    /// The block.
    pub block: Arc<CpuStateSpace>,
    /// The batch.
    pub plan: Arc<BatchPlan>,
    /// Whether the result is rounded to f16.
    pub round: bool,
    /// How to run.
    pub context: Arc<CpuContext>,
}

/// The block with its residual addition.
#[derive(Clone, Debug)]
pub enum StateSpace {
    /// For the CPU kernels.
    Cpu(Arc<CpuStateSpace>, Arc<CpuContext>),
    /// On the device.
    Plain(Arc<Mutex<plain::PlainStateSpace>>),
}

impl StateSpace {
    /// Loads the weights and makes empty pages.
    pub fn load(
        engine: &Engine,
        gguf: &Gguf,
        parts: StateSpaceParts<'_>,
    ) -> Result<Self, BlockError> {
        let Some(context) = &engine.cpu else {
            let block = plain::PlainStateSpace::load(gguf, parts, &engine.device)?;
            return Ok(Self::Plain(Arc::new(Mutex::new(block))));
        };
        let loader = CpuLoader { context, gguf };
        let linear = |info| loader.one(info);
        let longest = |steps: &TensorInfo| parts.shape.state.max(steps.row_values() as usize);
        let selection = match &parts.selection {
            SelectionParts::Mamba1 { project, steps, epsilon } => CpuSelection::Mamba1 {
                norm: epsilon.map(|epsilon| Norm {
                    gain: vec![1.0; longest(steps)],
                    bias: None,
                    epsilon,
                }),
                project: linear(project)?,
                steps: linear(steps)?,
            },
            SelectionParts::Mamba2 { norm } => CpuSelection::Mamba2 { norm: norm.clone() },
        };
        let convolution = Convolution::new(&parts.convolution, &parts.convolution_bias);
        let slot = convolution.state_length() + parts.shape.state_length();
        let block = CpuStateSpace {
            norm: parts.norm,
            input: linear(parts.input)?,
            convolution,
            selection,
            step_bias: parts.step_bias,
            scan: Scan::new(parts.shape, &parts.decay, &parts.skip),
            output: linear(parts.output)?,
            states: Mutex::new(StatePages::new(&parts.cache.arena, slot)),
        };
        Ok(Self::Cpu(Arc::new(block), context.clone()))
    }

    /// Whether a sequence's rows from `first_position` on can be computed; if not, why.
    pub fn continues(&self, pages: &[u32], first_position: u32) -> Result<(), String> {
        match self {
            Self::Cpu(block, _) => block.continues(pages, first_position),
            Self::Plain(block) => {
                let block = block.lock().unwrap_or_else(PoisonError::into_inner);
                block.continues(pages, first_position)
            }
        }
    }

    /// Moves every sequence's state on and adds what is read from it; the result is rounded to f16
    /// when `round` says so.
    pub fn forward(&self, x: Tensor<2>, plan: &Arc<BatchPlan>, round: bool) -> Tensor<2> {
        match self {
            Self::Cpu(block, context) => {
                let (block, plan, context) = (block.clone(), plan.clone(), context.clone());
                let call = StateSpaceCall { block, plan, round, context };
                Tensor::from_dispatch(Dispatch::state_space(x.into_dispatch(), call))
            }
            Self::Plain(block) => {
                let mut block = block.lock().unwrap_or_else(PoisonError::into_inner);
                block.forward(x, plan, round)
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
