//! The TLS domains as they are in force: what their files say lies in shared memory, and each process makes of it the
//! configurations that it needs, once after each reload.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tocsin_net::connections::Guise;
use tocsin_script::Value;
use tocsin_server::Server;
use tocsin_server::avps::Avps;
use tocsin_server::module::{Setup, SetupError};
use tocsin_server::security::{NoDomain, Security, Wish};

use super::configs::Config;
use super::files::Material;
use super::matching::choose;
use super::parameters::{Domain, Settings, Side};
use super::record::Published;

/// All domains.
#[derive(Debug)]
pub(super) struct Store {
    settings: Settings,
    published: Published,
    own: RefCell<Own>,
}

/// What this process has made of one edition.
#[derive(Debug, Default)]
struct Own {
    edition: u64,
    materials: Vec<Material>,
    configs: Vec<Option<Config>>,
}

/// Why a domain was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoadError {
    #[error("TLS domain {0}: {1}")]
    Domain(String, super::files::BadFile),
    #[error(transparent)]
    Publish(#[from] super::record::PublishError),
}

impl Store {
    /// Reads the files of all domains, and shares them.
    pub(super) fn create(settings: Settings, setup: &mut Setup<'_>) -> Result<Rc<Self>, SetupError> {
        let published = Published::create(setup)?;
        let failed = |cause: LoadError| SetupError::Other(cause.to_string());
        let own = read(&settings.domains).map_err(failed)?;
        published.publish(&own.materials).map_err(|cause| failed(cause.into()))?;
        // Nobody else publishes before the first fork: every process inherits what was made here.
        let own = Own { edition: published.edition(), ..own };
        Ok(Rc::new(Self { settings, published, own: RefCell::new(own) }))
    }

    /// Reads the files of all domains again, and puts them in force if all of them are right; otherwise nothing
    /// changes.
    pub(super) fn reload(&self) -> Result<(), LoadError> {
        let own = read(&self.settings.domains)?;
        // This process takes up what is in force like all others: another one may be publishing, too.
        Ok(self.published.publish(&own.materials)?)
    }

    /// All domains, in the order of the configuration.
    pub(super) fn domains(&self) -> &[Domain] {
        &self.settings.domains
    }

    /// The configuration in force of the domain at `at`.
    fn config(&self, at: usize) -> Result<Config, NoDomain> {
        let domain = &self.settings.domains[at];
        let unusable = |problem: String| NoDomain::Unusable { domain: domain.name.clone(), problem };
        let mut own = self.own.borrow_mut();
        if own.edition != self.published.edition() {
            // Only what could be read and used was published.
            let (edition, materials) = self
                .published
                .read(self.settings.domains.len())
                .ok_or_else(|| unusable("its files are not in shared memory".to_owned()))?;
            let configs = vec![None; materials.len()];
            *own = Own { edition, materials, configs };
        }
        let Own { materials, configs, .. } = &mut *own;
        if let Some(Some(config)) = configs.get(at) {
            return Ok(config.clone());
        }
        let material = materials.get(at).ok_or_else(|| unusable("it has no files".to_owned()))?;
        let config = Config::new(domain, material).map_err(|bad| unusable(bad.to_string()))?;
        configs[at] = Some(config.clone());
        Ok(config)
    }

    fn chosen(&self, side: Side, address: SocketAddr, name: Option<&str>) -> Option<usize> {
        let domains = self.settings.domains.iter().enumerate();
        let candidates = domains.filter(|(_, domain)| domain.side == side);
        choose(candidates.map(|(at, domain)| (at, &domain.filters)), address, name)
    }
}

/// Reads the files of all domains, and makes the configurations of them.
fn read(domains: &[Domain]) -> Result<Own, LoadError> {
    let mut own = Own::default();
    for domain in domains {
        let failed = |bad| LoadError::Domain(domain.name.clone(), bad);
        let material = Material::read(domain).map_err(failed)?;
        if domain.verify && material.trusted.is_empty() {
            let name = &domain.name;
            tracing::warn!(
                "tls_mgm: the TLS domain {name} checks certificates, but trusts nobody: set its ca_list"
            );
        }
        own.configs.push(Some(Config::new(domain, &material).map_err(failed)?));
        own.materials.push(material);
    }
    Ok(own)
}

impl Security for Store {
    fn server_config(
        &self,
        _: &'static Server,
        local: SocketAddr,
        server_name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, NoDomain> {
        self.server(local, server_name)
    }

    fn client_config(
        &self,
        _: &'static Server,
        remote: SocketAddr,
        wish: &Wish,
        host: Option<&str>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), NoDomain> {
        self.client(remote, wish, host)
    }

    fn guise(&self, server: &'static Server, remote: SocketAddr, wish: &Wish, host: Option<&str>) -> Guise {
        let Ok(at) = self.client_domain(remote, wish) else { return Guise::NONE };
        // Never 0, which means nothing.
        let hash = |name: &str| server.keyed_hash(&[name.to_ascii_lowercase().as_bytes()]) as u32 | 1;
        let name = host.filter(|host| host.parse::<IpAddr>().is_err());
        Guise { domain: hash(&self.settings.domains[at].name), name: name.map_or(0, hash) }
    }

    fn wish(&self, avps: &Avps) -> Wish {
        let text = |name: &Option<String>| {
            let value = avps.values(name.as_ref()?.as_bytes()).next().and_then(Value::to_bytes)?;
            Some(value.lossy().into_owned()).filter(|text| !text.is_empty())
        };
        if avps.is_empty() {
            return Wish::default();
        }
        Wish { domain: text(&self.settings.domain_avp), sip_domain: text(&self.settings.sip_domain_avp) }
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
        let at = self.chosen(Side::Server, local, name).ok_or_else(none)?;
        match self.config(at)? {
            Config::Server(config) => Ok(config),
            Config::Client(_) => Err(none()),
        }
    }

    /// [`Security::client_config`].
    pub(super) fn client(
        &self,
        remote: SocketAddr,
        wish: &Wish,
        host: Option<&str>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), NoDomain> {
        let at = self.client_domain(remote, wish)?;
        let Config::Client(config) = self.config(at)? else { return Err(none(remote, wish)) };
        let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
        Ok((config, name.unwrap_or_else(|| ServerName::IpAddress(remote.ip().into()))))
    }

    /// The client domain for a connection to `remote`.
    fn client_domain(&self, remote: SocketAddr, wish: &Wish) -> Result<usize, NoDomain> {
        let Some(name) = &wish.domain else {
            let chosen = self.chosen(Side::Client, remote, wish.sip_domain.as_deref());
            return chosen.ok_or_else(|| none(remote, wish));
        };
        let is_meant = |domain: &Domain| domain.side == Side::Client && domain.name == *name;
        self.settings.domains.iter().position(is_meant).ok_or_else(|| NoDomain::Unknown(name.clone()))
    }
}

fn none(remote: SocketAddr, wish: &Wish) -> NoDomain {
    NoDomain::Client { remote, sip_domain: wish.sip_domain.clone() }
}
