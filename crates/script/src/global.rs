//! Global parameters as they were set (manual, "Core Parameters").

use crate::source::Span;
use crate::value::Bytes;

/// The global parameter that the language obeys itself.
pub const MAX_WHILE_LOOPS: &str = "max_while_loops";

/// The value of a global parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalValue {
    /// A number.
    Int(i64),
    /// A string.
    Str(Bytes),
    /// Yes or no.
    Bool(bool),
    /// An address to listen at, or an alias.
    Socket(SocketSpec),
    /// How many workers, and the profile that scales them.
    Workers {
        /// Number of processes.
        count: u32,
        /// Name of an auto-scaling profile.
        profile: Option<String>,
    },
    /// An auto-scaling profile.
    Profile(ProfileSpec),
}

/// `PROTOCOL:ADDRESS[:PORT[-PORT]]` with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// In lower case, such as `udp`.
    pub protocol: String,
    /// An IP address (IPv6 without brackets), a host name, an interface, or `*`.
    pub host: String,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
    /// In the order written.
    pub options: Vec<SocketOption>,
}

/// An option of a socket (manual, "Core Parameters", socket).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// `as HOST[:PORT]`: the address advertised to others.
    As {
        /// Advertised host.
        host: String,
        /// Advertised port.
        port: Option<u16>,
    },
    /// `use_workers N`
    UseWorkers(u32),
    /// `use_auto_scaling_profile NAME`
    UseAutoScalingProfile(String),
    /// `tag NAME`
    Tag(String),
    /// `tos N`, a number or a name
    TypeOfService(String),
    /// `anycast`
    Anycast,
    /// `frag`
    Fragment,
    /// `reuse_port`
    ReusePort,
    /// `accept_subdomain`
    AcceptSubdomain,
}

/// An auto-scaling profile (manual, "Core Parameters", auto_scaling_profile).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSpec {
    /// Its name.
    pub name: String,
    /// At most so many processes.
    pub most: u32,
    /// More are forked above this load, in percent ...
    pub up_percent: u32,
    /// ... in so many cycles ...
    pub up_cycles: u32,
    /// ... out of so many.
    pub up_window: u32,
    /// `scale down`: at least so many processes, below this load in percent, for so many cycles.
    pub down: Option<(u32, u32, u32)>,
}

/// A global parameter as it was set.
#[derive(Clone, Debug)]
pub struct GlobalSetting {
    /// The parameter.
    pub name: String,
    /// Its value.
    pub value: GlobalValue,
    /// Where it is named.
    pub span: Span,
    /// Where its value stands.
    pub value_span: Span,
}
