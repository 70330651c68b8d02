//! The parameters, and the TLS domains that they define.

use std::path::PathBuf;
use std::rc::Rc;

use rustls::crypto::SupportedKxGroup;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use tocsin_script::{ModParam, Value};
use tocsin_server::databases::Databases;
use tocsin_server::module::{Parameters, SetupError};

use super::ciphers::{read_ciphers, read_curves, read_method};
use super::matching::{AddressFilter, Filters, NameFilter};
use super::table::Table;

/// How many TLS domains there may be.
pub(super) const DOMAIN_LIMIT: usize = 1024;
/// How long the name of one may be, in bytes.
pub(super) const NAME_LIMIT: usize = 255;

/// The manual's default of `certificate`.
const DEFAULT_CERTIFICATE: &str = "/etc/opensips/tls/cert.pem";
/// The manual's default of `private_key`.
const DEFAULT_KEY: &str = "/etc/opensips/tls/ckey.pem";
/// The manual's default of `ca_dir`.
const DEFAULT_CA_DIR: &str = "/etc/pki/CA/";

/// The names of all parameters.
pub(super) const NAMES: &[ModParam] = &[
    text("server_domain"),
    text("client_domain"),
    text("match_ip_address"),
    text("match_sip_domain"),
    text("tls_library"),
    text("tls_method"),
    text("certificate"),
    text("private_key"),
    text("ca_list"),
    text("ca_dir"),
    text("crl_dir"),
    text("crl_check_all"),
    text("ciphers_list"),
    text("dh_params"),
    text("ec_curve"),
    text("verify_cert"),
    text("require_cert"),
    text("client_tls_domain_avp"),
    text("client_sip_domain_avp"),
    text("db_url"),
    text("db_table"),
    text("domain_col"),
    text("match_ip_address_col"),
    text("match_sip_domain_col"),
    text("tls_method_col"),
    text("verify_cert_col"),
    text("require_cert_col"),
    text("certificate_col"),
    text("private_key_col"),
    text("crl_check_all_col"),
    text("crl_dir_col"),
    text("ca_list_col"),
    text("ca_dir_col"),
    text("cipher_list_col"),
    text("dh_params_col"),
    text("ec_curve_col"),
];

/// Those that belong to one domain: `[domain]value`.
pub(super) const OF_DOMAINS: &[&str] = &[
    "match_ip_address",
    "match_sip_domain",
    "tls_method",
    "certificate",
    "private_key",
    "ca_list",
    "ca_dir",
    "crl_dir",
    "crl_check_all",
    "ciphers_list",
    "dh_params",
    "ec_curve",
    "verify_cert",
    "require_cert",
];

const fn text(name: &'static str) -> ModParam {
    ModParam::text(name, "", "")
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
        let library = parameters.text("tls_library", "auto");
        if !["auto", "none", "openssl", "wolfssl"].contains(&library.as_str()) {
            return Err(wrong(
                "tls_library",
                format!("`{library}` is not one of auto, none, openssl, wolfssl"),
            ));
        }
        let mut settings = Self {
            domains: Vec::new(),
            table: Table::new(parameters, databases)?,
            domain_avp: avp(parameters, "client_tls_domain_avp"),
            sip_domain_avp: avp(parameters, "client_sip_domain_avp"),
        };
        let mut domains = Vec::new();
        for (name, value) in &parameters.0 {
            let side = match name.as_str() {
                "server_domain" => Side::Server,
                "client_domain" => Side::Client,
                _ => continue,
            };
            define(&mut domains, side, plain(value))?;
        }
        for (name, value) in &parameters.0 {
            if let Some(name) = OF_DOMAINS.iter().find(|known| *known == name) {
                apply(&mut domains, name, &plain(value))?;
            }
        }
        settings.domains.extend(domains.into_iter().map(Rc::new));
        Ok(settings)
    }
}

fn define(domains: &mut Vec<Domain>, side: Side, name: String) -> Result<(), SetupError> {
    let parameter = match side {
        Side::Server => "server_domain",
        Side::Client => "client_domain",
    };
    if name.is_empty() || name.contains(['[', ']', '=']) {
        let problem = format!(
            "`{name}` is no name for a TLS domain; its filters are match_ip_address and match_sip_domain"
        );
        return Err(wrong(parameter, problem));
    }
    if name.len() > NAME_LIMIT {
        return Err(wrong(parameter, format!("a name has {NAME_LIMIT} bytes at the most")));
    }
    if domains.iter().any(|known| known.name == name) {
        return Err(wrong(parameter, format!("there is a TLS domain `{name}` already")));
    }
    if domains.len() == DOMAIN_LIMIT {
        return Err(wrong(parameter, format!("more than {DOMAIN_LIMIT} TLS domains")));
    }
    domains.push(Domain::new(name, side).map_err(|problem| wrong(parameter, problem))?);
    Ok(())
}

/// Applies `[domain]value`.
fn apply(domains: &mut [Domain], name: &'static str, text: &str) -> Result<(), SetupError> {
    let split = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let Some((of, value)) = split else {
        return Err(wrong(name, format!("`{text}` names no TLS domain: write [domain]{text}")));
    };
    let known = || domains.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(at) = domains.iter().position(|domain| domain.name == of.trim()) else {
        let problem = format!("there is no TLS domain `{of}`; there are: {}", known());
        return Err(wrong(name, problem));
    };
    domains[at].set(name, value.trim()).map_err(|problem| wrong(name, format!("[{of}]: {problem}")))
}

impl Domain {
    /// A domain with the defaults of the manual.
    pub(super) fn new(name: String, side: Side) -> Result<Self, String> {
        let place = |path: &str| Place::new(path, false);
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
            certificate: place(DEFAULT_CERTIFICATE)?,
            private_key: place(DEFAULT_KEY)?,
            ca_list: None,
            ca_dir: place(DEFAULT_CA_DIR)?,
            crl_dir: None,
        })
    }

    /// What the operator wrote for `name`.
    pub(super) fn written(&self, name: &str) -> Option<&str> {
        let at = OF_DOMAINS.iter().position(|known| *known == name)?;
        self.written.get(at)?.as_deref()
    }

    /// Sets one of [`OF_DOMAINS`].
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "match_ip_address" => self.filters.addresses = AddressFilter::read_list(value)?,
            "match_sip_domain" => self.filters.names = NameFilter::read_list(value)?,
            "tls_method" => self.versions = read_method(value)?,
            "certificate" => self.certificate = Place::new(value, true)?,
            "private_key" => self.private_key = Place::new(value, true)?,
            "ca_list" => self.ca_list = Some(Place::new(value, true)?),
            "ca_dir" => self.ca_dir = Place::new(value, true)?,
            "crl_dir" => self.crl_dir = Some(Place::new(value, true)?),
            "crl_check_all" => self.crl_check_all = switch(value)?,
            "ciphers_list" => self.suites = Some(read_ciphers(value)?),
            "ec_curve" => self.curves = Some(read_curves(value)?),
            "verify_cert" => self.verify = switch(value)?,
            "require_cert" => self.require = switch(value)?,
            // dh_params: suites with finite-field Diffie-Hellman are not offered, so there is nothing to set.
            _ => tracing::info!(
                "tls_mgm: {name} of {} has no effect: keys are agreed on by elliptic curves",
                self.name
            ),
        }
        self.note(name, value);
        Ok(())
    }

    /// Takes what the column of a database says that is `shown` in the place of the file that `name` stands for. Without
    /// `text`, the domain is one whose text is known already.
    pub(super) fn set_text(&mut self, name: &str, shown: &str, text: Option<Rc<[u8]>>) {
        let place = Place { shown: shown.to_owned(), path: PathBuf::new(), is_set: true, text };
        match name {
            "certificate" => self.certificate = place,
            "private_key" => self.private_key = place,
            "ca_list" => self.ca_list = Some(place),
            // dh_params, as above.
            _ => {}
        }
        self.note(name, shown);
    }

    fn note(&mut self, name: &str, value: &str) {
        if let Some(at) = OF_DOMAINS.iter().position(|known| *known == name) {
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

/// An error of a parameter.
pub(super) fn wrong(name: &'static str, problem: impl Into<String>) -> SetupError {
    SetupError::Parameter { module: "tls_mgm", name, problem: problem.into() }
}

fn plain(value: &Value) -> String {
    value.to_bytes().map(|bytes| bytes.lossy().into_owned()).unwrap_or_default()
}

fn switch(value: &str) -> Result<bool, String> {
    value.parse::<i64>().map(|number| number != 0).map_err(|_| format!("`{value}` is not 0 or 1"))
}

/// The name of an AVP, written as it is or as `$avp(name)`.
fn avp(parameters: &Parameters, name: &str) -> Option<String> {
    let text = parameters.text(name, "");
    let bare = text.strip_prefix("$avp(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&text);
    Some(bare.trim().to_owned()).filter(|bare| !bare.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Settings, String> {
        let list = list.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        Settings::new(&Parameters(list), &mut Databases::default()).map_err(|cause| cause.to_string())
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
        assert_eq!(a.written("tls_method"), Some("TLSv1_2"));
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
