//! One conversation in the shapes that templates want: each refuses what it does not know.
//!
//! Called by `prompt.rs`. A conversation is rendered as it came; where the template refuses, fails
//! or leaves words out (many drop instructions in the middle, some all calls of a turn but one),
//! the [`CHANGES`] are tried, fewer before more, until one rendering holds everything. None of them
//! takes anything away. What holds not everything in any shape is rendered in the first that works.
//! A template that knows no calls would drop them or write `None` instead, so there they are told
//! as texts before anything is rendered.
//! Bounds: [`TRIES_MAX`] renderings. Errors: [`TemplateError`], that of the first of them.

use serde_json::{Value, json};
use swarmllm_models::chat_output::ToolCallFormat;
use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};

/// Most shapes of one conversation that are rendered.
const TRIES_MAX: usize = 32;

/// Words that are looked for in a whole prompt, out of their order.
const MISSES_MAX: usize = 64;

/// Most calls of a turn that are told one by one.
const CALLS_MAX: usize = 256;

/// The changed messages; none where nothing is to be changed.
type Change = fn(&[Value]) -> Option<Vec<Value>>;

/// In the order in which those of one shape are made, with how unlikely each is.
const CHANGES: [(u32, Change); 6] = [
    (1, texts_for_null),
    (2, one_call_a_turn),
    (3, arguments_as_text),
    (1, told_by_users_behind_first),
    (1, told_by_users),
    (1, with_results),
];
/// The two that exclude each other.
const BY_USERS: u8 = 0b01_1000;

/// Renders, in the first shape that the template takes as a whole.
pub(super) fn render(
    template: &ChatTemplate,
    mut input: ChatInput,
) -> Result<String, TemplateError> {
    let first = template.render(&input);
    let is_done = match &first {
        Ok(text) => holds_all(text, &input.messages),
        Err(TemplateError::Raised { .. } | TemplateError::Failed { .. }) => false,
        Err(_) => true,
    };
    let messages = match input.messages.take() {
        Value::Array(messages) if !is_done => messages,
        _ => return first,
    };
    let mut best = first;
    for shape in shapes(&messages).take(TRIES_MAX) {
        input.messages = shape.into();
        let Ok(text) = template.render(&input) else { continue };
        if holds_all(&text, &input.messages) {
            return Ok(text);
        }
        best = best.or(Ok(text));
    }
    best
}

/// Whether a prompt has the words of users and instructions, and those inside arguments. What the
/// assistant said and thought is often left out on purpose, and results are often rewritten.
fn holds_all(text: &str, messages: &Value) -> bool {
    let mut search = Search { text, at: 0, n_misses: 0 };
    messages.as_array().into_iter().flatten().all(|message| {
        let is_asked = message["role"] == "user" || message["role"] == "system";
        let said = message["content"].as_str().filter(|_| is_asked).unwrap_or_default();
        search.finds(said.trim(), true)
            && calls(message).iter().all(|call| match &call["function"]["arguments"] {
                Value::String(_) => true,
                arguments => search.finds_texts(arguments),
            })
    })
}

/// A search for many words that mostly come in their order.
struct Search<'t> {
    text: &'t str,
    /// Behind what was found last.
    at: usize,
    n_misses: usize,
}

impl Search<'_> {
    /// Whether a word is there, behind the last one or anywhere; `moves` makes it the last one.
    fn finds(&mut self, word: &str, moves: bool) -> bool {
        match self.text[self.at..].find(word) {
            Some(found) if moves => self.at += found + word.len(),
            Some(_) => {}
            // A conversation of nothing but such words is not worth the time.
            None if self.n_misses == MISSES_MAX => {}
            None => {
                self.n_misses += 1;
                return self.text.contains(word);
            }
        }
        true
    }

    /// Whether all texts of a value are there; those that may be written with escapes don't count.
    fn finds_texts(&mut self, value: &Value) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == ' ';
        match value {
            Value::String(word) => !word.chars().all(is_plain) || self.finds(word.trim(), false),
            Value::Array(values) => values.iter().all(|value| self.finds_texts(value)),
            Value::Object(fields) => fields.values().all(|value| self.finds_texts(value)),
            _ => true,
        }
    }
}

/// All shapes but the first one, which is the conversation itself.
fn shapes(messages: &[Value]) -> impl Iterator<Item = Vec<Value>> {
    let is_chosen = |chosen: u8, at: usize| chosen & 1 << at != 0;
    let mut all: Vec<u8> =
        (1..1 << CHANGES.len()).filter(|chosen| chosen & BY_USERS != BY_USERS).collect();
    all.sort_by_key(|chosen| -> u32 {
        let weights = CHANGES.iter().enumerate().filter(|(at, _)| is_chosen(*chosen, *at));
        weights.map(|(_, (weight, _))| weight).sum()
    });
    all.into_iter().filter_map(move |chosen| {
        let changes = CHANGES.iter().enumerate().filter(|(at, _)| is_chosen(chosen, *at));
        let changes = changes.map(|(_, (_, change))| change);
        // With a change that changes nothing it is a shape of fewer changes.
        changes.into_iter().try_fold(messages.to_vec(), |messages, change| change(&messages))
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
    let most = messages.iter().map(|message| calls(message).len()).max()?;
    (2..=CALLS_MAX).contains(&most).then_some(())?;
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
    let told = with_users_behind("tool", messages.to_vec());
    (told.len() < messages.len()).then_some(told)
}

/// Instructions in the middle are told by users.
fn told_by_users_behind_first(messages: &[Value]) -> Option<Vec<Value>> {
    let (first, rest) = messages.split_first()?;
    Some([std::slice::from_ref(first), &told_by_users(rest)?].concat())
}

/// All instructions are told by users, whose messages that then follow each other are one.
fn told_by_users(messages: &[Value]) -> Option<Vec<Value>> {
    let told = each(messages, |message| {
        let is_system = message["role"] == "system";
        is_system.then(|| json!({"role": "user", "content": message["content"]}))
    })?;
    Some(with_users_behind("user", told))
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
    if let Value::Array(all) = messages {
        *all = with_users_behind("user", std::mem::take(all));
    }
}

/// Texts of users right behind a message of this role are part of it.
fn with_users_behind(role: &str, messages: Vec<Value>) -> Vec<Value> {
    let mut told: Vec<Value> = Vec::with_capacity(messages.len());
    for message in messages {
        let before = told.last_mut().filter(|last| last["role"] == role);
        match before.and_then(|last| last.get_mut("content")) {
            Some(Value::String(content)) if message["role"] == "user" => {
                content.push_str("\n\n");
                content.push_str(message["content"].as_str().unwrap_or_default());
            }
            _ => told.push(message),
        }
    }
    told
}

fn calls(message: &Value) -> &[Value] {
    message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default()
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
    fn what_a_template_leaves_out_is_told_in_another_way() {
        let text = |skips: &str, messages: Value| {
            let source = format!("{{%- set kept = messages|rejectattr({skips}) %}}{PLAIN}");
            let source = source.replace("in messages %}", "in kept %}");
            let template = ChatTemplate::new(&source).expect("a template");
            render(&template, ChatInput { messages, ..ChatInput::default() }).expect("a text")
        };
        let said = [("system", "Be kind."), ("user", "Hello."), ("system", "Be brief.")];
        let said = said.map(|(role, content)| json!({"role": role, "content": content}));
        let told = text("'role', 'equalto', 'system'", said.to_vec().into());
        assert_eq!(told, "[user]Be kind.\n\nHello.\n\nBe brief.");
        // Words that no shape brings back are no reason to refuse.
        let only_user = json!([{"role": "user", "content": "Hello."}]);
        assert_eq!(text("'role', 'equalto', 'user'", only_user), "");
        let first_call = "{%- for m in messages %}{% for c in (m.tool_calls or [])[:1] %}\
                          {{- c.function.arguments.x }}{% endfor %}\
                          {{- m.content or '' }}{% endfor %}";
        let template = ChatTemplate::new(first_call).expect("a template");
        let call = |x: &str| json!({"id": x, "function": {"name": "f", "arguments": {"x": x}}});
        let calls = json!([call("Oslo"), call("Rome")]);
        let messages = json!([{"role": "assistant", "content": "", "tool_calls": calls}]);
        let told = render(&template, ChatInput { messages, ..ChatInput::default() });
        assert_eq!(told.as_deref(), Ok("OsloRome"));
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
