//! The courier: takes events out of the log and sees them to their subscribers.
//!
//! One process runs it. It reads the log with a cursor, and puts each event into the outbox of every socket that is
//! subscribed; a task per outbox does the rest, so a subscriber that is slow or dead holds up no other. Once a second it
//! takes out the subscriptions that ended, notes how far each one has come, and says what was dropped.
//!
//! A courier that is started again after a death goes on where the noted progress says: events that were on their way are
//! sent, those of the last second perhaps twice.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tocsin_shm::{Cursor, Millis, Read, monotonic_millis};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::events::{Events, Shared};
use crate::outbox::{Budget, Limits, Outbox};
use crate::registry::EventId;
use crate::subscriptions::{Progress, Subscription};
use crate::transport::{Address, Event, Transport, Transports};

/// How many events may wait for one subscriber, unless [`CourierOptions`] says otherwise.
pub const QUEUE_EVENTS: usize = 65_536;

/// How many bytes of events may wait for one subscriber, unless [`CourierOptions`] says otherwise.
pub const QUEUE_BYTES: usize = 64 << 20;

/// How often the courier looks after the subscriptions.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long a subscriber that is no longer subscribed may take for what was meant for it.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How many events are taken out of the log before the outboxes have their turn.
const TURN: usize = 256;

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
            queue_bytes: default.queue_bytes.min(private_bytes / 4),
            all_bytes: default.all_bytes.min(private_bytes / 2),
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
    /// Where the bell is heard.
    ears: AsyncFd<File>,
    cursor: Cursor,
    /// The subscriptions as of `generation`.
    followers: HashMap<EventId, Vec<Follower>>,
    generation: u64,
    outboxes: HashMap<String, Open>,
    /// Outboxes that nobody puts anything into any more, and since when.
    leaving: Vec<(Instant, JoinHandle<()>)>,
    names: HashMap<EventId, Rc<[u8]>>,
    /// Rung by outboxes that have become empty.
    idle: Rc<Notify>,
}

/// One subscription, as the courier needs it for every event.
struct Follower {
    socket: String,
    outbox: Rc<Outbox>,
    first: u64,
    end: Millis,
}

struct Open {
    outbox: Rc<Outbox>,
    task: JoinHandle<()>,
}

impl Courier {
    /// A courier for this process. `ears` is where the bell that `events` was set up with is heard: the same eventfd.
    /// To be called inside the runtime.
    ///
    /// # Errors
    /// `ears` cannot be waited for.
    pub fn new(
        events: Events,
        transports: Transports,
        ears: OwnedFd,
        options: CourierOptions,
    ) -> io::Result<Self> {
        let shared = events.shared();
        let mut courier = Self {
            shared,
            transports,
            limits: Limits { events: options.queue_events, bytes: options.queue_bytes },
            budget: Rc::new(Budget::new(options.all_bytes)),
            ears: listen(ears)?,
            cursor: Cursor::at(0),
            followers: HashMap::new(),
            generation: 0,
            outboxes: HashMap::new(),
            leaving: Vec::new(),
            names: HashMap::new(),
            idle: Rc::default(),
        };
        let subscriptions = courier.shared.subscriptions.list(monotonic_millis());
        let owed = subscriptions.iter().map(|subscription| subscription.first).min();
        let owed = owed.unwrap_or_else(|| shared.log.head()).max(shared.totals.settled.load(Relaxed));
        // What was overwritten meanwhile is found lost, and counted.
        courier.cursor = Cursor::at(owed);
        Ok(courier)
    }

    /// Delivers until its task ends. Runs inside a `LocalSet`.
    pub async fn run(mut self) {
        let mut params = Vec::new();
        let mut sweep_at = Instant::now();
        loop {
            let caught_up = self.read_some(&mut params).await;
            if Instant::now() >= sweep_at {
                sweep_at = Instant::now() + SWEEP_EVERY;
                self.sweep();
            }
            if !caught_up {
                tokio::task::yield_now().await;
                continue;
            }
            self.shared.log.announce_sleep();
            // Whatever came between the last look and the announcement has nobody who rings for it.
            if self.read_some(&mut params).await {
                self.settle();
                // Ringing, an outbox that became empty, failing and the time of the sweep all mean: look again.
                let idle = Rc::clone(&self.idle);
                tokio::select! {
                    _ = timeout_at(sweep_at, self.hear()) => {}
                    () = idle.notified() => {}
                }
            }
        }
    }

    /// Takes some events out of the log. True if there is none left.
    async fn read_some(&mut self, params: &mut Vec<u8>) -> bool {
        for _ in 0..TURN {
            match self.shared.log.read(&mut self.cursor, params) {
                Read::Record { number, kind, time } => {
                    self.distribute(kind, number, time, params);
                }
                Read::Lost { count } => {
                    self.shared.totals.lost.fetch_add(count, Relaxed);
                    tracing::error!(
                        "{count} events were lost: overwritten in the log, or left unfinished by a dead process"
                    );
                }
                Read::Pending => {
                    sleep(PENDING_PAUSE).await;
                    return false;
                }
                Read::Empty => return true,
            }
        }
        false
    }

    /// Notes how far everything is delivered, so that a successor sends little twice.
    fn settle(&self) {
        if self.outboxes.values().all(|open| open.outbox.first_waiting().is_none()) {
            self.shared.totals.settled.fetch_max(self.cursor.number(), Relaxed);
        }
    }

    /// Puts an event into the outboxes of its subscribers.
    fn distribute(&mut self, kind: u32, number: u64, time: u64, params: &[u8]) {
        let (id, depth) = EventId::from_kind(kind);
        // Whoever subscribed before this event was raised has changed the generation before that.
        if self.generation != self.shared.subscriptions.generation() {
            self.take_stock();
        }
        let Some(followers) = self.followers.get(&id).filter(|followers| !followers.is_empty()) else {
            return;
        };
        let name =
            self.names.entry(id).or_insert_with(|| self.shared.registry.name(id).unwrap_or_default().into());
        let mut event = Event::new(id, Rc::clone(name), number, time, params);
        event.depth = depth;
        let event = Rc::new(event);
        let raised_at = monotonic_time_of(time);
        for follower in followers {
            if number >= follower.first && raised_at < follower.end {
                follower.outbox.push(&event);
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
            let Some(outbox) = self.outbox_of(&subscription, &mut before) else { continue };
            let (first, end) = (subscription.first, subscription.end());
            let follower = Follower { socket: subscription.socket, outbox, first, end };
            self.followers.entry(subscription.event).or_default().push(follower);
        }
        for open in before.into_values() {
            open.outbox.close();
            self.leaving.push((Instant::now(), open.task));
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
        let outbox = Rc::new(Outbox::new(self.limits, Rc::clone(&self.budget), Rc::clone(&self.idle)));
        let task = tokio::task::spawn_local(Rc::clone(&outbox).deliver(transport, address));
        Some(Open { outbox, task })
    }

    fn resolve(&self, subscription: &Subscription) -> Result<(Rc<dyn Transport>, Address), String> {
        let address =
            self.transports.parse(subscription.socket.as_bytes()).map_err(|error| error.to_string())?;
        let (transport, _) = self.transports.find(address.scheme).ok_or("no transport")?;
        let address = match subscription.resolved {
            Some(to) if address.unresolved().is_some() => address.resolved(to),
            _ => address,
        };
        Ok((Rc::clone(transport), address))
    }

    /// What is done once a second.
    fn sweep(&mut self) {
        self.shared.subscriptions.expire(monotonic_millis());
        self.take_stock();
        let mut counted = HashMap::new();
        for (socket, open) in &self.outboxes {
            let (counts, error) = open.outbox.take_counts();
            self.shared.totals.delivered.fetch_add(counts.delivered, Relaxed);
            self.shared.totals.dropped.fetch_add(counts.dropped, Relaxed);
            if counts.dropped > 0 {
                let why = error.unwrap_or_else(|| "the transport gave no reason".into());
                tracing::error!("dropped {} events for {socket}: {why}", counts.dropped);
            }
            counted.insert(socket.as_str(), counts);
        }
        for (event, followers) in &self.followers {
            for follower in followers {
                let counts = counted.get(follower.socket.as_str()).copied().unwrap_or_default();
                let progress = Progress {
                    first: follower
                        .outbox
                        .first_waiting()
                        .unwrap_or_else(|| self.cursor.number())
                        .max(follower.first),
                    queued: follower.outbox.queued(),
                    delivered: counts.delivered,
                    dropped: counts.dropped,
                };
                self.shared.subscriptions.note(*event, &follower.socket, progress);
            }
        }
        self.leaving.retain(|(since, task)| {
            if since.elapsed() >= DRAIN_TIME {
                task.abort();
            }
            !task.is_finished()
        });
    }

    /// Waits for the bell, and stops it.
    async fn hear(&self) -> io::Result<()> {
        let mut ready = self.ears.readable().await?;
        let mut bytes = [0; 64];
        while ready
            .try_io(|ears| ears.get_ref().read(&mut bytes))
            .is_ok_and(|read| read.is_ok_and(|length| length > 0))
        {}
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe because of types that swap their descriptor; a file does not"
)]
fn listen(ears: OwnedFd) -> io::Result<AsyncFd<File>> {
    AsyncFd::with_interest(File::from(ears), Interest::READABLE)
}

/// When that was on the monotonic clock, by the present distance of the two clocks.
fn monotonic_time_of(micros_since_1970: u64) -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let ago = u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(micros_since_1970 / 1000);
    monotonic_millis().saturating_sub(ago)
}
