//! Chat templates against texts rendered by the Hugging Face environment.
//!
//! Runs when `SWARMLLM_CONFORMANCE` names the data folder and says loudly that it was skipped
//! otherwise. Cases that must raise are compared by the fact and the words.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod reference;

use serde_json::Value;
use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};

/// 26 July 2024, the date in the reference texts.
const DATE_UNIX_S: i64 = 1_721_952_000;

#[test]
fn published_templates_give_the_reference_texts() {
    let Some(data) = reference::folder("no template was compared") else { return };
    let folder = data.join("templates");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let expected: Value = serde_json::from_str(&read("expected.json")).unwrap();
    let (mut equal, mut different) = (0, Vec::new());
    for (name, model) in expected.as_object().unwrap() {
        let template = ChatTemplate::new(&read(model["template"].as_str().unwrap())).unwrap();
        for case in model["cases"].as_array().unwrap() {
            let input = ChatInput {
                messages: case["messages"].clone(),
                tools: Some(case["tools"].clone()).filter(|tools| !tools.is_null()),
                add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
                bos_token: model["bos_token"].as_str().unwrap().into(),
                eos_token: model["eos_token"].as_str().unwrap().into(),
                now_unix_s: Some(DATE_UNIX_S),
                ..ChatInput::default()
            };
            let found = template.render(&input);
            let is_equal = match (&found, case["text"].as_str()) {
                (Ok(text), Some(wanted)) => text == wanted,
                (Err(TemplateError::Raised { message }), None) => {
                    case["error"].as_str().unwrap().ends_with(message.as_str())
                }
                (Err(_), None) => !case["error"].as_str().unwrap().starts_with("TemplateError"),
                _ => false,
            };
            if is_equal {
                equal += 1;
            } else {
                let label = case["case"].as_str().unwrap();
                let wanted = case.get("text").or(case.get("error"));
                different.push(format!("{name} {label}\n  found  {found:?}\n  wanted {wanted:?}"));
            }
        }
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jinja") {
            let source = std::fs::read_to_string(&path).unwrap();
            if let Err(error) = ChatTemplate::new(&source) {
                different.push(format!("{}: {error}", path.display()));
            }
        }
    }
    eprintln!("chat templates: {equal} equal, {} different", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
}
