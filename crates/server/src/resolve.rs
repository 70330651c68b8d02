//! Names to addresses, with an eye on the time: each look-up is counted, and told when it takes longer than
//! `exec_dns_threshold`.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use tocsin_net::Protocol;
use tocsin_net::locate::{HOP_LIMIT, Hops, NoHop, Options, Protocols, Question};

use crate::context::Context;
use crate::events;
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
    if fails_over || cx.blocklists != 0 { HOP_LIMIT } else { 1 }
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

/// The address of `name` if it is known without waiting, from `/etc/hosts` or from an answer that is kept: a variable with
/// `{ip.resolve}` cannot wait. IPv4 goes first.
pub fn known_address(worker: &'static Worker, name: &str) -> Option<IpAddr> {
    let lookup = pin!(worker.resolver.addresses(name));
    match lookup.poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(Ok(found)) => found.iter().find(|address| address.is_ipv4()).or(found.first()).copied(),
        Poll::Ready(Err(cause)) => {
            tracing::error!("could not resolve hostname: {cause}");
            None
        }
        Poll::Pending => {
            tracing::error!("{{ip.resolve}}: `{name}` is neither in /etc/hosts nor kept (dns_cache_size)");
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
