//! Domains of a database, in a file of SQLite.

use std::path::PathBuf;

use tocsin_db::{Insert, Limits, Pool, Source, Unobserved, Url, Value as Column};

use super::*;

/// A database with the columns of the manual, and `modparam` lines that name it.
struct Database {
    file: PathBuf,
}

impl Database {
    const TABLE: &str = "CREATE TABLE tls_mgm (id INTEGER PRIMARY KEY, domain TEXT, match_ip_address TEXT, \
        match_sip_domain TEXT, type INTEGER DEFAULT 1, method TEXT, verify_cert INTEGER, require_cert INTEGER, \
        certificate BLOB, private_key BLOB, crl_check_all INTEGER, crl_dir TEXT, ca_list BLOB, ca_dir TEXT, \
        cipher_list TEXT, dh_params BLOB, ec_curve TEXT)";

    fn new(pki: &Pki) -> Self {
        let file = pki.path().join("tls.db");
        std::fs::File::create(&file).unwrap();
        let database = Self { file };
        database.ask(Self::TABLE);
        database
    }

    fn lines(&self) -> String {
        let file = self.file.display();
        format!("loadmodule \"db_sqlite.so\"\nmodparam(\"tls_mgm\", \"db_url\", \"sqlite://{file}\")\n")
    }

    fn ask(&self, statement: &str) {
        let pool = self.pool();
        run(pool.query(statement.as_bytes(), Source::Plain, &Unobserved)).unwrap();
    }

    /// Adds a domain with the certificate `stem`, its key, and more columns.
    fn add(&self, pki: &Pki, name: &str, side: i64, stem: &str, more: &[(&str, Column)]) {
        let text = |end| Column::Blob(std::fs::read(pki.path().join(format!("{stem}.{end}"))).unwrap());
        let mut columns = vec![
            ("domain", Column::from(name)),
            ("type", Column::Int(side)),
            ("verify_cert", Column::Int(0)),
            ("certificate", text("pem")),
            ("private_key", text("key")),
        ];
        columns.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        columns.extend(more.iter().cloned());
        run(self.pool().insert(&Insert { table: "tls_mgm", columns: &columns }, &Unobserved)).unwrap();
    }

    fn pool(&self) -> Pool {
        let url = Url::parse(&format!("sqlite://{}", self.file.display())).unwrap();
        Pool::new(url, Limits::default())
    }
}

#[test]
fn domains_of_a_database_stand_beside_those_of_the_script() {
    let pki = Pki::new();
    for stem in ["server", "db", "new"] {
        pki.issue(stem, &format!("{stem}.example"), |_| {});
    }
    let database = Database::new(&pki);
    let named = ("match_sip_domain", Column::from("db.example"));
    database.add(&pki, "d", 2, "db", std::slice::from_ref(&named));
    // A client may have the name of a server.
    let trusted = Column::Blob(pki.issuer.pem().into_bytes());
    database.add(&pki, "d", 1, "db", &[("ca_list", trusted), ("verify_cert", Column::Int(1))][..]);
    let lines = loaded(&[server(&[("verify_cert", "0"), ("match_sip_domain", "server.example")])]);
    let bench = pki.start(&(lines + &database.lines())).unwrap();
    let store = bench.worker.server.state::<Rc<Store>>();
    let shown = |host| shake(store, host).map(|(client, _)| value_of("tls_peer_subject_cn", &client));

    let refused = store.server(address(), Some("db.example")).unwrap_err();
    assert!(
        refused.to_string().ends_with("the TLS domains of the database have not been read yet"),
        "{refused}"
    );
    assert!(store.is_waiting() && store.server(address(), Some("server.example")).is_ok());
    assert_eq!(run(store.read_database(bench.worker.server)), Ok(2));
    assert!(!store.is_waiting());
    assert_eq!(shown("db.example"), Ok(Value::from("db.example")));
    assert_eq!(shown("server.example"), Ok(Value::from("server.example")));
    let refused = store.server(address(), Some("else.example")).unwrap_err();
    assert!(matches!(refused, NoDomain::Server { .. }), "{refused}");
    let names: Vec<_> = store.domains().iter().map(|domain| domain.name.clone()).collect();
    assert_eq!(names, ["s", "d", "d"]);

    database.ask("DELETE FROM tls_mgm WHERE type = 2");
    database.add(&pki, "n", 2, "new", &[named]);
    pki.issue("server", "renewed.example", |_| {});
    assert_eq!(shown("db.example"), Ok(Value::from("db.example")), "nobody has asked for what is new");
    assert_eq!(reload(&bench), Ok(Json::from("OK")));
    assert_eq!(shown("db.example"), Ok(Value::from("new.example")));
    assert_eq!(shown("server.example"), Ok(Value::from("renewed.example")));
}

#[test]
fn a_row_that_cannot_be_used_changes_nothing() {
    let pki = Pki::new();
    pki.issue("server", "one.example", |_| {});
    pki.issue("other", "other.example", |_| {});
    let database = Database::new(&pki);
    database.add(&pki, "d", 2, "server", &[]);
    let bench = pki.start(&(loaded(&[client(&[("verify_cert", "0")])]) + &database.lines())).unwrap();
    let store = bench.worker.server.state::<Rc<Store>>();
    run(store.read_database(bench.worker.server)).unwrap();
    let shown = || value_of("tls_peer_subject_cn", &shake(store, "x.example").unwrap().0);
    let key = std::fs::read_to_string(pki.path().join("other.key")).unwrap();
    for (change, problem) in [
        ("UPDATE tls_mgm SET type = 0".to_owned(), "table tls_mgm: TLS domain d: type: `0` is neither 1"),
        ("UPDATE tls_mgm SET type = 2, method = 'x'".to_owned(), "table tls_mgm: TLS domain d: method: `x`"),
        (
            format!("UPDATE tls_mgm SET method = NULL, private_key = '{key}'"),
            "TLS domain d: column private_key: this key is not the one of the certificate column certificate",
        ),
        (
            "UPDATE tls_mgm SET certificate = 'x'".to_owned(),
            "TLS domain d: column certificate: no certificate in it",
        ),
        ("UPDATE tls_mgm SET ca_dir = '/no/such'".to_owned(), "TLS domain d: /no/such: No such file"),
        (
            "UPDATE tls_mgm SET domain = 'c', type = 1".to_owned(),
            "TLS domain c: the configuration defines a client domain of this name",
        ),
        ("ALTER TABLE tls_mgm RENAME TO other".to_owned(), "table tls_mgm: "),
    ] {
        pki.issue("server", "two.example", |_| {});
        database.ask(&change);
        let cause = reload(&bench).unwrap_err();
        assert!(cause.code == 500 && cause.message.starts_with(problem), "{change}: {cause}");
        assert_eq!(shown(), Value::from("one.example"), "{change}");
    }
    for statement in ["DROP TABLE other", Database::TABLE] {
        database.ask(statement);
    }
    assert_eq!(reload(&bench), Ok(Json::from("OK")));
    assert!(store.server(address(), None).is_err(), "an empty table has no domain");
}

#[test]
fn a_table_without_a_column_is_refused() {
    let pki = Pki::new();
    pki.issue("server", "one.example", |_| {});
    let database = Database::new(&pki);
    database.add(&pki, "d", 2, "server", &[]);
    for (column, parameter) in [("domain", "domain_col"), ("ec_curve", "ec_curve_col"), ("type", "")] {
        database.ask(&format!("ALTER TABLE tls_mgm RENAME COLUMN {column} TO other"));
        let bench = pki.start(&(loaded(&[]) + &database.lines())).unwrap();
        let store = bench.worker.server.state::<Rc<Store>>();
        let cause = run(store.read_database(bench.worker.server)).unwrap_err().to_string();
        assert!(cause.starts_with(&format!("table tls_mgm: it has no column `{column}`")), "{cause}");
        assert!(cause.contains(parameter) && store.is_waiting(), "{cause}");
        database.ask(&format!("ALTER TABLE tls_mgm RENAME COLUMN other TO {column}"));
    }
}

#[test]
fn many_domains_are_more_than_one_result() {
    let pki = Pki::new();
    pki.issue("server", "one.example", |_| {});
    let database = Database::new(&pki);
    let padding = format!("{}{}", pki.issuer.pem(), "# \n".repeat(100_000));
    for name in ["a", "b", "c", "d"] {
        database.add(&pki, name, 2, "server", &[("ca_list", Column::Blob(padding.clone().into_bytes()))]);
    }
    let bench = pki.start(&(loaded(&[]) + &database.lines())).unwrap();
    let store = bench.worker.server.state::<Rc<Store>>();
    assert_eq!(run(store.read_database(bench.worker.server)), Ok(4));
    assert!(store.server(address(), None).is_ok());
}
