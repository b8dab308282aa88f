//! Turns tokens into text one by one, releasing whole characters only.
//!
//! Called once per sampled token by whoever streams an answer. Bytes that may still become a
//! character are held back (at most three); bytes that cannot are replaced by U+FFFD, one for each
//! maximal invalid run, as `String::from_utf8_lossy` does, so the pushed texts and the end joined
//! equal the lossy text of all bytes at once. Control tokens print nothing, except those that were
//! asked for: formats of reasoning and tool calls are made of them.
//! Errors: none. Source: Unicode 16, section 3.9 (substitution of maximal subparts).
//! Absent on purpose: stop texts; they belong to the door that asked for them.

use std::sync::Arc;

use super::Tokenizer;

/// The running end of one text; owns its tokenizer.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Arc<super::Inner>,
    at_start: bool,
    /// Control tokens that print their text.
    tags: Vec<u32>,
    held: Vec<u8>,
}

impl StreamDecoder {
    /// Starts an empty text.
    pub(crate) fn new(tokenizer: &Tokenizer, tags: Vec<u32>) -> StreamDecoder {
        let tokenizer = Arc::clone(&tokenizer.inner);
        StreamDecoder { tokenizer, at_start: true, tags, held: Vec::new() }
    }

    /// Adds a token and answers the characters that are now complete; may be empty.
    pub fn push(&mut self, token: u32) -> String {
        let printed = match self.tags.contains(&token) {
            true => self.tokenizer.vocabulary.token_bytes(token),
            false => self.tokenizer.printed(token, &mut self.at_start),
        };
        self.held.extend_from_slice(printed);
        release(&mut self.held)
    }

    /// Ends the text: whatever is held back can no longer become a character.
    pub fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.held).into_owned();
        self.held.clear();
        rest
    }
}

/// Takes everything out of `held` but an incomplete last character.
fn release(held: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut done = 0;
    for chunk in held.utf8_chunks() {
        text.push_str(chunk.valid());
        done += chunk.valid().len();
        let is_last = done + chunk.invalid().len() == held.len();
        if chunk.invalid().is_empty() || (is_last && may_continue(chunk.invalid())) {
            break;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        done += chunk.invalid().len();
    }
    held.drain(..done);
    text
}

/// Whether `bytes`, a maximal invalid run at the end, is the beginning of a character.
fn may_continue(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.valid_up_to() == 0 && error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
        let mut held = Vec::new();
        let texts = pieces.iter().map(|piece| {
            held.extend_from_slice(piece);
            release(&mut held)
        });
        (texts.collect(), held)
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let (texts, held) = stream(&[b"a\xf0\x9f", b"\xa6", b"\x99b"]);
        assert_eq!(texts, ["a", "", "\u{1f999}b"]);
        assert!(held.is_empty());
    }

    #[test]
    fn bytes_that_cannot_become_a_character_are_replaced_at_once() {
        let (texts, held) = stream(&[b"\xff\xc3", b"(", b"\x80x\xe2\x82"]);
        assert_eq!(texts, ["\u{fffd}", "\u{fffd}(", "\u{fffd}x"]);
        assert_eq!(held, b"\xe2\x82");
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_lossy_text() {
        let bytes = b"ab\xe2\x82\xac\xf0\x9f\x92\xff\xc3\xa9\xed\xa0\x80\xf4\x90z\xe2\x82";
        for cut in 0..=bytes.len() {
            for second in cut..=bytes.len() {
                let (a, rest) = bytes.split_at(cut);
                let (b, c) = rest.split_at(second - cut);
                let (texts, held) = stream(&[a, b, c]);
                let all = texts.concat() + &String::from_utf8_lossy(&held);
                assert_eq!(all, String::from_utf8_lossy(bytes));
            }
        }
    }
}
