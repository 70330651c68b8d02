//! Raising an event, from any process and from any place.
//!
//! When nobody is subscribed that is one load. Otherwise the parameters are written into a buffer of the process, copied
//! once into the event log, and the courier is woken if it sleeps. Nothing waits, and after the first raise of a
//! process nothing is allocated.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tocsin_shm::{Arena, ArenaFull, Log, LogOptions, ShmSafe, Sweep, monotonic_millis};

use crate::account::{Account, Accounts, Balance, Picture};
use crate::address::Address;
use crate::core_events::CoreEvent;
use crate::depth::{MAX_DEPTH, depth, report_too_deep};
use crate::own::{OwnListener, OwnPorts};
use crate::params::{MAX_PARAMS_BYTES, ParamsWriter};
use crate::registry::{EventId, MAX_EVENTS, PublishError, Registry, Slot};
use crate::subscriptions::{MAX_SUBSCRIPTIONS, Owner, SubscribeError, Subscription, Subscriptions};

/// The sizes of the tables of the Event Interface.
#[derive(Clone, Copy, Debug)]
pub struct EventOptions {
    /// How many events may be published.
    pub events: usize,
    /// How many subscriptions there may be. Each takes 144 bytes from the start, and its texts once it is made.
    pub subscriptions: usize,
    /// How many events the log holds, 64 bytes each.
    pub log_records: usize,
    /// How many bytes of parameters the log holds.
    pub log_bytes: usize,
    /// How many slots the process table has.
    pub slots: u16,
}

impl EventOptions {
    /// The usual limits, in a small arena fewer subscriptions, and a log that takes a fair part of an arena of `bytes`: a
    /// 32nd for parameters and a 64th for records, up to 16 MiB and 65,536 records.
    pub fn for_arena(bytes: u64, slots: u16) -> Self {
        let part = |of: u64, least: u64, most: u64| 1_usize << (bytes / of).clamp(least, most).ilog2();
        Self {
            events: MAX_EVENTS,
            subscriptions: part(BYTES_PER_SUBSCRIPTION, 64, MAX_SUBSCRIPTIONS as u64),
            log_records: part(LOG_RECORDS_SHARE * LOG_RECORD_BYTES, 512, MAX_LOG_RECORDS),
            log_bytes: part(LOG_BYTES_SHARE, 64 << 10, MAX_LOG_BYTES),
            slots,
        }
    }
}

/// An arena has room for a subscription for each so many bytes, up to [`MAX_SUBSCRIPTIONS`].
const BYTES_PER_SUBSCRIPTION: u64 = 4096;
/// One part of the arena in this many is for the parameters in the log.
const LOG_BYTES_SHARE: u64 = 32;
/// The most bytes for them.
const MAX_LOG_BYTES: u64 = 16 << 20;
/// One part of the arena in this many is for the records of the log.
const LOG_RECORDS_SHARE: u64 = 64;
/// What each of them takes.
const LOG_RECORD_BYTES: u64 = 64;
/// The most records.
const MAX_LOG_RECORDS: u64 = 65_536;

/// Why the Event Interface could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The arena has no room for its tables.
    #[error("no shared memory for the event tables: {0}")]
    Arena(#[from] ArenaFull),
    /// The table of events is smaller than the core needs.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What became of a raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// Nobody is subscribed.
    Unheard,
    /// It is in the event log under this number, and on its way.
    Logged(u64),
    /// Its parameters take more than [`MAX_PARAMS_BYTES`] bytes, or more than the log takes; it is counted and gone.
    TooLarge,
    /// Event routes raise it for each other too deep ([`crate::MAX_DEPTH`]); it is counted and gone.
    TooDeep,
}

/// The Event Interface. A copy refers to the same; all processes share its tables.
#[derive(Clone, Copy)]
pub struct Events {
    shared: &'static Shared,
}

/// What [`Events`] refers to: made before the first fork, and never taken down.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) accounts: Accounts,
    pub(crate) log: Log,
    pub(crate) totals: &'static Totals,
    pub(crate) own_ports: OwnPorts,
    own_listeners: OnceLock<Vec<OwnListener>>,
    /// Rings at the courier: an eventfd, or any descriptor that wakes it and never blocks.
    pub(crate) wake_fd: File,
}

/// What happened to events since the start.
#[derive(Debug, Default, ShmSafe)]
pub(crate) struct Totals {
    pub(crate) too_large: AtomicU64,
    pub(crate) too_deep: AtomicU64,
    pub(crate) unconfirmed: AtomicU64,
}

/// A picture of what happened to events since the start: `due` is the sum of `delivered`, `dropped`, `lost` and `waiting`,
/// whenever it is taken and whichever process died before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Raised while somebody was subscribed.
    pub raised: u64,
    /// Refused because their parameters were too large.
    pub too_large: u64,
    /// Refused because event routes raise events for each other too deep.
    pub too_deep: u64,
    /// Raised for subscribers: as `raised`, but once for each subscription there was.
    pub due: u64,
    /// Of these, handed to the subscriber's socket; over a connection, acknowledged by the system at its other end.
    pub delivered: u64,
    /// Of those delivered, what may not have been read: acknowledged by the system of a `tcp:` subscriber, whose connection
    /// then ended in a way that does not say, and not sent again.
    pub unconfirmed: u64,
    /// Given up for a subscriber that is gone or does not keep up.
    pub dropped: u64,
    /// Overwritten in the log before the courier came to them, or left unfinished by a process that died.
    pub lost: u64,
    /// Not delivered yet.
    pub waiting: u64,
}

/// What became of the events of one subscription since it began: `raised` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionCounts {
    /// Raised.
    pub raised: u64,
    /// As in [`EventCounts`].
    pub delivered: u64,
    /// As in [`EventCounts`].
    pub dropped: u64,
    /// As in [`EventCounts`].
    pub lost: u64,
    /// As in [`EventCounts`].
    pub waiting: u64,
}

impl Events {
    /// Sets up the tables and publishes the core events. `wake_fd` is a descriptor, not blocking, that wakes the courier
    /// when eight bytes are written to it: an eventfd. To be called before the first fork.
    ///
    /// # Errors
    /// There is no room in the arena.
    pub fn create(
        arena: &'static Arena,
        options: &EventOptions,
        wake_fd: OwnedFd,
    ) -> Result<Self, SetUpError> {
        let slots = arena.boot_array(options.events, |_| Slot::default())?;
        let registry = Registry::new(slots)?;
        let accounts = Accounts::create(arena, options.subscriptions)?;
        let log = LogOptions { records: options.log_records, bytes: options.log_bytes, slots: options.slots };
        let shared = Shared {
            registry,
            subscriptions: Subscriptions::create(arena, accounts, registry)?,
            accounts,
            log: Log::create(arena, log)?,
            totals: &arena.boot_array(1, |_| Totals::default())?[0],
            own_ports: OwnPorts::create(arena)?,
            own_listeners: OnceLock::new(),
            wake_fd: wake_fd.into(),
        };
        Ok(Self { shared: Box::leak(Box::new(shared)) })
    }

    /// Raises an event: `write` is called only if somebody is subscribed.
    #[inline]
    pub fn raise(&self, id: EventId, write: impl FnOnce(&mut ParamsWriter<'_>)) -> Raised {
        if self.shared.registry.is_wanted(id) { self.append(id, write) } else { Raised::Unheard }
    }

    /// Whether anybody is subscribed to `id`. May say yes for a moment when nobody is, never no when somebody is.
    #[inline]
    pub fn is_wanted(&self, id: EventId) -> bool {
        self.shared.registry.is_wanted(id)
    }

    /// Subscribes `address` to `event` for `expire` seconds, or for ever, from the next event on; or refreshes that
    /// subscription.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn subscribe(
        &self,
        event: EventId,
        address: &Address,
        expire: Option<u32>,
    ) -> Result<(), SubscribeError> {
        // Before the line can be an event for this subscriber.
        if address.is_missing() {
            tracing::warn!(
                "{}: there is no such socket yet: events are dropped until there is",
                address.shown
            );
        }
        self.subscribe_as(Owner::Client, event, address, expire)
    }

    /// Ends the subscription of `socket` to `event` at once. What was raised before is still delivered. Returns `false` if there
    /// is none; one of the script's own routes is not ended.
    pub fn unsubscribe(&self, event: EventId, socket: &str) -> bool {
        let is_ended = self.shared.subscriptions.end(event, socket, monotonic_millis());
        if is_ended {
            self.ring();
        }
        is_ended
    }

    /// As [`Self::subscribe`], for the script's own routes: clients that subscribe the same route get a subscription of
    /// their own.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn subscribe_route(&self, event: EventId, address: &Address) -> Result<(), SubscribeError> {
        self.subscribe_as(Owner::Script, event, address, None)
    }

    /// Ends a subscription that [`Self::subscribe_route`] made. What was raised before is still delivered.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn unsubscribe_route(&self, event: EventId, address: &Address) -> Result<(), SubscribeError> {
        self.subscribe_as(Owner::Script, event, address, Some(0))
    }

    fn subscribe_as(
        &self,
        owner: Owner,
        event: EventId,
        address: &Address,
        expire: Option<u32>,
    ) -> Result<(), SubscribeError> {
        if self.is_own(address) {
            return Err(SubscribeError::Own);
        }
        let head = self.shared.log.head();
        self.shared.subscriptions.subscribe(owner, event, address, expire, monotonic_millis(), head)?;
        self.ring();
        Ok(())
    }

    /// Learns where the server listens: nobody can subscribe these places. To be called once, before the first fork and
    /// before the first subscription.
    pub fn know_own_listeners(&self, listeners: Vec<OwnListener>) {
        let known = self.shared.own_listeners.set(listeners);
        debug_assert!(known.is_ok(), "registered once");
    }

    /// Whether the server itself listens at `address`, or at a part of it.
    pub(crate) fn is_own(&self, address: &Address) -> bool {
        let own = self.shared.own_listeners.get().map_or(&[][..], Vec::as_slice);
        own.iter().any(|listener| listener.is_at(address))
    }

    /// Raises the core event `event` under `id`: as [`Events::raise`].
    #[inline]
    pub fn raise_core<E: CoreEvent>(&self, id: EventId, event: &E) -> Raised {
        self.raise(id, |params| event.write(params))
    }

    /// Whether a connection that comes from `remote` and reached this host at `local` was made by the courier. It is not
    /// worth an event or a line in the log, which might be delivered over the next one.
    pub fn is_own_connection(&self, remote: SocketAddr, local: SocketAddr) -> bool {
        self.shared.own_ports.contain(remote, local)
    }

    /// The published events.
    pub fn registry(&self) -> Registry {
        self.shared.registry
    }

    /// The subscriptions.
    pub fn subscriptions(&self) -> Subscriptions {
        self.shared.subscriptions
    }

    /// What happened to events since the start.
    pub fn counts(&self) -> EventCounts {
        let Shared { registry, accounts, totals, .. } = self.shared;
        // In this order: a subscription is taken out only after its account holds all that was raised for it.
        let subscriptions = self.shared.subscriptions.all();
        let pictures: Vec<_> = accounts.touched().iter().map(Account::picture).collect();
        let sum = |of: fn(&Balance) -> u64| pictures.iter().map(|picture| of(&picture.balance)).sum::<u64>();
        let [delivered, dropped, lost] =
            [sum(|balance| balance.delivered), sum(|balance| balance.dropped), sum(|balance| balance.lost)];
        let unread = subscriptions.iter().filter_map(|subscription| {
            let picture = pictures.get(subscription.account)?;
            Some(self.unread(subscription, picture))
        });
        let waiting = sum(|balance| balance.waiting) + unread.sum::<u64>();
        EventCounts {
            raised: registry.all_raised(),
            too_large: totals.too_large.load(Relaxed),
            too_deep: totals.too_deep.load(Relaxed),
            due: delivered + dropped + lost + waiting,
            delivered,
            unconfirmed: totals.unconfirmed.load(Relaxed),
            dropped,
            lost,
            waiting,
        }
    }

    /// How many events wait for each subscription, under the text that lists show; those without any are left out.
    pub fn waiting(&self) -> Vec<(String, u64)> {
        let all = self.shared.subscriptions.all().into_iter();
        let counted = all.map(|one| {
            let waiting = self.counts_of(&one).waiting;
            (one.shown, waiting)
        });
        counted.filter(|(_, waiting)| *waiting > 0).collect()
    }

    /// What became of the events of one subscription; nothing is known of one that was taken out.
    pub fn counts_of(&self, subscription: &Subscription) -> SubscriptionCounts {
        let account = self.shared.accounts.get(subscription.account).map(Account::picture);
        let Some(picture) = account.filter(|picture| picture.tenure == subscription.tenure) else {
            return SubscriptionCounts::default();
        };
        let (balance, before) = (&picture.balance, &subscription.before);
        let delivered = balance.delivered.saturating_sub(before.delivered);
        let dropped = balance.dropped.saturating_sub(before.dropped);
        let lost = balance.lost.saturating_sub(before.lost);
        let waiting = balance.waiting + self.unread(subscription, &picture);
        let raised = delivered + dropped + lost + waiting;
        SubscriptionCounts { raised, delivered, dropped, lost, waiting }
    }

    /// How many events of a subscription the courier had not looked at when its account was as in the `picture`.
    fn unread(&self, subscription: &Subscription, picture: &Picture) -> u64 {
        let Shared { registry, log, .. } = self.shared;
        let Some(start) = picture.start.filter(|_| picture.tenure == subscription.tenure) else {
            // It was closed, and another one has its account: that holds all.
            return 0;
        };
        let balance = &picture.balance;
        if subscription.end() > monotonic_millis() {
            let settled = balance.settled().saturating_sub(subscription.before.settled());
            let seen = settled + balance.waiting + balance.late;
            return registry.raised(subscription.event).saturating_sub(start).saturating_sub(seen);
        }
        // The counter of the event goes on, and the subscription has ended.
        let mut count = 0;
        log.survey(balance.next, |kind, time, ordinal| {
            let is_its = EventId::from_kind(kind).0 == subscription.event && ordinal >= start;
            count += u64::from(is_its && time / 1000 < subscription.end());
        });
        count
    }

    /// What the supervisor sweeps after a death.
    pub fn sweepers(&self) -> [&'static dyn Sweep; 2] {
        [self.shared.log.sweeper(), self.shared.subscriptions.sweeper()]
    }

    pub(crate) fn shared(&self) -> &'static Shared {
        self.shared
    }

    #[cold]
    fn append(&self, id: EventId, write: impl FnOnce(&mut ParamsWriter<'_>)) -> Raised {
        if depth() > MAX_DEPTH {
            self.shared.totals.too_deep.fetch_add(1, Relaxed);
            report_too_deep(&self.shared.registry.name(id).unwrap_or_default());
            return Raised::TooDeep;
        }
        BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut bytes) => {
                bytes.clear();
                bytes.reserve_exact(MAX_PARAMS_BYTES);
                self.append_with(&mut bytes, id, write)
            }
            // Raised by what writes the parameters of another one.
            Err(_) => self.append_with(&mut Vec::new(), id, write),
        })
    }

    fn append_with(
        &self,
        bytes: &mut Vec<u8>,
        id: EventId,
        write: impl FnOnce(&mut ParamsWriter<'_>),
    ) -> Raised {
        let mut params = ParamsWriter::new(bytes);
        write(&mut params);
        let counter = self.shared.registry.counter(id);
        let appended = params.finish().zip(counter).and_then(|(bytes, counter)| {
            self.shared.log.append_counted(id.kind(depth()), counter, &[bytes]).ok()
        });
        let Some(appended) = appended else {
            self.shared.totals.too_large.fetch_add(1, Relaxed);
            return Raised::TooLarge;
        };
        if appended.wake {
            self.ring();
        }
        Raised::Logged(appended.number)
    }

    /// Wakes the courier. It fails only if the eventfd is full: then the courier is being woken already.
    fn ring(&self) {
        let _ = (&self.shared.wake_fd).write(&1_u64.to_ne_bytes());
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

thread_local! {
    /// Where this process writes the parameters of the event it raises.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicBool;

    use tocsin_shm::{ArenaOptions, Millis};

    use super::*;
    use crate::address::Endpoint;

    /// One thread subscribes, raises and, as the courier does, closes the account and takes the subscription out; the sum must
    /// never lose what it had.
    #[test]
    fn the_sum_never_falls_while_subscriptions_are_taken_out() {
        const ROUNDS: u64 = 30_000;
        const RAISED: u64 = 3;
        let bytes = 64 << 20;
        let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 8 << 20 }).unwrap();
        let (wake_fd, _wake) = UnixStream::pair().unwrap();
        wake_fd.set_nonblocking(true).unwrap();
        let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
        let Shared { subscriptions, accounts, log, .. } = events.shared();
        let (event, now) = (EventId::THRESHOLD, monotonic_millis());
        let address = Address::new("udp", "127.0.0.1:9", Endpoint::Text);
        let is_over = AtomicBool::new(false);
        let round = || {
            subscriptions.subscribe(Owner::Client, event, &address, Some(3600), now, log.head()).unwrap();
            (0..RAISED).for_each(|_| assert!(matches!(events.raise(event, |_| ()), Raised::Logged(_))));
            let account = accounts.get(subscriptions.all()[0].account).unwrap();
            let balance = account.balance();
            account.write(&Balance { next: log.head(), dropped: balance.dropped + RAISED, ..balance });
            assert_eq!(subscriptions.expire(Millis::MAX - 1), 1);
            account.free();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..ROUNDS).for_each(|_| round());
                is_over.store(true, Relaxed);
            });
            let mut before = 0;
            while !is_over.load(Relaxed) {
                let due = events.counts().due;
                assert!(due >= before, "{due} after {before}");
                before = due;
            }
        });
        assert_eq!(events.counts().due, ROUNDS * RAISED);
    }
}
