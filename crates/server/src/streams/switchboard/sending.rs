//! Which way a message leaves: over the connection that is named, over one that leads there, or over a new one.

use std::net::SocketAddr;

use tocsin_net::Hop;
use tocsin_net::connections::{Claim, Guise, Keeper, View, marks};

use super::super::connection::profile_for;
use super::super::end::End;
use super::super::letter::Letter;
use super::super::opening::Errand;
use super::super::parking::Parked;
use super::{Kept, Switchboard, is_of_this_place, keeper_of};
use crate::flow::{Envelope, Flow, Ticket};
use crate::security::Wish;
use crate::tcp_profile::Opening::Opened;
use crate::time::now_ms;
use crate::worker::Worker;

impl Switchboard {
    /// Sends `bytes` the way that `envelope` says: over its connection, else over one that leads there, else over a new
    /// one.
    pub(crate) fn send(&self, worker: &'static Worker, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let connections = &worker.server.exchange.connections;
        let flow = envelope.flow;
        let hop = flow.hop(&worker.server.sockets);
        let usable = |id| connections.view(id).filter(|view| !view.is_ending());
        let given = Some(flow.connection).filter(|id| id.is_some()).and_then(usable);
        let leading = || connections.towards(&hop, guise(worker, &hop, envelope));
        let found = given.or_else(|| leading().and_then(usable));
        match found {
            Some(view) => self.send_over(worker, &view, envelope, bytes),
            None if !flow.may_open => self.failed(worker, envelope.ticket),
            // Whoever answers over a WebSocket that is gone has no way left: a browser cannot be called.
            None if flow.connection.is_some() && hop.protocol.is_websocket() => {
                self.failed(worker, envelope.ticket);
            }
            None => self.open(worker, &hop, envelope, bytes),
        }
    }

    fn send_over(&self, worker: &'static Worker, view: &View, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let ticket = envelope.ticket;
        let flow = Flow { connection: view.id, ..envelope.flow };
        if !is_of_this_place(worker, view) {
            let wish = envelope.wish.cloned().unwrap_or_default();
            let letter = Letter::Send { flow, ticket, host: envelope.host, wish, bytes: &bytes };
            self.to_worker(worker, view.keeper.index, &letter, ticket);
            return;
        }
        match self.kept(view.id) {
            Some(kept) => self.push(worker, &kept, bytes, ticket),
            // What a predecessor in this place kept comes here, as soon as TCP main brings it.
            None => {
                let (host, wish) = (envelope.host.to_owned(), envelope.wish.cloned());
                let noted = ticket.map(|ticket| worker.server.exchange.ledger.note(ticket));
                let message = Parked { since: now_ms(), flow, host, wish, noted, bytes };
                if let Err(ticket) = self.parking.enter(message) {
                    self.failed(worker, ticket);
                }
            }
        }
    }

    pub(super) fn push(&self, worker: &'static Worker, kept: &Kept, bytes: Vec<u8>, ticket: Option<Ticket>) {
        match kept {
            Kept::Open(connection) => connection.push(bytes, ticket),
            Kept::Outgoing(opening) => {
                if let Err(ticket) = opening.push(bytes, ticket) {
                    self.failed(worker, ticket);
                }
            }
        }
    }

    pub(super) fn send_parked(&self, worker: &'static Worker, message: Parked) {
        let ticket = message.ticket();
        let Parked { flow, host, wish, bytes, noted, .. } = message;
        self.send(worker, &Envelope { flow, wish: wish.as_ref(), host: &host, ticket }, bytes);
        drop(noted);
    }

    /// Opens a connection to `hop`: here if this is a TCP worker, else at one of them.
    fn open(&self, worker: &'static Worker, hop: &Hop, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let server = worker.server;
        let socket = envelope.flow.socket;
        let own = keeper_of(worker).filter(|_| !self.is_leaving.get());
        let keeper = own.or_else(|| some_worker(worker, hop));
        let local = SocketAddr::new(server.sockets.listener(socket).address.ip(), 0);
        let profile = profile_for(worker, hop.protocol, hop.to, local, Opened);
        let claim = Claim {
            protocol: hop.protocol,
            remote: hop.to,
            local,
            listener: socket.0,
            marks: marks::OUTGOING,
            idle_until: now_ms() + profile.lifetime.as_millis() as u64,
            guise: guise(worker, hop, envelope),
        };
        if profile.no_new_connection {
            tracing::info!("{hop} has no connection, and none may be opened");
            return self.failed(worker, envelope.ticket);
        }
        let claimed = keeper.ok_or(End::NoWorker).and_then(|keeper| {
            let id = server.exchange.connections.claim(keeper, &claim).ok_or(End::Full)?;
            Ok((id, keeper))
        });
        let (id, keeper) = match claimed {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::error!("no connection to {hop}: {cause}");
                return self.failed(worker, envelope.ticket);
            }
        };
        let leads = server.exchange.connections.lead(id);
        if leads != id {
            // Another process was first: its connection carries this message too.
            server.exchange.connections.release(id);
            return match server.exchange.connections.view(leads) {
                Some(view) => self.send_over(worker, &view, envelope, bytes),
                None => self.failed(worker, envelope.ticket),
            };
        }
        let wish = envelope.wish.cloned().unwrap_or_default();
        if Some(keeper) == keeper_of(worker) {
            self.begin(worker, id, Errand::new(envelope.host, wish, bytes, envelope.ticket));
        } else {
            let letter =
                Letter::Open { id, ticket: envelope.ticket, host: envelope.host, wish, bytes: &bytes };
            self.to_worker(worker, keeper.index, &letter, envelope.ticket);
        }
    }
}

/// In which guise a connection to `hop` would be opened for `envelope`, where that is to be told apart.
fn guise(worker: &Worker, hop: &Hop, envelope: &Envelope<'_>) -> Guise {
    let matters = hop.protocol.is_secure() && worker.server.streams[hop.protocol].match_certificate;
    let Some(security) = worker.server.security.as_ref().filter(|_| matters) else { return Guise::NONE };
    let host = Some(envelope.host).filter(|host| !host.is_empty());
    let none = Wish::default();
    security.guise(hop.to, envelope.wish.unwrap_or(&none), host)
}

/// A TCP worker to open a connection to `hop`: the same for each process that asks, while it lives.
pub(super) fn some_worker(worker: &Worker, hop: &Hop) -> Option<Keeper> {
    let server = worker.server;
    let count = server.exchange.workers.len();
    let start = server.keyed_hash(&[hop.to_string().as_bytes()]) as usize;
    (0..count).find_map(|i| server.exchange.keeper(server.table, ((start + i) % count) as u16))
}
