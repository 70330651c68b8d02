//! The parameters (manual, avpops), and the databases and tables they name.

use tocsin_script::{Bytes, ModParam, Value};
use tocsin_server::databases::{Asker, DatabaseId, Databases};
use tocsin_server::module::{Parameters, SetupError};

use super::scheme::{Layout, Scheme};

/// The name of the module.
pub(super) const NAME: &str = "avpops";

const DB_URL: ModParam = ModParam::text(
    "db_url",
    "",
    "The URL of a database, with the number by which functions ask for it, such as `1 mysql://user:password@host/name`; \
     without a number it is 0. It may be given several times.",
)
.unset("there is no database");
const AVP_TABLE: ModParam = ModParam::text(
    "avp_table",
    "usr_preferences",
    "The table with the AVPs of users, for functions that name none.",
);
const USE_DOMAIN: ModParam = ModParam::switch(
    "use_domain",
    false,
    "Whether a URI stands for its user and domain in the database, not for its user alone.",
);
const UUID: ModParam =
    ModParam::text("uuid_column", "uuid", "The column of the table with the unique id of a user.");
const USERNAME: ModParam =
    ModParam::text("username_column", "username", "The column of the table with the name of a user.");
const DOMAIN: ModParam =
    ModParam::text("domain_column", "domain", "The column of the table with the domain of a user.");
const ATTRIBUTE: ModParam =
    ModParam::text("attribute_column", "attribute", "The column of the table with the name of an AVP.");
const VALUE: ModParam =
    ModParam::text("value_column", "value", "The column of the table with the value of an AVP.");
const TYPE: ModParam = ModParam::text(
    "type_column",
    "type",
    "The column of the table with the type of an AVP: an odd number stands for a number, another one for a text.",
);
const DB_SCHEME: ModParam = ModParam::text(
    "db_scheme",
    "",
    "Another table to load AVPs from, under a name: `name:table=subscriber;uuid_col=uuid;value_col=first_name`. The \
     elements are `table`, `uuid_col`, `username_col`, `domain_col`, `value_col` and `value_type` (`string` or \
     `integer`). It may be given several times.",
)
.unset("there is no other table");

pub(super) const NAMES: &[ModParam] = &[
    DB_URL,
    AVP_TABLE,
    USE_DOMAIN,
    UUID,
    USERNAME,
    DOMAIN,
    ATTRIBUTE,
    VALUE,
    TYPE,
    DB_SCHEME,
    ModParam::number("buf_size", 1024, "The size of the buffer in which queries are built.")
        .without_effect("queries take the memory that they need"),
];

/// How many databases there may be.
const MAX_URLS: usize = 64;
/// How many schemes there may be.
const MAX_SCHEMES: usize = 64;

/// The databases, by the numbers that the script knows them by.
#[derive(Debug, Default)]
pub(super) struct Urls(Vec<(i64, DatabaseId)>);

impl Urls {
    pub(super) fn new(given: &Parameters, databases: &mut Databases) -> Result<Self, SetupError> {
        let mut urls = Self::default();
        for (nth, value) in given.every(&DB_URL).enumerate() {
            let asker = Asker { module: NAME, parameter: DB_URL.name, nth };
            let Value::Str(text) = value else { return Err(asker.wrong("write a database URL")) };
            let (number, url) = split(text);
            let Some(number) = number else {
                return Err(asker.wrong("the number before the URL is too large"));
            };
            if urls.find(number).is_some() {
                return Err(asker.wrong(format!("there is a URL with the number {number} already")));
            }
            if urls.0.len() == MAX_URLS {
                return Err(asker.wrong(format!("there can be no more than {MAX_URLS}")));
            }
            let database = databases.want(asker, &String::from_utf8_lossy(url))?;
            urls.0.push((number, database));
        }
        Ok(urls)
    }

    /// The database with this number.
    pub(super) fn find(&self, number: i64) -> Option<DatabaseId> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, database)| *database)
    }
}

/// Where AVPs are kept.
#[derive(Debug)]
pub(super) struct Store {
    /// The usual table.
    pub(super) layout: Layout,
    /// The columns with the name of an AVP, and with its type.
    pub(super) attribute: String,
    pub(super) kind: String,
    pub(super) use_domain: bool,
    schemes: Vec<Scheme>,
}

impl Store {
    pub(super) fn new(given: &Parameters) -> Result<Self, SetupError> {
        for row in [&AVP_TABLE, &UUID, &USERNAME, &DOMAIN, &ATTRIBUTE, &VALUE, &TYPE] {
            let name = given.string(row);
            if !tocsin_db::is_name(&name) {
                let problem = format!("`{name}` cannot be the name of a table or column");
                return Err(SetupError::Parameter { module: NAME, name: row.name, problem });
            }
        }
        let layout = Layout {
            table: given.string(&AVP_TABLE),
            uuid: given.string(&UUID),
            username: given.string(&USERNAME),
            domain: given.string(&DOMAIN),
            value: given.string(&VALUE),
        };
        let mut schemes: Vec<Scheme> = Vec::new();
        for (nth, value) in given.every(&DB_SCHEME).enumerate() {
            let asker = Asker { module: NAME, parameter: DB_SCHEME.name, nth };
            let Value::Str(text) = value else { return Err(asker.wrong("write a scheme")) };
            let scheme = Scheme::read(&text.lossy(), &layout).map_err(|problem| asker.wrong(problem))?;
            if schemes.iter().any(|known| known.name == scheme.name) {
                return Err(asker.wrong(format!("there is a scheme `{}` already", scheme.name)));
            }
            if schemes.len() == MAX_SCHEMES {
                return Err(asker.wrong(format!("there can be no more than {MAX_SCHEMES}")));
            }
            schemes.push(scheme);
        }
        let (attribute, kind) = (given.string(&ATTRIBUTE), given.string(&TYPE));
        Ok(Self { layout, attribute, kind, use_domain: given.on(&USE_DOMAIN), schemes })
    }

    /// The scheme of this name.
    pub(super) fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.schemes.iter().find(|scheme| scheme.name == name)
    }
}

/// `1 mysql://...` or, for number 0, `mysql://...`. No number if there is one that cannot be read.
fn split(text: &Bytes) -> (Option<i64>, &[u8]) {
    let text = text.trim_ascii();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, url) = text.split_at(digits);
    if digits == 0 || !url.first().is_some_and(u8::is_ascii_whitespace) {
        return (Some(0), text);
    }
    (std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()), url.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(urls: &[&str]) -> Result<Urls, String> {
        let given = urls.iter().map(|url| ("db_url".to_owned(), Value::str(*url))).collect();
        Urls::new(&Parameters(given), &mut Databases::default()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn urls_have_numbers() {
        let urls = read(&["sqlite:///a", "1 sqlite:///b", " 07\tsqlite:///a "]).unwrap();
        assert_ne!(urls.find(0), urls.find(1));
        assert_eq!(urls.find(0), urls.find(7));
        assert_eq!(urls.find(2), None);
    }

    #[test]
    fn wrong_urls_are_reported() {
        for (urls, problem) in [
            (&["nonsense"][..], "the value is no database URL"),
            (&["sqlite:///a", "sqlite:///b"], "with the number 0 already"),
            (&["99999999999999999999 sqlite:///a"], "too large"),
            (&["1 postgres://a:b@c/d"], "`postgres://` names a kind of database that is not supported"),
        ] {
            let reported = read(urls).unwrap_err();
            assert!(
                reported.starts_with("modparam avpops:db_url: ") && reported.contains(problem),
                "{reported}"
            );
        }
    }
}
