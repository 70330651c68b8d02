//! What is said about readiness, by whom, and what is left of it after a death.

use std::os::fd::OwnedFd;

use nix::sys::eventfd::{EfdFlags, EventFd};
use proptest::prelude::*;
use tocsin_event::EventOptions;
use tocsin_shm::ArenaOptions;

use super::*;

fn reports() -> StatusReports {
    let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 4 << 20 }).unwrap();
    let bell: OwnedFd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap().into();
    let events = Events::create(arena, &EventOptions::for_arena(16 << 20, 4), bell).unwrap();
    StatusReports::create(arena, events).unwrap()
}

/// With a group `alarms` of the script, too.
fn with_alarms() -> (StatusReports, GroupId, IdentifierId) {
    let mut status = reports();
    let group = status.group("alarms", Owner::Script).unwrap();
    let main = status.identifier(group, &Identifier::MAIN).unwrap();
    (status, group, main)
}

fn state(status: i32, details: &str) -> State {
    State { status, details: Some(details.as_bytes().to_vec()).filter(|details| !details.is_empty()) }
}

fn texts(status: &StatusReports, identifier: IdentifierId) -> Vec<String> {
    let reports = status.reports(identifier).into_iter();
    reports.map(|report| String::from_utf8(report.text).unwrap()).collect()
}

#[test]
fn the_core_goes_from_initializing_to_terminating() {
    let status = reports();
    let core = status.find(status.find_group(b"CORE").unwrap(), None).unwrap();
    assert_eq!(status.core(), state(-1, "initializing"));
    status.set_core(CoreState::Running);
    assert_eq!(status.core(), state(1, "running"));
    assert_eq!(texts(&status, core), ["initializing", "initialization completed, ready now"]);
    status.set_core(CoreState::Terminating);
    assert!(!status.core().is_ready());
    assert_eq!(status.state(core).status, -2);
}

#[test]
fn a_status_is_any_number_but_zero() {
    let (status, group, main) = with_alarms();
    assert_eq!(status.state(main), state(1, ""));
    for number in [5, -3, 70_000, i32::MAX, i32::MIN] {
        status.set(main, number, Some(b"text"));
        assert_eq!(status.state(main), state(number, "text"));
        assert_eq!(status.state(main).is_ready(), number > 0);
        assert_eq!(status.aggregated(group), number.signum());
    }
    status.set(main, 0, None);
    assert_eq!(status.state(main), state(1, ""), "0 is 1");
    status.set(main, 2, Some(b""));
    assert_eq!(status.state(main), State { status: 2, details: Some(Vec::new()) }, "empty is not none");
}

#[test]
fn groups_are_found_whatever_the_case_and_listed_newest_first() {
    let (mut status, alarms, _) = with_alarms();
    let second = status.group("Second Group", Owner::Server).unwrap();
    assert_eq!(status.find_group(b"SECOND group"), Some(second));
    assert_eq!(status.find_group(b"second"), None);
    assert_eq!(status.owner(alarms), Owner::Script);
    let names: Vec<_> = status.groups().map(|group| status.group_name(group)).collect();
    assert_eq!(names, ["Second Group", "alarms", "core"]);
}

#[test]
fn one_identifier_that_is_not_ready_makes_its_group_so() {
    let (mut status, alarms, main) = with_alarms();
    let other =
        status.identifier(alarms, &Identifier { name: "pstn", status: -7, ..Identifier::MAIN }).unwrap();
    assert_eq!(status.identifiers(alarms).collect::<Vec<_>>(), [other, main]);
    assert_eq!(status.find(alarms, Some(b"pstn")), Some(other));
    assert_eq!(status.find(alarms, Some(b"PSTN")), None, "only groups match whatever the case");
    assert_eq!(status.aggregated(alarms), -1);
    status.set(other, 3, None);
    assert_eq!(status.aggregated(alarms), 1);
}

#[test]
fn names_and_numbers_have_bounds() {
    let (mut status, alarms, _) = with_alarms();
    let twice = |name: &str| Err(StatusError::Twice(name.to_owned()));
    assert_eq!(status.group("Core", Owner::Script), twice("Core").map(GroupId));
    assert_eq!(status.identifier(alarms, &Identifier::MAIN), twice("main").map(IdentifierId));
    for name in ["", "all", &"x".repeat(MAX_NAME_BYTES + 1)] {
        assert_eq!(status.group(name, Owner::Script), Err(StatusError::Name(name.to_owned())));
    }
    let greedy = Identifier { name: "x", reports: MAX_REPORTS_CONFIGURED + 1, ..Identifier::MAIN };
    assert_eq!(status.identifier(alarms, &greedy), Err(StatusError::Reports(MAX_REPORTS_CONFIGURED + 1)));
    // `core` and `alarms` are there.
    for n in 2..MAX_IDENTIFIERS {
        status.group(&format!("g{n}"), Owner::Server).unwrap();
    }
    assert_eq!(status.group("one more", Owner::Server), Err(StatusError::TooMany));
}

#[test]
fn the_oldest_reports_make_room() {
    let (mut status, alarms, _) = with_alarms();
    let few = status.identifier(alarms, &Identifier { name: "few", reports: 3, ..Identifier::MAIN }).unwrap();
    assert_eq!(status.reports(few), []);
    for n in 1..=5 {
        status.report(few, format!("report {n}").as_bytes()).unwrap();
    }
    assert_eq!(texts(&status, few), ["report 3", "report 4", "report 5"]);
}

#[test]
fn a_death_in_the_middle_costs_details_and_no_status() {
    let (status, _, main) = with_alarms();
    status.set(main, -4, Some(b"broken"));
    status.shared.lose(main.0);
    assert_eq!(status.state(main), state(-4, ""));
    status.set(main, 6, Some(b"well again"));
    assert_eq!(status.state(main), state(6, "well again"));
}

#[test]
fn long_texts_are_cut_between_characters() {
    let (status, _, main) = with_alarms();
    let long = "é".repeat(MAX_TEXT_BYTES);
    status.set(main, 2, Some(format!("x{long}").as_bytes()));
    let details = String::from_utf8(status.state(main).details.unwrap()).unwrap();
    assert_eq!(details.len(), MAX_TEXT_BYTES - 1);
    status.report(main, long.as_bytes()).unwrap();
    assert_eq!(texts(&status, main)[0].len(), MAX_TEXT_BYTES);
}

proptest! {
    #[test]
    fn any_bytes_are_cut_to_the_limit(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_TEXT_BYTES + 8)) {
        let kept = cut(&bytes);
        prop_assert!(bytes.starts_with(kept) && kept.len() <= MAX_TEXT_BYTES);
        prop_assert!(kept.len() == bytes.len().min(MAX_TEXT_BYTES) || kept.len() >= MAX_TEXT_BYTES - 3);
    }
}
