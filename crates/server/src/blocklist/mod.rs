//! Blocklists: destinations that requests are not sent to (manual, "Core Parameters", `dst_blacklist`).
//!
//! In flow the lists of the configuration ([`Definition`]), rules that scripts and operators add, and destinations that
//! did not answer; out flows, for one request and one hop, whether it may be sent there ([`Blocklists::is_blocked`]).
//! Readonly lists are private and never change; the rules of all others lie in shared memory and may end. Which lists
//! a message is held against is a word with a bit for each: 0 costs nothing.

mod directive;
mod learned;
pub mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use thiserror::Error;
use tocsin_net::Hop;
use tocsin_shm::{Arena, ArenaFull, Millis, Sweep};

pub use directive::{Definition, DirectiveError, ListFlags, MAX_RULES};
pub use learned::{ADDRESS_RULES, WIDE_RULES};
pub use rule::{MAX_PATTERN_BYTES, Network, Probe, Rule, RuleError, Scope, protocol};

use learned::Learned;

/// Lists that a server may have: bits of the word that a message carries.
pub const MAX_LISTS: usize = 32;
/// The list of destinations that did not answer.
pub const DNS_LIST: &str = "dns";
/// How long a destination that did not answer is left alone, in milliseconds (manual, `disable_dns_blacklist`).
pub const DNS_EXPIRE: Millis = 4 * 60 * 1000;
/// Rules that end in one go, before the next shard has its turn.
const EXPIRE_BATCH: usize = 256;

/// Why something cannot be done to a list.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BlocklistError {
    /// No list of this name.
    #[error("there is no blocklist `{0}`: define it with dst_blacklist")]
    Unknown(String),
    /// Two lists of one name.
    #[error("there are two blocklists `{0}`")]
    Twice(String),
    /// More lists than a message can name.
    #[error("there are more than {MAX_LISTS} blocklists")]
    Lists,
    /// The list is as it was written.
    #[error("the blocklist `{0}` is readonly: define it as `{0}/expire` to change it while the server runs")]
    ReadOnly(String),
    /// Its rules do not end.
    #[error("rules of the blocklist `{0}` do not expire: define it as `{0}/expire`")]
    NoExpiry(String),
    /// There are as many rules as there may be.
    #[error("there are already {0} rules of this kind")]
    TooMany(usize),
    /// The shared memory is full.
    #[error("the shared memory is full: give the server more (-m)")]
    Memory,
    /// The shared memory is too small for the tables.
    #[error("the shared memory is too small for blocklists: start with a larger -m ({0})")]
    TooSmall(#[from] ArenaFull),
}

/// All lists of a server.
#[derive(Debug, Default)]
pub struct Blocklists {
    lists: Vec<List>,
    learned: Option<Learned>,
    defaults: u32,
    /// The place of the list `dns`, if destinations are remembered.
    dns: Option<u8>,
}

/// One list.
#[derive(Debug)]
struct List {
    name: String,
    flags: ListFlags,
    /// Empty for a list that may change.
    rules: Box<[Rule]>,
}

/// A list as it is shown to an operator.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it may do.
    pub flags: ListFlags,
    /// Its rules, each with the moment at which it ends.
    pub rules: Vec<(Rule, Option<Millis>)>,
}

impl Blocklists {
    /// Makes the lists of a configuration, and the list `dns` if the server should remember destinations that do not answer.
    /// To be called before the first fork. Shared memory is taken only if a list can change.
    ///
    /// # Errors
    /// [`BlocklistError`] when there are too many lists, two of one name, or too little memory.
    pub fn create(
        arena: &'static Arena,
        definitions: Vec<Definition>,
        dns: bool,
    ) -> Result<Self, BlocklistError> {
        let mut made = Self::default();
        if dns {
            let flags = ListFlags { expire: true, default: true, readonly: false };
            made.dns = Some(0);
            made.add_list(arena, Definition { name: DNS_LIST.to_owned(), flags, rules: Vec::new() })?;
        }
        definitions.into_iter().try_for_each(|definition| made.add_list(arena, definition))?;
        Ok(made)
    }

    /// The lists that a message is held against before its script says otherwise.
    pub fn defaults(&self) -> u32 {
        self.defaults
    }

    /// The bit of a list.
    pub fn bit(&self, name: &[u8]) -> Option<u32> {
        self.place(name).map(|at| 1 << at)
    }

    /// Whether a request may not be sent to `hop`, as one of the lists in `used` says. `message` is the request as it is
    /// sent.
    #[inline]
    pub fn is_blocked(&self, used: u32, hop: &Hop, message: &[u8]) -> bool {
        used != 0 && self.matches(used, &Probe::of(hop, message))
    }

    /// Whether a rule of one of the lists in `used` matches.
    pub fn matches(&self, used: u32, probe: &Probe<'_>) -> bool {
        self.of(used).any(|(at, list)| match (list.flags.readonly, &self.learned) {
            (false, Some(learned)) => learned.matches(at, probe),
            _ => list.rules.iter().any(|rule| rule.matches(probe)),
        })
    }

    /// The names of the lists of which a rule matches.
    pub fn matching(&self, probe: &Probe<'_>) -> Vec<&str> {
        let all = self.of(u32::MAX).filter(|(at, _)| self.matches(1 << at, probe));
        all.map(|(_, list)| list.name.as_str()).collect()
    }

    /// A rule of the list `name` that matches.
    ///
    /// # Errors
    /// [`BlocklistError::Unknown`].
    pub fn first_match(&self, name: &[u8], probe: &Probe<'_>) -> Result<Option<Rule>, BlocklistError> {
        let (at, list) = self.list(name)?;
        Ok(match (list.flags.readonly, &self.learned) {
            (false, Some(learned)) => learned.first_match(at, probe),
            _ => list.rules.iter().find(|rule| rule.matches(probe)).cloned(),
        })
    }

    /// Adds a rule to a list; with `seconds`, for so long from `now`. Returns whether it is new: one that was there gets
    /// the new end.
    ///
    /// # Errors
    /// [`BlocklistError`] when the list is not there or may not be changed so, or is full.
    pub fn add(
        &self,
        name: &[u8],
        rule: &Rule,
        seconds: Option<u32>,
        now: Millis,
    ) -> Result<bool, BlocklistError> {
        let (at, list, learned) = self.changeable(name)?;
        if seconds.is_some() && !list.flags.expire {
            return Err(BlocklistError::NoExpiry(list.name.clone()));
        }
        learned.add(at, rule, seconds.map(|seconds| now + Millis::from(seconds) * 1000))
    }

    /// Takes a rule out of a list. Returns whether it was there.
    ///
    /// # Errors
    /// [`BlocklistError`] when the list is not there or may not be changed.
    pub fn remove(&self, name: &[u8], rule: &Rule) -> Result<bool, BlocklistError> {
        let (at, _, learned) = self.changeable(name)?;
        Ok(learned.remove(at, rule))
    }

    /// Remembers for [`DNS_EXPIRE`] that `hop` did not answer. Does nothing while that is switched off
    /// (`disable_dns_blacklist`, the default).
    pub fn remember_failure(&self, hop: &Hop, now: Millis) {
        let (Some(at), Some(learned)) = (self.dns, &self.learned) else { return };
        let network = Network::host(hop.to.ip());
        let scope = Scope { negated: false, protocol: Some(hop.protocol), network, port: hop.to.port() };
        let rule = Rule { scope, pattern: Box::default() };
        if let Err(cause) = learned.add(at, &rule, Some(now + DNS_EXPIRE)) {
            tracing::warn!("that {hop} does not answer cannot be remembered: {cause}");
        }
    }

    /// All lists, or the one called `name`.
    ///
    /// # Errors
    /// [`BlocklistError::Unknown`].
    pub fn show(&self, name: Option<&[u8]>) -> Result<Vec<Shown<'_>>, BlocklistError> {
        let used = match name {
            None => u32::MAX,
            Some(name) => 1 << self.list(name)?.0,
        };
        let shown = self.of(used).map(|(at, list)| Shown {
            name: &list.name,
            flags: list.flags,
            rules: match (list.flags.readonly, &self.learned) {
                (false, Some(learned)) => learned.rules(at),
                _ => list.rules.iter().map(|rule| (rule.clone(), None)).collect(),
            },
        });
        Ok(shown.collect())
    }

    /// The tables whose locks the supervisor sweeps after a death.
    pub fn sweepers(&self) -> impl Iterator<Item = &'static dyn Sweep> {
        self.learned.into_iter().flat_map(|learned| learned.sweepers())
    }

    /// The rules that end, for the TIMER workers; `None` if none does.
    pub(crate) fn expiring(&self) -> Option<Expiring> {
        self.learned.map(Expiring)
    }

    fn add_list(&mut self, arena: &'static Arena, definition: Definition) -> Result<(), BlocklistError> {
        let Definition { name, flags, rules } = definition;
        if self.place(name.as_bytes()).is_some() {
            return Err(BlocklistError::Twice(name));
        }
        let at = u8::try_from(self.lists.len()).unwrap_or(u8::MAX);
        if usize::from(at) >= MAX_LISTS {
            return Err(BlocklistError::Lists);
        }
        self.defaults |= u32::from(flags.default) << at;
        if flags.readonly {
            self.lists.push(List { name, flags, rules: rules.into() });
            return Ok(());
        }
        let learned = match self.learned {
            Some(learned) => learned,
            None => *self.learned.insert(Learned::create(arena)?),
        };
        rules.iter().try_for_each(|rule| learned.add(at, rule, None).map(|_| ()))?;
        self.lists.push(List { name, flags, rules: Box::default() });
        Ok(())
    }

    /// The lists in `used`, with their places.
    fn of(&self, used: u32) -> impl Iterator<Item = (u8, &List)> {
        (0u8..).zip(&self.lists).filter(move |(at, _)| used & 1 << at != 0)
    }

    fn place(&self, name: &[u8]) -> Option<u8> {
        (0u8..).zip(&self.lists).find(|(_, list)| list.name.as_bytes() == name).map(|(at, _)| at)
    }

    fn list(&self, name: &[u8]) -> Result<(u8, &List), BlocklistError> {
        let unknown = || BlocklistError::Unknown(String::from_utf8_lossy(name).into_owned());
        let at = self.place(name).ok_or_else(unknown)?;
        Ok((at, &self.lists[usize::from(at)]))
    }

    fn changeable(&self, name: &[u8]) -> Result<(u8, &List, &Learned), BlocklistError> {
        let (at, list) = self.list(name)?;
        match &self.learned {
            Some(learned) if !list.flags.readonly => Ok((at, list, learned)),
            _ => Err(BlocklistError::ReadOnly(list.name.clone())),
        }
    }
}

/// Rules whose time ends, shard by shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiring(Learned);

impl Expiring {
    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.0.shards()
    }

    /// When the shard's next rule is due, in milliseconds of the monotonic clock.
    pub(crate) fn next_due(&self, shard: usize) -> Millis {
        self.0.next_due(shard)
    }

    /// Ends rules of the shard whose time is over.
    pub(crate) fn expire(&self, shard: usize, now: Millis) {
        self.0.expire(shard, now, EXPIRE_BATCH);
    }
}
