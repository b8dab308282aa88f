//! Server-sent events out of bytes, however the network cut them.
//!
//! Called by `answer.rs`. Pure and incremental: [`SseParser::push`] takes any piece of the stream
//! and returns the events that are complete with it. Lines end with LF, CR or CR LF; comments and
//! fields other than `event` and `data` are skipped. An event that the stream's end cuts is none.
//! Bounds: [`LINE_MAX_BYTES`], [`DATA_MAX_BYTES`]. Errors: [`SseError`].
//! Source: HTML living standard, server-sent events.

/// Longest line.
const LINE_MAX_BYTES: usize = 1 << 20;
/// Longest data of one event, over all its lines.
const DATA_MAX_BYTES: usize = 2 << 20;

/// Why a stream is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SseError {
    /// Longer than anything sensible.
    #[error("an event is longer than {LINE_MAX_BYTES} bytes")]
    TooLong,
    /// Not text.
    #[error("an event is not UTF-8")]
    NotText,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SseEvent {
    /// Its kind; empty when it names none.
    pub(super) event: String,
    /// Its data, lines joined by LF.
    pub(super) data: String,
}

/// A stream being read.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    /// The last byte was CR: an LF right behind it belongs to the same line end.
    after_cr: bool,
    /// The first line has been read; before it a byte order mark may stand.
    has_begun: bool,
    event: SseEvent,
    has_data: bool,
}

impl SseParser {
    /// Reads on.
    ///
    /// # Errors
    /// When the stream is none, or beyond its bounds; it is of no more use then.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                _ if self.line.len() == LINE_MAX_BYTES => return Err(SseError::TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<SseEvent>, SseError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| SseError::NotText)?;
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.event = value.to_owned(),
            "data" => {
                let data = &mut self.event.data;
                if data.len() + value.len() >= DATA_MAX_BYTES {
                    return Err(SseError::TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<SseEvent>, SseError> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(parser.push(chunk)?);
        }
        Ok(events)
    }

    fn event(event: &str, data: &str) -> SseEvent {
        SseEvent { event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_have_a_kind_and_lines_of_data() {
        let text =
            "\u{feff}: hello\nevent: a\ndata: 1\ndata:2\nid: 7\n\nevent: b\n\ndata\n\ndata: x";
        let events = parse(&[text.as_bytes()]).expect("a stream");
        assert_eq!(events, [event("a", "1\n2"), event("", "")]);
    }

    #[test]
    fn every_line_end_is_one() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["data: a", "", "data: b", "", ""].join(end);
            let events = parse(&[text.as_bytes()]).expect("a stream");
            assert_eq!(events, [event("", "a"), event("", "b")], "{end:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        let long = vec![b'x'; LINE_MAX_BYTES + 1];
        assert_eq!(parse(&[&long]), Err(SseError::TooLong));
        let line = [b"data: ".as_slice(), &vec![b'x'; LINE_MAX_BYTES - 10], b"\n"].concat();
        assert_eq!(parse(&[&line, &line, &line]), Err(SseError::TooLong));
        assert_eq!(parse(&[b"data: \xff\n"]), Err(SseError::NotText));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            pieces in proptest::collection::vec(
                "(data|event|:|id)?[: ]{0,2}[a\u{e9}\u{1f600}]{0,3}[\r\n]{0,3}", 0..24,
            ),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let text = pieces.concat();
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[bytes]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let whole = parse(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(parse(&single), whole);
        }
    }
}
