//! AVPs that a MariaDB table keeps for users: stored, loaded and deleted by scripts.

use crate::harness::{MariaDb, Phone, Request, Server, Setup};

const CONFIG: &str = include_str!("../configs/stored_avps.cfg");
/// The table as OpenSIPS 3.4 creates it.
const TABLES: &str = "CREATE TABLE usr_preferences (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, \
     uuid CHAR(64) DEFAULT '' NOT NULL, username CHAR(64) DEFAULT 0 NOT NULL, domain CHAR(64) DEFAULT '' NOT NULL, \
     attribute CHAR(32) DEFAULT '' NOT NULL, type INT(11) DEFAULT 0 NOT NULL, value CHAR(128) DEFAULT '' NOT NULL, \
     last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL); \
     CREATE TABLE people (login CHAR(64), first_name CHAR(64)); INSERT INTO people VALUES ('caller', 'Alice');";

/// The code and the AVPs after what the script does for `user`.
fn ask(server: &Server, user: &str) -> (i64, String) {
    let phone = Phone::new();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
    let reply = phone.expect_status(200);
    let header = |name: &str| reply.header(name).unwrap().to_owned();
    (header("X-Code").parse().unwrap(), header("X-Avps"))
}

#[test]
fn avps_of_users_are_kept_in_mariadb() {
    let mariadb = MariaDb::start();
    mariadb.client(&format!("USE osips; {TABLES}"));
    let server = Setup::new(CONFIG).put("URL", mariadb.url()).start();
    assert_eq!(ask(&server, "load"), (-1, "<null> <null> <null>".to_owned()));
    assert_eq!(ask(&server, "store").0, 1);
    let rows = mariadb.client(
        "SELECT username, domain, attribute, type, value FROM osips.usr_preferences ORDER BY attribute",
    );
    assert_eq!(rows, "caller\t127.0.0.1\tfwd\t0\tsip:voicemail@example.com\ncaller\t127.0.0.1\trings\t1\t7");
    assert_eq!(ask(&server, "load"), (1, "sip:voicemail@example.com 7 <null>".to_owned()));
    assert_eq!(ask(&server, "scheme"), (1, "<null> <null> Alice".to_owned()));
    assert_eq!(ask(&server, "quote"), (-1, "<null> <null> <null>".to_owned()), "a value is never SQL");
    assert_eq!(ask(&server, "delete").0, 1);
    assert_eq!(ask(&server, "load"), (1, "<null> 7 <null>".to_owned()));
    server.stop();
}
