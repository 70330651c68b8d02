//! What happens to the server of the demo, and which event reports it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tocsin_json::Value;
use tokio::time::sleep;

use super::phone::Phone;
use super::server::Place;

/// Bytes of a body that the script keeps.
const BODY: usize = 60_000;
/// Bodies that the script keeps in one variable, which holds no more than 1 MiB.
const BODIES: usize = 17;
/// Registrations after which the memory is certainly full.
const REGISTRATIONS: u32 = 200_000;
/// Time between two requests that keep a worker busy.
const BUSY_EVERY: Duration = Duration::from_millis(50);

/// Doing what leads to an event.
pub(super) type Acting = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// One thing that happens.
pub(super) struct Cause {
    /// The event that reports it.
    pub(super) event: &'static str,
    /// A parameter of the event and its value that distinguishes it from others of the name.
    distinguished_by: Option<(&'static str, &'static str)>,
    /// What happens, for people.
    pub(super) story: &'static str,
    /// Does it.
    pub(super) act: fn(Place) -> Acting,
}

impl Cause {
    /// Whether the event `value` reports this.
    pub(super) fn is_reported_by(&self, value: &Value) -> bool {
        let says = |key: &str, wanted: &str| {
            value.member("params").and_then(|params| params.member(key)).and_then(Value::as_bytes)
                == Some(wanted.as_bytes())
        };
        value.member("method").and_then(Value::as_bytes) == Some(self.event.as_bytes())
            && self.distinguished_by.is_none_or(|(key, wanted)| says(key, wanted))
    }
}

/// All of them, in the order in which they are shown.
pub(super) fn all(mysql: bool) -> Vec<Cause> {
    let threshold = |source, story, act| Cause {
        event: "E_CORE_THRESHOLD",
        distinguished_by: Some(("source", source)),
        story,
        act,
    };
    let query = if mysql { "mysql query" } else { "sqlite query" };
    vec![
        threshold("msg processing", "The script needs 80 ms for a message; it may take 50.", |place| {
            Box::pin(ask(place, "script"))
        }),
        threshold("dns", "A name server needs 300 ms for an answer; it may take 100.", |place| {
            Box::pin(tell(place, "name"))
        }),
        threshold(query, "A database needs too long for a query; it may take 100 ms.", |place| {
            Box::pin(ask(place, "query"))
        }),
        Cause {
            event: "E_CORE_SR_STATUS_CHANGED",
            distinguished_by: Some(("group", "trunks")),
            story: "The script finds that a trunk is down, and sets its status.",
            act: |place| Box::pin(ask(place, "trunk")),
        },
        Cause {
            event: "E_CORE_TCP_DISCONNECT",
            distinguished_by: None,
            story: "A phone connects over TCP, is served, and hangs up the connection.",
            act: |place| Box::pin(async move { Phone::connect_and_leave(place.tcp).await }),
        },
        Cause {
            event: "E_CORE_PKG_THRESHOLD",
            distinguished_by: None,
            story: "A script keeps too much in memory: its worker passes half of its private memory (-M 4).",
            act: |place| Box::pin(hoard(place)),
        },
        Cause {
            event: "E_CORE_SHM_THRESHOLD",
            distinguished_by: None,
            story: "Phones register until the shared memory (-m 8) is 60 % full.",
            act: |place| Box::pin(register(place)),
        },
        Cause {
            event: "E_CORE_PROC_AUTO_SCALE",
            distinguished_by: Some(("scale", "up")),
            story: "One worker is busy for longer than two seconds: another one is forked.",
            act: |place| Box::pin(keep_busy(place)),
        },
    ]
}

async fn ask(place: Place, user: &str) -> io::Result<()> {
    Phone::open(place.udp).await?.ask(user, "").await
}

/// Sends what nobody will answer.
async fn tell(place: Place, user: &str) -> io::Result<()> {
    Phone::open(place.udp).await?.tell(user).await
}

async fn hoard(place: Place) -> io::Result<()> {
    let phone = Phone::open(place.udp).await?;
    let body = "v".repeat(BODY);
    for user in ["hoard", "hoard_more"] {
        for _ in 0..BODIES {
            phone.ask(user, &body).await?;
        }
    }
    Ok(())
}

async fn register(place: Place) -> io::Result<()> {
    let phone = Phone::open(place.udp).await?;
    for number in 0..REGISTRATIONS {
        phone.register(number).await?;
    }
    Ok(())
}

async fn keep_busy(place: Place) -> io::Result<()> {
    let phone = Phone::open(place.scaled).await?;
    loop {
        phone.tell("busy").await?;
        sleep(BUSY_EVERY).await;
    }
}
