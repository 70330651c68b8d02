//! The events of a running server, as they come.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tocsin_event::{CoreEvent, ProcExit};
use tocsin_json::Value;
use tocsin_mi::client::{CallError, Place, call};
use tocsin_server::time::log_stamp;
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};

use super::output::print;
use super::receiver::Receiver;
use super::show;

/// How long the server keeps a subscription of somebody who does not refresh it, in seconds.
const EXPIRE: i64 = 60;
/// Time between two refreshes.
const REFRESH: Duration = Duration::from_secs(20);
/// Names of events that are shown when a wrong one was given.
const NEAREST: f64 = 0.7;

/// What to show.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Names of events; none: all that the server knows.
    pub(crate) names: Vec<String>,
    /// The JSON texts as they were received.
    pub(crate) json: bool,
    /// Ends after so many.
    pub(crate) count: Option<u64>,
    /// Where the server answers.
    pub(crate) server: Place,
}

/// Prints events until it is asked to end, or `count` have come.
pub(super) fn run(wish: &Wish) -> Result<(), String> {
    in_runtime(listen(wish))?
}

/// Runs `work` to its end.
pub(super) fn in_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(|cause| cause.to_string())?.block_on(work))
}

/// Names and ids in the answer to `events_list`.
pub(super) fn events_of(list: &Value) -> Vec<(String, i64)> {
    let Some(Value::Array(events)) = list.member("Events") else { return Vec::new() };
    let event = |event: &Value| {
        let name = String::from_utf8_lossy(event.member("name")?.as_bytes()?).into_owned();
        Some((name, event.member("id")?.as_integer()?))
    };
    events.iter().filter_map(event).collect()
}

async fn listen(wish: &Wish) -> Result<(), String> {
    let unheard = |cause: io::Error| format!("events cannot be received: {cause}");
    let names = names(wish).await?;
    let own = own_address(&wish.server).await;
    let (mut receiver, subscription) = open(wish, own, names).await?;
    if !wish.json && io::stderr().is_terminal() {
        note(&format!(
            "listening at {} to {} events of {}",
            subscription.socket,
            subscription.names.len(),
            wish.server
        ));
    }
    let mut ends = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(unheard)?;
    let mut keeping = std::pin::pin!(subscription.keep(wish));
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut left = wish.count;
    while left != Some(0) {
        tokio::select! {
            heard = receiver.next() => {
                let (bytes, value) = heard.map_err(unheard)?;
                let text = if wish.json { [&bytes[..], b"\n"].concat() } else {
                    show::line(&value, &log_stamp(), colours).into_bytes()
                };
                if !print(&text)? {
                    break;
                }
                left = left.map(|left| left - 1);
            }
            () = &mut keeping => {}
            _ = ends.recv() => break,
            _ = terminations.recv() => break,
        }
    }
    subscription.end(wish).await;
    Ok(())
}

/// Subscribes at a connection if the server can do that, else at a socket for datagrams.
async fn open(wish: &Wish, own: IpAddr, names: BTreeSet<String>) -> Result<(Receiver, Subscription), String> {
    let mut refused = String::new();
    for stream in [true, false] {
        let unheard = |cause: io::Error| format!("events cannot be received: {cause}");
        let receiver = Receiver::open(own, stream).await.map_err(unheard)?;
        let socket = receiver.name().map_err(unheard)?;
        let subscription = Subscription { socket, names: names.clone() };
        match subscription.ask(wish, EXPIRE).await {
            Ok(unknown) => {
                unknown.iter().for_each(|name| note(&format!("there is no event `{name}`")));
                return Ok((receiver, subscription));
            }
            Err(cause @ CallError::Refused { .. }) => refused = cause.to_string(),
            Err(cause) => return Err(format!("{}: {cause}", wish.server)),
        }
    }
    Err(format!(
        "{} takes no subscriber ({refused}); does its configuration load event_stream or event_datagram?",
        wish.server
    ))
}

/// The events to subscribe to.
async fn names(wish: &Wish) -> Result<BTreeSet<String>, String> {
    let list = call(&wish.server, "events_list", Value::array([0; 0])).await;
    let list = list.map_err(|cause| format!("{}: {cause}", wish.server))?;
    // It is not listed before somebody has subscribed to it.
    let late = ProcExit::DESCRIPTION.name.to_owned();
    let known: BTreeSet<_> = events_of(&list).into_iter().map(|(name, _)| name).chain([late]).collect();
    if wish.names.is_empty() {
        return Ok(known);
    }
    for name in &wish.names {
        if !known.contains(name) {
            let nearest = known
                .iter()
                .map(|known| (strsim::jaro_winkler(name, known), known))
                .filter(|(likeness, _)| *likeness > NEAREST)
                .max_by(|one, other| one.0.total_cmp(&other.0));
            let hint = nearest.map(|(_, nearest)| format!("; did you mean `{nearest}`?")).unwrap_or_default();
            return Err(format!("there is no event `{name}`{hint}"));
        }
    }
    Ok(wish.names.iter().cloned().collect())
}

/// A subscription to some events at one socket.
struct Subscription {
    socket: String,
    names: BTreeSet<String>,
}

impl Subscription {
    /// Refreshes it for ever, also at a server that was started anew meanwhile. Says when there is none.
    async fn keep(&self, wish: &Wish) {
        let mut lost = false;
        loop {
            tokio::time::sleep(REFRESH).await;
            match self.ask(wish, EXPIRE).await {
                Err(cause) if !lost => {
                    note(&format!("{}: {cause}; waiting for it to come back", wish.server));
                    lost = true;
                }
                Ok(_) if lost => {
                    note(&format!("{} is back", wish.server));
                    lost = false;
                }
                _ => {}
            }
        }
    }

    /// Ends it. A server that is gone has forgotten it already.
    async fn end(&self, wish: &Wish) {
        if let Err(cause) = self.ask(wish, 0).await {
            note(&format!("{}: {cause}; the subscription ends by itself in {EXPIRE} s", wish.server));
        }
    }

    /// Subscribes for `expire` seconds. The first event decides whether the server takes such a subscriber; returns the
    /// names of others that it did not know.
    async fn ask(&self, wish: &Wish, expire: i64) -> Result<Vec<&str>, CallError> {
        let mut unknown = Vec::new();
        for (at, name) in self.names.iter().enumerate() {
            let params = Value::object([
                ("event", Value::from(name.clone())),
                ("socket", Value::from(self.socket.clone())),
                ("expire", Value::from(expire)),
            ]);
            match call(&wish.server, "event_subscribe", params).await {
                Err(CallError::Refused { .. }) if at > 0 => unknown.push(name.as_str()),
                answer => drop(answer?),
            }
        }
        Ok(unknown)
    }
}

/// The address under which the server at `place` reaches this machine.
async fn own_address(place: &Place) -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let server = match place {
        Place::Http { host, .. } => host.clone(),
        Place::Udp(address) => address.to_string(),
        Place::Unix(_) | Place::Fifo(_) => return loopback,
    };
    let any = if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let own = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.local_addr()
    };
    own.await.map_or(loopback, |own: std::net::SocketAddr| own.ip())
}

/// Something about the watching itself, apart from the events.
fn note(text: &str) {
    // If the terminal is gone, nobody reads this.
    let _ = io::stderr().write_all(format!("tocsin events: {text}\n").as_bytes());
}
