//! TLS domains that a table of a database defines (manual, tls_mgm, "Defining TLS domains"): a row each, whose
//! certificate, key, list of trusted certificates and Diffie-Hellman parameters stand in it as PEM text.

use std::collections::HashSet;
use std::rc::Rc;

use tocsin_db::{Condition, Rows, Select, Value};
use tocsin_server::Server;
use tocsin_server::databases::{Asker, DatabaseId, Databases};
use tocsin_server::module::{Parameters, SetupError};
use tocsin_server::tables;

use super::parameters::{DOMAIN_LIMIT, Domain, NAME_LIMIT, OF_DOMAINS, Side};
use super::record::RECORD_LIMIT;

/// The table, unless `db_table` names another.
const DEFAULT_TABLE: &str = "tls_mgm";
/// The column that says the side: 1 for clients, 2 for servers. No parameter gives it another name.
const TYPE: &str = "type";
/// The column with the names of the domains.
const NAME: Column = Column { of: "domain", parameter: "domain_col", default: "domain" };
/// The columns that define a domain.
const COLUMNS: &[Column] = &[
    Column { of: "match_ip_address", parameter: "match_ip_address_col", default: "match_ip_address" },
    Column { of: "match_sip_domain", parameter: "match_sip_domain_col", default: "match_sip_domain" },
    Column { of: "tls_method", parameter: "tls_method_col", default: "method" },
    Column { of: "verify_cert", parameter: "verify_cert_col", default: "verify_cert" },
    Column { of: "require_cert", parameter: "require_cert_col", default: "require_cert" },
    Column { of: "certificate", parameter: "certificate_col", default: "certificate" },
    Column { of: "private_key", parameter: "private_key_col", default: "private_key" },
    Column { of: "crl_check_all", parameter: "crl_check_all_col", default: "crl_check_all" },
    Column { of: "crl_dir", parameter: "crl_dir_col", default: "crl_dir" },
    Column { of: "ca_list", parameter: "ca_list_col", default: "ca_list" },
    Column { of: "ca_dir", parameter: "ca_dir_col", default: "ca_dir" },
    Column { of: "ciphers_list", parameter: "cipher_list_col", default: "cipher_list" },
    Column { of: "dh_params", parameter: "dh_params_col", default: "dh_params" },
    Column { of: "ec_curve", parameter: "ec_curve_col", default: "ec_curve" },
];
/// Those whose value is a text in the place of a file.
const TEXTS: &[&str] = &["certificate", "private_key", "ca_list", "dh_params"];

struct Column {
    /// The parameter of a domain that it stands for.
    of: &'static str,
    /// The parameter that gives it another name.
    parameter: &'static str,
    default: &'static str,
}

/// A table, and the names of its columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    database: DatabaseId,
    name: String,
    /// Of [`NAME`].
    domain: String,
    /// Of [`COLUMNS`].
    columns: Vec<String>,
}

/// What defines a domain of a database, but for its texts: enough to make the same domain in each process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) side: Side,
    /// In the order of [`OF_DOMAINS`]; what stands for a text is the place where it was read.
    pub(super) written: Vec<Option<String>>,
}

impl Table {
    /// The table that `db_url`, `db_table` and the parameters for its columns name, if there is one.
    pub(super) fn new(given: &Parameters, databases: &mut Databases) -> Result<Option<Self>, SetupError> {
        let url = given.text("db_url", "");
        if url.is_empty() {
            return Ok(None);
        }
        let asker = |parameter| Asker { module: "tls_mgm", parameter, nth: 0 };
        let name = |parameter: &'static str, default: &str| {
            let name = given.text(parameter, default);
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_$-".contains(&byte);
            if name.is_empty() || name.len() > tocsin_db::NAME_LIMIT || !name.bytes().all(is_plain) {
                let problem = format!("`{name}` cannot be the name of a table or column");
                return Err(SetupError::Parameter { module: "tls_mgm", name: parameter, problem });
            }
            Ok(name)
        };
        Ok(Some(Self {
            name: name("db_table", DEFAULT_TABLE)?,
            domain: name(NAME.parameter, NAME.default)?,
            columns: COLUMNS
                .iter()
                .map(|column| name(column.parameter, column.default))
                .collect::<Result<_, _>>()?,
            database: databases.want(asker("db_url"), &url)?,
        }))
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
        let keys = [self.domain.as_str(), TYPE];
        let all =
            self.select(server, &Select { table: &self.name, columns: &keys, ..Select::default() }).await?;
        if all.len() > DOMAIN_LIMIT {
            return Err(format!("{} rows: there may be {DOMAIN_LIMIT} TLS domains", all.len()));
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
        let parameters = COLUMNS.iter().map(|column| column.parameter).zip(&self.columns);
        for (parameter, wanted) in parameters.chain([(NAME.parameter, &self.domain)]) {
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
        let name = value(&self.domain).map(Value::to_string).unwrap_or_default();
        if name.is_empty() || name.len() > NAME_LIMIT {
            return Err(format!("{}: a name has 1 to {NAME_LIMIT} bytes", self.domain));
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
            let text = match value(name) {
                None => continue,
                Some(Value::Blob(bytes)) => bytes.clone(),
                Some(value) => value.to_string().into_bytes(),
            };
            if text.trim_ascii().is_empty() {
                continue;
            }
            if TEXTS.contains(&column.of) {
                domain.set_text(column.of, &format!("column {name}"), Some(texts.keep(&text)?));
            } else {
                let text = String::from_utf8_lossy(&text);
                domain.set(column.of, text.trim()).map_err(|problem| format!("{name}: {problem}"))?;
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
        if self.bytes > RECORD_LIMIT {
            return Err(format!("with it, the domains have more than {RECORD_LIMIT} bytes"));
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
        for (name, written) in OF_DOMAINS.iter().zip(self.written) {
            match written {
                None => {}
                Some(shown) if TEXTS.contains(name) => domain.set_text(name, &shown, None),
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
    use super::*;

    fn table(given: &[(&str, &str)]) -> Result<Option<Table>, String> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), Given::from(*value))).collect();
        Table::new(&Parameters(given), &mut Databases::default()).map_err(|problem| problem.to_string())
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
            let told = domain(&row).unwrap_err();
            assert!(told.starts_with(problem), "{told}");
        }
    }

    #[test]
    fn texts_are_kept_once_and_bounded() {
        let mut texts = Texts::default();
        let [first, second] = ["a", "a"].map(|text| texts.keep(text.as_bytes()).unwrap());
        assert!(Rc::ptr_eq(&first, &second));
        assert!(texts.keep(&vec![b'x'; RECORD_LIMIT - 1]).is_ok());
        assert!(texts.keep(b"a").is_ok() && texts.keep(b"b").is_err());
    }

    #[test]
    fn names_must_be_such() {
        assert!(table(&[]).unwrap().is_none());
        assert!(
            table(&[("db_url", "x")]).unwrap_err().contains("tls_mgm:db_url: the value is no database URL")
        );
        for (name, value) in [("db_table", "a b"), ("private_key_col", ""), ("domain_col", "a;b")] {
            let told = table(&[("db_url", "sqlite:///x"), (name, value)]).unwrap_err();
            assert!(told.contains(&format!("{name}: `{value}` cannot be the name")), "{told}");
        }
    }

    #[test]
    fn a_column_that_is_missing_is_no_default() {
        let table = table(&[("db_url", "sqlite:///x"), ("private_key_col", "pk")]).unwrap().unwrap();
        let mut there: Vec<String> = table.columns.clone();
        there.extend(["DOMAIN".to_owned(), "type".to_owned()]);
        assert_eq!(table.check_columns(&there), Ok(()));
        there.retain(|name| name != "pk");
        let told = table.check_columns(&there).unwrap_err();
        assert_eq!(told, "it has no column `pk`: name another by private_key_col");
        assert_eq!(table.check_columns(&[]), Ok(()));
    }
}
