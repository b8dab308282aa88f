//! Formats a date as Python's `strftime` does, in UTC and English.
//!
//! Called by the template function `strftime_now`. Errors: none; a directive that is not here is
//! written as it stands. Source: Hinnant, "chrono-compatible low-level date algorithms"
//! (civil from days). Absent on purpose: locales and time zones; an answer must not depend on
//! where a node stands.

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in parts.
struct Moment {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    day_of_year: i64,
    second_of_day: i64,
}

impl Moment {
    fn at(unix_s: i64) -> Moment {
        // Beyond this the year has more digits than anybody formats.
        let unix_s = unix_s.clamp(-60_000_000_000, 250_000_000_000);
        let days = unix_s.div_euclid(86_400);
        // Years begin in March here, so that the leap day is a year's last.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let january = if month <= 2 { day_of_year - 306 } else { day_of_year + 59 };
        Moment {
            year,
            month: month as usize,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7) as usize,
            day_of_year: january + 1 + i64::from(leap && month > 2),
            second_of_day: unix_s.rem_euclid(86_400),
        }
    }

    fn part(&self, directive: char) -> Option<String> {
        let hour = self.second_of_day / 3_600;
        let hour_of_12 = (hour + 11) % 12 + 1;
        let (minute, second) = (self.second_of_day / 60 % 60, self.second_of_day % 60);
        Some(match directive {
            'Y' => format!("{:04}", self.year),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'B' => MONTHS[self.month - 1].to_owned(),
            'b' | 'h' => MONTHS[self.month - 1][..3].to_owned(),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'A' => DAYS[self.weekday].to_owned(),
            'a' => DAYS[self.weekday][..3].to_owned(),
            'w' => self.weekday.to_string(),
            'j' => format!("{:03}", self.day_of_year),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour_of_12:02}"),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'F' => format!("{:04}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'D' => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100)),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

/// `format` with its directives filled in for `unix_s`; `%-d` drops padding as glibc does.
pub fn format(format: &str, unix_s: i64) -> String {
    let moment = Moment::at(unix_s);
    let mut text = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let after = rest.clone();
        let first = rest.next();
        let bare = first == Some('-');
        let directive = if bare { rest.next() } else { first };
        match directive.and_then(|directive| moment.part(directive)) {
            Some(part) if bare => {
                let stripped = part.trim_start_matches(['0', ' ']);
                text.push_str(if stripped.is_empty() { "0" } else { stripped });
            }
            Some(part) => text.push_str(&part),
            None => {
                text.push('%');
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn known_moments() {
        assert_eq!(format("%d %b %Y", 1_721_952_000), "26 Jul 2024");
        assert_eq!(
            format("%A, %B %-d, %Y %H:%M:%S", 951_782_399),
            "Monday, February 28, 2000 23:59:59"
        );
        assert_eq!(format("%F %j %a", 951_782_400), "2000-02-29 060 Tue");
        assert_eq!(format("%F %j", 1_735_603_200), "2024-12-31 366");
        assert_eq!(format("%F %j %I%p", -1), "1969-12-31 365 11PM");
        assert_eq!(format("100%% %q %", 0), "100% %q %");
        assert_eq!(format("%-d/%-m", 86_400 * 4), "5/1");
        format("%F", i64::MIN);
        format("%F", i64::MAX);
    }
}
