//! The parameters, and the TLS domains that they define.

use std::path::PathBuf;
use std::rc::Rc;

use rustls::crypto::SupportedKxGroup;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use tocsin_script::{ModParam, Value, split_keyed};
use tocsin_server::databases::Databases;
use tocsin_server::module::{Parameters, SetupError};

use super::ciphers::{read_ciphers, read_curves, read_method};
use super::matching::{AddressFilter, Filters, NameFilter};
use super::table::{COLUMNS, Table};

/// The name of the module.
pub(super) const MODULE: &str = "tls_mgm";

/// How many TLS domains there may be.
pub(super) const DOMAIN_LIMIT: usize = 1024;
/// How long the name of one may be, in bytes.
pub(super) const NAME_LIMIT: usize = 255;

const SERVER_DOMAIN: ModParam = ModParam::text(
    "server_domain",
    "",
    "The name of a TLS domain for connections that come in. It may be given several times.",
)
.unset("there is no such domain")
.check(domain_name);
const CLIENT_DOMAIN: ModParam = ModParam::text(
    "client_domain",
    "",
    "The name of a TLS domain for connections that are opened. It may be given several times.",
)
.unset("there is no such domain")
.check(domain_name);
const TLS_LIBRARY: ModParam = ModParam::text(
    "tls_library",
    "auto",
    "`auto`, `none`, `openssl` or `wolfssl`: the server has one TLS library of its own, whatever is given.",
)
.check(|value| match value.as_str() {
    Some(b"auto" | b"none" | b"openssl" | b"wolfssl") => Ok(()),
    _ => Err(format!("`{}` is not one of auto, none, openssl, wolfssl", plain(value))),
});
const CLIENT_TLS_DOMAIN_AVP: ModParam = ModParam::text(
    "client_tls_domain_avp",
    "",
    "The AVP, as `name` or `$avp(name)`, that names the client domain to use.",
)
.unset("there is no such AVP");
const CLIENT_SIP_DOMAIN_AVP: ModParam = ModParam::text(
    "client_sip_domain_avp",
    "",
    "The AVP, as `name` or `$avp(name)`, with the SIP domain by which a client domain is chosen.",
)
.unset("there is no such AVP");
pub(super) const DB_URL: ModParam =
    ModParam::text("db_url", "", "The database with a table of TLS domains.").unset("there is no table");
pub(super) const DB_TABLE: ModParam =
    ModParam::text("db_table", "tls_mgm", "The name of the table of TLS domains.").check(is_name_in_table);

pub(super) const MATCH_IP_ADDRESS: ModParam = of_domain(
    "match_ip_address",
    "*",
    "The addresses, separated by commas, that a domain is for: of this server for a server domain, of the far end for a \
     client domain.",
)
.check(|value| AddressFilter::read_list(&plain(value)).map(drop));
pub(super) const MATCH_SIP_DOMAIN: ModParam = of_domain(
    "match_sip_domain",
    "*",
    "The SIP domains, separated by commas, that a domain is for; `*` stands for all or for a part of a name.",
)
.check(|value| NameFilter::read_list(&plain(value)).map(drop));
pub(super) const TLS_METHOD: ModParam = of_domain(
    "tls_method",
    "SSLv23",
    "The versions of TLS: `TLSv1_2`, `TLSv1_3`, both as `TLSv1_2-TLSv1_3`, or `SSLv23` for all that are safe.",
)
.check(|value| read_method(&plain(value)).map(drop));
pub(super) const CERTIFICATE: ModParam = of_domain(
    "certificate",
    "/etc/opensips/tls/cert.pem",
    "The PEM file with the certificate and its chain.",
);
pub(super) const PRIVATE_KEY: ModParam =
    of_domain("private_key", "/etc/opensips/tls/ckey.pem", "The PEM file with the private key.");
pub(super) const CA_LIST: ModParam =
    of_domain("ca_list", "", "The PEM file with the certificates of those who are trusted.").unset("no file");
pub(super) const CA_DIR: ModParam =
    of_domain("ca_dir", "/etc/pki/CA/", "The directory with the certificates of those who are trusted.");
pub(super) const CRL_DIR: ModParam =
    of_domain("crl_dir", "", "The directory with lists of revoked certificates.").unset("none is revoked");
pub(super) const CRL_CHECK_ALL: ModParam = of_domain(
    "crl_check_all",
    "0",
    "1: each certificate of a chain must not be revoked; 0: the first must not be.",
)
.check(|value| switch(&plain(value)).map(drop));
pub(super) const CIPHERS_LIST: ModParam =
    of_domain("ciphers_list", "", "The cipher suites, by their names in OpenSSL, separated by colons.")
        .unset("all that are safe")
        .check(|value| read_ciphers(&plain(value)).map(drop));
pub(super) const DH_PARAMS: ModParam = of_domain("dh_params", "", "The file with Diffie-Hellman parameters.")
    .unset("")
    .without_effect("keys are agreed on by elliptic curves only");
pub(super) const EC_CURVE: ModParam =
    of_domain("ec_curve", "", "The elliptic curves for the exchange of keys, separated by colons.")
        .unset("all that are safe")
        .check(|value| read_curves(&plain(value)).map(drop));
pub(super) const VERIFY_CERT: ModParam =
    of_domain("verify_cert", "1", "1: the certificate of the far end must be valid; 0: it need not be.")
        .check(|value| switch(&plain(value)).map(drop));
pub(super) const REQUIRE_CERT: ModParam =
    of_domain("require_cert", "1", "1: clients must have a certificate; 0: they may have one.")
        .check(|value| switch(&plain(value)).map(drop));

/// A parameter of domains, and what sets it.
pub(super) struct OfDomain {
    pub(super) row: ModParam,
    set: fn(&mut Domain, &str) -> Result<(), String>,
}

/// The parameters that belong to one domain: `[domain]value`.
pub(super) const OF_DOMAINS: &[OfDomain] = &[
    OfDomain {
        row: MATCH_IP_ADDRESS,
        set: |domain, value| {
            domain.filters.addresses = AddressFilter::read_list(value)?;
            Ok(())
        },
    },
    OfDomain {
        row: MATCH_SIP_DOMAIN,
        set: |domain, value| {
            domain.filters.names = NameFilter::read_list(value)?;
            Ok(())
        },
    },
    OfDomain { row: TLS_METHOD, set: |domain, value| put(&mut domain.versions, read_method(value)) },
    OfDomain { row: CERTIFICATE, set: |domain, value| put(&mut domain.certificate, Place::new(value, true)) },
    OfDomain { row: PRIVATE_KEY, set: |domain, value| put(&mut domain.private_key, Place::new(value, true)) },
    OfDomain {
        row: CA_LIST,
        set: |domain, value| put(&mut domain.ca_list, Place::new(value, true).map(Some)),
    },
    OfDomain { row: CA_DIR, set: |domain, value| put(&mut domain.ca_dir, Place::new(value, true)) },
    OfDomain {
        row: CRL_DIR,
        set: |domain, value| put(&mut domain.crl_dir, Place::new(value, true).map(Some)),
    },
    OfDomain { row: CRL_CHECK_ALL, set: |domain, value| put(&mut domain.crl_check_all, switch(value)) },
    OfDomain {
        row: CIPHERS_LIST,
        set: |domain, value| put(&mut domain.suites, read_ciphers(value).map(Some)),
    },
    OfDomain { row: DH_PARAMS, set: |_, _| Ok(()) },
    OfDomain { row: EC_CURVE, set: |domain, value| put(&mut domain.curves, read_curves(value).map(Some)) },
    OfDomain { row: VERIFY_CERT, set: |domain, value| put(&mut domain.verify, switch(value)) },
    OfDomain { row: REQUIRE_CERT, set: |domain, value| put(&mut domain.require, switch(value)) },
];

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

const fn of_domain(name: &'static str, default: &'static str, doc: &'static str) -> ModParam {
    ModParam::keyed(name, "domain", default, doc)
}

fn put<T>(place: &mut T, read: Result<T, String>) -> Result<(), String> {
    *place = read?;
    Ok(())
}

fn domain_name(value: &Value) -> Result<(), String> {
    let name = plain(value);
    if name.is_empty() || name.contains(['[', ']', '=']) {
        return Err(format!(
            "`{name}` is no name for a TLS domain; its filters are {} and {}",
            MATCH_IP_ADDRESS.name, MATCH_SIP_DOMAIN.name
        ));
    }
    if name.len() > NAME_LIMIT {
        return Err(format!("a name has {NAME_LIMIT} bytes at the most"));
    }
    Ok(())
}

/// Whether it can be the name of a table or column.
pub(super) fn is_name_in_table(value: &Value) -> Result<(), String> {
    let name = plain(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_$-".contains(&byte);
    if name.is_empty() || name.len() > tocsin_db::NAME_LIMIT || !name.bytes().all(is_plain) {
        return Err(format!("`{name}` cannot be the name of a table or column"));
    }
    Ok(())
}

/// Which connections a domain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Those that come in.
    Server,
    /// Those that are opened.
    Client,
}

impl Side {
    /// As management clients see it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// A file or directory, and whether the operator named it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As it was written.
    pub(super) shown: String,
    /// Absolute, as the server may change its directory.
    pub(super) path: PathBuf,
    /// Not the default.
    pub(super) is_set: bool,
    /// What a column of a database says, which stands for a file.
    pub(super) text: Option<Rc<[u8]>>,
}

/// One TLS domain (manual, tls_mgm, "TLS domains").
#[derive(Debug, Clone)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) side: Side,
    pub(super) filters: Filters,
    /// The parameters as they were written, in the order of [`OF_DOMAINS`], for management clients.
    pub(super) written: Vec<Option<String>>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) suites: Option<Vec<SupportedCipherSuite>>,
    pub(super) curves: Option<Vec<&'static dyn SupportedKxGroup>>,
    pub(super) verify: bool,
    pub(super) require: bool,
    pub(super) crl_check_all: bool,
    pub(super) certificate: Place,
    pub(super) private_key: Place,
    pub(super) ca_list: Option<Place>,
    pub(super) ca_dir: Place,
    pub(super) crl_dir: Option<Place>,
}

/// All parameters.
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
    if domains.len() == DOMAIN_LIMIT {
        return Err(wrong(format!("more than {DOMAIN_LIMIT} TLS domains")));
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

impl Domain {
    /// A domain with the defaults of the manual.
    pub(super) fn new(name: String, side: Side) -> Result<Self, String> {
        let place = |row: ModParam| Place::new(row.default_text(), false);
        Ok(Self {
            name,
            side,
            filters: Filters::default(),
            written: vec![None; OF_DOMAINS.len()],
            versions: rustls::ALL_VERSIONS.to_vec(),
            suites: None,
            curves: None,
            verify: true,
            require: true,
            crl_check_all: false,
            certificate: place(CERTIFICATE)?,
            private_key: place(PRIVATE_KEY)?,
            ca_list: None,
            ca_dir: place(CA_DIR)?,
            crl_dir: None,
        })
    }

    /// What the operator wrote for `name`.
    pub(super) fn written(&self, name: &str) -> Option<&str> {
        let at = OF_DOMAINS.iter().position(|known| known.row.name == name)?;
        self.written.get(at)?.as_deref()
    }

    /// Sets one of [`OF_DOMAINS`].
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if let Some(of) = OF_DOMAINS.iter().find(|of| of.row.name == name) {
            (of.set)(self, value)?;
        }
        self.note(name, value);
        Ok(())
    }

    /// Takes what the column of a database says that is `shown` in the place of the file that `name` stands for. Without
    /// `text`, the domain is one whose text is known already.
    pub(super) fn set_text(&mut self, name: &str, shown: &str, text: Option<Rc<[u8]>>) {
        let place = Place { shown: shown.to_owned(), path: PathBuf::new(), is_set: true, text };
        match name {
            name if name == CERTIFICATE.name => self.certificate = place,
            name if name == PRIVATE_KEY.name => self.private_key = place,
            name if name == CA_LIST.name => self.ca_list = Some(place),
            // Nothing is done with dh_params.
            _ => {}
        }
        self.note(name, shown);
    }

    fn note(&mut self, name: &str, value: &str) {
        if let Some(at) = OF_DOMAINS.iter().position(|known| known.row.name == name) {
            self.written[at] = Some(value.to_owned());
        }
    }
}

impl Place {
    fn new(path: &str, is_set: bool) -> Result<Self, String> {
        let absolute = std::path::absolute(path).map_err(|cause| format!("`{path}`: {cause}"))?;
        Ok(Self { shown: path.to_owned(), path: absolute, is_set, text: None })
    }
}

/// An error of the value of a parameter that is the `nth`.
fn wrong(row: &ModParam, nth: usize, problem: String) -> SetupError {
    SetupError::Value { module: MODULE, name: row.name, nth, problem }
}

fn plain(value: &Value) -> String {
    value.to_bytes().map(|bytes| bytes.lossy().into_owned()).unwrap_or_default()
}

fn switch(value: &str) -> Result<bool, String> {
    value.parse::<i64>().map(|number| number != 0).map_err(|_| format!("`{value}` is not 0 or 1"))
}

/// The name of an AVP, written as it is or as `$avp(name)`.
fn avp(text: &str) -> Option<String> {
    let bare = text.strip_prefix("$avp(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(text);
    Some(bare.trim().to_owned()).filter(|bare| !bare.is_empty())
}

#[cfg(test)]
mod tests {
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
