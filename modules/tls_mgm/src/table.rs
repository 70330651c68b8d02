//! TLS domains that a table of a database defines (manual, tls_mgm, "Defining TLS domains"): a row each, whose
//! certificate, key, list of trusted certificates and Diffie-Hellman parameters stand in it as PEM text.

use std::collections::HashSet;
use std::rc::Rc;

use tocsin_db::{Condition, Rows, Select, Value};
use tocsin_script::ModParam;
use tocsin_server::Server;
use tocsin_server::databases::{Asker, DatabaseId, Databases};
use tocsin_server::module::{Parameters, SetupError};
use tocsin_server::tables;

use super::definition::Definition;
use super::parameters::{
    CA_DIR, CA_LIST, CERTIFICATE, CIPHERS_LIST, CRL_CHECK_ALL, CRL_DIR, DB_TABLE, DB_URL, DH_PARAMS, Domain,
    EC_CURVE, MATCH_IP_ADDRESS, MATCH_SIP_DOMAIN, MAX_DOMAINS, MAX_NAME_BYTES, MODULE, OF_DOMAINS,
    PRIVATE_KEY, REQUIRE_CERT, Side, TLS_METHOD, VERIFY_CERT, is_name_in_table,
};
use super::record::MAX_RECORD_BYTES;

/// The column that says the side: 1 for clients, 2 for servers. No parameter gives it another name.
const TYPE: &str = "type";
/// The columns: first that with the names of the domains, then those that define a domain.
pub(super) const COLUMNS: &[Column] = &[
    column(None, "domain_col", "domain", "The column of the table with the name of a domain."),
    column(
        Some(MATCH_IP_ADDRESS),
        "match_ip_address_col",
        "match_ip_address",
        "The column of the table with the addresses that a domain is for.",
    ),
    column(
        Some(MATCH_SIP_DOMAIN),
        "match_sip_domain_col",
        "match_sip_domain",
        "The column of the table with the SIP domains that a domain is for.",
    ),
    column(Some(TLS_METHOD), "tls_method_col", "method", "The column of the table with the versions of TLS."),
    column(
        Some(VERIFY_CERT),
        "verify_cert_col",
        "verify_cert",
        "The column of the table that says whether certificates must be valid.",
    ),
    column(
        Some(REQUIRE_CERT),
        "require_cert_col",
        "require_cert",
        "The column of the table that says whether clients must have a certificate.",
    ),
    column(
        Some(CERTIFICATE),
        "certificate_col",
        "certificate",
        "The column of the table with the certificate, as PEM text.",
    ),
    column(
        Some(PRIVATE_KEY),
        "private_key_col",
        "private_key",
        "The column of the table with the private key, as PEM text.",
    ),
    column(
        Some(CRL_CHECK_ALL),
        "crl_check_all_col",
        "crl_check_all",
        "The column of the table that says whether whole chains are searched for revoked certificates.",
    ),
    column(
        Some(CRL_DIR),
        "crl_dir_col",
        "crl_dir",
        "The column of the table with the directory with lists of revoked certificates.",
    ),
    column(
        Some(CA_LIST),
        "ca_list_col",
        "ca_list",
        "The column of the table with the certificates of those who are trusted, as PEM text.",
    ),
    column(
        Some(CA_DIR),
        "ca_dir_col",
        "ca_dir",
        "The column of the table with the directory with the certificates of those who are trusted.",
    ),
    column(
        Some(CIPHERS_LIST),
        "cipher_list_col",
        "cipher_list",
        "The column of the table with the cipher suites.",
    ),
    column(
        Some(DH_PARAMS),
        "dh_params_col",
        "dh_params",
        "The column of the table with Diffie-Hellman parameters, which have no effect.",
    ),
    column(Some(EC_CURVE), "ec_curve_col", "ec_curve", "The column of the table with the elliptic curves."),
];
/// Those whose value is a text in the place of a file.
const TEXTS: &[&str] = &[CERTIFICATE.name, PRIVATE_KEY.name, CA_LIST.name, DH_PARAMS.name];

/// A column of the table.
pub(super) struct Column {
    /// The parameter of a domain that it stands for; none for the name.
    of: Option<ModParam>,
    /// The parameter that gives it another name.
    pub(super) row: ModParam,
}

const fn column(
    of: Option<ModParam>,
    name: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Column {
    Column { of, row: ModParam::text(name, default, doc).check(is_name_in_table) }
}

/// A table, and the names of its columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    database: DatabaseId,
    name: String,
    /// Of [`COLUMNS`].
    columns: Vec<String>,
}

impl Table {
    /// The table that `db_url`, `db_table` and the parameters for its columns name, if there is one.
    pub(super) fn new(given: &Parameters, databases: &mut Databases) -> Result<Option<Self>, SetupError> {
        let url = given.string(&DB_URL);
        if url.is_empty() {
            return Ok(None);
        }
        let asker = Asker { module: MODULE, parameter: DB_URL.name, nth: 0 };
        Ok(Some(Self {
            name: given.string(&DB_TABLE),
            columns: COLUMNS.iter().map(|column| given.string(&column.row)).collect(),
            database: databases.want(asker, &url)?,
        }))
    }

    /// The column with the names of the domains.
    fn domain_column(&self) -> &str {
        self.columns.first().map_or("", String::as_str)
    }

    /// The domains of the table as it is now, with their texts, in its order.
    ///
    /// # Errors
    /// What is wrong, and where. Nothing is read halfway.
    pub(super) async fn read(&self, server: &Server) -> Result<Vec<Domain>, String> {
        let failed = |problem: String| format!("table {}: {problem}", self.name);
        self.domains(server).await.map_err(failed)
    }

    /// First the names, then each row: one row may be as large as a result, all of them need not fit into one.
    async fn domains(&self, server: &Server) -> Result<Vec<Domain>, String> {
        let keys = [self.domain_column(), TYPE];
        let all =
            self.select(server, &Select { table: &self.name, columns: &keys, ..Select::default() }).await?;
        if all.len() > MAX_DOMAINS {
            return Err(format!("{} rows: there may be {MAX_DOMAINS} TLS domains", all.len()));
        }
        let mut texts = Texts::default();
        let mut domains: Vec<Domain> = Vec::with_capacity(all.len());
        for key in all.iter() {
            let conditions = [Condition::is(keys[0], key[0].clone()), Condition::is(keys[1], key[1].clone())];
            let select = Select { table: &self.name, conditions: &conditions, ..Select::default() };
            let rows = self.select(server, &select).await?;
            self.check_columns(rows.columns())?;
            let shown = || format!("TLS domain {}", key[0]);
            let row = match tables::rows(&rows).collect::<Vec<_>>()[..] {
                [row] => row,
                // It went meanwhile.
                [] => continue,
                [..] => {
                    return Err(format!(
                        "{}: {} rows of the type {} have this name",
                        shown(),
                        rows.len(),
                        key[1]
                    ));
                }
            };
            let domain = self.domain(|column| row.value(column), &mut texts);
            domains.push(domain.map_err(|problem| format!("{}: {problem}", shown()))?);
        }
        Ok(domains)
    }

    async fn select(&self, server: &Server, select: &Select<'_>) -> Result<Rows, String> {
        let found = server.registered.databases.pool(server.query_reports(), self.database);
        let (pool, observer) = found.ok_or_else(|| "there is no such database".to_owned())?;
        pool.select(select, &observer).await.map_err(|cause| cause.to_string())
    }

    /// A column that is not there must not pass for a default: some databases take its name for a text.
    fn check_columns(&self, there: &[String]) -> Result<(), String> {
        // No row, no columns.
        if there.is_empty() {
            return Ok(());
        }
        for (parameter, wanted) in COLUMNS.iter().map(|column| column.row.name).zip(&self.columns) {
            if !there.iter().any(|name| name.eq_ignore_ascii_case(wanted)) {
                return Err(format!("it has no column `{wanted}`: name another by {parameter}"));
            }
        }
        if there.iter().any(|name| name.eq_ignore_ascii_case(TYPE)) {
            Ok(())
        } else {
            Err(format!("it has no column `{TYPE}`"))
        }
    }

    /// The domain that a row defines, whose columns have these values: none for NULL, which means the default, as a blank
    /// text does.
    fn domain<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a Value>,
        texts: &mut Texts,
    ) -> Result<Domain, String> {
        let column = self.domain_column();
        let name = value(column).map(Value::to_string).unwrap_or_default();
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(format!("{column}: a name has 1 to {MAX_NAME_BYTES} bytes"));
        }
        let side = match value(TYPE).map(Value::to_string).as_deref() {
            Some("1") => Side::Client,
            Some("2") => Side::Server,
            other => {
                return Err(format!(
                    "{TYPE}: `{}` is neither 1 (client) nor 2 (server)",
                    other.unwrap_or("NULL")
                ));
            }
        };
        let mut domain = Domain::new(name, side)?;
        for (column, name) in COLUMNS.iter().zip(&self.columns) {
            let Some(of) = column.of.map(|row| row.name) else { continue };
            let text = match value(name) {
                None => continue,
                Some(Value::Blob(bytes)) => bytes.clone(),
                Some(value) => value.to_string().into_bytes(),
            };
            if text.trim_ascii().is_empty() {
                continue;
            }
            if TEXTS.contains(&of) {
                domain.set_text(of, &format!("column {name}"), Some(texts.keep(&text)?));
            } else {
                let text = String::from_utf8_lossy(&text);
                domain.set(of, text.trim()).map_err(|problem| format!("{name}: {problem}"))?;
            }
        }
        Ok(domain)
    }
}

/// The texts of all rows, each once: many rows may have the same long list.
#[derive(Debug, Default)]
struct Texts {
    known: HashSet<Rc<[u8]>>,
    bytes: usize,
}

impl Texts {
    fn keep(&mut self, text: &[u8]) -> Result<Rc<[u8]>, String> {
        if let Some(known) = self.known.get(text) {
            return Ok(Rc::clone(known));
        }
        self.bytes += text.len();
        if self.bytes > MAX_RECORD_BYTES {
            return Err(format!("with it, the domains have more than {MAX_RECORD_BYTES} bytes"));
        }
        let text: Rc<[u8]> = text.into();
        self.known.insert(Rc::clone(&text));
        Ok(text)
    }
}

impl Definition {
    /// What defines `domain`.
    pub(super) fn of(domain: &Domain) -> Self {
        Self { name: domain.name.clone(), side: domain.side, written: domain.written.clone() }
    }

    /// The domain that it defines, without its texts.
    pub(super) fn domain(self) -> Result<Domain, String> {
        let mut domain = Domain::new(self.name, self.side)?;
        for (name, written) in OF_DOMAINS.iter().map(|of| of.row.name).zip(self.written) {
            match written {
                None => {}
                Some(shown) if TEXTS.contains(&name) => domain.set_text(name, &shown, None),
                Some(value) => domain.set(name, &value)?,
            }
        }
        Ok(domain)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_script::Value as Given;

    use super::super::files::Material;
    use super::super::matching::{AddressFilter, NameFilter};
    use super::super::settings::NAMES;
    use super::*;

    fn table(given: &[(&str, &str)]) -> Result<Option<Table>, String> {
        let given: Vec<_> = given.iter().map(|(name, value)| (*name, Given::from(*value))).collect();
        let given = Parameters::checked(NAMES, &given)?;
        Table::new(&given, &mut Databases::default()).map_err(|problem| problem.to_string())
    }

    fn domain(values: &[(&str, Value)]) -> Result<Domain, String> {
        let table = table(&[("db_url", "sqlite:///x"), ("private_key_col", "pk")]).unwrap().unwrap();
        let value = |column: &str| {
            let found = values.iter().find(|(name, _)| *name == column).map(|(_, value)| value);
            found.filter(|value| **value != Value::Null)
        };
        table.domain(value, &mut Texts::default())
    }

    fn blob(text: &str) -> Value {
        Value::Blob(text.as_bytes().to_vec())
    }

    #[test]
    fn a_row_defines_a_domain() {
        let row = [
            ("domain", Value::from("d")),
            ("type", Value::Int(2)),
            ("match_ip_address", Value::from("10.0.0.1:5061, 10.0.0.2:5061")),
            ("match_sip_domain", Value::from("a.example")),
            ("method", Value::from("TLSv1_2")),
            ("verify_cert", Value::Int(0)),
            ("require_cert", Value::from("0")),
            ("certificate", blob("the certificate")),
            ("pk", Value::from("the key")),
            ("crl_check_all", Value::Int(1)),
            ("crl_dir", Value::from("")),
            ("ca_list", blob("the list")),
            ("cipher_list", Value::from("ECDHE-RSA-AES128-GCM-SHA256")),
            ("dh_params", blob("the parameters")),
            ("ec_curve", Value::from("secp384r1")),
        ];
        let read = domain(&row).unwrap();
        assert_eq!((read.name.as_str(), read.side), ("d", Side::Server));
        assert_eq!(read.filters.addresses.len(), 2);
        assert_eq!(read.filters.names, [NameFilter::Exact("a.example".to_owned())]);
        assert_eq!(
            (read.versions.len(), read.verify, read.require, read.crl_check_all),
            (1, false, false, true)
        );
        assert_eq!(
            (read.suites.as_ref().map(Vec::len), read.curves.as_ref().map(Vec::len)),
            (Some(4), Some(1))
        );
        assert_eq!(
            (read.private_key.shown.as_str(), read.written("tls_method")),
            ("column pk", Some("TLSv1_2"))
        );
        assert!(read.crl_dir.is_none());
        let material = Material::read(&read).unwrap();
        assert_eq!(material.certificate.as_deref(), Some(&b"the certificate"[..]));
        assert_eq!(material.private_key.as_deref(), Some(&b"the key"[..]));
        assert_eq!(material.trusted, [(*b"the list").into()]);

        let again = Definition::of(&read).domain().unwrap();
        assert_eq!(Definition::of(&again), Definition::of(&read));
        assert_eq!(again.filters.addresses, read.filters.addresses);
        assert_eq!((again.verify, again.certificate.shown.as_str()), (false, "column certificate"));
    }

    #[test]
    fn null_is_the_default_of_the_manual() {
        let row = [
            ("domain", Value::from("d")),
            ("type", Value::from("1")),
            ("method", Value::from(" ")),
            ("verify_cert", Value::Null),
            ("certificate", blob("")),
        ];
        let read = domain(&row).unwrap();
        assert_eq!(
            (read.side, read.verify, read.require, read.versions.len()),
            (Side::Client, true, true, 2)
        );
        assert_eq!(read.filters.addresses, [AddressFilter::Any]);
        assert_eq!(read.certificate.shown, "/etc/opensips/tls/cert.pem");
        assert!(read.written.iter().all(Option::is_none));
    }

    #[test]
    fn what_is_wrong_with_a_row_is_named() {
        for (column, value, problem) in [
            ("type", Value::Int(3), "type: `3` is neither 1 (client) nor 2 (server)"),
            ("type", Value::Null, "type: `NULL` is neither"),
            ("domain", Value::from(""), "domain: a name has 1 to 255 bytes"),
            ("domain", Value::from("x".repeat(256).as_str()), "domain: a name has"),
            ("method", Value::from("TLSv9"), "method: `TLSv9`"),
            ("verify_cert", Value::from("yes"), "verify_cert: `yes` is not 0 or 1"),
            ("match_ip_address", Value::from("host"), "match_ip_address: `host` is no address"),
            ("cipher_list", Value::from("NULL"), "cipher_list: "),
        ] {
            let mut row = vec![("domain", Value::from("d")), ("type", Value::Int(2))];
            row.insert(0, (column, value));
            let reported = domain(&row).unwrap_err();
            assert!(reported.starts_with(problem), "{reported}");
        }
    }

    #[test]
    fn texts_are_kept_once_and_bounded() {
        let mut texts = Texts::default();
        let [first, second] = ["a", "a"].map(|text| texts.keep(text.as_bytes()).unwrap());
        assert!(Rc::ptr_eq(&first, &second));
        assert!(texts.keep(&vec![b'x'; MAX_RECORD_BYTES - 1]).is_ok());
        assert!(texts.keep(b"a").is_ok() && texts.keep(b"b").is_err());
    }

    #[test]
    fn names_must_be_such() {
        assert!(table(&[]).unwrap().is_none());
        assert!(
            table(&[("db_url", "x")]).unwrap_err().contains("tls_mgm:db_url: the value is no database URL")
        );
        for (name, value) in [("db_table", "a b"), ("private_key_col", ""), ("domain_col", "a;b")] {
            let reported = table(&[("db_url", "sqlite:///x"), (name, value)]).unwrap_err();
            assert!(reported.contains(&format!("{name}: `{value}` cannot be the name")), "{reported}");
        }
    }

    #[test]
    fn a_column_that_is_missing_is_no_default() {
        let table = table(&[("db_url", "sqlite:///x"), ("private_key_col", "pk")]).unwrap().unwrap();
        let mut there: Vec<String> = table.columns.clone();
        there[0] = "DOMAIN".to_owned();
        there.push("type".to_owned());
        assert_eq!(table.check_columns(&there), Ok(()));
        there.retain(|name| name != "pk");
        let reported = table.check_columns(&there).unwrap_err();
        assert_eq!(reported, "it has no column `pk`: name another by private_key_col");
        assert_eq!(table.check_columns(&[]), Ok(()));
    }
}
