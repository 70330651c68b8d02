//! How names are looked up, and what the failure of a destination means.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tocsin_script::GlobalValue;

use super::values::{Parameter, Settings};
use crate::blocklist::Definition;
use crate::declared::DefaultValue::{Number, Switch, Unset};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number, set, text, truth};

/// Where a name server listens when `dns_server` gives no port.
const DNS_PORT: u16 = 53;
/// The longest `dns_retr_time`, in seconds: a question is given up before.
const MAX_TRY_S: i64 = 60;
/// The most tries and servers that can be asked for.
const MOST: i64 = 32;
/// The most answers that can be kept.
const MAX_ANSWERS: i64 = 1 << 20;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "dns_server",
        Kind::Text,
        Unset("the name servers of /etc/resolv.conf"),
        "The one name server to ask, as IP or IP:PORT. OpenSIPS has no such parameter.",
        Sets(server),
    ),
    Parameter::new(
        "dns_try_naptr",
        Kind::Switch,
        Switch(true),
        "Asks for NAPTR records of a name before SRV records (RFC 3263).",
        Sets(|settings, value| set(&mut settings.dns.naptr, truth(value))),
    ),
    Parameter::new(
        "dns_try_ipv6",
        Kind::Switch,
        Switch(false),
        "Asks for the IPv6 addresses of a name that has no IPv4 address.",
        Sets(|settings, value| set(&mut settings.dns.ipv6, truth(value))),
    ),
    Parameter::new(
        "dns_use_search_list",
        Kind::Switch,
        Switch(true),
        "Completes names by the search list of /etc/resolv.conf.",
        Sets(|settings, value| {
            set(&mut settings.dns.resolver.ignore_search_list, truth(value).map(|on| !on))
        }),
    ),
    Parameter::new(
        "dns_retr_time",
        Kind::number(1, MAX_TRY_S, "seconds"),
        Unset("as /etc/resolv.conf says"),
        "Time to wait for an answer before the question is asked again. A whole question ends after 5 seconds in any case.",
        Sets(|settings, value| {
            set(&mut settings.dns.resolver.retry_time, number(value).map(|s| Some(Duration::from_secs(s))))
        }),
    ),
    Parameter::new(
        "dns_retr_no",
        Kind::number(0, MOST, "tries"),
        Unset("as /etc/resolv.conf says"),
        "How often a question is asked again.",
        Sets(|settings, value| set(&mut settings.dns.resolver.retries, number(value).map(Some))),
    ),
    Parameter::new(
        "dns_servers_no",
        Kind::number(1, MOST, "servers"),
        Unset("all"),
        "How many of the name servers of /etc/resolv.conf are used.",
        Sets(|settings, value| set(&mut settings.dns.resolver.servers, number(value).map(Some))),
    ),
    Parameter::new(
        "dns_cache_size",
        Kind::number(0, MAX_ANSWERS, "answers"),
        Number(0),
        "Answers that a process keeps for as long as they are valid; 0 asks every question. OpenSIPS has no such parameter.",
        Sets(|settings, value| set(&mut settings.dns.resolver.cached_answers, number(value))),
    ),
    Parameter::new(
        "disable_dns_failover",
        Kind::Switch,
        Switch(false),
        "A request that one address of a name does not take is not sent to the next one.",
        Sets(|settings, value| set(&mut settings.dns.failover, truth(value).map(|off| !off))),
    ),
    Parameter::new(
        "disable_dns_blacklist",
        Kind::Switch,
        Switch(true),
        "Addresses that failed are tried again at once. With no they are left alone for a while.",
        Sets(|settings, value| set(&mut settings.dns.blocklist, truth(value).map(|off| !off))),
    ),
    Parameter::new(
        "dst_blacklist",
        Kind::Line,
        Unset("none"),
        "A named list of destinations that nothing is sent to: `NAME:{(proto, address, port, pattern), ...}`, or a list \
         that is filled while the server runs. May be given several times.",
        Sets(|settings, value| {
            let definition = Definition::parse(&text(value)?).map_err(|cause| cause.to_string())?;
            settings.blocklists.push(definition);
            Ok(())
        }),
    ),
    Parameter::without_effect(
        "dns",
        Kind::Switch,
        "Looks up the own name, for the received parameter.",
        "the address that a request came from is compared with the text of its Via, without DNS",
    ),
    Parameter::without_effect(
        "rev_dns",
        Kind::Switch,
        "Looks up the name of the address that a request came from, to compare it with its Via.",
        "the address that a request came from is compared with the text of its Via, without DNS",
    ),
];

/// The address of the one name server to ask, with a port if it is not 53.
fn server(settings: &mut Settings, value: &GlobalValue) -> Result<(), String> {
    let text = text(value)?;
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    let wrong = |_| format!("`{text}` is no address: give one such as 192.0.2.53 or [2001:db8::53]:5353");
    set(&mut settings.dns.resolver.nameserver, text.parse().or(bare).map(Some).map_err(wrong))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{number, switch, text};
    use super::*;

    #[test]
    fn a_name_server_is_an_address() {
        let server = |given: &str| {
            text("dns_server", given).map(|settings| settings.dns.resolver.nameserver.map(|a| a.to_string()))
        };
        assert_eq!(server("192.0.2.53"), Ok(Some("192.0.2.53:53".to_owned())));
        assert_eq!(server("127.0.0.1:5353"), Ok(Some("127.0.0.1:5353".to_owned())));
        assert_eq!(server("2001:db8::53"), Ok(Some("[2001:db8::53]:53".to_owned())));
        assert!(server("ns.example.com").unwrap_err().contains("no address"));
    }

    #[test]
    fn what_is_disabled_is_off() {
        let settings = switch("xlog_escape_control", true).dns;
        assert!(settings.failover && !settings.blocklist && settings.naptr && !settings.ipv6);
        assert!(!switch("disable_dns_failover", true).dns.failover);
        assert!(switch("dns_try_ipv6", true).dns.ipv6);
        assert!(switch("disable_dns_blacklist", false).dns.blocklist);
        assert!(!switch("dns_try_naptr", false).dns.naptr);
        assert!(switch("dns_use_search_list", false).dns.resolver.ignore_search_list);
    }

    #[test]
    fn numbers_have_bounds() {
        let resolver = |name: &str, value: i64| number(name, value).map(|settings| settings.dns.resolver);
        let tried = resolver("dns_retr_time", 2).unwrap();
        assert_eq!(tried.retry_time, Some(Duration::from_secs(2)));
        assert_eq!(tried.cached_answers, 0, "nothing is kept unless asked for");
        assert_eq!(resolver("dns_cache_size", 1000).unwrap().cached_answers, 1000);
        assert!(resolver("dns_cache_size", -1).unwrap_err().contains("0 to 1048576"));
        assert!(resolver("dns_retr_no", -1).unwrap_err().contains("0 to 32"));
        assert!(resolver("dns_servers_no", 0).unwrap_err().contains("1 to 32"));
    }
}
