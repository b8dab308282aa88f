//! Tests of the parsers: every family's published spelling, what is malformed, any cut, any text.

use proptest::prelude::*;

use super::*;

fn format(tool_calls: ToolCallFormat) -> OutputFormat {
    let reasoning = Some(ReasoningTags { open: "<think>", close: "</think>" });
    OutputFormat { reasoning, tool_calls }
}

/// The events of pieces, deltas of one kind joined.
fn events<'p>(
    format: OutputFormat,
    in_reasoning: bool,
    pieces: impl IntoIterator<Item = &'p str>,
) -> Vec<ChatEvent> {
    let mut parser = ChatOutputParser::new(format, in_reasoning);
    let mut all: Vec<ChatEvent> = pieces.into_iter().flat_map(|piece| parser.push(piece)).collect();
    all.extend(parser.finish());
    let mut joined: Vec<ChatEvent> = Vec::new();
    for event in all {
        match (joined.last_mut(), event) {
            (Some(ChatEvent::Content(last)), ChatEvent::Content(text))
            | (Some(ChatEvent::Reasoning(last)), ChatEvent::Reasoning(text))
            | (Some(ChatEvent::ToolCallArguments(last)), ChatEvent::ToolCallArguments(text)) => {
                last.push_str(&text);
            }
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// The text with DeepSeek's own bars and underscores in its tags.
fn spelled(text: &str) -> String {
    let tags =
        ["tool_calls_begin", "tool_call_begin", "tool_sep", "tool_call_end", "tool_calls_end"];
    tags.iter().fold(text.into(), |text: String, tag| {
        let own = format!("<\u{ff5c}{}\u{ff5c}>", tag.replace('_', "\u{2581}"));
        text.replace(&format!("<|{tag}|>"), &own)
    })
}

/// One line for each event, from every cut into characters too.
fn read(tool_calls: ToolCallFormat, text: &str) -> Vec<String> {
    let format = format(tool_calls);
    let whole = events(format, false, [text]);
    assert_eq!(whole, events(format, false, characters(text)), "{text:?} cut into characters");
    whole.iter().map(line).collect()
}

fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()])
}

fn line(event: &ChatEvent) -> String {
    match event {
        ChatEvent::Content(text) => format!("content {text}"),
        ChatEvent::Reasoning(text) => format!("reasoning {text}"),
        ChatEvent::ToolCallBegin(name) => format!("begin {name}"),
        ChatEvent::ToolCallArguments(text) => format!("arguments {text}"),
        ChatEvent::ToolCallEnd => "end".into(),
        ChatEvent::ToolCallBroken(text) => format!("broken {text}"),
    }
}

#[test]
fn reasoning_is_cut_off_where_an_answer_begins() {
    let text = "\n<think>\nLet me see.\n\n</think>\n\nIt is <think>4</think>.\n";
    let wanted = ["reasoning Let me see.", "content It is <think>4</think>.\n"];
    assert_eq!(read(ToolCallFormat::Hermes, text), wanted);
    assert_eq!(read(ToolCallFormat::None, text), wanted);
    assert_eq!(read(ToolCallFormat::None, "<think></think>\n4"), ["content 4"]);
    assert_eq!(read(ToolCallFormat::None, "<think>endless "), ["reasoning endless "]);
    assert_eq!(read(ToolCallFormat::None, "<thin air>"), ["content <thin air>"]);
    let opened = events(format(ToolCallFormat::None), true, ["\nhm", "m\n</thi", "nk>\n\n4"]);
    assert_eq!(opened.iter().map(line).collect::<Vec<_>>(), ["reasoning hmm", "content 4"]);
    let plain = events(OutputFormat::PLAIN, true, ["<think>a</think> b "]);
    assert_eq!(plain, [ChatEvent::Content("<think>a</think> b ".into())]);
}

#[test]
fn hermes_and_qwen() {
    let text = "<think>\nuse it\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"get_weather\", \
                \"arguments\": {\"city\": \"K\u{f6}ln }\", \"days\": [1, 2]}}\n</tool_call>\n\
                <tool_call>\n{\"arguments\": {\"a\": \"x\ny\"}, \"name\": \"f\"}\n</tool_call>";
    let wanted = [
        "reasoning use it",
        "content One moment.",
        "begin get_weather",
        "arguments {\"city\": \"K\u{f6}ln }\", \"days\": [1, 2]}",
        "end",
        "begin f",
        "arguments {\"a\": \"x\\ny\"}",
        "end",
    ];
    assert_eq!(read(ToolCallFormat::Hermes, text), wanted);
    let unclosed = "<tool_call>{\"name\": \"f\", \"arguments\": {}}";
    assert_eq!(read(ToolCallFormat::Hermes, unclosed), ["begin f", "arguments {}", "end"]);
}

#[test]
fn llama_3() {
    let call = "{\"name\": \"f\", \"parameters\": {\"x\": 1}}";
    let wanted = ["begin f", "arguments {\"x\": 1}", "end"];
    assert_eq!(read(ToolCallFormat::Llama3, call), wanted);
    assert_eq!(read(ToolCallFormat::BareJson, call), wanted);
    assert_eq!(read(ToolCallFormat::Llama3, &format!("<|python_tag|>{call}")), wanted);
    let typed = "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"x\": 1}}";
    assert_eq!(read(ToolCallFormat::Llama3, typed), wanted);
    let two = format!("{call}; {call}");
    assert_eq!(read(ToolCallFormat::Llama3, &two), [wanted, wanted].concat());
    let after_text = format!("Look: {call}");
    assert_eq!(read(ToolCallFormat::Llama3, &after_text), [format!("content {after_text}")]);
    for answer in ["{\"name\": \"Bob\", \"age\": 7}", "{}", "{\"name\": \"Bob\"} ok"] {
        assert_eq!(read(ToolCallFormat::Llama3, answer), [format!("content {answer}")]);
    }
    let code = "<|python_tag|>print(1)";
    assert_eq!(read(ToolCallFormat::Llama3, code), [format!("content {code}")]);
}

#[test]
fn mistral() {
    let list = "Sure.[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": 1}, \"id\": \"a1\"}, \
                {\"name\": \"g\", \"arguments\": {}}]";
    let wanted = [
        "content Sure.",
        "begin f",
        "arguments {\"x\": 1}",
        "end",
        "begin g",
        "arguments {}",
        "end",
    ];
    assert_eq!(read(ToolCallFormat::Mistral, list), wanted);
    let named = "Sure.[TOOL_CALLS]f[CALL_ID]a1[ARGS]{\"x\": 1}[TOOL_CALLS]g[ARGS]{}";
    assert_eq!(read(ToolCallFormat::Mistral, named), wanted);
    for text in ["[TOOL_CALLS]", "[TOOL_CALLS][]", "[TOOL_CALLS]two words[ARGS]{}", "[TOOL_CALLS]["]
    {
        assert_eq!(read(ToolCallFormat::Mistral, text), [format!("content {text}")]);
    }
}

#[test]
fn deepseek() {
    let fenced = "Well.<|tool_calls_begin|><|tool_call_begin|>function<|tool_sep|>f\n```json\n\
                  {\"x\": 1}\n```<|tool_call_end|>\n<|tool_call_begin|>function<|tool_sep|>g\n\
                  ```json\n{}\n```<|tool_call_end|><|tool_calls_end|>";
    let wanted = [
        "content Well.",
        "begin f",
        "arguments {\"x\": 1}",
        "end",
        "begin g",
        "arguments {}",
        "end",
    ];
    assert_eq!(read(ToolCallFormat::DeepSeek, &spelled(fenced)), wanted);
    let bare = "Well.<|tool_calls_begin|><|tool_call_begin|>f<|tool_sep|>{\"x\": 1}\
                <|tool_call_end|><|tool_call_begin|>g<|tool_sep|>{}<|tool_call_end|>\
                <|tool_calls_end|>";
    assert_eq!(read(ToolCallFormat::DeepSeek, &spelled(bare)), wanted);
}

#[test]
fn glm() {
    let text = "<think>ok</think>\n<tool_call>f\n<arg_key>city</arg_key>\n\
                <arg_value>New York</arg_value>\n<arg_key>days</arg_key>\n\
                <arg_value>[3]</arg_value>\n</tool_call>\n<tool_call>g</tool_call>";
    let wanted = [
        "reasoning ok",
        "begin f",
        "arguments {\"city\": \"New York\", \"days\": [3]}",
        "end",
        "begin g",
        "arguments {}",
        "end",
    ];
    assert_eq!(read(ToolCallFormat::Glm45, text), wanted);
    assert_eq!(read(ToolCallFormat::Glm45, &text.replace(">\n<arg", "><arg")), wanted);
    let line = "get_time\n{\"zone\": \"UTC\"}";
    let wanted = ["begin get_time", "arguments {\"zone\": \"UTC\"}", "end"];
    assert_eq!(read(ToolCallFormat::Glm4, line), wanted);
    for text in ["Hello\nworld", "Hello", "two words\n{}"] {
        assert_eq!(read(ToolCallFormat::Glm4, text), [format!("content {text}")]);
    }
}

#[test]
fn qwen_coder() {
    let text = "<tool_call>\n<function=write>\n<parameter=path>\na.py\n</parameter>\n\
                <parameter=text>\nif a < b:\n  print(\"c\")\n</parameter>\n<parameter=n>\n5\n\
                </parameter>\n</function>\n</tool_call>";
    let arguments =
        "arguments {\"path\": \"a.py\", \"text\": \"if a < b:\\n  print(\\\"c\\\")\", \"n\": 5}";
    assert_eq!(read(ToolCallFormat::QwenCoder, text), ["begin write", arguments, "end"]);
}

#[test]
fn malformed_calls_are_text_and_reading_goes_on() {
    let text = "a <tool_call>no json</tool_call> <tool_call>{\"name\": \"f\", \"arguments\": {}}\
                </tool_call> z";
    let wanted =
        ["content a <tool_call>no json</tool_call>", "begin f", "arguments {}", "end", "content z"];
    assert_eq!(read(ToolCallFormat::Hermes, text), wanted);
    let text = "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": oh}} z";
    let wanted = [
        "begin f",
        "arguments {\"x\": oh",
        "broken <tool_call>{\"name\": \"f\", \"arguments\": {\"x\": oh",
        "content }} z",
    ];
    assert_eq!(read(ToolCallFormat::Hermes, text), wanted);
    let cut = "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": ";
    let wanted = ["begin f", "arguments {\"x\": ", &format!("broken {cut}")];
    assert_eq!(read(ToolCallFormat::Hermes, cut), wanted);
}

#[test]
fn tags_are_those_of_the_format() {
    let mistral = format(ToolCallFormat::Mistral).tags();
    assert_eq!(mistral, ["<think>", "</think>", "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"]);
    let named = ["tool_calls_begin", "tool_call_begin", "tool_sep", "tool_call_end"];
    let deepseek = format(ToolCallFormat::DeepSeek).tags();
    assert!(named.iter().all(|tag| deepseek.contains(&spelled(&format!("<|{tag}|>")).as_str())));
    assert_eq!(format(ToolCallFormat::Llama3).tags()[2..], ["<|python_tag|>"]);
    assert!(OutputFormat::PLAIN.tags().is_empty());
}

#[test]
fn a_parser_may_move_between_threads() {
    fn check<T: Send>() {}
    check::<ChatOutputParser>();
}

#[test]
fn text_is_held_back_only_while_it_may_become_a_tag() {
    let mut parser = ChatOutputParser::new(format(ToolCallFormat::Hermes), false);
    assert_eq!(parser.push("Hello wor"), [ChatEvent::Content("Hello wor".into())]);
    assert_eq!(parser.push("ld <tool"), [ChatEvent::Content("ld".into())]);
    assert_eq!(parser.push("box>"), [ChatEvent::Content(" <toolbox>".into())]);
    let begun = parser.push("<tool_call>{\"name\": \"f\", \"arguments\": {\"text\": \"abc");
    let wanted = [
        ChatEvent::ToolCallBegin("f".into()),
        ChatEvent::ToolCallArguments("{\"text\": \"abc".into()),
    ];
    assert_eq!(begun, wanted);
    assert_eq!(parser.push("def"), [ChatEvent::ToolCallArguments("def".into())]);
}

const FORMATS: [ToolCallFormat; 9] = [
    ToolCallFormat::None,
    ToolCallFormat::BareJson,
    ToolCallFormat::Llama3,
    ToolCallFormat::Hermes,
    ToolCallFormat::QwenCoder,
    ToolCallFormat::Mistral,
    ToolCallFormat::DeepSeek,
    ToolCallFormat::Glm4,
    ToolCallFormat::Glm45,
];

/// What answers of all formats are made of.
const PARTS: [&str; 34] = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "<|tool_calls_begin|>",
    "<|tool_call_begin|>",
    "<|tool_sep|>",
    "<|tool_call_end|>",
    "<|tool_calls_end|>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<function=",
    "<parameter=",
    ">",
    "</parameter>",
    "</function>",
    "{\"name\": \"f\", \"arguments\": {",
    "{\"name\": \"f\", \"parameters\": {}}",
    "{\"x\": 1}",
    "}",
    "[",
    "]",
    "{",
    ";",
    ",",
    "\n",
    " ",
    "```json",
    "\u{1f999}",
];

/// A text of parts and numbered words, its words, and where it is cut.
fn answers() -> impl Strategy<Value = (String, Vec<String>)> {
    let part = prop_oneof![3 => (0..PARTS.len()).prop_map(Some), 1 => Just(None)];
    prop::collection::vec(part, 0..25).prop_map(|parts| {
        let (mut text, mut words) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Some(part) => text.push_str(&spelled(PARTS[part])),
                None => {
                    words.push(format!("w{}w", words.len()));
                    text.push_str(&words[words.len() - 1]);
                }
            }
        }
        (text, words)
    })
}

/// The text cut at these places, moved to the border of a character.
fn pieces<'t>(text: &'t str, cuts: &[usize]) -> Vec<&'t str> {
    let border = |cut: &usize| text.floor_char_boundary(cut % (text.len() + 1));
    let mut cuts: Vec<usize> = cuts.iter().map(border).chain([0, text.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_cut_gives_the_same_events_and_loses_nothing(
        (text, words) in answers(),
        which in 0..FORMATS.len(),
        in_reasoning in any::<bool>(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let format = format(FORMATS[which]);
        let whole = events(format, in_reasoning, [text.as_str()]);
        prop_assert_eq!(&whole, &events(format, in_reasoning, pieces(&text, &cuts)));
        prop_assert_eq!(&whole, &events(format, in_reasoning, characters(&text)));
        let written: String = whole.iter().map(line).collect();
        for word in words {
            prop_assert!(written.contains(&word), "{} is lost in {:?}", word, whole);
        }
        let mut in_call = false;
        for event in &whole {
            match event {
                ChatEvent::ToolCallBegin(_) => prop_assert!(!std::mem::replace(&mut in_call, true)),
                ChatEvent::ToolCallEnd | ChatEvent::ToolCallBroken(_) => {
                    prop_assert!(std::mem::replace(&mut in_call, false));
                }
                ChatEvent::ToolCallArguments(_) => prop_assert!(in_call),
                _ => prop_assert!(!in_call),
            }
        }
        prop_assert!(!in_call);
    }

    #[test]
    fn complete_calls_have_json_arguments((text, _) in answers(), which in 0..FORMATS.len()) {
        let whole = events(format(FORMATS[which]), false, [text.as_str()]);
        for event in whole.windows(2) {
            if let [ChatEvent::ToolCallArguments(arguments), ChatEvent::ToolCallEnd] = event {
                let parsed: Result<serde_json::Value, _> = serde_json::from_str(arguments);
                prop_assert!(parsed.is_ok_and(|value| value.is_object()), "{}", arguments);
            }
        }
    }

    #[test]
    fn any_text_is_kept_where_nothing_is_known(text in ".{0,40}", which in 0..FORMATS.len()) {
        let whole = events(format(FORMATS[which]), false, [text.as_str()]);
        let plain = events(OutputFormat::PLAIN, false, characters(&text));
        prop_assert!(plain.is_empty() || plain == [ChatEvent::Content(text.clone())]);
        if !text.contains(['<', '{', '[']) {
            prop_assert_eq!(whole, plain);
        }
    }
}
