//! Connections that this server opens: without waiting, and and the messages that wait for them.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::connections::{ConnectionId, Own, View, marks};
use tocsin_net::stream;
use tocsin_net::tls::Session;
use tocsin_net::websocket::Offer;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::connection::Connection;
use super::end::End;
use super::output::MAX_WAITING_BYTES;
use super::pending::{PendingGuard, PendingTable};
use crate::flow::BranchRef;
use crate::local::Local;
use crate::network::Network;
use crate::security::TlsSelection;
use crate::sockets::SocketId;

/// What opening a connection takes, besides its row.
#[derive(Debug, Default)]
pub(super) struct PendingConnect {
    /// The name that led to the address.
    pub(super) host: String,
    /// What the script selects of TLS.
    pub(super) tls_selection: TlsSelection,
    /// Messages to send once it is open.
    pub(super) messages: Vec<(Vec<u8>, Option<BranchRef>)>,
}

impl PendingConnect {
    /// With one message to send.
    pub(super) fn new(
        host: &str,
        tls_selection: TlsSelection,
        message: Vec<u8>,
        branch_ref: Option<BranchRef>,
    ) -> Self {
        Self { host: host.to_owned(), tls_selection, messages: vec![(message, branch_ref)] }
    }
}

/// A connection of this process that is not open yet.
#[derive(Debug)]
pub(super) struct Connecting {
    pending: PendingTable,
    pub(super) id: ConnectionId,
    pending_connect: RefCell<PendingConnect>,
    /// Its messages, should this process die before they leave.
    guard: RefCell<Vec<PendingGuard>>,
    most: u32,
    /// That too many wait was said.
    is_full: Cell<bool>,
    task: OnceCell<AbortHandle>,
}

impl Connecting {
    /// The opening of `id`, whose messages are at most `most`.
    pub(super) fn new(
        pending: PendingTable,
        id: ConnectionId,
        most: u32,
        pending_connect: PendingConnect,
    ) -> Self {
        let branch_refs = pending_connect.messages.iter().filter_map(|(_, branch_ref)| *branch_ref);
        let guard = branch_refs.map(|branch_ref| pending.note(branch_ref)).collect();
        Self {
            pending,
            id,
            pending_connect: RefCell::new(pending_connect),
            guard: RefCell::new(guard),
            most,
            is_full: Cell::new(false),
            task: OnceCell::new(),
        }
    }

    /// The task that runs it.
    pub(super) fn runs_as(&self, task: AbortHandle) {
        let _ = self.task.set(task);
    }

    /// Stops it. What it was to bring.
    pub(super) fn give_up(&self) -> PendingConnect {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        self.pending_connect.take()
    }

    /// Lets one more message wait. Gives its branch back when there are too many.
    pub(super) fn push(
        &self,
        message: Vec<u8>,
        branch_ref: Option<BranchRef>,
    ) -> Result<(), Option<BranchRef>> {
        let messages = &mut self.pending_connect.borrow_mut().messages;
        let bytes: usize = messages.iter().map(|(message, _)| message.len()).sum();
        if messages.len() >= self.most as usize || bytes + message.len() > MAX_WAITING_BYTES {
            if !self.is_full.replace(true) {
                tracing::warn!(
                    "{} messages wait for a connection to open: further ones are not sent",
                    messages.len()
                );
            }
            return Err(branch_ref);
        }
        messages.push((message, branch_ref));
        self.guard.borrow_mut().extend(branch_ref.map(|branch_ref| self.pending.note(branch_ref)));
        Ok(())
    }

    /// It is open, or cannot be opened: what it was to bring.
    pub(super) fn take_pending(&self) -> PendingConnect {
        self.pending_connect.take()
    }

    /// Its messages have left, or their transactions know that they cannot.
    pub(super) fn forget_guards(&self) {
        self.guard.take();
    }
}

/// Connects, in the time that the profile allows.
pub(super) async fn open(network: &Network, own: &Own, view: &View) -> Result<TcpStream, End> {
    let from = network.sockets.listener(SocketId(view.listener)).address;
    let limit = network.profile_of(view).connect_timeout;
    let connect = async {
        let stream = TcpStream::from_std(stream::connect(from, view.remote)?)?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(cause) => Err(cause),
            None => Ok(stream),
        }
    };
    let stream = match tokio::time::timeout(limit.max(Duration::from_millis(1)), connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) => return Err(End::Refused(cause)),
        Err(_) => return Err(End::ConnectTimeout(limit)),
    };
    own.local(stream.local_addr().map_err(End::Refused)?);
    own.mark(marks::OPEN, 0);
    network.statistics.add(network.shared.counters.opened, 1);
    Ok(stream)
}

/// Makes a connection of an open stream, and begins its handshakes.
pub(super) fn start(
    local: &'static Local,
    own: Own,
    view: &View,
    stream: TcpStream,
    pending_connect: &PendingConnect,
) -> Result<Rc<Connection>, End> {
    let stream = stream.into_std().map_err(End::Broken)?;
    let connection = Connection::new(local, own, view, stream).map_err(End::Broken)?;
    let offer = view.protocol.is_websocket().then(|| {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&local.owner.unique().to_ne_bytes());
        nonce[8..].copy_from_slice(&local.owner.unique().to_ne_bytes());
        (Offer::new(nonce), web_host(&pending_connect.host, view).into())
    });
    let session =
        view.protocol.is_secure().then(|| tls_session(local.network, connection.remote(), pending_connect));
    match session.transpose() {
        Ok(session) => connection.open(session, offer),
        Err(end) => connection.stop_with(end),
    }
    Ok(connection)
}

/// The host of a request for a WebSocket: the name that led to the address, or the address, and the port unless it is the
/// protocol's own (RFC 6455 section 4.1).
fn web_host(name: &str, view: &View) -> String {
    let name = match view.remote.ip() {
        _ if !name.is_empty() => name.to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    let port = view.remote.port();
    if port == view.protocol.default_port() { name } else { format!("{name}:{port}") }
}

/// The client's side of TLS with `remote`.
fn tls_session(
    network: &Network,
    remote: SocketAddr,
    pending_connect: &PendingConnect,
) -> Result<Session, End> {
    let security = network.security.as_ref().ok_or(End::NoSecurity)?;
    let host = (!pending_connect.host.is_empty()).then_some(pending_connect.host.as_str());
    let (config, name) = security.client_config(remote, &pending_connect.tls_selection, host)?;
    Ok(Session::connecting(config, name)?)
}

#[cfg(test)]
mod tests {
    use tocsin_net::Protocol;
    use tocsin_net::connections::{OwnerId, TlsIdentity};

    use super::*;

    #[test]
    fn rfc_6455_section_4_1_the_host_is_the_name_that_led_there() {
        let host = |name, protocol, remote: &str| {
            let view = View {
                id: ConnectionId::NONE,
                protocol,
                remote: remote.parse().unwrap(),
                local: "127.0.0.1:0".parse().unwrap(),
                listener: 0,
                owner: OwnerId::REAPER,
                marks: marks::OUTGOING,
                idle_until: 0,
                alias: 0,
                tls_identity: TlsIdentity::NONE,
            };
            web_host(name, &view)
        };
        assert_eq!(host("ws.example", Protocol::Ws, "192.0.2.1:8080"), "ws.example:8080");
        assert_eq!(host("ws.example", Protocol::Wss, "192.0.2.1:443"), "ws.example");
        assert_eq!(host("ws.example", Protocol::Ws, "192.0.2.1:443"), "ws.example:443");
        assert_eq!(host("", Protocol::Ws, "192.0.2.1:80"), "192.0.2.1");
        assert_eq!(host("", Protocol::Wss, "[2001:db8::1]:443"), "[2001:db8::1]");
        assert_eq!(host("", Protocol::Wss, "[2001:db8::1]:8443"), "[2001:db8::1]:8443");
    }
}
