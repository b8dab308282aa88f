//! Cuts words into the pieces inside which byte pair merges happen, by the vocabulary's own rule.
//!
//! Called by `Tokenizer::encode` for `gpt2` vocabularies; the rule's name is `tokenizer.ggml.pre`.
//! A rule is a sequence of patterns; each cuts the pieces of the one before, and what lies between
//! two matches is a piece too. Every pattern runs on an automaton (no backtracking), so the time is
//! linear in the text whatever the text is. The one look-ahead that all families share, "white
//! space, but leave one character to the word that follows", is not a pattern here but the rule
//! `SPACES` and two lines in [`PreTokenizer::cut`].
//! Errors: [`TokenizerError::UnsupportedPreTokenizer`]. Source: the `pre_tokenizer` of each
//! family's published `tokenizer.json`. Absent on purpose: rules nobody could test here.

use std::ops::Range;

use regex_automata::{Input, meta::Regex};

use super::TokenizerError;

/// White space that gives its last character to a word right after it.
const SPACES: &str = r"\s+";

/// A word with the mark or space before it.
const WORD: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";

/// A run of marks with the space before it.
const MARKS: &str = r" ?[^\s\p{L}\p{N}]+";

const CONTRACTIONS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";

const CJK: &str = r"[\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+";

/// Letters of the cased scripts as the DeepSeek LLM tokenizer lists them.
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[",
    r"\x{41}-\x{5a}\x{61}-\x{7a}\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}",
    r"\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}",
    r"\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}",
    r"\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}",
    r"\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}",
    r"\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}",
    r"\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}",
    r"\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}",
    r"\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}",
    r"\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}",
    r"\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}",
    r"\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}",
    r"\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}",
    r"\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}",
    r"\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943}",
    r"]+"
);

const DEEPSEEK_MARKS: &str = concat!(
    r"\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}",
    r"\x{2018}-\x{201f}\x{3000}-\x{3002}]+"
);

const DEEPSEEK_V3: &str = concat!(
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+"
);

/// Upper and lower parts of a camel-case word; marks and uncased letters belong to both.
const UPPER: &str = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}";
const LOWER: &str = r"\p{Ll}\p{Lm}\p{Lo}\p{M}";

/// One cutting step: the pattern, and whether [`SPACES`] comes after it.
type Step = (String, bool);

/// Everything that hangs on the name of a rule.
struct Rule {
    steps: Vec<Step>,
    /// A piece that is a token as a whole is not merged.
    whole_words: bool,
    /// Encoding with specials begins with BOS unless the metadata says otherwise.
    starts_with_bos: bool,
}

fn rule(steps: Vec<Step>) -> Option<Rule> {
    Some(Rule { steps, whole_words: false, starts_with_bos: false })
}

fn last(pattern: impl Into<String>) -> Step {
    (pattern.into(), true)
}

fn step(pattern: &str) -> Step {
    (pattern.to_owned(), false)
}

/// Contractions, words, runs of at most `digits` digits, marks, line ends.
fn words_and_digits(digits: &str) -> String {
    format!(r"{CONTRACTIONS}|{WORD}|{digits}|{MARKS}[\r\n]*|\s*[\r\n]+")
}

/// The same with camel-case words cut at the hump; `not` is taken out of the letters.
fn camel_case(end: &str, digits: &str, line: &str, not: &str) -> String {
    let (upper, lower) = (format!("[{UPPER}{not}]"), format!("[{LOWER}{not}]"));
    let before = r"[^\r\n\p{L}\p{N}]?";
    let words = format!("{before}{upper}*{lower}+{end}|{before}{upper}+{lower}*{end}");
    format!(r"{words}|{digits}|{MARKS}[\r\n{line}]*|\s*[\r\n]+")
}

/// The table of rules.
fn rule_named(name: &str) -> Option<Rule> {
    match name {
        "default" => rule(vec![
            step(r"[\p{P}\$\+<=>\^\~\|]+"),
            last(GPT2),
            step(r"\p{N}+"),
            step("[0-9][0-9][0-9]"),
        ]),
        "gpt-2" | "mpt" | "olmo" | "jais" | "phi-2" | "exaone4" => rule(vec![last(GPT2)]),
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" => {
            rule(vec![step(r"\p{N}"), last(GPT2)])
        }
        "falcon" => {
            rule(vec![step(r"[\p{P}\$\+<=>\^\~\|`]+"), last(GPT2), step("[0-9][0-9][0-9]")])
        }
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral" => Some(Rule {
            steps: vec![last(words_and_digits(r"\p{N}{1,3}"))],
            whole_words: true,
            starts_with_bos: true,
        }),
        "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => {
            rule(vec![last(words_and_digits(r"\p{N}{1,3}"))])
        }
        "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "hunyuan" | "megrez" => {
            rule(vec![last(words_and_digits(r"\p{N}"))])
        }
        "qwen35" => rule(vec![last(format!(
            concat!(
                r"{}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}",
                r"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+"
            ),
            CONTRACTIONS
        ))]),
        "seed-coder" => {
            let marks = r" ?[^\s\p{L}\p{N}\r\n]+";
            rule(vec![last(format!(r"{CONTRACTIONS}|{WORD}|\p{{N}}|{marks}|\s*[\r\n]+"))])
        }
        _ => rule_of_later_families(name),
    }
}

/// The table's second half.
fn rule_of_later_families(name: &str) -> Option<Rule> {
    let contraction_end = format!("{CONTRACTIONS}?");
    match name {
        "deepseek-llm" => rule(vec![
            step(r"[\r\n]"),
            step(DEEPSEEK_LETTERS),
            step(DEEPSEEK_MARKS),
            step(r"\s+\z"),
            step(CJK),
            step(r"\p{N}+"),
        ]),
        "deepseek-coder" => rule(vec![
            step(r"[\r\n]"),
            step(r"\s?\p{L}+"),
            step(r"\s?\p{P}+"),
            step(CJK),
            step(r"\p{N}"),
        ]),
        "deepseek-v3" => rule(vec![
            step(r"\p{N}{1,3}"),
            step(r"[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+"),
            last(DEEPSEEK_V3),
        ]),
        "tekken" => Some(Rule {
            steps: vec![last(camel_case("", r"\p{N}", "/", ""))],
            whole_words: true,
            starts_with_bos: true,
        }),
        "gpt-4o" | "llama4" | "minimax-m2" => {
            rule(vec![last(camel_case(&contraction_end, r"\p{N}{1,3}", "/", ""))])
        }
        "kimi-k2" => {
            let words = camel_case(&contraction_end, r"\p{N}{1,3}", "", r"&&[^\p{Han}]");
            rule(vec![last(format!(r"\p{{Han}}+|{words}"))])
        }
        _ => None,
    }
}

/// Whether the family called `name` begins with BOS unless told otherwise.
pub(crate) fn starts_with_bos(name: Option<&str>) -> bool {
    name.and_then(rule_named).is_some_and(|rule| rule.starts_with_bos)
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    steps: Vec<Regex>,
    /// Whether whole pieces that are tokens skip merging.
    pub(crate) whole_words: bool,
}

impl PreTokenizer {
    /// Compiles the rule called `name`.
    pub(crate) fn named(name: Option<&str>) -> Result<PreTokenizer, TokenizerError> {
        let shown = name.unwrap_or("(none)");
        let unsupported = || TokenizerError::UnsupportedPreTokenizer { name: shown.to_owned() };
        let rule = rule_named(name.unwrap_or("default")).ok_or_else(unsupported)?;
        let compiled = rule.steps.iter().map(|(pattern, spaces)| {
            let patterns = [pattern.as_str(), SPACES];
            Regex::new_many(&patterns[..if *spaces { 2 } else { 1 }]).map_err(|_| unsupported())
        });
        let steps = compiled.collect::<Result<_, _>>()?;
        Ok(PreTokenizer { steps, whole_words: rule.whole_words })
    }

    /// Cuts at line ends only (character-level vocabularies).
    pub(crate) fn lines() -> PreTokenizer {
        let lines = Regex::new(r"\n+").expect("a constant pattern compiles");
        PreTokenizer { steps: vec![lines], whole_words: false }
    }

    /// The pieces of `text`, in order; together they are the text.
    pub(crate) fn split(&self, text: &str) -> Vec<Range<usize>> {
        let whole = 0..text.len();
        let mut pieces = vec![whole];
        for step in &self.steps {
            let mut finer = Vec::with_capacity(pieces.len());
            for piece in pieces {
                cut(step, &text[piece.clone()], piece.start, &mut finer);
            }
            pieces = finer;
        }
        pieces
    }
}

/// Cuts `piece`, which begins at `offset` of the whole text.
fn cut(step: &Regex, piece: &str, offset: usize, finer: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < piece.len() {
        let Some(found) = step.find(Input::new(piece).range(at..)) else { break };
        let mut end = found.end();
        if found.pattern().as_usize() == 1 && end < piece.len() {
            let kept = piece[found.start()..end].char_indices().next_back();
            end = kept.filter(|(index, _)| *index > 0).map_or(end, |(i, _)| found.start() + i);
        }
        if found.start() > at {
            finer.push(offset + at..offset + found.start());
        }
        finer.push(offset + found.start()..offset + end);
        at = end;
    }
    if at < piece.len() {
        finer.push(offset + at..offset + piece.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let rule = PreTokenizer::named(Some(name)).unwrap();
        rule.split(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn white_space_leaves_one_character_to_the_word() {
        assert_eq!(pieces("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(pieces("gpt-2", "a\n\nb  "), ["a", "\n", "\n", "b", "  "]);
        assert_eq!(pieces("qwen2", "a \n\n  b"), ["a", " \n\n", " ", " b"]);
    }

    #[test]
    fn families_differ_where_they_should() {
        assert_eq!(pieces("llama-bpe", "12345"), ["123", "45"]);
        assert_eq!(pieces("qwen2", "12345"), ["1", "2", "3", "4", "5"]);
        assert_eq!(pieces("gpt-2", "12345"), ["12345"]);
        assert_eq!(pieces("gpt-4o", "camelCase's"), ["camel", "Case's"]);
        assert_eq!(pieces("qwen2", "camelCase's"), ["camelCase", "'s"]);
        assert_eq!(pieces("deepseek-v3", "a.b(c"), ["a", ".b", "(c"]);
    }

    #[test]
    fn pieces_tile_hostile_texts_in_linear_time() {
        let long = 400_000;
        let texts = ["\n ".repeat(long), " ".repeat(long), "aA".repeat(long), "'".repeat(long)];
        for name in ["default", "gpt-2", "qwen2", "deepseek-llm", "deepseek-v3", "gpt-4o"] {
            let rule = PreTokenizer::named(Some(name)).unwrap();
            for text in &texts {
                let mut at = 0;
                for piece in rule.split(text) {
                    assert_eq!(piece.start, at);
                    assert!(piece.end > at);
                    at = piece.end;
                }
                assert_eq!(at, text.len());
            }
        }
    }

    #[test]
    fn unknown_rules_are_refused_by_name() {
        let refused = PreTokenizer::named(Some("no-such-rule")).unwrap_err();
        assert!(refused.to_string().contains("no-such-rule"));
    }
}
