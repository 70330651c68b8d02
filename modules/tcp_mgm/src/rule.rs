//! One row of the table: which connections it is about, and what is in force for them instead of the globals.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tocsin_net::Protocol;
use tocsin_server::tcp_profile::{AliasMode, TcpProfile};
use tocsin_shm::{ShmClone, ShmSafe};

/// Transport protocols of OpenSIPS's that this server does not speak: their rules are about nothing here.
const FOREIGN: &[&str] = &[
    "udp", "sctp", "bin", "bins", "hep_tcp", "hep_tls", "hep_udp", "smpp", "smpps", "msrp", "msrps", "ipsec",
];
/// The largest number of seconds: a year, as for the globals.
const MAX_SECONDS: u32 = 365 * 24 * 3600;

/// Which connections, and what is in force for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
pub(super) struct Rule {
    protocol: Option<Protocol>,
    remote: Option<Network>,
    /// 0 is any.
    remote_port: u16,
    local: Option<Network>,
    /// 0 is any.
    local_port: u16,
    priority: i32,
    connect_timeout: Option<Duration>,
    lifetime: Option<Duration>,
    max_message_time: Option<Duration>,
    threshold_us: Option<u64>,
    no_new_connection: Option<bool>,
    aliases: Option<AliasMode>,
    keepalive: Option<bool>,
    /// Of these three, 0 leaves the value to the system.
    probes: Option<u32>,
    idle_s: Option<u32>,
    interval_s: Option<u32>,
}

/// `ip[/prefix_length]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ShmSafe, ShmClone)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Rule {
    /// The rule of a row, whose values `value` gives by the manual's names of the columns. `None` for a rule about a
    /// protocol that is not spoken here.
    ///
    /// # Errors
    /// What is wrong, with the name of the column.
    pub(super) fn read<'a>(value: impl Fn(&'static str) -> Option<&'a str>) -> Result<Option<Self>, String> {
        let protocol = match value("proto").unwrap_or("any") {
            name if name.eq_ignore_ascii_case("any") => None,
            name => match Protocol::parse(name.as_bytes()).filter(|protocol| *protocol != Protocol::Udp) {
                Some(protocol) => Some(protocol),
                None if FOREIGN.contains(&name.to_ascii_lowercase().as_str()) => return Ok(None),
                None => return Err(format!("proto: `{name}` is no protocol: give tcp, tls, ws, wss or any")),
            },
        };
        let network = |column| value(column).map_or(Ok(None), |text| network(column, text));
        let number = |column, most| value(column).map(|text| number(column, text, 0, most)).transpose();
        // No time at all would end every connection.
        let time = |column, most| value(column).map(|text| self::number(column, text, 1, most)).transpose();
        let seconds = |number: u32| Duration::from_secs(number.into());
        let switch = |column| Ok::<_, String>(number(column, 1)?.map(|on| on == 1));
        let port = |column| Ok::<_, String>(number(column, 65_535)?.unwrap_or(0) as u16);
        // Checked, but without effect, as the core parameter is.
        number("parallel_read", 2)?;
        Ok(Some(Self {
            protocol,
            remote: network("remote_addr")?,
            remote_port: port("remote_port")?,
            local: network("local_addr")?,
            local_port: port("local_port")?,
            priority: value("priority").map_or(Ok(0), priority)?,
            connect_timeout: time("connect_timeout", u32::MAX)?.map(|ms| Duration::from_millis(ms.into())),
            lifetime: number("con_lifetime", MAX_SECONDS)?.map(seconds),
            max_message_time: time("msg_read_timeout", MAX_SECONDS)?.map(seconds),
            threshold_us: number("send_threshold", u32::MAX)?.map(u64::from),
            no_new_connection: switch("no_new_conn")?,
            aliases: number("alias_mode", 2)?.map(|mode| match mode {
                0 => AliasMode::Never,
                1 => AliasMode::Asked,
                _ => AliasMode::Always,
            }),
            keepalive: switch("keepalive")?,
            probes: number("keepcount", 127)?,
            idle_s: number("keepidle", 32_767)?,
            interval_s: number("keepinterval", 32_767)?,
        }))
    }

    /// Rules are tried in the order of this key: by priority, then the narrower network first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let width = |network: &Option<Network>| network.map_or(u8::MAX, |n| n.address_bits() - n.prefix);
        let any = |port: u16| port == 0;
        (
            self.priority,
            width(&self.remote),
            width(&self.local),
            (any(self.remote_port), any(self.local_port), self.protocol.is_none()),
        )
    }

    /// Whether the rule is about connections of this protocol between these ends.
    pub(super) fn is_about(&self, protocol: Protocol, remote: SocketAddr, local: SocketAddr) -> bool {
        let same_port = |wanted: u16, port: u16| wanted == 0 || wanted == port;
        let within = |network: &Option<Network>, ip| network.is_none_or(|network| network.contains(ip));
        self.protocol.is_none_or(|wanted| wanted == protocol)
            && same_port(self.remote_port, remote.port())
            && same_port(self.local_port, local.port())
            && within(&self.remote, remote.ip())
            && within(&self.local, local.ip())
    }

    /// `general` with what the rule says on top.
    pub(super) fn apply(&self, general: TcpProfile) -> TcpProfile {
        let mut keepalive = general.keepalive;
        keepalive.on = self.keepalive.unwrap_or(keepalive.on);
        for (given, place) in [
            (self.probes, &mut keepalive.probes),
            (self.idle_s, &mut keepalive.idle_s),
            (self.interval_s, &mut keepalive.interval_s),
        ] {
            if let Some(number) = given {
                *place = Some(number).filter(|number| *number > 0);
            }
        }
        TcpProfile {
            connect_timeout: self.connect_timeout.unwrap_or(general.connect_timeout),
            lifetime: self.lifetime.unwrap_or(general.lifetime),
            max_message_time: self.max_message_time.unwrap_or(general.max_message_time),
            threshold_us: self.threshold_us.unwrap_or(general.threshold_us),
            no_new_connection: self.no_new_connection.unwrap_or(general.no_new_connection),
            aliases: self.aliases.unwrap_or(general.aliases),
            keepalive,
        }
    }
}

impl Network {
    fn address_bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        // A mask of no bits cannot be made by shifting.
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                (own.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// An address, a network, or `any`.
fn network(column: &str, text: &str) -> Result<Option<Network>, String> {
    if text.eq_ignore_ascii_case("any") || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let address = address.trim_matches(['[', ']']).parse::<IpAddr>();
    let wrong = || format!("{column}: `{text}` is no network: write it as 192.0.2.0/24, or any");
    let address = address.map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => most,
        Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
    };
    Ok(Some(Network { address, prefix }))
}

fn number(column: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{column}: `{text}` is out of range: give {least} to {most}"))
}

fn priority(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("priority: `{text}` is no number"))
}

#[cfg(test)]
mod tests {
    use tocsin_server::stream_options::StreamOptions;
    use tocsin_server::tcp_settings::TcpSettings;

    use super::*;

    fn read(given: &[(&'static str, &'static str)]) -> Result<Option<Rule>, String> {
        Rule::read(|column| given.iter().find(|(name, _)| *name == column).map(|(_, value)| *value))
    }

    fn rule(given: &[(&'static str, &'static str)]) -> Rule {
        read(given).unwrap().unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_is_about_what_it_names() {
        let local = at("192.0.2.9:5060");
        for (given, remote, expected) in [
            (&[][..], "198.51.100.7:40000", true),
            (&[("proto", "TCP")], "198.51.100.7:40000", true),
            (&[("proto", "tls")], "198.51.100.7:40000", false),
            (&[("remote_addr", "198.51.100.0/24")], "198.51.100.7:40000", true),
            (&[("remote_addr", "198.51.100.0/24")], "198.51.101.7:40000", false),
            (&[("remote_addr", "198.51.100.0/24")], "[::ffff:198.51.100.7]:40000", true),
            (&[("remote_addr", "198.51.100.7")], "198.51.100.7:1", true),
            (&[("remote_addr", "198.51.100.7")], "198.51.100.8:1", false),
            (&[("remote_addr", "0.0.0.0/0")], "198.51.100.8:1", true),
            (&[("remote_addr", "0.0.0.0/0")], "[2001:db8::1]:1", false),
            (&[("remote_addr", "2001:db8::/32")], "[2001:db8:ffff::1]:1", true),
            (&[("remote_addr", "::/0")], "[2001:db8:ffff::1]:1", true),
            (&[("remote_port", "5060")], "198.51.100.7:5060", true),
            (&[("remote_port", "5060")], "198.51.100.7:5061", false),
            (&[("local_port", "5061")], "198.51.100.7:5060", false),
            (&[("local_addr", "192.0.2.9"), ("local_port", "5060")], "198.51.100.7:5060", true),
            (&[("local_addr", "192.0.2.8")], "198.51.100.7:5060", false),
            (&[("local_addr", "any"), ("remote_addr", "NULL")], "198.51.100.7:5060", true),
        ] {
            assert_eq!(
                rule(given).is_about(Protocol::Tcp, at(remote), local),
                expected,
                "{given:?} {remote}"
            );
        }
    }

    #[test]
    fn priority_comes_before_narrow_networks() {
        let wide = rule(&[("remote_addr", "10.0.0.0/8")]);
        let narrow = rule(&[("remote_addr", "10.1.0.0/16")]);
        let first = rule(&[("priority", "-1")]);
        let last = rule(&[("remote_addr", "10.1.0.1"), ("priority", "5")]);
        let any = rule(&[]);
        let mut all = [any, last, wide, narrow, first];
        all.sort_by_key(Rule::order);
        assert_eq!(all, [first, narrow, wide, any, last]);
    }

    #[test]
    fn what_a_rule_leaves_out_stays_as_it_is() {
        let general = TcpProfile::new(&TcpSettings::default(), &StreamOptions::of(Protocol::Tcp));
        assert_eq!(rule(&[("remote_port", "1")]).apply(general), general);
        let own = rule(&[
            ("connect_timeout", "200"),
            ("con_lifetime", "3600"),
            ("msg_read_timeout", "8"),
            ("send_threshold", "60000"),
            ("no_new_conn", "1"),
            ("alias_mode", "2"),
            ("parallel_read", "1"),
            ("keepalive", "1"),
            ("keepcount", "5"),
            ("keepidle", "30"),
            ("keepinterval", "0"),
        ])
        .apply(general);
        assert_eq!(own.connect_timeout, Duration::from_millis(200));
        assert_eq!((own.lifetime.as_secs(), own.max_message_time.as_secs()), (3600, 8));
        assert_eq!((own.threshold_us, own.no_new_connection), (60_000, true));
        assert_eq!(own.aliases, AliasMode::Always);
        assert_eq!(
            (own.keepalive.probes, own.keepalive.idle_s, own.keepalive.interval_s),
            (Some(5), Some(30), None)
        );
    }

    #[test]
    fn wrong_values_are_reported_with_their_column() {
        for (column, value) in [
            ("proto", "tpc"),
            ("remote_addr", "10.0.0.0/33"),
            ("remote_addr", "example.com"),
            ("local_addr", "::/129"),
            ("remote_port", "65536"),
            ("con_lifetime", "-1"),
            ("connect_timeout", "0"),
            ("msg_read_timeout", "0"),
            ("no_new_conn", "2"),
            ("alias_mode", "3"),
            ("keepcount", "128"),
            ("priority", "high"),
        ] {
            let problem = read(&[(column, value)]).unwrap_err();
            assert!(problem.starts_with(column) && problem.contains(value), "{problem}");
        }
        assert_eq!(read(&[("proto", "bin"), ("remote_addr", "nonsense")]), Ok(None));
    }
}
