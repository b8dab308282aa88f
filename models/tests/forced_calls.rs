//! Calls under a grammar: whatever a model would rather say, a call that comes out is one of an
//! offered tool with arguments that follow its schema, in every format and behind reasoning.
//!
//! Where calls are forced, tokens are drawn at random from what the grammar allows, which is the
//! worst model there is; the parser of the format must then find the calls again. Where they are
//! not, texts of all kinds are offered, and those with wrong calls can't be said.

use serde_json::{Value, json};
use swarmllm_models::Model;
use swarmllm_models::chat_output::{
    ChatEvent, ChatOutputParser, OutputFormat, ReasoningTags, ToolCallFormat,
};
use swarmllm_models::constraint::{
    AnswerCalls, AnswerRules, AnswerText, ConstrainedEnd, Constraint, ConstraintVocabulary,
    EndCause, Grammar, answer_grammar,
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
    let rules = AnswerRules { text: None, calls: Some(AnswerCalls { tools: &tools, single }) };
    let lark =
        answer_grammar((&output, template), in_reasoning, rules, tokenizer).expect("a grammar");
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

/// Whether the whole of `text` may be said under these rules, and be all of an answer.
fn may_be_said(
    (output, in_reasoning): (OutputFormat, bool),
    text: AnswerText<'_>,
    said: &str,
    (tokenizer, vocabulary): (&Tokenizer, &ConstraintVocabulary),
) -> bool {
    let tools = tools();
    let calls = Some(AnswerCalls { tools: &tools, single: false });
    let rules = AnswerRules { text: Some(text), calls };
    let lark = answer_grammar((&output, ""), in_reasoning, rules, tokenizer).expect("a grammar");
    let compiled = Constraint::new(&Grammar::Lark(&lark), vocabulary);
    let mut constraint = compiled.unwrap_or_else(|error| panic!("{error}\n{lark}"));
    let parse = EncodeOptions { add_special: false, parse_special: true };
    for token in tokenizer.encode(said, parse) {
        let mask = constraint.mask().unwrap_or_else(|error| panic!("{error}\n{lark}\n{said}"));
        if !mask.contains(token) {
            return false;
        }
        constraint.accept(token).expect("allowed");
    }
    constraint.end(EndCause::EndToken) == ConstrainedEnd::Complete
}

/// A call of `set_light` with these arguments as a format spells it, with the empty template.
fn spelled(format: ToolCallFormat, arguments: &str) -> String {
    let tag = |word: &str| format!("<\u{ff5c}tool\u{2581}{word}\u{ff5c}>");
    let value = |key: &str| {
        let parsed: Value = serde_json::from_str(arguments).expect("an object");
        match &parsed[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    };
    match format {
        ToolCallFormat::Hermes => format!(
            "<tool_call>\n{{\"name\": \"set_light\", \"arguments\": {arguments}}}\n</tool_call>"
        ),
        ToolCallFormat::QwenCoder => format!(
            "<tool_call>\n<function=set_light>\n<parameter=room>\n{}\n</parameter>\n\
             <parameter=on>\n{}\n</parameter>\n</function>\n</tool_call>",
            value("room"),
            value("on")
        ),
        ToolCallFormat::Glm45 => format!(
            "<tool_call>set_light\n<arg_key>room</arg_key>\n<arg_value>{}</arg_value>\n\
             <arg_key>on</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>",
            value("room"),
            value("on")
        ),
        ToolCallFormat::Mistral => {
            format!("[TOOL_CALLS][{{\"name\": \"set_light\", \"arguments\": {arguments}}}]")
        }
        ToolCallFormat::DeepSeek => format!(
            "{}{}set_light{}{arguments}{}{}",
            tag("calls\u{2581}begin"),
            tag("call\u{2581}begin"),
            tag("sep"),
            tag("call\u{2581}end"),
            tag("calls\u{2581}end")
        ),
        ToolCallFormat::Glm4 => format!("set_light\n{arguments}"),
        ToolCallFormat::Llama3 => {
            format!("{{\"name\": \"set_light\", \"parameters\": {arguments}}}")
        }
        ToolCallFormat::BareJson | ToolCallFormat::None => {
            format!("{{\"name\": \"set_light\", \"arguments\": {arguments}}}")
        }
    }
}

const RIGHT: &str = r#"{"room": "hall", "on": true}"#;
const WRONG: [&str; 2] = [r#"{"room": "attic", "on": true}"#, r#"{"room": "hall", "on": "yes"}"#];
const TEXTS: [&str; 5] =
    ["It is on.", "", "{} braces < tags > [1] and {\"a\": 1}", "{\"level\": 4}", "\n\ncaf\u{e9}\n"];

#[test]
fn a_free_answer_is_any_text_or_calls_that_follow_their_schemas() {
    let tokenizer = demo();
    let vocabulary = ConstraintVocabulary::new(&tokenizer).expect("prepared");
    let with = (&tokenizer, &*vocabulary);
    for tool_calls in FORMATS {
        let output = OutputFormat { reasoning: None, tool_calls };
        let may = |said: &str| may_be_said((output, false), AnswerText::Free, said, with);
        for text in TEXTS {
            assert!(may(text), "{tool_calls:?}: {text:?}");
        }
        let is_marked = !matches!(
            tool_calls,
            ToolCallFormat::BareJson | ToolCallFormat::Llama3 | ToolCallFormat::Glm4
        );
        let right = spelled(tool_calls, RIGHT);
        assert!(may(&right), "{right}");
        let behind = format!("I turn it on.\n{right}");
        assert!(may(&behind), "{behind}");
        for wrong in WRONG {
            let wrong = spelled(tool_calls, wrong);
            assert!(!may(&wrong), "{wrong}");
            assert!(!is_marked || !may(&format!("I turn it on.\n{wrong}")), "{wrong}");
        }
        let unknown = right.replace("set_light", "set_fire");
        assert!(!may(&unknown), "{unknown}");
        let cut = right.char_indices().nth_back(2).expect("long").0;
        assert!(!may(&right[..cut]), "{right}");
    }
}

#[test]
fn a_free_answer_may_reason_first_and_speak_of_calls_there() {
    let tokenizer = demo();
    let vocabulary = ConstraintVocabulary::new(&tokenizer).expect("prepared");
    let with = (&tokenizer, &*vocabulary);
    let output = OutputFormat { reasoning: Some(THINK), tool_calls: ToolCallFormat::Hermes };
    let right = spelled(ToolCallFormat::Hermes, RIGHT);
    let wrong = spelled(ToolCallFormat::Hermes, WRONG[0]);
    let thought = format!("Not {wrong}, of course.\n</think>\n\n");
    for (in_reasoning, open) in [(true, ""), (false, "<think>\n")] {
        let may = |said: &str| {
            let said = format!("{open}{thought}{said}");
            may_be_said((output, in_reasoning), AnswerText::Free, &said, with)
        };
        assert!(may("It is on.") && may(&right) && may(&format!("So:\n{right}")));
        assert!(!may(&wrong) && !may(&format!("So:\n{wrong}")));
    }
    assert!(may_be_said((output, false), AnswerText::Free, "It is on.", with));
}

#[test]
fn a_bound_answer_is_its_text_or_calls() {
    let tokenizer = demo();
    let vocabulary = ConstraintVocabulary::new(&tokenizer).expect("prepared");
    let with = (&tokenizer, &*vocabulary);
    let schema = json!({"type": "array", "items": {"type": "integer"}});
    for tool_calls in FORMATS {
        let output = OutputFormat { reasoning: None, tool_calls };
        let may = |said: &str| may_be_said((output, false), AnswerText::Json(&schema), said, with);
        assert!(may("[1,2]") && !may("It is on.") && !may("{}"), "{tool_calls:?}");
        let is_bare = matches!(
            tool_calls,
            ToolCallFormat::BareJson | ToolCallFormat::Llama3 | ToolCallFormat::Glm4
        );
        let right = spelled(tool_calls, RIGHT);
        assert_eq!(may(&right), !is_bare, "{right}");
        assert!(WRONG.iter().all(|wrong| !may(&spelled(tool_calls, wrong))));
    }
}
