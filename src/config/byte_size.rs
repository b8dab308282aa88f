//! Sizes of memory as people write them: `512MiB`, `2 GiB`.
//!
//! Called by `resolved.rs` (reading) and `node/tree.rs` (the log). Units are powers of 1024.
//! Errors: `()`; the caller says what belongs there.

use std::{fmt, str::FromStr};

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or(())?;
        let (number, unit) = (&text[..at], text[at..].trim_start());
        let power = UNITS.iter().position(|known| *known == unit).ok_or(())?;
        let number: u64 = number.parse().map_err(|_| ())?;
        number.checked_mul(1 << (10 * power)).map(Self).ok_or(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = (1..UNITS.len()).rev().find(|power| self.0 >> (10 * power) > 0).unwrap_or(0);
        let value = self.0 as f64 / (1u64 << (10 * power)) as f64;
        let decimals = usize::from(power > 0);
        write!(f, "{value:.decimals$} {}", UNITS[power])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_number_and_a_unit() {
        let parse = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(parse("2GiB"), Ok(2 << 30));
        assert_eq!(parse("512 MiB"), Ok(512 << 20));
        assert_eq!((parse("1KiB"), parse("7B"), parse("3TiB")), (Ok(1024), Ok(7), Ok(3 << 40)));
        for bad in ["", "2", "GiB", "-2GiB", "2GB", "1.5GiB", "2gib", "2GiB!", "99999999999TiB"] {
            assert_eq!(parse(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        let shown = [0, 1023, 1536, 5 << 30, (1 << 40) - 1].map(|n| ByteSize(n).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1.5 KiB", "5.0 GiB", "1024.0 GiB"]);
    }
}
