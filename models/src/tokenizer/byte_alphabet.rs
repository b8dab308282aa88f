//! The printable alphabet in which byte-level vocabularies spell bytes.
//!
//! Called by `vocabulary.rs` while a vocabulary is read; nothing spells bytes at run time. A byte
//! that is a visible Latin-1 character stands for itself; the other 68 bytes, in ascending order,
//! are the characters from U+0100 on (so a space is U+0120).
//! Source: the GPT-2 release (`bytes_to_unicode`). Errors: none, both directions are total or
//! answer `None`. Absent on purpose: any table in memory; the rule is four comparisons.

/// True where a byte is its own spelling.
const fn is_visible(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The character that spells `byte`.
pub(crate) fn spelling_of(byte: u8) -> char {
    if is_visible(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|b| !is_visible(*b)).count() as u32;
    char::from_u32(0x100 + hidden_before).expect("U+0100..U+0144 are characters")
}

/// The byte that `spelling` stands for; `None` outside the alphabet.
pub(crate) fn byte_of(spelling: char) -> Option<u8> {
    match u32::from(spelling) {
        code @ 0..=0xff => u8::try_from(code).ok().filter(|byte| is_visible(*byte)),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Undoes the spelling of a whole token; `None` when a character is outside the alphabet.
pub(crate) fn unspell(text: &str) -> Option<Vec<u8>> {
    text.chars().map(byte_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_spelling_and_back() {
        let mut seen = std::collections::BTreeSet::new();
        for byte in 0..=u8::MAX {
            let spelling = spelling_of(byte);
            assert!(seen.insert(spelling));
            assert_eq!(byte_of(spelling), Some(byte));
        }
        assert_eq!(spelling_of(b' '), '\u{120}');
        assert_eq!(spelling_of(b'\n'), '\u{10a}');
    }

    #[test]
    fn characters_outside_the_alphabet_are_refused() {
        for outside in [' ', '\n', '\u{ad}', '\u{144}', '\u{4e00}'] {
            assert_eq!(byte_of(outside), None);
        }
        assert_eq!(unspell("a b"), None);
    }
}
