//! `opensips-cli diagnose`: what an operator sees when something is slow.

use serde_json::json;

use crate::harness::{Diagnose, MariaDb, Phone, Request, Server, Setup, Zone, until};

const CONFIG: &str = include_str!("../configs/diagnose.cfg");

fn subscribed(server: &Server) -> bool {
    let listed = server.mi().call("subscribers_list", json!(["E_CORE_THRESHOLD"]));
    listed["Event"]["Subscribers"].as_array().is_some_and(|rows| {
        rows.iter().any(|row| row["socket"].as_str().unwrap().starts_with("tcp:127.0.0.1:"))
    })
}

#[test]
fn diagnose_shows_slow_messages_and_slow_names() {
    let phone = Phone::new();
    let names = Zone::default().address("slow.test", 1).slow("slow.test").serve();
    let server = Setup::new(CONFIG).put("DNS", names.address()).start();
    let sip = Diagnose::start(&server, &["sip"]);
    sip.until_shows("SIP Processing [OK]");
    until("it is subscribed", || subscribed(&server).then_some(()));
    let request = Request::new(&phone, "OPTIONS", &format!("sip:slow@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
    sip.until_shows("SIP Processing [WARNING]");
    sip.until_shows(&format!("OPTIONS sip:slow@{}, Call-ID: {} (", server.address(), request.call_id));
    sip.until_shows(" / 1 SIP messages (100%) exceeded threshold");
    sip.interrupt();

    let dns = Diagnose::start(&server, &["dns"]);
    dns.until_shows("DNS Queries [OK]");
    until("it is subscribed", || subscribed(&server).then_some(()));
    let request = Request::new(&phone, "OPTIONS", &format!("sip:relay@slow.test:{}", phone.port()));
    phone.send(server.address(), request.text());
    dns.until_shows("DNS Queries [WARNING]");
    dns.until_shows("            slow.test (1");
    dns.until_shows("slow.test (1 times exceeded threshold)");
    dns.interrupt();
    server.stop();
}

#[test]
fn diagnose_shows_a_slow_query() {
    let phone = Phone::new();
    let names = Zone::default().serve();
    let database = format!(
        "loadmodule \"db_mysql.so\"\nmodparam(\"db_mysql\", \"exec_query_threshold\", 50000)\n\
         loadmodule \"avpops.so\"\nmodparam(\"avpops\", \"db_url\", \"{}\")\n\
         route {{",
        MariaDb::shared().url()
    );
    let query = "route {\n\tif ($rU == \"query\") avp_db_query(\"SELECT SLEEP(0.2)\");";
    let config = CONFIG.replacen("route {", query, 1).replacen("route {", &database, 1);
    let server = Setup::new(&config).put("DNS", names.address()).start();
    let sql = Diagnose::start(&server, &["sql"]);
    sql.until_shows("SQL Queries [OK]");
    until("it is subscribed", || subscribed(&server).then_some(()));
    let request = Request::new(&phone, "OPTIONS", &format!("sip:query@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
    sql.until_shows("SQL Queries [WARNING]");
    sql.until_shows("SELECT SLEEP(0.2) (");
    sql.interrupt();
    server.stop();
}

#[test]
fn diagnose_shows_memory_load_and_the_overview() {
    let names = Zone::default().serve();
    let server = Setup::new(CONFIG).put("DNS", names.address()).start();
    for (words, texts) in [
        (&["memory"][..], &["Shared Memory Status", "no issues detected", "Private Memory Status"][..]),
        (&["load", "udp"], &["SIP UDP Interface #1", "Process "]),
        (&["nosql"], &["NoSQL (CacheDB) Queries [OK]", "0 / 0 queries (0%) exceeded threshold"]),
        (
            &[],
            &[
                "OpenSIPS Overview",
                "Worker Capacity: OK",
                "Shared Memory:   OK",
                "SIP Processing:  OK",
                "DNS Queries:     OK",
            ],
        ),
    ] {
        let run = Diagnose::start(&server, words);
        texts.iter().for_each(|text| run.until_shows(text));
        run.interrupt();
    }
    server.stop();
}
