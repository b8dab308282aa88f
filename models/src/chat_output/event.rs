//! What parsed output consists of, and where parsers put it.
//!
//! [`ChatEvent`]s go to the doors, which turn them into their dialects. Deltas of one kind that
//! follow each other within a push are one event. Errors: none.

/// Longest name of a tool.
const MAX_NAME_BYTES: usize = 128;

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatEvent {
    /// Text for the reader.
    Content(String),
    /// Text the model wrote to itself.
    Reasoning(String),
    /// A call of this tool begins; its arguments follow.
    ToolCallBegin(String),
    /// A piece of the call's arguments; all pieces together are a JSON object.
    ToolCallArguments(String),
    /// The call is complete.
    ToolCallEnd,
    /// The call that began is none after all: its arguments broke off or stopped being JSON. Holds
    /// everything the model wrote for it. A door that has not shown the call yet treats it as
    /// content; one that has, ends the call there.
    ToolCallBroken(String),
}

/// Whether `name` can be a tool's.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_letter)
}

/// Collects the events of one push.
#[derive(Debug, Default)]
pub(super) struct EventSink {
    pub(super) events: Vec<ChatEvent>,
    /// Whether a call has begun and not ended.
    pub(super) is_in_call: bool,
    /// Whether a call ended since the parser last looked.
    pub(super) has_ended: bool,
}

impl EventSink {
    pub(super) fn content(&mut self, text: &str) {
        match self.events.last_mut() {
            _ if text.is_empty() => {}
            Some(ChatEvent::Content(last)) => last.push_str(text),
            _ => self.events.push(ChatEvent::Content(text.into())),
        }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        match self.events.last_mut() {
            _ if text.is_empty() => {}
            Some(ChatEvent::Reasoning(last)) => last.push_str(text),
            _ => self.events.push(ChatEvent::Reasoning(text.into())),
        }
    }

    pub(super) fn begin(&mut self, name: &str) {
        self.events.push(ChatEvent::ToolCallBegin(name.into()));
        self.is_in_call = true;
    }

    pub(super) fn arguments(&mut self, text: &str) {
        match self.events.last_mut() {
            Some(ChatEvent::ToolCallArguments(last)) => last.push_str(text),
            _ => self.events.push(ChatEvent::ToolCallArguments(text.into())),
        }
    }

    /// A character of JSON arguments; control characters in strings are escaped, as JSON wants it.
    pub(super) fn argument_character(&mut self, c: char, is_in_string: bool) {
        match c {
            '\n' if is_in_string => self.arguments("\\n"),
            '\t' if is_in_string => self.arguments("\\t"),
            c if is_in_string && c < ' ' => self.arguments(&format!("\\u{:04x}", u32::from(c))),
            c => self.arguments(c.encode_utf8(&mut [0; 4])),
        }
    }

    pub(super) fn end(&mut self) {
        self.events.push(ChatEvent::ToolCallEnd);
        self.is_in_call = false;
        self.has_ended = true;
    }

    /// What was read as a call, `raw`, is none.
    pub(super) fn broken(&mut self, raw: String) {
        match std::mem::take(&mut self.is_in_call) {
            true => self.events.push(ChatEvent::ToolCallBroken(raw)),
            false => self.content(&raw),
        }
    }
}
