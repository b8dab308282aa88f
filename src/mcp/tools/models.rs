//! `models`: which models can be asked.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mcp::{
    job::Job,
    node::Look,
    schema,
    tool::{Output, Tool, ToolError},
};

pub(crate) const TOOL: Tool = Tool {
    name: "models",
    title: "List the models",
    description: "Lists the models of this node: their names, context lengths, and whether the \
                  swarm holds all layers so that they can answer now.",
    reaches_out: false,
    input: schema::of_input::<NoArguments>,
    output: schema::of_output::<Models>,
    run: |_, job| run(job).boxed(),
};

/// Arguments of a tool that takes none.
#[derive(Debug, JsonSchema)]
pub(crate) struct NoArguments {}

#[derive(Debug, Serialize, JsonSchema)]
struct Models {
    models: Vec<Model>,
}

/// A model, as tools show it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Model {
    /// Name to ask for.
    name: String,
    /// Whether the swarm can answer with it now.
    servable: bool,
    /// Context length in tokens.
    context_length: u32,
    /// Layers of the whole model.
    n_layers: u32,
    /// Layers held by this node, from the first up to but without the second.
    layers: [u32; 2],
}

impl Model {
    /// For people.
    pub(crate) fn line(&self) -> String {
        let servable = if self.servable { "can answer" } else { "layers are missing" };
        format!(
            "{}: {servable}, context {}, layers {}-{} of {} here",
            self.name, self.context_length, self.layers[0], self.layers[1], self.n_layers
        )
    }
}

/// The models of a node's own list.
pub(crate) fn models_of(listed: &mut Value) -> Result<Vec<Model>, ToolError> {
    serde_json::from_value(listed["models"].take()).map_err(|error| {
        ToolError::Failed(format!("the node's list of models is not understood: {error}"))
    })
}

async fn run(job: &Job) -> Result<Output, ToolError> {
    let models = models_of(&mut job.node.look(Look::Models).await?)?;
    let lines: Vec<String> = models.iter().map(Model::line).collect();
    let text = match lines.is_empty() {
        true => "This node has no model yet; start it with --model.".to_owned(),
        false => lines.join("\n"),
    };
    Output::new(text, &Models { models })
}
