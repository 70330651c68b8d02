//! Memory that fills and empties is told at its thresholds, with true sizes.

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

const CONFIG: &str = include_str!("../configs/shared_values.cfg");
const MIB: u64 = 1 << 20;
/// Bytes of one value.
const VALUE: usize = 60_000;
/// Values that the script knows.
const VALUES: usize = 12;

/// A server whose script keeps the bodies of requests for `sN` in the variable `kind(vN)`, and forgets them at `cN`.
fn keeper(kind: &str, thresholds: (u8, u8), subscriber: &Subscriber) -> Setup {
    let routes: String = (1..=VALUES)
        .map(|n| {
            format!(
                "\tif ($rU == \"s{n}\") ${kind}(v{n}) = $rb;\n\tif ($rU == \"c{n}\") ${kind}(v{n}) = 0;\n"
            )
        })
        .collect();
    let setup = Setup::new(CONFIG).put("SHM", thresholds.0).put("PKG", thresholds.1);
    setup.put("ROUTES", routes).put("SUBSCRIBER", subscriber.name())
}

/// Sends a request for `user` with a body of that many bytes, and waits for its answer.
fn ask(phone: &Phone, server: &Server, user: &str, bytes: usize) {
    let request =
        Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address())).body("v".repeat(bytes));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

/// The parameters of the events named `name` that were raised up to now.
fn told(server: &Server, subscriber: &Subscriber, name: &str) -> Vec<Value> {
    server.mi().call("raise_event", json!(["E_MARK"]));
    let events = subscriber.up_to("E_MARK").into_iter().filter(|event| event["method"] == name);
    events.map(|event| event["params"].clone()).collect()
}

fn percent(used: &Value, size: u64) -> u64 {
    used.as_u64().unwrap() * 100 / size
}

fn usages(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["usage"].as_u64().unwrap()).collect()
}

#[test]
fn shared_memory_that_fills_and_empties_is_told_percent_by_percent() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let size = 8 * MIB;
    let idle = {
        let server = keeper("shv", (0, 0), &subscriber).args(["-m", "8"]).start();
        let idle = server.statistic("shmem:real_used_size").cast_unsigned() * 100 / size;
        server.stop();
        idle
    };
    let threshold = idle + 3;
    let server = keeper("shv", (u8::try_from(threshold).unwrap(), 0), &subscriber).args(["-m", "8"]).start();
    for n in 1..=VALUES {
        ask(&phone, &server, &format!("s{n}"), VALUE);
    }
    let highest = server.statistic("shmem:real_used_size").cast_unsigned() * 100 / size;
    assert!(
        highest >= threshold + 4,
        "twelve values of 60,000 bytes are 8 percent: {highest} of {threshold}"
    );
    let rising = told(&server, &subscriber, "E_CORE_SHM_THRESHOLD");
    assert_eq!(
        usages(&rising),
        (threshold..=highest).collect::<Vec<_>>(),
        "each percentage once: {rising:?}"
    );

    ask(&phone, &server, &format!("s{VALUES}"), VALUE);
    assert!(told(&server, &subscriber, "E_CORE_SHM_THRESHOLD").is_empty(), "the same again changes nothing");

    for n in (1..=VALUES).rev() {
        ask(&phone, &server, &format!("c{n}"), 0);
    }
    let falling = told(&server, &subscriber, "E_CORE_SHM_THRESHOLD");
    let expected: Vec<_> = (threshold..highest).rev().collect();
    assert_eq!(usages(&falling), expected, "down to the threshold, and nothing below it: {falling:?}");
    for event in rising.iter().chain(&falling) {
        assert_eq!(event["threshold"], threshold, "{event}");
        assert_eq!(event["size"], size, "{event}");
        assert_eq!(event["usage"], percent(&event["used"], size), "{event}");
    }
    server.stop();
}

#[test]
fn a_late_subscriber_is_told_at_the_next_change() {
    let (phone, subscriber, late) = (Phone::new(), Subscriber::new(), Subscriber::new());
    let server = keeper("shv", (1, 0), &subscriber).args(["-m", "8"]).start();
    for n in 1..=3 {
        ask(&phone, &server, &format!("s{n}"), VALUE);
    }
    told(&server, &subscriber, "E_CORE_SHM_THRESHOLD");
    server.subscribe("E_CORE_SHM_THRESHOLD", &late.name());
    server.subscribe("E_MARK", &late.name());
    assert!(told(&server, &late, "E_CORE_SHM_THRESHOLD").is_empty());
    for n in 4..=VALUES {
        ask(&phone, &server, &format!("s{n}"), VALUE);
    }
    assert!(!told(&server, &late, "E_CORE_SHM_THRESHOLD").is_empty());
    server.stop();
}

/// The private memory of the SIP worker in use, as the statistics show it.
fn worker_used(server: &Server) -> u64 {
    let worker = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap();
    server.statistic(&format!("pkmem:{}-real_used_size", worker.id)).cast_unsigned()
}

#[test]
fn private_memory_that_fills_and_empties_is_told_with_the_process() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let size = 4 * MIB;
    let idle = {
        let server = keeper("var", (0, 0), &subscriber).args(["-M", "4"]).start();
        // The receive buffers that a large message needs are taken once, and kept.
        ask(&phone, &server, "nobody", VALUE);
        let idle = worker_used(&server) * 100 / size;
        server.stop();
        idle
    };
    let threshold = idle + 6;
    let server = keeper("var", (0, u8::try_from(threshold).unwrap()), &subscriber).args(["-M", "4"]).start();
    let pid = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap().pid;
    ask(&phone, &server, "nobody", VALUE);
    assert!(told(&server, &subscriber, "E_CORE_PKG_THRESHOLD").is_empty());
    for n in 1..=VALUES {
        ask(&phone, &server, &format!("s{n}"), VALUE);
    }
    let rising = told(&server, &subscriber, "E_CORE_PKG_THRESHOLD");
    let highest = usages(&rising).into_iter().max().unwrap_or_default();
    assert!(highest >= threshold + 4, "twelve values of 60,000 bytes are 17 percent: {rising:?}");
    assert!(rising.iter().all(|event| event["usage"].as_u64().unwrap() >= threshold), "{rising:?}");
    for n in (1..=VALUES).rev() {
        ask(&phone, &server, &format!("c{n}"), 0);
    }
    let falling = told(&server, &subscriber, "E_CORE_PKG_THRESHOLD");
    let (last, above) = falling.split_last().expect("events while it falls");
    assert!(usages(above).iter().all(|usage| *usage >= threshold), "{falling:?}");
    assert!(last["usage"].as_u64().unwrap() <= threshold, "the last one tells that it is over: {falling:?}");
    for event in rising.iter().chain(&falling) {
        assert_eq!(event["threshold"], threshold, "{event}");
        assert_eq!(event["size"], size, "{event}");
        assert_eq!(event["usage"], percent(&event["used"], size), "{event}");
        assert_eq!(event["pid"], pid, "{event}");
    }
    for pair in usages(&rising).windows(2).chain(usages(&falling).windows(2)) {
        assert_ne!(pair[0], pair[1], "only a change is told: {rising:?} {falling:?}");
    }
    server.stop();
}

#[test]
fn private_memory_that_comes_and_goes_within_a_message_is_told() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let takes: String = (1..=8).map(|n| format!("\t$var(v{n}) = $rb + \"{n}\";\n")).collect();
    let gives: String = (1..=8).map(|n| format!("\t$var(v{n}) = 0;\n")).collect();
    let server = Setup::new(CONFIG).put("SHM", 0).put("PKG", 1).put("SUBSCRIBER", subscriber.name());
    let server = server.put("ROUTES", format!("{takes}{gives}")).args(["-M", "4"]).start();
    told(&server, &subscriber, "E_CORE_PKG_THRESHOLD");
    ask(&phone, &server, "all", VALUE);
    let pid = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap().pid;
    let events = told(&server, &subscriber, "E_CORE_PKG_THRESHOLD");
    let usages = usages(&events.into_iter().filter(|event| event["pid"] == pid).collect::<Vec<_>>());
    let (highest, first) = (usages.iter().max().unwrap(), usages[0]);
    assert!(
        usages.len() > 8 && *highest >= first + 8,
        "eight values of 60,000 bytes are 11 percent: {usages:?}"
    );
    assert!(usages.last().unwrap() + 8 <= *highest, "they are given back in the same message: {usages:?}");
    server.stop();
}

#[test]
fn with_a_hysteresis_the_crossing_some_steps_and_the_end_are_told() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let idle = {
        let server = keeper("shv", (0, 0), &subscriber).args(["-m", "8"]).start();
        let idle = server.statistic("shmem:real_used_size").cast_unsigned() * 100 / (8 * MIB);
        server.stop();
        idle
    };
    let threshold = idle + 3;
    let mut setup = keeper("shv", (u8::try_from(threshold).unwrap(), 0), &subscriber).args(["-m", "8"]);
    setup = setup.put_before("event_shm_threshold", "event_threshold_hysteresis=3\n");
    let server = setup.start();
    for n in 1..=VALUES {
        ask(&phone, &server, &format!("s{n}"), VALUE);
    }
    for n in (1..=VALUES).rev() {
        ask(&phone, &server, &format!("c{n}"), 0);
    }
    let usages = usages(&told(&server, &subscriber, "E_CORE_SHM_THRESHOLD"));
    assert_eq!(usages[0], threshold, "the crossing: {usages:?}");
    let (last, before) = usages.split_last().unwrap();
    assert_eq!(*last, threshold - 1, "it has fallen back: {usages:?}");
    assert!(before.len() >= 3, "{usages:?}");
    for pair in before.windows(2) {
        assert_eq!(pair[0].abs_diff(pair[1]), 3, "{usages:?}");
    }
    server.stop();
}

#[test]
fn sizes_beyond_two_gigabytes_are_exact() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let size = 6000 * MIB;
    let text = "\tif (!t_relay()) sl_send_reply(500, \"Internal Error\");\n\texit;\n";
    let silent = Phone::new();
    let setup = Setup::new(&CONFIG.replace("loadmodule \"cfgutils.so\"", "loadmodule \"tm.so\""));
    let server = setup
        .put("SHM", 1)
        .put("PKG", 0)
        .put("ROUTES", text)
        .put("SUBSCRIBER", subscriber.name())
        .args(["-m", "6000"])
        .start();
    assert_eq!(server.statistic("shmem:total_size").cast_unsigned(), size);
    let uri = format!("sip:x@127.0.0.1:{}", silent.port());
    let body = "v".repeat(60_000);
    let used = || server.statistic("shmem:real_used_size").cast_unsigned();
    while used() * 100 < size {
        for _ in 0..16 {
            phone.send(server.address(), Request::new(&phone, "INVITE", &uri).body(body.as_str()).text());
            assert_eq!(phone.receive().status(), Some(100));
        }
    }
    let event = subscriber.raw();
    let parsed: Value = serde_json::from_str(&event).unwrap();
    let used = parsed["params"]["used"].as_u64().unwrap();
    assert_eq!(
        event,
        format!(
            r#"{{"jsonrpc":"2.0","method":"E_CORE_SHM_THRESHOLD","params":{{"usage":1,"threshold":1,"used":{used},"size":6291456000}}}}"#
        )
    );
    assert_eq!(used * 100 / size, 1);
    server.stop();
}

#[test]
fn a_private_budget_beyond_two_gigabytes_is_exact() {
    let subscriber = Subscriber::new();
    let server = keeper("var", (0, 0), &subscriber).args(["-M", "2100"]).start();
    let sizes = server.mi().call("get_statistics", json!([["pkmem:"]]));
    for (name, value) in sizes.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("-total_size")) {
        assert_eq!(*value, 2100 * MIB, "{name}");
    }
    until("processes are shown", || sizes.as_object().filter(|all| !all.is_empty()).map(|_| ()));
    server.stop();
}
