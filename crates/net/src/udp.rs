//! A listening UDP address: one socket for each worker slot, all opened before the first fork.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::spread;

/// Receive buffer asked of the kernel for each socket, in bytes: the peer's upper bound.
const RECEIVE_BUFFER: usize = 262_144;

/// Why a listening address could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another program has the port.
    #[error(
        "{protocol}:{address} is in use by another program: stop it, or choose another port in `socket=`"
    )]
    InUse {
        /// `udp`, or `tcp` for all that runs over it.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
    },
    /// Whatever else the system said.
    #[error("{protocol}:{address} cannot be opened: {cause}")]
    System {
        /// As above.
        protocol: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

impl OpenError {
    pub(crate) fn of(protocol: &'static str, address: SocketAddr, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { protocol, address },
            _ => Self::System { protocol, address, cause },
        }
    }
}

/// Every socket of one listening address. Sockets are never closed while the server runs, so a successor finds
/// what arrived for a dead worker still queued.
#[derive(Debug)]
pub struct UdpGroup {
    address: SocketAddr,
    sockets: Vec<UdpSocket>,
}

impl UdpGroup {
    /// Opens `slots` sockets on `address` (port 0: the kernel chooses) of which the first `active` take traffic.
    pub fn open(address: SocketAddr, slots: usize, active: usize) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::of("udp", address, cause);
        // SO_REUSEPORT would let a second server join the group and take half of the traffic: ask for the
        // address alone first.
        let alone = Socket::new(Domain::for_address(address), Type::DGRAM, None).map_err(failed)?;
        alone.bind(&address.into()).map_err(failed)?;
        let address = UdpSocket::from(alone).local_addr().map_err(failed)?;

        let sockets =
            (0..slots.max(1)).map(|_| open_one(address)).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let group = Self { address, sockets };
        group.spread(&(0..active.max(1)).collect::<Vec<_>>()).map_err(failed)?;
        Ok(group)
    }

    /// Lets the sockets of these workers share what arrives. Takes effect at once; queues are kept.
    pub fn spread(&self, active: &[usize]) -> io::Result<()> {
        let known = active.iter().copied().filter(|index| *index < self.sockets.len());
        spread::over(self.sockets[0].as_fd(), &known.collect::<Vec<_>>())
    }

    /// The address with the port that the kernel gave.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket of the `index`th worker of this address; a process outside of the group sends by any.
    pub fn socket(&self, index: usize) -> &UdpSocket {
        &self.sockets[index % self.sockets.len()]
    }

    /// How many sockets there are: the most workers this address can have.
    pub fn capacity(&self) -> usize {
        self.sockets.len()
    }
}

fn open_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_with_advice() {
        let taken = UdpGroup::open("127.0.0.1:0".parse().unwrap(), 2, 2).unwrap();
        let error = UdpGroup::open(taken.address(), 2, 2).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    }

    #[test]
    fn only_active_sockets_receive() {
        let group = UdpGroup::open("127.0.0.1:0".parse().unwrap(), 3, 1).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut buffer = [0; 16];
        let mut queued = |index: usize| {
            let mut n = 0;
            while group.socket(index).recv(&mut buffer).is_ok() {
                n += 1;
            }
            n
        };
        for _ in 0..60 {
            client.send_to(b"x", group.address()).unwrap();
        }
        assert_eq!([queued(0), queued(1), queued(2)], [60, 0, 0]);
        for active in [&[0, 1, 2][..], &[0, 2], &[2, 1], &[1]] {
            group.spread(active).unwrap();
            for _ in 0..60 {
                client.send_to(b"x", group.address()).unwrap();
            }
            let counts = [queued(0), queued(1), queued(2)];
            assert_eq!(counts.iter().sum::<i32>(), 60);
            for (index, count) in counts.iter().enumerate() {
                assert_eq!(*count > 0, active.contains(&index), "{active:?}: {counts:?}");
            }
        }
    }
}
