//! Rules that come and go while the server runs, in shared memory.
//!
//! A rule about one address is found by its key. The others - networks, negated ones, those with a pattern - have to be
//! held against each request, so there may be only a few.

use tocsin_net::Protocol;
use tocsin_shm::{Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, ShmClone, ShmSafe, Sweep};

use super::BlocklistError;
use super::rule::{Probe, Rule, Scope};

/// Rules about one address, of all lists together.
pub const ADDRESS_RULES: usize = 16_384;
/// Other rules, of all lists together.
pub const WIDE_RULES: usize = 256;

/// A rule about one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
struct Exact {
    list: u8,
    protocol: Option<Protocol>,
    ip: std::net::IpAddr,
    port: u16,
}

/// Any other rule.
#[derive(ShmSafe, ShmClone)]
struct Wide {
    list: u8,
    scope: Scope,
    pattern: ShmBytes,
    until: Option<Millis>,
}

/// The rules of all lists that may change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learned {
    exact: Map<Exact, Option<Millis>>,
    wide: Map<ShmBytes, Wide>,
}

impl Learned {
    /// Makes the tables. To be called before the first fork.
    pub(super) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let exact = MapOptions { name: "blocklist addresses", shards: 8, buckets: 64 };
        let wide = MapOptions { name: "blocklist rules", shards: 1, buckets: 64 };
        Ok(Self { exact: Map::create(arena, &exact)?, wide: Map::create(arena, &wide)? })
    }

    /// Puts `rule` into `list`, or gives it another end. Returns whether it is new.
    pub(super) fn add(&self, list: u8, rule: &Rule, until: Option<Millis>) -> Result<bool, BlocklistError> {
        if rule.is_plain() {
            return self.add_exact(Exact::of(list, rule), until);
        }
        let key = key(list, rule);
        if self.wide.len() >= WIDE_RULES && !self.wide.contains(key.as_slice()) {
            return Err(BlocklistError::TooMany(WIDE_RULES));
        }
        let build = |alloc| {
            let key = ShmBytes::try_from_slice_in(&key, alloc)?;
            let pattern = ShmBytes::try_from_slice_in(&rule.pattern, alloc)?;
            Ok((key, Wide { list, scope: rule.scope, pattern, until }))
        };
        self.wide.insert_due(key.as_slice(), until, build).map_err(|Full| BlocklistError::Memory)
    }

    /// Takes `rule` out of `list`. Returns whether it was there.
    pub(super) fn remove(&self, list: u8, rule: &Rule) -> bool {
        if rule.is_plain() {
            self.exact.remove(&Exact::of(list, rule), |_| ()).is_some()
        } else {
            self.wide.remove(key(list, rule).as_slice(), |_| ()).is_some()
        }
    }

    /// Whether a rule of `list` matches.
    #[inline]
    pub(super) fn matches(&self, list: u8, probe: &Probe<'_>) -> bool {
        (!self.exact.is_empty() && self.exact_match(list, probe).is_some())
            || (!self.wide.is_empty() && self.wide_match(list, probe).is_some())
    }

    /// A rule of `list` that matches.
    pub(super) fn first_match(&self, list: u8, probe: &Probe<'_>) -> Option<Rule> {
        self.exact_match(list, probe).map(Exact::rule).or_else(|| self.wide_match(list, probe))
    }

    /// The rules of `list`, each with the end that it may have.
    pub(super) fn rules(&self, list: u8) -> Vec<(Rule, Option<Millis>)> {
        let mut found = Vec::new();
        self.exact.for_each(|key, until| {
            if key.list == list {
                found.push((key.rule(), *until));
            }
        });
        self.wide.for_each(|_, wide| {
            if wide.list == list {
                found.push((wide.rule(), wide.until));
            }
        });
        found
    }

    /// How many shards have deadlines.
    pub(super) fn shards(&self) -> usize {
        self.exact.shards() + self.wide.shards()
    }

    /// When a rule of `shard` may end.
    pub(super) fn next_due(&self, shard: usize) -> Millis {
        match shard.checked_sub(self.exact.shards()) {
            None => self.exact.next_due(shard),
            Some(shard) => self.wide.next_due(shard),
        }
    }

    /// Takes the rules of `shard` out whose time is over, `limit` at the most.
    pub(super) fn expire(&self, shard: usize, now: Millis, limit: usize) {
        match shard.checked_sub(self.exact.shards()) {
            None => self.exact.expire(shard, now, limit, |_, _, edit| edit.remove()),
            Some(shard) => self.wide.expire(shard, now, limit, |_, _, edit| edit.remove()),
        };
    }

    pub(super) fn sweepers(&self) -> [&'static dyn Sweep; 2] {
        [self.exact.sweeper(), self.wide.sweeper()]
    }

    fn add_exact(&self, key: Exact, until: Option<Millis>) -> Result<bool, BlocklistError> {
        if self.exact.len() >= ADDRESS_RULES && !self.exact.contains(&key) {
            return Err(BlocklistError::TooMany(ADDRESS_RULES));
        }
        self.exact.insert_due(&key, until, |_| Ok((key, until))).map_err(|Full| BlocklistError::Memory)
    }

    fn exact_match(&self, list: u8, probe: &Probe<'_>) -> Option<Exact> {
        let ip = probe.ip.to_canonical();
        let keys = [(probe.protocol, probe.port), (probe.protocol, 0), (None, probe.port), (None, 0)];
        keys.into_iter()
            .map(|(protocol, port)| Exact { list, protocol, ip, port })
            .find(|key| self.exact.contains(key))
    }

    fn wide_match(&self, list: u8, probe: &Probe<'_>) -> Option<Rule> {
        let mut found = None;
        self.wide.for_each(|_, wide| {
            if found.is_none() && wide.list == list && wide.scope.matches(&wide.pattern, probe) {
                found = Some(wide.rule());
            }
        });
        found
    }
}

impl Exact {
    fn of(list: u8, rule: &Rule) -> Self {
        let Scope { protocol, network, port, .. } = rule.scope;
        Self { list, protocol, ip: network.address(), port }
    }

    fn rule(self) -> Rule {
        let network = super::rule::Network::host(self.ip);
        let scope = Scope { negated: false, protocol: self.protocol, network, port: self.port };
        Rule { scope, pattern: Box::default() }
    }
}

impl Wide {
    fn rule(&self) -> Rule {
        Rule { scope: self.scope, pattern: self.pattern.as_bytes().into() }
    }
}

/// A rule by its own text, apart for each list.
fn key(list: u8, rule: &Rule) -> Vec<u8> {
    let mut key = rule.scope_text().into_bytes();
    key.push(list);
    key.extend_from_slice(&rule.pattern);
    key
}
