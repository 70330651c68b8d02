//! Lines of one place that come in floods: some of them are written, the others are counted, and the number is written
//! once a second. So what one peer or one line of a script causes cannot fill a disk, or hide everything else.
//!
//! A place is where in the server's code, or on which line of the script, the reason for a line is found. Not limited
//! are what scripts themselves write, debugging, and everything before the server serves.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_shm::identity;

use super::event;
use super::level::Level;
use super::line::{Line, origin};
use super::output::{write, write_untold};
use crate::time::coarse_ms;

/// Lines of one place that a process writes in a second; those beyond are counted.
pub const MAX_LINES_A_SECOND: u32 = 20;
/// Places whose lines a process counts at one time; the one that was counted for the longest time makes room.
pub const MAX_PLACES: usize = 64;
/// Bytes of a line that are repeated with the number of those that follow it.
const QUOTED: usize = 256;

const WINDOW_MS: u64 = 1_000;

static LIMITED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static FLOODS: RefCell<Floods> = const { RefCell::new(Floods::new()) };
}

/// A place that lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Tells it from others.
    pub(super) key: u64,
    pub(super) level: Level,
    /// The module and the place in it, for those of the server's own code.
    pub(super) target: Option<&'static str>,
}

/// From here on floods are limited in this process and those that it forks.
pub fn limit_floods() {
    LIMITED.store(true, Relaxed);
}

/// Writes how many lines were counted in seconds that are over. To be called once a second.
pub fn report_floods() {
    tell(|floods, reports| floods.take_due(coarse_ms(), reports));
}

/// Writes how many lines were counted and not reported yet: the process ends.
pub fn report_last_floods() {
    tell(|floods, reports| floods.take_due(u64::MAX, reports));
}

/// Writes the line of `place` that `text` makes, unless too many came from there in this second.
pub(super) fn pass(place: Place, text: impl FnOnce() -> String, write: impl FnOnce(&str)) {
    if !LIMITED.load(Relaxed) || place.level > Level::Info || place.level < Level::Error {
        return write(&text());
    }
    let mut admission = Admission::Counted;
    tell(|floods, reports| {
        floods.belong_to(identity::pid());
        admission = floods.admit(place, event::is_raised(place.level), coarse_ms(), reports);
    });
    match admission {
        Admission::Written => write(&text()),
        Admission::Last => {
            let text = text();
            write(&text);
            FLOODS.with_borrow_mut(|floods| floods.quote(place, &text));
        }
        Admission::Counted => {}
    }
}

/// Lets `look` find reports, and writes them.
fn tell(look: impl FnOnce(&mut Floods, &mut Vec<Report>)) {
    let mut reports = Vec::new();
    FLOODS.with_borrow_mut(|floods| look(floods, &mut reports));
    for report in reports {
        let text = format!("{} more such lines in the last second: {}", report.counted, report.quoted);
        let (module, place) = report.place.target.map(origin).unzip();
        let line =
            Line { level: report.place.level, module, place: place.flatten(), facility: None, text: &text };
        if report.is_raised { write(&line) } else { write_untold(&line) }
    }
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Written,
    /// It is written, and the next ones of this second are not.
    Last,
    Counted,
}

/// Lines were counted and not written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Report {
    place: Place,
    counted: u64,
    quoted: String,
    /// All of them would have been events, and so is this.
    is_raised: bool,
}

/// The places that lines came from lately.
struct Floods {
    pid: u32,
    rows: Vec<Row>,
}

struct Row {
    place: Place,
    /// The beginning of its second.
    since_ms: u64,
    written: u32,
    counted: u64,
    quoted: String,
    is_raised: bool,
}

impl Floods {
    const fn new() -> Self {
        Self { pid: 0, rows: Vec::new() }
    }

    /// What the parent counted before the fork is the parent's.
    fn belong_to(&mut self, pid: u32) {
        if self.pid != pid {
            self.pid = pid;
            self.rows.clear();
        }
    }

    /// A line of `place` comes at `now_ms`.
    fn admit(&mut self, place: Place, is_raised: bool, now_ms: u64, reports: &mut Vec<Report>) -> Admission {
        let at = match self.rows.iter().position(|row| row.place.key == place.key) {
            Some(at) => at,
            None => self.add(place, now_ms, reports),
        };
        let row = &mut self.rows[at];
        if row.is_over(now_ms) {
            reports.extend(row.report());
            *row = Row::new(place, now_ms);
        }
        if row.written < MAX_LINES_A_SECOND {
            row.written += 1;
            return if row.written == MAX_LINES_A_SECOND { Admission::Last } else { Admission::Written };
        }
        row.counted += 1;
        row.is_raised &= is_raised;
        Admission::Counted
    }

    fn add(&mut self, place: Place, now_ms: u64, reports: &mut Vec<Report>) -> usize {
        if self.rows.len() < MAX_PLACES {
            self.rows.push(Row::new(place, now_ms));
            return self.rows.len() - 1;
        }
        let oldest = (0..MAX_PLACES).min_by_key(|at| self.rows[*at].since_ms).unwrap_or(0);
        reports.extend(self.rows[oldest].report());
        self.rows[oldest] = Row::new(place, now_ms);
        oldest
    }

    fn quote(&mut self, place: Place, text: &str) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.place.key == place.key) {
            text[..text.floor_char_boundary(QUOTED)].clone_into(&mut row.quoted);
        }
    }

    /// Takes the counts of seconds that are over at `now_ms`.
    fn take_due(&mut self, now_ms: u64, reports: &mut Vec<Report>) {
        self.rows.retain_mut(|row| {
            let is_over = row.is_over(now_ms);
            if is_over {
                reports.extend(row.report());
            }
            !is_over
        });
    }
}

impl Row {
    fn new(place: Place, since_ms: u64) -> Self {
        Self { place, since_ms, written: 0, counted: 0, quoted: String::new(), is_raised: true }
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= WINDOW_MS
    }

    fn report(&mut self) -> Option<Report> {
        let quoted = std::mem::take(&mut self.quoted);
        let (place, counted, is_raised) = (self.place, self.counted, self.is_raised);
        (counted > 0).then_some(Report { place, counted, quoted, is_raised })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: u64) -> Place {
        Place { key, level: Level::Error, target: None }
    }

    /// Lets `lines` come of a place at one time; how many are written, and what is reported.
    fn come(floods: &mut Floods, key: u64, lines: u64, now_ms: u64) -> (u64, Vec<(u64, u64)>) {
        let mut reports = Vec::new();
        let mut written = 0;
        for _ in 0..lines {
            let admission = floods.admit(place(key), true, now_ms, &mut reports);
            written += u64::from(admission != Admission::Counted);
            if admission == Admission::Last {
                floods.quote(place(key), &format!("{key} at {now_ms}"));
            }
        }
        (written, reports.iter().map(|report| (report.place.key, report.counted)).collect())
    }

    #[test]
    fn all_lines_are_written_or_counted() {
        let mut floods = Floods::new();
        let (mut written, mut counted) = (0, 0);
        for now_ms in (0..5_000).step_by(10) {
            let (some, reports) = come(&mut floods, 1, 7, now_ms);
            written += some;
            counted += reports.iter().map(|(_, number)| number).sum::<u64>();
        }
        let mut reports = Vec::new();
        floods.take_due(5_000, &mut reports);
        assert_eq!(reports[0].quoted, "1 at 4020");
        counted += reports[0].counted;
        assert_eq!((written, counted), (5 * 20, 500 * 7 - 5 * 20));
    }

    #[test]
    fn places_do_not_count_for_each_other() {
        let mut floods = Floods::new();
        assert_eq!(come(&mut floods, 1, 1_000, 0), (20, vec![]));
        assert_eq!(come(&mut floods, 2, 20, 0), (20, vec![]));
        assert_eq!(come(&mut floods, 2, 20, 1_000), (20, vec![]));
        assert_eq!(come(&mut floods, 1, 1, 1_000), (1, vec![(1, 980)]));
    }

    #[test]
    fn a_count_is_told_when_its_second_is_over() {
        let mut floods = Floods::new();
        come(&mut floods, 1, 21, 100);
        let mut reports = Vec::new();
        floods.take_due(1_099, &mut reports);
        assert_eq!(reports, []);
        floods.take_due(1_100, &mut reports);
        let reported = Report { place: place(1), counted: 1, quoted: "1 at 100".to_owned(), is_raised: true };
        assert_eq!(reports, [reported]);
        floods.take_due(9_000, &mut reports);
        assert_eq!(reports.len(), 1);
    }

    #[test]
    fn many_places_take_no_more_room_and_lose_no_count() {
        let mut floods = Floods::new();
        let mut reported = 0;
        for key in 0..1_000 {
            let (_, reports) = come(&mut floods, key, 25, key);
            reported += reports.iter().map(|(_, number)| number).sum::<u64>();
        }
        assert_eq!(floods.rows.len(), MAX_PLACES);
        let mut reports = Vec::new();
        floods.take_due(u64::MAX, &mut reports);
        reported += reports.iter().map(|report| report.counted).sum::<u64>();
        assert_eq!(reported, 5_000);
    }

    #[test]
    fn a_line_that_is_no_event_makes_no_count_that_is() {
        let mut floods = Floods::new();
        let mut reports = Vec::new();
        for turn in 0..30 {
            floods.admit(place(1), turn != 25, 0, &mut reports);
        }
        floods.take_due(1_000, &mut reports);
        assert!(!reports[0].is_raised);
    }

    #[test]
    fn a_child_does_not_tell_of_its_parents_lines() {
        let mut floods = Floods::new();
        floods.belong_to(1);
        come(&mut floods, 1, 50, 0);
        floods.belong_to(1);
        assert_eq!(floods.rows.len(), 1);
        floods.belong_to(2);
        assert!(floods.rows.is_empty());
    }
}
