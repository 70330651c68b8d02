//! Where a request goes: what the script makes of the Request-URI, the next hop and the branches beside them.

use smallvec::SmallVec;
use thiserror::Error;
use tocsin_net::locate::{NoHop, Protocols, Question};
use tocsin_net::{Hop, Protocol};
use tocsin_script::Bytes;
use tocsin_sip::{Scheme, Transport, UriRef};

use crate::sockets::SocketId;

/// Destinations of one request, the first included (OpenSIPS's MAX_BRANCHES).
pub const MAX_BRANCHES: usize = 12;

/// One destination of a request.
#[derive(Debug, Clone)]
pub struct Target {
    /// The Request-URI that this branch gets; `None` keeps the one received.
    pub uri: Option<Bytes>,
    /// The next hop (`$du`), if it is not the Request-URI's host.
    pub next_hop: Option<Bytes>,
    /// Route headers to add for this branch: a contact's path, as header values.
    pub path: Option<Bytes>,
    /// The listener to send from, if the script chose one.
    pub socket: Option<SocketId>,
    /// Preference in thousandths; -1 when none was given.
    pub q: i32,
    /// Branch flags.
    pub flags: u32,
}

impl Default for Target {
    fn default() -> Self {
        Self { uri: None, next_hop: None, path: None, socket: None, q: -1, flags: 0 }
    }
}

/// All destinations of a request.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The first: `$ru`, `$du` and their relatives work on it.
    pub main: Target,
    /// Appended ones.
    pub others: SmallVec<[Target; 1]>,
}

impl Targets {
    /// Appends a branch. `false` when there are as many as there may be.
    pub fn append(&mut self, branch: Target) -> bool {
        let fits = self.others.len() + 1 < MAX_BRANCHES;
        if fits {
            self.others.push(branch);
        }
        fits
    }

    /// `Contact: <URI>;q=Q, ...`; `None` if there is no destination but the one received.
    pub fn contacts(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for target in std::iter::once(&self.main).chain(&self.others) {
            let Some(uri) = &target.uri else { continue };
            out.extend_from_slice(if out.is_empty() { b"Contact: <" } else { b", <" });
            out.extend_from_slice(uri);
            out.push(b'>');
            if target.q >= 0 {
                out.extend_from_slice(b";q=");
                out.extend_from_slice(printed_q(target.q).as_bytes());
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

/// A preference, given in thousandths, as a header field has it.
pub(crate) fn printed_q(q: i32) -> String {
    if q % 1000 == 0 {
        return (q / 1000).to_string();
    }
    format!("0.{q:03}").trim_end_matches('0').to_owned()
}

/// Why a URI leads nowhere.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoRoute {
    /// It cannot be read.
    #[error("the URI `{0}` cannot be read")]
    Malformed(String),
    /// Neither `sip:` nor `sips:`.
    #[error("no route for the scheme of `{0}`: only sip: and sips: lead to a host")]
    Scheme(String),
    /// A transport that nobody here speaks.
    #[error("no way to speak the transport of `{0}`: udp, tcp, tls, ws and wss are there")]
    Transport(String),
    /// SCTP, which OpenSIPS knows and this server has no sockets for.
    #[error("no listener for the transport of `{0}`: udp, tcp, tls, ws and wss are there")]
    Sctp(String),
    /// There is no listener for it, or no secure form of it.
    #[error(transparent)]
    NoHop(#[from] NoHop),
}

/// What a URI leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHop {
    /// An address: send there.
    Hop(Hop),
    /// A name: ask where its service is (RFC 3263).
    Name(ServiceName),
}

/// A host name, and what its URI says about how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// The name.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The protocol, if one is written.
    pub transport: Option<Protocol>,
    /// Only encrypted ways will do (`sips:`).
    pub secure: bool,
}

impl ServiceName {
    /// As a question to the name servers.
    pub fn question(&self) -> Question<'_> {
        Question { host: &self.host, port: self.port, transport: self.transport, secure: self.secure }
    }
}

impl NextHop {
    /// Reads the host, port and transport of `uri`, for a server that can send by `usable`.
    ///
    /// # Errors
    /// [`NoRoute`] when it leads nowhere, as far as can be said without a look-up.
    pub fn of(uri: &[u8], usable: Protocols) -> Result<Self, NoRoute> {
        let text = || String::from_utf8_lossy(uri).into_owned();
        let parsed = UriRef::parse(uri).map_err(|_| NoRoute::Malformed(text()))?;
        let secure = match parsed.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return Err(NoRoute::Scheme(text())),
        };
        let transport = match parsed.transport() {
            None => None,
            Some(Transport::Sctp | Transport::TlsSctp) => return Err(NoRoute::Sctp(text())),
            Some(named) => Some(protocol_of(named).ok_or_else(|| NoRoute::Transport(text()))?),
        };
        let maddr = parsed.param(b"maddr").and_then(|p| p.value);
        let host = std::str::from_utf8(maddr.unwrap_or_else(|| parsed.host()))
            .map_err(|_| NoRoute::Malformed(text()))?;
        let question = Question { host, port: parsed.port(), transport, secure };
        Ok(match question.direct(usable)? {
            Some(hop) => Self::Hop(hop),
            None => {
                let Question { port, transport, .. } = question;
                Self::Name(ServiceName { host: host.to_owned(), port, transport, secure })
            }
        })
    }
}

/// The protocol that a `transport` parameter names.
fn protocol_of(transport: Transport) -> Option<Protocol> {
    match transport {
        Transport::Udp => Some(Protocol::Udp),
        Transport::Tcp => Some(Protocol::Tcp),
        Transport::Tls => Some(Protocol::Tls),
        Transport::Ws => Some(Protocol::Ws),
        Transport::Wss => Some(Protocol::Wss),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &[u8]) -> Result<NextHop, NoRoute> {
        NextHop::of(uri, Protocol::ALL.into_iter().collect())
    }

    #[test]
    fn addresses_names_and_refusals() {
        let hop = |protocol, text: &str| NextHop::Hop(Hop { protocol, to: text.parse().unwrap() });
        assert_eq!(of(b"sip:127.0.0.1:5070"), Ok(hop(Protocol::Udp, "127.0.0.1:5070")));
        assert_eq!(of(b"sip:u@[::1]"), Ok(hop(Protocol::Udp, "[::1]:5060")));
        assert_eq!(of(b"sip:a@h.example;maddr=127.0.0.9"), Ok(hop(Protocol::Udp, "127.0.0.9:5060")));
        assert_eq!(of(b"sip:127.0.0.1;transport=tls"), Ok(hop(Protocol::Tls, "127.0.0.1:5061")));
        assert_eq!(of(b"sips:127.0.0.1;transport=tcp"), Ok(hop(Protocol::Tls, "127.0.0.1:5061")));
        assert_eq!(of(b"sip:127.0.0.1:9;transport=ws"), Ok(hop(Protocol::Ws, "127.0.0.1:9")));
        let host = "h.example".to_owned();
        assert_eq!(
            of(b"sip:a@h.example:7000;transport=udp"),
            Ok(NextHop::Name(ServiceName {
                host: host.clone(),
                port: Some(7000),
                transport: Some(Protocol::Udp),
                secure: false,
            }))
        );
        assert_eq!(
            of(b"sips:h.example"),
            Ok(NextHop::Name(ServiceName { host, port: None, transport: None, secure: true }))
        );
        assert!(matches!(of(b"tel:+358"), Err(NoRoute::Scheme(_))));
        assert!(matches!(of(b"sip:h;transport=sctp"), Err(NoRoute::Sctp(_))));
        assert!(matches!(of(b"sip:h;transport=pigeon"), Err(NoRoute::Transport(_))));
        assert!(matches!(of(b"not a uri"), Err(NoRoute::Malformed(_))));
        assert!(matches!(of(b"sips:127.0.0.1;transport=udp"), Err(NoRoute::NoHop(NoHop::Insecure(_)))));
    }

    #[test]
    fn a_server_sends_by_what_it_has() {
        let tcp = Protocols::default().with(Protocol::Tcp);
        let hop = Hop { protocol: Protocol::Tcp, to: "127.0.0.1:5060".parse().unwrap() };
        assert_eq!(NextHop::of(b"sip:127.0.0.1", tcp), Ok(NextHop::Hop(hop)));
        let refused = NextHop::of(b"sip:127.0.0.1;transport=udp", tcp);
        assert_eq!(refused, Err(NoRoute::NoHop(NoHop::Protocol("udp"))));
    }
}
