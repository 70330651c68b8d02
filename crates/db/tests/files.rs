//! A pool against files of SQLite: results, errors, limits, and what is told to an observer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs::File;
use std::time::Duration;

use tempfile::TempDir;
use tocsin_db::{
    Condition, Delete, Finished, IDLE_TIME, Insert, Limits, Observer, Pool, QueryError, Select, Source,
    Unobserved, Update, Url, Value,
};

/// Counts for ever.
const ENDLESS: &[u8] =
    b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

struct Bench {
    pool: Pool,
    dir: TempDir,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("x.db")).unwrap();
        let url = format!("sqlite://{}", dir.path().join("x.db").display());
        Self { pool: Pool::new(Url::parse(&url).unwrap(), limits), dir }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

async fn query(pool: &Pool, text: &str) -> Result<tocsin_db::Rows, QueryError> {
    pool.query(text.as_bytes(), Source::Plain, &Unobserved).await
}

/// What an observer was told, in short.
#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

impl Observer for Notes {
    fn finished(&self, finished: &Finished<'_>) {
        let Finished { source, text, error, .. } = finished;
        let error = error.map(ToString::to_string).unwrap_or_default();
        self.0.borrow_mut().push(format!("{source:?} {text} {error}"));
    }

    fn connected(&self, _: &Url, connected: bool) {
        self.0.borrow_mut().push(format!("connected {connected}"));
    }
}

#[test]
fn rows_go_in_and_come_out() {
    let Bench { pool, dir: _dir } = Bench::new(Limits::default());
    run(async {
        query(&pool, "CREATE TABLE t (name TEXT, n INTEGER, r REAL, b BLOB)").await.unwrap();
        for (name, n) in [("it's", 2), ("z\"`", 1)] {
            let columns = [
                ("name", Value::from(name)),
                ("n", Value::Int(n)),
                ("r", Value::Double(0.5)),
                ("b", Value::Blob(vec![0, 255])),
            ];
            pool.insert(&Insert { table: "t", columns: &columns }, &Unobserved).await.unwrap();
        }
        let select = Select { table: "t", columns: &["name", "n"], order: Some("n"), conditions: &[] };
        let rows = pool.select(&select, &Unobserved).await.unwrap();
        assert_eq!(rows.columns(), ["name", "n"]);
        let rows: Vec<_> = rows.iter().map(<[Value]>::to_vec).collect();
        assert_eq!(rows, [[Value::from("z\"`"), Value::Int(1)], [Value::from("it's"), Value::Int(2)]]);

        let second = [Condition::is("name", "it's")];
        let columns = [("r", Value::Null)];
        let update = Update { table: "t", columns: &columns, conditions: &second };
        assert_eq!(pool.update(&update, &Unobserved).await, Ok(1));
        let without = [Condition::is("r", Value::Null)];
        let select = Select { table: "t", conditions: &without, ..Select::default() };
        let rows = pool.select(&select, &Unobserved).await.unwrap();
        let row: Vec<_> = rows.iter().next().unwrap().to_vec();
        assert_eq!(row, [Value::from("it's"), Value::Int(2), Value::Null, Value::Blob(vec![0, 255])]);

        let delete = Delete { table: "t", conditions: &[Condition::above("n", 1)] };
        assert_eq!(pool.delete(&delete, &Unobserved).await, Ok(1));
        let rows = pool.select(&select, &Unobserved).await.unwrap();
        assert!(rows.is_empty() && rows.is_result());
        assert!(!query(&pool, "DELETE FROM t").await.unwrap().is_result());
        assert_eq!(pool.idle(), 1, "one connection served all");
    });
}

#[test]
fn whether_a_statement_without_rows_asked_for_some_is_known() {
    let Bench { pool, dir: _dir } = Bench::new(Limits::default());
    run(async {
        query(&pool, "CREATE TABLE t (n INTEGER)").await.unwrap();
        for (text, asks) in [
            ("WITH x(n) AS (SELECT 1) INSERT INTO t SELECT n FROM x", false),
            ("WITH x(n) AS (SELECT 1) SELECT n FROM x WHERE n = 2", true),
            ("WITH x(n) AS (SELECT 1) DELETE FROM t WHERE n IN (SELECT n FROM x) RETURNING n", true),
            ("PRAGMA user_version = 3", false),
            ("PRAGMA table_info(nosuch)", true),
            ("PRAGMA user_version", true),
            ("SELECT n FROM t", true),
            ("VACUUM", false),
            ("-- nothing", false),
        ] {
            assert_eq!(query(&pool, text).await.unwrap().is_result(), asks, "{text}");
        }
        let rows = query(&pool, "PRAGMA user_version").await.unwrap();
        assert_eq!(rows.iter().next(), Some(&[Value::Int(3)][..]));
        assert_eq!(query(&pool, "SELECT count(*) FROM t").await.unwrap().len(), 1, "nothing ran twice");
    });
}

#[test]
fn a_query_that_is_wrong_leaves_its_connection() {
    let Bench { pool, dir: _dir } = Bench::new(Limits::default());
    run(async {
        let error = query(&pool, "SELECT nosuch").await.unwrap_err();
        assert_eq!(error, QueryError::Server { code: "1".into(), text: "no such column: nosuch".into() });
        assert_eq!(pool.idle(), 1);
        let notes = Notes::default();
        let error = pool.query(b"SELECT '\xff'", Source::Plain, &notes).await.unwrap_err();
        assert_eq!(error, QueryError::NotText);
        let error = pool.query(b"SELECT 1; SELECT 2", Source::Plain, &notes).await.unwrap_err();
        assert_eq!(error, QueryError::Several);
        assert_eq!(notes.0.borrow().len(), 2, "they are told, too");
    });
}

#[test]
fn a_query_that_takes_too_long_is_stopped() {
    let limits = Limits { budget: Duration::from_millis(50), ..Limits::default() };
    let Bench { pool, dir: _dir } = Bench::new(limits);
    run(async {
        let notes = Notes::default();
        let error = pool.query(ENDLESS, Source::Plain, &notes).await.unwrap_err();
        assert_eq!(error, QueryError::TimedOut(Duration::from_millis(50)));
        assert_eq!(pool.idle(), 0, "its connection is closed");
        assert!(query(&pool, "SELECT 1").await.is_ok(), "others are served");
        assert!(notes.0.borrow()[0].ends_with("no answer within 50 ms"));
    });
}

#[test]
fn whoever_gives_up_takes_the_connection_along() {
    let Bench { pool, dir: _dir } = Bench::new(Limits::default());
    run(async {
        let notes = Notes::default();
        let asked = pool.query(ENDLESS, Source::Asynchronous, &notes);
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
        assert_eq!(pool.idle(), 0);
        let told = notes.0.borrow();
        assert!(told[0].starts_with("Asynchronous WITH") && told[0].ends_with("given up by the caller"));
    });
}

#[test]
fn connections_that_nobody_needs_are_closed_but_for_one() {
    for (idle_time, left) in [(IDLE_TIME, 3), (Duration::ZERO, 1)] {
        let Bench { pool, dir: _dir } = Bench::new(Limits { idle_time, ..Limits::default() });
        run(async {
            let asked = || query(&pool, "SELECT 1");
            let (a, b, c) = tokio::join!(asked(), asked(), asked());
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
            assert_eq!(pool.idle(), 3);
            pool.close_idle();
            assert_eq!(pool.idle(), left);
            pool.close_idle();
            assert_eq!(pool.idle(), left);
        });
    }
}

#[test]
fn results_have_their_limits() {
    let limits = Limits { rows: 3, bytes: 4096, ..Limits::default() };
    let Bench { pool, dir: _dir } = Bench::new(limits);
    let numbers = |most: u32| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {most}) SELECT i FROM n"
        )
    };
    run(async {
        assert_eq!(query(&pool, &numbers(3)).await.unwrap().len(), 3);
        let error = query(&pool, &numbers(4)).await.unwrap_err();
        assert_eq!(error, QueryError::TooLarge("more than 3 rows".into()));
        let error = query(&pool, "SELECT zeroblob(5000)").await.unwrap_err();
        assert_eq!(error, QueryError::TooLarge("more than 4096 bytes".into()));
        assert_eq!(pool.idle(), 0);
    });
}

#[test]
fn queries_wait_their_turn_up_to_a_limit() {
    let limits =
        Limits { connections: 1, waiting: 1, budget: Duration::from_millis(200), ..Limits::default() };
    let Bench { pool, dir: _dir } = Bench::new(limits);
    run(async {
        let slow = pool.query(ENDLESS, Source::Plain, &Unobserved);
        let (slow, waited, refused) =
            tokio::join!(biased; slow, query(&pool, "SELECT 1"), query(&pool, "SELECT 2"));
        assert_eq!(slow.unwrap_err(), QueryError::TimedOut(Duration::from_millis(200)));
        // It waited as long as it might, or was served in the moment after.
        assert!(matches!(waited, Ok(_) | Err(QueryError::TimedOut(_))), "{waited:?}");
        assert_eq!(refused.unwrap_err(), QueryError::Busy(1));
        assert!(query(&pool, "SELECT 3").await.is_ok(), "nobody holds a place for ever");
    });
}

#[test]
fn a_database_that_is_not_there_is_refused_at_once_and_told_once() {
    let Bench { pool, dir } = Bench::new(Limits::default());
    std::fs::remove_file(dir.path().join("x.db")).unwrap();
    run(async {
        let notes = Notes::default();
        for _ in 0..3 {
            let error = pool.query(b"SELECT 1", Source::Plain, &notes).await.unwrap_err();
            assert!(matches!(error, QueryError::Refused(_)), "{error:?}");
        }
        let told = notes.0.borrow().iter().filter(|note| *note == "connected false").count();
        assert_eq!(told, 1);
        File::create(dir.path().join("x.db")).unwrap();
        while pool.query(b"SELECT 1", Source::Plain, &notes).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(notes.0.borrow().iter().any(|note| note == "connected true"));
    });
}
