//! A query that nobody waits for any more does not run on. A test of its own, as it counts the threads of its process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::time::{Duration, Instant};

use tocsin_db::{Limits, Pool, QueryError, Source, Unobserved, Url};

/// Threads of the library in this process.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sqlx-sqlite")).count()
}

#[test]
fn an_endless_query_ends_with_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("x.db")).unwrap();
    let url = Url::parse(&format!("sqlite://{}", dir.path().join("x.db").display())).unwrap();
    let budget = Duration::from_millis(50);
    let pool = Pool::new(url, Limits { budget, ..Limits::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(pool.query(b"SELECT 1", Source::Plain, &Unobserved).await.is_ok());
        assert_eq!(threads(), 1, "the query has a thread to itself");
        let endless =
            b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let error = pool.query(endless, Source::Plain, &Unobserved).await.unwrap_err();
        assert_eq!(error, QueryError::TimedOut(budget));
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while threads() > 0 {
        assert!(Instant::now() < deadline, "the query runs on");
        std::thread::yield_now();
    }
}
