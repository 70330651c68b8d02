//! tls_wolfssl: may be loaded, and has nothing to do. The server has a TLS library of its own, which tls_mgm sets up.
#![forbid(unsafe_code)]

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct TlsWolfssl;

impl Module for TlsWolfssl {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec::new("tls_wolfssl")
    }

    fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
        Ok(())
    }
}
