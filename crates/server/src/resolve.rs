//! Names to addresses, with an eye on the time: each look-up is counted, and reported when it takes longer than
//! `exec_dns_threshold`.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use tocsin_net::Protocol;
use tocsin_net::locate::{Hops, MAX_HOPS, NoHop, Options, Protocols, Question};
use tocsin_script::{Bytes, Outcome, Resume, Waiting};

use crate::context::Context;
use crate::events;
use crate::name_look_ups::MAX_NAMES;
use crate::server::Server;
use crate::target::ServiceName;
use crate::worker::Worker;

/// Where the service of `name` is (RFC 3263 section 4), the best first: `most` hops, or fewer. Empty when it is nowhere;
/// that is logged.
pub async fn hops(worker: &'static Worker, name: &ServiceName, most: usize) -> Hops {
    let server = worker.server;
    let dns = &server.settings.dns;
    let options = Options {
        usable: server.network.sockets.protocols(),
        naptr: dns.naptr,
        ipv4: server.network.sockets.has_ipv4(),
        ipv6: dns.ipv6,
        hops: most,
    };
    look_up(worker, &name.question(), &options).await.unwrap_or_else(|cause| {
        tracing::error!("could not resolve hostname: {cause}");
        Hops::new()
    })
}

/// How many hops a request of `cx` has use for: one will do if it is never sent to another.
pub fn wanted_hops(cx: &Context, fails_over: bool) -> usize {
    // The first may be blocked.
    if fails_over || cx.blocklists != 0 { MAX_HOPS } else { 1 }
}

/// The address of `host`, for what is not SIP. `None` when it has none; that is logged.
pub async fn address(worker: &'static Worker, host: &str, port: u16) -> Option<SocketAddr> {
    let question = Question { host, port: Some(port), transport: Some(Protocol::Udp), secure: false };
    // The protocol stands for any: with a port, only addresses are asked for.
    let usable = Protocols::default().with(Protocol::Udp);
    let options = Options { usable, naptr: false, ipv4: true, ipv6: true, hops: 1 };
    match look_up(worker, &question, &options).await {
        Ok(hops) => hops.first().map(|hop| hop.to),
        Err(cause) => {
            tracing::error!("could not resolve hostname: {cause}");
            None
        }
    }
}

/// The address of a name for `{ip.resolve}`, if it was looked up for this message or is known at once. Otherwise its
/// look-up has begun: a value cannot wait, so the statement that it stands in waits for [`look_up_of`] before it is done.
pub fn address_of(cx: &mut Context, name: &Bytes) -> Option<IpAddr> {
    let worker = cx.worker;
    let look_ups = cx.name_look_ups.get_or_insert_default();
    look_ups.under_way = None;
    if let Some(address) = look_ups.known(name) {
        return address;
    }
    let text = std::str::from_utf8(name).ok()?.to_owned();
    if look_ups.is_full() {
        tracing::error!("{{ip.resolve}}: `{text}` is not looked up: {MAX_NAMES} names were for this message");
        return None;
    }
    let mut look_up = Box::pin(async move { first_address(worker, &text).await });
    // /etc/hosts, and answers that are kept
    if let Poll::Ready(address) = look_up.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
        look_ups.keep(name.clone(), address);
        return address;
    }
    let name = name.clone();
    look_ups.under_way = Some(Box::pin(async move {
        let address = look_up.await;
        let rest: Resume<Context> = Box::new(move |cx: &mut Context| {
            cx.name_look_ups.get_or_insert_default().keep(name, address);
            Outcome::TRUE
        });
        rest
    }));
    None
}

/// What waits for the name that [`address_of`] did not know.
pub fn look_up_of(cx: &mut Context) -> Option<Waiting<Context>> {
    cx.name_look_ups.as_mut()?.under_way.take()
}

/// The address of `name` alone, an IPv4 address if it has one. `None` when it has none; that is logged.
async fn first_address(worker: &'static Worker, name: &str) -> Option<IpAddr> {
    let began = Instant::now();
    let found = worker.resolver.addresses(name).await;
    looked_up(worker.server, name, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    match found {
        Ok(found) => found.iter().find(|address| address.is_ipv4()).or(found.first()).copied(),
        Err(cause) => {
            tracing::error!("could not resolve hostname: {cause}");
            None
        }
    }
}

async fn look_up(worker: &'static Worker, question: &Question<'_>, options: &Options) -> Result<Hops, NoHop> {
    let server = worker.server;
    let random = worker.unique();
    worker.resolver.locate(question, options, random, |name, micros| looked_up(server, name, micros)).await
}

/// One look-up is over, whatever came of it.
fn looked_up(server: &'static Server, name: &str, micros: u64) {
    server.statistics.add(server.counters.dns_total, 1);
    let limit = server.settings.exec_dns_threshold;
    if limit > 0 && micros > limit {
        server.statistics.add(server.counters.dns_slow, 1);
        tracing::warn!("threshold exceeded : dns took too long - {micros} us.Source : {name}");
        events::threshold(&server.events, "dns", micros, name.as_bytes());
    }
}
