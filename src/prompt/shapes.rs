//! One conversation in the shapes that templates want: each refuses what it does not know.
//!
//! Called by `prompt.rs`. A conversation is rendered as it came; where the template refuses or
//! fails, the [`CHANGES`] are tried, fewer before more, until one rendering succeeds. None of them
//! takes anything away. A template that knows no calls would drop them or write `None` instead, so
//! there they are told as texts before anything is rendered.
//! Bounds: [`TRIES_MAX`] renderings. Errors: [`TemplateError`], that of the first of them.

use serde_json::{Value, json};
use swarmllm_models::chat_output::ToolCallFormat;
use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};

/// Most shapes of one conversation that are rendered.
const TRIES_MAX: usize = 24;

/// The changed messages; none where nothing is to be changed.
type Change = fn(&[Value]) -> Option<Vec<Value>>;

/// In the order in which those of one shape are made, the likeliest first.
const CHANGES: [Change; 6] = [
    texts_for_null,
    one_call_a_turn,
    arguments_as_text,
    told_by_users_behind_first,
    told_by_users,
    with_results,
];
/// The two that exclude each other.
const BY_USERS: u8 = 0b01_1000;

/// Renders, in the first shape that the template takes.
pub(super) fn render(
    template: &ChatTemplate,
    mut input: ChatInput,
) -> Result<String, TemplateError> {
    let refusal = match template.render(&input) {
        Err(error @ (TemplateError::Raised { .. } | TemplateError::Failed { .. })) => error,
        rendered => return rendered,
    };
    let Value::Array(messages) = input.messages.take() else { return Err(refusal) };
    for shape in shapes(&messages).take(TRIES_MAX) {
        input.messages = shape.into();
        if let Ok(text) = template.render(&input) {
            return Ok(text);
        }
    }
    Err(refusal)
}

/// All shapes but the first one, which is the conversation itself.
fn shapes(messages: &[Value]) -> impl Iterator<Item = Vec<Value>> {
    let mut chosen: Vec<u8> =
        (1..1 << CHANGES.len()).filter(|chosen| chosen & BY_USERS != BY_USERS).collect();
    chosen.sort_by_key(|chosen| chosen.count_ones());
    chosen.into_iter().filter_map(|chosen| {
        let changes = CHANGES.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0);
        changes.map(|(_, change)| change).try_fold(messages.to_vec(), |messages, change| {
            // With a change that changes nothing it is a shape of fewer changes.
            change(&messages)
        })
    })
}

/// Changes every message that `change` knows a change for.
fn each(messages: &[Value], change: impl Fn(&Value) -> Option<Value>) -> Option<Vec<Value>> {
    let changed: Vec<Option<Value>> = messages.iter().map(change).collect();
    let any = changed.iter().any(Option::is_some);
    let or_same = |(new, old): (Option<Value>, &Value)| new.unwrap_or_else(|| old.clone());
    any.then(|| changed.into_iter().zip(messages).map(or_same).collect())
}

/// A call without a word has an empty text.
fn texts_for_null(messages: &[Value]) -> Option<Vec<Value>> {
    each(messages, |message| {
        let mut message =
            message.get("content").is_some_and(Value::is_null).then(|| message.clone())?;
        message["content"] = "".into();
        Some(message)
    })
}

/// Arguments are their JSON text, as in the API that templates were first written for.
fn arguments_as_text(messages: &[Value]) -> Option<Vec<Value>> {
    each(messages, |message| {
        let mut message = calls(message).first().map(|_| message.clone())?;
        for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
            let arguments = call.pointer_mut("/function/arguments");
            if let Some(arguments) = arguments.filter(|arguments| arguments.is_object()) {
                *arguments = arguments.to_string().into();
            }
        }
        Some(message)
    })
}

/// Several calls of a turn, each followed by its own result.
fn one_call_a_turn(messages: &[Value]) -> Option<Vec<Value>> {
    messages.iter().find(|message| calls(message).len() > 1)?;
    let mut told = Vec::with_capacity(messages.len());
    let mut rest = messages;
    while let Some((message, behind)) = rest.split_first() {
        rest = behind;
        if calls(message).len() < 2 {
            told.push(message.clone());
            continue;
        }
        let n_results = behind.iter().take_while(|message| message["role"] == "tool").count();
        let (results, behind) = behind.split_at(n_results);
        rest = behind;
        let mut results: Vec<&Value> = results.iter().collect();
        for (index, call) in calls(message).iter().enumerate() {
            let mut turn = message.clone();
            turn["tool_calls"] = json!([call]);
            if index > 0 {
                turn = json!({"role": "assistant", "content": "", "tool_calls": [call]});
            }
            told.push(turn);
            let own = results.iter().position(|result| result["tool_call_id"] == call["id"]);
            told.extend(own.map(|at| results.remove(at).clone()));
        }
        told.extend(results.into_iter().cloned());
    }
    Some(told)
}

/// Texts of a user right behind a result are part of it: roles alternate.
fn with_results(messages: &[Value]) -> Option<Vec<Value>> {
    let mut told: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        let result = told.last_mut().filter(|last| last["role"] == "tool");
        match result.and_then(|result| result.get_mut("content")) {
            Some(Value::String(content)) if message["role"] == "user" => add(content, message),
            _ => told.push(message.clone()),
        }
    }
    (told.len() < messages.len()).then_some(told)
}

/// Instructions in the middle are told by users.
fn told_by_users_behind_first(messages: &[Value]) -> Option<Vec<Value>> {
    let (first, rest) = messages.split_first()?;
    Some([std::slice::from_ref(first), &told_by_users(rest)?].concat())
}

/// All instructions are told by users, whose messages that then follow each other are one.
fn told_by_users(messages: &[Value]) -> Option<Vec<Value>> {
    messages.iter().find(|message| message["role"] == "system")?;
    let mut told: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        let is_system = message["role"] == "system";
        let before = told.last_mut().filter(|last| last["role"] == "user");
        match before.and_then(|last| last.get_mut("content")) {
            Some(Value::String(content)) if is_system || message["role"] == "user" => {
                add(content, message);
            }
            _ if is_system => told.push(json!({"role": "user", "content": message["content"]})),
            _ => told.push(message.clone()),
        }
    }
    Some(told)
}

/// Calls as the assistant's own words in the model's format, results as those of whom the template
/// knows: for a template that knows no calls.
pub(super) fn calls_as_texts(messages: &mut Value, format: ToolCallFormat, knows_results: bool) {
    let is_told = |message: &Value| !calls(message).is_empty() || message["role"] == "tool";
    if !messages.as_array().is_some_and(|all| all.iter().any(is_told)) {
        return;
    }
    for message in messages.as_array_mut().into_iter().flatten() {
        let texts = calls(message).iter().map(|call| {
            let function = &call["function"];
            let (name, arguments) = (&function["name"], &function["arguments"]);
            let call = json!({"name": name, "arguments": arguments});
            match format {
                ToolCallFormat::Hermes => format!("<tool_call>\n{call}\n</tool_call>"),
                _ => call.to_string(),
            }
        });
        let said = message["content"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let texts: Vec<String> = said.into_iter().chain(texts).collect();
        let Some(fields) = message.as_object_mut() else { continue };
        if fields.shift_remove("tool_calls").is_some() {
            fields.insert("content".to_owned(), texts.join("\n").into());
        }
        if !knows_results && fields.get("role").is_some_and(|role| role == "tool") {
            fields.retain(|key, _| key == "content");
            fields.insert("role".to_owned(), "user".into());
        }
    }
    join_users(messages);
}

/// Messages of users that follow each other are one.
fn join_users(messages: &mut Value) {
    let Value::Array(all) = messages else { return };
    let mut told: Vec<Value> = Vec::with_capacity(all.len());
    for message in std::mem::take(all) {
        let before = told.last_mut().filter(|last| last["role"] == "user");
        match before.and_then(|last| last.get_mut("content")) {
            Some(Value::String(content)) if message["role"] == "user" => add(content, &message),
            _ => told.push(message),
        }
    }
    *all = told;
}

fn calls(message: &Value) -> &[Value] {
    message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn add(content: &mut String, message: &Value) {
    *content = format!("{content}\n\n{}", message["content"].as_str().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "{%- for m in messages %}{{ '[' + m.role + ']' + (m.content or '') }}\
                         {%- for c in m.tool_calls or [] %}{{ '(' + c.id + ')' }}{% endfor %}\
                         {%- endfor %}";

    /// Renders with a template that refuses what `refuses` says of a message.
    fn rendered(refuses: &str, messages: Value) -> Result<String, TemplateError> {
        let check = "{%- for m in messages %}{% if REFUSES %}{{ raise_exception('no') }}\
                     {% endif %}{% endfor %}";
        let source = check.replace("REFUSES", refuses) + PLAIN;
        let template = ChatTemplate::new(&source).expect("a template");
        render(&template, ChatInput { messages, ..ChatInput::default() })
    }

    fn messages() -> Value {
        let said = [("system", "a"), ("user", "b"), ("system", "c"), ("assistant", "d")];
        said.map(|(role, content)| json!({"role": role, "content": content})).into_iter().collect()
    }

    /// Two calls without a word, their results, and a question beside them.
    fn dialogue() -> Value {
        let call = |id: &str| {
            json!({"id": id, "type": "function",
                   "function": {"name": "f", "arguments": {"x": 1}}})
        };
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": null, "tool_calls": [call("1"), call("2")]},
            {"role": "tool", "tool_call_id": "1", "name": "f", "content": "b"},
            {"role": "tool", "tool_call_id": "2", "name": "f", "content": "c"},
            {"role": "user", "content": "d"},
        ])
    }

    #[test]
    fn instructions_are_told_by_users_where_a_template_wants_none() {
        let text = |refuses| rendered(refuses, messages()).expect("a text");
        assert_eq!(text("false"), "[system]a[user]b[system]c[assistant]d");
        let in_the_middle = "m.role == 'system' and not loop.first";
        assert_eq!(text(in_the_middle), "[system]a[user]b\n\nc[assistant]d");
        assert_eq!(text("m.role == 'system'"), "[user]a\n\nb\n\nc[assistant]d");
    }

    #[test]
    fn a_refusal_for_another_reason_stays_one() {
        let raised = Err(TemplateError::Raised { message: "no".into() });
        assert_eq!(rendered("m.role == 'assistant'", messages()), raised);
        let user = json!([{"role": "user", "content": "a"}]);
        assert_eq!(rendered("m.role == 'user'", user), raised);
        assert_eq!(rendered("true", dialogue()), raised);
    }

    #[test]
    fn calls_take_the_shape_that_a_template_knows() {
        let text = |refuses| rendered(refuses, dialogue()).expect("a text");
        let whole = "[user]a[assistant](1)(2)[tool]b[tool]c[user]d";
        // As Qwen 3 and gpt-oss look for a tag in the text.
        assert_eq!(text("'</think>' in m.content"), whole);
        // As DeepSeek R1's distillations, which take a call without a word for a call.
        let as_text = "m.tool_calls and (m.content is not none or \
                       m.tool_calls[0].function.arguments is not string)";
        assert_eq!(text(as_text), whole);
        let single = "[user]a[assistant](1)[tool]b[assistant](2)[tool]c[user]d";
        assert_eq!(text("m.tool_calls and m.tool_calls|length > 1"), single);
        let alternating = "m.role == 'user' and loop.previtem and loop.previtem.role == 'tool'";
        assert_eq!(text(alternating), "[user]a[assistant](1)(2)[tool]b[tool]c\n\nd");
        let both = format!("{alternating} or m.content is none");
        assert_eq!(text(&both), "[user]a[assistant](1)(2)[tool]b[tool]c\n\nd");
    }

    #[test]
    fn a_template_without_calls_reads_them_as_texts() {
        let mut told = dialogue();
        calls_as_texts(&mut told, ToolCallFormat::BareJson, false);
        let call = r#"{"name":"f","arguments":{"x":1}}"#;
        let expected = json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": format!("{call}\n{call}")},
            {"role": "user", "content": "b\n\nc\n\nd"},
        ]);
        assert_eq!(told, expected);
        let mut known = dialogue();
        calls_as_texts(&mut known, ToolCallFormat::Hermes, true);
        let tagged = format!("<tool_call>\n{call}\n</tool_call>");
        assert_eq!(known[1]["content"], format!("{tagged}\n{tagged}"));
        assert_eq!((&known[2]["role"], &known[4]["content"]), (&json!("tool"), &json!("d")));
        let users = json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]);
        let mut same = users.clone();
        calls_as_texts(&mut same, ToolCallFormat::BareJson, false);
        assert_eq!(same, users);
    }

    fn message() -> impl Strategy<Value = Value> {
        let content = prop_oneof![Just(Value::Null), "[a-z]{0,3}".prop_map(Value::from)];
        let calls = prop::collection::vec("[12]", 0..3).prop_map(|ids| {
            let call = |id: &String| json!({"id": id, "function": {"arguments": {}}});
            ids.iter().map(call).collect::<Value>()
        });
        let role = prop::sample::select(vec!["system", "user", "assistant", "tool", "?"]);
        (role, content, calls, "[12]").prop_map(|(role, content, calls, id)| {
            json!({"role": role, "content": content, "tool_calls": calls, "tool_call_id": id})
        })
    }

    proptest! {
        /// Whatever is said in a conversation is said in every shape of it, and so are all calls.
        #[test]
        fn no_shape_loses_a_word(messages in prop::collection::vec(message(), 0..6)) {
            let words = |messages: &[Value]| {
                let text = |m: &Value| m["content"].as_str().unwrap_or_default().to_owned();
                let n_calls: usize = messages.iter().map(|m| calls(m).len()).sum();
                let mut letters: Vec<char> =
                    messages.iter().flat_map(|m| text(m).chars().collect::<Vec<_>>()).collect();
                letters.retain(|letter| *letter != '\n');
                letters.sort_unstable();
                (letters, n_calls)
            };
            let assistants: Vec<Value> = messages
                .into_iter()
                .map(|mut m| {
                    if m["role"] != "assistant" {
                        m["tool_calls"] = json!([]);
                    }
                    m
                })
                .collect();
            for shape in shapes(&assistants) {
                prop_assert_eq!(words(&shape), words(&assistants));
            }
        }
    }
}
