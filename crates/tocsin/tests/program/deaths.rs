//! Processes are killed in the middle of a load, and no call is lost.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    Caller, Chance, Phone, Process, Request, Server, Setup, Sipp, Subscriber, pause, until,
};

const CONFIG: &str = include_str!("../configs/deaths.cfg");
const CALLS: u32 = 900;
/// Time from one kill to the next.
const KILL_EVERY: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(90);
/// Shared memory that may be in use more than before: chunks that tables keep at hand. The calls of a load take many
/// times as much, so that a leak would show.
const SLACK: i64 = 512 << 10;

#[test]
fn no_call_is_lost_when_workers_are_killed() {
    kill_under_load(1, |process| process.id != 0 && group_of(process) != "COURIER");
}

#[test]
fn no_call_and_no_event_is_lost_when_the_courier_is_killed_too() {
    kill_under_load(1, |process| process.id != 0);
}

#[test]
fn no_call_and_no_event_is_lost_when_two_processes_are_killed_at_once() {
    kill_under_load(2, |process| process.id != 0);
}

/// Places calls while so many of the processes that may be killed are killed at once, again and again.
fn kill_under_load(at_once: usize, may_be_killed: fn(&Process) -> bool) {
    let subscriber = Subscriber::new();
    let callee = Sipp::callee("asked_again_callee.xml");
    let server =
        Setup::new(CONFIG).put("UAS", callee.port()).put("SUBSCRIBER", subscriber.name()).alone().start();
    let family = server.ps();
    place(&server, 600);
    let used_before = used_when_idle(&server);

    let mut caller = Sipp::caller(Caller { scenario: "uac", to: server.port(), calls: CALLS, rate: 100 });
    let mut chance = Chance::new();
    let mut killed = Vec::new();
    while caller.is_running() {
        pause(KILL_EVERY);
        killed.extend(kill_some(at_once, &server, &mut chance, may_be_killed));
    }
    let counted = caller.finish(PATIENCE);
    assert_eq!((counted.successful, counted.failed), (CALLS, 0), "after {} kills", killed.len());

    until_all_serve(&server, &family, &killed);
    each_death_is_told_once(&killed, &exits_until_now(&server, &subscriber));
    let pids: HashMap<_, _> = family.iter().map(|process| (process.id, process.pid)).collect();
    for process in server.ps() {
        let was_killed = killed.iter().any(|dead| dead.id == process.id);
        assert_eq!(pids[&process.id] != process.pid, was_killed, "{process:?}");
    }
    let used_after = used_when_idle(&server);
    assert!(
        used_after <= used_before + SLACK,
        "shared memory leaks: {used_before} bytes before, {used_after} after"
    );
    server.stop();
}

fn each_death_is_told_once(killed: &[Process], exits: &[Value]) {
    for process in killed {
        let told: Vec<_> = exits.iter().filter(|exit| exit["pid"] == process.pid).collect();
        assert_eq!(told.len(), 1, "events about the death of {process:?}: {told:?}");
        let exit = told[0];
        assert_eq!(exit["process_id"], process.id, "{exit}");
        assert_eq!(exit["signal"], Signal::SIGKILL as i32, "{exit}");
        assert_eq!(exit["group"], group_of(process), "{exit}");
        assert!(exit["records_lost"].is_u64(), "{exit}");
    }
    assert_eq!(exits.len(), killed.len(), "nobody else died: {exits:?}");
}

#[test]
fn a_death_is_told_with_its_parameters_in_order() {
    let subscriber = Subscriber::new();
    let server = Setup::new(CONFIG).put("UAS", 9).put("SUBSCRIBER", subscriber.name()).start();
    let worker = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap();
    end(&worker, Signal::SIGABRT);
    assert_eq!(
        subscriber.raw(),
        format!(
            r#"{{"jsonrpc":"2.0","method":"E_CORE_PROC_EXIT","params":{{"process_id":{},"pid":{},"signal":6,"group":"UDP","records_lost":0}}}}"#,
            worker.id, worker.pid
        )
    );
    server.stop();
}

#[test]
fn timers_outlive_the_processes_that_set_them() {
    let subscriber = Subscriber::new();
    let (caller, callee) = (Phone::new(), Phone::new());
    let server = Setup::new(CONFIG).put("UAS", callee.port()).put("SUBSCRIBER", subscriber.name()).start();
    let family = server.ps();
    let invite = Request::new(&caller, "OPTIONS", &format!("sip:callee@{}", server.address()));
    caller.send(server.address(), invite.text());
    callee.expect_request("OPTIONS");
    for process in family.iter().filter(|process| matches!(group_of(process), "UDP" | "TIMER")) {
        end(process, Signal::SIGKILL);
    }
    let again = callee.expect_request("OPTIONS");
    callee.send(server.address(), again.response("200 OK", "callee", ""));
    caller.expect_status(200);
    server.stop();
}

#[test]
fn what_waits_in_a_dead_workers_socket_is_served_by_its_successor() {
    let subscriber = Subscriber::new();
    let (caller, callee) = (Phone::new(), Phone::new());
    let server = Setup::new(CONFIG).put("UAS", callee.port()).put("SUBSCRIBER", subscriber.name()).start();
    let workers: Vec<_> = server.ps().into_iter().filter(|process| group_of(process) == "UDP").collect();
    for worker in &workers {
        end(worker, Signal::SIGSTOP);
    }
    let requests: Vec<_> = (0..50)
        .map(|_| Request::new(&caller, "OPTIONS", &format!("sip:callee@{}", server.address())))
        .inspect(|request| caller.send(server.address(), request.text()))
        .collect();
    for worker in &workers {
        end(worker, Signal::SIGKILL);
    }
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for _ in &requests {
        let arrived = callee.expect_request("OPTIONS");
        *served.entry(arrived.header("Call-ID").unwrap().to_owned()).or_default() += 1;
        callee.send(server.address(), arrived.response("200 OK", "callee", ""));
    }
    for request in &requests {
        assert_eq!(served.get(&request.call_id), Some(&1), "{}", request.call_id);
    }
    server.stop();
}

/// Calls that warm the server up.
fn place(server: &Server, calls: u32) {
    let caller = Sipp::caller(Caller { scenario: "uac", to: server.port(), calls, rate: 300 });
    assert_eq!(caller.finish(PATIENCE).successful, calls);
}

/// Kills so many of the processes that may be killed, at random; returns them as they were.
fn kill_some(
    count: usize,
    server: &Server,
    chance: &mut Chance,
    may_be_killed: fn(&Process) -> bool,
) -> Vec<Process> {
    let chosen = until("processes can be killed", || {
        let mut candidates: Vec<_> = server.ps().into_iter().filter(may_be_killed).collect();
        let mut choose = || {
            let at = chance.below(candidates.len().max(1));
            (at < candidates.len()).then(|| candidates.swap_remove(at))
        };
        let chosen: Vec<_> = (0..count).filter_map(|_| choose()).collect();
        (chosen.len() == count).then_some(chosen)
    });
    // One may have gone since it was listed; its successor is not to be killed in its place.
    let is_killed = |process: &Process| kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok();
    chosen.into_iter().filter(is_killed).collect()
}

fn end(process: &Process, signal: Signal) {
    kill(Pid::from_raw(process.pid), signal).unwrap();
}

/// Waits until none of the `killed` is left and every process of `family` has a successor under its ID and description.
fn until_all_serve(server: &Server, family: &[Process], killed: &[Process]) {
    let place = |process: &Process| (process.id, process.kind.clone());
    let wanted: Vec<_> = family.iter().map(place).collect();
    until("ps shows all successors", || {
        let now = server.ps();
        let is_dead = |process: &Process| killed.iter().any(|dead| dead.pid == process.pid);
        let all_serve = now.iter().map(place).collect::<Vec<_>>() == wanted && !now.iter().any(is_dead);
        all_serve.then_some(())
    });
}

/// The parameters of all `E_CORE_PROC_EXIT` that were raised up to now.
fn exits_until_now(server: &Server, subscriber: &Subscriber) -> Vec<Value> {
    server.mi().call("raise_event", json!(["E_MARK"]));
    let events = subscriber.up_to("E_MARK");
    events
        .into_iter()
        .map(|event| {
            assert_eq!(event["method"], "E_CORE_PROC_EXIT");
            event["params"].clone()
        })
        .collect()
}

fn used_when_idle(server: &Server) -> i64 {
    server.until_idle();
    server.statistic("shmem:real_used_size")
}

/// The group's name in events; the attendant is in none.
fn group_of(process: &Process) -> &'static str {
    match process.kind.as_str() {
        "attendant" => "",
        "event courier" => "COURIER",
        "Timer handler" => "TIMER",
        kind if kind.starts_with("SIP receiver") => "UDP",
        kind if kind.starts_with("MI ") => "MI",
        kind => panic!("a process of another kind: {kind}"),
    }
}
