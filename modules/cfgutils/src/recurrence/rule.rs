//! One time that may come again: when it begins, how long it lasts, and on which days.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};

use super::zone::Zone;

/// How many days back a beginning may lie whose time is not over yet.
const MAX_DAYS_BACK: u64 = 366;

/// How often it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frequency {
    Once,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// `dtstart|dtend|duration|freq|until|interval|byday|bymonthday|byyearday|byweekno|bymonth`, on the clock of a zone.
#[derive(Debug)]
pub(super) struct Rule {
    start: NaiveDateTime,
    /// Without one it lasts for ever, or to the end of the day if it comes again.
    length: Option<TimeDelta>,
    frequency: Frequency,
    until: Option<NaiveDateTime>,
    interval: i64,
    /// Weekdays, with the number of the one that is meant in the month or year; 0 for all.
    weekdays: Vec<(i64, Weekday)>,
    month_days: Vec<i64>,
    year_days: Vec<i64>,
    weeks: Vec<i64>,
    months: Vec<i64>,
}

impl Rule {
    pub(super) fn read(text: &str, zone: &Zone) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').map(str::trim).collect();
        if fields.len() > 11 {
            return None;
        }
        let field = |at: usize| fields.get(at).copied().filter(|field| !field.is_empty());
        let start = moment(field(0)?, zone)?;
        let length = match (field(1), field(2)) {
            (Some(end), _) => Some(moment(end, zone)? - start),
            (None, Some(duration)) => Some(length(duration)?),
            (None, None) => None,
        };
        let frequency = match field(3).map(str::to_ascii_lowercase).as_deref() {
            None => Frequency::Once,
            Some("daily") => Frequency::Daily,
            Some("weekly") => Frequency::Weekly,
            Some("monthly") => Frequency::Monthly,
            Some("yearly") => Frequency::Yearly,
            Some(_) => return None,
        };
        let until = field(4).map(|until| moment(until, zone).ok_or(())).transpose().ok()?;
        let interval = field(5).map_or(Some(1), |interval| interval.parse().ok()).filter(|n| *n > 0)?;
        let numbers = |at: usize, most: i64| match field(at) {
            None => Some(Vec::new()),
            Some(list) => list.split(',').map(|number| number_within(number, most)).collect(),
        };
        let weekdays = match field(6) {
            None => Vec::new(),
            Some(list) => list.split(',').map(weekday).collect::<Option<_>>()?,
        };
        let (month_days, year_days) = (numbers(7, 31)?, numbers(8, 366)?);
        let (weeks, months) = (numbers(9, 53)?, numbers(10, 12)?);
        Some(Self {
            start,
            length,
            frequency,
            until,
            interval,
            weekdays,
            month_days,
            year_days,
            weeks,
            months,
        })
    }

    /// Whether the time is on at `now`. `None` if that cannot be said.
    pub(super) fn holds(&self, now: NaiveDateTime) -> Option<bool> {
        if now < self.start {
            return Some(false);
        }
        if self.frequency == Frequency::Once {
            return Some(self.length.is_none_or(|length| now < self.start + length));
        }
        let days = self.length.map_or(0, |length| length.num_days().max(0) as u64 + 1).min(MAX_DAYS_BACK);
        let mut day = now.date();
        for _ in 0..=days {
            if day < self.start.date() {
                break;
            }
            if self.is_on(day, now) {
                return Some(true);
            }
            day = day.checked_sub_days(Days::new(1))?;
        }
        Some(false)
    }

    /// Whether the time begins on `day`, and is not over at `now`.
    fn is_on(&self, day: NaiveDate, now: NaiveDateTime) -> bool {
        let begin = day.and_time(self.start.time());
        let end = match self.length {
            Some(length) => begin + length,
            None => day.and_time(NaiveTime::MIN) + TimeDelta::days(1),
        };
        begin <= now && now < end && self.until.is_none_or(|until| begin <= until) && self.comes_on(day)
    }

    fn comes_on(&self, day: NaiveDate) -> bool {
        let first = self.start.date();
        let months =
            i64::from(day.year() - first.year()) * 12 + i64::from(day.month()) - i64::from(first.month());
        let monday = |day: NaiveDate| day - TimeDelta::days(day.weekday().num_days_from_monday().into());
        let periods = match self.frequency {
            Frequency::Once | Frequency::Daily => (day - first).num_days(),
            Frequency::Weekly => (monday(day) - monday(first)).num_days() / 7,
            Frequency::Monthly => months,
            Frequency::Yearly => i64::from(day.year() - first.year()),
        };
        periods % self.interval == 0 && self.is_named(day) && (self.names_days() || self.is_like_first(day))
    }

    /// Whether the rule says on which days, or else they are those like the first.
    fn names_days(&self) -> bool {
        !self.weekdays.is_empty() || !self.month_days.is_empty() || !self.year_days.is_empty()
    }

    fn is_like_first(&self, day: NaiveDate) -> bool {
        let first = self.start.date();
        match self.frequency {
            Frequency::Once | Frequency::Daily => true,
            Frequency::Weekly => day.weekday() == first.weekday(),
            Frequency::Monthly => day.day() == first.day(),
            Frequency::Yearly if !self.weeks.is_empty() => day.weekday() == first.weekday(),
            Frequency::Yearly if !self.months.is_empty() => day.day() == first.day(),
            Frequency::Yearly => (day.month(), day.day()) == (first.month(), first.day()),
        }
    }

    /// Whether every list that is given has the day.
    fn is_named(&self, day: NaiveDate) -> bool {
        let listed = |list: &[i64], number: u32, count: u32| {
            let (number, from_end) = (i64::from(number), i64::from(number) - i64::from(count) - 1);
            list.is_empty() || list.contains(&number) || list.contains(&from_end)
        };
        let year_days = if day.leap_year() { 366 } else { 365 };
        listed(&self.months, day.month(), 12)
            && listed(&self.weeks, day.iso_week().week(), weeks_of(day))
            && listed(&self.year_days, day.ordinal(), year_days)
            && listed(&self.month_days, day.day(), days_of_month(day))
            && (self.weekdays.is_empty()
                || self.weekdays.iter().any(|(nth, weekday)| self.is_nth(day, *nth, *weekday)))
    }

    /// Whether it is the weekday, and the nth of its month, or of its year.
    fn is_nth(&self, day: NaiveDate, nth: i64, weekday: Weekday) -> bool {
        let (position, count) = match self.frequency {
            Frequency::Yearly if self.months.is_empty() => {
                (day.ordinal0(), if day.leap_year() { 366 } else { 365 })
            }
            _ => (day.day0(), days_of_month(day)),
        };
        let from_start = i64::from(position / 7) + 1;
        let from_end = -(i64::from((count - 1 - position) / 7) + 1);
        day.weekday() == weekday && (nth == 0 || nth == from_start || nth == from_end)
    }
}

fn days_of_month(day: NaiveDate) -> u32 {
    u32::from(day.num_days_in_month())
}

fn weeks_of(day: NaiveDate) -> u32 {
    // the 28th of December is always in the last week
    NaiveDate::from_ymd_opt(day.year(), 12, 28).map_or(52, |last| last.iso_week().week())
}

/// `20200131T235959`, with a `Z` behind it in UTC; without a time it is midnight.
fn moment(text: &str, zone: &Zone) -> Option<NaiveDateTime> {
    let (text, is_utc) = match text.strip_suffix(['Z', 'z']) {
        Some(text) => (text, true),
        None => (text, false),
    };
    if !text.is_ascii() || !matches!(text.len(), 8 | 15) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let date = NaiveDate::from_ymd_opt(number(0, 4)? as i32, number(4, 6)?, number(6, 8)?)?;
    let time = match text.as_bytes().get(8) {
        None => NaiveTime::MIN,
        Some(b'T' | b't') => NaiveTime::from_hms_opt(number(9, 11)?, number(11, 13)?, number(13, 15)?)?,
        Some(_) => return None,
    };
    let moment = date.and_time(time);
    if is_utc { zone.wall_clock(moment.and_utc().timestamp()) } else { Some(moment) }
}

/// `P1W`, `P2DT3H4M5S`; the `P` may be left out.
fn length(text: &str) -> Option<TimeDelta> {
    let text = text.to_ascii_uppercase();
    let mut rest = text.strip_prefix('P').unwrap_or(&text);
    let mut seconds = 0_i64;
    while !rest.is_empty() {
        rest = rest.strip_prefix('T').unwrap_or(rest);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b'W' => 7 * 86_400,
            b'D' => 86_400,
            b'H' => 3600,
            b'M' => 60,
            b'S' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(seconds).filter(|seconds| *seconds > 0).and_then(TimeDelta::try_seconds)
}

fn number_within(text: &str, most: i64) -> Option<i64> {
    text.trim().parse().ok().filter(|number: &i64| *number != 0 && number.abs() <= most)
}

/// `MO`, `2TU`, `-1FR`
fn weekday(text: &str) -> Option<(i64, Weekday)> {
    let text = text.trim().to_ascii_uppercase();
    let (nth, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = match name {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    };
    let nth = if nth.is_empty() { 0 } else { number_within(nth, 53)? };
    Some((nth, weekday))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        moment(text, &Zone::Utc).unwrap()
    }

    #[track_caller]
    fn check(rule: &str, on: &[&str], off: &[&str]) {
        let read = Rule::read(rule, &Zone::Utc).unwrap();
        for moment in on {
            assert_eq!(read.holds(at(moment)), Some(true), "{rule} at {moment}");
        }
        for moment in off {
            assert_eq!(read.holds(at(moment)), Some(false), "{rule} at {moment}");
        }
    }

    #[test]
    fn a_time_lasts_until_its_end() {
        check(
            "20200101T000000|20200102T000000",
            &["20200101", "20200101T235959"],
            &["20191231T235959", "20200102"],
        );
        check("20200101T000000||p30d", &["20200130T120000"], &["20200131"]);
        check("20200101T000000", &["20990101"], &["20191231"]);
        check("20200101T080000Z|20200101T100000Z", &["20200101T090000"], &["20200101T100000"]);
    }

    #[test]
    fn times_come_again() {
        let work = "20200106T080000|20200106T170000||weekly|||MO,TU,WE";
        check(
            work,
            &["20200107T120000", "20200113T080000"],
            &["20200109T120000", "20200107T070000", "20200107T170000"],
        );
        check(
            "20200610T230000|20200611T070000||DAILY",
            &["20200701T000000", "20200701T235959"],
            &["20200701T070000"],
        );
        check("20200101T100000||PT1H|daily||2", &["20200103T103000"], &["20200102T103000"]);
        check("20200101T100000||1H|daily|20200103T000000", &["20200102T103000"], &["20200103T103000"]);
        check("20200131T000000||P1D|monthly", &["20200331T100000"], &["20200229T100000", "20200330T100000"]);
        check("20200101||P1D|monthly|||-1FR", &["20200131T100000", "20200228T100000"], &["20200124T100000"]);
        check("20200101||P1D|monthly||||-1", &["20200229T100000"], &["20200228T100000"]);
        check("20200101||P1D|yearly|||||||12", &["20201201T100000"], &["20201101T100000", "20201202T100000"]);
        check("20200101||P1D|yearly|||SU||||10", &["20201004T100000"], &["20201101T100000"]);
        check("20200101||P1D|yearly|||||60", &["20200229T100000", "20210301T100000"], &["20200301T100000"]);
        check("20200101||P1D|yearly||||||1", &["20200101T100000", "20210106T100000"], &["20200108T100000"]);
        check("20200101T220000|||daily", &["20200105T230000"], &["20200105T210000"]);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for rule in [
            "",
            "nonsense",
            "20200101T080000|20200101T170000|||weekly|||MO,TU,WE",
            "20201301T000000|20200102T000000",
            "20200101T0800|20200102T000000",
            "20200101||P1X",
            "20200101||P0D",
            "20200101||P1D|hourly",
            "20200101||P1D|daily||0",
            "20200101||P1D|weekly|||XX",
            "20200101||P1D|monthly||||32",
            "20200101||P1D|daily|||||||||",
            "20200101||99999999999999999999D",
        ] {
            assert!(Rule::read(rule, &Zone::Utc).is_none(), "{rule}");
        }
    }
}
