//! Published chat templates take the conversations that agents lead, whatever shape they want.
//!
//! Runs when `SWARMLLM_CONFORMANCE` names the data folder and says loudly that it was skipped
//! otherwise. What is rendered is no reference text; it must hold every word that was said.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{fs, path::Path};

use serde_json::{Value, json};
use swarmllm::{generate::Chat, prompt};
use swarmllm_models::{Model, chat_template::ChatTemplate};

/// Templates that no shape helps: they want other variables, or what the engine lacks.
const BEYOND: [&str; 5] = [
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "Kimi-K2-Instruct",
    "Kimi-K2-Thinking",
    "fireworks-ai-llama-3-firefunction-v2",
    "llama-cpp-deepseek-r1",
];

fn tool_result(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "name": "get_weather", "content": content})
}

/// Calls without a word, several at once, an error, a text and instructions beside results.
fn dialogue() -> Value {
    let call = |id: &str, city: &str| {
        let function = json!({"name": "get_weather", "arguments": {"city": city}});
        json!({"id": id, "type": "function", "function": function})
    };
    let calls = ["Oslo", "Rome"].map(|city| call(&format!("toolu_0123456789abcdef{city}"), city));
    json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The weather of Bern?"},
        {"role": "assistant", "content": null, "tool_calls": [call("toolu_1", "Bern")]},
        tool_result("toolu_1", "seven degrees"),
        {"role": "assistant", "content": "It is cold."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "And elsewhere?"},
        {"role": "assistant", "content": null, "tool_calls": calls},
        tool_result("toolu_0123456789abcdefOslo", "minus one"),
        tool_result("toolu_0123456789abcdefRome", "Error: no sensor"),
        {"role": "user", "content": "Well?"},
    ])
}

#[test]
fn published_templates_take_the_conversations_of_agents() {
    let Some(named) = std::env::var_os("SWARMLLM_CONFORMANCE") else {
        eprintln!("SKIPPED: SWARMLLM_CONFORMANCE is not set: no published template was tried");
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(named).join("templates");
    let tokenizer = Model::scripted(r#"{"rules": []}"#).unwrap().tokenizer().unwrap();
    let schema = json!({
        "type": "object", "required": ["city"],
        "properties": {"city": {"type": "string", "description": "Its name"}},
    });
    let function = json!({"name": "get_weather", "description": "Tells", "parameters": schema});
    let chat = Chat {
        tools: vec![json!({"type": "function", "function": function})],
        ..Chat::of_messages(dialogue())
    };
    let (mut taken, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|end| end != "jinja") || BEYOND.contains(&name.as_str()) {
            continue;
        }
        let template = ChatTemplate::new(&fs::read_to_string(&path).unwrap()).unwrap();
        match prompt::render(&tokenizer, Some(&template), &chat) {
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(text) => {
                taken += 1;
                let words = ["Bern?", "seven degrees", "Oslo", "Rome", "minus one", "no sensor"];
                let lost = ["Be brief.", "Be kind.", "elsewhere", "It is cold.", "Well?"]
                    .into_iter()
                    .chain(words)
                    .filter(|word| !text.contains(word));
                wrong.extend(lost.map(|word| format!("{name}: without {word:?}")));
            }
        }
    }
    eprintln!("chat templates: {taken} take the conversation of an agent");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
