//! Tests of the template environment: what templates may use, and what they may not do.

use serde_json::json;

use super::*;

fn render(source: &str, messages: serde_json::Value) -> Result<String, TemplateError> {
    let input = ChatInput {
        messages,
        add_generation_prompt: true,
        now_unix_s: Some(1_721_952_000),
        bos_token: "<s>".into(),
        eos_token: "</s>".into(),
        ..ChatInput::default()
    };
    ChatTemplate::new(source)?.render(&input)
}

fn evaluate(expression: &str) -> String {
    render(&format!("{{{{ {expression} }}}}"), json!([{"role": "user", "content": " Hi "}]))
        .unwrap()
}

#[test]
fn blocks_are_trimmed_as_hugging_face_does() {
    let source =
        "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n";
    assert_eq!(render(source, json!([{"role": "user"}])).unwrap(), "user\n");
}

#[test]
fn values_are_spelled_as_python_does() {
    assert_eq!(evaluate("true"), "True");
    assert_eq!(evaluate("none"), "None");
    assert_eq!(evaluate("[1, 2.0, 'a', {'b': false}]"), "[1, 2.0, 'a', {'b': False}]");
    assert_eq!(evaluate("messages[0].content.strip().upper()"), "HI");
    assert_eq!(evaluate("messages[0].get('x', 'none') ~ bos_token"), "none<s>");
    assert_eq!(evaluate("messages[::-1] | length"), "1");
    assert_eq!(evaluate("tools is none"), "True");
    assert_eq!(evaluate("strftime_now('%d %b %Y')"), "26 Jul 2024");
}

#[test]
fn json_keeps_raw_characters() {
    let written = evaluate("{'a': '<b> & \\'c\\' \u{e9}', 'n': [1, 1.5, none, true]} | tojson");
    assert_eq!(written, "{\"a\": \"<b> & 'c' \u{e9}\", \"n\": [1, 1.5, null, true]}");
    assert_eq!(
        evaluate("{'a': [1], 'b': {}} | tojson(indent=2)"),
        "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"
    );
}

#[test]
fn a_refusal_carries_the_words_of_the_template() {
    let refused = render("{{ raise_exception('only users, please') }}", json!([])).unwrap_err();
    assert_eq!(refused, TemplateError::Raised { message: "only users, please".into() });
    let inside = "{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}";
    assert!(matches!(render(inside, json!([])), Err(TemplateError::Raised { .. })));
}

#[test]
fn generation_tags_mean_nothing() {
    let source = "a {%- generation -%} b {% endgeneration %} c";
    assert_eq!(render(source, json!([])).unwrap(), "ab  c");
}

#[test]
fn hostile_templates_end() {
    let times =
        |count: usize, body: &str| format!("{{% for i in range({count}) %}}{body}{{% endfor %}}");
    let nested = |body: &str, end: &str| {
        let steps = times(99_999, &format!("{{% set n.v = {body} %}}"));
        format!("{{% set n = namespace(v=['ab']) %}}{steps}{end}")
    };
    let long = times(99_999, &times(99_999, "x"));
    let endless = [
        long.clone(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{{ 'x' * 1000000000000 }}".into(),
        nested("[n.v]", "{{ n.v }}"),
        nested("[n.v]", "{{ n.v | tojson }}"),
        nested("[[[[[[n.v]]]]]]", &long),
        "{{ [1] | tojson(indent=99999999999) }}{{ undefined_thing | tojson }}".into(),
    ];
    for source in endless {
        assert!(render(&source, json!([])).is_err(), "{source}");
    }
    let deep = ["(", "[", "not ", "-", "a.", "a[", "1+", "x if x else ", "a|b|", "f("];
    for unit in deep {
        let nested = unit.repeat(MAX_SOURCE_BYTES / unit.len() - 2);
        // Whether it parses does not matter; that the process lives does.
        let _ = ChatTemplate::new(&format!("{{{{ {nested}"));
        let _ = ChatTemplate::new(&format!("{{{{ {}1 }}}}", &nested[..nested.len() - 8]));
    }
    let blocks = "{% if 1 %}".repeat(20_000) + &"{% endif %}".repeat(4_000);
    let _ = ChatTemplate::new(&blocks);
    assert!(matches!(ChatTemplate::new("{% if"), Err(TemplateError::Syntax { .. })));
    assert!(matches!(ChatTemplate::new(&" ".repeat(2 << 20)), Err(TemplateError::TooLong { .. })));
}
