//! The core events as types: the parameters of each, in the order of the wire. Raising one, listing it for people and its schema
//! for machines come from the same declaration.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use crate::params::ParamsWriter;

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A JSON number, exact to 64 bits.
    Number,
    /// A JSON string.
    Text,
    /// A JSON string, or `null` if there is none.
    TextOrNull,
}

/// One parameter of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As it is on the wire.
    pub name: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it is left out when there is nothing to say.
    pub optional: bool,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

impl Field {
    /// A number.
    pub const fn number(name: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: FieldKind::Number, optional: false, meaning }
    }

    /// A string.
    pub const fn text(name: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: FieldKind::Text, optional: false, meaning }
    }

    /// A string, or `null` if there is none.
    pub const fn text_or_null(name: &'static str, meaning: &'static str) -> Self {
        Self { name, kind: FieldKind::TextOrNull, optional: false, meaning }
    }

    /// The same, but left out when there is nothing to say.
    pub const fn or_nothing(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// An event: its name and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// As subscribers know it.
    pub name: &'static str,
    /// When it is raised.
    pub cause: &'static str,
    /// Its parameters, in the order of the wire.
    pub fields: &'static [Field],
}

/// An event of the core.
pub trait CoreEvent {
    /// Its parameters.
    const DESCRIPTION: Description;

    /// Writes its parameters in the order of the wire.
    fn write(&self, params: &mut ParamsWriter<'_>);
}

/// A type that a parameter may have.
trait Parameter {
    const KIND: FieldKind;
    const OPTIONAL: bool = false;

    fn put(&self, name: &str, params: &mut ParamsWriter<'_>);
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Parameter for $number {
            const KIND: FieldKind = FieldKind::Number;

            fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
                params.int(name, i64::from(*self));
            }
        }
    )*};
}

numbers!(u8, u16, u32, i32);

impl Parameter for u64 {
    const KIND: FieldKind = FieldKind::Number;

    /// Times and sizes stay far below 2^63.
    fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
        params.int(name, i64::try_from(*self).unwrap_or(i64::MAX));
    }
}

impl Parameter for &str {
    const KIND: FieldKind = FieldKind::Text;

    fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
        params.text(name, self);
    }
}

impl Parameter for &[u8] {
    const KIND: FieldKind = FieldKind::Text;

    fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
        params.text(name, self);
    }
}

impl Parameter for IpAddr {
    const KIND: FieldKind = FieldKind::Text;

    fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
        // The longest IPv6 address has 45 characters (RFC 4291 section 2.2, form 3).
        let mut text = [0_u8; 48];
        let length = match self {
            Self::V4(ip) => print_ipv4(*ip, &mut text),
            Self::V6(ip) => {
                let mut rest = &mut text[..];
                // It fits.
                let _ = write!(rest, "{ip}");
                48 - rest.len()
            }
        };
        params.text(name, &text[..length]);
    }
}

/// Prints an address without the formatter, which takes ten times as long. Returns the length of the text.
fn print_ipv4(ip: Ipv4Addr, text: &mut [u8; 48]) -> usize {
    let mut length = 0;
    let mut push = |byte| {
        text[length] = byte;
        length += 1;
    };
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            push(b'.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                push(b'0' + octet / unit % 10);
            }
        }
    }
    length
}

impl<P: Parameter> Parameter for Option<P> {
    const KIND: FieldKind = P::KIND;
    const OPTIONAL: bool = true;

    fn put(&self, name: &str, params: &mut ParamsWriter<'_>) {
        if let Some(value) = self {
            value.put(name, params);
        }
    }
}

/// Declares events: the type that is raised, and what it says about itself.
macro_rules! core_events {
    ($(
        #[doc = $cause:literal]
        $event:ident $(<$life:lifetime>)? = $name:literal {
            $(#[doc = $meaning:literal] $field:ident: $kind:ty,)*
        }
    )*) => {
        $(
            #[doc = concat!("`", $name, "`:", $cause)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $event $(<$life>)? {
                $(#[doc = $meaning] pub $field: $kind,)*
            }

            impl $(<$life>)? CoreEvent for $event $(<$life>)? {
                const DESCRIPTION: Description = Description {
                    name: $name,
                    cause: $cause.trim_ascii_start(),
                    fields: &[$(Field {
                        name: stringify!($field),
                        kind: <$kind as Parameter>::KIND,
                        optional: <$kind as Parameter>::OPTIONAL,
                        meaning: $meaning.trim_ascii_start(),
                    }),*],
                };

                fn write(&self, params: &mut ParamsWriter<'_>) {
                    $(self.$field.put(stringify!($field), params);)*
                }
            }
        )*

        /// The core events in the order of their ids. `E_CORE_LOG` comes after those of modules and of the script, what comes
        /// after it is published with its first subscriber.
        pub const CORE_EVENTS: &[Description] = &[$($event::DESCRIPTION),*];
    };
}

core_events! {
    /// A Status/Report identifier changed its status.
    SrStatusChanged<'a> = "E_CORE_SR_STATUS_CHANGED" {
        /// The group of the identifier, like `core` or a module's name.
        group: &'a str,
        /// The identifier within its group.
        identifier: &'a str,
        /// The new status: positive is good, negative is bad, never 0.
        status: i32,
        /// What is said about it.
        details: Option<&'a [u8]>,
        /// The status before.
        old_status: i32,
    }

    /// Something took longer than its limit.
    Threshold<'a> = "E_CORE_THRESHOLD" {
        /// What was slow: `msg processing`, `dns`, `mysql query`, `tcp ops` and so on.
        source: &'a str,
        /// How long it took, in microseconds.
        time: u64,
        /// On what: the message, the name that was asked for, the text of the query, the bytes sent.
        extra: &'a [u8],
    }

    /// The percentage of the shared memory in use changed at or above `event_shm_threshold`, or fell below it.
    ShmThreshold = "E_CORE_SHM_THRESHOLD" {
        /// Percent of the memory in use.
        usage: u8,
        /// `event_shm_threshold`, percent.
        threshold: u8,
        /// Bytes in use.
        used: u64,
        /// Bytes in all.
        size: u64,
    }

    /// The percentage of a process's private memory in use changed at or above `event_pkg_threshold`, or fell below it.
    PkgThreshold = "E_CORE_PKG_THRESHOLD" {
        /// Percent of the memory in use.
        usage: u8,
        /// `event_pkg_threshold`, percent.
        threshold: u8,
        /// Bytes in use.
        used: u64,
        /// Bytes that the process may use.
        size: u64,
        /// The process.
        pid: u32,
    }

    /// The auto-scaling of a group of processes forked one, or asked one to end.
    ProcAutoScale<'a> = "E_CORE_PROC_AUTO_SCALE" {
        /// `UDP`, `TCP` or `TIMER`.
        group_type: &'a str,
        /// The listening address of a UDP group, else `none`.
        group_filter: &'a str,
        /// The load of the group that led to this, in percent.
        group_load: u32,
        /// `up` or `down`.
        scale: &'a str,
        /// The ID of the process, as `ps` shows it.
        process_id: u32,
        /// The process.
        pid: u32,
    }

    /// A TCP, TLS, WS or WSS connection ended.
    TcpDisconnect<'a> = "E_CORE_TCP_DISCONNECT" {
        /// The address of the far end, also of a connection that this server opened.
        src_ip: IpAddr,
        /// The port of the far end.
        src_port: u16,
        /// The address of the near end.
        dst_ip: IpAddr,
        /// The port of the near end.
        dst_port: u16,
        /// `tcp`, `tls`, `ws` or `wss`.
        proto: &'a str,
    }

    /// A line was written to the log, and `log_event_enabled` is set.
    LogLine<'a> = "E_CORE_LOG" {
        /// When, as the log shows it.
        time: &'a str,
        /// The process that wrote it.
        pid: u32,
        /// `ALERT` to `DBG`.
        level: &'a str,
        /// The module that wrote it, or `core`; the script names none.
        module: Option<&'a str>,
        /// The place in the module.
        function: Option<&'a str>,
        /// `log_prefix`.
        prefix: Option<&'a str>,
        /// What it says.
        message: &'a [u8],
    }

    /// A process of the server died.
    ProcExit<'a> = "E_CORE_PROC_EXIT" {
        /// The ID of the process, as `ps` showed it.
        process_id: u32,
        /// The process.
        pid: u32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its exit code, if it left by itself.
        code: Option<i32>,
        /// `UDP`, `TCP`, `TCP MAIN`, `TIMER`, `MI` or `COURIER`.
        group: &'a str,
        /// Records of shared memory that were lost with it.
        records_lost: u64,
    }
}

/// How many of [`CORE_EVENTS`] are published first, under ids that never change.
pub(crate) const FIRST: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use crate::render::write_event;

    fn rendered<E: CoreEvent>(event: &E) -> String {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        let mut params = ParamsWriter::new(&mut bytes);
        event.write(&mut params);
        let params = Params::new(params.finish().unwrap());
        write_event(E::DESCRIPTION.name.as_bytes(), params, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// The texts are those recorded from subscribers' sockets.
    #[test]
    fn they_render_as_recorded() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let disconnect =
            TcpDisconnect { src_ip: loopback, src_port: 1, dst_ip: loopback, dst_port: 2, proto: "ws" };
        let mut changed = SrStatusChanged {
            group: "alarms",
            identifier: "main",
            status: -2,
            details: Some(b"it broke"),
            old_status: 1,
        };
        for (event, expected) in [
            (
                rendered(&Threshold { source: "dns", time: 301_089, extra: b"slow.lab.test" }),
                r#"E_CORE_THRESHOLD","params":{"source":"dns","time":301089,"extra":"slow.lab.test"}}"#,
            ),
            (
                rendered(&ShmThreshold { usage: 13, threshold: 13, used: 1_099_368, size: 8_388_608 }),
                r#"E_CORE_SHM_THRESHOLD","params":{"usage":13,"threshold":13,"used":1099368,"size":8388608}}"#,
            ),
            (
                rendered(&disconnect),
                r#"E_CORE_TCP_DISCONNECT","params":{"src_ip":"127.0.0.1","src_port":1,"dst_ip":"127.0.0.1","dst_port":2,"proto":"ws"}}"#,
            ),
            (
                rendered(&changed),
                r#"E_CORE_SR_STATUS_CHANGED","params":{"group":"alarms","identifier":"main","status":-2,"details":"it broke","old_status":1}}"#,
            ),
            (
                {
                    changed.details = None;
                    rendered(&changed)
                },
                r#"E_CORE_SR_STATUS_CHANGED","params":{"group":"alarms","identifier":"main","status":-2,"old_status":1}}"#,
            ),
        ] {
            assert_eq!(event, format!(r#"{{"jsonrpc":"2.0","method":"{expected}"#));
        }
    }

    #[test]
    fn sizes_above_4_gib_are_exact() {
        let event = ShmThreshold { usage: 35, threshold: 30, used: 2_202_500_080, size: 6_291_456_000 };
        assert!(rendered(&event).ends_with(r#""used":2202500080,"size":6291456000}}"#));
    }

    #[test]
    fn the_longest_address_fits() {
        let longest: IpAddr = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        let event =
            TcpDisconnect { src_ip: longest, src_port: 1, dst_ip: longest, dst_port: 1, proto: "tcp" };
        assert!(rendered(&event).contains(r#""src_ip":"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff""#));
    }

    #[test]
    fn addresses_print_as_the_formatter_does() {
        for ip in [[0, 0, 0, 0], [127, 0, 0, 1], [10, 99, 100, 9], [255, 255, 255, 255]].map(Ipv4Addr::from) {
            let mut text = [0; 48];
            let length = print_ipv4(ip, &mut text);
            assert_eq!(std::str::from_utf8(&text[..length]).unwrap(), ip.to_string());
        }
    }

    #[test]
    fn descriptions_name_every_parameter() {
        let names: Vec<_> = Threshold::DESCRIPTION.fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["source", "time", "extra"]);
        assert!(CORE_EVENTS.iter().all(|event| !event.cause.is_empty() && !event.fields.is_empty()));
        assert!(SrStatusChanged::DESCRIPTION.fields[3].optional);
    }
}
