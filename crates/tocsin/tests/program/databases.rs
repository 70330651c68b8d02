//! Queries of scripts to databases: told when slow, failed when they must be, and at nobody else's expense.

use std::fs::File;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tocsin_db::{
    Condition, Delete, Insert, Limits, Pool, QueryError, Select, Source, Unobserved, Update, Url,
    Value as DbValue,
};

use crate::harness::{
    MariaDb, Message, PATIENCE, Phone, Request, Server, Setup, Subscriber, UnixSubscriber, until,
};

const CONFIG: &str = include_str!("../configs/databases.cfg");
/// What `timeout_interval` of the configuration lets a query take.
const BUDGET: Duration = Duration::from_secs(3);

/// A server whose first database is at `url`, and whose second is an empty file.
fn prepared(url: &str, workers: usize, subscriber: &Subscriber) -> Setup {
    let setup = Setup::new(CONFIG).put("URL", url).put("WORKERS", workers);
    File::create(setup.dir().join("x.db")).unwrap();
    setup.put("SUBSCRIBER", subscriber.name())
}

fn serving(url: &str, subscriber: &Subscriber) -> Server {
    prepared(url, 1, subscriber).start()
}

fn request(phone: &Phone, server: &Server, user: &str) -> String {
    Request::new(phone, "OPTIONS", &format!("sip:{user}@{}", server.address())).text()
}

/// Asks as `user`, and waits for the answer.
fn ask(phone: &Phone, server: &Server, user: &str) -> Message {
    phone.send(server.address(), request(phone, server, user));
    phone.expect_status(200)
}

/// The return code of the query that is asked as `user`.
fn code(phone: &Phone, server: &Server, user: &str) -> i64 {
    ask(phone, server, user).header("X-Code").unwrap().parse().unwrap()
}

/// The event about a slow query, with the time that `event` says, which must be the right one.
fn expected(source: &str, extra: &str, event: &str) -> String {
    let time = serde_json::from_str::<Value>(event).unwrap()["params"]["time"].as_u64().unwrap();
    assert!((50_001..10_000_000).contains(&time), "{time} us");
    format!(
        r#"{{"jsonrpc":"2.0","method":"E_CORE_THRESHOLD","params":{{"source":"{source}","time":{time},"extra":"{extra}"}}}}"#
    )
}

#[test]
fn slow_queries_are_told_as_recorded() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let url = MariaDb::shared().url();
    let setup = prepared(&url, 1, &subscriber);
    let unix = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let server = setup.start();
    ask(&phone, &server, "fast");

    ask(&phone, &server, "slow");
    let event = subscriber.raw();
    assert_eq!(event, expected("mysql query", "SELECT SLEEP(0.2)", &event), "the fast one raised none");
    assert_eq!(unix.raw(), event, "the same bytes over UNIX");
    let time = serde_json::from_str::<Value>(&event).unwrap()["params"]["time"].as_u64().unwrap();
    let line = format!(
        "WARNING:db_mysql: threshold exceeded : mysql query took too long - {time} us.Source : SELECT SLEEP(0.2)"
    );
    until("the log says it", || server.log().contains(&line).then_some(()));

    ask(&phone, &server, "quote");
    let event = subscriber.raw();
    let quoted = r#"SELECT SLEEP(0.2), 'a\"b', \"c\\\\d\""#;
    assert_eq!(event, expected("mysql query", quoted, &event));

    let request = request(&phone, &server, "vars");
    let call_id = request.lines().find_map(|line| line.strip_prefix("Call-ID: ")).unwrap();
    phone.send(server.address(), &request);
    phone.expect_status(200);
    let event = subscriber.raw();
    assert_eq!(event, expected("mysql query", &format!("SELECT SLEEP(0.2), '{call_id}' FROM t"), &event));

    assert_eq!(code(&phone, &server, "bad"), -1);
    let log = server.log();
    let url = url.replace(":pw@", "@");
    let line = format!(
        "query failed: {url} SELECT SLEEP(0.2), nosuch FROM t: driver error (1054): Unknown column 'nosuch' in '"
    );
    assert!(log.contains(&line), "{log}");
    assert_eq!(log.matches("nosuch FROM t").count(), 1, "once: {log}");
    assert_eq!(
        server.mi().call("get_statistics", json!([["sql:"]])),
        json!({"sql:sql_total_queries": 5, "sql:sql_slow_queries": 3}),
        "as recorded; the wrong one raised none"
    );

    phone.send(server.address(), self::request(&phone, &server, "async"));
    assert_eq!(phone.expect_status(200).start_line(), "SIP/2.0 200 Resumed");
    let event = subscriber.raw();
    assert_eq!(event, expected("mysql async query", "SELECT SLEEP(0.2)", &event), "OpenSIPS is silent here");
    assert_eq!(server.statistic("sql_slow_queries"), 4);
    let ended = server.stop();
    assert!(!ended.stderr.contains("osips:pw"), "a password in the log");
}

#[test]
fn a_query_to_a_file_is_told_too() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = serving(&MariaDb::shared().url(), &subscriber);
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000) SELECT count(*) FROM n";
    for (user, source) in [("file", "sqlite query"), ("afile", "sqlite async query")] {
        ask(&phone, &server, user);
        let event = subscriber.raw();
        assert_eq!(event, expected(source, text, &event));
    }
    server.stop();
}

#[test]
fn columns_of_all_kinds_come_as_mysql_shows_them() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = serving(&MariaDb::shared().url(), &subscriber);
    let reply = ask(&phone, &server, "kinds");
    assert_eq!(
        reply.header("X-Kinds"),
        Some("18446744073709551615 2.5 1234.50 2024-02-29 01:02:03 héé 2 <null>")
    );
    server.stop();
}

#[test]
fn one_query_is_one_statement() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let mariadb = MariaDb::shared();
    let server = serving(&mariadb.url(), &subscriber);
    assert_eq!(code(&phone, &server, "two"), -1);
    assert_eq!(mariadb.client("SELECT COUNT(*) FROM osips.t"), "1", "the table is still there");
    server.stop();
}

#[test]
fn other_messages_go_on_while_queries_wait() {
    let (phone, others, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let server = serving(&MariaDb::shared().url(), &subscriber);
    let began = Instant::now();
    phone.send(server.address(), request(&phone, &server, "long"));
    phone.send(server.address(), request(&phone, &server, "impatient"));
    for _ in 0..20 {
        ask(&others, &server, "ping");
        assert_eq!(code(&others, &server, "fast"), 1);
    }
    assert!(began.elapsed() < BUDGET, "others waited for the only worker");
    let given_up = phone.expect_status(200);
    assert_eq!((given_up.start_line(), given_up.header("X-Code")), ("SIP/2.0 200 Given up", Some("-2")));
    let late = phone.expect_status(200);
    assert_eq!(late.header("X-Code"), Some("-1"));
    assert!(began.elapsed() >= BUDGET, "it had all its time");
    assert!(began.elapsed() < BUDGET * 3, "and not much more");
    until("the log says why", || server.log().contains("no answer within 3000 ms").then_some(()));
    server.stop();
}

#[test]
fn a_start_needs_no_database_and_queries_succeed_once_it_is_there() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let mut mariadb = MariaDb::start();
    mariadb.kill();
    let server = serving(&mariadb.url(), &subscriber);
    let began = Instant::now();
    const ASKED: usize = 50;
    (0..ASKED).for_each(|_| assert_eq!(code(&phone, &server, "fast"), -1));
    let lines = server.log().matches("SELECT 1: no connection").count();
    assert!((1..=1 + began.elapsed().as_secs() as usize).contains(&lines), "{lines} of {ASKED} are told");
    assert!(began.elapsed() < BUDGET, "a refused connection is no reason to wait");
    let event = subscriber.next();
    let url = format!("mysql://osips@127.0.0.1:{}/osips", mariadb.port());
    assert_eq!(
        (&event["method"], &event["params"]),
        (&json!("E_MYSQL_CONNECTION"), &json!({"url": url, "status": "disconnected"}))
    );
    assert!(server.log().contains(&format!("no connection to {url}: ")), "{}", server.log());
    mariadb.run();
    until("queries succeed", || (code(&phone, &server, "fast") == 1).then_some(()));
    assert_eq!(subscriber.next()["params"]["status"], "connected");
    server.stop();
}

#[test]
fn calls_go_on_when_the_database_is_killed_and_comes_back() {
    let (phone, others, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let mut mariadb = MariaDb::start();
    let server = serving(&mariadb.url(), &subscriber);
    assert_eq!(code(&phone, &server, "fast"), 1);
    phone.send(server.address(), request(&phone, &server, "long"));
    until("the query is under way", || {
        let list = mariadb.client(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(30)%'",
        );
        (list == "1").then_some(())
    });
    mariadb.kill();
    assert_eq!(phone.expect_status(200).header("X-Code"), Some("-1"), "the query that was cut off");
    assert_eq!(code(&others, &server, "fast"), -1);
    ask(&others, &server, "ping");
    mariadb.run();
    until("queries succeed", || (code(&phone, &server, "fast") == 1).then_some(()));
    let told = ["disconnected", "connected"].map(|status| json!({"url": format!("mysql://osips@127.0.0.1:{}/osips", mariadb.port()), "status": status}));
    server.mi().call("raise_event", json!(["E_MARK"]));
    let events =
        subscriber.up_to("E_MARK").into_iter().filter(|event| event["method"] == "E_MYSQL_CONNECTION");
    assert_eq!(events.map(|event| event["params"].clone()).collect::<Vec<_>>(), told);
    server.stop();
}

#[test]
fn a_database_that_stops_answering_costs_a_message_its_budget_at_the_most() {
    let (phone, others, subscriber) = (Phone::new(), Phone::new(), Subscriber::new());
    let mariadb = MariaDb::start();
    let server = serving(&mariadb.url(), &subscriber);
    assert_eq!(code(&phone, &server, "fast"), 1);
    mariadb.freeze();
    let began = Instant::now();
    phone.send(server.address(), request(&phone, &server, "fast"));
    ask(&others, &server, "ping");
    assert!(began.elapsed() < BUDGET);
    assert_eq!(phone.expect_status(200).header("X-Code"), Some("-1"));
    assert!(began.elapsed() < BUDGET * 2);
    // The next finds nobody to shake hands with, and those after it are told so at once.
    assert_eq!(code(&phone, &server, "fast"), -1);
    let began = Instant::now();
    assert_eq!(code(&phone, &server, "fast"), -1);
    assert!(began.elapsed() < Duration::from_secs(1));
    mariadb.thaw();
    until("queries succeed", || (code(&phone, &server, "fast") == 1).then_some(()));
    server.stop();
}

#[test]
fn a_worker_that_is_killed_leaves_no_connection_behind() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let mariadb = MariaDb::start();
    let server = serving(&mariadb.url(), &subscriber);
    let worker = format!("SIP receiver udp:{}", server.address());
    assert_eq!(code(&phone, &server, "fast"), 1);
    assert_eq!(mariadb.sessions(), 1);
    server.replace(&worker);
    until("its connection is gone", || (mariadb.sessions() == 0).then_some(()));

    phone.send(server.address(), request(&phone, &server, "long"));
    until("the next one asks", || (mariadb.sessions() == 1).then_some(()));
    server.replace(&worker);
    assert_eq!(code(&phone, &server, "fast"), 1, "its successor has a connection of its own");
    // The server of databases may notice only when the query of the dead is over.
    assert!(mariadb.sessions() <= 2);
    server.stop();
}

#[test]
fn prepared_statements_work_as_others_do() {
    let limits = Limits { budget: PATIENCE, ..Limits::default() };
    let pool = Pool::new(Url::parse(&MariaDb::shared().url()).unwrap(), limits);
    let table = "prepared";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let create =
            b"CREATE TEMPORARY TABLE prepared (name VARCHAR(32), n INT, r DOUBLE, b BLOB, w DATETIME)";
        pool.query(create, Source::Plain, &Unobserved).await.unwrap();
        for (name, n) in [("o'brien", 2), ("`\"\\", 1)] {
            let blob = DbValue::Blob(vec![0, 255]);
            let columns = [("name", name.into()), ("n", DbValue::Int(n)), ("b", blob), ("r", DbValue::Null)];
            pool.insert(&Insert { table, columns: &columns }, &Unobserved).await.unwrap();
        }
        let brien = [Condition::is("name", "o'brien")];
        let columns = [("r", DbValue::Double(0.5))];
        let update = Update { table, columns: &columns, conditions: &brien };
        assert_eq!(pool.update(&update, &Unobserved).await, Ok(1));
        let select =
            Select { table, columns: &["name", "n", "r", "b", "w"], order: Some("n"), conditions: &[] };
        let rows = pool.select(&select, &Unobserved).await.unwrap();
        let rows: Vec<_> = rows.iter().map(<[DbValue]>::to_vec).collect();
        let blob = || DbValue::Blob(vec![0, 255]);
        assert_eq!(rows[0], ["`\"\\".into(), DbValue::Int(1), DbValue::Null, blob(), DbValue::Null]);
        assert_eq!(rows[1], ["o'brien".into(), DbValue::Int(2), DbValue::Double(0.5), blob(), DbValue::Null]);
        let delete = Delete { table, conditions: &brien };
        assert_eq!(pool.delete(&delete, &Unobserved).await, Ok(1));
        assert_eq!(pool.idle(), 1);
        // A question mark outside of strings asks for a value that there is none of.
        let problem = pool.query(b"SELECT ?", Source::Plain, &Unobserved).await.unwrap_err();
        assert!(matches!(problem, QueryError::Unexpected(_)), "{problem:?}");
        let rows = pool.query(b"SELECT '?'", Source::Plain, &Unobserved).await.unwrap();
        assert_eq!(rows.iter().next(), Some(&["?".into()][..]));
    });
}

/// The session of the only connection that idles in `pool` is ended by the server.
async fn kill_session(mariadb: &MariaDb, pool: &Pool) {
    let rows = pool.query(b"SELECT CONNECTION_ID()", Source::Plain, &Unobserved).await.unwrap();
    let id = rows.iter().next().unwrap()[0].to_string();
    mariadb.client(&format!("KILL {id}"));
    let count = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id}");
    until("the session is gone", || (mariadb.client(&count) == "0").then_some(()));
}

#[test]
fn a_dead_connection_is_noticed_before_a_query_goes_over_it_and_no_query_goes_out_twice() {
    let mariadb = MariaDb::shared();
    let insert = b"INSERT INTO once VALUES (1)";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits = Limits { budget: PATIENCE, probe_after: Duration::ZERO, ..Limits::default() };
        let pool = Pool::new(Url::parse(&mariadb.url()).unwrap(), limits.clone());
        pool.query(b"CREATE TABLE once (n INT)", Source::Plain, &Unobserved).await.unwrap();
        kill_session(mariadb, &pool).await;
        pool.query(insert, Source::Plain, &Unobserved).await.unwrap();
        assert_eq!(pool.idle(), 1);

        let limits = Limits { probe_after: PATIENCE * 10, ..limits };
        let pool = Pool::new(Url::parse(&mariadb.url()).unwrap(), limits);
        kill_session(mariadb, &pool).await;
        let error = pool.query(insert, Source::Plain, &Unobserved).await.unwrap_err();
        assert!(matches!(error, QueryError::Lost(_)), "{error:?}");
        pool.query(insert, Source::Plain, &Unobserved).await.unwrap();
        assert_eq!(mariadb.client("SELECT COUNT(*) FROM osips.once"), "2");
    });
}

#[test]
fn whether_a_statement_asked_for_rows_is_known_though_there_are_none() {
    let limits = Limits { budget: PATIENCE, ..Limits::default() };
    let pool = Pool::new(Url::parse(&MariaDb::shared().url()).unwrap(), limits);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (text, asks, rows) in [
            ("CREATE PROCEDURE asks() BEGIN SELECT a FROM t WHERE a < 0; SELECT a FROM t; END", false, 0),
            ("CREATE PROCEDURE does() BEGIN DELETE FROM t WHERE a < 0; END", false, 0),
            ("CALL asks()", true, 0),
            ("CALL does()", false, 0),
            ("WITH x AS (SELECT a FROM t) SELECT a FROM x WHERE a < 0", true, 0),
            ("WITH x AS (SELECT a FROM t) SELECT a FROM x", true, 1),
            ("SELECT 1 INTO @x", false, 0),
            ("SELECT a FROM t WHERE a < 0", true, 0),
            ("DELETE FROM t WHERE a < 0 RETURNING a", true, 0),
            ("DO 1", false, 0),
            ("BEGIN", false, 0),
        ] {
            let found = pool.query(text.as_bytes(), Source::Plain, &Unobserved).await.unwrap();
            assert_eq!((found.is_result(), found.len()), (asks, rows), "{text}");
        }
        assert_eq!(pool.idle(), 1, "one connection served all");
    });
}

#[test]
fn the_server_ends_in_order_while_a_query_waits() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = serving(&MariaDb::shared().url(), &subscriber);
    phone.send(server.address(), request(&phone, &server, "long"));
    ask(&phone, &server, "ping");
    server.stop();
}

#[test]
fn wrong_urls_are_shown_with_their_place() {
    let (subscriber, shared) = (Subscriber::new(), "mysql://osips:secret@127.0.0.1/osips");
    for (url, more, problem) in [
        (
            "mysql:/osips:secret@h/x",
            "",
            "server.cfg:22:30: modparam avpops:db_url: the value is no database URL",
        ),
        (
            "postgres://a:secret@h/x",
            "",
            "server.cfg:22:30: modparam avpops:db_url: the value `postgres://` names",
        ),
        (
            shared,
            "#",
            "server.cfg:22:30: modparam avpops:db_url: mysql://osips@127.0.0.1/osips: nothing speaks to mysql: load the module db_mysql",
        ),
    ] {
        let text = CONFIG.replace("loadmodule \"db_mysql", &format!("{more}loadmodule \"db_mysql"));
        let text = text.replace("modparam(\"db_mysql", &format!("{more}modparam(\"db_mysql"));
        let setup = Setup::new(&text).put("URL", url).put("WORKERS", 1).put("SUBSCRIBER", subscriber.name());
        let ended = setup.run_to_end();
        assert_eq!(ended.status, 255, "{}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "a password in the log: {}", ended.stderr);
    }
}
