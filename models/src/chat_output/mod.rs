//! Reads generated text: what is for the reader, what is reasoning, what calls a tool.
//!
//! Called by the doors with the text of an answer as it comes, its format's control tokens spelled
//! out ([`crate::Tokenizer::stream_with_tags`] of [`OutputFormat::tags`]); the events are the same
//! however the text is cut. The format comes from the model's chat template
//! ([`OutputFormat::of_template`]).
//!
//! - White space between parts (around tags, between calls) belongs to the tags and is dropped.
//! - Reasoning is recognised where an answer begins; an answer may also begin inside it.
//! - What looks like a call and is none is content. A call that turned out broken after it was
//!   announced is taken back with [`ChatEvent::ToolCallBroken`], which holds its text. Reading goes
//!   on behind it.
//! - Only what may still become a tag is held back.
//!
//! Errors: none; no text is lost and none makes it panic. Source: published chat templates.

mod block;
mod event;
mod format;
mod json_block;
mod json_call;
mod json_value;
mod named_block;
mod tagged_block;
#[cfg(test)]
mod tests;

use block::{Begins, CallBlock, Step, begins, start_of_part};
use event::EventSink;

pub use event::ChatEvent;
pub use format::{OutputFormat, ReasoningTags, ToolCallFormat};

/// An answer being read.
#[derive(Debug)]
pub struct ChatOutputParser {
    format: OutputFormat,
    state: State,
    /// Text that is not decided yet.
    text: String,
    /// What was taken of the current call, from the white space before its marker on.
    raw: String,
    /// Whether white space is dropped until something else comes.
    skips_space: bool,
    /// Whether no content was found yet.
    is_leading: bool,
    /// Whether reasoning may still begin.
    may_reason: bool,
    out: EventSink,
}

#[derive(Debug)]
enum State {
    Content,
    Reasoning(ReasoningTags),
    /// After a marker; which parser goes on depends on the text.
    Marked,
    Calls {
        block: Box<dyn CallBlock>,
        has_calls: bool,
    },
}

impl ChatOutputParser {
    /// Reads an answer from its beginning. `in_reasoning` says that the prompt already opened
    /// reasoning ([`OutputFormat::reasons_from_the_start`]).
    pub fn new(format: OutputFormat, in_reasoning: bool) -> ChatOutputParser {
        let tags = format.reasoning.filter(|_| in_reasoning);
        ChatOutputParser {
            format,
            state: tags.map_or(State::Content, State::Reasoning),
            text: String::new(),
            raw: String::new(),
            skips_space: tags.is_some(),
            is_leading: true,
            may_reason: tags.is_none(),
            out: EventSink::default(),
        }
    }

    /// Reads more text; answers what is certain now.
    pub fn push(&mut self, text: &str) -> Vec<ChatEvent> {
        self.text.push_str(text);
        while self.advance() {}
        std::mem::take(&mut self.out.events)
    }

    /// Whether what comes next is reasoning, as far as is known.
    pub fn is_in_reasoning(&self) -> bool {
        matches!(self.state, State::Reasoning(_))
    }

    /// Ends the answer; answers what was held back.
    pub fn finish(mut self) -> Vec<ChatEvent> {
        let rest = if self.skips_space { self.text.trim_start() } else { &self.text };
        match self.state {
            State::Content => self.out.content(rest),
            State::Reasoning(_) => self.out.reasoning(rest),
            State::Calls { has_calls: true, .. } if !self.out.is_in_call => {
                let rest = format!("{}{}", self.raw, self.text);
                self.out.content(rest.trim());
            }
            State::Marked | State::Calls { .. } => {
                self.out.broken(format!("{}{}", self.raw, self.text));
            }
        }
        self.out.events
    }

    /// Decides about some of the text; false when more must come first.
    fn advance(&mut self) -> bool {
        if self.skips_space {
            let space = self.text.len() - self.text.trim_start().len();
            self.text.drain(..space);
            if self.text.is_empty() {
                return false;
            }
            self.skips_space = false;
        }
        match &mut self.state {
            State::Content if self.is_leading => self.lead(),
            State::Content => self.content(),
            State::Reasoning(tags) => {
                let tags = *tags;
                self.reasoning(tags)
            }
            State::Marked => match self.format.tool_calls.block(&self.text) {
                Some(block) => {
                    self.state = State::Calls { block, has_calls: false };
                    true
                }
                None => false,
            },
            State::Calls { block, .. } => {
                let step = block.step(&self.text, &mut self.out);
                self.take_step(step)
            }
        }
    }

    /// Where an answer begins.
    fn lead(&mut self) -> bool {
        let first = self.text.trim_start();
        let space = self.text.len() - first.len();
        if first.is_empty() {
            return false;
        }
        let tags = self.format.reasoning.filter(|_| self.may_reason);
        let reasons = tags.map_or(Begins::No, |tags| begins(first, tags.open));
        let calls = self.format.tool_calls.opens_answer(first);
        match (reasons, tags, calls) {
            (Begins::Yes, Some(tags), _) => {
                self.text.drain(..space + tags.open.len());
                self.state = State::Reasoning(tags);
                self.skips_space = true;
            }
            (_, _, Begins::Yes) => {
                self.raw = self.text.drain(..space).collect();
                self.state = State::Marked;
            }
            (Begins::Perhaps, ..) | (.., Begins::Perhaps) => return false,
            _ => {}
        }
        self.is_leading = false;
        self.may_reason = false;
        true
    }

    fn content(&mut self) -> bool {
        let Some(marker) = self.format.tool_calls.marker() else {
            self.out.content(&self.text);
            self.text.clear();
            return false;
        };
        let (sure, end) = match self.text.find(marker) {
            Some(at) => (self.text[..at].trim_end().len(), Some(at + marker.len())),
            None => {
                let sure = start_of_part(&self.text, marker);
                (self.text[..sure].trim_end().len(), None)
            }
        };
        self.out.content(&self.text[..sure]);
        if let Some(end) = end {
            self.raw = self.text[sure..end].into();
            self.state = State::Marked;
        }
        self.text.drain(..end.unwrap_or(sure));
        end.is_some()
    }

    fn reasoning(&mut self, tags: ReasoningTags) -> bool {
        let found = self.text.find(tags.close);
        let end = found.unwrap_or_else(|| start_of_part(&self.text, tags.close));
        let sure = self.text[..end].trim_end().len();
        self.out.reasoning(&self.text[..sure]);
        match found {
            None => drop(self.text.drain(..sure)),
            Some(at) => {
                self.text.drain(..at + tags.close.len());
                self.state = State::Content;
                self.skips_space = true;
                self.is_leading = true;
            }
        }
        found.is_some()
    }

    fn take_step(&mut self, step: Step) -> bool {
        match step {
            Step::More => return false,
            Step::Take(bytes) => {
                self.raw.extend(self.text.drain(..bytes));
                if std::mem::take(&mut self.out.has_ended) {
                    self.raw.clear();
                    if let State::Calls { has_calls, .. } = &mut self.state {
                        *has_calls = true;
                    }
                }
            }
            Step::Leave => {
                let raw = std::mem::take(&mut self.raw);
                if matches!(self.state, State::Calls { has_calls: false, .. }) {
                    self.out.broken(raw);
                } else {
                    self.skips_space = true;
                }
                self.state = State::Content;
            }
            Step::Malformed => {
                self.out.broken(std::mem::take(&mut self.raw));
                self.state = State::Content;
            }
        }
        true
    }
}
