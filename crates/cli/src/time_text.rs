//! Times as people write them, in UTC.

const MILLIS_PER_DAY: i64 = 86_400_000;
/// What 1970 began with, counted from Sunday.
const THURSDAY: i64 = 4;

/// Milliseconds since 1970, now.
pub fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A moment as calendars and clocks have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 1.
    pub day_of_year: i64,
    /// From 0, which is Sunday.
    pub weekday: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub milli: i64,
}

impl Civil {
    /// Of milliseconds since 1970.
    pub fn from_millis(millis: i64) -> Civil {
        let days = millis.div_euclid(MILLIS_PER_DAY);
        let of_day = millis.rem_euclid(MILLIS_PER_DAY);
        let (year, month, day) = civil_date(days);
        Civil {
            year,
            month,
            day,
            day_of_year: days - days_since_1970(year, 1, 1) + 1,
            weekday: (days + THURSDAY).rem_euclid(7),
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1_000 % 60,
            milli: of_day % 1_000,
        }
    }
}

/// `2026-11-22T10:01:07.213Z`.
pub fn format_millis(millis: i64) -> String {
    let Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        milli,
        ..
    } = Civil::from_millis(millis);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Milliseconds since 1970 of `1700000000000`, `2026-11-22`, `2026-11-22T10:01`, with seconds,
/// fractions and a `Z` as one likes; or of `-90s`, `-15m`, `-1h`, `-2d` before `now`.
pub fn parse_millis(text: &str, now: i64) -> Option<i64> {
    if let Some(ago) = text.strip_prefix('-') {
        return now.checked_sub(parse_duration(ago)?);
    }
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, time.trim_end_matches('Z')),
        None => (text, "00:00"),
    };
    let mut parts = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..10_000).contains(&year) {
        return None;
    }
    Some(days_since_1970(year, month, day) * MILLIS_PER_DAY + parse_time_of_day(time)?)
}

/// `38s`, `5m`, `3h`, `2d`: the largest unit that fits.
pub fn format_span(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        ..1 => format!("{millis}ms"),
        1..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A span of time, for the command line.
pub fn parse_span(text: &str) -> Result<std::time::Duration, String> {
    let millis = parse_duration(text).and_then(|millis| u64::try_from(millis).ok());
    millis
        .map(std::time::Duration::from_millis)
        .ok_or_else(|| format!("'{text}' is no time: 500ms, 90s, 15m, 1h or 2d"))
}

/// `500ms`, `90s`, `15m`, `1h`, `2d` in milliseconds.
fn parse_duration(text: &str) -> Option<i64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => MILLIS_PER_DAY,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

fn parse_time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let (second, fraction) = match parts.next() {
        Some(seconds) => seconds.split_once('.').unwrap_or((seconds, "0")),
        None => ("0", "0"),
    };
    let second: i64 = second.parse().ok()?;
    if hour > 23 || minute > 59 || second > 60 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(hour * 3_600_000 + minute * 60_000 + second * 1_000 + millis)
}

/// Days are counted in years that begin with March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between the March of the year 0 and 1970.
    365 * year + leap_days + day_of_year - 719_468
}

fn civil_date(days: i64) -> (i64, i64, i64) {
    // The largest year that begins on or before the day: a guess, one too large at most.
    let mut year = 1970 + days.div_euclid(365);
    while days_since_1970(year, 3, 1) > days {
        year -= 1;
    }
    let day_of_year = days - days_since_1970(year, 3, 1);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (1_795_341_667_213, "2026-11-22T10:01:07.213Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(format_millis(millis), text);
            assert_eq!(parse_millis(text, 0), Some(millis));
        }
    }

    #[test]
    fn every_day_comes_back() {
        for day in 0..60_000 {
            let text = format_millis(day * MILLIS_PER_DAY + 1);
            assert_eq!(
                parse_millis(&text, 0),
                Some(day * MILLIS_PER_DAY + 1),
                "{text}"
            );
        }
    }

    #[test]
    fn short_forms_and_times_ago() {
        assert_eq!(parse_millis("2000-02-29", 0), Some(951_782_400_000));
        assert_eq!(parse_millis("1970-01-01T00:01", 0), Some(60_000));
        assert_eq!(parse_millis("1970-01-01T00:00:01.5", 0), Some(1_500));
        assert_eq!(parse_millis("-1h", 7_200_000), Some(3_600_000));
        assert_eq!(parse_millis("-2d", 0), Some(-172_800_000));
        for text in [
            "",
            "x",
            "-1",
            "-1y",
            "2026-13-01",
            "2026-11-22T25:00",
            "1969-01-01",
        ] {
            assert_eq!(parse_millis(text, 0), None, "{text}");
        }
    }

    #[test]
    fn spans_have_one_unit() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (38_400, "38s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(format_span(millis), text);
        }
    }
}
