//! Rules for connections from a database (module tcp_mgm).

use std::fs::OpenOptions;
use std::path::Path;

use serde_json::Value;
use tocsin_db::{Limits, Pool, Source, Unobserved, Url};

use crate::harness::{Line, PATIENCE, Streams, until};

/// The table, as far as it is needed here.
const TABLE: &str = "CREATE TABLE tcp_mgm (id INTEGER PRIMARY KEY, proto TEXT NOT NULL DEFAULT 'any', remote_addr TEXT, \
     remote_port INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL DEFAULT 0, msg_read_timeout INTEGER)";

/// Changes the file of a database, which is made if it is not there.
fn change(file: &Path, statements: &[&str]) {
    OpenOptions::new().create(true).append(true).open(file).unwrap();
    let url = Url::parse(&format!("sqlite://{}", file.display())).unwrap();
    let pool = Pool::new(url, Limits { budget: PATIENCE, ..Limits::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for statement in statements {
            pool.query(statement.as_bytes(), Source::Plain, &Unobserved).await.unwrap();
        }
    });
}

/// A server with the rules in `file`.
fn serve(file: &Path) -> Streams {
    OpenOptions::new().create(true).append(true).open(file).unwrap();
    Streams::start(&format!(
        "loadmodule \"db_sqlite.so\"\nloadmodule \"tcp_mgm.so\"\n\
         modparam(\"tcp_mgm\", \"db_url\", \"sqlite://{}\")",
        file.display()
    ))
}

fn until_logged(streams: &Streams, text: &str) {
    until(&format!("the log says {text}"), || streams.server.log().contains(text).then_some(()));
}

#[test]
fn rules_come_from_a_database_when_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.db");
    let streams = serve(&file);
    until_logged(&streams, "no such table: tcp_mgm");
    change(&file, &[TABLE, "INSERT INTO tcp_mgm (remote_addr, msg_read_timeout) VALUES ('127.0.0.0/8', 1)"]);
    until_logged(&streams, "tcp_mgm: 1 rules are in force");
    let mut slow = Line::open(streams.tcp);
    slow.send("OPTIONS sip:slow");
    slow.read_to_end();
    until_logged(&streams, "did not arrive whole within 1 s");
    streams.server.stop();
}

#[test]
fn a_row_that_is_wrong_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.db");
    change(&file, &[TABLE, "INSERT INTO tcp_mgm (id, msg_read_timeout) VALUES (7, 3)"]);
    let streams = serve(&file);
    until_logged(&streams, "tcp_mgm: 1 rules are in force");
    change(&file, &["INSERT INTO tcp_mgm (id, proto) VALUES (8, 'smoke')"]);
    let answer = streams.server.mi().answer("tcp_reload", Value::Null);
    let problem = answer["error"]["data"].as_str().unwrap();
    assert_eq!(problem, "table tcp_mgm: row 8: proto: `smoke` is no protocol: give tcp, tls, ws, wss or any");
    change(&file, &["DELETE FROM tcp_mgm"]);
    assert_eq!(streams.server.mi().call("tcp_reload", Value::Null), "OK");
    until_logged(&streams, "tcp_mgm: 0 rules are in force");
    streams.server.stop();
}
