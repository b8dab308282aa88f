//! What blocks are made of: tensors of the file, vectors, sizes. The same for every engine.
//!
//! Filled by `layer` from names and metadata, loaded by `blocks` for an engine. A tensor here may
//! be some rows of a tensor in the file (one expert, one of several fused projections).

use std::sync::Arc;

use crate::{
    gguf::{Gguf, TensorInfo},
    kernel::cpu::{
        attention::AttentionShape,
        attention_rows::{Rotation, RowPreparation},
        elementwise::Activation,
        norm::Norm,
        routing::Routing,
    },
    kv::{KvArena, KvPages, KvShape, KvType},
};

/// A projection with its bias, if it has one.
#[derive(Clone, Debug)]
pub struct ProjectionParts {
    /// The weight.
    pub weight: TensorInfo,
    /// Added to its products.
    pub bias: Option<Vec<f32>>,
}

/// The end of a block: projection back, norm, residual addition.
#[derive(Clone, Debug)]
pub struct OutputParts {
    /// The projection.
    pub projection: ProjectionParts,
    /// Applied before the addition.
    pub norm: Option<Norm>,
}

/// The cache, in which every layer has its part.
#[derive(Clone, Debug)]
pub struct CacheParts {
    /// Type of keys and values.
    pub kind: KvType,
    /// The pages.
    pub arena: Arc<KvArena>,
}

impl CacheParts {
    /// The part of a layer of this shape.
    pub(super) fn pages(&self, shape: &AttentionShape, is_latent: bool) -> KvPages {
        KvPages::new(&self.arena, self.kind, Self::shape(shape, is_latent))
    }

    /// The cache's sizes in a layer of this shape.
    pub(super) fn shape(shape: &AttentionShape, is_latent: bool) -> KvShape {
        let AttentionShape { n_kv_heads, key_dim, value_dim, .. } = *shape;
        KvShape { n_kv_heads, key_dim, value_dim, is_latent }
    }
}

/// Attention.
#[derive(Clone, Debug)]
pub struct AttentionParts {
    /// The norm before it.
    pub norm: Norm,
    /// Projections to queries, keys and values, side by side.
    pub query_key_value: Vec<TensorInfo>,
    /// What happens to them before attention.
    pub preparation: RowPreparation,
    /// Projection back.
    pub output: OutputParts,
    /// Sizes.
    pub shape: AttentionShape,
    /// The cache.
    pub cache: CacheParts,
}

/// Latent attention.
#[derive(Clone, Debug)]
pub struct LatentParts {
    /// The norm before it.
    pub norm: Norm,
    /// To a short vector, and its norm, before the projection to queries.
    pub query_compression: Option<(TensorInfo, Norm)>,
    /// The projection to queries.
    pub query: TensorInfo,
    /// The projection to latent vector and rotated key.
    pub latent: TensorInfo,
    /// Norm of the latent vector.
    pub latent_norm: Norm,
    /// Per head: queries to the space of latent vectors.
    pub key_heads: Vec<TensorInfo>,
    /// Where the bytes of `key_heads` are, when they are not in the file as they are needed.
    pub key_heads_in: Option<Gguf>,
    /// Per head: latent vectors to values.
    pub value_heads: Vec<TensorInfo>,
    /// Projection back.
    pub output: OutputParts,
    /// How rotated parts turn.
    pub rotation: Rotation,
    /// Sizes of the attention over latent vectors.
    pub shape: AttentionShape,
    /// The cache.
    pub cache: CacheParts,
}

/// The projections up of a feed-forward block.
#[derive(Clone, Debug)]
pub struct UnitParts {
    /// The one through the activation; without it, `up` goes there.
    pub gate: Option<ProjectionParts>,
    /// The other one.
    pub up: ProjectionParts,
    /// The function.
    pub activation: Activation,
}

/// A dense feed-forward block.
#[derive(Clone, Debug)]
pub struct FeedForwardParts {
    /// The norm before it.
    pub norm: Norm,
    /// Projections up.
    pub unit: UnitParts,
    /// Projection back.
    pub output: OutputParts,
}

/// One expert of a mixture.
#[derive(Clone, Debug)]
pub struct ExpertParts {
    /// Projections up.
    pub unit: UnitParts,
    /// Projection back.
    pub down: TensorInfo,
}

/// A mixture of experts.
#[derive(Clone, Debug)]
pub struct MixtureParts {
    /// The norm before it.
    pub norm: Norm,
    /// One logit per expert.
    pub router: TensorInfo,
    /// Logits to experts.
    pub routing: Routing,
    /// All experts.
    pub experts: Vec<ExpertParts>,
    /// The expert of all rows, and what its values are gated with.
    pub shared: Option<(ExpertParts, Option<TensorInfo>)>,
    /// Applied before the residual addition.
    pub post_norm: Option<Norm>,
}

/// The end of a network.
#[derive(Clone, Debug)]
pub struct HeadParts {
    /// The norm.
    pub norm: Norm,
    /// The projection to logits.
    pub output: TensorInfo,
    /// What logits are bounded to, softly.
    pub soft_cap: Option<f32>,
}
