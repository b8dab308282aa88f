//! Tests of the tokenizer on small handmade vocabularies: both kinds, specials, hostile metadata.

use super::*;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };
const SPECIAL: EncodeOptions = EncodeOptions { add_special: true, parse_special: false };

/// All bytes, a few merges over "hello world", two control tokens, one user-defined token.
fn byte_level() -> VocabularyParts<'static> {
    let mut tokens: Vec<String> =
        (0..=255).map(|byte| byte_alphabet::spelling_of(byte).to_string()).collect();
    let merges = ["l l", "h e", "he ll", "hell o", "\u{120} w", "o r"];
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    let mut types = vec![1; tokens.len()];
    tokens.extend(["<|end|>", "<|im_end|>", "<tool>"].map(str::to_owned));
    types.extend([3, 3, 4]);
    VocabularyParts {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        bos: Some(tokens.len() as u32 - 3),
        eos: Some(tokens.len() as u32 - 3),
        tokens: tokens.into(),
        types,
        merges: merges.map(str::to_owned).to_vec().into(),
        ..VocabularyParts::default()
    }
}

/// Byte tokens, letters, and pieces whose scores decide.
fn sentence_piece() -> VocabularyParts<'static> {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    let mut types = vec![2, 3, 3];
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    types.extend([6; 256]);
    let pieces = [
        ("\u{2581}", -9.0),
        ("a", -9.0),
        ("b", -9.0),
        ("c", -9.0),
        ("ab", -2.0),
        ("bc", -1.0),
        ("\u{2581}a", -3.0),
    ];
    let mut scores = vec![0.0; tokens.len()];
    for (piece, score) in pieces {
        tokens.push(piece.into());
        scores.push(score);
        types.push(1);
    }
    VocabularyParts {
        model: "llama".into(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        tokens: tokens.into(),
        types,
        scores: scores.into(),
        ..VocabularyParts::default()
    }
}

fn texts(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let text = |id: &u32| String::from_utf8_lossy(tokenizer.token_bytes(*id)).into_owned();
    ids.iter().map(text).collect()
}

#[test]
fn merges_go_by_rank() {
    let tokenizer = Tokenizer::new(&byte_level()).unwrap();
    let ids = tokenizer.encode("hello world", PLAIN);
    assert_eq!(texts(&tokenizer, &ids), ["hello", " w", "or", "l", "d"]);
    assert_eq!(tokenizer.decode(&ids), b"hello world");
    assert!(tokenizer.encode("", PLAIN).is_empty());
    assert_eq!(tokenizer.vocab_size(), 265);
}

#[test]
fn scores_decide_and_bytes_catch_the_rest() {
    let tokenizer = Tokenizer::new(&sentence_piece()).unwrap();
    let ids = tokenizer.encode("abc", PLAIN);
    assert_eq!(texts(&tokenizer, &ids), [" a", "bc"]);
    let ids = tokenizer.encode("c\u{e9}", PLAIN);
    assert_eq!(texts(&tokenizer, &ids[..2]), [" ", "c"]);
    assert_eq!(ids[2..], [3 + 0xc3, 3 + 0xa9]);
    assert_eq!(tokenizer.decode(&ids), "c\u{e9}".as_bytes());
    assert!(tokenizer.encode("", PLAIN).is_empty());
    assert_eq!(tokenizer.encode("a", SPECIAL)[0], 1);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" a", SPECIAL)), b" a");
}

#[test]
fn control_tokens_are_read_only_when_asked() {
    let tokenizer = Tokenizer::new(&byte_level()).unwrap();
    let text = "<tool>a<|im_end|>";
    let plain = tokenizer.encode(text, PLAIN);
    assert_eq!(plain[..2], [264, u32::from(b'a')]);
    assert!(plain.iter().all(|id| *id != 263), "typed text became structure");
    assert_eq!(tokenizer.decode(&plain), text.as_bytes());
    let parsed = tokenizer.encode(text, PARSED);
    assert_eq!(parsed.last(), Some(&263));
    assert_eq!(tokenizer.decode(&parsed), b"<tool>a");
}

#[test]
fn a_typed_control_token_never_becomes_one_even_as_a_piece() {
    let mut parts = sentence_piece();
    // The scores would like to merge the letters into the control token "ab".
    let at = parts.tokens.iter().position(|token| token == "ab").unwrap();
    parts.types[at] = 3;
    let tokenizer = Tokenizer::new(&parts).unwrap();
    assert!(!tokenizer.encode("ab", PLAIN).contains(&(at as u32)));
    assert!(tokenizer.encode("ab", PARSED).contains(&(at as u32)));
}

#[test]
fn ends_come_from_metadata_and_known_texts() {
    let tokenizer = Tokenizer::new(&byte_level()).unwrap();
    assert!(tokenizer.is_end_of_generation(262));
    assert!(tokenizer.is_end_of_generation(263));
    assert!(!tokenizer.is_end_of_generation(264));
    assert!(!tokenizer.is_end_of_generation(u32::MAX));
    assert_eq!(tokenizer.end_tokens(), [262, 263]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(262), Some(262)));
}

#[test]
fn streams_equal_the_whole_text_and_never_split_a_character() {
    for parts in [byte_level(), sentence_piece()] {
        let tokenizer = Tokenizer::new(&parts).unwrap();
        let text = "hello \u{1f999} w\u{f6}rld \u{4f60}\u{597d}";
        let mut ids = tokenizer.encode(text, PARSED);
        let mut stream = tokenizer.stream();
        let pieces: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
        assert_eq!(pieces.concat() + &stream.finish(), text);
        assert!(pieces.iter().any(String::is_empty), "a character of several tokens waits");
        ids.truncate(ids.len() - 1);
        let mut stream = tokenizer.stream();
        let pieces: Vec<String> = ids.iter().map(|id| stream.push(*id)).collect();
        let cut = pieces.concat() + &stream.finish();
        assert_eq!(cut, String::from_utf8_lossy(&tokenizer.decode(&ids)));
        assert!(cut.ends_with('\u{fffd}'));
        assert_eq!(tokenizer.decode(&[u32::MAX, 262]), tokenizer.decode(&[262]));
    }
}

#[test]
fn control_tokens_print_their_text_when_asked() {
    let tokenizer = Tokenizer::new(&sentence_piece()).unwrap();
    let mut ids = vec![1];
    ids.extend(tokenizer.encode("ab c", PLAIN));
    ids.push(2);
    let text = |mut stream: StreamDecoder| {
        let pieces: String = ids.iter().map(|id| stream.push(*id)).collect();
        pieces + &stream.finish()
    };
    assert_eq!(text(tokenizer.stream_with_tags(&["<s>", "ab", "<none>"])), "<s>ab c");
    assert_eq!(text(tokenizer.stream_with_tags(&[])), "ab c");
    assert_eq!(text(tokenizer.stream()), "ab c");
}

#[test]
fn a_million_letters_take_no_quadratic_time() {
    // Quadratic merging would take many minutes here.
    for parts in [byte_level(), sentence_piece()] {
        let tokenizer = Tokenizer::new(&parts).unwrap();
        for text in ["abc".repeat(350_000), "l".repeat(1_000_000), "<|".repeat(400_000)] {
            let ids = tokenizer.encode(&text, PARSED);
            assert_eq!(tokenizer.decode(&ids), text.as_bytes());
        }
    }
}

#[test]
fn unusable_metadata_is_refused_with_its_reason() {
    type Change = fn(&mut VocabularyParts<'static>);
    let changes: [(Change, &str); 15] = [
        (|p| p.model = "bert".into(), "vocabulary kind 'bert'"),
        (|p| p.model = "t5".into(), "'t5' is not supported (supported: gpt2, llama, gemma4)"),
        (|p| p.model = String::new(), "no usable tokenizer.ggml.model"),
        (|p| p.pre = Some("mystery".into()), "pre-tokenizer 'mystery'"),
        (|p| p.tokens = Vec::new().into(), "no usable tokenizer.ggml.tokens"),
        (|p| p.types.truncate(9), "tokenizer.ggml.token_type has 9 entries, expected 265"),
        (|p| p.types[7] = 99, "token 7 has type 99"),
        (|p| p.tokens.to_mut()[1] = p.tokens[0].clone(), "tokens 0 and 1"),
        (|p| p.merges = Vec::new().into(), "no usable tokenizer.ggml.merges"),
        (|p| p.merges.to_mut()[2] = "hell".into(), "merge 2 ('hell')"),
        (|p| p.merges.to_mut()[2] = "x y".into(), "merge 2 ('x y')"),
        (|p| p.merges.to_mut()[2] = String::new(), "merge 2 ('')"),
        (|p| p.bos = Some(265), "tokenizer.ggml.bos_token_id is 265"),
        (|p| p.eot = Some(u32::MAX), "tokenizer.ggml.eot_token_id"),
        (|p| p.tokens.to_mut()[usize::from(b'e')] = "gone".into(), "merge 1 ('h e')"),
    ];
    for (change, reason) in changes {
        let mut parts = byte_level();
        change(&mut parts);
        let refused = Tokenizer::new(&parts).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused:?} does not say {reason:?}");
    }
    let changes: [(Change, &str); 4] = [
        (|p| p.scores = Vec::new().into(), "tokenizer.ggml.scores has 0 entries"),
        (|p| p.scores.to_mut()[5] = f32::NAN, "score of token 5"),
        (|p| p.tokens.to_mut()[3] = "<0xZZ>".into(), "byte token '<0xZZ>'"),
        (
            |p| {
                p.unknown = None;
                p.types[3] = 1;
            },
            "neither a token for byte 0x00",
        ),
    ];
    for (change, reason) in changes {
        let mut parts = sentence_piece();
        change(&mut parts);
        let refused = Tokenizer::new(&parts).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused:?} does not say {reason:?}");
    }
}
