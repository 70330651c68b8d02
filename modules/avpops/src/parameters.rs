//! The parameters (manual, avpops), and the databases they name.

use tocsin_script::{Bytes, ModParam, Value};
use tocsin_server::databases::{Asker, DatabaseId, Databases};
use tocsin_server::module::{Parameters, SetupError};

const ONLY_QUERIES: &str = "of this module only avp_db_query() is there yet, and that one does not use it";

const DB_URL: ModParam = ModParam::text(
    "db_url",
    "",
    "The URL of a database, with a number before it for avp_db_query(), such as `1 mysql://user:password@host/name`; \
     without a number it is 0. It may be given several times.",
)
.unset("there is no database");

pub(super) const NAMES: &[ModParam] = &[
    DB_URL,
    idle("avp_table", "usr_preferences", "The table with the AVPs of users."),
    ModParam::switch("use_domain", false, "Whether users are told apart by their domains, too.")
        .without_effect(ONLY_QUERIES),
    idle("uuid_column", "uuid", "The column of the table with the unique id of a user."),
    idle("username_column", "username", "The column of the table with the name of a user."),
    idle("domain_column", "domain", "The column of the table with the domain of a user."),
    idle("attribute_column", "attribute", "The column of the table with the name of an AVP."),
    idle("value_column", "value", "The column of the table with the value of an AVP."),
    idle("type_column", "type", "The column of the table with the type of an AVP."),
    ModParam::text("db_scheme", "", "Names another table and other columns for some AVPs.")
        .unset("")
        .without_effect(ONLY_QUERIES),
    ModParam::number("buf_size", 1024, "The size of the buffer in which queries are built.")
        .without_effect("queries take the memory that they need"),
];

const fn idle(name: &'static str, default: &'static str, doc: &'static str) -> ModParam {
    ModParam::text(name, default, doc).without_effect(ONLY_QUERIES)
}

/// How many databases there may be.
const URL_LIMIT: usize = 64;

/// The databases, by the numbers that the script knows them by.
#[derive(Debug, Default)]
pub(super) struct Urls(Vec<(i64, DatabaseId)>);

impl Urls {
    pub(super) fn new(given: &Parameters, databases: &mut Databases) -> Result<Self, SetupError> {
        let mut urls = Self::default();
        for (nth, value) in given.every(&DB_URL).enumerate() {
            let asker = Asker { module: super::NAME, parameter: DB_URL.name, nth };
            let Value::Str(text) = value else { return Err(asker.wrong("write a database URL")) };
            let (number, url) = split(text);
            let Some(number) = number else {
                return Err(asker.wrong("the number before the URL is too large"));
            };
            if urls.find(number).is_some() {
                return Err(asker.wrong(format!("there is a URL with the number {number} already")));
            }
            if urls.0.len() == URL_LIMIT {
                return Err(asker.wrong(format!("there can be no more than {URL_LIMIT}")));
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
    fn wrong_urls_are_told() {
        for (urls, problem) in [
            (&["nonsense"][..], "the value is no database URL"),
            (&["sqlite:///a", "sqlite:///b"], "with the number 0 already"),
            (&["99999999999999999999 sqlite:///a"], "too large"),
            (&["1 postgres://a:b@c/d"], "`postgres://` names a kind of database that is not supported"),
        ] {
            let told = read(urls).unwrap_err();
            assert!(told.starts_with("modparam avpops:db_url: ") && told.contains(problem), "{told}");
        }
    }
}
