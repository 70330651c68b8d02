//! Opening the addresses to listen on.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tocsin_net::{Protocol, UdpGroup, interface_addresses};
use tocsin_script::{Program, SocketOption, SocketSpec};

use super::StartError;
use super::plan::{capacity, workers};
use crate::context::Context;
use crate::settings::{Settings, SocketSetting};
use crate::sockets::{Alias, Endpoint, Listener, SocketId, Sockets};
use crate::stream_options::StreamOptionsByProtocol;

/// The most `socket=` addresses.
const MAX_LISTENERS: usize = 256;

/// The protocol that a socket names; UDP if it names none.
pub(super) fn protocol_of(spec: &SocketSpec) -> Result<Protocol, StartError> {
    let name = &spec.protocol;
    if name.is_empty() {
        return Ok(Protocol::Udp);
    }
    Protocol::parse(name.as_bytes()).ok_or_else(|| {
        StartError::Socket(format!("{name}:{}", spec.host), format!("`{name}` is no protocol"))
    })
}

/// The same, if the modules that it needs are loaded.
pub(super) fn spoken_protocol(spec: &SocketSpec, program: &Program<Context>) -> Result<Protocol, StartError> {
    let protocol = protocol_of(spec)?;
    let shown = || format!("{}:{}", spec.protocol, spec.host);
    if !program.modules().iter().any(|m| m.strip_prefix("proto_") == Some(protocol.name())) {
        return Err(StartError::ProtocolNotLoaded(shown(), protocol.name().to_owned()));
    }
    if protocol.is_secure() && !program.modules().iter().any(|m| m == "tls_mgm") {
        return Err(StartError::Socket(shown(), "TLS needs the module tls_mgm: load it".to_owned()));
    }
    Ok(protocol)
}

/// Opens all of them.
pub(super) fn open_sockets(
    settings: &Settings,
    program: &Program<Context>,
    streams: &StreamOptionsByProtocol,
) -> Result<Sockets, StartError> {
    let mut listeners = Vec::new();
    for setting in &settings.sockets {
        let spec = &setting.spec;
        let shown = format!("{}:{}", spec.protocol, spec.host);
        let protocol = spoken_protocol(spec, program)?;
        let unnamed = streams[protocol].default_port;
        let (first, last) = spec.ports.unwrap_or((unnamed, unnamed));
        for ip in addresses(&spec.host).map_err(|problem| StartError::Socket(shown.clone(), problem))? {
            for port in first..=last {
                if listeners.len() == MAX_LISTENERS {
                    return Err(StartError::Socket(shown, format!("more than {MAX_LISTENERS} addresses")));
                }
                listeners.push(open(
                    listeners.len(),
                    setting,
                    settings,
                    protocol,
                    SocketAddr::new(ip, port),
                )?);
            }
        }
    }
    if listeners.is_empty() {
        return Err(StartError::NoSocket);
    }
    let aliases = settings.aliases.iter().map(|spec| Alias {
        host: spec.host.to_ascii_lowercase(),
        port: spec.ports.map(|(port, _)| port).filter(|port| *port != 0),
        subdomains: spec.options.contains(&SocketOption::AcceptSubdomain),
    });
    Ok(Sockets::new(listeners, aliases.collect()).with_ports(|protocol| streams[protocol].default_port))
}

fn open(
    index: usize,
    setting: &SocketSetting,
    settings: &Settings,
    protocol: Protocol,
    address: SocketAddr,
) -> Result<Listener, StartError> {
    let (endpoint, address, workers) = match protocol {
        Protocol::Udp => {
            let workers = workers(setting) as usize;
            let group = UdpGroup::open(address, capacity(workers as u32, setting.profile.as_ref()), 1)?;
            let address = group.address();
            (Endpoint::Datagrams(group), address, workers)
        }
        _ => {
            let backlog = i32::try_from(settings.tcp.backlog).unwrap_or(i32::MAX);
            let listener = tocsin_net::stream::listen(address, backlog)?;
            // The system gives the address that it bound; it cannot fail for a socket that listens.
            let address = listener.local_addr().unwrap_or(address);
            (Endpoint::Stream(listener), address, 0)
        }
    };
    let mut advertised = (
        settings.advertised.0.clone().unwrap_or_else(|| address.ip().to_string()),
        settings.advertised.1.unwrap_or(address.port()),
    );
    let mut tag = None;
    for option in &setting.spec.options {
        match option {
            SocketOption::As { host, port } => advertised = (host.clone(), port.unwrap_or(address.port())),
            SocketOption::Tag(name) => tag = Some(name.clone()),
            _ => {}
        }
    }
    let host_port = crate::sockets::host_port(&advertised.0, advertised.1);
    Ok(Listener {
        id: SocketId(index as u16),
        protocol,
        address,
        via_prefix: format!("SIP/2.0/{} {host_port};branch=z9hG4bK", protocol.via_name()).into_bytes(),
        advertised,
        name: format!("{}:{address}", protocol.name()),
        tag,
        workers,
        profile: setting.profile.clone().filter(|_| protocol == Protocol::Udp),
        endpoint,
    })
}

/// The addresses that a `socket=` host stands for: itself, those of an interface, or all.
pub(super) fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    let bare = host.trim_matches(['[', ']']);
    if matches!(bare, "*" | "any") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        return interface_addresses(None).map_err(|e| e.to_string());
    }
    if let Ok(ip) = bare.parse() {
        return Ok(vec![ip]);
    }
    let of_interface = interface_addresses(Some(bare)).map_err(|e| e.to_string())?;
    if !of_interface.is_empty() {
        return Ok(of_interface);
    }
    let resolved =
        (bare, 0).to_socket_addrs().map_err(|e| format!("neither an address nor an interface: {e}"))?;
    resolved.map(|a| a.ip()).next().map(|ip| vec![ip]).ok_or_else(|| "the name has no address".to_owned())
}
