//! Event routes: the script as a subscriber.

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

const LOAD: &str = "loadmodule \"event_route.so\"\nloadmodule \"cfgutils.so\"";

fn setup(startup: &str, routes: &str) -> Setup {
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", LOAD)
        .put("STARTUP", startup)
        .put("ROUTES", routes)
}

fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

fn until_logged(server: &Server, text: &str) {
    until(text, || server.log().contains(text).then_some(()));
}

#[test]
fn recorded_event_route() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let routes = r#"event_route[E_TEST] {
    xlog("XX sync n=$param(n) s=$param(s) e=$param(e) only=$param(only) idx1=$param(1) idx2=$param(2) nosuch=$param(nosuch)\n");
    xlog("XX sync ru=$ru si=$si ci=$ci rm=$rm\n");
}"#;
    let startup = format!("    subscribe_event(\"E_TEST\", \"{}\");", subscriber.name());
    let server = setup(&startup, routes).start();
    assert_eq!(
        server.mi().call("subscribers_list", json!(["E_TEST"])),
        json!({"Event": {"name": "E_TEST", "id": 6, "Subscribers": [
            {"socket": subscriber.name(), "expire": "never"}, {"socket": "route:E_TEST", "expire": "never"}]}})
    );
    for (user, datagram, line) in [
        (
            "none",
            r#"{"jsonrpc":"2.0","method":"E_TEST"}"#,
            "NOTICE:XX sync n=<null> s=<null> e=<null> only=<null> idx1=<null> idx2=<null> nosuch=<null>",
        ),
        (
            "named",
            r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"n":1,"s":"two, \"q\" <x>&y","e":""}}"#,
            "NOTICE:XX sync n=1 s=two, \"q\" <x>&y e= only=<null> idx1=1 idx2=two, \"q\" <x>&y nosuch=<null>",
        ),
        (
            "vals",
            r#"{"jsonrpc":"2.0","method":"E_TEST","params":[7,"seven"]}"#,
            "NOTICE:XX sync n=<null> s=<null> e=<null> only=<null> idx1=7 idx2=seven nosuch=<null>",
        ),
        (
            "unnamed1",
            r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"only":-5}}"#,
            "NOTICE:XX sync n=<null> s=<null> e=<null> only=-5 idx1=-5 idx2=<null> nosuch=<null>",
        ),
    ] {
        ask(&phone, &server, user);
        assert_eq!(subscriber.raw(), datagram);
        until_logged(&server, line);
    }
    until_logged(&server, "NOTICE:XX sync ru=sip:user@dummy.com si=0.0.0.0 ci=dummy-1 rm=DUMMY");
    for warning in [
        "Parameter <nosuch> not found for event <E_TEST>",
        "Parameter 1 not found for event E_TEST - max 0",
        "Parameter 2 not found for event E_TEST - max 1",
    ] {
        until_logged(&server, warning);
    }
    assert!(!server.log().contains("Parameter <n> not found for event <E_TEST> - max"));
    server.mi().call("raise_event", json!(["E_TEST", "{\"n\":5,\"s\":\"mi\"}"]));
    until_logged(&server, "NOTICE:XX sync n=5 s=mi e=<null> only=<null> idx1=5 idx2=mi nosuch=<null>");
    let bad = server.mi().answer("event_subscribe", json!(["E_TEST", "route:E_NONE"]));
    assert_eq!(bad["error"]["code"], 400, "there is no such route");
    server.stop();
}

#[test]
fn a_route_that_raises_its_own_event_ends() {
    let subscriber = Subscriber::new();
    let startup = format!(
        "    subscribe_event(\"E_SELF\", \"{0}\");\n    subscribe_event(\"E_MARK\", \"{0}\");",
        subscriber.name()
    );
    let routes = "event_route[E_SELF] {\n    $avp(v) = $param(1);\n    raise_event(\"E_SELF\", , $avp(v));\n    \
                  xlog(\"XX rc=$retcode\\n\");\n}";
    let server = setup(&startup, routes).start();
    server.mi().call("raise_event", json!(["E_SELF", ["x"]]));
    until_logged(&server, "E_SELF is not raised: event routes raise events for each other more than 10 deep");
    until_logged(&server, "XX rc=-1");
    server.mi().call("raise_event", json!(["E_MARK"]));
    assert_eq!(subscriber.up_to("E_MARK").len(), 11, "the first, and ten deep");
    server.stop();
}

#[test]
fn a_route_that_waits_holds_up_nobody() {
    let routes = "event_route[E_TEST] {\n    if ($param(1) == \"slow\") { usleep(300000); xlog(\"XX slow\\n\"); }\n    \
                  else xlog(\"XX fast\\n\");\n}";
    let server = setup("", routes).start();
    server.mi().call("raise_event", json!(["E_TEST", ["slow"]]));
    server.mi().call("raise_event", json!(["E_TEST", ["fast"]]));
    until_logged(&server, "XX slow");
    let log = server.log();
    assert!(log.find("XX fast").unwrap() < log.find("XX slow").unwrap(), "{log}");
    server.stop();
}

#[test]
fn every_event_of_a_burst_runs_its_route_in_order_though_the_worker_is_killed() {
    let phone = Phone::new();
    let routes = "event_route[E_TEST] {\n    xlog(\"XX got $param(1);\\n\");\n}";
    let server = setup("", routes).start();
    ask(&phone, &server, "many");
    until("some have run", || server.log().contains("XX got 10;").then_some(()));
    let killed = server.kill("Timer handler");
    until_logged(&server, "XX got 1999;");
    let log = server.log();
    let mut got: Vec<u32> = log
        .lines()
        .filter_map(|line| line.split_once("XX got ")?.1.strip_suffix(';')?.parse().ok())
        .collect();
    // The one it died over runs again, nothing else does.
    assert!((2000..=2001).contains(&got.len()), "{}", got.len());
    got.dedup();
    assert_eq!(got, (0..2000).collect::<Vec<_>>(), "in order");
    server.until_replaced(&killed);
    server.stop();
}

#[test]
fn without_the_module_a_route_is_warned_of() {
    let setup = Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", "")
        .put("STARTUP", "")
        .put("ROUTES", "event_route[E_TEST] { xlog(\"XX\\n\"); }");
    let server = setup.start();
    assert!(server.log().contains("event_route[E_TEST] never runs: the module event_route is not loaded"));
    assert_eq!(server.mi().call("subscribers_list", Value::Null), json!({"Events": []}));
    server.stop();
}
