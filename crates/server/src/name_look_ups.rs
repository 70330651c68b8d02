//! The names that the script of one message has asked for by `{ip.resolve}`, and their addresses.

use std::net::IpAddr;

use tocsin_script::{Bytes, Waiting};

/// So many names are looked up for one message; a script that goes on asking gets NULL.
pub const MAX_NAMES: usize = 32;

/// What is known, and what is being looked up for `C`, the message.
pub struct NameLookUps<C> {
    found: Vec<(Bytes, Option<IpAddr>)>,
    /// The name that was asked for last, if it was not known.
    pub under_way: Option<Waiting<C>>,
}

impl<C> NameLookUps<C> {
    /// What a look-up of this name came to, if there was one.
    pub fn known(&self, name: &Bytes) -> Option<Option<IpAddr>> {
        self.found.iter().find(|(known, _)| known == name).map(|(_, address)| *address)
    }

    /// Whether no further name is looked up.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MAX_NAMES
    }

    /// Keeps what a look-up came to.
    pub fn keep(&mut self, name: Bytes, address: Option<IpAddr>) {
        if !self.is_full() {
            self.found.push((name, address));
        }
    }
}

impl<C> Default for NameLookUps<C> {
    fn default() -> Self {
        Self { found: Vec::new(), under_way: None }
    }
}
