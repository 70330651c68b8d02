//! The key-value store in shared memory, as scripts and management clients see it.

use serde_json::json;

use crate::harness::{Phone, Request, Server, Setup, until};

const CONFIG: &str = r#"
log_level=3
stderror_enabled=yes
syslog_enabled=no
socket=udp:127.0.0.1:@PORT@
udp_workers=2
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "proto_udp.so"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "cachedb_local.so"
@PARAMETERS@
route {
    $var(v) = "none";
    if ($rU == "store") cache_store("local", "$hdr(X-Key)", "$rb");
    else if ($rU == "brief") cache_store("local", "$hdr(X-Key)", "$rb", 1);
    else if ($rU == "remove") cache_remove("local", "$hdr(X-Key)");
    else if ($rU == "add") cache_add("local", "$hdr(X-Key)", 5, 0, $var(v));
    else if ($rU == "sub") cache_sub("local", "$hdr(X-Key)", 7, 0, $var(v));
    else if ($rU == "count") cache_counter_fetch("local", "$hdr(X-Key)", $var(v));
    else if ($rU == "chunk") cache_remove_chunk("$hdr(X-Key)");
    else if ($rU == "other") cache_fetch("local:g", "$hdr(X-Key)", $var(v));
    else cache_fetch("local", "$hdr(X-Key)", $var(v));
    sl_send_reply(200, "$rc $var(v)");
    exit;
}
"#;

fn setup() -> Setup {
    Setup::new(CONFIG).put(
        "PARAMETERS",
        "modparam(\"cachedb_local\", \"cache_collections\", \"default=27; c2\")\n\
         modparam(\"cachedb_local\", \"cachedb_url\", \"local://\")\n\
         modparam(\"cachedb_local\", \"cachedb_url\", \"local:g:///c2\")\n\
         modparam(\"cachedb_local\", \"cache_clean_period\", 5)\n\
         modparam(\"cachedb_local\", \"exec_threshold\", 100000)",
    )
}

/// Asks for `what` at `key`. Returns the reason of the answer: the return code and the variable.
fn ask(phone: &Phone, server: &Server, what: &str, key: &str, body: &str) -> String {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{what}@{}", server.address()));
    phone.send(server.address(), request.header("X-Key", key).body(body).text());
    let answer = phone.expect_status(200);
    answer.start_line().strip_prefix("SIP/2.0 200 ").unwrap().to_owned()
}

#[test]
fn values_are_kept_for_all_processes() {
    let phone = Phone::new();
    let server = setup().start();
    let ask = |what: &str, key: &str, body: &str| ask(&phone, &server, what, key, body);
    assert_eq!(ask("fetch", "k", ""), "-2 none");
    assert_eq!(ask("store", "k", "a value"), "1 none");
    assert_eq!(ask("fetch", "k", ""), "1 a value");
    assert_eq!(ask("other", "k", ""), "-2 none", "another collection");
    assert_eq!(ask("count", "k", ""), "-3 none", "no number");
    assert_eq!(ask("remove", "k", ""), "1 none");
    assert_eq!(ask("remove", "k", ""), "1 none");
    assert_eq!(ask("fetch", "k", ""), "-2 none");
    assert_eq!(ask("add", "n", ""), "1 5");
    assert_eq!(ask("sub", "n", ""), "1 -2");
    assert_eq!(ask("count", "n", ""), "1 -2");
    assert_eq!(ask("fetch", "n", ""), "1 -2");

    assert_eq!(ask("brief", "b", "soon over"), "1 none");
    assert_eq!(ask("fetch", "b", ""), "1 soon over");
    until("its time is over", || (ask("fetch", "b", "") == "-2 none").then_some(()));

    server.replace(&format!("SIP receiver udp:{}", server.address()));
    assert_eq!(ask("fetch", "n", ""), "1 -2", "it outlives the processes");
    assert!(server.statistic("cdb:cdb_total_queries") > 10);
    server.stop();
}

#[test]
fn management_clients_see_and_remove_chunks() {
    let phone = Phone::new();
    let server = setup().start();
    for key in ["info_1", "info_2", "other"] {
        ask(&phone, &server, "store", key, &format!("value of {key}"));
    }
    let fetched = server.mi().call("cache_fetch_chunk", json!(["info_*"]));
    assert_eq!(
        fetched,
        json!({"keys": [{"name": "info_1", "value": "value of info_1"}, {"name": "info_2", "value": "value of info_2"}]})
    );
    assert_eq!(server.mi().call("cache_remove_chunk", json!({"glob": "*_1"})), "OK");
    assert_eq!(ask(&phone, &server, "fetch", "info_1", ""), "-2 none");
    assert_eq!(ask(&phone, &server, "chunk", "info_*", ""), "1 none");
    assert_eq!(ask(&phone, &server, "fetch", "info_2", ""), "-2 none");
    assert_eq!(ask(&phone, &server, "fetch", "other", ""), "1 value of other");
    assert_eq!(server.mi().call("cache_remove_chunk", json!(["*", "c2"])), "OK");
    let call = |command: &str, params: serde_json::Value| server.mi().call(command, params);
    assert_eq!(
        call("cache_fetch", json!(["local", "other"])),
        json!({"key": "other", "value": "value of other"})
    );
    assert_eq!(call("cache_store", json!(["local", "other", "new"])), "OK");
    assert_eq!(
        call("cache_store", json!({"system": "local", "attr": "x", "value": "y", "expire": 60})),
        "OK"
    );
    assert_eq!(ask(&phone, &server, "fetch", "other", ""), "1 new");
    assert_eq!(call("cache_remove", json!(["local", "other"])), "OK");
    for (command, params, code, message) in [
        ("cache_fetch", json!(["local", "other"]), 400, "Value not found"),
        ("cache_fetch", json!(["nosuch", "x"]), 500, "Cache fetch command failed"),
        ("cache_store", json!(["nosuch", "a", "x"]), 500, "Cache store command failed"),
        ("cache_remove", json!(["nosuch", "x"]), 500, "Cache remove command failed"),
    ] {
        let error = &server.mi().answer(command, params)["error"];
        assert_eq!((error["code"].as_i64(), error["message"].as_str()), (Some(code), Some(message)));
    }
    assert_eq!(server.mi().answer("cache_remove_chunk", json!(["*", "nosuch"]))["error"]["code"], 404);
    server.stop();
}

#[test]
fn a_full_memory_is_a_return_code() {
    let phone = Phone::new();
    let server = setup().args(["-m", "8"]).start();
    let value = "v".repeat(50_000);
    let stored = (0..500)
        .take_while(|n| ask(&phone, &server, "store", &format!("key{n}"), &value) == "1 none")
        .count();
    assert!((10..500).contains(&stored), "{stored}");
    assert!(server.log().contains("shared memory is full: cache_store is refused"));
    assert_eq!(ask(&phone, &server, "fetch", "key0", "").len(), 50_002, "what is there stays");
    assert_eq!(ask(&phone, &server, "chunk", "key*", ""), "1 none");
    assert_eq!(ask(&phone, &server, "store", "again", &value), "1 none", "there is room again");
    server.stop();
}
