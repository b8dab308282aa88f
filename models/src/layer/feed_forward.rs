//! The pre-norm feed-forward block: one unit, or a mixture of experts.
//!
//! Called by `arch`. `[rows, hidden]` in and out. What a file adds to the usual tensors (biases, a
//! norm behind, gate and up in one tensor, no gate at all) is found by name.
//! Source: SwiGLU (arXiv 2002.05202), mixtures (arXiv 2401.04088).

use burn::tensor::Tensor;

use super::{LoadError, Loader};
use crate::{
    backend::{
        self,
        parts::{ExpertParts, FeedForwardParts, MixtureParts, ProjectionParts, UnitParts},
    },
    config::ExpertConfig,
    kernel::cpu::routing::Routing,
};

/// The block.
pub enum FeedForward {
    /// One unit for all rows.
    Dense(backend::FeedForward),
    /// Experts.
    Mixture(backend::Mixture),
}

impl FeedForward {
    /// Loads `PREFIX.ffn_{norm,gate,up,down}` of the layer number `index`.
    pub fn load(loader: &Loader<'_>, index: u32, prefix: &str) -> Result<Self, LoadError> {
        let width = loader.config.feed_forward_layers[index as usize] as usize;
        let parts = FeedForwardParts {
            norm: loader.norm(&format!("{prefix}.ffn_norm"))?,
            unit: unit(loader, prefix, "", width)?,
            output: loader.output(
                &format!("{prefix}.ffn_down"),
                width,
                &format!("{prefix}.post_ffw_norm"),
            )?,
        };
        Ok(Self::Dense(backend::FeedForward::load(loader.engine, loader.gguf, parts)?))
    }

    /// Loads `PREFIX.ffn_{norm,gate_inp}` and `PREFIX.ffn_{gate,up,down}_exps`, and the shared
    /// expert where there is one.
    pub fn load_mixture(
        loader: &Loader<'_>,
        prefix: &str,
        config: &ExpertConfig,
        normalise: bool,
    ) -> Result<Self, LoadError> {
        let hidden = loader.config.hidden as usize;
        let n_experts = config.n_experts as usize;
        let name = |part: &str| format!("{prefix}.ffn_{part}");
        let parts = MixtureParts {
            norm: loader.norm(&name("norm"))?,
            router: loader.weight(&name("gate_inp.weight"), &[hidden, n_experts])?.clone(),
            routing: Routing {
                n_used: config.n_used as usize,
                groups: config.groups.map(|n| n as usize),
                gating: config.gating,
                bias: loader.optional_vector(&format!("{prefix}.exp_probs_b.bias"), n_experts)?,
                normalise: config.normalise.unwrap_or(normalise),
                scale: config.scale,
            },
            experts: experts(loader, prefix, config)?,
            shared: shared(loader, prefix, config)?,
            post_norm: loader.optional_norm(&format!("{prefix}.post_ffw_norm"))?,
        };
        Ok(Self::Mixture(backend::Mixture::load(loader.engine, loader.gguf, parts)?))
    }

    /// Transforms each row; the result is rounded to f16 when `round` says so.
    pub fn forward(&self, x: Tensor<2>, round: bool) -> Tensor<2> {
        match self {
            Self::Dense(block) => block.forward(x, round),
            Self::Mixture(block) => block.forward(x, round),
        }
    }
}

/// `PREFIX.ffn_{gate,up}SUFFIX`, or both in `ffn_up`, or `ffn_up` alone.
fn unit(
    loader: &Loader<'_>,
    prefix: &str,
    suffix: &str,
    width: usize,
) -> Result<UnitParts, LoadError> {
    let hidden = loader.config.hidden as usize;
    let name = |part: &str| format!("{prefix}.ffn_{part}{suffix}");
    let activation = loader.style.activation;
    if loader.has(&format!("{}.weight", name("gate"))) {
        let gate = Some(loader.projection(&name("gate"), hidden, width)?);
        let up = loader.projection(&name("up"), hidden, width)?;
        return Ok(UnitParts { gate, up, activation });
    }
    if !loader.style.has_gate {
        let up = loader.projection(&name("up"), hidden, width)?;
        return Ok(UnitParts { gate: None, up, activation });
    }
    let ProjectionParts { weight, bias } = loader.projection(&name("up"), hidden, 2 * width)?;
    let half = |first: usize| ProjectionParts {
        weight: weight.rows(first..first + width),
        bias: bias.as_ref().map(|bias| bias[first..first + width].to_vec()),
    };
    Ok(UnitParts { gate: Some(half(0)), up: half(width), activation })
}

fn experts(
    loader: &Loader<'_>,
    prefix: &str,
    config: &ExpertConfig,
) -> Result<Vec<ExpertParts>, LoadError> {
    let (hidden, width) = (loader.config.hidden as usize, config.feed_forward as usize);
    let n_experts = config.n_experts as usize;
    let all = |part: &str, k: usize, n: usize| {
        loader.weight(&format!("{prefix}.ffn_{part}_exps.weight"), &[k, n, n_experts])
    };
    let gate = all("gate", hidden, width)?;
    let up = all("up", hidden, width)?;
    let down = all("down", width, hidden)?;
    let expert = |index: usize| {
        let rows = index * width..(index + 1) * width;
        let projection = |weight| ProjectionParts { weight, bias: None };
        let unit = UnitParts {
            gate: Some(projection(gate.rows(rows.clone()))),
            up: projection(up.rows(rows)),
            activation: loader.style.activation,
        };
        ExpertParts { unit, down: down.rows(index * hidden..(index + 1) * hidden) }
    };
    Ok((0..n_experts).map(expert).collect())
}

fn shared(
    loader: &Loader<'_>,
    prefix: &str,
    config: &ExpertConfig,
) -> Result<Option<(ExpertParts, Option<crate::gguf::TensorInfo>)>, LoadError> {
    let down = format!("{prefix}.ffn_down_shexp.weight");
    let has_tensor = loader.has(&down);
    let width = match config.shared_feed_forward {
        Some(width) => width as usize,
        // Some files name no width: it is that of a dense block.
        None if has_tensor => loader.config.feed_forward as usize,
        None => return Ok(None),
    };
    let hidden = loader.config.hidden as usize;
    let unit = unit(loader, prefix, "_shexp", width)?;
    let down = loader.weight(&down, &[width, hidden])?.clone();
    let gate = format!("{prefix}.ffn_gate_inp_shexp.weight");
    let gate = match loader.has(&gate) {
        true => Some(loader.weight(&gate, &[hidden, 1])?.clone()),
        false => None,
    };
    Ok(Some((ExpertParts { unit, down }, gate)))
}
