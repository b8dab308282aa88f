//! `delegate`: one self-contained job, done without questions back.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::mcp::{
    job::{Answer, Job, Sampling, question},
    schema,
    tool::{Arguments, Output, Tool, ToolError, read},
};

pub(crate) const TOOL: Tool = Tool {
    name: "delegate",
    title: "Delegate a job",
    description: "Gives a model of the swarm one self-contained job (summarise, rewrite, extract, \
                  draft, ...) with the material it needs in `context`, and returns its result and \
                  who computed it. The model sees nothing else and has no tools.",
    reaches_out: true,
    input: schema::of_input::<DelegateArguments>,
    output: schema::of_output::<Answer>,
    run: |arguments, job| run(arguments, job).boxed(),
};

#[derive(Debug, Deserialize, JsonSchema)]
struct DelegateArguments {
    /// What to do, complete in itself.
    task: String,
    /// Text to work on.
    context: Option<String>,
    /// Model name as `models` lists it; absent: the first one that can answer.
    model: Option<String>,
    /// Most tokens of the result; 2048 when absent.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// 0 (always the likeliest token) when absent, up to 2.
    #[schemars(range(min = 0, max = 2))]
    temperature: Option<f64>,
    /// The same seed gives the same result; 0 when absent.
    seed: Option<i64>,
}

async fn run(arguments: Arguments, job: &Job) -> Result<Output, ToolError> {
    let arguments: DelegateArguments = read(arguments)?;
    let sampling = Sampling {
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        seed: arguments.seed,
    };
    let (model, _) = job.model(arguments.model).await?;
    let text = instructions(&arguments.task, arguments.context.as_deref());
    let answer = job.ask(&model, question(None, &text), sampling).await?;
    Output::new(answer.text_with_route(), &answer)
}

/// The material first, so that jobs on the same text share its prefix.
fn instructions(task: &str, context: Option<&str>) -> String {
    match context {
        Some(context) => format!(
            "Context:\n{context}\n\nTask: {task}\nDo it completely. Answer with the result only."
        ),
        None => format!("Task: {task}\nDo it completely. Answer with the result only."),
    }
}
