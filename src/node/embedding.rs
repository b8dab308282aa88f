//! Embeddings: the mean of a text's rows behind the final norm, made to length 1.
//!
//! Called by `NodeHandle::embed`. Each text is a generation of its own that ends where its first
//! token would be sampled, so it runs over the same stages, in the same batches. Rows are added in
//! order of their positions, so an embedding is the same however the model is split. Nothing of a
//! prefix cache is used for it. Errors: [`GenerateError`] of the first text that fails.

use std::time::Instant;

use actix::Actor;
use futures_util::{StreamExt, TryStreamExt, stream};
use swarmllm_actors::generation::{Generation, GenerationEvent, GenerationRequest, Gives};
use swarmllm_models::scripted;
use tokio::sync::mpsc;

use super::answer::{self, Asked, find_model, generation_request, prepare, unavailable};
use super::metrics::Metrics;
use super::tree::NodeTree;
use crate::generate::{
    EmbedRequest, Embeddings, ErrorKind, GenerateError, GenerateRequest, Prompt,
};

/// Texts of one request that are computed side by side.
const CONCURRENT: usize = 8;
/// Events of one text: it starts, it is there, it ends.
const EVENTS: usize = 4;

/// The embeddings of all texts, in order.
pub(super) async fn embed(
    tree: &NodeTree,
    asked: (&super::Shared, EmbedRequest),
    metrics: &Metrics,
) -> Result<Embeddings, GenerateError> {
    let (shared, EmbedRequest { model, inputs, client }) = asked;
    let one = |prompt: Prompt| {
        let request = GenerateRequest {
            client: client.clone(),
            max_tokens: Some(1),
            ..GenerateRequest::new(model.clone(), prompt)
        };
        let prefix_secret = shared.prefix_secret;
        let local = shared.identity.peer_id();
        let asked = Asked { local, prefix_secret, request, refused: None, caller: None };
        embed_one(tree, asked, metrics)
    };
    let all: Vec<(Vec<f32>, u32)> =
        stream::iter(inputs).map(one).buffered(CONCURRENT).try_collect().await?;
    let prompt_tokens = all.iter().map(|(_, tokens)| tokens).sum();
    let vectors = all.into_iter().map(|(vector, _)| to_length_one(vector)).collect();
    Ok(Embeddings { vectors, prompt_tokens })
}

async fn embed_one(
    tree: &NodeTree,
    asked: Asked,
    metrics: &Metrics,
) -> Result<(Vec<f32>, u32), GenerateError> {
    let model = find_model(tree, &asked.request.model).await?;
    let began = Instant::now();
    if model.model.config().architecture == scripted::ARCHITECTURE {
        let message = format!("{} answers by a script and has no vectors; ask another", model.name);
        return Err(GenerateError::new(ErrorKind::Invalid, message));
    }
    let prepared = prepare(&model, &asked.request.prompt)?;
    let prompt_tokens = u32::try_from(prepared.tokens.len()).unwrap_or(u32::MAX);
    let mut request = generation_request(&model, &asked, prepared)?;
    request.gives = Gives::Embedding;
    match of_prompt(tree, request, (metrics, began)).await? {
        GenerationEvent::Embedding(vector) => Ok((vector, prompt_tokens)),
        _ => Err(unavailable("the last stage gave no embedding; ask again")),
    }
}

/// What a generation gives that gives one thing about its prompt, and no tokens.
pub(super) async fn of_prompt(
    tree: &NodeTree,
    request: GenerationRequest,
    (metrics, began): (&Metrics, Instant),
) -> Result<GenerationEvent, GenerateError> {
    let model = request.model_name.clone();
    let prompt_tokens = u32::try_from(request.plan.prompt.len()).unwrap_or(u32::MAX);
    let (door, mut events) = mpsc::channel(EVENTS);
    let generation =
        Generation::new(request, tree.generation_links(), door).map_err(answer::generate_error)?;
    let mut meter = metrics.request(&model, began);
    let _generation = Generation::start_in_arbiter(&tree.net, move |_| generation);
    while let Some(event) = events.recv().await {
        match event {
            GenerationEvent::Embedding(_) | GenerationEvent::Scores(_) => {
                meter.embedded(prompt_tokens);
                return Ok(event);
            }
            GenerationEvent::Failed(error) => {
                meter.failed();
                return Err(answer::generate_error(error));
            }
            _ => {}
        }
    }
    Err(unavailable("a part of this node ended while it read the prompt; ask again"))
}

/// Scaled so that a dot product is a cosine; a vector of zeros stays one.
fn to_length_one(mut vector: Vec<f32>) -> Vec<f32> {
    let squares: f64 = vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    if squares > 0.0 {
        let scale = (1.0 / squares.sqrt()) as f32;
        vector.iter_mut().for_each(|value| *value *= scale);
    }
    vector
}
