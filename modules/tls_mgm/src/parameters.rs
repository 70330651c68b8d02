//! The parameters one by one, and the TLS domains that they define.

use std::path::PathBuf;
use std::rc::Rc;

use rustls::crypto::SupportedKxGroup;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use tocsin_script::{ModParam, Value};

use super::ciphers::{read_ciphers, read_curves, read_method};
use super::matching::{AddressFilter, Filters, NameFilter};

/// The name of the module.
pub(super) const MODULE: &str = "tls_mgm";

/// How many TLS domains there may be.
pub(super) const MAX_DOMAINS: usize = 1024;
/// How long the name of one may be, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 255;

pub(super) const SERVER_DOMAIN: ModParam = ModParam::text(
    "server_domain",
    "",
    "The name of a TLS domain for connections that come in. It may be given several times.",
)
.unset("there is no such domain")
.check(domain_name);
pub(super) const CLIENT_DOMAIN: ModParam = ModParam::text(
    "client_domain",
    "",
    "The name of a TLS domain for connections that are opened. It may be given several times.",
)
.unset("there is no such domain")
.check(domain_name);
pub(super) const TLS_LIBRARY: ModParam = ModParam::text(
    "tls_library",
    "auto",
    "`auto`, `none`, `openssl` or `wolfssl`: the server has one TLS library of its own, whatever is given.",
)
.check(|value| match value.as_str() {
    Some(b"auto" | b"none" | b"openssl" | b"wolfssl") => Ok(()),
    _ => Err(format!("`{}` is not one of auto, none, openssl, wolfssl", plain(value))),
});
pub(super) const CLIENT_TLS_DOMAIN_AVP: ModParam = ModParam::text(
    "client_tls_domain_avp",
    "",
    "The AVP, as `name` or `$avp(name)`, that names the client domain to use.",
)
.unset("there is no such AVP");
pub(super) const CLIENT_SIP_DOMAIN_AVP: ModParam = ModParam::text(
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
    pub(super) set: fn(&mut Domain, &str) -> Result<(), String>,
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
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name has {MAX_NAME_BYTES} bytes at the most"));
    }
    Ok(())
}

/// Whether it can be the name of a table or column.
pub(super) fn is_name_in_table(value: &Value) -> Result<(), String> {
    let name = plain(value);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_$-".contains(&byte);
    if name.is_empty() || name.len() > tocsin_db::MAX_NAME_BYTES || !name.bytes().all(is_plain) {
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

    pub(super) fn note(&mut self, name: &str, value: &str) {
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

pub(super) fn plain(value: &Value) -> String {
    value.to_bytes().map(|bytes| bytes.lossy().into_owned()).unwrap_or_default()
}

fn switch(value: &str) -> Result<bool, String> {
    value.parse::<i64>().map(|number| number != 0).map_err(|_| format!("`{value}` is not 0 or 1"))
}
