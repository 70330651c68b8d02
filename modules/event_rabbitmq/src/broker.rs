//! A connection to a broker over which events can be published.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tocsin_server::security::{NoDomain, Security, TlsSelection};
use tokio::time::{Instant, timeout};

use super::ended::Ended;
use super::frames::Envelope;
use super::link::{self, Link};
use super::options::Options;
use super::session::Session;
use super::socket::Target;
use super::window::Window;

/// How long the handshake of TLS and the login may take together.
const LOGIN_TIME: Duration = Duration::from_secs(10);
/// Bytes of messages that wait for the system to take them: further ones are written when they are gone.
const MAX_UNSENT_BYTES: usize = 64 << 10;
/// How often a broker that owes a confirmation is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a broker's host may not answer at all before the connection counts as broken.
const SILENCE: Duration = Duration::from_secs(10);

/// What is known of a broker and of the messages for it.
pub(super) struct Plan {
    pub(super) to: SocketAddr,
    pub(super) target: Target,
    pub(super) envelope: Envelope,
    /// What the log calls the subscriber.
    pub(super) shown: String,
    pub(super) options: Rc<Options>,
    pub(super) security: Option<Rc<dyn Security>>,
}

impl Plan {
    fn security(&self) -> Result<Option<link::Security>, NoDomain> {
        let (Some(domain), Some(security)) = (&self.target.tls_domain, &self.security) else {
            return Ok(None);
        };
        let selection = TlsSelection { domain: Some(domain.clone()), sip_domain: None };
        security.client_config(self.to, &selection, Some(&self.target.host)).map(Some)
    }
}

/// A connection, logged in.
pub(super) struct Broker {
    link: Link,
    session: Session,
    /// When something came last, and when something was sent.
    heard: Instant,
    spoke: Instant,
    /// When a confirmation came last, or the first of the events that wait for one was published.
    progress: Instant,
    heartbeat: Duration,
    /// How long a confirmation may take, if that is limited.
    limit: Option<Duration>,
}

impl Broker {
    /// Connects and logs in.
    pub(super) async fn connect(plan: &Plan) -> Result<Self, Ended> {
        let Options { connect_timeout, heartbeat, timeout: limit, .. } = *plan.options;
        let connecting = Link::connect(plan.to, plan.security()?);
        let link = timeout(connect_timeout, connecting)
            .await
            .map_err(|_| Ended::Silent("no connection within `connect_timeout`"))??;
        let login = limit.map_or(LOGIN_TIME, |limit| limit.min(LOGIN_TIME));
        let (link, session) = timeout(login, log_in(link, plan))
            .await
            .map_err(|_| Ended::Silent("the broker did not answer to the login in time"))??;
        let now = Instant::now();
        let heartbeat = Duration::from_secs(heartbeat.into());
        Ok(Self { link, session, heard: now, spoke: now, progress: now, heartbeat, limit })
    }

    /// Reads what came, publishes events, and writes what can be written. Returns whether an event was confirmed.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn work(&mut self, plan: &Plan, window: &mut Window) -> Result<bool, Ended> {
        let (mut bytes, mut out, mut confirmations) = (Vec::new(), Vec::new(), Vec::new());
        let read = self.link.read(&mut bytes);
        if !bytes.is_empty() {
            self.heard = Instant::now();
        }
        let served = self.session.receive(&bytes, &plan.target, &mut out, &mut confirmations);
        let confirmed = window.confirm(&confirmations);
        if confirmed {
            self.progress = Instant::now();
        }
        self.link.send(&out)?;
        if served.is_err() {
            // Its answer to the broker's last word; the end has its reason already.
            self.link.close();
        }
        served?;
        if !read? {
            return Err(Ended::Closed);
        }
        self.publish(plan, window)?;
        self.look(window)?;
        Ok(confirmed)
    }

    fn publish(&mut self, plan: &Plan, window: &mut Window) -> Result<(), Ended> {
        self.link.flush()?;
        let mut out = Vec::new();
        while !self.link.has_unsent() {
            let is_first = !window.awaits_confirmation();
            while out.len() < MAX_UNSENT_BYTES
                && window.publish(|event| self.session.publish(&plan.envelope, event.json(), &mut out))
            {
            }
            if out.is_empty() {
                break;
            }
            self.spoke = Instant::now();
            if is_first {
                self.progress = self.spoke;
            }
            self.link.send(&out)?;
            out.clear();
            self.link.flush()?;
        }
        Ok(())
    }

    /// Sends a sign of life if it is time, and notices that the broker gives none.
    fn look(&mut self, window: &Window) -> Result<(), Ended> {
        if !self.heartbeat.is_zero() {
            if self.heard.elapsed() >= self.heartbeat * 2 {
                return Err(Ended::Silent("the broker sent nothing for two heartbeats"));
            }
            if self.spoke.elapsed() >= self.heartbeat / 2 {
                let mut out = Vec::new();
                self.session.heartbeat(&mut out)?;
                self.link.send(&out)?;
                self.link.flush()?;
                self.spoke = Instant::now();
            }
        }
        if window.awaits_confirmation() {
            if self.limit.is_some_and(|limit| self.progress.elapsed() >= limit) {
                return Err(Ended::Silent("the broker confirmed nothing within `timeout`"));
            }
            if self.link.silence().is_some_and(|time| time >= SILENCE) {
                return Err(Ended::Silent("the broker's host does not answer any more"));
            }
        }
        Ok(())
    }

    /// Waits until there may be something to do.
    pub(super) async fn ready(&self, window: &Window) {
        match self.next_look(window) {
            None => self.link.ready().await,
            Some(look) => tokio::select! {
                () = self.link.ready() => {}
                () = tokio::time::sleep_until(look) => {}
            },
        }
    }

    fn next_look(&self, window: &Window) -> Option<Instant> {
        let heartbeat = (!self.heartbeat.is_zero())
            .then(|| (self.heard + self.heartbeat * 2).min(self.spoke + self.heartbeat / 2));
        let confirmation = window.awaits_confirmation().then(|| {
            let look = Instant::now() + LOOK_EVERY;
            self.limit.map_or(look, |limit| look.min(self.progress + limit))
        });
        heartbeat.into_iter().chain(confirmation).min()
    }

    /// Ends it in order.
    pub(super) fn end(mut self) {
        let mut out = Vec::new();
        if self.session.end(&mut out).is_ok() && self.link.send(&out).is_ok() {
            self.link.close();
        }
    }
}

async fn log_in(mut link: Link, plan: &Plan) -> Result<(Link, Session), Ended> {
    link.secure().await?;
    let (mut bytes, mut out, mut none) = (Vec::new(), Vec::new(), Vec::new());
    let mut session = Session::begin(plan.options.heartbeat, &mut out)?;
    while !session.is_open() {
        link.send(&out)?;
        out.clear();
        link.flush()?;
        link.ready().await;
        let read = link.read(&mut bytes);
        let served = session.receive(&bytes, &plan.target, &mut out, &mut none);
        bytes.clear();
        if served.is_err() {
            link.send(&out)?;
            link.close();
        }
        served?;
        if !read? {
            return Err(Ended::Closed);
        }
    }
    Ok((link, session))
}
