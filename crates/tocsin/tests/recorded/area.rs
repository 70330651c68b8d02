//! The verdict on an area: its cases are played, what differs is held against the lists.

use std::time::{Duration, Instant};

use super::cases::{self, Case};
use super::lists::{self, Expected};

/// Differences of a case that are shown when it fails.
const SHOWN: usize = 4;

/// A case that differs in more than this is no accident of timing.
const MOST_OF_AN_ACCIDENT: usize = 3;

/// Something that is not as recorded.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// What it is about, such as `log 023`: how `pending.txt` names it. Empty if only the case as a whole can be named.
    pub(crate) item: String,
    /// What was recorded and what came instead, for people.
    pub(crate) text: String,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// OpenSIPS was wrong there, and nobody wrote down what would be right.
    NotCompared,
    Played(Vec<Difference>),
}

impl Outcome {
    pub(crate) fn differences(&self) -> &[Difference] {
        match self {
            Self::NotCompared => &[],
            Self::Played(differences) => differences,
        }
    }
}

/// Plays cases; the outcomes are in the same order.
pub(crate) type Play = fn(&[&Case]) -> Vec<Outcome>;

/// Plays the cases of an area, `TABLE/AREA`. Fails with all that the lists do not know.
pub(crate) fn judge(area: &str, play: Play) {
    let (table, folder) = area.split_once('/').unwrap();
    let cases = cases::of_area(table, folder);
    let writes = std::env::var_os("WRITE_PENDING").is_some();
    let known = lists::read();
    let known = |case: &Case| if writes { known.deliberate(&case.name) } else { known.expected(&case.name) };
    let start = Instant::now();
    let outcomes = play_twice(&cases, play, known);
    report(area, &outcomes, start.elapsed());
    if writes {
        let rows = cases.iter().zip(&outcomes).map(|(case, outcome)| (case.name.as_str(), outcome));
        lists::write_pending(area, rows);
        return;
    }
    let failures: Vec<_> = cases
        .iter()
        .zip(&outcomes)
        .filter_map(|(case, outcome)| failure(case, outcome, &known(case)))
        .collect();
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} cases of {area} are not as the lists say\n\n{}\n",
        failures.join("\n")
    );
}

/// Plays the cases, and once more those that differ a little from what the lists say: an accident of timing on a busy
/// machine does not happen twice.
fn play_twice(cases: &[Case], play: Play, known: impl Fn(&Case) -> Expected) -> Vec<Outcome> {
    let mut outcomes = play(&cases.iter().collect::<Vec<_>>());
    let doubtful: Vec<_> = (0..cases.len())
        .filter(|index| {
            let (case, outcome) = (&cases[*index], &outcomes[*index]);
            let count = outcome.differences().len();
            count <= MOST_OF_AN_ACCIDENT && failure(case, outcome, &known(case)).is_some()
        })
        .collect();
    let again: Vec<_> = doubtful.iter().map(|index| &cases[*index]).collect();
    for (index, second) in doubtful.into_iter().zip(play(&again)) {
        let case = &cases[index];
        if failure(case, &second, &known(case)).is_none() {
            let first = failure(case, &outcomes[index], &known(case)).unwrap_or_default();
            eprintln!("only at the second try:\n{first}");
            outcomes[index] = second;
        }
    }
    outcomes
}

/// Why a case is not as the lists say.
fn failure(case: &Case, outcome: &Outcome, expected: &Expected) -> Option<String> {
    let differences = outcome.differences();
    let unexpected: Vec<_> =
        differences.iter().filter(|difference| !expected.has(&difference.item)).collect();
    if !unexpected.is_empty() {
        let mut lines = vec![format!("{}: {}", case.name, cases::text(&case.content, "title"))];
        lines.extend(unexpected.iter().take(SHOWN).map(|difference| format!("    {}", difference.text)));
        if unexpected.len() > SHOWN {
            lines.push(format!("    and {} more", unexpected.len() - SHOWN));
        }
        return Some(lines.join("\n"));
    }
    let gone = expected.gone(differences)?;
    Some(format!("{}: {gone}: take it off the list, or run with WRITE_PENDING=1", case.name))
}

/// How far the area is.
fn report(area: &str, outcomes: &[Outcome], time: Duration) {
    let skipped = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::NotCompared)).count();
    let right = outcomes.iter().filter(|outcome| outcome.differences().is_empty()).count() - skipped;
    eprintln!(
        "{area}: {right} of {} cases are as recorded, {skipped} more are not compared ({:.0} s)",
        outcomes.len() - skipped,
        time.as_secs_f64()
    );
}
