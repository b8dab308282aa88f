//! The model store: which models this node has opened, under which name.
//!
//! Filled by `node.rs` at start; doors and generations ask it by name. A model is opened once and
//! shared: cloning one copies a pointer.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, MessageResult};
use swarmllm_models::chat_template::ChatTemplate;
use swarmllm_models::tokenizer::Tokenizer;
use swarmllm_models::{KvType, Model, RunProfile};
use swarmllm_protocol::ids::{LayerRange, ModelId};

use crate::mailbox;

/// One opened model.
#[derive(Clone)]
pub struct OpenModel {
    /// Name to ask for.
    pub name: String,
    /// Content address.
    pub id: ModelId,
    /// Layers held by this node.
    pub layers: LayerRange,
    /// The file.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// Its chat template, when it has one.
    pub template: Option<Arc<ChatTemplate>>,
    /// Run profile.
    pub profile: RunProfile,
    /// How keys and values are kept.
    pub cache: KvType,
    /// When it was opened.
    pub created_unix_s: u64,
}

impl OpenModel {
    /// Layers of the whole model.
    pub fn n_layers(&self) -> u32 {
        self.model.config().n_layers
    }
}

/// Question. Senders: doors. Reply: the model of that name.
#[derive(Debug, Message)]
#[rtype(result = "Option<OpenModel>")]
pub struct FindModel {
    /// Name, as in `/v1/models`.
    pub name: String,
}

/// Question. Senders: doors. Reply: all models, in the order they were given.
#[derive(Debug, Message)]
#[rtype(result = "Vec<OpenModel>")]
pub struct GetModels;

/// The actor.
pub struct ModelStore {
    models: Vec<OpenModel>,
}

impl ModelStore {
    /// A store of these models.
    pub fn new(models: Vec<OpenModel>) -> ModelStore {
        ModelStore { models }
    }
}

impl Actor for ModelStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::CONTROL);
    }
}

impl Handler<FindModel> for ModelStore {
    type Result = MessageResult<FindModel>;

    fn handle(&mut self, find: FindModel, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.models.iter().find(|model| model.name == find.name).cloned())
    }
}

impl Handler<GetModels> for ModelStore {
    type Result = MessageResult<GetModels>;

    fn handle(&mut self, _: GetModels, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.models.clone())
    }
}
