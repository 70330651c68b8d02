//! The bindings of all domains: opened, changed, committed and counted.

use std::cell::{OnceCell, RefCell};

use tocsin_server::Server;
use tocsin_server::module::SetupError;
use tocsin_server::statistics::Statistics;
use tocsin_server::time::{now_ms, unix_seconds};
use tocsin_shm::{Arena, Millis};

use super::bindings::Bindings;
use super::contact::{Contact, Contacts};
use super::domain::{Domain, DomainId, MAX_DOMAINS};
use super::events::Events;
use super::parameters::Settings;
use super::table::{CommitError, Committed, Draft, Table};

/// How often a change is begun again because another process was faster. Each time one process has got on, so only
/// very many at one AOR could use this up.
const ATTEMPTS: usize = 64;

/// Records that are looked at before others have their turn.
const RECORDS_A_TURN: usize = 256;

/// The bindings of all domains, and how they are kept.
#[derive(Debug)]
pub struct Locations {
    pub(super) table: Table,
    pub(super) domains: RefCell<Vec<Domain>>,
    pub(super) settings: Settings,
    events: OnceCell<Events>,
}

impl Locations {
    /// No domains yet, in `table`.
    pub(super) fn new(table: Table, settings: Settings) -> Self {
        Self { table, domains: RefCell::default(), settings, events: OnceCell::new() }
    }

    /// Registers a domain, or finds the one of that name. To be called while modules start.
    ///
    /// # Errors
    /// No room in shared memory, or [`MAX_DOMAINS`] is reached.
    pub fn register_domain(
        &self,
        name: &str,
        arena: &'static Arena,
        statistics: &mut Statistics,
    ) -> Result<DomainId, SetupError> {
        if let Some(known) = self.domain(name) {
            return Ok(known);
        }
        let mut domains = self.domains.borrow_mut();
        if domains.len() == MAX_DOMAINS {
            return Err(SetupError::Other(format!("more than {MAX_DOMAINS} location domains")));
        }
        domains.push(Domain::register(name.to_owned().leak(), arena, statistics)?);
        Ok(DomainId(domains.len() as u8 - 1))
    }

    /// The domain of that name.
    pub fn domain(&self, name: &str) -> Option<DomainId> {
        self.domains.borrow().iter().position(|domain| domain.name == name).map(|at| DomainId(at as u8))
    }

    /// The parameters.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens the bindings of an AOR: to read them, or to commit them changed.
    pub fn open(&self, domain: DomainId, aor: &[u8]) -> Draft {
        self.table.open(domain.0, aor)
    }

    /// What `look` makes of the first contact of an AOR that it makes anything of. Contacts that are over are left out.
    /// `look` is called under the lock of the AOR: it must not wait, nor open anything.
    pub fn find<R>(
        &self,
        domain: DomainId,
        aor: &[u8],
        look: impl FnMut(Contact<'_>) -> Option<R>,
    ) -> Option<R> {
        let now = unix_seconds();
        let alive = |contact: &Contact<'_>| !contact.is_expired(now);
        self.table.read(domain.0, aor, |contacts| contacts.filter(alive).find_map(look)).flatten()
    }

    /// Changes the bindings of an AOR by `change`, which is called again if another process was faster. Contacts that
    /// are over are gone already.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was changed.
    pub fn change<T>(
        &self,
        server: &Server,
        domain: DomainId,
        aor: &[u8],
        change: impl FnMut(&mut Bindings<'_>) -> T,
    ) -> Result<T, CommitError> {
        self.change_numbered(server, domain.0, aor, change)
    }

    /// Removes the contacts of a domain that `unwanted` names, whatever their AOR is. Others are served meanwhile.
    pub async fn remove_where(
        &self,
        server: &Server,
        domain: DomainId,
        unwanted: impl Fn(&Contact<'_>) -> bool,
    ) {
        for shard in 0..self.table.shards() {
            for (nth, key) in self.table.keys(shard).into_iter().enumerate() {
                if nth % RECORDS_A_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                let Some(aor) = key.strip_prefix(&[domain.0]) else { continue };
                let look = |mut contacts: Contacts<'_>| contacts.any(|contact| unwanted(&contact));
                if self.table.read(domain.0, aor, look) != Some(true) {
                    continue;
                }
                if let Err(cause) = self.change(server, domain, aor, |all| all.remove_where(&unwanted)) {
                    tracing::error!("usrloc: {}: {cause}", aor.escape_ascii());
                }
            }
        }
    }

    /// Puts the bindings that came of `draft` in its place, counts the changes and raises their events.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was changed, and on [`CommitError::Conflict`] they must be opened anew.
    pub fn commit(&self, server: &Server, draft: &Draft, bindings: &Bindings<'_>) -> Result<(), CommitError> {
        if bindings.changes().is_empty() {
            return Ok(());
        }
        let deadline = bindings.next_expiry().map(deadline);
        let committed = self.table.commit(draft, bindings.contacts(), deadline)?;
        self.raise(server, draft, committed, bindings);
        Ok(())
    }

    pub(super) fn change_numbered<T>(
        &self,
        server: &Server,
        domain: u8,
        aor: &[u8],
        mut change: impl FnMut(&mut Bindings<'_>) -> T,
    ) -> Result<T, CommitError> {
        until_settled(|| {
            let draft = self.table.open(domain, aor);
            let mut bindings = self.bindings(&draft);
            let result = change(&mut bindings);
            self.commit(server, &draft, &bindings).map(|()| result)
        })
    }

    /// The bindings in a draft, without those that are over.
    pub fn bindings<'a>(&self, draft: &'a Draft) -> Bindings<'a> {
        let mut bindings = Bindings::new(draft.contacts(), self.settings.order);
        bindings.expire(unix_seconds());
        bindings
    }

    fn raise(&self, server: &Server, draft: &Draft, committed: Committed, bindings: &Bindings<'_>) {
        let Some(domain) = self.domains.borrow().get(usize::from(draft.domain())).copied() else { return };
        domain.count(&server.statistics, committed, bindings.changes().iter().map(|(change, _)| *change));
        let Some(events) = self.events(server) else { return };
        if committed == Committed::Created {
            events.aor_inserted(server, domain.name, draft.aor());
        }
        for (change, contact) in bindings.changes() {
            events.contact(server, domain.name, draft.aor(), *change, contact);
        }
        if committed == Committed::Removed {
            events.aor_deleted(server, domain.name, draft.aor());
        }
    }

    fn events(&self, server: &Server) -> Option<Events> {
        if let Some(known) = self.events.get() {
            return Some(*known);
        }
        let found = Events::find(server)?;
        Some(*self.events.get_or_init(|| found))
    }
}

/// Calls `attempt`, which opens, changes and commits bindings, again as long as another process was faster.
///
/// # Errors
/// Those of `attempt`; [`CommitError::Conflict`] only when it met nothing else many times.
pub fn until_settled<T>(mut attempt: impl FnMut() -> Result<T, CommitError>) -> Result<T, CommitError> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Err(CommitError::Conflict) => {}
            outcome => return outcome,
        }
    }
    Err(CommitError::Conflict)
}

/// The moment `at`, in seconds since 1970, on the clock of deadlines.
fn deadline(at: u64) -> Millis {
    now_ms().saturating_add(at.saturating_sub(unix_seconds()).saturating_mul(1000))
}
