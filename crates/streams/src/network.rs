//! What every process knows of the network. Made before the first fork.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;

use tocsin_event::Events;
use tocsin_net::Protocol;
use tocsin_net::connections::{ConnectionId, View, marks};
use tocsin_shm::ProcessTable;
use tocsin_sip::Limits;
use tocsin_telemetry::events;
use tocsin_telemetry::statistics::Statistics;

use crate::end::{self, End};
use crate::keyed_hash::KeyedHash;
use crate::security::Security;
use crate::shared::SharedConnections;
use crate::sockets::Sockets;
use crate::stream_options::StreamOptionsByProtocol;
use crate::tcp_profile::{Opening, TcpPaths, TcpProfile};
use crate::tcp_settings::TcpSettings;

/// Where the server listens, its connections, and how they are served.
pub struct Network {
    /// Listening addresses.
    pub sockets: Sockets,
    /// Connections, and mailboxes for the processes that serve them.
    pub shared: SharedConnections,
    /// The TLS layer, if one is loaded.
    pub security: Option<Rc<dyn Security>>,
    /// How connections of each protocol are served.
    pub options: StreamOptionsByProtocol,
    /// The module that knows paths of connections, if one is loaded.
    pub paths: Option<Rc<dyn TcpPaths>>,
    /// The `tcp_*` parameters.
    pub tcp: TcpSettings,
    /// Bounds on messages.
    pub limits: Limits,
    /// The processes of the server.
    pub table: &'static ProcessTable,
    /// Statistics.
    pub statistics: Rc<Statistics>,
    /// The Event Interface.
    pub events: Events,
    /// For choices that must be the same in each process.
    pub hash: KeyedHash,
    /// 1 once the server ends: what ends with it is not reported.
    pub ending: &'static AtomicU32,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Network {
    /// What is in force for the connection of `view`.
    pub(crate) fn profile_of(&self, view: &View) -> TcpProfile {
        let outgoing = view.marks & marks::OUTGOING != 0;
        let opening = if outgoing { Opening::Opened } else { Opening::Accepted };
        self.profile_for(view.protocol, view.remote, view.local, opening)
    }

    /// What is in force for a connection between `remote` and `local`.
    pub fn profile_for(
        &self,
        protocol: Protocol,
        remote: SocketAddr,
        local: SocketAddr,
        opening: Opening,
    ) -> TcpProfile {
        let general = TcpProfile::new(&self.tcp, &self.options[protocol]);
        match &self.paths {
            Some(paths) => paths.profile_for(protocol, remote, local, opening, general),
            None => general,
        }
    }

    /// Reports the end of a connection, once, and forgets it. To be called by its owner, or by the process that closes it
    /// for a dead one.
    pub fn report(&self, id: ConnectionId, end: &End) {
        let connections = &self.shared.connections;
        let Some(view) = connections.view(id) else { return };
        // A subscriber that hears of it must not come upon it again.
        connections.retire(id);
        end::log(&view, end);
        let counters = &self.shared.counters;
        let was_open = view.marks & marks::OPEN != 0;
        self.statistics.add(if was_open { counters.ended } else { counters.failed }, 1);
        if was_open && view.marks & marks::REPORTED == 0 && self.ending.load(Acquire) == 0 {
            events::disconnected(&self.events, &view);
            // A process that dies before the row is free leaves one whose end was reported.
            if let Some(own) = connections.own(id) {
                own.mark(marks::REPORTED, 0);
            }
        }
        connections.release(id);
    }
}
