//! The connections of one process to one database.

use std::cell::{Cell, RefCell};
use std::fmt;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::breaker::Breaker;
use crate::connection::Connection;
use crate::error::{Failure, QueryError};
use crate::limits::Limits;
use crate::observer::{Finished, Observer, Source};
use crate::statement::{Delete, Insert, Select, Statement, Update};
use crate::url::Url;
use crate::value::Rows;

/// Connections to a database. It may be made before a fork: none is opened before the first query.
pub struct Pool {
    url: Url,
    limits: Limits,
    turns: Semaphore,
    waiting: Cell<usize>,
    /// The one used last is the last, and the first to be used again.
    idle: RefCell<Vec<(Instant, Connection)>>,
    breaker: RefCell<Breaker>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.url)
    }
}

impl Pool {
    /// A pool without a connection yet.
    pub fn new(url: Url, limits: Limits) -> Self {
        Self {
            turns: Semaphore::new(limits.connections.max(1)),
            url,
            limits,
            waiting: Cell::new(0),
            idle: RefCell::default(),
            breaker: RefCell::default(),
        }
    }

    /// Where it leads.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Connections that nobody uses now.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Closes connections that nobody has used for their [`Limits::idle_time`], but for the one that was used last. To be called from
    /// time to time.
    pub fn close_idle(&self) {
        let now = Instant::now();
        let mut idle = self.idle.borrow_mut();
        let is_old = |used: &Instant| now.duration_since(*used) >= self.limits.idle_time;
        let old = idle.iter().take_while(|(used, _)| is_old(used)).count();
        let needless = old.min(idle.len().saturating_sub(1));
        idle.drain(..needless);
    }

    /// Asks a query as it is written. It goes to the server as one statement: what follows a `;` is an error.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn query(
        &self,
        text: &[u8],
        source: Source,
        observer: &dyn Observer,
    ) -> Result<Rows, QueryError> {
        match Statement::plain(text, self.url.scheme()) {
            Ok(statement) => self.run(&statement, source, observer).await,
            Err(error) => {
                let text = String::from_utf8_lossy(text);
                Account::open(observer, &self.url, source, &text).error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Asks for rows.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn select(&self, select: &Select<'_>, observer: &dyn Observer) -> Result<Rows, QueryError> {
        let statement = Statement::select(select, self.url.scheme())?;
        self.run(&statement, Source::Prepared, observer).await
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn insert(&self, insert: &Insert<'_>, observer: &dyn Observer) -> Result<(), QueryError> {
        let statement = Statement::insert(insert, self.url.scheme())?;
        self.run(&statement, Source::Prepared, observer).await.map(|_| ())
    }

    /// Changes rows; returns how many.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn update(&self, update: &Update<'_>, observer: &dyn Observer) -> Result<u64, QueryError> {
        let statement = Statement::update(update, self.url.scheme())?;
        self.run(&statement, Source::Prepared, observer).await.map(|rows| rows.affected())
    }

    /// Takes rows away; returns how many.
    ///
    /// # Errors
    /// Any [`QueryError`].
    pub async fn delete(&self, delete: &Delete<'_>, observer: &dyn Observer) -> Result<u64, QueryError> {
        let statement = Statement::delete(delete, self.url.scheme())?;
        self.run(&statement, Source::Prepared, observer).await.map(|rows| rows.affected())
    }

    async fn run(
        &self,
        statement: &Statement,
        source: Source,
        observer: &dyn Observer,
    ) -> Result<Rows, QueryError> {
        let mut account = Account::open(observer, &self.url, source, &statement.text);
        let budget = self.limits.budget;
        let result = match timeout(budget, self.ask(statement, &account)).await {
            Ok(result) => result,
            Err(_) => Err(QueryError::TimedOut(budget)),
        };
        account.error = result.as_ref().err().cloned();
        result
    }

    async fn ask(&self, statement: &Statement, account: &Account<'_>) -> Result<Rows, QueryError> {
        let observer = account.observer;
        let _turn = self.turn().await?;
        let mut connection = match self.idling(observer).await {
            Some(connection) => connection,
            None => self.connect(observer).await?,
        };
        account.sent();
        // A caller that gives up waiting drops the connection here, with all that is half done on it. A query never goes out a
        // second time: even one without an answer may have had its effect.
        match connection.run(statement, &self.limits).await {
            Ok(rows) => {
                self.keep(connection);
                Ok(rows)
            }
            Err(Failure { error, is_usable }) => {
                if is_usable {
                    self.keep(connection);
                } else if let QueryError::Lost(cause) = &error {
                    drop(connection);
                    self.lost(cause, observer);
                }
                Err(error)
            }
        }
    }

    /// A connection that nobody uses, and that lives.
    async fn idling(&self, observer: &dyn Observer) -> Option<Connection> {
        let (used, mut connection) = self.idle.borrow_mut().pop()?;
        if used.elapsed() < self.limits.probe_after {
            return Some(connection);
        }
        let limit = self.limits.connect_timeout;
        let cause = match timeout(limit, connection.probe()).await {
            Ok(Ok(())) => return Some(connection),
            Ok(Err(cause)) => cause,
            Err(_) => format!("no answer within {} ms", limit.as_millis()),
        };
        drop(connection);
        self.lost(&cause, observer);
        None
    }

    /// A connection that served is dead; what idled beside it is as old.
    fn lost(&self, cause: &str, observer: &dyn Observer) {
        self.idle.borrow_mut().clear();
        if self.breaker.borrow_mut().missing() {
            tracing::error!("the connection to {} was lost: {cause}", self.url);
            observer.connected(&self.url, false);
        }
    }

    fn keep(&self, connection: Connection) {
        self.idle.borrow_mut().push((Instant::now(), connection));
    }

    /// Waits for one of the connections to be free.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, QueryError> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        if self.waiting.get() >= self.limits.waiting {
            return Err(QueryError::Busy(self.limits.waiting));
        }
        let _place = Place::take(&self.waiting);
        self.turns.acquire().await.map_err(|closed| QueryError::Refused(closed.to_string()))
    }

    async fn connect(&self, observer: &dyn Observer) -> Result<Connection, QueryError> {
        if let Some(cause) = self.breaker.borrow().is_open(Instant::now()) {
            return Err(QueryError::Refused(cause.to_owned()));
        }
        let began = Instant::now();
        let mut cause = String::new();
        for _ in 0..self.limits.connect_tries.max(1) {
            match timeout(self.limits.connect_timeout, Connection::open(&self.url, &self.limits)).await {
                Ok(Ok(connection)) => {
                    if self.breaker.borrow_mut().reached(Instant::now()) {
                        tracing::info!("connected to {} again", self.url);
                        observer.connected(&self.url, true);
                    }
                    return Ok(connection);
                }
                Ok(Err(problem)) => cause = problem,
                Err(_) => {
                    cause = format!("no answer within {} ms", self.limits.connect_timeout.as_millis());
                    break;
                }
            }
        }
        let failed = self.breaker.borrow_mut().failed(Instant::now(), began, cause.clone());
        if let Some((wait, is_news)) = failed {
            tracing::error!(
                "no connection to {}: {cause}; queries fail at once for {} ms",
                self.url,
                wait.as_millis()
            );
            if is_news {
                observer.connected(&self.url, false);
            }
        }
        Err(QueryError::Refused(cause))
    }
}

/// A place in the queue, given back however the wait ends.
struct Place<'a>(&'a Cell<usize>);

impl<'a> Place<'a> {
    fn take(waiting: &'a Cell<usize>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Tells the observer of a query when it ends, even if nobody waits for its result any more.
struct Account<'a> {
    observer: &'a dyn Observer,
    url: &'a Url,
    source: Source,
    text: &'a str,
    began: Cell<Option<Instant>>,
    error: Option<QueryError>,
}

impl<'a> Account<'a> {
    fn open(observer: &'a dyn Observer, url: &'a Url, source: Source, text: &'a str) -> Self {
        Self { observer, url, source, text, began: Cell::new(None), error: Some(QueryError::Abandoned) }
    }

    /// The query goes out; only the first time counts.
    fn sent(&self) {
        self.began.set(self.began.get().or_else(|| Some(Instant::now())));
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let took = self.began.get().map(|began| began.elapsed()).unwrap_or_default();
        let error = self.error.as_ref();
        self.observer.finished(&Finished {
            url: self.url,
            source: self.source,
            took,
            text: self.text,
            error,
        });
    }
}
