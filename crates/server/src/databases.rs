//! The databases that modules use. A module that speaks to a kind of database offers itself as an [`Engine`]; one that
//! needs a database names its URL. Once all modules have started, each URL is given its engine, so the order in which a
//! configuration loads them does not matter. Every process has connections of its own.
//!
//! A start does not need the databases to be up: a query to one that is down fails at once, and the log says so.

use std::fmt;
use std::rc::Rc;

use thiserror::Error;
use tocsin_db::{Finished, Limits, Observer, Pool, QueryError, Rows, Scheme, Source, Url};
use tocsin_event::Events;

use crate::core_statistics::CoreCounters;
use crate::setup_error::SetupError;
use crate::statistics::Statistics;

/// What queries are counted and reported with.
#[derive(Debug, Clone, Copy)]
pub struct QueryReports<'a> {
    /// The Event Interface.
    pub events: &'a Events,
    /// Statistics.
    pub statistics: &'a Statistics,
    /// The counters of queries among them.
    pub counters: &'a CoreCounters,
}

/// What a module that speaks to databases does for those who use them.
pub trait Engine {
    /// Which URLs are its own.
    fn scheme(&self) -> Scheme;

    /// How much a database may cost.
    fn limits(&self) -> Limits;

    /// A query ended.
    fn finished(&self, reports: QueryReports<'_>, finished: &Finished<'_>);

    /// The connection of this process was lost (`false`), or is there again.
    fn connected(&self, reports: QueryReports<'_>, url: &Url, connected: bool) {
        let _ = (reports, url, connected);
    }
}

/// A value of a module's parameter.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The module.
    pub module: &'static str,
    /// The parameter.
    pub parameter: &'static str,
    /// Which of its values, from 0.
    pub nth: usize,
}

impl Asker {
    /// An error about this value.
    pub fn wrong(&self, problem: impl fmt::Display) -> SetupError {
        let Self { module, parameter, nth } = *self;
        SetupError::Value { module, name: parameter, nth, problem: problem.to_string() }
    }
}

/// One of the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseId(usize);

/// Why a query was not asked or has no result.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// There is no database of this identity.
    #[error("no such database")]
    Unknown,
    /// The query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// All databases that modules named.
#[derive(Default)]
pub struct Databases {
    engines: Vec<Rc<dyn Engine>>,
    wanted: Vec<(Asker, Url)>,
    open: Vec<(Pool, Rc<dyn Engine>)>,
}

impl fmt::Debug for Databases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.wanted.iter().map(|(_, url)| url)).finish()
    }
}

impl Databases {
    /// A module can speak to a kind of database.
    pub fn offer(&mut self, engine: Rc<dyn Engine>) {
        self.engines.push(engine);
    }

    /// A module needs this database.
    ///
    /// # Errors
    /// The text is no URL of a database.
    pub fn want(&mut self, asker: Asker, url: &str) -> Result<DatabaseId, SetupError> {
        let url = Url::parse(url).map_err(|problem| asker.wrong(format!("the value {problem}")))?;
        let known = self.wanted.iter().position(|(_, wanted)| *wanted == url);
        Ok(DatabaseId(known.unwrap_or_else(|| {
            self.wanted.push((asker, url));
            self.wanted.len() - 1
        })))
    }

    /// Gives each URL its engine. Nothing is connected.
    ///
    /// # Errors
    /// No loaded module speaks to a database that one of them needs.
    pub(crate) fn assign(&mut self) -> Result<(), (Asker, SetupError)> {
        self.open.clear();
        for (asker, url) in &self.wanted {
            let scheme = url.scheme();
            let Some(engine) = self.engines.iter().find(|engine| engine.scheme() == scheme) else {
                let name = scheme.name();
                let problem = format!("{url}: nothing speaks to {name}: load the module db_{name}");
                return Err((*asker, asker.wrong(problem)));
            };
            self.open.push((Pool::new(url.clone(), engine.limits()), Rc::clone(engine)));
        }
        Ok(())
    }

    /// Closes connections of this process that nobody needs. To be called from time to time.
    pub(crate) fn close_idle(&self) {
        self.open.iter().for_each(|(pool, _)| pool.close_idle());
    }

    /// Asks a query as it is written, over a connection of this process.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn query(
        &self,
        reports: QueryReports<'_>,
        database: DatabaseId,
        text: &[u8],
        source: Source,
    ) -> Result<Rows, DatabaseError> {
        let (pool, engine) = self.open.get(database.0).ok_or(DatabaseError::Unknown)?;
        Ok(pool.query(text, source, &Watch { reports, engine: &**engine }).await?)
    }

    /// The connections of this process to a database, and what hears of queries over them.
    pub fn pool<'a>(
        &'a self,
        reports: QueryReports<'a>,
        database: DatabaseId,
    ) -> Option<(&'a Pool, impl Observer + use<'a>)> {
        let (pool, engine) = self.open.get(database.0)?;
        Some((pool, Watch { reports, engine: &**engine }))
    }
}

struct Watch<'a> {
    reports: QueryReports<'a>,
    engine: &'a dyn Engine,
}

impl Observer for Watch<'_> {
    fn finished(&self, finished: &Finished<'_>) {
        self.engine.finished(self.reports, finished);
    }

    fn connected(&self, url: &Url, connected: bool) {
        self.engine.connected(self.reports, url, connected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker { module: "avpops", parameter: "db_url", nth: 0 };

    struct Silent;

    impl Engine for Silent {
        fn scheme(&self) -> Scheme {
            Scheme::Sqlite
        }

        fn limits(&self) -> Limits {
            Limits::default()
        }

        fn finished(&self, _: QueryReports<'_>, _: &Finished<'_>) {}
    }

    #[test]
    fn a_url_gets_its_engine_whatever_the_order() {
        let mut databases = Databases::default();
        let first = databases.want(ASKER, "sqlite:///a").unwrap();
        assert_ne!(databases.want(ASKER, "sqlite:///b").unwrap(), first);
        assert_eq!(databases.want(ASKER, "sqlite:///a").unwrap(), first);
        databases.offer(Rc::new(Silent));
        databases.assign().unwrap();
        assert_eq!(databases.open.len(), 2);
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let mut databases = Databases::default();
        databases.offer(Rc::new(Silent));
        let problem = databases.want(ASKER, "mysql:/x").unwrap_err().to_string();
        assert!(problem.starts_with("modparam avpops:db_url: the value is no database URL"), "{problem}");
        databases.want(ASKER, "mysql://u:secret@h/d").unwrap();
        let (_, problem) = databases.assign().unwrap_err();
        assert_eq!(
            problem.to_string(),
            "modparam avpops:db_url: mysql://u@h/d: nothing speaks to mysql: load the module db_mysql"
        );
    }
}
