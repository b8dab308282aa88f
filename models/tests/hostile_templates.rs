//! Templates of hostile model files: whatever they do, a rendering ends soon and stays small.
//!
//! Each template grows without end in one way: by values that share their parts, by lists that do
//! not exist yet, by text. This process counts what it allocates; the whole list is one test, so
//! that nothing else does at the same time.
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod allocations;

use std::time::{Duration, Instant};

use allocations::CountingAllocator;
use swarmllm_models::chat_template::{ChatInput, ChatTemplate, TemplateError};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// More than a whole rendering may hold at once.
const MAX_LIVE_BYTES: usize = 256 << 20;
/// Far more than the slowest of them takes, but far less than the work they ask for.
const MAX_TIME: Duration = Duration::from_secs(10);

fn render(source: &str) -> Result<String, TemplateError> {
    let messages = serde_json::json!([{"role": "user", "content": "Hi"}]);
    ChatTemplate::new(source)?.render(&ChatInput { messages, ..ChatInput::default() })
}

/// `body`, `count` times over, with some variables that outlive a round.
fn again(count: usize, body: &str) -> String {
    format!(
        "{{% set n = namespace(v=[1], s='ab', d={{}}, l=[]) %}}\
         {{% for i in range({count}) %}}{body}{{% endfor %}}"
    )
}

/// A variable that is replaced by something longer, again and again.
fn set(name: &str, value: &str) -> String {
    again(64, &format!("{{% set n.{name} = {value} %}}"))
}

/// A use of a list that spells out to 2^60 numbers.
fn shared(use_it: &str) -> String {
    format!("{}{{{{ {use_it} }}}}", again(60, "{% set n.v = [n.v, n.v] %}"))
}

fn hostile_templates() -> Vec<String> {
    vec![
        set("v", "n.v + n.v"),
        set("v", "n.v * 2"),
        set("v", "n.v * 9999999"),
        set("v", "(n.v + n.v)[::-1]"),
        set("v", "(n.v * 2) | reverse"),
        set("s", "n.s + n.s"),
        set("s", "n.s ~ n.s"),
        set("s", "n.s * 2"),
        set("s", "n.s.replace('a', n.s)"),
        set("s", "n.s | replace('a', n.s)"),
        set("s", "n.s.join([n.s, n.s])"),
        set("s", "[n.s, n.s] | join(n.s)"),
        set("s", "'{0}{0}'.format(n.s)"),
        set("s", "'%s%s' | format(n.s, n.s)"),
        set("s", "n.s | indent(999999999) ~ '\\n' ~ n.s"),
        set("s", "n.s.split('') | join(n.s)"),
        set("s", "(n.s ~ n.s) | upper | tojson | string"),
        again(64, "{% set x %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = x %}"),
        again(64, "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set n.s = m(n.s) %}"),
        "{{ '{:999999999}'.format('x') }}".into(),
        "{{ '%999999999d' | format(1) }}".into(),
        "{{ [1] | batch(999999999, 'x') | list }}".into(),
        "{{ [1] | slice(999999999) | list }}".into(),
        "{{ [1, 2] * 99999999 }}".into(),
        "{% if [1] * 99999999 == [1] * 99999999 %}x{% endif %}".into(),
        "{% if 2 in [1] * 99999999 %}x{% endif %}".into(),
        "{% set a = (1, 2) * 49999999 %}{{ a }}".into(),
        "{{ 'x' * 99999999 }}".into(),
        shared("n.v"),
        shared("n.v ~ ''"),
        shared("n.v | tojson"),
        shared("n.v | string"),
        shared("n.v | join"),
        shared("n.v | upper"),
        shared("[n.v, n.v] | unique"),
        shared("[n.v, n.v] | sort"),
        shared("{n.v: 1}"),
        shared("n.d[n.v]"),
        shared("n.d.get(n.v)"),
        shared("n.v in n.d"),
        shared("n.v in [n.v]"),
        shared("'' in n.v"),
        shared("[n.v] | map('string') | list"),
        shared("[n.v] | select('equalto', n.v) | list"),
        shared("[n.v, 1].count([n.v])"),
        shared("','.join(n.v)"),
        shared("'{}'.format(n.v)"),
        shared("raise_exception(n.v)"),
        shared("n.v == [n.v[0], n.v[1]]"),
        shared("n.v is eq([n.v[0], n.v[1]])"),
        shared("n.v < [n.v[0], n.v[1]]"),
        shared("[n.v] | selectattr('x', 'in', n.v) | list") + "{{ n.v }}",
        "{% set n = namespace(v=1) %}{% set n.v = [n, n] %}{{ n ~ n }}".into(),
        "{% set n = namespace(v=1) %}{% set n.v = [n, n] %}{{ n.v == n.v[0].v }}".into(),
        "{% set n = namespace(v=1) %}{% set n.v = [n, n] %}{{ n.v | tojson }}".into(),
        format!("{{{{ x(){} }}}}", " + 1".repeat(30_000)),
        format!("{{{{ '' | length{} }}}}", "+1".repeat(200)).repeat(300) + "{{ 'x' * 99999999 }}",
        format!("{{{{ {}x() }}}}", "[1] * 9 * 9 == ".repeat(7_000)),
        format!("{{% if x({}1{}) %}}{{% endif %}}", "[".repeat(30_000), "]".repeat(30_000)),
        format!("{{{{ x({}1{}) }}}}", "-(".repeat(30_000), ")".repeat(30_000)),
        again(99_999, "{% set n.v = n.v[0:] %}") + &again(99_999, "{% set n.v = n.v | reverse %}"),
        again(99_999, "{% set n.s = n.s ~ '0123456789' * 99 %}"),
        again(99_999, "{% set n.l = n.l + [i] %}"),
        again(99_999, "{% if 'x' * 999999 == 'x' * 999999 %}{% endif %}"),
    ]
}

#[test]
fn whatever_grows_without_end_is_stopped() {
    for source in hostile_templates() {
        let label: String = source.chars().take(200).collect();
        ALLOCATOR.restart_peak();
        let begin = Instant::now();
        let result = render(&source);
        let (time, peak) = (begin.elapsed(), ALLOCATOR.peak_bytes());
        println!("{time:9.1?} {:4} MiB  {label}", peak >> 20);
        let is_limit =
            matches!(result, Err(TemplateError::Exhausted { .. } | TemplateError::Syntax { .. }));
        assert!(is_limit, "{:?}: {label}", result.map(|text| text.len()));
        assert!(peak < MAX_LIVE_BYTES, "{label}: {peak} bytes");
        assert!(time < MAX_TIME, "{label}: {time:?}");
    }
}
