//! When a crontab line fires in a time zone.
//!
//! The `cron` crate computes on wall-clock time; what daylight saving makes of it is decided here,
//! as Vixie's cron does. A job at a fixed time whose time is skipped runs once, right after the
//! gap; one whose time comes twice runs the first time. A job whose minute or hour begins with `*`
//! runs whenever the wall clock shows a matching time: never in a gap, twice in a repeated hour.

use std::str::FromStr;

use ::cron::Schedule;
use chrono::{
    DateTime, Duration as Delta, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{GapInfo, Tz};

use super::crontab::{CronError, Crontab};

/// A compiled crontab line with its zone.
#[derive(Clone, Debug)]
pub(super) struct Cron {
    table: Crontab,
    schedules: Vec<Schedule>,
    zone: Tz,
    pub(super) rhythm: Rhythm,
}

/// How often a line fires, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rhythm {
    pub(super) samples_per_hour: f64,
    /// The longest time between two firings, in seconds, daylight saving aside.
    pub(super) interval: i64,
    /// The same on the worst day of a year, in seconds.
    pub(super) longest_wait: i64,
}

impl Cron {
    pub(super) fn compile(text: &str, zone: Tz) -> Result<Self, CronError> {
        let table = Crontab::parse(text)?;
        let schedules: Result<Vec<_>, _> =
            table.quartz().iter().map(|text| Schedule::from_str(text)).collect();
        // Unreachable as long as `quartz` writes what the crate reads, which tests hold it to.
        let schedules = schedules.map_err(|_| CronError::Never)?;
        let rhythm = Rhythm::of(&table, zone).ok_or(CronError::Never)?;
        Ok(Self { table, schedules, zone, rhythm })
    }

    /// The first firing after `after`.
    pub(super) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.table.wildcard { self.next_shown(after) } else { self.next_fixed(after) }
    }

    fn next_fixed(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.wall(after);
        loop {
            wall = self.next_wall(wall)?;
            // In the second pass of an overlap, times that ran in the first are stepped over.
            match self.first_instant(wall) {
                Some(due) if due > after => return Some(due),
                _ => {}
            }
        }
    }

    fn next_shown(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ahead = self.next_ahead(after);
        // What the clock shows again after it is set back lies before `after` on the wall.
        let again = self.set_back(after).and_then(|(instant, offset)| {
            let shown_before = instant.naive_utc() + offset - TimeDelta::nanoseconds(1);
            Some(Utc.from_utc_datetime(&(self.next_wall(shown_before)? - offset)))
        });
        ahead.into_iter().chain(again).min()
    }

    fn next_ahead(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = self.wall(after);
        loop {
            wall = self.next_wall(wall)?;
            let local = self.zone.from_local_datetime(&wall);
            let instants = [local.earliest(), local.latest()];
            let due = instants.into_iter().flatten().map(|due| due.to_utc()).find(|d| *d > after);
            if due.is_some() {
                return due;
            }
        }
    }

    /// When the clock is next set back within a day and a little, and the offset from then on.
    fn set_back(&self, after: DateTime<Utc>) -> Option<(DateTime<Utc>, TimeDelta)> {
        let offset = |at: DateTime<Utc>| {
            self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
        };
        let start = after.timestamp();
        let (mut same, mut other) = (start, start.checked_add(OVERLAP_HORIZON)?);
        let instant = |seconds| DateTime::from_timestamp(seconds, 0);
        let before = offset(after);
        if offset(instant(other)?) >= before {
            return None;
        }
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset(instant(middle)?) == before { same = middle } else { other = middle }
        }
        let at = instant(other)?;
        Some((at, TimeDelta::seconds(i64::from(offset(at)))))
    }

    fn wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    /// The first matching wall-clock time after `wall`. Years beyond 2100 have none.
    fn next_wall(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = wall.and_utc();
        let firings = self.schedules.iter().filter_map(|schedule| schedule.after(&after).next());
        firings.map(|at| at.naive_utc()).min()
    }

    /// When the wall clock first shows this time or, in a gap, the first instant after the gap.
    fn first_instant(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.zone.from_local_datetime(&wall).earliest() {
            Some(instant) => Some(instant.to_utc()),
            None => GapInfo::new(&wall, &self.zone)?.end.map(|end| end.to_utc()),
        }
    }
}

/// The clock is never set back by more (a change of the date line is a day).
const OVERLAP_HORIZON: i64 = 26 * 3_600;

impl Rhythm {
    /// `None` if it never fires.
    fn of(table: &Crontab, zone: Tz) -> Option<Self> {
        let times = Times::of(table)?;
        let start = NaiveDate::from_ymd_opt(2000, 3, 1)?;
        // Weekdays and leap years repeat after 28 years.
        let days: Vec<i64> =
            (0..CYCLE_DAYS).filter(|day| table.has_day(start + Delta::days(*day))).collect();
        let (first, last) = (*days.first()?, *days.last()?);
        let between = days.windows(2).map(|pair| pair[1] - pair[0]);
        let day_gap = between.chain([first + CYCLE_DAYS - last]).max()?;
        let interval = times.widest.max(day_gap * DAY - (times.last - times.first));
        Some(Self {
            samples_per_hour: times.count as f64 * days.len() as f64 / (CYCLE_DAYS * 24) as f64,
            interval,
            longest_wait: interval + daylight_saving(zone),
        })
    }
}

/// The times of day that a line fires at, in seconds after midnight.
struct Times {
    first: i64,
    last: i64,
    count: i64,
    widest: i64,
}

impl Times {
    fn of(table: &Crontab) -> Option<Self> {
        let values = |set: u64| (0..64_i64).filter(move |value| set >> value & 1 == 1);
        let mut times: Option<Self> = None;
        for hour in values(table.hours) {
            for minute in values(table.minutes) {
                for second in values(table.seconds) {
                    let at = hour * 3_600 + minute * 60 + second;
                    let so_far =
                        times.get_or_insert(Self { first: at, last: at, count: 0, widest: 0 });
                    so_far.widest = so_far.widest.max(at - so_far.last);
                    so_far.last = at;
                    so_far.count += 1;
                }
            }
        }
        times
    }
}

/// The difference between a zone's summer and winter, in seconds, in our years.
fn daylight_saving(zone: Tz) -> i64 {
    let fortnights =
        (0..320).filter_map(|n| DateTime::from_timestamp(1_735_689_600 + n * 14 * DAY, 0));
    let offsets = fortnights.map(|at| {
        i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    });
    let (low, high) =
        offsets.fold((i64::MAX, i64::MIN), |(low, high), o| (low.min(o), high.max(o)));
    high - low
}

const DAY: i64 = 86_400;
const CYCLE_DAYS: i64 = 28 * 365 + 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str, zone: &str) -> Cron {
        Cron::compile(text, zone.parse().expect("a zone")).expect(text)
    }

    fn firings(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let cron = cron(text, zone);
        let mut at: DateTime<Utc> = from.parse().expect("a time");
        let mut out = Vec::new();
        while out.len() < count {
            at = cron.next(at).expect("a firing");
            out.push(at.format("%m-%dT%H:%M:%S").to_string());
        }
        out
    }

    /// Expression, and its first firings after Wednesday 2026-07-01T00:00:00Z, in UTC.
    const TABLE: &[(&str, &[&str])] = &[
        ("* * * * *", &["07-01T00:01:00", "07-01T00:02:00"]),
        ("*/5 * * * *", &["07-01T00:05:00", "07-01T00:10:00"]),
        ("*/25 * * * *", &["07-01T00:25:00", "07-01T00:50:00", "07-01T01:00:00"]),
        ("0 * * * *", &["07-01T01:00:00", "07-01T02:00:00"]),
        ("15,45 * * * *", &["07-01T00:15:00", "07-01T00:45:00"]),
        (
            "10-12 * * * *",
            &["07-01T00:10:00", "07-01T00:11:00", "07-01T00:12:00", "07-01T01:10:00"],
        ),
        (
            "0-30/15 3 * * *",
            &["07-01T03:00:00", "07-01T03:15:00", "07-01T03:30:00", "07-02T03:00:00"],
        ),
        ("0 0 * * *", &["07-02T00:00:00", "07-03T00:00:00"]),
        ("0 2 * * *", &["07-01T02:00:00", "07-02T02:00:00"]),
        ("59 23 * * *", &["07-01T23:59:00", "07-02T23:59:00"]),
        ("0 9 * * 1", &["07-06T09:00:00", "07-13T09:00:00"]),
        ("0 9 * * MON", &["07-06T09:00:00", "07-13T09:00:00"]),
        ("0 9 * * 2", &["07-07T09:00:00"]),
        ("0 9 * * 3", &["07-01T09:00:00", "07-08T09:00:00"]),
        ("0 9 * * 6", &["07-04T09:00:00"]),
        ("0 0 * * 0", &["07-05T00:00:00", "07-12T00:00:00"]),
        ("0 0 * * 7", &["07-05T00:00:00", "07-12T00:00:00"]),
        ("0 0 * * sun", &["07-05T00:00:00"]),
        ("0 9 * * 1-5", &["07-01T09:00:00", "07-02T09:00:00", "07-03T09:00:00", "07-06T09:00:00"]),
        (
            "0 9 * * mon-fri",
            &["07-01T09:00:00", "07-02T09:00:00", "07-03T09:00:00", "07-06T09:00:00"],
        ),
        ("0 9 * * 6,0", &["07-04T09:00:00", "07-05T09:00:00", "07-11T09:00:00"]),
        ("0 9 * * sat-sun", &["07-04T09:00:00", "07-05T09:00:00", "07-11T09:00:00"]),
        ("0 0 13 * 5", &["07-03T00:00:00", "07-10T00:00:00", "07-13T00:00:00", "07-17T00:00:00"]),
        (
            "0 0 1,15 * 3",
            &[
                "07-08T00:00:00",
                "07-15T00:00:00",
                "07-22T00:00:00",
                "07-29T00:00:00",
                "08-01T00:00:00",
            ],
        ),
        ("0 0 */2 * 5", &["07-03T00:00:00", "07-17T00:00:00", "07-31T00:00:00"]),
        ("0 0 13 * */2", &["08-13T00:00:00", "09-13T00:00:00", "10-13T00:00:00"]),
        ("0 0 1 * *", &["08-01T00:00:00", "09-01T00:00:00"]),
        ("0 0 31 * *", &["07-31T00:00:00", "08-31T00:00:00", "10-31T00:00:00"]),
        ("0 0 29 2 *", &["02-29T00:00:00", "02-29T00:00:00"]),
        ("0 0 30 2 1", &["02-01T00:00:00", "02-08T00:00:00"]),
        ("0 0 1 jan *", &["01-01T00:00:00"]),
        ("0 0 * 7-8/1 *", &["07-02T00:00:00"]),
        ("0 12 * feb,NOV 4", &["11-05T12:00:00", "11-12T12:00:00"]),
        ("0 */6 * * *", &["07-01T06:00:00", "07-01T12:00:00", "07-01T18:00:00", "07-02T00:00:00"]),
        (
            "5 1-23/11 * * *",
            &["07-01T01:05:00", "07-01T12:05:00", "07-01T23:05:00", "07-02T01:05:00"],
        ),
        ("@hourly", &["07-01T01:00:00"]),
        ("@daily", &["07-02T00:00:00"]),
        ("@midnight", &["07-02T00:00:00"]),
        ("@weekly", &["07-05T00:00:00"]),
        ("@monthly", &["08-01T00:00:00"]),
        ("@YEARLY", &["01-01T00:00:00"]),
        ("30 0 9 * * 1", &["07-06T09:00:30"]),
        ("*/20 * * * * *", &["07-01T00:00:20", "07-01T00:00:40", "07-01T00:01:00"]),
    ];

    #[test]
    fn a_table_of_expressions_fires_as_crontab_says() {
        for (text, expected) in TABLE {
            let seen = firings(text, "UTC", "2026-07-01T00:00:00Z", expected.len());
            assert_eq!(&seen, expected, "{text}");
        }
    }

    #[test]
    fn a_fixed_time_in_the_gap_runs_once_right_after_it() {
        // Paris: 2026-03-29 02:00 CET becomes 03:00 CEST, at 01:00Z.
        let seen = firings("30 2 * * *", "Europe/Paris", "2026-03-27T12:00:00Z", 4);
        assert_eq!(seen, ["03-28T01:30:00", "03-29T01:00:00", "03-30T00:30:00", "03-31T00:30:00"]);
        // New York: 2026-03-08 02:00 EST becomes 03:00 EDT, at 07:00Z.
        let seen = firings("15,45 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 3);
        assert_eq!(seen, ["03-08T07:00:00", "03-09T06:15:00", "03-09T06:45:00"]);
        // Lord Howe: 2026-10-04 02:00 becomes 02:30, at 2026-10-03T15:30Z.
        let seen = firings("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T12:00:00Z", 3);
        assert_eq!(seen, ["10-02T15:45:00", "10-03T15:30:00", "10-04T15:15:00"]);
    }

    #[test]
    fn a_fixed_time_in_the_overlap_runs_the_first_time_only() {
        // Paris: 2026-10-25 03:00 CEST becomes 02:00 CET, at 01:00Z.
        let seen = firings("30 2 * * *", "Europe/Paris", "2026-10-23T12:00:00Z", 4);
        assert_eq!(seen, ["10-24T00:30:00", "10-25T00:30:00", "10-26T01:30:00", "10-27T01:30:00"]);
        // New York: 2026-11-01 02:00 EDT becomes 01:00 EST, at 06:00Z.
        let seen = firings("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
        assert_eq!(seen, ["11-01T05:30:00", "11-02T06:30:00"]);
        // Lord Howe: 2026-04-05 02:00 becomes 01:30, at 2026-04-04T15:00Z.
        let seen = firings("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T18:00:00Z", 2);
        assert_eq!(seen, ["04-04T14:45:00", "04-05T15:15:00"]);
    }

    #[test]
    fn a_wildcard_follows_the_wall_clock_through_gap_and_overlap() {
        let seen = firings("*/30 * * * *", "Europe/Paris", "2026-10-24T23:45:00Z", 6);
        let expected = ["10-25T00:00:00", "10-25T00:30:00", "10-25T01:00:00", "10-25T01:30:00"];
        assert_eq!(seen[..4], expected);
        let seen = firings("*/30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", 5);
        assert_eq!(seen[..4], expected);
        assert_eq!(seen[4], "10-26T01:00:00");
        let seen = firings("*/30 * * * *", "Europe/Paris", "2026-03-29T00:20:00Z", 3);
        assert_eq!(seen, ["03-29T00:30:00", "03-29T01:00:00", "03-29T01:30:00"]);
        let seen = firings("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3);
        assert_eq!(seen, ["04-04T14:45:00", "04-04T15:15:00", "04-04T16:15:00"]);
    }

    #[test]
    fn the_rhythm_is_that_of_the_wall_clock() {
        for (text, zone, per_hour, interval, longest) in [
            ("*/5 * * * *", "UTC", 12.0, 300, 300),
            ("0 2 * * *", "Europe/Paris", 1.0 / 24.0, 86_400, 90_000),
            ("0 9 * * 1-5", "Asia/Tokyo", 5.0 / 168.0, 259_200, 259_200),
            ("*/5 9-16 * * *", "UTC", 4.0, 57_900, 57_900),
        ] {
            let rhythm = cron(text, zone).rhythm;
            assert!((rhythm.samples_per_hour - per_hour).abs() < 1e-3, "{text}: {rhythm:?}");
            assert_eq!((rhythm.interval, rhythm.longest_wait), (interval, longest), "{text}");
        }
    }

    #[test]
    fn what_never_fires_is_refused() {
        for text in ["30 2 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 feb *"] {
            assert_eq!(Cron::compile(text, Tz::UTC).err(), Some(CronError::Never), "{text}");
        }
    }

    #[test]
    fn beyond_the_year_2100_nothing_fires_and_nothing_falls() {
        let end = DateTime::<Utc>::MAX_UTC - TimeDelta::days(3);
        assert_eq!(cron("* * * * *", "Europe/Paris").next(end), None);
        assert_eq!(cron("0 3 * * *", "Europe/Paris").next(end), None);
    }
}
