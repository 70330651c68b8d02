//! Domains: the tables that `save()` and `lookup()` name, each with its counts.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_server::statistic_row::StatRow;
use tocsin_server::statistics::{StatId, Statistics};
use tocsin_shm::{Arena, ArenaFull, ShmSafe};

use super::bindings::Change;
use super::table::Committed;

/// Domains that a configuration may use.
pub const MAX_DOMAINS: usize = 64;

/// A domain that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainId(pub(super) u8);

/// One domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Domain {
    /// As the script names it.
    pub(super) name: &'static str,
    counts: &'static Counts,
    expired: StatId,
}

const GROUP: &str = "usrloc";
const USERS: StatRow = StatRow::value(GROUP, "<domain>-users", "AORs of a domain that have contacts.");
const CONTACTS: StatRow = StatRow::value(GROUP, "<domain>-contacts", "Contacts of a domain.");
const EXPIRED: StatRow = StatRow::counter(GROUP, "<domain>-expires", "Contacts of a domain that expired.");
/// All AORs.
pub(super) const REGISTERED: StatRow =
    StatRow::value(GROUP, "registered_users", "AORs of all domains that have contacts.");

/// The group usrloc.
pub(super) const STATISTICS: &[StatRow] = &[REGISTERED, USERS, CONTACTS, EXPIRED];

/// How much there is, counted by all processes together. A process that dies between a change and its count leaves
/// the count off by that change.
#[derive(Debug, Default, ShmSafe)]
struct Counts {
    users: AtomicI64,
    contacts: AtomicI64,
}

impl Domain {
    /// A domain without AORs, and its statistics.
    pub(super) fn register(
        name: &'static str,
        arena: &'static Arena,
        statistics: &mut Statistics,
    ) -> Result<Self, ArenaFull> {
        let counts = &arena.boot_array(1, |_| Counts::default())?[0];
        let (users, contacts) = (USERS.of(name), CONTACTS.of(name));
        statistics.computed(GROUP, move |each| {
            each(&users, counts.users.load(Relaxed));
            each(&contacts, counts.contacts.load(Relaxed));
        });
        let expired = statistics.counter_named(&EXPIRED, EXPIRED.of(name).leak());
        Ok(Self { name, counts, expired })
    }

    /// Counts a commit and what it changed.
    pub(super) fn count(
        &self,
        statistics: &Statistics,
        committed: Committed,
        changes: impl Iterator<Item = Change>,
    ) {
        let users = i64::from(committed == Committed::Created) - i64::from(committed == Committed::Removed);
        let (mut contacts, mut expired) = (0, 0);
        for change in changes {
            match change {
                Change::Inserted => contacts += 1,
                Change::Updated => {}
                Change::Deleted => contacts -= 1,
                Change::Expired => (contacts, expired) = (contacts - 1, expired + 1),
            }
        }
        if users != 0 {
            self.counts.users.fetch_add(users, Relaxed);
        }
        if contacts != 0 {
            self.counts.contacts.fetch_add(contacts, Relaxed);
        }
        if expired != 0 {
            statistics.add(self.expired, expired);
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    #[test]
    fn counts_follow_the_commits() {
        let arena = Arena::create(&ArenaOptions { bytes: 1 << 20, boot_bytes: 256 << 10 }).unwrap();
        let mut statistics = Statistics::default();
        let domain = Domain::register("location", arena, &mut statistics).unwrap();
        statistics.share(arena, 1).unwrap();
        let read = || {
            let readings = statistics.read(&"usrloc:".into()).into_iter();
            readings.map(|r| format!("{}={}", r.name, r.value)).collect::<Vec<_>>().join(" ")
        };
        domain.count(&statistics, Committed::Created, [Change::Inserted, Change::Inserted].into_iter());
        domain.count(&statistics, Committed::Replaced, [Change::Updated, Change::Deleted].into_iter());
        assert_eq!(read(), "usrloc:location-users=1 usrloc:location-contacts=1 usrloc:location-expires=0");
        domain.count(&statistics, Committed::Removed, [Change::Expired].into_iter());
        assert_eq!(read(), "usrloc:location-users=0 usrloc:location-contacts=0 usrloc:location-expires=1");
    }
}
