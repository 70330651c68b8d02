//! `reload_routes` and SIGHUP: a new version of the script for all processes, or for none.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, until};

const CONFIG: &str = include_str!("../configs/reload.cfg");

/// Answers with the reason phrase NAME.
fn answering(name: &str) -> String {
    format!("route {{ sl_send_reply(299, \"{name}\"); exit; }}\n")
}

struct Scene {
    server: Server,
    phone: Phone,
}

impl Scene {
    fn new(routes: &str) -> Self {
        let setup = Setup::new(CONFIG);
        fs::write(setup.dir().join("routes.cfg"), routes).unwrap();
        Self { server: setup.start(), phone: Phone::new() }
    }

    fn write(&self, routes: &str) {
        fs::write(self.server.path("routes.cfg"), routes).unwrap();
    }

    /// Reloads with these routes, which must do.
    fn reload(&self, routes: &str) {
        self.write(routes);
        assert_eq!(self.server.mi().call("reload_routes", json!({})), "OK");
    }

    /// Reloads with routes that do not do. Returns the error.
    fn refused(&self, routes: &str) -> Value {
        self.write(routes);
        let answer = self.server.mi().answer("reload_routes", json!({}));
        let error = answer["error"].clone();
        assert_eq!((&error["code"], &error["message"]), (&json!(500), &json!("reload failed")), "{answer}");
        error["data"].clone()
    }

    fn request(&self, method: &str, user: &str) -> Request {
        let request = Request::new(&self.phone, method, &format!("sip:{user}@{}", self.server.address()));
        self.phone.send(self.server.address(), request.text());
        request
    }

    /// The reason phrases of so many answers. Each request comes from a port of its own, so that all workers serve some.
    fn answers(&self, count: usize) -> Vec<String> {
        let answer = |_| {
            let phone = Phone::new();
            let request = Request::new(&phone, "OPTIONS", &format!("sip:a@{}", self.server.address()));
            phone.send(self.server.address(), request.text());
            phone.expect_status(299).start_line().to_owned()
        };
        let mut answers: Vec<_> = (0..count).map(answer).collect();
        answers.dedup();
        answers
    }
}

#[test]
fn all_processes_take_the_new_routes_and_what_is_under_way_ends_in_the_old_ones() {
    let old = "route { t_newtran(); xlog(\"it waits\\n\"); async(usleep(2000000), resume); }\n\
        route[resume] { t_reply(299, \"Old\"); exit; }\n";
    let scene = Scene::new(old);
    scene.request("MESSAGE", "a");
    until("its route waits", || scene.server.log().contains("it waits").then_some(()));
    // The place of its route in the script is another one now.
    scene.reload(&format!("route[first] {{ exit; }}\n{}", answering("New")));
    assert_eq!(scene.answers(24), ["SIP/2.0 299 New"]);
    assert_eq!(scene.phone.expect_status(299).start_line(), "SIP/2.0 299 Old");
    scene.server.stop();
}

#[test]
fn an_error_is_answered_with_its_place_and_a_later_reload_succeeds() {
    let scene = Scene::new(&answering("One"));
    let data =
        scene.refused("route {\n    sl_send_reply(299, \"Two\");\n    sl_sendreply(200, \"OK\");\n}\n");
    let data = data.as_str().unwrap();
    assert!(data.contains("routes.cfg:3:5: unknown command <sl_sendreply>"), "{data}");
    assert!(scene.server.log().contains("did you mean `sl_send_reply`?"));
    assert_eq!(scene.answers(6), ["SIP/2.0 299 One"]);
    scene.reload(&answering("Three"));
    assert_eq!(scene.answers(6), ["SIP/2.0 299 Three"]);

    fs::remove_file(scene.server.path("routes.cfg")).unwrap();
    let answer = scene.server.mi().answer("reload_routes", json!({}));
    assert!(answer["error"]["data"].as_str().unwrap().contains("routes.cfg"), "{answer}");
    assert_eq!(scene.answers(6), ["SIP/2.0 299 Three"]);
    scene.server.stop();
}

#[test]
fn a_transaction_meets_the_failure_route_of_its_name_in_the_new_script() {
    let callee = Phone::new();
    let relaying = format!(
        "route {{ if (is_method(\"ACK\")) {{ t_relay(); exit; }}\n\
           t_on_failure(\"busy\"); $ru = \"sip:b@127.0.0.1:{}\"; t_relay(); exit; }}\n",
        callee.port()
    );
    let scene = Scene::new(&format!("{relaying}failure_route[busy] {{ t_reply(481, \"Old\"); }}\n"));
    scene.request("INVITE", "a");
    let invite = callee.expect_request("INVITE");
    scene.reload(&format!(
        "failure_route[another] {{ t_reply(482, \"Another\"); }}\n{relaying}\
         failure_route[busy] {{ t_reply(483, \"New $T_reply_code\"); }}\n"
    ));
    scene.server.replace(&format!("SIP receiver udp:{}", scene.server.address()));
    callee.send(scene.server.address(), invite.response("486 Busy Here", "b", ""));
    let answer = scene.phone.wait_for("a final reply", |message| message.status() >= Some(200));
    assert_eq!(answer.start_line(), "SIP/2.0 483 New 486");
    scene.server.stop();
}

#[test]
fn a_successor_runs_the_newest_routes() {
    let scene = Scene::new(&answering("One"));
    scene.reload(&answering("Two"));
    let process = scene.server.kill("SIP receiver");
    scene.server.until_replaced(&process);
    assert_eq!(scene.answers(24), ["SIP/2.0 299 Two"]);
    // Nor does one that dies over a reload keep the others from it.
    let process = scene.server.kill("SIP receiver");
    scene.reload(&answering("Three"));
    scene.server.until_replaced(&process);
    assert_eq!(scene.answers(24), ["SIP/2.0 299 Three"]);
    scene.server.stop();
}

#[test]
fn sighup_reloads_timer_and_event_routes_come_and_go() {
    let scene =
        Scene::new(&format!("{}timer_route[old, 1] {{ xlog(\"old tick\\n\"); }}\n", answering("One")));
    until("the old timer route runs", || scene.server.log().contains("old tick").then_some(()));
    let more = "timer_route[new, 1] { xlog(\"new tick $var(later)\\n\"); }\nevent_route[E_CORE_LOG_TEST] { xlog(\"event $param(1)\\n\"); }\n";
    scene.write(&format!("{}{more}", answering("Two")));
    kill(Pid::from_raw(scene.server.pid()), Signal::SIGHUP).unwrap();
    until("the new timer route runs", || scene.server.log().contains("new tick given").then_some(()));
    assert_eq!(scene.answers(6), ["SIP/2.0 299 Two"]);
    let raise = |n: &str| scene.server.mi().call("raise_event", json!(["E_CORE_LOG_TEST", [n]]));
    let subscribers =
        || scene.server.mi().call("subscribers_list", json!({}))["Events"].as_array().unwrap().len();
    until("the event route is subscribed", || (subscribers() == 1).then_some(()));
    raise("first");
    until("the event route runs", || scene.server.log().contains("event first").then_some(()));

    scene.reload(&answering("Three"));
    until("its subscription has ended", || (subscribers() == 0).then_some(()));
    let ticks = || scene.server.log().matches(" tick").count();
    let before = ticks();
    crate::harness::pause(std::time::Duration::from_millis(2200));
    assert_eq!(ticks(), before, "{}", scene.server.log());
    scene.server.stop();
}

#[test]
fn only_the_routes_are_taken_and_the_rest_is_named() {
    let scene = Scene::new(&answering("One"));
    let data = scene.refused(&format!("loadmodule \"rr.so\"\n{}", answering("Two")));
    let data = data.as_str().unwrap();
    assert!(data.contains("routes.cfg:1:12: module rr is not loaded"), "{data}");
    assert!(data.contains("restart the server"), "{data}");
    let changed = "modparam(\"tm\", \"fr_timeout\", 7)\ndns_try_ipv6=no\n";
    scene.reload(&format!("{changed}{}", answering("Two")));
    assert_eq!(scene.answers(6), ["SIP/2.0 299 Two"]);
    let log = scene.server.log();
    assert!(log.contains("in effect from the next start on: dns_try_ipv6, modparam tm fr_timeout"), "{log}");
    let data = scene.refused(&format!("udp_workers=many\n{}", answering("Three")));
    assert!(data.as_str().unwrap().contains("routes.cfg:1:"), "{data}");
    scene.server.stop();
}

#[test]
fn variables_and_flags_keep_their_places() {
    let counting = |more: &str| {
        format!(
            "route {{ {more} if ($var(count) == NULL) $var(count) = 0; $var(count) = $var(count) + 1; sl_send_reply(299, \"$var(count)\"); exit; }}\n"
        )
    };
    // Requests from one port come to one worker.
    let scene = Scene::new(&counting(""));
    let count = || {
        scene.request("OPTIONS", "a");
        scene.phone.expect_status(299).start_line().to_owned()
    };
    assert_eq!((count(), count()), ("SIP/2.0 299 1".to_owned(), "SIP/2.0 299 2".to_owned()));
    scene.reload(&counting("$var(before) = 7; setflag(\"NEW\");"));
    assert_eq!(count(), "SIP/2.0 299 3");
    scene.server.stop();
}

#[test]
fn a_thousand_reloads_leave_no_memory_behind() {
    /// What tables of the runtime may grow by.
    const SLACK: i64 = 64 << 10;
    /// The same where datagrams come: a worker keeps the buffers for a batch of them from its first batch on.
    const SLACK_OF_RECEIVERS: i64 = 1 << 20;
    let routes = |number: usize| {
        let more: String = (0..20).map(|at| format!("route[r{at}] {{ xlog(\"$ru {at}\\n\"); }}\n")).collect();
        format!("{more}{}", answering(&format!("Nr {number}")))
    };
    let scene = Scene::new(&routes(0));
    let receivers: Vec<String> = scene
        .server
        .ps()
        .iter()
        .filter(|process| process.kind.starts_with("SIP receiver"))
        .map(|process| format!("pkmem:{}-", process.id))
        .collect();
    let used = || -> Vec<(String, i64)> {
        let values = scene.server.mi().call("get_statistics", json!([["pkmem:", "shmem:used_size"]]));
        let values = values.as_object().unwrap().iter().map(|(name, value)| (name, value.as_i64().unwrap()));
        let used = values.filter(|(name, _)| name.ends_with("used_size") && !name.contains("max_used"));
        used.map(|(name, value)| (name.clone(), value)).collect()
    };
    // Buffers have their size by then.
    (0..20).for_each(|number| scene.reload(&routes(number)));
    scene.answers(24);
    let before = used();
    for number in 0..1000 {
        scene.reload(&routes(number % 7));
    }
    assert_eq!(scene.answers(24), [format!("SIP/2.0 299 Nr {}", 999 % 7)]);
    for ((name, before), (_, after)) in before.iter().zip(used()) {
        let receives = receivers.iter().any(|receiver| name.starts_with(receiver));
        let slack = if receives { SLACK_OF_RECEIVERS } else { SLACK };
        assert!(after <= before + slack, "{name}: {before} before, {after} after");
    }
    assert!(before.len() > 6, "{before:?}");
    scene.server.stop();
}
