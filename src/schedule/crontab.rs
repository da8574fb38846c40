//! Reads crontab(5): five fields, or six with seconds first; Monday is 1, Sunday is 0 and 7; names,
//! ranges, lists and steps. The `cron` crate counts days as Quartz does (Sunday is 1), so what was
//! read is written out anew for it.

use chrono::{Datelike, NaiveDate};
use thiserror::Error;

/// A crontab line: each field as the set of its values, one bit each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Crontab {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    days: u64,
    months: u64,
    /// Bit 0 is Sunday.
    weekdays: u64,
    /// Both day fields are restricted, so that a day need match only one (crontab(5), Vixie).
    either_day: bool,
    /// The minute or the hour begins with `*`: the job runs by the wall clock, whatever it shows.
    pub(super) wildcard: bool,
}

impl Crontab {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > 256 {
            return Err(CronError::Length);
        }
        let text = text.trim();
        let spelt = match text.strip_prefix('@') {
            Some(name) => shorthand(name)?,
            None => text,
        };
        let mut words: Vec<&str> = spelt.split_whitespace().collect();
        match words.len() {
            5 => words.insert(0, "0"),
            6 => {}
            count => return Err(CronError::Fields(count)),
        }
        let mut sets = [0; 6];
        for ((set, field), word) in sets.iter_mut().zip(&FIELDS).zip(&words) {
            *set = field.parse(word)?;
        }
        let [seconds, minutes, hours, days, months, weekdays] = sets;
        let starred = |at: usize| words[at].starts_with('*');
        Ok(Self {
            seconds,
            minutes,
            hours,
            days,
            months,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !starred(3) && !starred(5),
            wildcard: starred(1) || starred(2),
        })
    }

    /// The same in the `cron` crate's form. Both its day fields must match, so the either-rule
    /// takes two expressions.
    pub(super) fn quartz(&self) -> Vec<String> {
        let list = |set, field: &Field| list(set, field.low, field.high, 0);
        let [seconds, minutes, hours, days, months, _] = &FIELDS;
        let time = format!(
            "{} {} {}",
            list(self.seconds, seconds),
            list(self.minutes, minutes),
            list(self.hours, hours)
        );
        let days = list(self.days, days);
        let months = list(self.months, months);
        let weekdays = self::list(self.weekdays, 0, 6, 1);
        if self.either_day {
            return vec![
                format!("{time} {days} {months} *"),
                format!("{time} * {months} {weekdays}"),
            ];
        }
        vec![format!("{time} {days} {months} {weekdays}")]
    }

    /// Whether it fires on this day at all.
    pub(super) fn has_day(&self, day: NaiveDate) -> bool {
        let in_days = self.days >> day.day() & 1 == 1;
        let in_weekdays = self.weekdays >> day.weekday().num_days_from_sunday() & 1 == 1;
        let has_day = if self.either_day { in_days || in_weekdays } else { in_days && in_weekdays };
        has_day && self.months >> day.month() & 1 == 1
    }
}

fn list(set: u64, low: u32, high: u32, shift: u32) -> String {
    if (low..=high).all(|value| set >> value & 1 == 1) {
        return "*".to_owned();
    }
    let values = (low..=high).filter(|value| set >> value & 1 == 1);
    values.map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(",")
}

fn shorthand(name: &str) -> Result<&'static str, CronError> {
    match name.to_ascii_lowercase().as_str() {
        "hourly" => Ok("0 * * * *"),
        "daily" | "midnight" => Ok("0 0 * * *"),
        "weekly" => Ok("0 0 * * 0"),
        "monthly" => Ok("0 0 1 * *"),
        "yearly" | "annually" => Ok("0 0 1 1 *"),
        "reboot" => Err(CronError::Reboot),
        _ => Err(CronError::Shorthand(cut(name))),
    }
}

struct Field {
    name: &'static str,
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

impl Field {
    /// The set that a field's text means.
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        let mut set = 0;
        for item in text.split(',') {
            set |= self.item(item)?;
        }
        Ok(set)
    }

    fn item(&self, item: &str) -> Result<u64, CronError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let step = match step.map(str::parse::<u32>) {
            None => None,
            Some(Ok(step)) if step > 0 => Some(step),
            Some(_) => return Err(self.fault(item, "a step is a number from 1, as in */5")),
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high.min(self.top())),
            Some((low, high)) => (self.value(low, item)?, self.end(high, item)?),
            None if step.is_some() => {
                let advice = format!("a step needs a range, as in {range}-{}/N", self.top());
                return Err(self.fault(item, &advice));
            }
            None => {
                let value = self.value(range, item)?;
                (value, value)
            }
        };
        if low > high {
            let advice =
                format!("a range does not wrap; write {low}-{},{}-{high}", self.top(), self.low);
            return Err(self.fault(item, &advice));
        }
        let step = step.unwrap_or(1) as usize;
        Ok((low..=high).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    /// The greatest value that `*` stands for; 7 is only another name of Sunday.
    fn top(&self) -> u32 {
        if self.high == 7 { 6 } else { self.high }
    }

    /// The end of a range: as a value, but `fri-sun` ends on day 7.
    fn end(&self, text: &str, item: &str) -> Result<u32, CronError> {
        match self.value(text, item)? {
            0 if self.high == 7 && text.eq_ignore_ascii_case("sun") => Ok(7),
            value => Ok(value),
        }
    }

    fn value(&self, text: &str, item: &str) -> Result<u32, CronError> {
        if let Some(at) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(self.low + at as u32);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(value) if digits && (self.low..=self.high).contains(&value) => Ok(value),
            _ => {
                let names = self.names.first().zip(self.names.last());
                let names = names.map_or_else(String::new, |(a, b)| format!(" or {a} to {b}"));
                let advice = format!(
                    "write {} to {}{names}, *, a-b, */n or a list of them",
                    self.low, self.high
                );
                Err(self.fault(item, &advice))
            }
        }
    }

    fn fault(&self, item: &str, advice: &str) -> CronError {
        CronError::Item { item: cut(item), field: self.name, advice: advice.to_owned() }
    }
}

/// What a message repeats of the input.
fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Why a cron expression was refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CronError {
    /// Too few or too many fields.
    #[error(
        "a cron expression has five fields (minute hour day-of-month month day-of-week), or six \
         with seconds first; this one has {0}"
    )]
    Fields(usize),
    /// A part of a field.
    #[error("`{item}` is no {field}: {advice}")]
    Item {
        /// The part.
        item: String,
        /// The field.
        field: &'static str,
        /// What to write instead.
        advice: String,
    },
    /// Longer than any expression.
    #[error("a cron expression has at most 256 characters")]
    Length,
    /// No day has this date.
    #[error("this never fires: no such date exists (such as 30 February); mend the day or month")]
    Never,
    /// `@reboot`.
    #[error("@reboot is refused: no sample depends on when Secchi starts; write every: or a time")]
    Reboot,
    /// Another `@word`.
    #[error("`@{0}` is unknown; write @hourly, @daily, @weekly, @monthly, @yearly or five fields")]
    Shorthand(String),
}

const FIELDS: [Field; 6] = [
    Field { name: "second", low: 0, high: 59, names: &[] },
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field {
        name: "month",
        low: 1,
        high: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        low: 0,
        high: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_week_are_translated_and_never_passed_through() {
        for (crontab, quartz) in [
            ("0 9 * * 1", "0 0 9 * * 2"),
            ("0 9 * * mon", "0 0 9 * * 2"),
            ("0 9 * * 0", "0 0 9 * * 1"),
            ("0 9 * * 7", "0 0 9 * * 1"),
            ("0 9 * * 5-7", "0 0 9 * * 1,6,7"),
            ("0 9 * * fri-sun", "0 0 9 * * 1,6,7"),
            ("0 9 * * 0-7", "0 0 9 * * *"),
            ("*/20 9-10 * jan,DEC *", "0 0,20,40 9,10 * 1,12 *"),
            ("30 0 9 * * */2", "30 0 9 * * 1,3,5,7"),
        ] {
            assert_eq!(Crontab::parse(crontab).expect(crontab).quartz(), [quartz], "{crontab}");
        }
        let either = Crontab::parse("0 0 13 * 5").expect("an expression").quartz();
        assert_eq!(either, ["0 0 0 13 * *", "0 0 0 * * 6"]);
    }

    #[test]
    fn what_is_no_crontab_is_refused_with_what_to_write() {
        for (text, says) in [
            ("", "five fields"),
            ("* * * *", "this one has 4"),
            ("* * * * * * *", "this one has 7"),
            ("60 * * * *", "`60` is no minute: write 0 to 59"),
            ("* 24 * * *", "no hour"),
            ("* * 0 * *", "no day of month"),
            ("* * * 13 *", "jan to dec"),
            ("* * * * 8", "sun to sat"),
            ("* * * * L", "no day of week"),
            ("* * ? * *", "no day of month"),
            ("* * * * 5#3", "no day of week"),
            ("*/0 * * * *", "a step is a number"),
            ("*/x * * * *", "a step is a number"),
            ("5/10 * * * *", "5-59/N"),
            ("50-10 * * * *", "50-59,0-10"),
            ("5, * * * *", "no minute"),
            ("+5 * * * *", "no minute"),
            ("- * * * *", "no minute"),
            ("@reboot", "every:"),
            ("@noon", "@hourly"),
        ] {
            let error = Crontab::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_eq!(Crontab::parse(&"*".repeat(257)), Err(CronError::Length));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_fall(text in "\\PC{0,40}|[0-9*,/@a-z -]{0,40}") {
            let _ = Crontab::parse(&text);
        }
    }
}
