//! TLS domains of a database, beside those of the configuration.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;

use serde_json::{Value, json};
use tocsin_db::{Condition, Insert, Limits, Pool, Source, Unobserved, Update, Url, Value as Column};

use crate::harness::{Authority, MariaDb, PATIENCE, SecureClient, Server, Setup, free_tcp_port, until};

const CONFIG: &str = include_str!("../configs/tls_database.cfg");
/// The columns of the manual.
const TABLE: &str = "CREATE TABLE domains (domain CHAR(64), match_ip_address CHAR(255), \
    match_sip_domain CHAR(255), type INT DEFAULT 1, method CHAR(16) DEFAULT 'SSLv23', verify_cert INT DEFAULT 1, \
    require_cert INT DEFAULT 1, certificate BLOB, pk BLOB, crl_check_all INT DEFAULT 0, crl_dir CHAR(255), \
    ca_list BLOB, ca_dir CHAR(255), cipher_list CHAR(255), dh_params BLOB, ec_curve CHAR(255))";

/// A database by its URL.
struct Database(String);

impl Database {
    /// Makes the table, and the file that it lies in.
    fn create(&self) {
        if let Some(file) = self.0.strip_prefix("sqlite://") {
            OpenOptions::new().create(true).append(true).open(file).unwrap();
        }
        self.ask(TABLE);
    }

    fn ask(&self, statement: &str) {
        self.with(async |pool| {
            pool.query(statement.as_bytes(), Source::Plain, &Unobserved).await.unwrap();
        });
    }

    /// Adds a server domain with the certificate `stem` for connections that ask for `names`.
    fn add(&self, name: &str, names: &str, authority: &Authority, stem: &str) {
        let [certificate, key] = texts(authority, stem);
        let columns = [
            ("domain", Column::from(name)),
            ("match_sip_domain", Column::from(names)),
            ("type", Column::Int(2)),
            ("verify_cert", Column::Int(0)),
            ("certificate", certificate),
            ("pk", key),
        ];
        self.with(async |pool| {
            pool.insert(&Insert { table: "domains", columns: &columns }, &Unobserved).await.unwrap();
        });
    }

    /// Gives a domain the certificate `stem`.
    fn renew(&self, name: &str, authority: &Authority, stem: &str) {
        let [certificate, key] = texts(authority, stem);
        let columns = [("certificate", certificate), ("pk", key)];
        let conditions = [Condition::is("domain", name)];
        let update = Update { table: "domains", columns: &columns, conditions: &conditions };
        self.with(async |pool| assert_eq!(pool.update(&update, &Unobserved).await, Ok(1)));
    }

    fn with(&self, work: impl AsyncFnOnce(&Pool)) {
        let pool = Pool::new(Url::parse(&self.0).unwrap(), Limits { budget: PATIENCE, ..Limits::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work(&pool));
    }
}

/// The certificate `stem` and its key.
fn texts(authority: &Authority, stem: &str) -> [Column; 2] {
    ["pem", "key"].map(|end| Column::Blob(fs::read(authority.path(&format!("{stem}.{end}"))).unwrap()))
}

/// A server whose database may not be there yet.
struct House {
    server: Server,
    authority: Authority,
    database: Database,
    tls: SocketAddr,
}

impl House {
    /// A server that starts when `prepare` has done its work with a file of its own.
    fn start(prepare: impl FnOnce(&Database, &Authority)) -> Self {
        Self::start_with("sqlite://@DIR@/tls.db", prepare)
    }

    /// The same with the database at `url`.
    fn start_with(url: &str, prepare: impl FnOnce(&Database, &Authority)) -> Self {
        let authority = Authority::new();
        authority.issue("script", ["script.example"]);
        for stem in ["first", "second"] {
            authority.issue(stem, [&format!("{stem}.example")]);
        }
        let tls = SocketAddr::from(([127, 0, 0, 1], free_tcp_port()));
        let setup = Setup::new(CONFIG).put("TLS", tls.port()).put("CERTS", authority.dir().display());
        let url = url.replace("@DIR@", setup.dir().to_str().unwrap());
        let setup = setup.put("URL", &url);
        let database = Database(url);
        prepare(&database, &authority);
        Self { server: setup.start(), authority, database, tls }
    }

    fn client(&self, name: &str) -> SecureClient {
        SecureClient::new(self.tls).server_name(name)
    }

    /// Who shows a certificate to a client that asks for `name`.
    fn subject(&self, name: &str) -> String {
        self.client(name).open().1.subject()
    }

    fn until_logged(&self, text: &str) {
        until(&format!("the log says {text}"), || self.server.log().contains(text).then_some(()));
    }

    fn reload(&self) -> Value {
        self.server.mi().answer("tls_reload", Value::Null)
    }
}

#[test]
fn a_domain_of_the_database_serves_its_certificate() {
    let house = House::start(|database, authority| {
        database.create();
        database.add("one", "one.example, *.one.example", authority, "first");
    });
    house.until_logged("tls_mgm: 1 TLS domains of the database are in force");
    // Both workers take it up.
    for name in ["one.example", "a.one.example", "one.example"] {
        assert_eq!(house.subject(name), "CN = first.example");
    }
    assert_eq!(house.subject("script.example"), "CN = script.example");

    house.authority.issue("script", ["renewed.example"]);
    house.database.renew("one", &house.authority, "second");
    house.database.add("two", "two.example", &house.authority, "first");
    assert_eq!(house.subject("one.example"), "CN = first.example", "nothing is read before it is asked for");
    assert_eq!(house.reload()["result"], "OK");
    for _ in 0..3 {
        assert_eq!(house.subject("one.example"), "CN = second.example");
        assert_eq!(house.subject("two.example"), "CN = first.example");
        assert_eq!(house.subject("script.example"), "CN = renewed.example");
    }
    let listed = house.server.mi().call("tls_list", Value::Null);
    let rows = listed["Domains"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| [&row["name"], &row["type"], &row["private_key"]]).collect();
    let (server, column) = (json!("server"), json!("column pk"));
    let file = json!(house.authority.path("script.key").to_str().unwrap());
    assert_eq!(
        names,
        [
            [&json!("script"), &server, &file],
            [&json!("one"), &server, &column],
            [&json!("two"), &server, &column]
        ]
    );
    house.server.stop();
}

#[test]
fn mariadb_has_domains_too() {
    let mariadb = MariaDb::start();
    let house = House::start_with(&mariadb.url(), |database, authority| {
        database.create();
        database.add("one", "one.example", authority, "first");
    });
    house.until_logged("tls_mgm: 1 TLS domains of the database are in force");
    assert_eq!(house.subject("one.example"), "CN = first.example");
    house.database.renew("one", &house.authority, "second");
    house.database.ask("INSERT INTO domains (domain, type) VALUES ('two', 3)");
    let answer = house.reload();
    let problem = "table domains: TLS domain two: type: `3` is neither 1 (client) nor 2 (server)";
    assert_eq!(answer["error"]["message"], problem);
    house.database.ask("DELETE FROM domains WHERE type = 3");
    assert_eq!(house.reload()["result"], "OK");
    assert_eq!(house.subject("one.example"), "CN = second.example");
    house.server.stop();
}

#[test]
fn a_row_that_is_broken_changes_nothing() {
    let house = House::start(|database, authority| {
        database.create();
        database.add("one", "one.example", authority, "first");
        database.add("two", "two.example", authority, "first");
    });
    house.until_logged("tls_mgm: 2 TLS domains of the database are in force");
    house.authority.issue("script", ["renewed.example"]);
    house.database.renew("one", &house.authority, "second");
    house.database.ask("UPDATE domains SET pk = 'no key' WHERE domain = 'two'");
    let answer = house.reload();
    let problem = "TLS domain two: column pk: no private key in it (one under a password cannot be read)";
    assert_eq!((&answer["error"]["code"], &answer["error"]["message"]), (&json!(500), &json!(problem)));
    for name in ["one.example", "two.example"] {
        assert_eq!(house.subject(name), "CN = first.example");
    }
    assert_eq!(house.subject("script.example"), "CN = script.example");
    house.database.ask("DELETE FROM domains WHERE domain = 'two'");
    assert_eq!(house.reload()["result"], "OK");
    assert_eq!(house.subject("one.example"), "CN = second.example");
    assert_eq!(house.subject("script.example"), "CN = renewed.example");
    house.client("two.example").refused();
    house.until_logged("and the name two.example");
    house.server.stop();
}

#[test]
fn a_database_may_come_later() {
    let house = House::start(|_, _| ());
    assert_eq!(house.subject("script.example"), "CN = script.example");
    house.client("one.example").refused();
    house.until_logged("and the name one.example; the TLS domains of the database have not been read yet");
    house.until_logged("; the next try is in 1 s");
    house.database.create();
    house.database.add("one", "one.example", &house.authority, "first");
    house.until_logged("tls_mgm: 1 TLS domains of the database are in force");
    assert_eq!(house.subject("one.example"), "CN = first.example");
    house.server.stop();
}
