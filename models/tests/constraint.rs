//! Constrained answers: whatever the logits say, the text follows the grammar.
//!
//! The embedded demo model's vocabulary always; real vocabularies when `SWARMLLM_CONFORMANCE` names
//! the data folder (says loudly that they were skipped otherwise). Prints what a mask costs.
#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod common;
mod reference;
mod schema;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::Random;
use serde_json::{Value, json};
use swarmllm_models::{
    Model, SamplingParams, Tokenizer,
    constraint::{
        ConstrainedEnd, Constraint, ConstraintError, ConstraintVocabulary, EndCause, Grammar,
    },
    gguf::Gguf,
    sampler::{SamplingContext, sample_in},
    tokenizer::TokenType,
};

/// Far more tokens than any answer under these schemas has.
const MAX_TOKENS: u32 = 20_000;

struct Vocabulary {
    name: String,
    tokenizer: Tokenizer,
    shared: Arc<ConstraintVocabulary>,
}

fn prepared(name: &str, tokenizer: Tokenizer) -> Vocabulary {
    let started = Instant::now();
    let shared = ConstraintVocabulary::new(&tokenizer).unwrap();
    eprintln!("{name}: {} tokens prepared in {:?}", shared.size(), started.elapsed());
    Vocabulary { name: name.into(), tokenizer, shared }
}

fn demo() -> Vocabulary {
    let model = Model::embedded(Model::embedded_names()[0]).unwrap().unwrap();
    prepared("demo", model.tokenizer().unwrap())
}

fn vocabularies() -> Vec<Vocabulary> {
    let mut all = vec![demo()];
    if let Some(data) = reference::folder("only the demo vocabulary was constrained") {
        for name in ["llama-bpe", "llama-spm", "qwen2"] {
            let path = data.join(format!("vocab/ggml-vocab-{name}.gguf"));
            all.push(prepared(name, Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap()));
        }
    }
    all
}

/// An answer to random logits.
struct Answer {
    tokens: Vec<u32>,
    text: String,
    end: ConstrainedEnd,
    masks: Vec<Duration>,
}

fn answer(vocabulary: &Vocabulary, grammar: &Grammar<'_>, seed: u64, most: u32) -> Answer {
    let mut constraint = Constraint::new(grammar, &vocabulary.shared).unwrap();
    let mut random = Random(seed);
    let logits: Vec<f32> =
        (0..vocabulary.tokenizer.vocab_size()).map(|_| 2.0 * random.float()).collect();
    let params = SamplingParams { temperature: 1.0, seed, ..SamplingParams::default() };
    let (mut tokens, mut masks, mut cause) = (Vec::new(), Vec::new(), EndCause::LengthLimit);
    for position in 0..most {
        let started = Instant::now();
        let allowed = constraint.mask().unwrap();
        masks.push(started.elapsed());
        let context = SamplingContext { allowed: Some(allowed), ..SamplingContext::default() };
        let token = sample_in(&logits, position, &params, &context).unwrap();
        assert!(allowed.contains(token));
        constraint.accept(token).unwrap();
        if vocabulary.tokenizer.is_end_of_generation(token) {
            cause = EndCause::EndToken;
            break;
        }
        let token_type = vocabulary.tokenizer.token_type(token);
        assert_ne!(token_type, Some(TokenType::Control), "{}", vocabulary.name);
        tokens.push(token);
        if constraint.is_finished() {
            cause = EndCause::EndToken;
            break;
        }
    }
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|token| vocabulary.tokenizer.token_bytes(*token).to_vec()).collect();
    let end = constraint.end(cause);
    // A cut may be inside a character.
    let text = match end {
        ConstrainedEnd::Complete => String::from_utf8(bytes).unwrap(),
        ConstrainedEnd::CutShort(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Answer { tokens, text, end, masks }
}

fn schemas() -> Vec<Value> {
    let address = json!({
        "type": "object",
        "properties": {
            "street": {"type": "string", "minLength": 1, "maxLength": 12},
            "number": {"type": "integer", "minimum": 1, "maximum": 999},
            "country": {"enum": ["DE", "JP", "K\u{f6}ln \"am\" Rhein", null, 7]}
        },
        "required": ["street", "country"],
        "additionalProperties": false
    });
    vec![
        json!({
            "type": "object",
            "properties": {
                "name": {"const": "send"},
                "to": {"type": "array", "items": address, "minItems": 1, "maxItems": 3},
                "weight": {"type": "number", "minimum": -1.5, "maximum": 20},
                "express": {"type": "boolean"}
            },
            "required": ["name", "to", "weight"],
            "additionalProperties": false
        }),
        json!({
            "type": "array",
            "items": {"enum": ["\u{6771}\u{4eac}", "\u{1f980} crab", "tab\tline\n", ""]},
            "minItems": 2,
            "maxItems": 5
        }),
        json!({
            "type": "object",
            "properties": {
                "word": {"type": "string", "pattern": "^[a-z\u{e9}\u{4e00}-\u{4e20}]{2,5}$"},
                "any": {"type": "string", "maxLength": 8},
                "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}
            },
            "required": ["word", "any", "code"],
            "additionalProperties": false
        }),
        json!({
            "$defs": {
                "id": {"type": "integer", "minimum": 0, "maximum": 70_000},
                "leaf": {
                    "type": "object",
                    "properties": {"id": {"$ref": "#/$defs/id"}, "note": {"type": "null"}},
                    "required": ["id"],
                    "additionalProperties": false
                }
            },
            "anyOf": [
                {"$ref": "#/$defs/leaf"},
                {"type": "array", "items": {"$ref": "#/$defs/leaf"}, "maxItems": 4}
            ]
        }),
    ]
}

#[test]
fn whatever_the_logits_the_text_is_valid_under_the_schema() {
    for vocabulary in vocabularies() {
        let answers = if vocabulary.shared.size() < 10_000 { 40 } else { 6 };
        let (mut masks, mut tokens) = (Vec::new(), 0);
        for (at, schema) in schemas().iter().enumerate() {
            for seed in 0..answers {
                let grammar = Grammar::JsonSchema(schema);
                let found = answer(&vocabulary, &grammar, seed * 31 + at as u64, MAX_TOKENS);
                assert_eq!(found.end, ConstrainedEnd::Complete, "{}", found.text);
                let value: Value = serde_json::from_str(&found.text).unwrap();
                if let Err(reason) = schema::check(&value, schema, schema) {
                    panic!("{}: {} {reason}", vocabulary.name, found.text);
                }
                tokens += found.tokens.len();
                masks.extend(found.masks);
            }
        }
        let mean = masks.iter().sum::<Duration>() / masks.len() as u32;
        let worst = masks.iter().max().unwrap();
        let name = vocabulary.name;
        eprintln!("{name}: {tokens} tokens, a mask takes {mean:?} on average, {worst:?} at most");
    }
}

#[test]
fn regular_expressions_and_lark_grammars_hold() {
    let sum = "start: term (\"+\" term)*\nterm: NUMBER | \"(\" start \")\"\nNUMBER: /[0-9]{1,3}/";
    for vocabulary in vocabularies() {
        for seed in 0..10 {
            let grammar = Grammar::Regex(r"[a-c]{2,9}(\.[0-9]{1,3}){3}");
            let found = answer(&vocabulary, &grammar, seed, MAX_TOKENS);
            assert_eq!(found.end, ConstrainedEnd::Complete);
            let (word, numbers) = found.text.split_once('.').unwrap();
            assert!((2..=9).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()));
            assert!(numbers.split('.').all(|n| n.parse::<u32>().is_ok_and(|n| n < 1000)));
            assert_eq!(numbers.split('.').count(), 3);
            let found = answer(&vocabulary, &Grammar::Lark(sum), seed, 60);
            let depth = found.text.matches('(').count() - found.text.matches(')').count();
            if found.end == ConstrainedEnd::Complete {
                assert_eq!(depth, 0, "{}", found.text);
                assert!(!found.text.contains("()") && !found.text.contains("++"));
            }
        }
    }
}

#[test]
fn text_of_control_tokens_is_spelled_not_chosen() {
    for vocabulary in vocabularies() {
        let tokenizer = &vocabulary.tokenizer;
        let ids = (0..tokenizer.vocab_size())
            .filter(|id| tokenizer.token_type(*id) == Some(TokenType::Control));
        for id in ids.take(4) {
            let text = String::from_utf8(tokenizer.token_bytes(id).to_vec()).unwrap();
            let escaped: String = text.chars().map(|c| format!("[{c}]")).collect();
            let escaped = escaped.replace("[[]", r"\[").replace("[]]", r"\]");
            // The answers' helper refuses every control token that does not end them.
            let found = answer(&vocabulary, &Grammar::Regex(&escaped), 1, 100);
            assert_eq!((found.text.as_str(), found.end), (text.as_str(), ConstrainedEnd::Complete));
            assert!(!found.tokens.contains(&id), "{text}");
        }
    }
}

#[test]
fn constraints_may_move_to_the_thread_that_samples() {
    fn check<T: Send>() {}
    fn check_shared<T: Send + Sync>() {}
    check::<Constraint>();
    check_shared::<ConstraintVocabulary>();
}

#[test]
fn an_answer_that_is_cut_says_so() {
    let vocabulary = demo();
    let schema = &schemas()[0];
    let found = answer(&vocabulary, &Grammar::JsonSchema(schema), 3, 5);
    assert_eq!(found.end, ConstrainedEnd::CutShort(EndCause::LengthLimit));
    let mut constraint = Constraint::new(&Grammar::JsonObject, &vocabulary.shared).unwrap();
    assert!(!constraint.is_finished());
    let token = |text: &str| {
        let ids = vocabulary.tokenizer.encode(text, Default::default());
        ids.into_iter().find(|id| vocabulary.tokenizer.token_bytes(*id) == text.as_bytes()).unwrap()
    };
    assert_eq!(constraint.end(EndCause::StopText), ConstrainedEnd::CutShort(EndCause::StopText));
    let (open, close) = (token("{"), token("}"));
    assert_eq!(constraint.accept(close), Err(ConstraintError::NotAllowed { token: close }));
    assert!(!constraint.mask().unwrap().contains(close));
    constraint.accept(open).unwrap();
    assert!(constraint.mask().unwrap().contains(close));
    constraint.accept(close).unwrap();
    assert_eq!(constraint.end(EndCause::LengthLimit), ConstrainedEnd::Complete);
    assert!(constraint.is_finished());
    let ends = vocabulary.tokenizer.end_tokens();
    let allowed = constraint.mask().unwrap();
    assert_eq!(allowed.len(), ends.len());
    assert!(ends.iter().all(|end| allowed.contains(*end)));
    assert_eq!(constraint.accept(open), Err(ConstraintError::NotAllowed { token: open }));
    constraint.accept(ends[0]).unwrap();
    assert_eq!(constraint.end(EndCause::EndToken), ConstrainedEnd::Complete);
    let mut empty = Constraint::new(&Grammar::Regex("x?"), &vocabulary.shared).unwrap();
    assert!(ends.iter().all(|end| empty.mask().unwrap().contains(*end)));
    assert_eq!(empty.end(EndCause::EndToken), ConstrainedEnd::Complete);
    empty.accept(ends[0]).unwrap();
    assert!(empty.is_finished());
    assert_eq!(empty.end(EndCause::EndToken), ConstrainedEnd::Complete);
}

#[test]
fn hostile_grammars_are_refused_with_advice() {
    let vocabulary = demo();
    let mut deep = json!({"type": "integer"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
    }
    let wide: Vec<Value> = (0..60_000).map(|at| json!(format!("choice {at}"))).collect();
    let schemas = [
        (deep, "flatten it"),
        (json!({"enum": wide}), "make it smaller"),
        (json!({"type": "array", "minItems": 1_000_000_000}), "'minItems' in the schema"),
        (json!({"type": "string", "maxLength": 1e18}), "'maxLength' in the schema"),
        (json!({"type": "integer", "minimum": 5, "maximum": 4}), "correct it"),
        (json!({"type": "string", "contentMediaType": 5, "dependentSchemas": {}}), "correct it"),
        (json!({"$ref": "https://example.org/schema"}), "correct it"),
        (json!({"type": "wrong"}), "correct it"),
        (json!({"$ref": "#"}), "no text that follows it"),
        (json!([1, 2]), "correct it"),
        (json!({"not": {"type": "string"}}), "correct it"),
    ];
    for (schema, advice) in &schemas {
        refused(&vocabulary, &Grammar::JsonSchema(schema), advice);
    }
    let long = "a".repeat(300_000);
    let nested = format!("{}a{}", "(".repeat(1000), ")".repeat(1000));
    let texts = [
        (Grammar::Regex(&long), "make it smaller"),
        (Grammar::Regex(&nested), "flatten it"),
        (Grammar::Regex("(a"), "correct it"),
        (Grammar::Regex("[a-"), "correct it"),
        (Grammar::Lark(&long), "make it smaller"),
        (Grammar::Lark("start: missing"), "correct it"),
        (Grammar::Lark("nothing"), "correct it"),
        (Grammar::Lark(&nested), "flatten it"),
        (Grammar::Lark("start: start"), "correct it"),
    ];
    for (grammar, advice) in &texts {
        refused(&vocabulary, grammar, advice);
    }
}

/// Whether these are followed does not matter; that they end does. Prints the dearest mask.
#[test]
fn heavy_grammars_end() {
    let alternatives = vec!["(a|b)*a(a|b){900}"; 40].join("|");
    let many = json!({"type": "array", "items": {"type": "string"}, "minItems": 10_000});
    let patterns: Vec<Value> = (0..200)
        .map(|at| json!({"type": "string", "pattern": format!("^(.*[a-z]{at}.*){{9}}$")}))
        .collect();
    let patterns = json!({"anyOf": patterns});
    let itself = json!({"$ref": "#"});
    let tree = json!({"type": "object", "properties": {"children": {
        "type": "array", "items": {"$ref": "#"}, "minItems": 1}}, "required": ["children"]});
    let chain: String = (0..1500).map(|at| format!("r{at}: \"a\" r{}\n", at + 1)).collect();
    let chain = format!("start: r0\n{chain}r1500: \"b\"\n");
    let ambiguous = "start: e\ne: e e | e e e | \"a\" | \"b\" | /[a-z]+/";
    let grammars = [
        Grammar::JsonSchema(&many),
        Grammar::JsonSchema(&patterns),
        Grammar::JsonSchema(&Value::Bool(true)),
        Grammar::JsonSchema(&itself),
        Grammar::JsonSchema(&tree),
        Grammar::Regex(&alternatives),
        Grammar::Regex("(.*a.*){60}"),
        Grammar::Regex("((a{1000}){1000}){1000}"),
        Grammar::Lark(&chain),
        Grammar::Lark("start: (\"a\" | \"b\"){1,1000000}"),
        Grammar::Lark(ambiguous),
    ];
    for vocabulary in vocabularies() {
        for grammar in &grammars {
            let started = Instant::now();
            let (mut steps, mut dearest) = (0, Duration::ZERO);
            let outcome =
                Constraint::new(grammar, &vocabulary.shared).and_then(|mut constraint| {
                    let compiled = started.elapsed();
                    while steps < 20 && !constraint.is_finished() {
                        let started = Instant::now();
                        let token = constraint.mask()?.ids_below(usize::MAX).next().unwrap();
                        dearest = dearest.max(started.elapsed());
                        constraint.accept(token as u32)?;
                        steps += 1;
                    }
                    Ok(compiled)
                });
            let shown = format!("{grammar:?}").chars().take(40).collect::<String>();
            let name = &vocabulary.name;
            eprintln!("{name} {shown}: {outcome:?}, {steps} steps, dearest mask {dearest:?}");
        }
    }
}

fn refused(vocabulary: &Vocabulary, grammar: &Grammar<'_>, advice: &str) {
    let shown = format!("{grammar:?}").chars().take(80).collect::<String>();
    match Constraint::new(grammar, &vocabulary.shared) {
        Ok(_) => panic!("{shown} was taken"),
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains(advice), "{shown}: {words:?} does not say {advice:?}");
            assert!(words.len() < 600, "{words}");
        }
    }
}
