//! All parameters, and what a configuration sets: the TLS domains, and where further ones come from.

use std::rc::Rc;

use tocsin_script::{ModParam, Value, split_keyed};
use tocsin_server::databases::Databases;
use tocsin_server::module::{Parameters, SetupError};

use super::parameters::{
    CLIENT_DOMAIN, CLIENT_SIP_DOMAIN_AVP, CLIENT_TLS_DOMAIN_AVP, DB_TABLE, DB_URL, Domain, MAX_DOMAINS,
    MODULE, OF_DOMAINS, OfDomain, SERVER_DOMAIN, Side, TLS_LIBRARY, plain,
};
use super::table::{COLUMNS, Table};

/// The parameters that are neither of one domain nor of a column.
const GENERAL: [ModParam; 7] = [
    SERVER_DOMAIN,
    CLIENT_DOMAIN,
    TLS_LIBRARY,
    CLIENT_TLS_DOMAIN_AVP,
    CLIENT_SIP_DOMAIN_AVP,
    DB_URL,
    DB_TABLE,
];

/// All parameters.
pub(super) const NAMES: &[ModParam] = &{
    let mut all = [SERVER_DOMAIN; GENERAL.len() + OF_DOMAINS.len() + COLUMNS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < GENERAL.len() {
            GENERAL[at]
        } else if at < GENERAL.len() + OF_DOMAINS.len() {
            OF_DOMAINS[at - GENERAL.len()].row
        } else {
            COLUMNS[at - GENERAL.len() - OF_DOMAINS.len()].row
        };
        at += 1;
    }
    all
};

/// What the parameters say.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// The domains of the configuration.
    pub(super) domains: Vec<Rc<Domain>>,
    /// Where further ones come from.
    pub(super) table: Option<Table>,
    /// The AVP that names the client domain to use.
    pub(super) domain_avp: Option<String>,
    /// The AVP with the SIP domain that client domains are matched with.
    pub(super) sip_domain_avp: Option<String>,
}

impl Settings {
    pub(super) fn new(parameters: &Parameters, databases: &mut Databases) -> Result<Self, SetupError> {
        let mut settings = Self {
            domains: Vec::new(),
            table: Table::new(parameters, databases)?,
            domain_avp: avp(&parameters.string(&CLIENT_TLS_DOMAIN_AVP)),
            sip_domain_avp: avp(&parameters.string(&CLIENT_SIP_DOMAIN_AVP)),
        };
        let mut domains = Vec::new();
        for (name, value) in &parameters.0 {
            match name.as_str() {
                name if name == SERVER_DOMAIN.name => define(&mut domains, Side::Server, plain(value))?,
                name if name == CLIENT_DOMAIN.name => define(&mut domains, Side::Client, plain(value))?,
                _ => {}
            }
        }
        for OfDomain { row, set } in OF_DOMAINS {
            for (nth, value) in parameters.every(row).enumerate() {
                apply(&mut domains, row, *set, value).map_err(|problem| wrong(row, nth, problem))?;
            }
        }
        settings.domains.extend(domains.into_iter().map(Rc::new));
        Ok(settings)
    }
}

fn define(domains: &mut Vec<Domain>, side: Side, name: String) -> Result<(), SetupError> {
    let row = match side {
        Side::Server => SERVER_DOMAIN,
        Side::Client => CLIENT_DOMAIN,
    };
    let nth = domains.iter().filter(|known| known.side == side).count();
    let wrong = |problem| wrong(&row, nth, problem);
    if domains.iter().any(|known| known.name == name) {
        return Err(wrong(format!("there is a TLS domain `{name}` already")));
    }
    if domains.len() == MAX_DOMAINS {
        return Err(wrong(format!("more than {MAX_DOMAINS} TLS domains")));
    }
    domains.push(Domain::new(name, side).map_err(wrong)?);
    Ok(())
}

/// Applies `[domain]value`.
fn apply(
    domains: &mut [Domain],
    row: &ModParam,
    set: fn(&mut Domain, &str) -> Result<(), String>,
    given: &Value,
) -> Result<(), String> {
    let Some((of, value)) = split_keyed(given) else { return row.accepts(given) };
    let (of, value) = (plain(&of), plain(&value));
    let Some(at) = domains.iter().position(|domain| domain.name == of) else {
        let known = domains.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("there is no TLS domain `{of}`; there are: {known}"));
    };
    set(&mut domains[at], &value).map_err(|problem| format!("[{of}]: {problem}"))?;
    domains[at].note(row.name, &value);
    Ok(())
}

/// An error of the value of a parameter that is the `nth`.
fn wrong(row: &ModParam, nth: usize, problem: String) -> SetupError {
    SetupError::Value { module: MODULE, name: row.name, nth, problem }
}

/// The name of an AVP, written as it is or as `$avp(name)`.
fn avp(text: &str) -> Option<String> {
    let bare = text.strip_prefix("$avp(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    Some(bare.trim().to_owned()).filter(|bare| !bare.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::matching::AddressFilter;
    use super::super::parameters::TLS_METHOD;
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Settings, String> {
        let list: Vec<_> = list.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        let given = Parameters::checked(NAMES, &list)?;
        Settings::new(&given, &mut Databases::default()).map_err(|cause| cause.to_string())
    }

    #[test]
    fn a_domain_begins_with_the_defaults_of_the_manual() {
        let settings = read(&[("client_domain", "c")]).unwrap();
        let domain = &settings.domains[0];
        assert_eq!((domain.side, domain.verify, domain.require), (Side::Client, true, true));
        assert_eq!((domain.versions.len(), domain.crl_check_all), (2, false));
        assert_eq!(domain.ca_dir.shown, "/etc/pki/CA/");
        assert!(domain.ca_list.is_none() && domain.crl_dir.is_none() && domain.suites.is_none());
        assert_eq!(domain.filters.addresses, [AddressFilter::Any]);
    }

    #[test]
    fn values_belong_to_their_domain() {
        let settings = read(&[
            ("server_domain", "a"),
            ("client_domain", "b"),
            ("verify_cert", "[b]0"),
            ("match_ip_address", "[a][::1]:5061"),
            ("tls_method", "[a] TLSv1_2"),
            ("certificate", "[a]cert.pem"),
            ("client_sip_domain_avp", "$avp(dom)"),
            ("client_tls_domain_avp", "tls"),
        ])
        .unwrap();
        let [a, b] = &settings.domains[..] else { panic!("{settings:?}") };
        assert_eq!((a.verify, b.verify), (true, false));
        assert_eq!((a.versions.len(), b.versions.len()), (1, 2));
        assert_eq!(a.filters.addresses, [AddressFilter::Socket("[::1]:5061".parse().unwrap())]);
        assert!(a.certificate.path.is_absolute() && a.certificate.path.ends_with("cert.pem"));
        assert_eq!(a.written(TLS_METHOD.name), Some("TLSv1_2"));
        assert_eq!(settings.sip_domain_avp.as_deref(), Some("dom"));
        assert_eq!(settings.domain_avp.as_deref(), Some("tls"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (list, problem) in [
            (&[("tls_library", "gnutls")][..], "`gnutls` is not one of"),
            (&[("server_domain", "a"), ("server_domain", "a")], "already"),
            (&[("server_domain", "a=1.2.3.4:5061")], "no name for a TLS domain"),
            (&[("server_domain", "a"), ("certificate", "x.pem")], "write [domain]x.pem"),
            (&[("server_domain", "a"), ("certificate", "[b]x.pem")], "no TLS domain `b`; there are: a"),
            (&[("server_domain", "a"), ("verify_cert", "[a]yes")], "[a]: `yes` is not 0 or 1"),
            (&[("server_domain", "a"), ("tls_method", "[a]TLSv1")], "RFC 8996"),
            (&[("server_domain", "a"), ("ciphers_list", "[a]NULL")], "nothing of `NULL`"),
        ] {
            let cause = read(list).unwrap_err();
            assert!(cause.contains(problem), "{cause}");
        }
    }
}
