//! What a running server has is what its rows declare: commands, statistics and events, of the core and of modules.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Server, Setup};

/// Modules with something to manage. The script names a domain, so that usrloc counts its contacts.
const CONFIG: &str = r#"
log_level=3
stderror_enabled=yes
syslog_enabled=no
socket=udp:127.0.0.1:@PORT@
socket=tcp:127.0.0.1:@PORT@
loadmodule "proto_udp.so"
loadmodule "proto_tcp.so"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "acc.so"
loadmodule "cfgutils.so"
loadmodule "cachedb_local.so"
loadmodule "event_flatstore.so"
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "httpd.so"
modparam("httpd", "ip", "127.0.0.1")
modparam("httpd", "port", @HTTP@)
route { save("location"); }
"#;

/// What stands in `member` of the core and of the modules that [`CONFIG`] loads.
fn declared(member: &str) -> Vec<Value> {
    let printed = Setup::new(CONFIG).without_arguments().args(["doc", "--json"]).run_to_end().stdout;
    let all: Value = serde_json::from_str(&printed).unwrap();
    let is_loaded =
        |module: &&Value| CONFIG.contains(&format!("loadmodule \"{}.so\"", module["name"].as_str().unwrap()));
    let modules = all["modules"].as_array().unwrap().iter().filter(is_loaded);
    let rows = modules.chain([&all]).flat_map(|names| names[member].as_array().unwrap());
    rows.cloned().collect()
}

fn names<'a>(rows: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    rows.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn start() -> Server {
    Setup::new(CONFIG).start()
}

#[test]
fn commands_and_events_are_those_declared() {
    let server = start();
    let mut commands = declared("commands");
    // Only where a group of processes is scaled.
    commands.retain(|row| row["name"] != "autoscale_explain");
    let which = server.mi().call("which", json!([]));
    assert_eq!(names(which.as_array().unwrap()), names(commands.iter().map(|row| &row["name"])));
    for row in &commands {
        let name = row["name"].as_str().unwrap();
        assert_eq!(server.mi().call("which", json!([name])), row["parameters"], "{name}");
    }
    let events = server.mi().call("events_list", json!([]));
    let listed = events["Events"].as_array().unwrap().iter().map(|event| &event["name"]);
    let mut declared = names(declared("events").iter().map(|row| &row["name"]));
    // Published with their first subscriber.
    declared.retain(|name| name != "E_CORE_PROC_EXIT" && name != "E_CORE_LOG");
    let mut listed = names(listed);
    listed.retain(|name| name != "E_CORE_LOG");
    assert_eq!(listed, declared);
    server.stop();
}

/// Whether `name` is one of those that the row stands for: angle brackets hold the place of anything.
fn stands_for(row: &Value, name: &str) -> bool {
    let pattern = format!("{}:{}", row["group"].as_str().unwrap(), row["name"].as_str().unwrap());
    match pattern.split_once('<') {
        None => name == pattern,
        Some((head, rest)) => {
            let (_, tail) = rest.split_once('>').unwrap();
            name.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail))
        }
    }
}

#[test]
fn statistics_are_those_declared() {
    let server = start();
    let rows = declared("statistics");
    let listed = server.mi().call("list_statistics", json!([]));
    let listed = listed.as_object().unwrap();
    for (name, kind) in listed {
        let row = rows.iter().find(|row| stands_for(row, name));
        let row = row.unwrap_or_else(|| panic!("{name} is declared in no row"));
        assert_eq!(row["kind"] == "counter", kind == "incremental", "{name}");
    }
    for row in &rows {
        assert!(listed.keys().any(|name| stands_for(row, name)), "declared, but not there: {row}");
    }
    server.stop();
}
