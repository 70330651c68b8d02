//! Event routes: the script as a subscriber.
//!
//! The courier hands each event over to a TIMER worker, as a message in that worker's mailbox; the worker runs the route and
//! throws the message away afterwards. So a worker that is killed before or while it runs the route leaves the event to its
//! successor: a route runs for an event at least once. Events of one route go to one worker, in order, as long as it
//! lives; then to another. A mailbox that is full lets the courier wait, with this one subscriber only.

mod hold;
mod message;
mod reader;
mod transport;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tocsin_event::{Address, Endpoint, Event, Events};
use tocsin_net::Mailbox;
use tocsin_process::{Kind, Plan};
use tocsin_script::{Bytes, Host, Program, RouteKind};
use tocsin_shm::{Arena, ArenaFull, ProcessTable, ShmSafe, SlotState};

use self::hold::Reader;
use self::message::{EventMessage, Target};

pub(crate) use self::reader::{hand_over, serve, take_over};
pub use self::transport::transport;

/// How many workers in a row may die over one event; then the event is given up.
pub const ATTEMPTS: u32 = 3;

/// Why there can be no event routes.
#[derive(Debug, thiserror::Error)]
pub enum EventRoutesError {
    /// Shared memory is too small.
    #[error(transparent)]
    Memory(#[from] ArenaFull),
    /// The system gives no mailboxes.
    #[error("no descriptors for the mailboxes of event routes: {0}")]
    Mailbox(#[from] io::Error),
}

/// The mailboxes of those who run event routes. Made before the first fork.
#[derive(Debug)]
pub struct EventRoutes {
    seats: Vec<Seat>,
    /// What is known once all of the script and all processes are.
    known: OnceCell<Known>,
    /// Whether event routes run: those who are notified by other ways use the same mailboxes.
    runs: Cell<bool>,
    /// The routes of the script that is in force in this process.
    names: RefCell<Vec<Bytes>>,
}

/// One worker's place.
#[derive(Debug)]
struct Seat {
    mailbox: Mailbox,
    begun: &'static Begun,
    /// Who reads it.
    reader: &'static Reader,
}

/// The event that a worker has begun with, so that its successor knows of a death over it.
#[derive(Debug, ShmSafe)]
struct Begun {
    /// Its number in the event log; [`NOTHING`] when it is done.
    number: AtomicU64,
    times: AtomicU32,
}

/// The number of no event.
const NOTHING: u64 = u64::MAX;

#[derive(Debug)]
struct Known {
    table: &'static ProcessTable,
    /// The process slots of the TIMER workers, by their index.
    slots: Vec<u16>,
}

impl EventRoutes {
    /// Mailboxes for `workers` TIMER workers.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors for them.
    pub fn create(arena: &'static Arena, workers: usize) -> Result<Rc<Self>, EventRoutesError> {
        let begun = |_| Begun { number: AtomicU64::new(NOTHING), times: AtomicU32::new(0) };
        let begun = arena.boot_array(workers, begun)?;
        let readers = arena.boot_array(workers, |_| Reader::default())?;
        let seats = begun.iter().zip(readers);
        let seats = seats.map(|(begun, reader)| Ok(Seat { mailbox: Mailbox::open()?, begun, reader }));
        Ok(Rc::new(Self {
            seats: seats.collect::<io::Result<_>>()?,
            known: OnceCell::new(),
            runs: Cell::new(false),
            names: RefCell::default(),
        }))
    }

    /// Has event routes run.
    pub fn run_event_routes(&self) {
        self.runs.set(true);
    }

    /// Learns which slots the workers have and which routes there are. To be called once, before the first fork.
    pub(crate) fn know(&self, table: &'static ProcessTable, plan: &Plan, names: Vec<Bytes>) {
        let timer = plan.members().into_iter().filter(|member| plan.groups[member.group].kind == Kind::Timer);
        let mut slots: Vec<_> = timer.map(|member| (member.index, member.slot)).collect();
        slots.sort_unstable();
        let slots = slots.into_iter().map(|(_, slot)| slot).collect();
        let known = self.known.set(Known { table, slots });
        debug_assert!(known.is_ok(), "called once");
        self.renew(names);
    }

    /// Learns which routes there are now.
    pub(crate) fn renew(&self, names: Vec<Bytes>) {
        *self.names.borrow_mut() = names;
    }

    /// Whether the script has such a route.
    fn has(&self, name: &[u8]) -> bool {
        self.names.borrow().iter().any(|known| known.as_slice() == name)
    }

    /// Posts `event` for the route `name` to the first worker that serves, from `home` on. A full mailbox, or nobody who
    /// serves, is [`io::ErrorKind::WouldBlock`].
    fn post(&self, home: usize, name: &[u8], event: &Event) -> io::Result<()> {
        self.post_to(home, Target::EventRoute, name, event)
    }

    /// Has the route `name` of the script run for `event`, with its parameters in AVPs, in the first worker that serves, at
    /// least once.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] for a full mailbox, and where nobody serves.
    pub fn notify(&self, name: &[u8], event: &Event) -> io::Result<()> {
        self.post_to(home(name), Target::Notified, name, event)
    }

    fn post_to(&self, home: usize, target: Target, name: &[u8], event: &Event) -> io::Result<()> {
        let seat = self.serving(home).ok_or(io::ErrorKind::WouldBlock)?;
        let params = event.params();
        let message = EventMessage { number: event.number, depth: event.depth, target, name, params };
        seat.mailbox.post(&[&message.head(), name, params.as_bytes()], None)
    }

    /// The first worker that serves, from `home` on.
    fn serving(&self, home: usize) -> Option<&Seat> {
        let count = self.seats.len();
        let index = (0..count).map(|at| (home + at) % count).find(|index| self.is_serving(*index))?;
        self.seats.get(index)
    }

    fn is_serving(&self, index: usize) -> bool {
        let Some(known) = self.known.get() else { return false };
        known.slots.get(index).is_some_and(|slot| known.table.slot(*slot).serves())
    }

    /// The places whose worker left and is not meant to come back for now.
    fn left(&self) -> impl Iterator<Item = &Seat> {
        let known = self.known.get();
        let slots =
            known.into_iter().flat_map(|known| known.slots.iter().map(|slot| known.table.slot(*slot)));
        let left = self.seats.iter().zip(slots);
        left.filter(|(_, slot)| slot.is_vacant() && slot.state() == SlotState::Free).map(|(seat, _)| seat)
    }
}

impl Begun {
    /// Notes that the event `number` is begun with. Returns how many times it was.
    fn begin(&self, number: u64) -> u32 {
        if self.number.swap(number, Relaxed) != number {
            self.times.store(0, Relaxed);
        }
        self.times.fetch_add(1, Relaxed) + 1
    }

    fn done(&self) {
        self.number.store(NOTHING, Relaxed);
    }
}

/// The place of a route. They are spread over the workers; which one is whose does not matter.
fn home(name: &[u8]) -> usize {
    name.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into())) >> 1
}

/// The events that have a route in the script, in the order in which the routes are written.
pub(crate) fn names<C: Host>(program: &Program<C>) -> Vec<Bytes> {
    let routes = program.routes().filter(|route| program.route_kind(*route) == RouteKind::Event);
    routes.filter_map(|route| program.route_name(route).cloned()).collect()
}

/// Subscribes the routes `names` to their events, for ever. Without the module they never run, and the log says so.
///
/// # Errors
/// A text for the operator when there is no room for a subscription.
pub(crate) fn subscribe(
    routes: Option<&EventRoutes>,
    names: &[Bytes],
    events: &Events,
) -> Result<(), String> {
    for name in names {
        let shown = name.lossy();
        if !routes.is_some_and(|routes| routes.runs.get()) {
            tracing::warn!(
                "event_route[{shown}] never runs: the module event_route is not loaded (loadmodule \"event_route.so\")"
            );
            continue;
        }
        let address = address(name);
        let subscribed = events
            .registry()
            .publish(name)
            .map_err(|cause| cause.to_string())
            .and_then(|event| events.subscribe_route(event, &address).map_err(|cause| cause.to_string()));
        subscribed.map_err(|cause| format!("event_route[{shown}]: {cause}"))?;
    }
    Ok(())
}

/// Ends the subscriptions of the routes `names`.
pub(crate) fn unsubscribe(names: &[Bytes], events: &Events) {
    for name in names {
        let ended =
            events.registry().publish(name).map(|event| events.unsubscribe_route(event, &address(name)));
        if let Err(cause) = ended {
            tracing::warn!("event_route[{}]: {cause}", name.lossy());
        }
    }
}

fn address(name: &Bytes) -> Address {
    Address::new("route", &name.lossy(), Endpoint::Text)
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    #[test]
    fn deaths_over_one_event_are_counted_until_it_is_done() {
        let arena = Arena::create(&ArenaOptions { bytes: 4 << 20, boot_bytes: 1 << 20 }).unwrap();
        let routes = EventRoutes::create(arena, 2).unwrap();
        let begun = routes.seats[0].begun;
        assert_eq!([begun.begin(0), begun.begin(0), begun.begin(0)], [1, 2, 3]);
        assert_eq!(begun.begin(1), 1, "another event");
        begun.done();
        assert_eq!(begun.begin(1), 1, "the same event for another route");
        assert_eq!(routes.seats[1].begun.begin(1), 1, "another worker");
    }
}
