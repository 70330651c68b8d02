//! Groups of processes grow with their load and shrink after it, each step told, and nothing is lost over it.
//!
//! What shrinks does so 10 cycles after it has grown at the earliest, so these tests take their time; cases that need
//! the same time share it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{
    A_MOMENT, Caller, Line, Phone, Process, Request, Server, Setup, Sipp, Subscriber, UnixSubscriber,
    descriptors, free_tcp_port, pause, until,
};

const CONFIG: &str = include_str!("../configs/scaling.cfg");
/// What the receivers do for every request, as in the recordings.
const SLOW_ROUTE: &str = "route { usleep(120000); exit; }";
/// Time between two requests of a load.
const SEND_EVERY: Duration = Duration::from_millis(20);
/// Processes that the profile adds to one.
const MORE: usize = 2;

/// A server with `groups` and `routes` in its configuration, and its two subscribers.
struct Scaled {
    server: Server,
    subscriber: Subscriber,
    beside: UnixSubscriber,
    /// Its processes at the start.
    family: Vec<Process>,
}

impl Scaled {
    fn start(groups: &str, routes: &str, tcp: u16) -> Self {
        let subscriber = Subscriber::new();
        let setup = Setup::new(CONFIG).put("GROUPS", groups).put("ROUTES", routes).put("TCP", tcp);
        let beside = UnixSubscriber::new(&setup.dir().join("scale.sock"));
        let server = setup.put("SUBSCRIBER", subscriber.name()).start();
        let family = server.ps();
        Self { server, subscriber, beside, family }
    }

    /// The next event says, byte for byte, that the `nth` process beside those of the start was forked for this group, or
    /// asked to leave. Returns its pid.
    fn expect(&self, (kind, filter): (&str, &str), scale: &str, nth: usize) -> i64 {
        let text = self.subscriber.raw();
        let event: Value = serde_json::from_str(&text).unwrap();
        let params = &event["params"];
        let (load, pid) = (params["group_load"].as_i64().unwrap(), params["pid"].as_i64().unwrap());
        let id = self.family.len() + nth;
        assert_eq!(
            text,
            format!(
                r#"{{"jsonrpc":"2.0","method":"E_CORE_PROC_AUTO_SCALE","params":{{"group_type":"{kind}","group_filter":"{filter}","group_load":{load},"scale":"{scale}","process_id":{id},"pid":{pid}}}}}"#
            )
        );
        assert_eq!(self.beside.raw(), text);
        match scale {
            "up" => assert!((31..=100).contains(&load), "{text}"),
            _ => assert!(load < 10, "{text}"),
        }
        pid
    }

    /// The group grows as far as it may, while `load` runs, and shrinks to where it was after `calm`.
    fn grows_and_shrinks(
        &self,
        group: (&str, &str),
        of_kind: &str,
        load: impl Fn() + Sync,
        calm: impl FnOnce(),
    ) {
        let pids = while_doing(load, || {
            let pids: Vec<_> = (0..MORE).map(|nth| self.expect(group, "up", nth)).collect();
            let processes = self.server.ps();
            assert_eq!(processes.len(), self.family.len() + MORE);
            for (process, pid) in processes[self.family.len()..].iter().zip(&pids) {
                assert_eq!((i64::from(process.pid), &*process.kind), (*pid, of_kind));
            }
            let explained = self.explained();
            assert_eq!(explained["Up"], "not beyond 3 processes");
            assert!(explained["Down"].as_str().unwrap().contains("not before"), "{explained}");
            pids
        });
        calm();
        for (nth, pid) in pids.iter().enumerate().rev() {
            assert_eq!(self.expect(group, "down", nth), *pid, "the last forked goes first");
        }
        until("those who left are gone", || (self.server.ps() == self.family).then_some(()));
        assert_eq!(self.explained()["Down"], "not below 1 processes");
        until("each step is reported", || {
            let asked = json!(["auto-scaling", self.identifier(group)]);
            let reports = self.server.mi().call("sr_list_reports", asked);
            (reports.as_array()?.len() == 2 * MORE).then_some(())
        });
        let log = self.server.log();
        assert!(log.contains("-> forking new proc in group"), "{log}");
        assert!(log.contains("score 1/1 -> ripping proc"), "{log}");
        assert_eq!(self.told_until_now(), Vec::<Value>::new(), "who leaves has not died");
    }

    fn identifier<'a>(&self, (kind, filter): (&'a str, &'a str)) -> &'a str {
        if filter == "none" { kind } else { filter }
    }

    fn explained(&self) -> Value {
        self.server.mi().call("autoscale_explain", Value::Null)["Groups"][0].clone()
    }

    /// The events that have come and were not looked at.
    fn told_until_now(&self) -> Vec<Value> {
        self.server.mi().call("raise_event", json!(["E_MARK"]));
        self.subscriber.up_to("E_MARK")
    }
}

/// Does `work` every now and then until `meanwhile` has ended.
fn while_doing<T>(work: impl Fn() + Sync, meanwhile: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                work();
                pause(SEND_EVERY);
            }
        });
        let _stop = Stop(&is_over);
        meanwhile()
    })
}

fn recorded_udp_socket() {
    let groups = "socket=udp:127.0.0.1:@PORT@ use_workers 1 use_auto_scaling_profile PA\nudp_workers=1";
    let scaled = Scaled::start(groups, SLOW_ROUTE, 0);
    let (phone, server) = (Phone::new(), scaled.server.address());
    let filter = format!("udp:{server}");
    let load = || phone.send(server, Request::new(&phone, "OPTIONS", "sip:a@localhost").text());
    scaled.grows_and_shrinks(("UDP", &filter), &format!("SIP receiver {filter}"), load, || {});
    scaled.server.stop();
}

fn recorded_tcp() {
    let groups = "socket=tcp:127.0.0.1:@TCP@\nsocket=udp:127.0.0.1:@PORT@\nudp_workers=1\n\
                  tcp_workers=1 use_auto_scaling_profile PA";
    let tcp = free_tcp_port();
    let scaled = Scaled::start(groups, SLOW_ROUTE, tcp);
    // New connections go to new workers.
    let load = || {
        let mut line = Line::open(([127, 0, 0, 1], tcp).into());
        line.send(Request::over("TCP", line.port(), "OPTIONS", "sip:a@localhost").text());
    };
    scaled.grows_and_shrinks(("TCP", "none"), "TCP receiver", load, || {});
    scaled.server.stop();
}

fn recorded_timer() {
    let groups = "socket=udp:127.0.0.1:@PORT@\nudp_workers=1\ntimer_workers=1 use_auto_scaling_profile PA";
    let routes = "route { $shv(run) = $rU; sl_send_reply(200, \"OK\"); exit; }\n\
                  timer_route[slow, 1] { if ($shv(run) == \"on\") usleep(900000); }\n\
                  timer_route[slow2, 1] { if ($shv(run) == \"on\") usleep(900000); }";
    let scaled = Scaled::start(groups, routes, 0);
    let (phone, server) = (Phone::new(), scaled.server.address());
    let tell = |user: &str| {
        phone.send(server, Request::new(&phone, "OPTIONS", &format!("sip:{user}@localhost")).text());
        phone.expect_status(200);
    };
    scaled.grows_and_shrinks(("TIMER", "none"), "Timer handler", || tell("on"), || tell("off"));
    scaled.server.stop();
}

/// `udp_workers` counts for the sockets below it.
fn recorded_udp_default() {
    let of = |groups| {
        let scaled = Scaled::start(groups, SLOW_ROUTE, 0);
        let explained =
            scaled.server.mi().answer("autoscale_explain", Value::Null)["result"]["Groups"].clone();
        scaled.server.stop();
        explained
    };
    let unscaled = of("socket=udp:127.0.0.1:@PORT@\nudp_workers=1 use_auto_scaling_profile PA");
    assert_eq!(unscaled, Value::Null, "where nothing is scaled, there is nothing to explain");
    let explained = of("udp_workers=1 use_auto_scaling_profile PA\nsocket=udp:127.0.0.1:@PORT@");
    assert_eq!(explained[0]["Group"], "UDP");
    assert_eq!(
        explained[0]["Rule"],
        "scale up to 3 on 30% for 2 cycles within 3 scale down to 1 on 10% for 1 cycles"
    );
}

#[test]
fn groups_grow_and_shrink_as_recorded() {
    thread::scope(|scope| {
        for case in [recorded_udp_socket, recorded_tcp, recorded_timer, recorded_udp_default] {
            scope.spawn(case);
        }
    });
}

/// Who is killed while it leaves costs nothing: what is queued for it is served by a successor, which leaves then.
fn killed_while_it_leaves() {
    let groups = "socket=udp:127.0.0.1:@PORT@ use_workers 1 use_auto_scaling_profile PA";
    let routes = "route { if ($rU == \"slow\") usleep(100000); sl_send_reply(200, \"OK\"); exit; }";
    let scaled = Scaled::start(groups, routes, 0);
    let (phone, server) = (Phone::new(), scaled.server.address());
    let filter = format!("udp:{server}");
    let group = ("UDP", &*filter);
    let slow = Phone::new();
    let load = || slow.send(server, Request::new(&slow, "OPTIONS", "sip:slow@localhost").text());
    let pids: Vec<_> = while_doing(load, || {
        let pids = (0..MORE).map(|nth| scaled.expect(group, "up", nth)).collect();
        until("all have their share", || (scaled.explained()["Loads"][0].as_i64()? > 70).then_some(()));
        pids
    });
    // Traffic is spread over all of them for a while yet; the last one has nothing to do, and takes nothing more.
    until("they are idle", || (scaled.explained()["Loads"][0] == 0).then_some(()));
    signal(pids[MORE - 1], Signal::SIGSTOP);
    for _ in 0..60 {
        phone.send(server, Request::new(&phone, "OPTIONS", "sip:fast@localhost").text());
    }
    assert_eq!(scaled.expect(group, "down", MORE - 1), pids[MORE - 1]);
    let answered = std::iter::from_fn(|| phone.receive_within(A_MOMENT)).count();
    assert!((1..60).contains(&answered), "{answered} of 60 are answered: none waits for the one that leaves");
    signal(pids[MORE - 1], Signal::SIGKILL);
    for _ in answered..60 {
        phone.expect_status(200);
    }
    assert_eq!(scaled.subscriber.next()["method"], "E_CORE_PROC_EXIT");
    assert_eq!(scaled.expect(group, "down", 0), pids[0]);
    until("those who left are gone", || (scaled.server.ps() == scaled.family).then_some(()));
    scaled.server.stop();
}

/// Who came by scaling and is killed has a successor like everybody else.
fn killed_while_it_serves() {
    let groups = "socket=udp:127.0.0.1:@PORT@ use_workers 1 use_auto_scaling_profile PA";
    let scaled = Scaled::start(groups, SLOW_ROUTE, 0);
    let (phone, server) = (Phone::new(), scaled.server.address());
    let filter = format!("udp:{server}");
    let load = || phone.send(server, Request::new(&phone, "OPTIONS", "sip:a@localhost").text());
    while_doing(load, || {
        let pid = scaled.expect(("UDP", &filter), "up", 0);
        signal(pid, Signal::SIGKILL);
        let (id, pid) = (scaled.family.len() as i64, i32::try_from(pid).unwrap());
        until("its successor serves", || {
            scaled.server.ps().iter().find(|process| process.id == id && process.pid != pid).map(|_| ())
        });
    });
    scaled.server.stop();
}

#[test]
fn scaled_processes_may_be_killed() {
    thread::scope(|scope| {
        for case in [killed_while_it_leaves, killed_while_it_serves] {
            scope.spawn(case);
        }
    });
}

/// The relay of calls, which takes its time for each request while it is told to.
const RELAY: &str = r#"
route {
	if (is_method("MESSAGE")) {
		$shv(run) = $rU;
		sl_send_reply(200, "OK");
		exit;
	}
	if ($shv(run) == "slow") usleep(20000);
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans())
				t_relay();
			exit;
		}
		t_relay();
		exit;
	}
	t_check_trans();
	if (is_method("INVITE"))
		record_route();
	if ($proto == "tcp")
		$du = "sip:127.0.0.1:@TCPUAS@;transport=tcp";
	else
		$du = "sip:127.0.0.1:@UAS@";
	if (!t_relay())
		send_reply(500, "Internal Error");
	exit;
}"#;

#[test]
fn no_call_is_lost_while_groups_grow_and_shrink_and_are_killed() {
    const CALLS: u32 = 1_800;
    const PATIENCE: Duration = Duration::from_secs(90);
    let (callee, tcp_callee) =
        (Sipp::callee("asked_again_callee.xml"), Sipp::callee_over_tcp("routed_callee.xml"));
    let routes = RELAY
        .replace("@TCPUAS@", &tcp_callee.port().to_string())
        .replace("@UAS@", &callee.port().to_string());
    let groups = "socket=udp:127.0.0.1:@PORT@ use_workers 1 use_auto_scaling_profile CALLS\n\
                  socket=tcp:127.0.0.1:@TCP@\ntcp_workers=1 use_auto_scaling_profile CALLS\n\
                  auto_scaling_profile = CALLS scale up to 3 on 50% for 1 cycles\n\
                  scale down to 1 on 30% for 1 cycles";
    let tcp = free_tcp_port();
    let scaled = Scaled::start(groups, &routes, tcp);
    let supervisor = scaled.server.pid();
    let opened = descriptors(supervisor);
    let tell = |user: &str| {
        let phone = Phone::new();
        let me = scaled.server.address();
        phone.send(me, Request::new(&phone, "MESSAGE", &format!("sip:{user}@localhost")).text());
        phone.expect_status(200);
    };
    tell("slow");
    let calls = |to| Caller { scenario: "routed_caller.xml", to, calls: CALLS, rate: 60 };
    let caller = Sipp::caller(Caller { scenario: "uac", ..calls(scaled.server.port()) });
    let tcp_caller = Sipp::caller_over("tn", calls(tcp));

    let (mut ups, mut downs, mut deaths) = (Vec::new(), Vec::new(), Vec::new());
    while downs.len() < 2 * MORE {
        let event = scaled.subscriber.next();
        let params = &event["params"];
        let pid = params["pid"].as_i64().unwrap();
        let is_first = |of: &[Value]| of.iter().all(|other| other["group_type"] != params["group_type"]);
        if event["method"] == "E_CORE_PROC_EXIT" {
            assert_eq!(params["signal"], 9, "{event}");
            deaths.push(event["params"].clone());
        } else if params["scale"] == "up" {
            // One of each group dies while it serves.
            if is_first(&ups) {
                signal(pid, Signal::SIGKILL);
            }
            ups.push(params.clone());
            if ups.len() == 2 * MORE {
                tell("fast");
            }
        } else {
            // And one while it leaves, unless it has left already.
            if is_first(&downs) {
                let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
            }
            downs.push(params.clone());
        }
    }
    assert_eq!(ups.len(), 2 * MORE, "{ups:?}");
    assert!(deaths.len() >= 2, "{deaths:?}");
    for (caller, protocol) in [(caller, "UDP"), (tcp_caller, "TCP")] {
        let counted = caller.finish(PATIENCE);
        assert_eq!((counted.successful, counted.failed), (CALLS, 0), "over {protocol}");
    }
    scaled.server.until_idle();
    until("those who left are gone", || (scaled.server.ps() == scaled.family).then_some(()));
    assert_eq!(scaled.server.processes(), scaled.family.len());
    assert!(descriptors(supervisor) <= opened, "descriptors are left behind");
    scaled.server.stop();
}

fn signal(pid: i64, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}
