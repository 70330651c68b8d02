//! What belongs to the server itself: places where it listens, which are no subscribers, and the ports from which its
//! courier connects. An event that came back to the server could be the cause of the next one, for ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use tocsin_shm::{Arena, ArenaFull, Millis, ShmSafe, monotonic_millis};

use crate::address::{Address, Endpoint};

/// A place where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnListener {
    /// For datagrams, at an address or, with an unspecified one, at all of this host.
    Datagram(SocketAddr),
    /// For connections, of whatever protocol.
    Stream(SocketAddr),
    /// At a path of the file system.
    Path(PathBuf),
}

impl OwnListener {
    /// Whether what is sent to `address` comes here.
    pub(crate) fn is_at(&self, address: &Address) -> bool {
        match (self, &address.endpoint) {
            (Self::Datagram(own), Endpoint::Socket(to)) => address.scheme == "udp" && leads(*to, *own),
            (Self::Stream(own), Endpoint::Socket(to)) => address.scheme != "udp" && leads(*to, *own),
            (Self::Path(own), Endpoint::Path(to)) => is_same_file(own, to),
            (_, Endpoint::Several(parts)) => parts.iter().any(|part| self.is_at(part)),
            _ => false,
        }
    }
}

/// Whether what is sent to `to` reaches a listener at `own`.
fn leads(to: SocketAddr, own: SocketAddr) -> bool {
    let (target, listens) = (to.ip().to_canonical(), own.ip().to_canonical());
    // What is sent to no address goes to the loopback.
    let target = match target {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    // One that listens at all addresses of IPv6 may do so at those of IPv4 as well.
    let everywhere = listens.is_unspecified() && (listens.is_ipv6() || target.is_ipv4());
    to.port() == own.port() && (target == listens || everywhere && is_of_this_host(target))
}

/// Whether the address is one of this host's: then a socket can be bound to it.
fn is_of_this_host(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    if one == other {
        return true;
    }
    let place = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    place(one).is_some_and(|found| place(other) == Some(found))
}

/// How long a port is known after its connection has ended: the other side may come to it later.
const KNOWN_AFTER: Millis = 60_000;

/// Places for ports. Two ports that share one may cost each other their note.
const PLACES: usize = 1024;

/// The mark of a connection that has not ended.
const OPEN: u64 = (1 << 48) - 1;

/// The ports of this host from which the courier connects to subscribers. A handle to copy.
#[derive(Clone, Copy, Debug)]
pub struct OwnPorts {
    places: &'static [Place],
}

/// A connection of the courier. The kernel gives its port to others, too, for other destinations or when it is free again:
/// only both ends together are its own.
#[derive(Debug, Default, ShmSafe)]
struct Place {
    /// The port in the upper 16 bits; below, until when it is known.
    noted: AtomicU64,
    /// What stands for the other end: [`far_end`].
    to: AtomicU64,
}

/// A number for an address that a connection was made to, or was accepted at.
fn far_end(address: SocketAddr) -> u64 {
    let ip = match address.ip().to_canonical() {
        // What is sent to no address goes to the loopback.
        IpAddr::V4(ip) if ip.is_unspecified() => u128::from(Ipv4Addr::LOCALHOST.to_bits()),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_bits(),
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    ((ip >> 64) as u64).rotate_left(32) ^ (ip as u64) ^ u64::from(address.port()) << 40
}

impl OwnPorts {
    /// No port yet. To be called before the first fork.
    pub(crate) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        Ok(Self { places: arena.boot_array(PLACES, |_| Place::default())? })
    }

    /// A connection is about to be made from `port` to `to`.
    pub(crate) fn open(&self, port: u16, to: SocketAddr) {
        let place = self.place(port);
        place.to.store(far_end(to), Relaxed);
        place.noted.store(u64::from(port) << 48 | OPEN, Release);
    }

    /// The connection from `port` has ended.
    pub(crate) fn close(&self, port: u16) {
        let noted = &self.place(port).noted;
        if noted.load(Relaxed) >> 48 == u64::from(port) {
            noted.store(u64::from(port) << 48 | (monotonic_millis() + KNOWN_AFTER).min(OPEN - 1), Relaxed);
        }
    }

    /// The courier died, and its connections with it.
    pub(crate) fn close_all(&self) {
        let ports = self.places.iter().map(|place| place.noted.load(Relaxed));
        // A port is 16 bits.
        ports.filter(|noted| noted & OPEN == OPEN).for_each(|noted| self.close((noted >> 48) as u16));
    }

    /// Whether a connection that comes from `remote` and was accepted at `local` is the courier's.
    pub fn contain(&self, remote: SocketAddr, local: SocketAddr) -> bool {
        let place = self.place(remote.port());
        let noted = place.noted.load(Acquire);
        noted >> 48 == u64::from(remote.port())
            && noted != 0
            && noted & OPEN > monotonic_millis()
            && place.to.load(Relaxed) == far_end(local)
            && (remote.ip() == local.ip() || remote.ip().to_canonical().is_loopback())
    }

    fn place(&self, port: u16) -> &Place {
        &self.places[usize::from(port) % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    fn to(text: &str) -> Address {
        let (scheme, place) = text.split_once(':').unwrap();
        let scheme = ["udp", "tcp", "unix"].into_iter().find(|known| *known == scheme).unwrap();
        match place.parse() {
            Ok(socket) => Address::new(scheme, place, Endpoint::Socket(socket)),
            Err(_) => Address::new(scheme, place, Endpoint::Path(place.into())),
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_leads_to_a_listener() {
        let one = OwnListener::Datagram(at("127.0.0.1:5060"));
        assert!(one.is_at(&to("udp:127.0.0.1:5060")) && one.is_at(&to("udp:0.0.0.0:5060")));
        for other in ["udp:127.0.0.1:5061", "udp:127.0.0.2:5060", "tcp:127.0.0.1:5060"] {
            assert!(!one.is_at(&to(other)), "{other}");
        }
        let all = OwnListener::Stream(at("0.0.0.0:5060"));
        for here in ["tcp:127.0.0.1:5060", "tcp:127.8.8.8:5060", "tcp:0.0.0.0:5060"] {
            assert!(all.is_at(&to(here)), "{here}");
        }
        for other in ["tcp:192.0.2.1:5060", "tcp:127.0.0.1:5061", "udp:127.0.0.1:5060"] {
            assert!(!all.is_at(&to(other)), "{other}");
        }
        let both = OwnListener::Stream(at("[::]:8888"));
        assert!(both.is_at(&to("tcp:127.0.0.1:8888")) && both.is_at(&to("tcp:[::1]:8888")));
        assert!(!both.is_at(&to("tcp:192.0.2.1:8888")));
    }

    #[test]
    fn a_path_is_the_file_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let (own, link) = (folder.path().join("mi.sock"), folder.path().join("link"));
        std::fs::write(&own, "").unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let listener = OwnListener::Path(own.clone());
        let dotted = folder.path().join("./mi.sock");
        for path in [&own, &link, &dotted] {
            assert!(listener.is_at(&to(&format!("unix:{}", path.display()))), "{path:?}");
        }
        assert!(!listener.is_at(&to(&format!("unix:{}", folder.path().join("other").display()))));
    }

    #[test]
    fn connections_of_the_courier_are_known_by_both_ends() {
        let arena = Arena::create(&ArenaOptions { bytes: 1 << 20, boot_bytes: 64 << 10 }).unwrap();
        let ports = OwnPorts::create(arena).unwrap();
        let (near, here) = (at("127.0.0.1:40001"), at("127.0.0.1:5060"));
        assert!(!ports.contain(near, here) && !ports.contain(at("127.0.0.1:0"), here));
        ports.open(40_001, here);
        assert!(ports.contain(near, here));
        for other in ["127.0.0.1:5061", "192.0.2.1:5060", "[::1]:5060"] {
            assert!(!ports.contain(near, at(other)), "a client at {other} that shares the port");
        }
        assert!(!ports.contain(at("127.0.0.1:40002"), here) && !ports.contain(at("127.0.0.1:41025"), here));
        ports.close_all();
        assert!(ports.contain(near, here), "a connection that ended may still be accepted");
        ports.place(40_001).noted.store(40_001 << 48, Relaxed);
        assert!(!ports.contain(near, here));
        ports.open(40_003, at("0.0.0.0:5060"));
        assert!(ports.contain(at("127.0.0.1:40003"), here));
        ports.open(40_004, at("192.0.2.1:5060"));
        assert!(!ports.contain(at("192.0.2.9:40004"), at("192.0.2.1:5060")), "another host's");
    }
}
