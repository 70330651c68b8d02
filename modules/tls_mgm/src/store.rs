//! The TLS domains as they are in force: what their files and the database say lies in shared memory, and each process
//! makes of it the domains and the configurations that it needs, once after each reload.

use std::cell::{RefCell, RefMut};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tocsin_net::connections::TlsIdentity;
use tocsin_script::Value;
use tocsin_server::Server;
use tocsin_server::avps::Avps;
use tocsin_server::keyed_hash::KeyedHash;
use tocsin_server::module::{Setup, SetupError};
use tocsin_server::security::{NoDomain, Security, TlsSelection};
use tocsin_server::tls_selections::TlsSelections;

use super::configs::Config;
use super::definition::Definition;
use super::files::{BadFile, Material};
use super::matching::choose;
use super::parameters::{Domain, MAX_DOMAINS, Side};
use super::record::{Content, PublishError, Published};
use super::settings::Settings;
use super::table::Table;

/// All domains.
#[derive(Debug)]
pub(super) struct Store {
    settings: Settings,
    published: Published,
    own: RefCell<Own>,
    hash: KeyedHash,
}

/// What this process has made of one edition.
#[derive(Debug, Default)]
struct Own {
    edition: u64,
    /// Those of the configuration, then those of the database.
    domains: Vec<Rc<Domain>>,
    materials: Vec<Material>,
    configs: Vec<Option<Config>>,
    /// There are domains of a database that nobody has read yet.
    is_waiting: bool,
}

/// Why a domain was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoadError {
    #[error("TLS domain {0}: {1}")]
    Domain(String, BadFile),
    #[error("{0}")]
    Table(String),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Store {
    /// Reads the files of all domains of the configuration, and shares them.
    pub(super) fn create(settings: Settings, setup: &mut Setup<'_>) -> Result<Rc<Self>, SetupError> {
        let published = Published::create(setup)?;
        let failed = |cause: LoadError| SetupError::Other(cause.to_string());
        let mut own = Own { is_waiting: settings.table.is_some(), ..Own::default() };
        for domain in &settings.domains {
            let (material, config) = load(domain).map_err(failed)?;
            own.domains.push(Rc::clone(domain));
            own.materials.push(material);
            own.configs.push(Some(config));
        }
        let content = Content { script: own.materials.clone(), database: None };
        published.publish(&content).map_err(|cause| failed(cause.into()))?;
        // Nobody else publishes before the first fork: every process inherits what was made here.
        own.edition = published.edition();
        Ok(Rc::new(Self { settings, published, own: RefCell::new(own), hash: KeyedHash::of(setup.arena) }))
    }

    /// Whether there is a database.
    pub(super) fn has_table(&self) -> bool {
        self.settings.table.is_some()
    }

    /// Whether there are domains of a database that nobody has read yet.
    pub(super) fn is_waiting(&self) -> bool {
        // What was read once never goes: to answer this, no newer edition has to be taken up.
        self.own.borrow().is_waiting && self.current().is_waiting
    }

    /// Reads the domains of the database and the files of all others again, and puts them in force if all of them are
    /// right; otherwise nothing changes.
    pub(super) async fn reload(&self, server: &Server) -> Result<(), LoadError> {
        let database = match &self.settings.table {
            Some(table) => Some(self.of_database(table, server).await?),
            None => None,
        };
        let mut script = Vec::with_capacity(self.settings.domains.len());
        for domain in &self.settings.domains {
            script.push(load(domain)?.0);
            tokio::task::yield_now().await;
        }
        // This process takes up what is in force like all others: another one may be publishing, too.
        self.published.publish(&Content { script, database })?;
        Ok(())
    }

    /// Reads the domains of the database, and puts them in force beside the others as they are. Returns how many there
    /// are.
    pub(super) async fn read_database(&self, server: &Server) -> Result<usize, LoadError> {
        let Some(table) = &self.settings.table else { return Ok(0) };
        let domains = self.of_database(table, server).await?;
        let count = domains.len();
        let (edition, content) = self.published.read().unwrap_or_default();
        let replaced = self.published.publish(&Content { database: Some(domains), ..content })?;
        if replaced != edition {
            // Somebody reloaded at the same moment, and this may have gone over it.
            self.reload(server).await?;
        }
        Ok(count)
    }

    async fn of_database(
        &self,
        table: &Table,
        server: &Server,
    ) -> Result<Vec<(Definition, Material)>, LoadError> {
        let domains = table.read(server).await.map_err(LoadError::Table)?;
        let own = &self.settings.domains;
        if own.len() + domains.len() > MAX_DOMAINS {
            return Err(LoadError::Table(format!("more than {MAX_DOMAINS} TLS domains")));
        }
        let mut loaded = Vec::with_capacity(domains.len());
        for domain in &domains {
            if own.iter().any(|known| known.side == domain.side && known.name == domain.name) {
                let (name, side) = (&domain.name, domain.side.name());
                let problem =
                    format!("TLS domain {name}: the configuration defines a {side} domain of this name");
                return Err(LoadError::Table(problem));
            }
            loaded.push((Definition::of(domain), load(domain)?.0));
            tokio::task::yield_now().await;
        }
        Ok(loaded)
    }

    /// All domains in force: those of the configuration in its order, then those of the database.
    pub(super) fn domains(&self) -> Vec<Rc<Domain>> {
        self.current().domains.clone()
    }

    /// What is in force.
    fn current(&self) -> RefMut<'_, Own> {
        let mut own = self.own.borrow_mut();
        let edition = self.published.edition();
        if own.edition != edition {
            match self.published.read() {
                Some((edition, content)) => *own = self.taken_up(edition, content),
                None => {
                    own.edition = edition;
                    tracing::error!(
                        "tls_mgm: shared memory has no TLS domains: those known before stay in force"
                    );
                }
            }
        }
        own
    }

    fn taken_up(&self, edition: u64, content: Content) -> Own {
        let mut own = Own { edition, domains: self.settings.domains.clone(), ..Own::default() };
        own.materials = content.script;
        own.is_waiting = self.has_table() && content.database.is_none();
        for (definition, material) in content.database.unwrap_or_default() {
            let name = definition.name.clone();
            match definition.domain() {
                Ok(domain) => {
                    own.domains.push(Rc::new(domain));
                    own.materials.push(material);
                }
                // Only what could be used was published.
                Err(problem) => tracing::error!("tls_mgm: TLS domain {name}: {problem}"),
            }
        }
        own.configs = vec![None; own.domains.len()];
        own
    }
}

impl Own {
    /// The configuration of the domain at `at`.
    fn config(&mut self, at: usize) -> Result<Config, NoDomain> {
        if let Some(Some(config)) = self.configs.get(at) {
            return Ok(config.clone());
        }
        let domain = &self.domains[at];
        let unusable = |problem: String| NoDomain::Unusable { domain: domain.name.clone(), problem };
        let material = self.materials.get(at).ok_or_else(|| unusable("it has no files".to_owned()))?;
        let config = Config::new(domain, material).map_err(|bad| unusable(bad.to_string()))?;
        self.configs[at] = Some(config.clone());
        Ok(config)
    }

    fn chosen(&self, side: Side, address: SocketAddr, name: Option<&str>) -> Option<usize> {
        let domains = self.domains.iter().enumerate();
        let candidates = domains.filter(|(_, domain)| domain.side == side);
        choose(candidates.map(|(at, domain)| (at, &domain.filters)), address, name)
    }

    /// The client domain for a connection to `remote`.
    fn client_domain(&self, remote: SocketAddr, tls_selection: &TlsSelection) -> Result<usize, NoDomain> {
        let found = match &tls_selection.domain {
            None => {
                let chosen = self.chosen(Side::Client, remote, tls_selection.sip_domain.as_deref());
                chosen.ok_or_else(|| none(remote, tls_selection))
            }
            Some(name) => {
                let is_meant = |domain: &Rc<Domain>| domain.side == Side::Client && domain.name == *name;
                self.domains.iter().position(is_meant).ok_or_else(|| NoDomain::Unknown(name.clone()))
            }
        };
        found.map_err(|refused| self.refusal(refused))
    }

    /// Says of a refusal that there may be a domain soon.
    fn refusal(&self, refused: NoDomain) -> NoDomain {
        if self.is_waiting { NoDomain::Unread(Box::new(refused)) } else { refused }
    }
}

/// Reads the files of a domain, and makes its configuration of them.
fn load(domain: &Domain) -> Result<(Material, Config), LoadError> {
    let failed = |bad| LoadError::Domain(domain.name.clone(), bad);
    let material = Material::read(domain).map_err(failed)?;
    if domain.verify && material.trusted.is_empty() {
        let name = &domain.name;
        tracing::warn!(
            "tls_mgm: the TLS domain {name} checks certificates, but trusts nobody: set its ca_list"
        );
    }
    let config = Config::new(domain, &material).map_err(failed)?;
    Ok((material, config))
}

impl Security for Store {
    fn server_config(
        &self,
        local: SocketAddr,
        server_name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, NoDomain> {
        self.server(local, server_name)
    }

    fn client_config(
        &self,
        remote: SocketAddr,
        tls_selection: &TlsSelection,
        host: Option<&str>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), NoDomain> {
        self.client(remote, tls_selection, host)
    }

    fn tls_identity(
        &self,
        remote: SocketAddr,
        tls_selection: &TlsSelection,
        host: Option<&str>,
    ) -> TlsIdentity {
        let own = self.current();
        let Ok(at) = own.client_domain(remote, tls_selection) else { return TlsIdentity::NONE };
        // Never 0, which means nothing.
        let hash = |name: &str| self.hash.hash(&[name.to_ascii_lowercase().as_bytes()]) as u32 | 1;
        let name = host.filter(|host| host.parse::<IpAddr>().is_err());
        TlsIdentity { domain: hash(&own.domains[at].name), name: name.map_or(0, hash) }
    }
}

impl TlsSelections for Store {
    fn tls_selection(&self, avps: &Avps) -> TlsSelection {
        let text = |name: &Option<String>| {
            let value = avps.values(name.as_ref()?.as_bytes()).next().and_then(Value::to_bytes)?;
            Some(value.lossy().into_owned()).filter(|text| !text.is_empty())
        };
        if avps.is_empty() {
            return TlsSelection::default();
        }
        TlsSelection {
            domain: text(&self.settings.domain_avp),
            sip_domain: text(&self.settings.sip_domain_avp),
        }
    }
}

impl Store {
    /// [`Security::server_config`].
    pub(super) fn server(
        &self,
        local: SocketAddr,
        name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, NoDomain> {
        let none = || NoDomain::Server { local, server_name: name.map(str::to_owned) };
        let mut own = self.current();
        let at = own.chosen(Side::Server, local, name).ok_or_else(|| own.refusal(none()))?;
        match own.config(at)? {
            Config::Server(config) => Ok(config),
            Config::Client(_) => Err(none()),
        }
    }

    /// [`Security::client_config`].
    pub(super) fn client(
        &self,
        remote: SocketAddr,
        tls_selection: &TlsSelection,
        host: Option<&str>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), NoDomain> {
        let mut own = self.current();
        let at = own.client_domain(remote, tls_selection)?;
        let Config::Client(config) = own.config(at)? else { return Err(none(remote, tls_selection)) };
        let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
        Ok((config, name.unwrap_or_else(|| ServerName::IpAddress(remote.ip().into()))))
    }
}

fn none(remote: SocketAddr, tls_selection: &TlsSelection) -> NoDomain {
    NoDomain::Client { remote, sip_domain: tls_selection.sip_domain.clone() }
}
