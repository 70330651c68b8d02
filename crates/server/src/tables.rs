//! Tables of databases that a module reads whole: after the start, by one process and until it has been read, and again
//! when an operator asks. A start does not wait for the database.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tocsin_db::{Rows, Source, Value};

use crate::databases::{Asker, DatabaseError, DatabaseId};
use crate::module::{Job, Local, SetupError};
use crate::server::Server;
use crate::time::now_ms;
use crate::worker::Worker;

/// Time between two checks whether a table must be read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Milliseconds from one try in vain to the next; doubled each time.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest such time.
const MAX_WAIT_MS: u64 = 30_000;

/// A table of a database.
#[derive(Debug, Clone)]
pub struct Table {
    database: DatabaseId,
    name: String,
}

/// A row by the names of its columns.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl Table {
    /// The table `name` of `database`, as `asker` names it.
    ///
    /// # Errors
    /// The name is not a plain SQL identifier.
    pub fn new(asker: Asker, database: DatabaseId, name: &str) -> Result<Self, SetupError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(asker.wrong(format!("`{name}` cannot be the name of a table")));
        }
        Ok(Self { database, name: name.to_owned() })
    }

    /// All of it, as it is now.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn read(&self, server: &Server) -> Result<Rows, DatabaseError> {
        let query = format!("SELECT * FROM {}", self.name);
        server
            .registered
            .databases
            .query(server.query_reports(), self.database, query.as_bytes(), Source::Plain)
            .await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The rows, by the names of their columns.
pub fn rows(all: &Rows) -> impl ExactSizeIterator<Item = Row<'_>> {
    all.iter().map(|values| Row { columns: all.columns(), values })
}

impl<'a> Row<'a> {
    /// The value in a column; `None` where there is no such column, or NULL in it. Case does not matter, as in SQL.
    pub fn value(&self, column: &str) -> Option<&'a Value> {
        let at = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.values.get(at).filter(|value| !matches!(value, Value::Null))
    }
}

/// A job that calls `read` until it succeeds, or until `is_read` says that there is nothing left to do. `name` is what
/// the log says is being read.
pub fn until_read(
    name: &'static str,
    is_read: impl Fn(&'static Worker) -> bool + 'static,
    read: impl Fn(&'static Worker) -> Local<Result<(), String>> + 'static,
) -> Job {
    let tries =
        Rc::new(Tries { under_way: Cell::new(false), next: Cell::new(0), wait: Cell::new(FIRST_WAIT_MS) });
    let read = Rc::new(read);
    let run = move |worker: &'static Worker| {
        if is_read(worker) || !tries.are_due(now_ms()) {
            return;
        }
        let (tries, read) = (Rc::clone(&tries), Rc::clone(&read));
        tries.under_way.set(true);
        worker.spawn(async move {
            if let Err(problem) = read(worker).await {
                let wait = tries.in_vain(now_ms());
                tracing::error!("{name}: {problem}; the next try is in {} s", wait / 1000);
            }
            tries.under_way.set(false);
        });
    };
    Job { name, every: LOOK_EVERY, run: Rc::new(run) }
}

/// When a process tries again.
#[derive(Debug)]
struct Tries {
    under_way: Cell<bool>,
    next: Cell<u64>,
    wait: Cell<u64>,
}

impl Tries {
    fn are_due(&self, now: u64) -> bool {
        !self.under_way.get() && now >= self.next.get()
    }

    /// One more failed. Returns how many milliseconds there are until the next.
    fn in_vain(&self, now: u64) -> u64 {
        let wait = self.wait.get();
        self.next.set(now + wait);
        self.wait.set((wait * 2).min(MAX_WAIT_MS));
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer() {
        let tries = Tries { under_way: Cell::new(false), next: Cell::new(0), wait: Cell::new(FIRST_WAIT_MS) };
        assert!(tries.are_due(5));
        let waits: Vec<u64> = (0..7).map(|_| tries.in_vain(10)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert!(!tries.are_due(30_009) && tries.are_due(30_010));
        tries.under_way.set(true);
        assert!(!tries.are_due(40_000));
    }

    #[test]
    fn columns_are_found_by_name() {
        let columns = ["Id".to_owned(), "proto".to_owned()];
        let row = Row { columns: &columns, values: &[Value::Int(7), Value::Null] };
        assert_eq!(row.value("id"), Some(&Value::Int(7)));
        assert_eq!((row.value("proto"), row.value("other")), (None, None));
    }
}
