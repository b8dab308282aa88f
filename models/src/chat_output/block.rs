//! What the parsers of calls share: reading the beginning of a text that is still coming.
//!
//! A block takes over after the text that announces calls (a marker such as `<tool_call>`) and
//! gives back when its calls are over. It is asked for one step at a time and sees all text that
//! has not been taken yet; it must answer the same for every longer text unless it asks for more.

use super::event::EventSink;

/// Longest name, key or call id.
const MAX_WORD_BYTES: usize = 256;

/// What a block does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Takes this many bytes and goes on.
    Take(usize),
    /// Cannot tell yet.
    More,
    /// The calls are over, the text goes on after them.
    Leave,
    /// This is no call.
    Malformed,
}

/// A parser of calls in one format.
pub(super) trait CallBlock: std::fmt::Debug + Send {
    /// Looks at the text that is left.
    fn step(&mut self, text: &str, out: &mut EventSink) -> Step;
}

/// Whether a text begins with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// It does.
    Yes,
    /// It may once more of it is there.
    Perhaps,
    /// It does not.
    No,
}

/// Whether `text` begins with `wanted`.
pub(super) fn begins(text: &str, wanted: &str) -> Begins {
    if text.starts_with(wanted) {
        Begins::Yes
    } else if wanted.starts_with(text) {
        Begins::Perhaps
    } else {
        Begins::No
    }
}

/// The first of `choices` that `text` begins with; `Err(More)` while one may still come.
pub(super) fn choose(text: &str, choices: &[&'static str]) -> Result<&'static str, Step> {
    let found = choices.iter().find(|choice| begins(text, choice) == Begins::Yes);
    if let Some(choice) = found {
        return Ok(choice);
    }
    let is_open = choices.iter().any(|choice| begins(text, choice) == Begins::Perhaps);
    Err(if is_open { Step::More } else { Step::Malformed })
}

/// The step that takes white space at the beginning, or waits for a first character.
pub(super) fn skip_space(text: &str) -> Option<Step> {
    let space = text.len() - text.trim_start().len();
    match space {
        0 if text.is_empty() => Some(Step::More),
        0 => None,
        space => Some(Step::Take(space)),
    }
}

/// The text before the earliest of `ends`, and that end.
pub(super) fn until<'t>(text: &'t str, ends: &[&'static str]) -> Option<(&'t str, &'static str)> {
    let found = ends.iter().filter_map(|end| text.find(end).map(|at| (at, *end)));
    found.min_by_key(|(at, _)| *at).map(|(at, end)| (&text[..at], end))
}

/// Like [`until`] for a short text; a step while the end is missing or the text too long.
pub(super) fn word_until<'t>(
    text: &'t str,
    ends: &[&'static str],
) -> Result<(&'t str, &'static str), Step> {
    let longest_end = ends.iter().map(|end| end.len()).max().unwrap_or(0);
    match until(text, ends) {
        Some((word, end)) if word.len() <= MAX_WORD_BYTES => Ok((word, end)),
        None if text.len() < MAX_WORD_BYTES + longest_end => Err(Step::More),
        _ => Err(Step::Malformed),
    }
}

/// Where the longest end of `text` starts that may become `wanted`; its length when there is none.
pub(super) fn start_of_part(text: &str, wanted: &str) -> usize {
    let starts = wanted.char_indices().map(|(at, _)| at).rev();
    let part = starts.into_iter().find(|length| text.ends_with(&wanted[..*length]));
    text.len() - part.unwrap_or(0)
}
