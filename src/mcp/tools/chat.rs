//! `chat`: one answer to a prompt or a conversation.

use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::mcp::{
    job::{Answer, Job, Sampling, question},
    schema,
    tool::{Arguments, Output, Tool, ToolError, read},
};

pub(crate) const TOOL: Tool = Tool {
    name: "chat",
    title: "Chat with a model of the swarm",
    description: "Asks a language model that runs on this node and its peers. Give `prompt`, or \
                  `messages` for a conversation. Returns the answer, its token counts, and which \
                  peers computed which layers.",
    reaches_out: true,
    input: schema::of_input::<ChatArguments>,
    output: schema::of_output::<Answer>,
    run: |arguments, job| run(arguments, job).boxed(),
};

#[derive(Debug, Deserialize, JsonSchema)]
struct ChatArguments {
    /// Model name as `models` lists it; absent: the first one that can answer.
    model: Option<String>,
    /// One question. Give this or `messages`.
    prompt: Option<String>,
    /// A conversation, oldest first. Give this or `prompt`.
    messages: Option<Vec<Message>>,
    /// Most tokens of the answer; 2048 when absent.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// 0 (always the likeliest token) when absent, up to 2.
    #[schemars(range(min = 0, max = 2))]
    temperature: Option<f64>,
    /// The same seed gives the same answer; 0 when absent.
    seed: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Message {
    role: Role,
    content: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    System,
    User,
    Assistant,
}

async fn run(arguments: Arguments, job: &Job) -> Result<Output, ToolError> {
    let arguments: ChatArguments = read(arguments)?;
    let messages = match (&arguments.prompt, &arguments.messages) {
        (Some(prompt), None) => question(None, prompt),
        (None, Some(messages)) if !messages.is_empty() => json!(messages),
        _ => {
            let message = "give `prompt`, or `messages` with at least one message";
            return Err(ToolError::Arguments(message.to_owned()));
        }
    };
    let sampling = Sampling {
        max_tokens: arguments.max_tokens,
        temperature: arguments.temperature,
        seed: arguments.seed,
    };
    let (model, _) = job.model(arguments.model).await?;
    let answer = job.ask(&model, messages, sampling).await?;
    Output::new(answer.text_with_route(), &answer)
}
