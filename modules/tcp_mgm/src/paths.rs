//! The rules that are in force, for all processes. They lie in shared memory as one record, with the number of their
//! edition beside it: each process keeps a copy, and looks at the record again when the number has changed.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use tocsin_net::Protocol;
use tocsin_server::tcp_profile::{Opening, TcpPaths, TcpProfile};
use tocsin_shm::{Arena, ArenaFull, Full, Map, MapOptions, ShmVec, Sweep};

use super::rule::Rule;

/// The key of the only record.
const RULES: u32 = 0;

/// The rules.
#[derive(Debug)]
pub(super) struct Paths {
    shared: Map<u32, ShmVec<Rule>>,
    edition: &'static AtomicU64,
    copy: RefCell<Copied>,
}

/// What this process has seen.
#[derive(Debug, Default)]
struct Copied {
    edition: u64,
    rules: Vec<Rule>,
}

impl Paths {
    /// No rules yet. To be called before the first fork; the second part is for the supervisor to sweep.
    pub(super) fn create(arena: &'static Arena) -> Result<(Self, &'static dyn Sweep), ArenaFull> {
        let shared = Map::create(arena, &MapOptions { name: "tcp_mgm rules", shards: 1, buckets: 1 })?;
        let edition = &arena.boot_array(1, |_| AtomicU64::new(0))?[0];
        Ok((Self { shared, edition, copy: RefCell::default() }, shared.sweeper()))
    }

    /// Puts other rules in the place of those that are there, for all processes; they are sorted into the order in which
    /// they are tried. Connections that stand keep what they have.
    pub(super) fn publish(&self, mut rules: Vec<Rule>) -> Result<(), Full> {
        rules.sort_by_key(Rule::order);
        self.shared.insert(&RULES, |alloc| Ok((RULES, ShmVec::try_from_iter_in(rules, alloc)?)))?;
        self.edition.fetch_add(1, AcqRel);
        Ok(())
    }

    /// Whether rules were put in force, be it none.
    pub(super) fn are_there(&self) -> bool {
        self.edition.load(Acquire) != 0
    }

    /// How many rules there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shared.get(&RULES, |rules| rules.len()).unwrap_or(0)
    }
}

impl TcpPaths for Paths {
    fn profile_for(
        &self,
        protocol: Protocol,
        remote: SocketAddr,
        local: SocketAddr,
        _: Opening,
        general: TcpProfile,
    ) -> TcpProfile {
        let mut copy = self.copy.borrow_mut();
        let edition = self.edition.load(Acquire);
        if copy.edition != edition {
            // Newer rules than those of this edition only mean another look next time.
            copy.rules = self.shared.get(&RULES, |rules| rules.to_vec()).unwrap_or_default();
            copy.edition = edition;
        }
        let rule = copy.rules.iter().find(|rule| rule.is_about(protocol, remote, local));
        rule.map_or(general, |rule| rule.apply(general))
    }
}
