//! When a failed call is tried again, and how long to wait before.
//!
//! Called by `client.rs`, before the first byte of an answer only. Pure: chance is an argument.
//! Units: milliseconds. A provider that says when to come again is believed, up to a bound; one
//! that wants us later than that is not waited for.

/// Attempts in all.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second attempt; it doubles.
const PAUSE_MS: u64 = 500;
/// The longest wait that a provider may ask for while somebody waits for the answer.
pub(super) const RETRY_AFTER_MAX_MS: u64 = 20_000;
/// How far waits of several callers are drawn apart.
const SPREAD_MS: f64 = 250.0;

/// Whether a status may change by itself.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 409 | 429 | 500..)
}

/// How long to wait after attempt `attempt` (from 1), or `None`: not at all any more. `chance` is
/// from 0 to 1.
pub(super) fn pause_ms(attempt: u32, retry_after_ms: Option<u64>, chance: f64) -> Option<u64> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    match retry_after_ms {
        Some(asked) if asked > RETRY_AFTER_MAX_MS => None,
        Some(asked) => Some(asked + (chance * SPREAD_MS) as u64),
        None => {
            let whole = (PAUSE_MS << (attempt - 1)) as f64;
            Some((whole * (0.5 + chance / 2.0)) as u64)
        }
    }
}

/// Reads `retry-after-ms` (milliseconds) or `retry-after` (seconds). Dates are not read: the two
/// clocks may differ.
pub(super) fn retry_after_ms(milliseconds: Option<&str>, seconds: Option<&str>) -> Option<u64> {
    let number = |text: &str, scale: f64| {
        let value = text.trim().parse::<f64>().ok()? * scale;
        (0.0..=1e12).contains(&value).then_some(value.ceil() as u64)
    };
    let precise = milliseconds.and_then(|text| number(text, 1.0));
    precise.or_else(|| number(seconds?, 1000.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_and_are_spread() {
        assert_eq!((pause_ms(1, None, 0.0), pause_ms(1, None, 1.0)), (Some(250), Some(500)));
        assert_eq!((pause_ms(2, None, 0.0), pause_ms(2, None, 1.0)), (Some(500), Some(1000)));
        assert_eq!(pause_ms(3, None, 0.5), None);
    }

    #[test]
    fn a_provider_is_believed_up_to_a_bound() {
        assert_eq!(retry_after_ms(None, Some("2")), Some(2000));
        assert_eq!(retry_after_ms(Some("15"), Some("2")), Some(15));
        assert_eq!(retry_after_ms(Some("soon"), Some("0.5")), Some(500));
        for odd in ["-1", "NaN", "inf", "", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(retry_after_ms(None, Some(odd)), None, "{odd}");
        }
        assert_eq!(pause_ms(1, Some(2000), 0.0), Some(2000));
        assert_eq!(pause_ms(1, Some(RETRY_AFTER_MAX_MS + 1), 0.0), None);
    }

    #[test]
    fn mistakes_of_ours_are_not_repeated() {
        assert!([408, 409, 429, 500, 503, 529].into_iter().all(is_passing));
        assert!(![400, 401, 403, 404, 413, 422].into_iter().any(is_passing));
    }

    proptest! {
        #[test]
        fn a_wait_is_bounded(
            attempt in 1u32..9, asked in any::<Option<u64>>(), chance in 0.0..1.0f64,
            text in any::<String>(),
        ) {
            let bound = RETRY_AFTER_MAX_MS + SPREAD_MS as u64;
            prop_assert!(pause_ms(attempt, asked, chance).is_none_or(|wait| wait <= bound));
            let _ = retry_after_ms(Some(&text), Some(&text));
        }
    }
}
