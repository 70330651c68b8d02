//! Names to addresses, without holding up the worker that asks.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver, system_conf};
use thiserror::Error;

/// The most time that one look-up may take, whatever the name servers do.
const LOOKUP_BUDGET: Duration = Duration::from_secs(5);

/// The longest wait for one answer when `dns_retr_time` does not say otherwise. The usual five seconds of
/// `/etc/resolv.conf` would spend the whole budget on one lost datagram.
const TRY_TIME: Duration = Duration::from_millis(1500);

/// Why a name has no address.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The name servers gave no answer within the budget.
    #[error("no answer for `{0}` within 5 s: check the name servers in /etc/resolv.conf")]
    Timeout(String),
    /// The name servers said that there is none, or failed.
    #[error("`{name}` has no address: {cause}")]
    NoAddress {
        /// The name asked for.
        name: String,
        /// What the resolver said.
        cause: String,
    },
}

/// How to ask. What is not given here is as `/etc/resolv.conf` says (manual, "Core Parameters").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverOptions {
    /// The one name server to ask, instead of those of `/etc/resolv.conf`, which is then not read.
    pub nameserver: Option<SocketAddr>,
    /// How long to wait for an answer before asking again (`dns_retr_time`). A whole question ends after 5 s all the same.
    pub retry_time: Option<Duration>,
    /// How often to ask again (`dns_retr_no`).
    pub retries: Option<usize>,
    /// How many of the name servers to use (`dns_servers_no`).
    pub servers: Option<usize>,
    /// Leave the search list of `/etc/resolv.conf` out (`dns_use_search_list=no`).
    pub ignore_search_list: bool,
    /// How many answers to keep for as long as they live. 0: every question is asked, as the peer does, so that a slow
    /// name server is noticed at every question.
    pub cached_answers: u32,
}

/// The system's resolver (hosts file, then name servers), made at the first question. One for each process: it
/// belongs to the runtime that asks.
#[derive(Default)]
pub struct Resolver {
    options: ResolverOptions,
    made: OnceCell<Result<TokioResolver, String>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver that asks as `options` say. Nothing is read or opened yet.
    pub fn new(options: ResolverOptions) -> Self {
        Self { options, made: OnceCell::new() }
    }

    /// The addresses of `name` in the order given by the name servers.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let failed = |cause: String| ResolveError::NoAddress { name: name.to_owned(), cause };
        let resolver = self.resolver().map_err(failed)?;
        let answer = tokio::time::timeout(LOOKUP_BUDGET, resolver.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::Timeout(name.to_owned()))?
            .map_err(|e| failed(e.to_string()))?;
        Ok(answer.iter().collect())
    }

    pub(crate) fn resolver(&self) -> Result<&TokioResolver, String> {
        self.made
            .get_or_init(|| make(&self.options).map_err(|e| e.to_string()))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn make(options: &ResolverOptions) -> Result<TokioResolver, NetError> {
    let (mut config, mut how) = match options.nameserver {
        Some(address) => (only(address), ResolverOpts::default()),
        None => system_conf::read_system_conf()?,
    };
    config.name_servers.truncate(options.servers.unwrap_or(usize::MAX).max(1));
    if options.ignore_search_list {
        config = ResolverConfig::from_parts(None, Vec::new(), config.name_servers);
    }
    how.timeout = options.retry_time.unwrap_or(how.timeout.min(TRY_TIME));
    how.cache_size = options.cached_answers.into();
    how.attempts = options.retries.unwrap_or(how.attempts);
    let builder: ResolverBuilder<TokioRuntimeProvider> =
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(how).build()
}

/// A configuration with this name server alone.
fn only(address: SocketAddr) -> ResolverConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}
