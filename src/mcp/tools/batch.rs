//! `batch_prompts`: several prompts to one model at once.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::{
    job::{Attempt, Job, Sampling, check_count, none_succeeded, question},
    schema,
    tool::{Arguments, Output, Tool, ToolError, read},
};

/// Most prompts of one batch.
const PROMPTS_MAX: usize = 32;

pub(crate) const TOOL: Tool = Tool {
    name: "batch_prompts",
    title: "Ask many prompts at once",
    description: "Asks one model several independent prompts, computed together, and returns the \
                  answers in order. A prompt that fails has an error in its place.",
    reaches_out: true,
    input: schema::of_input::<BatchArguments>,
    output: schema::of_output::<Batch>,
    run: |arguments, job| run(arguments, job).boxed(),
};

#[derive(Debug, Deserialize, JsonSchema)]
struct BatchArguments {
    /// Up to 32 prompts that know nothing of each other.
    #[schemars(length(min = 1, max = 32))]
    prompts: Vec<String>,
    /// Model name as `models` lists it; absent: the first one that can answer.
    model: Option<String>,
    /// A system message before every prompt.
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
struct Batch {
    model: String,
    /// How many prompts were answered.
    completed: usize,
    /// How many were not.
    failed: usize,
    /// In the order of `prompts`.
    results: Vec<Attempt>,
}

async fn run(arguments: Arguments, job: &Job) -> Result<Output, ToolError> {
    let arguments: BatchArguments = read(arguments)?;
    check_count("prompts", arguments.prompts.len(), PROMPTS_MAX)?;
    let sampling = Sampling {
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        seed: arguments.seed,
    };
    let (model, _) = job.model(arguments.model).await?;
    let system = arguments.system.as_deref();
    let asked = arguments.prompts.iter().map(|prompt| (model.clone(), question(system, prompt)));
    let results = job.ask_all(asked.collect(), sampling).await;
    if let Some(error) = none_succeeded(&results) {
        return Err(error);
    }
    let text: Vec<String> = results
        .iter()
        .enumerate()
        .map(|(index, attempt)| format!("## Prompt {}\n\n{}", index + 1, attempt.text()))
        .collect();
    let failed = results.iter().filter(|attempt| attempt.error.is_some()).count();
    let completed = results.len() - failed;
    Output::new(text.join("\n\n"), &Batch { model, completed, failed, results })
}
