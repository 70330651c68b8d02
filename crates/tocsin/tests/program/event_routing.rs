//! Scripts that wait for events, and routes that are run when one comes, whichever process dies in between.

use serde_json::json;

use crate::harness::{Phone, Request, Server, Setup, until};

const MODULES: &str =
    "loadmodule \"tm.so\"\nloadmodule \"event_routing.so\"\nloadmodule \"cfgutils.so\"\ntimer_workers=2";
/// The routes, and what the users of requests ask for.
const ROUTES: &str = r#"
route[notified] { xlog("XX notified k=$avp(k) n=$avp(n) f=$avp(f)\n"); }
route[came] { sl_send_reply(200, "k $avp(k)"); exit; }
route[ask] {
    if ($rU == "notify") { $avp(f) = "k=a*"; $(avp(f)[append]) = "n=[0-9]*"; notify_on_event("E_TEST", $avp(f), "notified", 600); xlog("XX asked $retcode\n"); }
    else if ($rU == "brief") { notify_on_event("E_TEST", , "notified", 1); }
    else if ($rU == "wait") { $avp(f) = "k=w*"; async(wait_for_event("E_TEST", $avp(f), 600), came); }
    else if ($rU == "sync") { $avp(f) = "k=never"; wait_for_event("E_TEST", $avp(f), 1); $var(code) = $retcode; xlog("XX sync $var(code)\n"); }
    else if ($rU == "raise") { $(avp(a)[append]) = "k"; $(avp(v)[append]) = $hdr(X-K); $(avp(a)[append]) = "n"; $(avp(v)[append]) = 5; raise_event("E_TEST", $avp(a), $avp(v)); }
    else if ($rU == "wrong") {
        $avp(f) = "nothing";
        notify_on_event("E_TEST", $avp(f), "notified", 600); xlog("XX wrong $retcode\n");
        $avp(f) = "k=a"; notify_on_event("E_TEST", $avp(f), "nosuch", 600); xlog("XX wrong $retcode\n");
        notify_on_event("E_TEST", $avp(f), "notified", 0); xlog("XX wrong $retcode\n");
        wait_for_event("E_TEST", $avp(f), -1); xlog("XX wrong $retcode\n");
    }
}
"#;

fn start() -> Server {
    let config = include_str!("../configs/raised.cfg").replace("route {\n", "route {\n    route(ask);\n");
    Setup::new(&config).put("MODULES", MODULES).put("STARTUP", "").put("ROUTES", ROUTES).start()
}

fn send(phone: &Phone, server: &Server, user: &str, header: &str) {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.header("X-K", header).text());
}

fn ask(phone: &Phone, server: &Server, user: &str, header: &str) {
    send(phone, server, user, header);
    phone.expect_status(200);
}

fn notified(server: &Server) -> usize {
    server.log().matches("XX notified").count()
}

fn until_notified(server: &Server, times: usize) {
    until("the route has run", || (notified(server) >= times).then_some(()));
    assert_eq!(notified(server), times);
}

/// What nobody asked for is not there; the account of the subscription says when all is done.
fn until_settled(server: &Server) {
    until("no event waits", || (server.statistic("events:waiting") == 0).then_some(()));
    assert_eq!(["dropped", "lost"].map(|name| server.statistic(&format!("events:{name}"))), [0, 0]);
}

#[test]
fn a_route_is_run_for_what_the_filters_hold_for_whoever_dies() {
    let phone = Phone::new();
    let server = start();
    ask(&phone, &server, "notify", "");
    until("it was asked for", || server.log().contains("XX asked 1").then_some(()));
    ask(&phone, &server, "raise", "zzz");
    ask(&phone, &server, "raise", "abc");
    until_notified(&server, 1);
    assert!(server.log().contains("XX notified k=abc n=5 f=<null>"), "{}", server.log());
    // The process that asked, the ones that run routes and the courier.
    for (count, kind) in
        ["SIP receiver", "Timer handler", "Timer handler", "event courier"].into_iter().enumerate()
    {
        server.kill(kind);
        until("it is answered again", || {
            send(&phone, &server, "none", "");
            phone.receive_within(std::time::Duration::from_millis(500))
        });
        ask(&phone, &server, "raise", "abc");
        until_notified(&server, 2 + count);
    }
    until_settled(&server);
    server.stop();
}

#[test]
fn a_script_goes_on_when_the_event_comes() {
    let (waiting, raising) = (Phone::new(), Phone::new());
    let server = start();
    send(&waiting, &server, "wait", "");
    until("it is subscribed", || {
        server.mi().call("subscribers_list", json!([])).to_string().contains("routing:E_TEST").then_some(())
    });
    ask(&raising, &server, "raise", "zzz");
    ask(&raising, &server, "raise", "wxyz");
    let response = waiting.expect_status(200);
    assert_eq!(response.start_line(), "SIP/2.0 200 k wxyz");
    until_settled(&server);
    server.stop();
}

#[test]
fn neither_a_client_nor_a_killed_process_ends_what_others_asked_for() {
    let (waiting, phone) = (Phone::new(), Phone::new());
    let server = start();
    ask(&phone, &server, "notify", "");
    assert_eq!(server.mi().call("event_subscribe", json!(["E_TEST", "routing:E_TEST", 0])), "OK");
    send(&waiting, &server, "wait", "");
    ask(&phone, &server, "none", "");
    // The message that waits ends with its process; what was ordered is still there.
    server.kill("SIP receiver");
    until("it is answered again", || {
        send(&phone, &server, "none", "");
        phone.receive_within(std::time::Duration::from_millis(500))
    });
    let own =
        || server.mi().call("subscribers_list", json!([])).to_string().matches("routing:E_TEST").count();
    until("the client's subscription has ended", || (own() == 1).then_some(()));
    ask(&phone, &server, "raise", "wxyz");
    ask(&phone, &server, "raise", "abc");
    until_notified(&server, 1);
    // Another message waits in the new process.
    send(&waiting, &server, "wait", "again");
    until("it goes on", || {
        ask(&phone, &server, "raise", "wxyz");
        waiting.receive_within(std::time::Duration::from_millis(100))
    });
    until_settled(&server);
    server.stop();
}

#[test]
fn times_end() {
    let phone = Phone::new();
    let server = start();
    ask(&phone, &server, "sync", "");
    assert!(server.log().contains("XX sync -2"), "{}", server.log());
    ask(&phone, &server, "brief", "");
    ask(&phone, &server, "raise", "one");
    until_notified(&server, 1);
    // Once its time is over, nothing is notified.
    until("it has ended", || {
        let before = notified(&server);
        ask(&phone, &server, "raise", "more");
        until_settled(&server);
        crate::harness::pause(std::time::Duration::from_millis(100));
        (notified(&server) == before).then_some(())
    });
    server.stop();
}

#[test]
fn what_cannot_be_fails() {
    let phone = Phone::new();
    let server = start();
    ask(&phone, &server, "wrong", "");
    assert_eq!(server.log().matches("XX wrong -1").count(), 4, "{}", server.log());
    server.stop();
}
