//! Messages in, messages out: parties exchange SIP through the server, and what each of them receives is compared.
//!
//! [`run`] plays the steps of a case with [`actor`]s against a [`server`] that all cases with the same configuration share.
//! [`normal`] replaces what differs from run to run, [`compare`] holds the rest against the recording.

mod actor;
mod compare;
mod connection;
mod dialog;
mod fill;
mod message;
mod normal;
mod run;
mod server;
mod steps;
mod tls;
mod websocket;

use std::collections::BTreeMap;

use serde_json::Value;

use super::area::{Difference, Outcome};
use super::cases::{Case, is_set, text};
use super::permits::{Permits, side_by_side};
use normal::Item;
use run::Run;
use server::Server;

/// Servers at the same time, whatever the number of areas that are played.
const SERVERS: usize = 2;
static MACHINE: Permits = Permits::new(SERVERS);

/// Cases at the same time in one server: most of them wait most of the time.
const SIDE_BY_SIDE: usize = 8;

/// What the parties of a case received, and which step was impossible.
struct Played {
    items: Vec<Item>,
    problem: Option<String>,
}

/// Plays cases of an area.
pub(crate) fn play(cases: &[&Case]) -> Vec<Outcome> {
    let compared: Vec<_> = cases.iter().copied().filter(|case| wanted(case).is_some()).collect();
    let mut groups: Vec<_> = groups(&compared).into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let played = side_by_side(SERVERS, &groups, |group| {
        let _permit = MACHINE.take();
        play_group(group)
    });
    let mut played: BTreeMap<_, _> = played.into_iter().flatten().collect();
    cases
        .iter()
        .map(|case| played.remove(&case.name).map_or(Outcome::NotCompared, |played| outcome(case, &played)))
        .collect()
}

/// What should come; `None` where OpenSIPS is wrong and nobody wrote down what would be right.
fn wanted(case: &Case) -> Option<&[Value]> {
    let is_right = !is_set(&case.content, "defect");
    let member = if is_right { "recorded" } else { "right" };
    case.content[member].as_array().map(Vec::as_slice)
}

/// Cases that can share a server.
fn groups<'a>(cases: &[&'a Case]) -> BTreeMap<(&'a str, &'a str), Vec<&'a Case>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases {
        let alone = if is_set(&case.content, "alone") { case.name.as_str() } else { "" };
        groups.entry((text(&case.content, "config"), alone)).or_default().push(*case);
    }
    groups
}

fn play_group(cases: &[&Case]) -> Vec<(String, Played)> {
    let mut server = match Server::start(&cases[0].content) {
        Ok(server) => server,
        Err(error) => {
            let failed = |case: &&Case| {
                let problem = Some(format!("the server does not start: {error}"));
                (case.name.clone(), Played { items: Vec::new(), problem })
            };
            return cases.iter().map(failed).collect();
        }
    };
    let (serial, beside): (Vec<&Case>, Vec<&Case>) =
        cases.iter().partition(|case| is_set(&case.content, "serial"));
    let play_one = |case: &&Case| (case.name.clone(), Run::new(&case.content, &server).play());
    let mut played = side_by_side(SIDE_BY_SIDE, &beside, play_one);
    played.extend(serial.iter().map(play_one));
    if let Some(end) = server.end() {
        for (_, played) in &mut played {
            played.problem = Some(format!("{} ({end})", played.problem.as_deref().unwrap_or("")));
        }
    }
    played
}

fn outcome(case: &Case, played: &Played) -> Outcome {
    let wanted: Vec<_> = wanted(case).unwrap_or_default().iter().map(Item::recorded).collect();
    let mut texts = compare::differences(&wanted, &played.items, &case.content);
    if let Some(problem) = played.problem.as_ref().filter(|_| !texts.is_empty()) {
        texts.insert(0, problem.clone());
    }
    Outcome::Played(texts.into_iter().map(|text| Difference { item: String::new(), text }).collect())
}
