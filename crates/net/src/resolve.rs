//! Names to addresses, without holding up the worker that asks.

use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use thiserror::Error;

/// The most time that one look-up may take, whatever the name servers do.
const LOOKUP_BUDGET: Duration = Duration::from_secs(5);

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

/// The system's resolver (hosts file, then name servers), made at the first question. One for each process: it
/// belongs to the runtime that asks.
#[derive(Default)]
pub struct Resolver(OnceCell<Result<TokioResolver, String>>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// The addresses of `name` in the order given by the name servers.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let failed = |cause: String| ResolveError::NoAddress { name: name.to_owned(), cause };
        let resolver = self.0.get_or_init(system).as_ref().map_err(|e| failed(e.clone()))?;
        let answer = tokio::time::timeout(LOOKUP_BUDGET, resolver.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::Timeout(name.to_owned()))?
            .map_err(|e| failed(e.to_string()))?;
        Ok(answer.iter().collect())
    }
}

fn system() -> Result<TokioResolver, String> {
    TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|e| e.to_string())
}
