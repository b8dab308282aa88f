//! The tools over a node that says what it was asked: arguments, limits, failures, cancellation.

use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt};
use proptest::prelude::*;
use serde_json::{Value, json};
use swarmllm_models::chat_output::ChatEvent;
use swarmllm_protocol::ids::RequestId;
use tokio::sync::mpsc;

use crate::{
    generate::{
        ErrorKind, FinishReason, GenerateError, GenerateRequest, GenerationStream, Prompt,
        RouteStage, Summary, TokenEvent,
    },
    mcp::{
        job::Job,
        node::{Look, Node},
        tool::{Output, TOOLS, ToolError, find},
    },
};

/// Repeats the last message of each request, one event a word; model `lost` is not there.
#[derive(Default)]
struct Echo {
    asked: Mutex<Vec<GenerateRequest>>,
}

fn summary(prompt_tokens: u32, n: u32) -> Summary {
    let route = RouteStage {
        peer: "peer-of-the-first-stage".to_owned(),
        layers: [0, 6],
        compute_ms: 1.0,
        hop_ms: 0.0,
        bytes_out: 4,
    };
    Summary {
        finish_reason: FinishReason::Stop,
        prompt_tokens,
        token_ids: (0..n).collect(),
        reasoning_tokens: 0,
        stop_text: None,
        route: vec![route],
        cached_tokens: 0,
        preemptions: 0,
        cache: "f16".to_owned(),
        queue_ms: 0.0,
        ttft_ms: 1.0,
        decode_tok_s: 10.0,
        cloud: None,
    }
}

impl Node for Echo {
    fn generate(
        &self,
        request: GenerateRequest,
    ) -> BoxFuture<'_, Result<GenerationStream, GenerateError>> {
        async move {
            if request.model == "lost" {
                return Err(GenerateError::new(ErrorKind::ModelNotFound, "no model \"lost\""));
            }
            let Prompt::Chat(chat) = &request.prompt else { panic!("a chat") };
            let last = chat.messages.as_array().and_then(|all| all.last()).expect("a message");
            let said = last["content"].as_str().expect("text").to_owned();
            self.asked.lock().expect("no panic").push(request);
            let words: Vec<String> = said.split_inclusive(' ').map(str::to_owned).collect();
            let (sender, events) = mpsc::channel(words.len() + 1);
            let n = words.len() as u32;
            for word in words {
                let event = TokenEvent::Part(ChatEvent::Content(word));
                sender.try_send(Ok(event)).expect("room");
            }
            sender.try_send(Ok(TokenEvent::Finished(summary(n, n).into()))).expect("room");
            Ok(GenerationStream { request: RequestId([0; 16]), events })
        }
        .boxed()
    }

    fn look(&self, what: Look) -> BoxFuture<'_, Result<Value, GenerateError>> {
        let models = json!([
            {
                "name": "part", "servable": false, "context_length": 64,
                "n_layers": 6, "layers": [0, 3],
            },
            {
                "name": "echo", "servable": true, "context_length": 512,
                "n_layers": 6, "layers": [0, 6],
            },
        ]);
        async move {
            Ok(match what {
                Look::Models => json!({"models": models}),
                Look::Peers => json!({"peers": [{}, {}]}),
                Look::Status => json!({"peer_id": "p", "n_peers": 1, "models": models}),
            })
        }
        .boxed()
    }
}

async fn call(name: &str, arguments: Value) -> (Result<Output, ToolError>, Vec<GenerateRequest>) {
    let echo = Arc::new(Echo::default());
    let job = Job::new(Arc::clone(&echo) as Arc<dyn Node>);
    let Value::Object(arguments) = arguments else { panic!("an object") };
    let result = (find(name).expect("a tool").run)(arguments, &job).await;
    let asked = std::mem::take(&mut *echo.asked.lock().expect("no panic"));
    (result, asked)
}

async fn refused(name: &str, arguments: Value) -> String {
    call(name, arguments).await.0.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_chat_takes_the_first_model_that_can_answer_and_is_greedy() {
    let (output, asked) = call("chat", json!({"prompt": "one two", "unknown": 1})).await;
    let output = output.expect("an answer");
    assert_eq!(output.structured["text"], "one two");
    assert_eq!(output.structured["model"], "echo");
    assert_eq!(output.structured["route"][0]["layers"], json!([0, 6]));
    assert!(output.text.starts_with("one two\n\n[echo, 2 tokens; computed by peer-of-"));
    assert_eq!((asked[0].sampling.temperature, asked[0].sampling.seed), (0.0, 0));
    assert_eq!(asked[0].max_tokens, Some(2048));
    assert_eq!(output.structured["answered_by"], "swarm");
}

#[tokio::test]
async fn a_chat_takes_a_prompt_or_messages_and_checks_numbers() {
    let messages = json!([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]);
    let (output, asked) = call("chat", json!({"messages": messages, "temperature": 1})).await;
    assert_eq!(output.expect("an answer").structured["text"], "u");
    let Prompt::Chat(chat) = &asked[0].prompt else { panic!("a chat") };
    assert_eq!(chat.messages, messages);
    let prompt = |more: Value| {
        let mut arguments = json!({"prompt": "a"});
        more.as_object().expect("an object").iter().for_each(|(key, value)| {
            arguments[key] = value.clone();
        });
        arguments
    };
    for (arguments, part) in [
        (json!({}), "`prompt`, or `messages`"),
        (prompt(json!({"messages": messages})), "`prompt`, or `messages`"),
        (json!({"messages": []}), "at least one message"),
        (json!({"messages": [{"role": "robot", "content": "a"}]}), "messages[0].role"),
        (prompt(json!({"temperature": 3})), "temperature must be from 0 to 2"),
        (prompt(json!({"max_tokens": 0})), "`max_tokens`"),
        (prompt(json!({"max_tokens": "many"})), "`max_tokens`"),
        (prompt(json!({"model": "lost"})), "no model \"lost\""),
    ] {
        let error = refused("chat", arguments).await;
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[tokio::test]
async fn a_comparison_keeps_going_when_one_model_fails() {
    let arguments = json!({"prompt": "hi", "models": ["lost", "echo"]});
    let output = call("compare", arguments).await.0.expect("one answered").structured;
    assert!(output["results"][0]["error"].as_str().expect("an error").contains("lost"));
    assert_eq!(output["results"][1]["answer"]["text"], "hi");
    let error = refused("compare", json!({"prompt": "hi", "models": ["lost"]})).await;
    assert_eq!(error, "no model \"lost\"");
    let many = vec!["echo"; 11];
    assert!(refused("compare", json!({"prompt": "hi", "models": many})).await.contains("1 to 10"));
}

#[tokio::test]
async fn a_batch_keeps_the_order_of_its_prompts() {
    let prompts: Vec<String> = (0..32).map(|n| format!("prompt {n}")).collect();
    let (output, asked) = call("batch_prompts", json!({"prompts": prompts, "seed": 4})).await;
    let output = output.expect("answers").structured;
    assert_eq!((&output["completed"], &output["failed"]), (&json!(32), &json!(0)));
    for (result, prompt) in output["results"].as_array().expect("results").iter().zip(&prompts) {
        assert_eq!(result["answer"]["text"], prompt.as_str());
    }
    assert!(asked.iter().all(|request| request.sampling.seed == 4));
    assert!(refused("batch_prompts", json!({"prompts": []})).await.contains("1 to 32"));
}

#[tokio::test]
async fn research_is_bounded_and_says_that_it_has_no_web() {
    let (output, asked) = call("research", json!({"question": "why?", "depth": 2})).await;
    let output = output.expect("a result");
    assert_eq!(output.structured["web_access"], false);
    assert!(output.text.contains("no web"), "{}", output.text);
    let n_findings = output.structured["findings"].as_array().expect("findings").len();
    assert!((1..=2).contains(&n_findings) && asked.len() == n_findings + 2, "{}", asked.len());
    assert!(asked.iter().all(|request| request.max_tokens == Some(64)));
    assert!(refused("research", json!({"question": "why?", "depth": 7})).await.contains("depth"));
}

#[tokio::test]
async fn a_delegated_job_sees_its_context_first() {
    let arguments = json!({"task": "Sum it up.", "context": "A long story."});
    let text = call("delegate", arguments).await.0.expect("a result").structured["text"].clone();
    let text = text.as_str().expect("text");
    assert!(text.find("A long story.") < text.find("Sum it up."), "{text}");
}

#[tokio::test]
async fn lists_come_from_the_node() {
    let models = call("models", json!({})).await.0.expect("a list");
    assert_eq!(models.structured["models"][1]["name"], "echo");
    assert!(models.text.contains("part: layers are missing"), "{}", models.text);
    let info = call("node_info", json!({})).await.0.expect("a state").structured;
    assert_eq!(info["peers"], json!({"connected": 1, "known": 2}));
}

/// Whether each field that is there is described, and each required one is there.
fn follows(schema: &Value, value: &Value) -> bool {
    let Value::Object(object) = value else { return true };
    let Some(properties) = schema["properties"].as_object() else { return true };
    let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    required.iter().all(|name| object.contains_key(name.as_str().unwrap_or_default()))
        && object
            .iter()
            .all(|(name, inner)| properties.get(name).is_some_and(|schema| follows(schema, inner)))
}

#[tokio::test]
async fn every_result_follows_its_schema() {
    for (name, arguments) in [
        ("chat", json!({"prompt": "a"})),
        ("models", json!({})),
        ("compare", json!({"prompt": "a", "models": ["echo", "lost"]})),
        ("research", json!({"question": "a"})),
        ("batch_prompts", json!({"prompts": ["a"]})),
        ("delegate", json!({"task": "a"})),
        ("node_info", json!({})),
    ] {
        let output = call(name, arguments).await.0.expect("a result").structured;
        let schema = Value::Object((find(name).expect("a tool").output)());
        assert!(follows(&schema, &output), "{name}: {schema} {output}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_arguments_get_a_result_or_an_error(
        keys in proptest::collection::vec(
            "prompt|messages|models|model|question|depth|task|prompts|seed|max_tokens|temperature\
             |context|system",
            0..4,
        ),
        values in proptest::collection::vec(prop_oneof![
            Just(json!(null)), Just(json!("a")), Just(json!(-1)), Just(json!(1e300)),
            Just(json!(["a"])),
            Just(json!([{"role": "user", "content": "a"}])), Just(json!({"a": []})),
        ], 4),
    ) {
        let arguments: serde_json::Map<String, Value> = keys.into_iter().zip(values).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for tool in &TOOLS {
            let _ = runtime.block_on(call(tool.name, Value::Object(arguments.clone())));
        }
    }
}
