//! Forced calls: whatever a model would rather say, what comes out is a call of an offered tool
//! with arguments that follow its schema, in every format and behind reasoning.
//!
//! Tokens are drawn at random from what the grammar allows, which is the worst model there is; the
//! parser of the format must then find the calls again.

use serde_json::{Value, json};
use swarmllm_models::Model;
use swarmllm_models::chat_output::{
    ChatEvent, ChatOutputParser, OutputFormat, ReasoningTags, ToolCallFormat,
};
use swarmllm_models::constraint::{
    AnswerBody, ConstrainedEnd, Constraint, ConstraintVocabulary, EndCause, Grammar, answer_grammar,
};
use swarmllm_models::sampler::uniform;
use swarmllm_models::tokenizer::{EncodeOptions, Tokenizer};

const FORMATS: [ToolCallFormat; 8] = [
    ToolCallFormat::BareJson,
    ToolCallFormat::Llama3,
    ToolCallFormat::Hermes,
    ToolCallFormat::QwenCoder,
    ToolCallFormat::Mistral,
    ToolCallFormat::DeepSeek,
    ToolCallFormat::Glm4,
    ToolCallFormat::Glm45,
];
const THINK: ReasoningTags = ReasoningTags { open: "<think>", close: "</think>" };
/// Tokens of one answer; the schemas bound what can be said.
const TOKENS_MAX: u32 = 2_000;
/// Tokens of reasoning before it is told to end.
const THINKING_TOKENS: usize = 16;

fn tools() -> Vec<Value> {
    let light = json!({
        "type": "object",
        "properties": {
            "room": {"enum": ["kitchen", "hall"]},
            "on": {"type": "boolean"},
            "note": {"type": "string", "maxLength": 40},
            "level": {"type": "integer", "minimum": 0, "maximum": 9}
        },
        "required": ["room", "on"],
        "additionalProperties": false
    });
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let function = |name: &str, parameters: Value| {
        let function = json!({"name": name, "parameters": parameters});
        json!({"type": "function", "function": function})
    };
    vec![function("set_light", light), function("list_rooms", nothing)]
}

fn demo() -> Tokenizer {
    Model::embedded("demo").expect("embedded").expect("opens").tokenizer().expect("a vocabulary")
}

/// An answer of random tokens that the grammar allows, and its events.
fn answer(
    tokenizer: &Tokenizer,
    vocabulary: &ConstraintVocabulary,
    (output, template): (OutputFormat, &str),
    (in_reasoning, single, seed): (bool, bool, u64),
) -> Vec<ChatEvent> {
    let tools = tools();
    let body = AnswerBody::Calls { tools: &tools, single };
    let lark =
        answer_grammar((&output, template), in_reasoning, body, tokenizer).expect("a grammar");
    let compiled = Constraint::new(&Grammar::Lark(&lark), vocabulary);
    let mut constraint = compiled.unwrap_or_else(|error| panic!("{error}\n{lark}"));
    let mut stream = tokenizer.stream_with_tags(&output.tags());
    let mut parser = ChatOutputParser::new(output, in_reasoning);
    let parse = EncodeOptions { add_special: false, parse_special: true };
    let closes: Vec<u32> = [THINK.close, "\n</parameter>\n", "</arg_value>\n"]
        .iter()
        .flat_map(|tag| tokenizer.encode(tag, parse))
        .collect();
    let (mut events, mut said) = (Vec::new(), String::new());
    for position in 0..TOKENS_MAX {
        let mask = constraint.mask().unwrap_or_else(|error| panic!("{error}\n{lark}\n{said}"));
        let allowed: Vec<usize> = mask.ids_below(tokenizer.vocab_size() as usize).collect();
        let pick = (uniform(seed, position) * allowed.len() as f64) as usize;
        let ends = allowed.iter().find(|id| tokenizer.is_end_of_generation(**id as u32));
        // Random thoughts would go on for ever: the tag that ends them is said now and then.
        let due = position.checked_sub(8).map(|since| since as usize % (2 * THINKING_TOKENS));
        let closing = due.and_then(|due| closes.get(due)).filter(|id| mask.contains(**id));
        let token = match (ends, closing) {
            (Some(end), _) => *end as u32,
            (None, Some(closing)) => *closing,
            _ => allowed[pick] as u32,
        };
        constraint.accept(token).expect("allowed");
        if tokenizer.is_end_of_generation(token) {
            break;
        }
        let piece = stream.push(token);
        said.push_str(&piece);
        events.extend(parser.push(&piece));
        if constraint.is_finished() {
            break;
        }
    }
    assert_eq!(constraint.end(EndCause::LengthLimit), ConstrainedEnd::Complete, "{lark}");
    events.extend(parser.push(&stream.finish()));
    events.extend(parser.finish());
    events
}

/// Names and arguments of the calls; anything but calls and reasoning is a failure.
fn calls(events: Vec<ChatEvent>) -> Vec<(String, Value)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in events {
        match event {
            ChatEvent::ToolCallBegin(name) => calls.push((name, String::new())),
            ChatEvent::ToolCallArguments(piece) => {
                calls.last_mut().expect("begun").1.push_str(&piece);
            }
            ChatEvent::ToolCallEnd | ChatEvent::Reasoning(_) => {}
            other => panic!("not a call: {other:?}"),
        }
    }
    let parsed = |(name, text): (String, String)| {
        let arguments = if text.is_empty() { Ok(json!({})) } else { serde_json::from_str(&text) };
        (name, arguments.unwrap_or_else(|error| panic!("{error}: {text}")))
    };
    calls.into_iter().map(parsed).collect()
}

fn follows_its_schema((name, arguments): &(String, Value)) -> bool {
    let object = arguments.as_object().expect("an object");
    match name.as_str() {
        "list_rooms" => object.is_empty(),
        "set_light" => {
            let note = object.get("note").is_none_or(Value::is_string);
            let level =
                object.get("level").is_none_or(|l| (0..=9).contains(&l.as_i64().unwrap_or(-1)));
            ["kitchen", "hall"].contains(&object["room"].as_str().unwrap_or_default())
                && object["on"].is_boolean()
                && level
                && note
        }
        _ => false,
    }
}

#[test]
fn every_format_gives_calls_that_follow_their_schemas() {
    let tokenizer = demo();
    let vocabulary = ConstraintVocabulary::new(&tokenizer).expect("prepared");
    for format in FORMATS {
        for template in ["", "[ARGS] ```json"] {
            let output = OutputFormat { reasoning: None, tool_calls: format };
            for seed in 0..6 {
                let single = seed % 2 == 0;
                let run = (false, single, seed);
                let found = calls(answer(&tokenizer, &vocabulary, (output, template), run));
                assert!(!found.is_empty(), "{format:?}");
                assert!(!single || found.len() == 1, "{format:?}: {found:?}");
                for call in &found {
                    assert!(follows_its_schema(call), "{format:?}: {call:?}");
                }
            }
        }
    }
}

#[test]
fn reasoning_may_come_first_and_is_no_part_of_the_call() {
    let tokenizer = demo();
    let vocabulary = ConstraintVocabulary::new(&tokenizer).expect("prepared");
    let output = OutputFormat { reasoning: Some(THINK), tool_calls: ToolCallFormat::Hermes };
    for in_reasoning in [true, false] {
        for seed in 0..4 {
            let run = (in_reasoning, true, seed);
            let found = calls(answer(&tokenizer, &vocabulary, (output, ""), run));
            assert_eq!(found.len(), 1);
            assert!(follows_its_schema(&found[0]), "{found:?}");
        }
    }
}
