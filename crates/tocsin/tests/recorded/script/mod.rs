//! The truth table of the script language: a configuration, messages, and what the script logs, answers and relays.
//!
//! [`case`] makes the configuration of a case, [`stage`] starts the server and exchanges messages with it, [`observed`]
//! reads what came of it, [`compare`] holds that against the recording. If the server refuses a configuration, [`refused`]
//! finds the statements that it refuses, so that one unknown name costs its own lines only.

mod case;
mod compare;
mod ground;
mod log;
mod matcher;
mod refused;
mod relayed;
mod sip_text;
mod stage;
mod variants;

use std::collections::BTreeSet;

use super::area::{Difference, Outcome};
use super::cases::Case;
use super::permits::{Permits, side_by_side};
use case::ScriptCase;
use compare::difference;
use stage::Observed;

/// Servers at the same time, whatever the number of areas that are played. Most of the time they wait.
const SERVERS: usize = 2;
static MACHINE: Permits = Permits::new(SERVERS);

/// Plays cases of an area.
pub(crate) fn play(cases: &[&Case]) -> Vec<Outcome> {
    side_by_side(SERVERS, cases, |case| {
        let _permit = MACHINE.take();
        let case = ScriptCase::new(&case.content);
        let differences = if case.variants.is_empty() { play_one(&case) } else { variants::play(&case) };
        Outcome::Played(differences)
    })
}

fn play_one(case: &ScriptCase) -> Vec<Difference> {
    let observed = stage::play(case);
    match (observed.starts, case.starts) {
        (true, true) => compare::differences(case, &observed),
        (false, false) => Vec::new(),
        (true, false) => vec![difference("start", "refused", "starts")],
        (false, true) => play_in_part(case, &observed),
    }
}

/// Leaves out what the server refuses and plays the rest.
fn play_in_part(case: &ScriptCase, observed: &Observed) -> Vec<Difference> {
    let Some(lines) = refused::lines(case) else {
        let error = log::first_error(&observed.text);
        return vec![difference("refused the configuration as a whole", "starts", &error)];
    };
    let mut differences: Vec<_> = lines.iter().map(|line| refused::difference(case, *line)).collect();
    let rest =
        case.with_routes(&refused::without(&case.routes, &lines.iter().copied().collect::<BTreeSet<_>>()));
    let observed = stage::play(&rest);
    if observed.starts {
        differences.extend(compare::differences(case, &observed));
    } else {
        differences.push(difference("start", "starts", &log::first_error(&observed.text)));
    }
    differences
}
