//! The courier: takes events out of the log and sees them to their subscribers.
//!
//! One process runs it. It reads the log with a cursor, and puts each event into the outbox of every socket that is
//! subscribed; a task per outbox does the rest, so a subscriber that is slow or dead holds up no other. Once a second it
//! takes out the subscriptions that ended, finds what was lost, and says what was dropped.
//!
//! What becomes of an event is written into the account of its subscription as soon as it is known ([`crate::account`]). A
//! courier that is started again after a death goes on where the accounts say: what waited is sent, and of what was just
//! sent, only what could not be written down any more is sent twice.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tocsin_shm::{Cursor, Millis, Read, monotonic_millis};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::address::Address;
use crate::events::{Events, Shared};
use crate::ledger::{Ledger, Turn};
use crate::outbox::{Budget, Limits, Outbox};
use crate::registry::EventId;
use crate::subscriptions::Subscription;
use crate::transport::{Event, QUEUE_BYTES, QUEUE_EVENTS, Transport, Transports};

/// One part of the process's memory in this many is for what waits for one subscriber.
const QUEUE_SHARE: usize = 4;

/// The same for all subscribers together.
const ALL_QUEUES_SHARE: usize = 2;

/// How often the courier looks after the subscriptions.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a subscriber that is no longer subscribed may take for what was meant for it.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How many events are taken out of the log before the outboxes have their turn.
const TURN: usize = 256;

/// How many lines a second the courier logs about subscribers that cost events; the others are counted in one more.
const LINES: usize = 20;

/// How long to wait for a writer that took a number and has not yet written the event.
const PENDING_PAUSE: Duration = Duration::from_millis(1);

/// How much the courier lets wait for one subscriber before it drops what is new.
#[derive(Clone, Copy, Debug)]
pub struct CourierOptions {
    /// Events.
    pub queue_events: usize,
    /// Bytes of events.
    pub queue_bytes: usize,
    /// Bytes of events for all subscribers together.
    pub all_bytes: usize,
}

impl Default for CourierOptions {
    fn default() -> Self {
        Self { queue_events: QUEUE_EVENTS, queue_bytes: QUEUE_BYTES, all_bytes: 2 * QUEUE_BYTES }
    }
}

impl CourierOptions {
    /// What fits into a process that may use `private_bytes` of memory: half of it for all subscribers, a quarter for one.
    pub fn for_process(private_bytes: u64) -> Self {
        let private_bytes = usize::try_from(private_bytes).unwrap_or(usize::MAX);
        let default = Self::default();
        Self {
            queue_bytes: default.queue_bytes.min(private_bytes / QUEUE_SHARE),
            all_bytes: default.all_bytes.min(private_bytes / ALL_QUEUES_SHARE),
            ..default
        }
    }
}

/// Delivers the events of the log.
pub struct Courier {
    shared: &'static Shared,
    transports: Transports,
    limits: Limits,
    budget: Rc<Budget>,
    /// The eventfd that wakes this process.
    wake: AsyncFd<File>,
    cursor: Cursor,
    /// The subscriptions as of `generation`.
    followers: HashMap<EventId, Vec<Follower>>,
    generation: u64,
    /// By the index of the account: those of all subscriptions, and of former ones whose events are on their way.
    ledgers: HashMap<usize, Rc<Ledger>>,
    /// Ledgers that are to be written down before anybody else has their turn.
    changed: Vec<Rc<Ledger>>,
    outboxes: HashMap<String, Open>,
    /// Outboxes that nobody puts anything into any more.
    leaving: Vec<Leaving>,
    names: HashMap<EventId, Rc<[u8]>>,
}

/// One subscription, as the courier needs it for every event.
struct Follower {
    ledger: Rc<Ledger>,
    /// None if no transport can be found for it.
    outbox: Option<Rc<Outbox>>,
    /// The first ordinal of its events.
    start: u64,
    end: Millis,
    /// What was settled on its account before it began.
    before: u64,
}

struct Open {
    /// What the log calls the socket: its text may have a password.
    shown: String,
    outbox: Rc<Outbox>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Without their courier the events wait for the next one.
        self.task.abort();
    }
}

/// When the courier looks after the subscriptions.
struct Care {
    sweep_at: Instant,
    /// Whether accounts were closed since the last sweep.
    is_closed: bool,
}

struct Leaving {
    since: Instant,
    open: Open,
}

impl Courier {
    /// A courier for this process. `wake` is the eventfd that `events` was set up with.
    /// To be called inside the runtime.
    ///
    /// # Errors
    /// `wake` cannot be waited for.
    pub fn new(
        events: Events,
        transports: Transports,
        wake: OwnedFd,
        options: CourierOptions,
    ) -> io::Result<Self> {
        let shared = events.shared();
        shared.own_ports.close_all();
        transports.know(events);
        let mut courier = Self {
            shared,
            transports,
            limits: Limits { events: options.queue_events, bytes: options.queue_bytes },
            budget: Rc::new(Budget::new(options.all_bytes)),
            wake: listen(wake)?,
            cursor: Cursor::at(0),
            followers: HashMap::new(),
            generation: 0,
            ledgers: HashMap::new(),
            changed: Vec::new(),
            outboxes: HashMap::new(),
            leaving: Vec::new(),
            names: HashMap::new(),
        };
        let head = shared.log.head();
        let taken = shared.accounts.taken();
        courier.take_stock();
        courier.give_up_ownerless(&taken);
        let first = courier.ledgers.values().map(|ledger| ledger.first()).min();
        courier.cursor = Cursor::at(first.unwrap_or(head).min(head));
        Ok(courier)
    }

    /// Delivers until its task ends. Runs inside a `LocalSet`.
    pub async fn run(mut self) {
        let mut params = Vec::new();
        let mut care = Care { sweep_at: Instant::now(), is_closed: true };
        loop {
            let caught_up = self.read_some(&mut params).await;
            self.look_after(&mut care, Instant::now(), caught_up);
            if !caught_up {
                tokio::task::yield_now().await;
                continue;
            }
            self.shared.log.announce_sleep();
            // Whatever came between the last look and the announcement has nobody who rings for it.
            if self.read_some(&mut params).await {
                // Ringing, failing and the time of the sweep all mean: look again.
                let _ = timeout_at(care.sweep_at, self.hear()).await;
            }
        }
    }

    /// Looks after outboxes and subscriptions when it is time. `caught_up`: nothing was left to be read.
    fn look_after(&mut self, care: &mut Care, now: Instant, caught_up: bool) {
        if now >= care.sweep_at {
            *care = Care { sweep_at: now + SWEEP_EVERY, is_closed: false };
            self.sweep();
        }
        // Where events never cease, this is the moment at which there may be none for once.
        if caught_up && !care.is_closed {
            care.is_closed = self.close_accounts();
        }
    }

    /// Takes some events out of the log. True if there is none left.
    async fn read_some(&mut self, params: &mut Vec<u8>) -> bool {
        let met = self.read_turn(params);
        // Before anybody else has their turn, so that what is in the outboxes and what the accounts say is the same.
        self.changed.drain(..).for_each(|ledger| ledger.write_down());
        if met == Some(Read::Pending) {
            sleep(PENDING_PAUSE).await;
        }
        met == Some(Read::Empty)
    }

    /// Takes events out of the log until something else is met, or others are to have their turn.
    fn read_turn(&mut self, params: &mut Vec<u8>) -> Option<Read> {
        for _ in 0..TURN {
            match self.shared.log.read(&mut self.cursor, params) {
                Read::Record { number, kind, time, ordinal } => {
                    self.distribute(kind, number, time, ordinal, params);
                }
                // Whose they were is found out in the next sweep.
                Read::Lost { .. } => {}
                met @ (Read::Pending | Read::Empty) => return Some(met),
            }
        }
        None
    }

    /// Puts an event into the outboxes of its subscribers.
    fn distribute(&mut self, kind: u32, number: u64, time: u64, ordinal: u64, params: &[u8]) {
        let (id, depth) = EventId::from_kind(kind);
        // A subscription made before this event was raised has changed the generation before that.
        if self.generation != self.shared.subscriptions.generation() {
            self.take_stock();
        }
        let Some(followers) = self.followers.get(&id).filter(|followers| !followers.is_empty()) else {
            return;
        };
        let mut event = None;
        for follower in followers.iter().filter(|follower| ordinal >= follower.start) {
            let turn = follower.ledger.turn(number);
            let is_new = match &follower.outbox {
                _ if turn == Turn::Done => continue,
                _ if turn == Turn::New && time / 1000 >= follower.end => follower.ledger.late(number),
                Some(outbox) => {
                    let event = event.get_or_insert_with(|| {
                        let name = self
                            .names
                            .entry(id)
                            .or_insert_with(|| self.shared.registry.name(id).unwrap_or_default().into());
                        let mut event = Event::new(id, Rc::clone(name), number, time, params);
                        event.depth = depth;
                        Rc::new(event)
                    });
                    outbox.push(event, &follower.ledger, turn)
                }
                None => follower.ledger.refuse(number, turn),
            };
            if is_new {
                self.changed.push(Rc::clone(&follower.ledger));
            }
        }
    }

    /// Reads the subscriptions anew; opens outboxes for new sockets and closes those of sockets that are gone.
    fn take_stock(&mut self) {
        self.generation = self.shared.subscriptions.generation();
        let mut subscriptions = self.shared.subscriptions.take_stock();
        // Of two that share a way, the newer one is served first, as it is listed first.
        subscriptions.sort_unstable_by_key(|subscription| Reverse(subscription.order));
        let mut before = std::mem::take(&mut self.outboxes);
        self.followers.clear();
        for subscription in subscriptions {
            let Some(account) = self.shared.accounts.get(subscription.account) else { continue };
            account.open(|| self.shared.registry.raised(subscription.event));
            let ledger = self.ledgers.entry(subscription.account);
            let ledger = Rc::clone(ledger.or_insert_with(|| Rc::new(Ledger::resume(account))));
            let outbox = self.outbox_of(&subscription, &mut before);
            let (start, end) = (account.start().unwrap_or(u64::MAX), subscription.end());
            let follower = Follower { ledger, outbox, start, end, before: subscription.before.settled() };
            self.followers.entry(subscription.event).or_default().push(follower);
        }
        for open in before.into_values() {
            open.outbox.close();
            self.leaving.push(Leaving { since: Instant::now(), open });
        }
    }

    /// The outbox of a subscription's socket: the one it has, the one it had before, or a new one.
    fn outbox_of(
        &mut self,
        subscription: &Subscription,
        before: &mut HashMap<String, Open>,
    ) -> Option<Rc<Outbox>> {
        let socket = &subscription.socket;
        if let Some(open) = self.outboxes.get(socket) {
            return Some(Rc::clone(&open.outbox));
        }
        let open = before.remove(socket).map_or_else(|| self.open(subscription), Some)?;
        let outbox = Rc::clone(&open.outbox);
        self.outboxes.insert(socket.clone(), open);
        Some(outbox)
    }

    fn open(&self, subscription: &Subscription) -> Option<Open> {
        let (transport, address) = match self.resolve(subscription) {
            Ok(found) => found,
            Err(why) => {
                tracing::error!("cannot deliver to {}: {why}", subscription.shown);
                return None;
            }
        };
        let Shared { own_ports, totals, .. } = self.shared;
        let outbox = Rc::new(Outbox::new(self.limits, Rc::clone(&self.budget), *own_ports, totals));
        let task = tokio::task::spawn_local(Rc::clone(&outbox).deliver(transport, address));
        Some(Open { shown: subscription.shown.clone(), outbox, task })
    }

    fn resolve(&self, subscription: &Subscription) -> Result<(Rc<dyn Transport>, Address), String> {
        let address =
            self.transports.parse(subscription.socket.as_bytes()).map_err(|error| error.to_string())?;
        let (transport, _) = self.transports.find(address.scheme).ok_or("no transport")?;
        let address = match subscription.resolved {
            Some(to) if address.unresolved().is_some() => address.resolved(to),
            _ => address,
        };
        Ok((transport, address))
    }

    /// What is done once a second.
    fn sweep(&mut self) {
        let mut told = Told::default();
        for open in self.outboxes.values() {
            told.tell(&open.shown, &open.outbox);
        }
        self.leaving.retain(|Leaving { since, open }| {
            let is_over = since.elapsed() >= DRAIN_TIME && !open.task.is_finished();
            if is_over {
                open.outbox.give_up("the subscription ended and its subscriber did not take them in time");
            }
            told.tell(&open.shown, &open.outbox);
            !is_over && !open.task.is_finished()
        });
        told.tell_rest();
        self.release_ledgers();
    }

    /// Finds what was lost, and takes out the subscriptions that ended, if everything was read that was raised; else returns
    /// false.
    fn close_accounts(&mut self) -> bool {
        let now = monotonic_millis();
        let raised: Vec<_> =
            self.followers.keys().map(|event| (*event, self.shared.registry.raised(*event))).collect();
        // In this order: what was counted before nobody was writing is in the log, and what is in the log was read.
        if !self.shared.log.is_quiet() || self.shared.log.head() != self.cursor.number() {
            return false;
        }
        let (mut lost, mut subscriptions) = (0, 0);
        for (event, raised) in raised {
            for follower in self.followers.get(&event).into_iter().flatten() {
                let raised = raised.saturating_sub(follower.start);
                let count = follower.ledger.close(self.cursor.number(), raised, follower.before);
                lost += count;
                subscriptions += u64::from(count > 0);
            }
        }
        if lost > 0 {
            tracing::error!(
                "{lost} events of {subscriptions} subscriptions were lost: overwritten in the log before they were read, \
                 or left unfinished by a process that died"
            );
        }
        // What comes from here on was raised later, and is not for those that ended.
        self.shared.subscriptions.expire(now);
        let taken = self.shared.accounts.taken();
        self.take_stock();
        self.give_up_ownerless(&taken);
        true
    }

    /// Gives back the accounts of subscriptions that are gone and have nothing on its way.
    fn release_ledgers(&mut self) {
        let followed: std::collections::HashSet<*const Ledger> =
            self.followers.values().flatten().map(|follower| Rc::as_ptr(&follower.ledger)).collect();
        self.ledgers.retain(|_, ledger| {
            let is_needed = followed.contains(&Rc::as_ptr(ledger)) || !ledger.is_empty();
            if !is_needed {
                ledger.write_down();
                ledger.account().free();
            }
            is_needed
        });
    }

    /// Frees the accounts without a subscription: of one that was gone when the former courier ended, so that nobody knows
    /// any more where its events were to go, and of one that could not be made. `taken` are the accounts that were taken
    /// before the subscriptions were read.
    fn give_up_ownerless(&mut self, taken: &[usize]) {
        let mut dropped = 0;
        for index in taken.iter().filter(|index| !self.ledgers.contains_key(index)) {
            let Some(account) = self.shared.accounts.get(*index) else { continue };
            let mut balance = account.balance();
            dropped += balance.waiting;
            (balance.dropped, balance.waiting) = (balance.dropped + balance.waiting, 0);
            account.write(&balance);
            account.free();
        }
        if dropped > 0 {
            tracing::error!(
                "dropped {dropped} events: their subscriptions had ended when their courier died"
            );
        }
    }

    /// Waits to be woken, and resets the eventfd.
    async fn hear(&self) -> io::Result<()> {
        let mut ready = self.wake.readable().await?;
        let mut bytes = [0; 64];
        while ready
            .try_io(|wake| wake.get_ref().read(&mut bytes))
            .is_ok_and(|read| read.is_ok_and(|length| length > 0))
        {}
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe because of types that swap their descriptor; a file does not"
)]
fn listen(wake: OwnedFd) -> io::Result<AsyncFd<File>> {
    AsyncFd::with_interest(File::from(wake), Interest::READABLE)
}

/// `1 event`, `2 events`
fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

/// What was said in this second about events that were dropped.
#[derive(Default)]
struct Told {
    lines: usize,
    subscribers: u64,
    events: u64,
}

impl Told {
    /// Says what an outbox dropped since the last time, as long as there are not too many that did.
    fn tell(&mut self, socket: &str, outbox: &Outbox) {
        let Some((count, why)) = outbox.take_dropped() else { return };
        if self.lines < LINES {
            self.lines += 1;
            tracing::error!("dropped {} for {socket}: {why}", events(count));
        } else {
            self.subscribers += 1;
            self.events += count;
        }
    }

    fn tell_rest(self) {
        let Self { subscribers, events, .. } = self;
        if subscribers > 0 {
            tracing::error!("dropped {} for {subscribers} more subscribers", self::events(events));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tocsin_shm::{Arena, ArenaOptions};

    use super::*;
    use crate::events::EventOptions;
    use crate::subscriptions::Owner;

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    fn courier() -> (Events, Courier) {
        let bytes = 64 << 20;
        let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 8 << 20 }).unwrap();
        let (wake_fd, wake) = UnixStream::pair().unwrap();
        wake.set_nonblocking(true).unwrap();
        let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
        let courier = Courier::new(events, Transports::new(), wake.into(), CourierOptions::default());
        (events, courier.unwrap())
    }

    #[test]
    fn an_account_without_a_subscription_is_given_back() {
        in_runtime(async {
            let (events, courier) = courier();
            let accounts = events.shared().accounts;
            let courier = tokio::task::spawn_local(courier.run());
            // A process that subscribes ends between the two, or finds no room for the record.
            accounts.take(0).unwrap();
            let given_back = async {
                while !accounts.taken().is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            timeout_at(Instant::now() + 20 * SWEEP_EVERY, given_back).await.unwrap();
            courier.abort();
        });
    }

    /// More events come in each second than are read before the sweep, and there is a moment without one behind it.
    #[test]
    fn accounts_are_closed_though_there_are_events_at_each_sweep() {
        in_runtime(async {
            let (events, mut courier) = courier();
            let address = Address::new("udp", "127.0.0.1:9", crate::address::Endpoint::Text);
            let event = EventId::THRESHOLD;
            // It ended long ago.
            let subscriptions = events.subscriptions();
            subscriptions.subscribe(Owner::Client, event, &address, Some(0), 0, 0).unwrap();
            let mut care = Care { sweep_at: Instant::now(), is_closed: true };
            for _ in 0..=TURN {
                events.raise(event, |_| ());
            }
            let (now, mut params) = (Instant::now(), Vec::new());
            let caught_up = courier.read_some(&mut params).await;
            courier.look_after(&mut care, now, caught_up);
            assert_eq!((caught_up, subscriptions.all().len()), (false, 1), "not everything was read");
            let caught_up = courier.read_some(&mut params).await;
            courier.look_after(&mut care, now, caught_up);
            assert_eq!((caught_up, subscriptions.all().len()), (true, 0));
        });
    }
}
