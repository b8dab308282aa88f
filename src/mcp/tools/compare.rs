//! `compare`: the same prompt to several models, their answers side by side.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::{
    job::{Attempt, Job, Sampling, check_count, none_succeeded, question},
    schema,
    tool::{Arguments, Output, Tool, ToolError, read},
};

/// Most models of one comparison.
const MODELS_MAX: usize = 10;

pub(crate) const TOOL: Tool = Tool {
    name: "compare",
    title: "Compare models",
    description: "Asks several models the same and returns their answers side by side, each with \
                  its speed and route. A model that fails has an error in its place.",
    reaches_out: true,
    input: schema::of_input::<CompareArguments>,
    output: schema::of_output::<Comparison>,
    run: |arguments, job| run(arguments, job).boxed(),
};

#[derive(Debug, Deserialize, JsonSchema)]
struct CompareArguments {
    /// What to ask.
    prompt: String,
    /// Model names as `models` lists them, up to 10.
    #[schemars(length(min = 1, max = 10))]
    models: Vec<String>,
    /// A system message before the prompt.
    system: Option<String>,
    /// Most tokens of each answer; 2048 when absent.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// 0 (always the likeliest token) when absent, up to 2.
    #[schemars(range(min = 0, max = 2))]
    temperature: Option<f64>,
    /// The same seed gives the same answers; 0 when absent.
    seed: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Comparison {
    prompt: String,
    /// In the order of `models`.
    results: Vec<Compared>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Compared {
    model: String,
    #[serde(flatten)]
    attempt: Attempt,
}

async fn run(arguments: Arguments, job: &Job) -> Result<Output, ToolError> {
    let arguments: CompareArguments = read(arguments)?;
    check_count("models", arguments.models.len(), MODELS_MAX)?;
    let sampling = Sampling {
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        seed: arguments.seed,
    };
    let messages = question(arguments.system.as_deref(), &arguments.prompt);
    let asked = arguments.models.iter().map(|model| (model.clone(), messages.clone()));
    let attempts = job.ask_all(asked.collect(), sampling).await;
    if let Some(error) = none_succeeded(&attempts) {
        return Err(error);
    }
    let results = arguments.models.into_iter().zip(attempts);
    let results: Vec<Compared> =
        results.map(|(model, attempt)| Compared { model, attempt }).collect();
    let text: Vec<String> =
        results.iter().map(|one| format!("## {}\n\n{}", one.model, one.attempt.text())).collect();
    Output::new(text.join("\n\n"), &Comparison { prompt: arguments.prompt, results })
}
