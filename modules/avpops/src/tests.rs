//! Queries from a script, against files of SQLite.

use std::rc::Rc;

use tocsin_db::Select;

use super::parameters::Urls;
use tocsin_testbench::{Bench, TestBed, first_line, request};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| {
    vec![
        Rc::new(crate::Avpops),
        Rc::new(tocsin_db_sqlite::DbSqlite),
        Rc::new(tocsin_signaling::Signaling),
        Rc::new(tocsin_sl::Sl),
    ]
});

const LINES: &str = "loadmodule \"signaling.so\"\nloadmodule \"sl.so\"\nloadmodule \"avpops.so\"\n\
                     loadmodule \"db_sqlite.so\"\n";

/// A database with nothing in it, and the lines that name it.
fn bench(routes: &str) -> (Bench, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    std::fs::File::create(&path).unwrap();
    let lines = format!(
        "{LINES}modparam(\"avpops\", \"db_url\", \"sqlite://{}\")\n\
         modparam(\"avpops\", \"db_url\", \"4 sqlite:///nonexistent/x.db\")",
        path.display()
    );
    (TEST_BED.bench(&lines, routes), dir)
}

fn reason(bench: &Bench) -> String {
    let replies = bench.serve(&request("OPTIONS", "", ""), 1);
    first_line(&replies[0]).trim_start_matches("SIP/2.0 ").to_owned()
}

#[test]
fn columns_go_to_avps_in_order_and_rows_behind_each_other() {
    let (bench, _dir) = bench(
        "route { $avp(a) = \"old\"; avp_db_query(\"SELECT 1, 'x', NULL, 2.5 UNION ALL SELECT 2, 'y', x'41', 3\", \
         \"$avp(a);$avp(b);$avp(c);$avp(d)\"); \
         sl_send_reply(200, \"$retcode $(avp(a)[0]) $(avp(a)[1]) $(avp(a)[2]) $(avp(b)[*]) $(avp(c)[0]) $(avp(c)[1]) $(avp(d)[0])\"); }",
    );
    assert_eq!(reason(&bench), "200 1 old 1 2 x, y <null> A 2.5");
    assert_eq!(bench.statistic("sql:sql_total_queries"), 1);
}

#[test]
fn without_destinations_columns_are_numbered() {
    let (bench, _dir) = bench(
        "route { avp_db_query(\"SELECT 'a', 7\"); $var(n) = $avp(2) + 1; sl_send_reply(200, \"$avp(1) $var(n)\"); }",
    );
    assert_eq!(reason(&bench), "200 a 8");
}

#[test]
fn columns_without_a_destination_are_left_out() {
    let (bench, _dir) = bench(
        "route { avp_db_query(\"SELECT 1, 2\", \"$avp(x)\"); sl_send_reply(200, \"$avp(x) $avp(2)\"); }",
    );
    assert_eq!(reason(&bench), "200 1 <null>");
}

#[test]
fn return_codes_are_those_of_the_manual() {
    for (call, code) in [
        ("avp_db_query(\"SELECT 1\")", "1"),
        ("avp_db_query(\"SELECT 1 WHERE 0\")", "-2"),
        ("avp_db_query(\"CREATE TABLE t (a)\")", "1"),
        ("avp_db_query(\"DELETE FROM sqlite_master WHERE 0\")", "-1"),
        ("avp_db_query(\"SELEKT\")", "-1"),
        ("avp_db_query(\"SELECT 1\", , 4)", "-1"),
        ("avp_db_query(\"SELECT 1\", \"\", 9)", "-1"),
        ("avp_db_query(\"SELECT 1;\", , 0)", "1"),
        ("avp_db_query(\"SELECT 1; SELECT 2\")", "-1"),
    ] {
        let (bench, _dir) = bench(&format!("route {{ {call}; sl_send_reply(200, \"$retcode\"); }}"));
        assert_eq!(reason(&bench), format!("200 {code}"), "{call}");
    }
}

#[test]
fn a_route_goes_on_when_the_query_is_done() {
    let (bench, _dir) = bench(
        "route { async(avp_db_query(\"SELECT '$rU'\", \"$avp(u)\"), resume); }\n\
         route[resume] { sl_send_reply(200, \"$rc $avp(u)\"); }",
    );
    assert_eq!(reason(&bench), "200 1 bob");
}

#[test]
fn destinations_must_be_variables_that_can_be_written() {
    for (list, problem) in [
        ("avp", "expected to be variables"),
        ("$avp(a),$avp(b)", "`,` is no variable"),
        ("x$avp(a)", "`x` is no variable"),
        ("$avp(a);$ci", "$ci is read-only"),
    ] {
        let routes = format!("route {{ avp_db_query(\"SELECT 1\", \"{list}\"); }}");
        let told = TEST_BED.try_bench(LINES, &routes).err().unwrap();
        assert!(told.contains(problem), "{told}");
    }
}

#[test]
fn prepared_statements_are_measured_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    std::fs::File::create(&path).unwrap();
    let bench = TEST_BED.bench(
        &format!(
            "{LINES}modparam(\"db_sqlite\", \"exec_query_threshold\", 1)\n\
             modparam(\"avpops\", \"db_url\", \"sqlite://{}\")",
            path.display()
        ),
        "route { exit; }",
    );
    let server = bench.worker.server;
    let database = server.state::<Urls>().find(0).unwrap();
    let (pool, observer) = server.registered.databases.pool(server.query_reports(), database).unwrap();
    let select = Select { table: "sqlite_master", ..Select::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime.block_on(pool.select(&select, &observer)).unwrap();
    assert!(rows.is_empty());
    assert_eq!((bench.statistic("sql_total_queries"), bench.statistic("sql_slow_queries")), (1, 1));
}

#[test]
fn a_url_says_where_it_stands_and_what_it_needs() {
    let start = |lines: &str| TEST_BED.try_bench(lines, "route { exit; }").err().unwrap();
    let told = start(
        "loadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"sqlite:///a\")\n\
         modparam(\"avpops\", \"db_url\", \"1 mysql:/x\")",
    );
    assert!(
        told.starts_with("test.cfg:7:30: modparam avpops:db_url: the value is no database URL"),
        "{told}"
    );
    let told = start("loadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"mysql://u:secret@h/d\")");
    assert_eq!(
        told,
        "test.cfg:6:30: modparam avpops:db_url: mysql://u@h/d: nothing speaks to mysql: load the module db_mysql"
    );
}
