//! The `dns_*` globals and their relatives: how names are looked up, and what a destination's failure means (manual,
//! "Core Parameters").

use tocsin_net::ResolverOptions;

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
