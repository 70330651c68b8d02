//! The `dns_*` globals and their relatives: how names are looked up, and what a destination's failure means (manual,
//! "Core Parameters").

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tocsin_net::ResolverOptions;

/// Where a name server listens when `dns_server` gives no port.
const DNS_PORT: u16 = 53;
/// The longest `dns_retr_time`, in seconds: a question is given up before.
const LONGEST_TRY: u64 = 60;
/// The most tries and servers that can be asked for.
const MOST: u64 = 32;

/// The most answers that can be kept.
const MOST_ANSWERS: u64 = 1 << 20;

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// `dns_retr_time`, `dns_retr_no`, `dns_servers_no`, `dns_use_search_list`, `dns_server`, `dns_cache_size`.
    pub resolver: ResolverOptions,
    /// `dns_try_naptr`: ask for NAPTR records first. Default on.
    pub naptr: bool,
    /// `dns_try_ipv6`: ask for the IPv6 addresses of a name that has no IPv4 ones. Default off.
    pub ipv6: bool,
    /// A request that one address does not take goes to the next one. Default on; off by `disable_dns_failover`.
    pub failover: bool,
    /// Such an address is left alone for a while. Default off; on by `disable_dns_blacklist=no`.
    pub blocklist: bool,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            resolver: ResolverOptions::default(),
            naptr: true,
            ipv6: false,
            failover: true,
            blocklist: false,
        }
    }
}

impl DnsSettings {
    /// Takes a `dns_` global whose value is a number; others are left alone.
    ///
    /// # Errors
    /// What is wrong with the value, and what would be right.
    pub(crate) fn number(&mut self, name: &str, number: i64) -> Result<(), String> {
        match name {
            "dns_cache_size" => {
                self.resolver.cached_answers = within(number, 0, MOST_ANSWERS, "answers")? as u32;
            }
            "dns_retr_time" => {
                let seconds = within(number, 1, LONGEST_TRY, "seconds")?;
                self.resolver.retry_time = Some(Duration::from_secs(seconds));
            }
            "dns_retr_no" => self.resolver.retries = Some(within(number, 0, MOST, "tries")? as usize),
            "dns_servers_no" => self.resolver.servers = Some(within(number, 1, MOST, "servers")? as usize),
            _ => {}
        }
        Ok(())
    }

    /// Takes a global whose value is yes or no; others are left alone.
    pub(crate) fn switch(&mut self, name: &str, truth: bool) {
        match name {
            "dns_try_naptr" => self.naptr = truth,
            "dns_try_ipv6" => self.ipv6 = truth,
            "dns_use_search_list" => self.resolver.ignore_search_list = !truth,
            "disable_dns_failover" => self.failover = !truth,
            "disable_dns_blacklist" => self.blocklist = !truth,
            _ => {}
        }
    }

    /// `dns_server`: the address of the one name server to ask, with a port if it is not 53.
    ///
    /// # Errors
    /// When it is no address.
    pub(crate) fn server(&mut self, text: &str) -> Result<(), String> {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        let address = text.parse().or(bare);
        let wrong = |_| format!("`{text}` is no address: give one such as 192.0.2.53 or [2001:db8::53]:5353");
        self.resolver.nameserver = Some(address.map_err(wrong)?);
        Ok(())
    }
}

fn within(number: i64, least: u64, most: u64, of: &str) -> Result<u64, String> {
    match u64::try_from(number) {
        Ok(fits) if (least..=most).contains(&fits) => Ok(fits),
        _ => Err(format!("{number} is out of range: {least} to {most} {of} are possible")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_is_an_address() {
        let server = |text: &str| {
            let mut settings = DnsSettings::default();
            settings.server(text).map(|()| settings.resolver.nameserver.map(|a| a.to_string()))
        };
        assert_eq!(server("192.0.2.53"), Ok(Some("192.0.2.53:53".to_owned())));
        assert_eq!(server("127.0.0.1:5353"), Ok(Some("127.0.0.1:5353".to_owned())));
        assert_eq!(server("2001:db8::53"), Ok(Some("[2001:db8::53]:53".to_owned())));
        assert!(server("ns.example.com").unwrap_err().contains("no address"));
    }

    #[test]
    fn what_is_disabled_is_off() {
        let mut settings = DnsSettings::default();
        assert!(settings.failover && !settings.blocklist && settings.naptr && !settings.ipv6);
        for name in ["disable_dns_failover", "dns_try_ipv6", "tcp_keepalive"] {
            settings.switch(name, true);
        }
        for name in ["disable_dns_blacklist", "dns_try_naptr", "dns_use_search_list"] {
            settings.switch(name, false);
        }
        assert!(!settings.failover && settings.blocklist && !settings.naptr && settings.ipv6);
        assert!(settings.resolver.ignore_search_list);
    }

    #[test]
    fn numbers_have_bounds() {
        let mut settings = DnsSettings::default();
        assert_eq!(settings.number("dns_retr_time", 2), Ok(()));
        assert_eq!(settings.resolver.retry_time, Some(Duration::from_secs(2)));
        assert_eq!(settings.resolver.cached_answers, 0, "nothing is kept unless asked for");
        assert_eq!(settings.number("dns_cache_size", 1000), Ok(()));
        assert_eq!(settings.resolver.cached_answers, 1000);
        assert!(settings.number("dns_cache_size", -1).unwrap_err().contains("0 to 1048576"));
        assert!(settings.number("dns_retr_no", -1).unwrap_err().contains("0 to 32"));
        assert!(settings.number("dns_servers_no", 0).unwrap_err().contains("1 to 32"));
    }
}
