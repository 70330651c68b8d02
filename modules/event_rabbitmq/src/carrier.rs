//! The task that carries the events of one subscriber to its broker.
//!
//! It connects when there is an event, and stays connected. While nothing can be published, events wait and attempts follow
//! each other with growing pauses. An event that has waited for `max_age`, while nothing could be published for as long, is
//! given up.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::Receipts;
use tocsin_shm::monotonic_micros;
use tokio::time::{Instant, sleep_until};

use super::broker::{Broker, Plan};
use super::ended::Ended;
use super::inbox::Inbox;
use super::window::Window;

/// The pause after the first attempt that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Carries the events of `inbox` to the broker of `plan`, until nobody puts in more.
pub(super) async fn carry(plan: Rc<Plan>, receipts: Rc<dyn Receipts>, inbox: Rc<Inbox>) {
    let mut carrier = Carrier { plan, window: Window::new(receipts), broker: None, trouble: None };
    while !inbox.is_closed() {
        if carrier.window.has_room() {
            carrier.window.take(inbox.take());
        }
        carrier.window.forget_closed();
        carrier.work().await;
        // Cancelling either of these loses nothing.
        tokio::select! {
            () = inbox.wait(carrier.window.has_room()) => {}
            () = carrier.ready() => {}
        }
    }
    if let Some(broker) = carrier.broker {
        broker.end();
    }
}

struct Carrier {
    plan: Rc<Plan>,
    window: Window,
    broker: Option<Broker>,
    trouble: Option<Trouble>,
}

/// What is known while nothing can be published.
struct Trouble {
    since: Instant,
    /// When to try again.
    again: Instant,
    pause: Duration,
    why: String,
    kind: ErrorKind,
}

impl Carrier {
    /// Does what can be done now.
    async fn work(&mut self) {
        self.use_broker();
        if self.broker.is_none() && !self.window.is_empty() && self.is_time() {
            // On the heap, as most of the time no connection is being made.
            match Box::pin(Broker::connect(&self.plan)).await {
                Ok(broker) => {
                    self.broker = Some(broker);
                    self.use_broker();
                }
                Err(why) => self.failed(&why),
            }
        }
        self.give_up();
    }

    fn use_broker(&mut self) {
        let Some(broker) = &mut self.broker else { return };
        match broker.work(&self.plan, &mut self.window) {
            Ok(false) => {}
            Ok(true) => {
                if self.trouble.take().is_some() {
                    tracing::info!("events for {} are published again", self.plan.shown);
                }
            }
            Err(why) => {
                self.broker = None;
                self.window.restart();
                // A broker that ends a connection over which nothing waits does no harm.
                if !self.window.is_empty() {
                    self.failed(&why);
                }
            }
        }
    }

    fn is_time(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.again <= Instant::now())
    }

    fn failed(&mut self, why: &Ended) {
        let now = Instant::now();
        let (since, pause) = match &self.trouble {
            Some(trouble) => (trouble.since, (trouble.pause * 2).min(LONGEST_PAUSE)),
            None => {
                tracing::warn!("events for {} wait: {why}", self.plan.shown);
                (now, FIRST_PAUSE)
            }
        };
        let (again, kind) = (now + pause, why.kind());
        self.trouble = Some(Trouble { since, again, pause, why: why.to_string(), kind });
    }

    fn give_up(&mut self) {
        let Some(trouble) = &self.trouble else { return };
        let max_age = self.plan.options.max_age;
        if trouble.since.elapsed() >= max_age {
            let before = monotonic_micros().saturating_sub(max_age.as_micros() as u64);
            let why = format!("cannot publish at {}: {}", self.plan.to, trouble.why);
            self.window.give_up(before, &io::Error::new(trouble.kind, why));
        }
    }

    /// Waits until there may be something to do.
    async fn ready(&self) {
        match (&self.broker, &self.trouble) {
            (Some(broker), _) => broker.ready(&self.window).await,
            (None, Some(trouble)) if !self.window.is_empty() => sleep_until(trouble.again).await,
            _ => std::future::pending().await,
        }
    }
}
