//! What a script answers: from the tokens so far to the next one.
//!
//! Called by `network` for rows whose logits are wanted. A prompt is cut into messages at the
//! tokens that begin them; what follows the last `assistant` is the answer so far, of which only
//! the length matters. So the reply is a function of the prompt's tokens, and whoever goes on with
//! it on another node, or again after a preemption, says the same.
//! Errors: none; tokens that make no chat are answered with the end.

use std::{collections::HashMap, sync::Arc};

use super::{Rule, Scope, Script, ScriptError};
use crate::tokenizer::{EncodeOptions, Tokenizer};

const BEGIN: &str = "<|im_start|>";
const END: &str = "<|im_end|>";
/// What begins the message that holds results of tools, in the demo model's template.
const TOOL_RESULT: &str = "user\n<tool_response>";
/// Replies that are remembered, so that a prompt is not read again for every token.
const REMEMBERED: usize = 256;

/// Rules, and the vocabulary they are said in.
#[derive(Debug)]
pub(super) struct Player {
    rules: Vec<Rule>,
    tokenizer: Tokenizer,
    begin: u32,
    end: u32,
    /// The tokens between `begin` and an answer.
    assistant: Vec<u32>,
    replies: HashMap<blake3::Hash, Arc<[u32]>>,
}

impl Player {
    pub(super) fn new(script: &Script, tokenizer: Tokenizer) -> Result<Self, ScriptError> {
        let options = EncodeOptions { add_special: false, parse_special: true };
        let single = |text: &'static str| match tokenizer.encode(text, options)[..] {
            [id] => Ok(id),
            _ => Err(ScriptError::Vocabulary(text)),
        };
        Ok(Self {
            rules: script.rules()?,
            begin: single(BEGIN)?,
            end: single(END)?,
            assistant: tokenizer.encode("assistant\n", options),
            replies: HashMap::new(),
            tokenizer,
        })
    }

    /// The token that ends an answer.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The token that follows these.
    pub(super) fn next(&mut self, tokens: &[u32]) -> u32 {
        let Some(at) = tokens.iter().rposition(|token| *token == self.begin) else {
            return self.end;
        };
        let (prompt, answer) = tokens.split_at(at);
        let Some(answer) = answer[1..].strip_prefix(&self.assistant[..]) else { return self.end };
        self.reply(prompt).get(answer.len()).copied().unwrap_or(self.end)
    }

    fn reply(&mut self, prompt: &[u32]) -> Arc<[u32]> {
        let bytes: Vec<u8> = prompt.iter().flat_map(|token| token.to_le_bytes()).collect();
        let key = blake3::hash(&bytes);
        if let Some(reply) = self.replies.get(&key) {
            return reply.clone();
        }
        if self.replies.len() >= REMEMBERED {
            self.replies.clear();
        }
        let options = EncodeOptions { add_special: false, parse_special: true };
        let reply: Arc<[u32]> = self.tokenizer.encode(self.say(prompt), options).into();
        self.replies.insert(key, reply.clone());
        reply
    }

    /// What the first rule that fits says.
    fn say(&self, prompt: &[u32]) -> &str {
        let text =
            |tokens: &[u32]| String::from_utf8_lossy(&self.tokenizer.decode(tokens)).into_owned();
        let messages: Vec<String> =
            prompt.split(|token| *token == self.begin).skip(1).map(text).collect();
        let is_user = |message: &String| message.starts_with("user");
        let is_result = |message: &String| message.starts_with(TOOL_RESULT);
        let last = messages.iter().rposition(is_user).unwrap_or(0);
        let turn = messages[last.min(messages.len())..].join(BEGIN);
        let whole = messages.join(BEGIN);
        let heard = messages.iter().rev().filter(|message| is_user(message));
        let n_calls = heard.take_while(|message| is_result(message)).count();
        let fits = |rule: &&Rule| {
            let text = if rule.scope == Scope::Turn { &turn } else { &whole };
            rule.after_calls.is_none_or(|n| n == n_calls)
                && rule.when.as_ref().is_none_or(|when| when.is_match(text.as_str()))
        };
        self.rules.iter().find(fits).map_or("", |rule| &rule.say)
    }
}
