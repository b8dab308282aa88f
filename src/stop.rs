//! Stop texts: ends an answer at the first that is complete and never lets a byte of one out.
//!
//! Called by `node.rs` (and `local.rs`) between the stream decoder and the events of an answer.
//! Text goes in piece by piece, as it was decoded; a piece that may be the beginning of a stop
//! text is held back until the next piece decides. Units: whole characters (`str`).
//! Errors: none. Absent on purpose: stop token ids, which the model's own metadata names.

/// What one step lets out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopStep {
    /// Text that is certainly part of the answer; may be empty.
    pub text: String,
    /// A stop text was reached: the answer ends here and nothing more may be pushed.
    pub stopped: bool,
}

/// Finds the first completed of several stop texts in a text that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    found: Option<String>,
}

impl StopMatcher {
    /// A matcher for these texts; empty ones would stop everything and are ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> StopMatcher {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        StopMatcher { stops, held: String::new(), found: None }
    }

    /// Takes the next piece; returns what may be shown now.
    pub fn push(&mut self, piece: &str) -> StopStep {
        if self.found.is_some() {
            return StopStep { text: String::new(), stopped: true };
        }
        if self.stops.is_empty() {
            return StopStep { text: piece.to_owned(), stopped: false };
        }
        self.held.push_str(piece);
        if let Some((start, stop)) = first_completed(&self.stops, &self.held) {
            self.found = Some(stop.to_owned());
            self.held.truncate(start);
            return StopStep { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep_from = self.undecided_from();
        let undecided = self.held.split_off(keep_from);
        StopStep { text: std::mem::replace(&mut self.held, undecided), stopped: false }
    }

    /// The stop text that was reached.
    pub fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// The answer ended otherwise: what was held back belongs to it after all.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the longest tail begins that could still grow into a stop text.
    fn undecided_from(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest.saturating_sub(1));
        (first..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.stops.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len())
    }
}

/// The stop text that is completed first, and where it begins; of those ending together, the
/// longest. Counting by the end makes the cut the same however the text was cut into pieces.
fn first_completed<'s>(stops: &'s [String], text: &str) -> Option<(usize, &'s str)> {
    let found = stops.iter().filter_map(|stop| {
        let start = text.find(stop)?;
        Some((start + stop.len(), start, stop.as_str()))
    });
    found.min().map(|(_, start, stop)| (start, stop))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|s| s.to_string()));
        let mut shown = Vec::new();
        for piece in pieces {
            let step = matcher.push(piece);
            shown.push(step.text);
            if step.stopped {
                return (shown, true);
            }
        }
        shown.push(matcher.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_text_over_three_pieces_is_never_shown() {
        let (shown, stopped) = run(&["END!"], &["one E", "N", "D! two"]);
        assert_eq!((shown.concat().as_str(), stopped), ("one ", true));
    }

    #[test]
    fn a_false_beginning_is_released_as_soon_as_it_is_decided() {
        let (shown, stopped) = run(&["END"], &["EN", "X"]);
        assert_eq!(shown, ["", "ENX", ""]);
        assert!(!stopped);
    }

    #[test]
    fn a_beginning_at_the_end_belongs_to_the_answer() {
        assert_eq!(run(&["\n\n"], &["text\n"]).0.concat(), "text\n");
    }

    #[test]
    fn the_first_completed_of_several_wins() {
        assert_eq!(run(&["c", "b"], &["a b c"]).0.concat(), "a ");
        assert_eq!(run(&["abb", "b"], &["abb"]).0.concat(), "a");
        assert_eq!(run(&["abb", "bb"], &["abb"]).0.concat(), "");
    }

    #[test]
    fn no_stop_text_holds_nothing_back() {
        assert_eq!(run(&[""], &["a", "b"]).0, ["a", "b", ""]);
    }

    proptest! {
        #[test]
        fn the_cut_does_not_depend_on_the_pieces(
            text in "[ab\u{e9}]{0,40}",
            stops in prop::collection::vec("[ab\u{e9}]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..60, 0..8),
        ) {
            let end = first_completed(&stops, &text).map_or(text.len(), |(start, _)| start);
            let expected = &text[..end];
            let mut bounds: Vec<usize> = cuts.into_iter()
                .filter(|&at| at <= text.len() && text.is_char_boundary(at)).collect();
            bounds.extend([0, text.len()]);
            bounds.sort_unstable();
            let mut matcher = StopMatcher::new(stops);
            let mut shown = String::new();
            for pair in bounds.windows(2) {
                shown.push_str(&matcher.push(&text[pair[0]..pair[1]]).text);
            }
            if matcher.found().is_none() {
                shown.push_str(&matcher.finish());
            }
            prop_assert_eq!(shown, expected);
        }
    }
}
