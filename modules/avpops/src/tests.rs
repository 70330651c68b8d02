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
fn return_codes_are_as_recorded() {
    for (call, code) in [
        ("avp_db_query(\"SELECT 1\")", "1"),
        ("avp_db_query(\"SELECT 1 WHERE 0\")", "-2"),
        ("avp_db_query(\"CREATE TABLE t (a)\")", "-2"),
        ("avp_db_query(\"\")", "-1"),
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
        let reported = TEST_BED.try_bench(LINES, &routes).err().unwrap();
        assert!(reported.contains(problem), "{reported}");
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
    let reported = start(
        "loadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"sqlite:///a\")\n\
         modparam(\"avpops\", \"db_url\", \"1 mysql:/x\")",
    );
    assert!(
        reported.starts_with("test.cfg:7:30: modparam avpops:db_url: the value is no database URL"),
        "{reported}"
    );
    let reported =
        start("loadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"mysql://u:secret@h/d\")");
    assert_eq!(
        reported,
        "test.cfg:6:30: modparam avpops:db_url: mysql://u@h/d: nothing speaks to mysql: load the module db_mysql"
    );
}

/// What a script makes of some AVPs.
fn shown(script: &str, text: &str) -> String {
    let avps = "$avp(a) = \"one\"; $avp(a) = 2; $avp(a) = \"\"; $avp(a) = \"four\"; $avp(n) = 10; $avp(s) = \"str\"; \
                $avp(e) = \"\"; $avp(u) = \"sip:push@p.org\"; $ru = \"sip:bob@x\";";
    let routes = format!("route {{ {avps} {script}; sl_send_reply(200, \"$rc {text}\"); }}");
    let bench = TEST_BED.bench(LINES, &routes);
    reason(&bench).trim_start_matches("200 ").to_owned()
}

#[test]
fn avps_are_deleted_copied_and_replaced_as_recorded() {
    for (script, text, expected) in [
        ("avp_delete(\"$avp(a)\")", "$(avp(a)[1])", "1 2"),
        ("avp_delete(\"$avp(a)/g\")", "$avp(a)", "1 <null>"),
        ("avp_delete(\"$avp(none)\")", "", "-1 "),
        ("avp_delete(\"i\"); avp_delete(\"i\")", "$avp(n) $(avp(a)[2])", "1 <null> one"),
        ("avp_delete(\"s/g\")", "$avp(s) $(avp(a)[*])", "1 <null> 2"),
        ("avp_copy(\"$avp(a)\", \"$avp(b)\")", "$(avp(b)[*])", "1 four"),
        ("avp_copy(\"$avp(a)\", \"$avp(b)/gd\")", "$(avp(b)[*]) $avp(a)", "1 one, 2, , four <null>"),
        ("avp_copy(\"$avp(n)\", \"$avp(b)/s\")", "$(avp(b){s.len})", "1 2"),
        ("avp_copy(\"$avp(none)\", \"$avp(b)\")", "$avp(b)", "-1 <null>"),
        ("avp_subst(\"$avp(s)\", \"/t/T/\")", "$avp(s)", "1 sTr"),
        ("avp_subst(\"$avp(s)\", \"/z/T/\")", "$avp(s)", "-1 str"),
        ("avp_subst(\"$avp(a)/g\", \"/o/0/g\")", "$(avp(a)[*])", "1 0ne, f0ur, , 2"),
        ("avp_subst(\"$avp(s)/$avp(b)\", \"/(.)(.)/\\2\\1/\")", "$avp(b) $avp(s)", "1 tsr str"),
        ("avp_subst(\"$avp(s)/$avp(b)/d\", \"/s/S/\")", "$avp(b) $avp(s)", "1 Str <null>"),
        ("avp_shuffle(\"$avp(a)\")", "$(avp(a)[3]{s.len})", ""),
        ("avp_shuffle(\"$avp(none)\")", "", "-1 "),
        ("avp_print()", "", "1 "),
    ] {
        let shown = shown(script, text);
        assert!(shown == expected || expected.is_empty() && shown.starts_with("1 "), "{script}: {shown}");
    }
}

#[test]
fn avps_are_compared_as_recorded() {
    for (script, code) in [
        ("avp_check(\"$avp(n)\", \"lt/345\")", -1),
        ("avp_check(\"$avp(n)\", \"lt/i:345\")", 1),
        ("avp_check(\"$avp(n)\", \"and/i:0x2\")", 1),
        ("avp_check(\"$avp(n)\", \"and/i:5\")", -1),
        ("avp_check(\"$avp(s)\", \"eq/STR\")", -1),
        ("avp_check(\"$avp(s)\", \"eq/STR/i\")", 1),
        ("avp_check(\"$avp(s)\", \"ne/str\")", -1),
        ("avp_check(\"$avp(s)\", \"re/^s\")", 1),
        ("avp_check(\"$avp(s)\", \"fm/s*\")", 1),
        ("avp_check(\"$avp(a)\", \"eq/one\")", -1),
        ("avp_check(\"$avp(a)\", \"eq/one/g\")", 1),
        ("avp_check(\"$avp(a)\", \"eq/i:2/g\")", 1),
        ("avp_check(\"$rU\", \"eq/bob/g\")", 1),
        ("$var(w) = \"str\"; avp_check(\"$avp(s)\", \"eq/$var(w)/g\")", 1),
        ("$var(w) = \"^ST\"; avp_check(\"$avp(s)\", \"re/$var(w)\")", 1),
        ("avp_check(\"$avp(none)\", \"eq/x\")", -1),
        ("is_avp_set(\"$avp(a)\")", 1),
        ("is_avp_set(\"$avp(none)\")", -1),
        ("is_avp_set(\"$avp(e)/e\")", 1),
        ("is_avp_set(\"$avp(s)/e\")", -1),
        ("is_avp_set(\"$avp(n)/n\")", 1),
        ("is_avp_set(\"$avp(s)/n\")", -1),
        ("is_avp_set(\"$avp(n)/s\")", -1),
    ] {
        assert_eq!(shown(script, ""), format!("{code} "), "{script}");
    }
}

#[test]
fn avps_are_calculated_with() {
    for (script, text, expected) in [
        ("avp_op(\"$avp(n)\", \"add/i:5\")", "$avp(n)", "1 15"),
        ("avp_op(\"$avp(n)/$avp(b)\", \"mul/$avp(n)\")", "$avp(n) $avp(b)", "1 10 100"),
        ("avp_op(\"$avp(n)/$avp(b)\", \"sub/i:1/d\")", "$avp(n) $avp(b)", "1 <null> 9"),
        ("avp_op(\"$avp(n)\", \"div/i:0\")", "$avp(n)", "-1 10"),
        ("avp_op(\"$avp(a)\", \"add/i:1\")", "$(avp(a)[2])", "1 3"),
        ("avp_op(\"$avp(s)\", \"add/i:1\")", "$avp(s)", "-1 str"),
    ] {
        assert_eq!(shown(script, text), expected, "{script}");
    }
}

#[test]
fn values_are_pushed_into_the_request() {
    for (script, text, expected) in [
        ("avp_pushto(\"$ru\", \"$avp(u)\")", "$ru", "1 sip:push@p.org"),
        ("avp_pushto(\"$ru/username\", \"$avp(s)\")", "$ru", "1 sip:str@x"),
        ("avp_pushto(\"$ru/username\", \"$avp(u)\")", "$ru", "1 <null>"),
        ("avp_pushto(\"$ru/domain\", \"$avp(s)\")", "$ru", "1 sip:bob@str"),
        ("avp_pushto(\"$du\", \"$avp(u)\")", "$du $ru", "1 sip:push@p.org sip:bob@x"),
        ("avp_pushto(\"$branch\", \"$avp(u)\")", "$ru $(branch(uri)[0])", "1 sip:bob@x sip:push@p.org"),
        ("avp_pushto(\"$ru\", \"$avp(none)\")", "$ru", "-1 sip:bob@x"),
        (
            "$avp(d) = \"b.org\"; $avp(d) = \"a.org\"; avp_pushto(\"$ru/domain\", \"$avp(d)/g\")",
            "$ru $(branch(uri)[0])",
            "1 sip:bob@a.org sip:bob@b.org",
        ),
    ] {
        assert_eq!(shown(script, text), expected, "{script}");
    }
}

#[test]
fn what_names_no_avp_is_refused() {
    for call in [
        "avp_delete(\"$ru\")",
        "avp_delete(\"$avp(a)/x\")",
        "avp_copy(\"a\", \"$avp(b)\")",
        "avp_subst(\"$avp(a)\", \"nonsense\")",
        "avp_check(\"$avp(a)\", \"like/x\")",
        "avp_check(\"$avp(a)\", \"re/(\")",
        "avp_op(\"$avp(a)\", \"add/5\")",
        "avp_op(\"$avp(a)\", \"add/i:x\")",
        "avp_pushto(\"$fu\", \"$avp(a)\")",
        "avp_insert(\"$avp(a)\", \"ins\", \"1\")",
    ] {
        assert!(TEST_BED.try_bench(LINES, &format!("route {{ {call}; }}")).is_err(), "{call}");
    }
}

/// The table of AVPs, as OpenSIPS creates it, and another one.
const TABLES: &str = "avp_db_query(\"CREATE TABLE usr_preferences (uuid TEXT DEFAULT '', username TEXT DEFAULT '0', \
     domain TEXT DEFAULT '', attribute TEXT DEFAULT '', type INTEGER DEFAULT 0, value TEXT DEFAULT '')\"); \
     avp_db_query(\"CREATE TABLE other (uuid TEXT DEFAULT '', username TEXT DEFAULT '0', domain TEXT DEFAULT '', \
     attribute TEXT DEFAULT '', type INTEGER DEFAULT 0, value TEXT DEFAULT '')\"); \
     avp_db_query(\"CREATE TABLE subscriber (id TEXT, username TEXT, first_name TEXT, age TEXT)\"); \
     avp_db_query(\"INSERT INTO subscriber VALUES ('u-1', 'bob', 'Robert', '42')\"); \
     avp_db_query(\"INSERT INTO usr_preferences VALUES ('', 'bob', 'a.org', 'fwd', 0, 'sip:x@a.org'), \
     ('', 'bob', 'b.org', 'fwd', 0, 'sip:y@b.org'), ('', 'bob', 'a.org', 'rings', 1, '7'), ('u-1', '0', '', 'fwd', 0, 'u'), \
     ('', '0', 'a.org', 'limit', 1, 'no number'), ('', '0', 'a.org', 'limit', 3, '5')\");";

/// What `text` shows after `script`, which begins with the tables above and the given parameters.
fn kept(parameters: &str, script: &str, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    std::fs::File::create(&path).unwrap();
    let lines =
        format!("{LINES}modparam(\"avpops\", \"db_url\", \"sqlite://{}\")\n{parameters}", path.display());
    let routes = format!(
        "route {{ {TABLES} $ru = \"sip:bob@a.org\"; {script}; $var(rc) = $rc; sl_send_reply(200, \"$var(rc) {text}\"); }}"
    );
    reason(&TEST_BED.bench(&lines, &routes)).trim_start_matches("200 ").to_owned()
}

const SCHEMES: &str = "modparam(\"avpops\", \"db_scheme\", \"name:table=subscriber;uuid_col=id;value_col=first_name\")\n\
     modparam(\"avpops\", \"db_scheme\", \"age:table=subscriber;value_col=age;value_type=integer\")";
const DOMAINS: &str = "modparam(\"avpops\", \"use_domain\", 1)";

#[test]
fn avps_are_loaded_for_whom_the_source_names() {
    for (parameters, script, text, expected) in [
        ("", "avp_db_load(\"$ru\", \"$avp(fwd)\")", "$(avp(fwd)[*])", "1 sip:y@b.org, sip:x@a.org"),
        (DOMAINS, "avp_db_load(\"$ru\", \"$avp(fwd)\")", "$(avp(fwd)[*])", "1 sip:x@a.org"),
        (
            DOMAINS,
            "avp_db_load(\"$ru/username\", \"$avp(fwd)\")",
            "$(avp(fwd)[*])",
            "1 sip:y@b.org, sip:x@a.org",
        ),
        ("", "avp_db_load(\"$ru/domain\", \"$avp(limit)\")", "$(avp(limit)[*])", "1 5"),
        ("", "$avp(id) = \"u-1\"; avp_db_load(\"$avp(id)\", \"$avp(fwd)\")", "$avp(fwd)", "1 u"),
        ("", "avp_db_load(\"u-1\", \"s\")", "$avp(fwd)", "1 u"),
        ("", "avp_db_load(\"$rU/username\", \"i\")", "$avp(rings) $avp(fwd)", "1 7 <null>"),
        (
            "",
            "avp_db_load(\"$ru\", \"a\", , \"p_\")",
            "$avp(p_rings) $avp(p_fwd) $avp(fwd)",
            "1 7 sip:y@b.org <null>",
        ),
        (SCHEMES, "avp_db_load(\"u-1\", \"$avp(n)/$name\")", "$avp(n)", "1 Robert"),
        (SCHEMES, "avp_db_load(\"$ru\", \"$avp(n)/$age\"); $avp(n) = $avp(n) + 1", "$avp(n)", "1 43"),
    ] {
        assert_eq!(kept(parameters, script, text), expected, "{script}");
    }
}

#[test]
fn avps_that_are_not_there_are_not_loaded() {
    for script in [
        "avp_db_load(\"$ru\", \"$avp(none)\")",
        "avp_db_load(\"$ru\", \"$avp(fwd)/other\")",
        "avp_db_load(\"$ru\", \"$avp(fwd)/nosuch\")",
        "avp_db_load(\"$ru\", \"$avp(fwd)\", 7)",
        "avp_db_load(\"$ru\", \"$avp(fwd)/$nosuch\")",
        "avp_db_load(\"$avp(none)\", \"$avp(fwd)\")",
        "avp_db_load(\"nobody/uri\", \"$avp(fwd)\")",
    ] {
        assert_eq!(kept("", script, "$avp(fwd)"), "-1 <null>", "{script}");
    }
}

#[test]
fn avps_are_stored_and_loaded_in_the_same_order() {
    let avps = "$avp(x) = \"one\"; $avp(x) = 2; $avp(y) = \"three\";";
    for (script, text, expected) in [
        (
            "avp_db_store(\"$fu\", \"$avp(x)\"); avp_delete(\"a/g\"); avp_db_load(\"$fu\", \"a\")",
            "$(avp(x)[*]) $avp(y)",
            "1 2, one <null>",
        ),
        (
            "avp_db_store(\"id7\", \"a/other\"); avp_delete(\"a/g\"); avp_db_load(\"id7\", \"a/other\")",
            "$(avp(x)[*]) $avp(y)",
            "1 2, one three",
        ),
        (
            "avp_db_store(\"id7\", \"i\"); avp_delete(\"a/g\"); avp_db_load(\"id7/uuid\", \"a\"); avp_op(\"$avp(x)\", \"add/i:1\")",
            "$avp(x)",
            "1 3",
        ),
        ("avp_db_store(\"$fu\", \"$avp(none)\")", "", "-1 "),
        ("avp_db_store(\"$fu\", \"$avp(x)/nosuch\")", "", "-1 "),
    ] {
        assert_eq!(kept("", &format!("{avps} {script}"), text), expected, "{script}");
    }
}

#[test]
fn avps_are_deleted_from_the_table() {
    let left = "avp_db_query(\"SELECT count(*) FROM usr_preferences\", \"$avp(left)\")";
    for (parameters, script, expected) in [
        ("", "avp_db_delete(\"$ru\", \"$avp(fwd)\")", "1 4"),
        (DOMAINS, "avp_db_delete(\"$ru\", \"$avp(fwd)\")", "1 5"),
        ("", "avp_db_delete(\"$ru\", \"a\")", "1 3"),
        ("", "avp_db_delete(\"$ru/domain\", \"i\")", "1 3"),
        ("", "avp_db_delete(\"$ru\", \"s\")", "1 4"),
        ("", "avp_db_delete(\"$ru\", \"$avp(none)\")", "1 6"),
        ("", "avp_db_delete(\"$ru\", \"a/nosuch\")", "-1 6"),
    ] {
        let script = format!("{script}; $var(code) = $rc; {left}");
        let shown = kept(parameters, &script, "$var(code) $avp(left)");
        assert_eq!(shown, format!("1 {expected}"), "{script}");
    }
}

#[test]
fn what_a_stored_avp_is_must_be_clear_at_the_start() {
    for (parameters, call, problem) in [
        ("", "avp_db_load(\"$ru\", \"x\")", "write `$avp(name)`"),
        ("", "avp_db_load(\"$ru\", $avp(x))", "write it in quotes"),
        ("", "avp_db_load(\"/domain\", \"a\")", "write a variable or a text"),
        (SCHEMES, "avp_db_store(\"$ru\", \"$avp(x)/$name\")", "a scheme says how AVPs are loaded"),
        (SCHEMES, "avp_db_delete(\"$ru\", \"$avp(x)/$name\")", "a scheme says how AVPs are loaded"),
        ("modparam(\"avpops\", \"db_scheme\", \"x:table=y\")", "exit", "value_col is missing"),
        ("modparam(\"avpops\", \"avp_table\", \"no such\")", "exit", "`no such` cannot be the name"),
    ] {
        let reported = TEST_BED
            .try_bench(&format!("{LINES}{parameters}"), &format!("route {{ {call}; }}"))
            .err()
            .unwrap();
        assert!(reported.contains(problem), "{reported}");
    }
}
