//! Connections of the courier: made with a port that is known to be the server's own.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::own::OwnPorts;

/// The port of a connection of the courier, noted as such until this is dropped.
#[derive(Debug)]
pub struct OwnPort(Option<(OwnPorts, u16)>);

impl Drop for OwnPort {
    fn drop(&mut self) {
        if let Some((ports, port)) = self.0 {
            ports.close(port);
        }
    }
}

/// Connects to `to` within `patience`. The port is noted in `ports`, if there are any, before anybody can accept the
/// connection.
///
/// # Errors
/// What the system answered, or that it was not in time.
pub async fn dial(
    to: SocketAddr,
    ports: Option<OwnPorts>,
    patience: Duration,
) -> io::Result<(TcpStream, OwnPort)> {
    let (socket, any) = match to {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
    };
    let mut noted = OwnPort(None);
    if let Some(ports) = ports {
        socket.bind(any)?;
        let port = socket.local_addr()?.port();
        ports.open(port, to);
        noted = OwnPort(Some((ports, port)));
    }
    let stream = timeout(patience, socket.connect(to)).await.map_err(io::Error::from).flatten()?;
    stream.set_nodelay(true)?;
    Ok((stream, noted))
}
