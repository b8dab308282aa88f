//! Puts operations that pay for their memory and time in the place of the engine's.
//!
//! A compiled template is a list of instructions. Those that copy or walk values (operators,
//! slices, most filters and tests, methods) are replaced one for one by calls of filters that this
//! file adds to the environment: they charge fuel by the full size of what they are given
//! (`meter.rs`), then work. So a rendering's memory and time are bounded by its fuel alone.
//! Refused outright: chained comparisons (`a < b < c`), sums of constant lists, endless tags.
//! Errors: the engine's, out of fuel first of all.

use std::{borrow::Cow, sync::Arc};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State,
    machinery::{CompiledTemplate, Instruction, Instructions, TemplateConfig, Token, tokenize},
    syntax::SyntaxConfig,
    value::{Rest, Value, ValueKind},
};

use super::{meter::Meter, methods, operators};

/// Filters of the engine, with the name under which they pay first, in order. Not here are those
/// that pay for themselves or look at the outermost value only: `default`, `length`, `tojson`.
const FILTERS: [(&str, &str); 40] = [
    ("abs", "~abs"),
    ("attr", "~attr"),
    ("batch", "~batch"),
    ("bool", "~bool"),
    ("capitalize", "~capitalize"),
    ("dictsort", "~dictsort"),
    ("e", "~e"),
    ("escape", "~escape"),
    ("first", "~first"),
    ("float", "~float"),
    ("format", "~format"),
    ("groupby", "~groupby"),
    ("indent", "~indent"),
    ("int", "~int"),
    ("items", "~items"),
    ("join", "~join"),
    ("last", "~last"),
    ("lines", "~lines"),
    ("list", "~list"),
    ("lower", "~lower"),
    ("map", "~map"),
    ("max", "~max"),
    ("min", "~min"),
    ("pprint", "~pprint"),
    ("reject", "~reject"),
    ("rejectattr", "~rejectattr"),
    ("replace", "~replace"),
    ("reverse", "~reverse"),
    ("round", "~round"),
    ("safe", "~safe"),
    ("select", "~select"),
    ("selectattr", "~selectattr"),
    ("slice", "~slice_filter"),
    ("sort", "~sort"),
    ("split", "~split"),
    ("sum", "~sum"),
    ("title", "~title"),
    ("trim", "~trim"),
    ("unique", "~unique"),
    ("upper", "~upper"),
];
/// Filters that look at one level only.
const SHALLOW_FILTERS: [&str; 7] = ["attr", "batch", "first", "items", "last", "list", "slice"];
/// Tests that compare or search, with the name of the filter that pays and performs them.
const TESTS: [(&str, &str); 19] = [
    ("!=", "~test:!="),
    ("<", "~test:<"),
    ("<=", "~test:<="),
    ("==", "~test:=="),
    (">", "~test:>"),
    (">=", "~test:>="),
    ("endingwith", "~test:endingwith"),
    ("eq", "~test:eq"),
    ("equalto", "~test:equalto"),
    ("ge", "~test:ge"),
    ("greaterthan", "~test:greaterthan"),
    ("gt", "~test:gt"),
    ("in", "~test:in"),
    ("le", "~test:le"),
    ("lessthan", "~test:lessthan"),
    ("lt", "~test:lt"),
    ("ne", "~test:ne"),
    ("sameas", "~test:sameas"),
    ("startingwith", "~test:startingwith"),
];
/// Longest content of `{{ }}` or `{% %}`; in published templates it is below 100.
const MAX_TAG_TOKENS: usize = 512;
/// The one, under a name that templates do not use.
const ONE: &str = "__one";

/// An environment whose operations all pay.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_debug(false);
    // They are not Jinja's, and their results are lists that do not exist yet.
    environment.remove_filter("chain");
    environment.remove_filter("zip");
    environment.remove_global("debug");
    environment.add_global(ONE, 1);
    environment.set_unknown_method_callback(methods::call);
    add_operators(&mut environment);
    for (name, paying) in FILTERS {
        environment.add_filter(paying, move |state: &mut State, arguments: Rest<Value>| {
            pay_for_filter(state, name, &arguments)?;
            let result = state.apply_filter(name, &arguments)?;
            Meter::new(state).settle(result)
        });
    }
    for (name, paying) in TESTS {
        environment.add_filter(paying, move |state: &mut State, arguments: Rest<Value>| {
            pay_for_all(state, &arguments)?;
            state.perform_test(name, &arguments)
        });
    }
    environment
}

fn add_operators(environment: &mut Environment<'static>) {
    environment.add_filter("~+", |state: &State, a: &Value, b: &Value| operators::add(state, a, b));
    environment
        .add_filter("~*", |state: &State, a: &Value, b: &Value| operators::multiply(state, a, b));
    environment.add_filter("~~", |state: &State, a: &Value, b: &Value| {
        operators::concatenate(state, a, b)
    });
    environment
        .add_filter("~in", |state: &State, a: &Value, b: &Value| operators::contains(state, a, b));
    environment
        .add_filter("~[]", |state: &State, a: &Value, b: &Value| operators::item(state, a, b));
    environment.add_filter("~[:]", operators::slice);
    type Compare = fn(&Value, &Value) -> bool;
    let comparisons: [(&str, Compare); 6] = [
        ("~==", |a, b| a == b),
        ("~!=", |a, b| a != b),
        ("~<", |a, b| a < b),
        ("~<=", |a, b| a <= b),
        ("~>", |a, b| a > b),
        ("~>=", |a, b| a >= b),
    ];
    for (name, compare) in comparisons {
        environment.add_filter(name, move |state: &State, a: &Value, b: &Value| {
            operators::pay_for_comparison(state, a, b)?;
            Ok::<_, Error>(compare(a, b))
        });
    }
    environment.add_filter("~{}", |state: &State, pairs: Rest<Value>| {
        let mut meter = Meter::new(state);
        for pair in pairs.chunks_exact(2) {
            meter.walk_container(&pair[0])?;
        }
        let pairs = pairs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Ok::<_, Error>(Value::from_pairs(pairs))
    });
    environment.add_filter("~changed", |state: &mut State, arguments: Rest<Value>| {
        pay_for_all(state, &arguments[1..])?;
        arguments[0].call_method(state, "changed", &arguments[1..])
    });
}

/// Pays for everything a filter of the engine will walk or make.
fn pay_for_filter(state: &State, name: &str, arguments: &[Value]) -> Result<(), Error> {
    let [value, rest @ ..] = arguments else { return Ok(()) };
    pay_for_all(state, rest)?;
    if SHALLOW_FILTERS.contains(&name) {
        return Ok(());
    }
    let mut meter = Meter::new(state);
    let size = meter.walk_container(value)?;
    let count = value.len().unwrap_or(0);
    match name {
        "sort" | "unique" | "groupby" | "dictsort" | "min" | "max" => {
            meter.pay(size.saturating_mul(u64::from(usize::BITS - count.leading_zeros())))
        }
        "join" | "map" | "select" | "selectattr" | "reject" | "rejectattr" => {
            let each = rest.iter().map(|value| value.as_str().map_or(64, str::len) as u64);
            meter.pay(each.sum::<u64>().saturating_mul(count as u64))
        }
        "split" | "lines" => {
            let pieces = value.as_str().map_or(0, |text| methods::pieces(text, rest));
            meter.pay_slots(pieces)
        }
        _ => Ok(()),
    }
}

fn pay_for_all(state: &State, values: &[Value]) -> Result<(), Error> {
    let mut meter = Meter::new(state);
    for value in values {
        let bytes = meter.walk_container(value)?;
        meter.pay(bytes)?;
    }
    Ok(())
}

/// `source`, compiled, with every operation that pays in place of the engine's.
pub(super) fn compile<'s>(name: &'s str, source: &'s str) -> Result<CompiledTemplate<'s>, Error> {
    let config = TemplateConfig {
        syntax_config: syntax(),
        default_auto_escape: Arc::new(|_| AutoEscape::None),
    };
    let mut compiled = CompiledTemplate::new(name, source, &config)?;
    redirect(&mut compiled.instructions)?;
    compiled.blocks.values_mut().try_for_each(redirect)?;
    Ok(compiled)
}

fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    syntax.expect("the default delimiters do not clash")
}

fn redirect(instructions: &mut Instructions) -> Result<(), Error> {
    let mut at = 0;
    while let Some(instruction) = instructions.get_mut(at) {
        if let Some(paying) = replacement(instruction)? {
            *instruction = paying;
        }
        at += 1;
    }
    Ok(())
}

/// No place among the engine's cached filters.
const UNCACHED: u8 = u8::MAX;

/// What runs instead of `instruction`; each takes the same values from the stack.
fn replacement<'s>(instruction: &Instruction<'s>) -> Result<Option<Instruction<'s>>, Error> {
    let refused = |what: &str| Err(Error::new(ErrorKind::SyntaxError, what.to_owned()));
    let name = match instruction {
        Instruction::Add => "~+",
        Instruction::Mul => "~*",
        Instruction::StringConcat => "~~",
        Instruction::Eq => "~==",
        Instruction::Ne => "~!=",
        Instruction::Lt => "~<",
        Instruction::Lte => "~<=",
        Instruction::Gt => "~>",
        Instruction::Gte => "~>=",
        Instruction::In => "~in",
        Instruction::GetItem => "~[]",
        Instruction::Slice => return Ok(Some(Instruction::ApplyFilter("~[:]", Some(4), UNCACHED))),
        Instruction::BuildMap(count @ 1..) => {
            let Ok(values) = u16::try_from(2 * count) else {
                return refused("a mapping of that many fields is not supported");
            };
            return Ok(Some(Instruction::ApplyFilter("~{}", Some(values), UNCACHED)));
        }
        Instruction::ApplyFilter(name, count, local) => {
            return Ok(
                paying(&FILTERS, name).map(|name| Instruction::ApplyFilter(name, *count, *local))
            );
        }
        Instruction::PerformTest(name, count, _) => {
            return Ok(
                paying(&TESTS, name).map(|name| Instruction::ApplyFilter(name, *count, UNCACHED))
            );
        }
        Instruction::CallMethod("changed", count) => {
            return Ok(Some(Instruction::ApplyFilter("~changed", *count, UNCACHED)));
        }
        Instruction::CompareAndPreserve(_) => {
            return refused("chained comparisons are not supported; join two with `and`");
        }
        Instruction::LoadConst(value) if value.kind() == ValueKind::Iterable => {
            return refused("a list that is written as a product or sum of lists is not supported");
        }
        _ => return Ok(None),
    };
    Ok(Some(Instruction::ApplyFilter(name, Some(2), UNCACHED)))
}

/// The paying one for `name`, in which the engine allows spaces.
fn paying(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let name: String = name.split_ascii_whitespace().collect();
    let at = table.binary_search_by_key(&name.as_str(), |(name, _)| name).ok()?;
    Some(table[at].1)
}

/// `source` with `* 1` before every product, so that the compiler cannot work products of
/// constants out ahead of time, where nothing pays for them. Refuses long tags: the compiler's
/// time grows with the square of an expression.
pub(super) fn without_constant_products(source: &str) -> Result<Cow<'_, str>, Error> {
    let mut text = String::new();
    let (mut copied, mut tag_tokens, mut begins) = (0, 0, true);
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token?;
        if matches!(token, Token::Mul) && !begins {
            let star = span.start_offset as usize;
            text.extend([&source[copied..star], "* ", ONE, " "]);
            copied = star;
        }
        // After these a star spreads a list over arguments.
        begins = matches!(token, Token::ParenOpen | Token::Comma);
        let is_border = matches!(
            token,
            Token::VariableStart | Token::BlockStart | Token::VariableEnd | Token::BlockEnd
        );
        tag_tokens = if is_border { 0 } else { tag_tokens + 1 };
        if tag_tokens > MAX_TAG_TOKENS {
            let reason = format!("a tag has more than {MAX_TAG_TOKENS} words and signs");
            return Err(Error::new(ErrorKind::SyntaxError, reason));
        }
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(source));
    }
    text.push_str(&source[copied..]);
    Ok(Cow::Owned(text))
}
