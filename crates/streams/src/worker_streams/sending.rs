//! Which way a message leaves: over the connection that is named, over one that leads there, or over a new one.

use std::net::SocketAddr;

use tocsin_net::Hop;
use tocsin_net::connections::{Claim, OwnerId, TlsIdentity, View, marks};

use super::{Kept, WorkerStreams};
use crate::connecting::PendingConnect;
use crate::control::ControlMessage;
use crate::end::End;
use crate::flow::{BranchRef, Envelope, Flow};
use crate::parking::Parked;
use crate::security::TlsSelection;
use crate::tcp_profile::Opening::Opened;
use tocsin_telemetry::time::now_ms;

impl WorkerStreams {
    /// Sends `bytes` the way that `envelope` says: over its connection, else over one that leads there, else over a new
    /// one.
    pub fn send(&'static self, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let connections = &self.local.network.shared.connections;
        let flow = envelope.flow;
        let hop = flow.hop(&self.local.network.sockets);
        let usable = |id| connections.view(id).filter(|view| !view.is_ending());
        let given = Some(flow.connection).filter(|id| id.is_some()).and_then(usable);
        let leading = || connections.towards(&hop, self.tls_identity(&hop, envelope));
        let found = given.or_else(|| leading().and_then(usable));
        match found {
            Some(view) => self.send_over(&view, envelope, bytes),
            None if !flow.may_open => self.failed(envelope.branch_ref),
            // A response for a WebSocket that is gone cannot be sent: a browser accepts no connections.
            None if flow.connection.is_some() && hop.protocol.is_websocket() => {
                self.failed(envelope.branch_ref);
            }
            None => self.open(&hop, envelope, bytes),
        }
    }

    fn send_over(&'static self, view: &View, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let branch_ref = envelope.branch_ref;
        let flow = Flow { connection: view.id, ..envelope.flow };
        if !self.is_of_this_place(view) {
            let tls_selection = envelope.tls_selection.cloned().unwrap_or_default();
            let message =
                ControlMessage::Send { flow, branch_ref, host: envelope.host, tls_selection, bytes: &bytes };
            self.to_worker(view.owner.index, &message, branch_ref);
            return;
        }
        match self.kept(view.id) {
            Some(kept) => self.push(&kept, bytes, branch_ref),
            // What a predecessor in this place kept comes here, as soon as TCP main brings it.
            None => {
                let (host, tls_selection) = (envelope.host.to_owned(), envelope.tls_selection.cloned());
                let guard = branch_ref.map(|branch_ref| self.local.network.shared.pending.note(branch_ref));
                let message = Parked { since: now_ms(), flow, host, tls_selection, guard, bytes };
                if let Err(branch_ref) = self.parking.enter(message) {
                    self.failed(branch_ref);
                }
            }
        }
    }

    pub(super) fn push(&'static self, kept: &Kept, bytes: Vec<u8>, branch_ref: Option<BranchRef>) {
        match kept {
            Kept::Open(connection) => connection.push(bytes, branch_ref),
            Kept::Connecting(opening) => {
                if let Err(branch_ref) = opening.push(bytes, branch_ref) {
                    self.failed(branch_ref);
                }
            }
        }
    }

    pub(super) fn send_parked(&'static self, message: Parked) {
        let branch_ref = message.branch_ref();
        let Parked { flow, host, tls_selection, bytes, guard, .. } = message;
        self.send(&Envelope { flow, tls_selection: tls_selection.as_ref(), host: &host, branch_ref }, bytes);
        drop(guard);
    }

    /// Opens a connection to `hop`: here if this is a TCP worker, else at one of them.
    fn open(&'static self, hop: &Hop, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let network = self.local.network;
        let socket = envelope.flow.socket;
        let own = self.me.filter(|_| !self.is_leaving.get());
        let owner = own.or_else(|| self.some_worker(hop));
        let local = SocketAddr::new(network.sockets.listener(socket).address.ip(), 0);
        let profile = self.local.network.profile_for(hop.protocol, hop.to, local, Opened);
        let claim = Claim {
            protocol: hop.protocol,
            remote: hop.to,
            local,
            listener: socket.0,
            marks: marks::OUTGOING,
            idle_until: now_ms() + profile.lifetime.as_millis() as u64,
            tls_identity: self.tls_identity(hop, envelope),
        };
        if profile.no_new_connection {
            tracing::info!("{hop} has no connection, and none may be opened");
            return self.failed(envelope.branch_ref);
        }
        let claimed = owner.ok_or(End::NoWorker).and_then(|owner| {
            let id = network.shared.connections.claim(owner, &claim).ok_or(End::Full)?;
            Ok((id, owner))
        });
        let (id, owner) = match claimed {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::error!("no connection to {hop}: {cause}");
                return self.failed(envelope.branch_ref);
            }
        };
        let leads = network.shared.connections.lead(id);
        if leads != id {
            // Another process was first: its connection carries this message too.
            network.shared.connections.release(id);
            return match network.shared.connections.view(leads) {
                Some(view) => self.send_over(&view, envelope, bytes),
                None => self.failed(envelope.branch_ref),
            };
        }
        let tls_selection = envelope.tls_selection.cloned().unwrap_or_default();
        if Some(owner) == self.me {
            self.begin(id, PendingConnect::new(envelope.host, tls_selection, bytes, envelope.branch_ref));
        } else {
            let message = ControlMessage::Open {
                id,
                branch_ref: envelope.branch_ref,
                host: envelope.host,
                tls_selection,
                bytes: &bytes,
            };
            self.to_worker(owner.index, &message, envelope.branch_ref);
        }
    }

    /// The TLS identity that a connection for `envelope` must have; none unless `cert_check_on_conn_reusage` is on.
    fn tls_identity(&self, hop: &Hop, envelope: &Envelope<'_>) -> TlsIdentity {
        let matters = hop.protocol.is_secure() && self.local.network.options[hop.protocol].match_certificate;
        let Some(security) = self.local.network.security.as_ref().filter(|_| matters) else {
            return TlsIdentity::NONE;
        };
        let host = Some(envelope.host).filter(|host| !host.is_empty());
        let none = TlsSelection::default();
        security.tls_identity(hop.to, envelope.tls_selection.unwrap_or(&none), host)
    }

    /// A TCP worker to open a connection to `hop`: the same for each process that asks, while it lives.
    fn some_worker(&self, hop: &Hop) -> Option<OwnerId> {
        let shared = &self.local.network.shared;
        let count = shared.workers.len();
        let start = self.local.network.hash.hash(&[hop.to_string().as_bytes()]) as usize;
        (0..count).find_map(|i| shared.owner(self.local.network.table, ((start + i) % count) as u16))
    }
}
