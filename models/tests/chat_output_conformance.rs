//! The formats of answers, read off published chat templates; and the texts those templates write
//! for earlier calls, read back.
//!
//! Runs when `SWARMLLM_CONFORMANCE` names the data folder and says loudly that it was skipped
//! otherwise.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod reference;

use serde_json::json;
use swarmllm_models::{
    chat_output::{ChatEvent, ChatOutputParser, OutputFormat, ToolCallFormat},
    chat_template::{ChatInput, ChatTemplate},
};

/// Published templates, how their models call tools and whether they reason.
const FORMATS: [(&str, ToolCallFormat, bool); 22] = [
    ("meta-llama-Llama-3.1-8B-Instruct", ToolCallFormat::Llama3, false),
    ("meta-llama-Llama-3.2-3B-Instruct", ToolCallFormat::Llama3, false),
    ("meta-llama-Llama-3.3-70B-Instruct", ToolCallFormat::Llama3, false),
    ("Qwen-Qwen2.5-7B-Instruct", ToolCallFormat::Hermes, false),
    ("Qwen-QwQ-32B", ToolCallFormat::Hermes, true),
    ("Qwen-Qwen3-0.6B", ToolCallFormat::Hermes, true),
    ("Qwen3-Coder", ToolCallFormat::QwenCoder, false),
    ("Qwen3.5-4B", ToolCallFormat::QwenCoder, true),
    ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", ToolCallFormat::Hermes, false),
    ("NousResearch-Hermes-3-Llama-3.1-8B-tool_use", ToolCallFormat::Hermes, false),
    ("mistralai-Mistral-Nemo-Instruct-2407", ToolCallFormat::Mistral, false),
    ("Mistral-Small-3.2-24B-Instruct-2506", ToolCallFormat::Mistral, false),
    ("mistralai-Ministral-3-14B-Reasoning-2512", ToolCallFormat::Mistral, true),
    ("llama-cpp-deepseek-r1", ToolCallFormat::DeepSeek, true),
    ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", ToolCallFormat::DeepSeek, true),
    ("deepseek-ai-DeepSeek-V3.1", ToolCallFormat::DeepSeek, true),
    ("GLM-4.6", ToolCallFormat::Glm45, true),
    ("GLM-4.7-Flash", ToolCallFormat::Glm45, true),
    ("google-gemma-2-2b-it", ToolCallFormat::None, false),
    ("microsoft-Phi-3.5-mini-instruct", ToolCallFormat::None, false),
    ("meetkai-functionary-medium-v3.1", ToolCallFormat::None, false),
    ("openai-gpt-oss-120b", ToolCallFormat::None, false),
];

#[test]
fn templates_tell_the_format() {
    let Some(data) = reference::folder("no template's format was compared") else { return };
    for (name, tool_calls, reasons) in FORMATS {
        let path = data.join(format!("templates/{name}.jinja"));
        let format = OutputFormat::of_template(&std::fs::read_to_string(path).unwrap());
        assert_eq!(format.tool_calls, tool_calls, "{name}");
        assert_eq!(format.reasoning.is_some(), reasons, "{name}");
    }
}

#[test]
fn prompts_tell_whether_reasoning_has_begun() {
    let Some(data) = reference::folder("no prompt's reasoning was compared") else { return };
    let cases = [
        ("llama-cpp-deepseek-r1", true),
        ("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", true),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", false),
        ("Qwen-QwQ-32B", false),
        ("Qwen-Qwen3-0.6B", false),
        ("GLM-4.6", false),
        ("Qwen-Qwen2.5-7B-Instruct", false),
    ];
    for (name, begun) in cases {
        let path = data.join(format!("templates/{name}.jinja"));
        let source = std::fs::read_to_string(path).unwrap();
        let input = ChatInput {
            messages: json!([{"role": "user", "content": "What does <think> mean?"}]),
            add_generation_prompt: true,
            ..ChatInput::default()
        };
        let prompt = ChatTemplate::new(&source).unwrap().render(&input).unwrap();
        let format = OutputFormat::of_template(&source);
        assert_eq!(format.reasons_from_the_start(&prompt), begun, "{name}: {prompt}");
    }
}

#[test]
fn calls_that_templates_write_are_read_back() {
    let Some(data) = reference::folder("no written call was read back") else { return };
    let arguments = json!({"city": "New York", "days": [1, 2], "deep": {"a": true}});
    let call = json!({"id": "abcdefghi", "type": "function",
                      "function": {"name": "get_weather", "arguments": arguments}});
    let mut read_back = Vec::new();
    for (name, tool_calls, _) in FORMATS {
        let path = data.join(format!("templates/{name}.jinja"));
        let source = std::fs::read_to_string(path).unwrap();
        let input = ChatInput {
            messages: json!([
                {"role": "user", "content": "Weather?"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ]),
            now_unix_s: Some(0),
            ..ChatInput::default()
        };
        let Ok(text) = ChatTemplate::new(&source).unwrap().render(&input) else { continue };
        let asked = text.split_once("Weather?").map_or("", |(_, answer)| answer);
        let format = OutputFormat { reasoning: None, tool_calls };
        // What stands before a bare object is the turn's header, which a model does not write.
        let answer = match tool_calls {
            ToolCallFormat::Llama3 => asked.find('{').map_or("", |at| &asked[at..]),
            _ => asked,
        };
        let mut parser = ChatOutputParser::new(format, false);
        let mut events = parser.push(answer);
        events.extend(parser.finish());
        let written: String = events
            .iter()
            .filter_map(|event| match event {
                ChatEvent::ToolCallArguments(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        if tool_calls == ToolCallFormat::None {
            assert_eq!(written, "", "{name}");
            continue;
        }
        assert!(events.contains(&ChatEvent::ToolCallBegin("get_weather".into())), "{name}: {text}");
        assert!(events.contains(&ChatEvent::ToolCallEnd), "{name}: {text}");
        let found: serde_json::Value = serde_json::from_str(&written).unwrap();
        // Some templates expect the arguments as text and quote them again.
        assert_eq!(found, arguments, "{name}: {text}");
        read_back.push(name);
    }
    eprintln!("calls read back from {} templates: {}", read_back.len(), read_back.join(", "));
    assert!(read_back.len() >= 10);
}
