//! Memory that is full is a normal state: new work is asked to come back, work under way goes on, and it passes.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Message, Phone, Request, Server, Setup, Subscriber, until, until_within};

const FULL: &str = include_str!("../configs/full.cfg");
const HOARD: &str = include_str!("../configs/hoard.cfg");

fn small(subscriber: &Subscriber, callee: &Phone) -> Server {
    Setup::new(FULL).put("SUBSCRIBER", subscriber.name()).put("A", callee.port()).args(["-m", "4"]).start()
}

/// Registers one more address of record, and returns the answer.
fn register(phone: &Phone, server: &Server, number: usize, expires: u32) -> Message {
    let aor = format!("<sip:user{number}@{}>", server.address());
    let contact = format!("<sip:user{number}@127.0.0.1:{};{}>", phone.port(), "x".repeat(200));
    let mut request =
        Request::new(phone, "REGISTER", &format!("sip:{}", server.address())).header("Expires", expires);
    request = request.to(&aor).contact(&contact);
    phone.send(server.address(), request.text());
    phone.receive()
}

fn is_refused(answer: &Message) -> bool {
    if answer.status() != Some(503) {
        return false;
    }
    let retry_after = answer.header("Retry-After").expect("a Retry-After in the 503");
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{}", answer.text);
    true
}

#[test]
fn registrations_beyond_the_memory_are_asked_to_come_back() {
    let (phone, callee, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let server = small(&subscriber, &callee);
    let used_before = server.statistic("shmem:real_used_size");

    // A call that is under way before the memory is full.
    let invite = Request::new(&phone, "INVITE", &format!("sip:a@{}", server.address()));
    phone.send(server.address(), invite.text());
    let arrived = callee.expect_request("INVITE");
    callee.send(server.address(), arrived.response("180 Ringing", "a", ""));
    assert_eq!(phone.expect_status(180).header("Call-ID"), Some(invite.call_id.as_str()));

    let mut registered = 0;
    while !is_refused(&register(&phone, &server, registered, 3)) {
        registered += 1;
        assert!(registered < 100_000, "4 MiB do not get full");
    }
    assert!(registered > 500, "{registered} registrations do not fill 4 MiB");
    let event = subscriber.next();
    assert_eq!(event["method"], "E_CORE_SHM_THRESHOLD");
    assert!(event["params"]["usage"].as_u64().unwrap() >= 70, "{event}");

    callee.send(
        server.address(),
        arrived.response("200 OK", "a", &format!("Contact: <sip:a@127.0.0.1:{}>\r\n", callee.port())),
    );
    let answered = phone.wait_for("200", |message| {
        message.header("Call-ID") == Some(&invite.call_id) && message.status() == Some(200)
    });
    assert_eq!(answered.to_tag(), Some("a"), "the call under way is answered");

    until("registrations are accepted again", || {
        (register(&phone, &server, 0, 3).status() == Some(200)).then_some(())
    });
    until("the memory is as before", || {
        (server.statistic("shmem:real_used_size") <= used_before + (256 << 10)).then_some(())
    });
    server.stop();
}

#[test]
fn calls_beyond_the_memory_are_asked_to_come_back() {
    let (phone, callee, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let server = small(&subscriber, &callee);
    let used_before = server.statistic("shmem:real_used_size");
    let invite =
        || Request::new(&phone, "INVITE", &format!("sip:a@{}", server.address())).body("v".repeat(4000));
    let first = invite();
    phone.send(server.address(), first.text());
    let arrived = callee.expect_request("INVITE");
    callee.send(server.address(), arrived.response("180 Ringing", "a", ""));
    phone.expect_status(180);
    let mut placed = HashMap::from([(first.call_id.clone(), first.clone())]);
    loop {
        assert!(placed.len() < 5000, "4 MiB do not get full");
        let next = invite();
        phone.send(server.address(), next.text());
        let answer =
            phone.wait_for("an answer", |message| message.header("Call-ID") == Some(next.call_id.as_str()));
        if is_refused(&answer) {
            break;
        }
        assert_eq!(answer.status(), Some(100), "{}", answer.text);
        placed.insert(next.call_id.clone(), next);
    }
    callee.send(server.address(), arrived.response("486 Busy Here", "a", ""));
    let busy =
        phone.wait_for("486", |m| m.header("Call-ID") == Some(&first.call_id) && m.status() == Some(486));
    phone.send(server.address(), first.ack(&busy).text());
    until("calls are accepted again", || {
        let next = invite();
        placed.insert(next.call_id.clone(), next.clone());
        phone.send(server.address(), next.text());
        loop {
            // Many calls time out at once: what the phone has no room for is asked for again.
            let Some(answer) = phone.receive_within(Duration::from_millis(500)) else {
                phone.send(server.address(), next.text());
                continue;
            };
            acknowledge(&phone, &server, &placed, &answer);
            if answer.header("Call-ID") == Some(&next.call_id) {
                return (answer.status() == Some(100)).then_some(());
            }
        }
    });
    until_within(Duration::from_secs(60), "no transaction is left", || {
        while let Some(answer) = phone.receive_within(Duration::from_millis(100)) {
            acknowledge(&phone, &server, &placed, &answer);
        }
        (server.statistic("tm:inuse_transactions") == 0).then_some(())
    });
    until("the memory is as before", || {
        (server.statistic("shmem:real_used_size") <= used_before + (256 << 10)).then_some(())
    });
    server.stop();
}

/// Sends the ACK that `answer` asks for, if it asks for one.
fn acknowledge(phone: &Phone, server: &Server, placed: &HashMap<String, Request>, answer: &Message) {
    if answer.status().is_some_and(|status| status >= 300)
        && let Some(invite) = answer.header("Call-ID").and_then(|id| placed.get(id))
    {
        phone.send(server.address(), invite.ack(answer).text());
    }
}

#[test]
fn a_worker_over_its_budget_makes_room_for_a_successor() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let routes: String = (0..100).map(|n| format!("\tif ($rU == \"s{n}\") $var(v{n}) = $rb;\n")).collect();
    let server = Setup::new(HOARD)
        .put("ROUTES", routes)
        .put("SUBSCRIBER", subscriber.name())
        .args(["-M", "4"])
        .start();
    let family = server.ps();
    let body = "v".repeat(60_000);
    // 100 values of 60,000 bytes are more than two workers may keep; every request is answered all the same.
    for round in 0..3 {
        for n in 0..100 {
            let uri = format!("sip:s{n}@{}", server.address());
            let request = Request::new(&phone, "MESSAGE", &uri).body(body.as_str());
            phone.send(server.address(), request.text());
            let answer = phone.receive();
            assert_eq!(answer.status(), Some(200), "request {n} of round {round}: {}", answer.text);
        }
    }
    let exits = until("a worker has been replaced", || {
        server.mi().call("raise_event", json!(["E_MARK"]));
        Some(subscriber.up_to("E_MARK")).filter(|exits| !exits.is_empty())
    });
    for exit in exits.iter().map(|exit| &exit["params"]) {
        assert_eq!((&exit["group"], exit.get("signal")), (&json!("UDP"), None), "{exit}");
        assert!(exit["code"].is_u64(), "{exit}");
        // A successor has an ID of its own.
        let before = family.iter().find(|process| exit["process_id"] == process.id);
        assert!(before.is_none_or(|process| process.kind.starts_with("SIP receiver")), "{exit}");
    }
    let now = until("all successors serve", || Some(server.ps()).filter(|now| now.len() == family.len()));
    assert_ne!(now, family);
    let others = |all: &[crate::harness::Process]| {
        all.iter().filter(|process| !process.kind.starts_with("SIP receiver")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&now), others(&family), "nobody else was replaced");
    assert!(!server.log().contains("given up"), "no crash loop");
    let budget = server.mi().call("get_statistics", json!([["pkmem:"]]));
    assert!(budget.as_object().unwrap().iter().all(|(name, value): (&String, &Value)| {
        !name.ends_with("-total_size") || *value == json!(4 << 20)
    }));
    server.stop();
}
