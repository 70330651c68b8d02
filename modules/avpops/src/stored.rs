//! `avp_db_load()`, `avp_db_store()`, `avp_db_delete()`: AVPs that a table keeps for users and domains (manual, avpops,
//! sections 1.5.1 to 1.5.3). The script waits, the process serves other messages meanwhile.

use std::pin::Pin;
use std::rc::Rc;

use tocsin_db::{
    Condition, Delete, Insert, Observer, Pool, QueryError, Rows, Select, Value as Column, is_name,
};
use tocsin_script::{
    ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Resume, Routes, Site, Value,
};
use tocsin_server::Context;

use super::owner::{Owner, Source};
use super::parameters::{Store, Urls};
use super::scheme::Scheme;

/// An odd type of a row: its value is a number.
const NUMBER: i64 = 1;

const SOURCE: Param = Param::required("source", ParamKind::Parts);
const NAME: Param = Param::required("name", ParamKind::Verbatim);
const DATABASE: Param = Param::optional("db_id", ParamKind::Int);

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![load(), store(), delete()]
}

/// Which AVPs of a user are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// Those of one name.
    Named(String),
    /// Those with any name: all, with numbers, or with texts.
    Kind(u8),
}

/// The argument `name`: which AVPs, and in which table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    wanted: Wanted,
    table: Option<String>,
    scheme: Option<String>,
}

impl Names {
    /// Reads `$avp(x)`, `a`, `i` or `s`, and `/table` or `/$scheme` behind it.
    fn read(text: &str) -> Result<Self, String> {
        let (wanted, place) = match text.split_once('/') {
            Some((wanted, place)) => (wanted.trim(), Some(place.trim())),
            None => (text.trim(), None),
        };
        let wanted = match wanted {
            "a" | "A" | "i" | "I" | "s" | "S" => Wanted::Kind(wanted.as_bytes()[0].to_ascii_lowercase()),
            _ => Wanted::Named(avp_name(wanted)?.to_owned()),
        };
        let (table, scheme) = match place {
            None => (None, None),
            Some("" | "$") => {
                return Err("the name of a table, or `$` and that of a scheme follows the `/`".to_owned());
            }
            Some(place) => match place.strip_prefix('$') {
                Some(scheme) => (None, Some(scheme.to_owned())),
                None if !is_name(place) => return Err(format!("`{place}` cannot be the name of a table")),
                None => (Some(place.to_owned()), None),
            },
        };
        if scheme.is_some() && !matches!(wanted, Wanted::Named(_)) {
            return Err("with a scheme, the name of an AVP is needed: `$avp(name)/$scheme`".to_owned());
        }
        Ok(Self { wanted, table, scheme })
    }

    fn of(site: &Site<'_, Context>) -> Result<Self, ArgError> {
        let text = site.constant_str(1).map(|text| text.lossy().into_owned()).unwrap_or_default();
        Self::read(&text).map_err(|problem| ArgError::at(1, problem))
    }

    /// For what changes a table.
    fn without_scheme(site: &Site<'_, Context>) -> Result<Self, ArgError> {
        let names = Self::of(site)?;
        match names.scheme {
            None => Ok(names),
            Some(_) => Err(ArgError::at(1, "a scheme says how AVPs are loaded: name a table instead")),
        }
    }
}

/// The name in `$avp(name)` or `$(avp(name))`.
fn avp_name(text: &str) -> Result<&str, String> {
    let inner = text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
    let name = inner.or_else(|| text.strip_prefix('$')).and_then(|rest| rest.strip_prefix("avp("));
    let name = name.and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
    if name.is_empty() || name.contains('$') {
        return Err("write `$avp(name)`, or `a`, `i` or `s` for AVPs of any name".to_owned());
    }
    Ok(name)
}

/// A query that is under way: to which database, and for which route.
struct Asked {
    server: &'static tocsin_server::Server,
    owner: Owner,
    database: i64,
}

impl Asked {
    fn new(cx: &mut Context, function: &str, source: &Source, database: &Value) -> Option<Self> {
        let server = cx.server();
        match source.now(cx, server.state::<Store>().use_domain) {
            Ok(owner) => Some(Self { server, owner, database: database.to_int().unwrap_or(0) }),
            Err(problem) => {
                tracing::error!("{function}: {problem}");
                None
            }
        }
    }

    /// The database, if there is one of this number.
    fn pool(&self, function: &str) -> Option<(&'static Pool, impl Observer + use<>)> {
        let databases = &self.server.registered.databases;
        let found = self.server.state::<Urls>().find(self.database);
        let pool = found.and_then(|database| databases.pool(self.server.query_reports(), database));
        if pool.is_none() {
            tracing::error!("{function}: there is no db_url with the number {}", self.database);
        }
        pool
    }
}

fn wait<F>(future: F) -> Outcome<Context>
where
    F: Future<Output = Resume<Context>> + 'static,
{
    let future: Pin<Box<dyn Future<Output = Resume<Context>>>> = Box::pin(future);
    Outcome::Wait(future)
}

/// Ends the call: done or not.
fn ends(done: bool) -> Resume<Context> {
    Box::new(move |_| done.into())
}

fn load() -> Function<Context> {
    const PARAMETERS: &[Param] = &[SOURCE, NAME, DATABASE, Param::optional("prefix", ParamKind::Str)];
    Function::new("avp_db_load", PARAMETERS, Routes::ANY, |site| {
        let (source, names) = (Source::read(site, 0)?, Rc::new(Names::of(site)?));
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let Some(asked) = Asked::new(cx, "avp_db_load", &source, &arguments[2]) else {
                return Outcome::FALSE;
            };
            let (names, prefix) = (Rc::clone(&names), arguments[3].to_bytes().unwrap_or_default());
            wait(async move {
                let found = select(&asked, &names).await;
                let rest: Resume<Context> = Box::new(move |cx| {
                    let loaded = found.is_some_and(|avps| put(cx, &prefix, avps));
                    loaded.into()
                });
                rest
            })
        });
        Ok(call)
    })
    .doc(
        "Loads AVPs of a user or domain from a database; of rows with one name, the last is the newest value. `source`: a \
         variable or text, with `/uri`, `/username`, `/domain` or `/uuid` behind it: how it names the user. Without it, \
         `$ru`, `$fu`, `$tu` and `$ou` are URIs, all else is a uuid. `name`: `$avp(name)`, or `a`, `i` or `s` for AVPs of any \
         name with any value, a number or a text; `/table` behind it is another table, `/$scheme` a `db_scheme`. `prefix` \
         stands before the names of the AVPs. 1: some were loaded; -1: none, or it failed.",
    )
}

async fn select(asked: &Asked, names: &Names) -> Option<Vec<(Bytes, Value)>> {
    let function = "avp_db_load";
    let store = asked.server.state::<Store>();
    let scheme = match &names.scheme {
        Some(name) => match store.scheme(name) {
            None => {
                tracing::error!("{function}: there is no db_scheme {name}");
                return None;
            }
            found => found,
        },
        None => None,
    };
    let layout = scheme.map_or(&store.layout, |scheme| &scheme.layout);
    let mut conditions = asked.owner.conditions(layout);
    let columns = match scheme {
        Some(_) => vec![layout.value.as_str()],
        None => vec![layout.value.as_str(), store.attribute.as_str(), store.kind.as_str()],
    };
    if let (Wanted::Named(name), None) = (&names.wanted, scheme) {
        conditions.push(Condition::is(&store.attribute, name.as_str()));
    }
    let (pool, observer) = asked.pool(function)?;
    let table = names.table.as_ref().unwrap_or(&layout.table);
    let select = Select { table, columns: &columns, conditions: &conditions, order: None };
    let rows = reported(function, pool.select(&select, &observer).await)?;
    Some(avps_of(&rows, names, scheme))
}

/// A fault of the text is logged here; all others, by the module for that kind of database.
fn reported<T>(function: &str, answer: Result<T, QueryError>) -> Option<T> {
    if let Err(cause @ QueryError::BadName(_)) = &answer {
        tracing::error!("{function}: {cause}");
    }
    answer.ok()
}

fn avps_of(rows: &Rows, names: &Names, scheme: Option<&Scheme>) -> Vec<(Bytes, Value)> {
    let read = |row: &[Column]| {
        let is_number = match (scheme, row) {
            (Some(scheme), _) => scheme.is_number,
            (None, [_, _, kind]) => number(kind).is_some_and(|kind| kind & NUMBER != 0),
            _ => false,
        };
        let name = match (&names.wanted, row) {
            (Wanted::Named(name), _) => Bytes::from(name.as_str()),
            (Wanted::Kind(b'i'), _) if !is_number => return None,
            (Wanted::Kind(b's'), _) if is_number => return None,
            (Wanted::Kind(_), [_, attribute, ..]) => Bytes::from(attribute.to_string().as_str()),
            _ => return None,
        };
        match row.first()? {
            Column::Null => None,
            column if is_number => Some((name, Value::Int(number(column)?))),
            Column::Blob(bytes) => Some((name, Value::Str(Bytes::new(bytes)))),
            column => Some((name, Value::str(column.to_string().as_str()))),
        }
    };
    rows.iter().filter_map(read).collect()
}

fn number(column: &Column) -> Option<i64> {
    match column {
        Column::Int(number) => Some(*number),
        Column::Null => None,
        other => other.to_string().trim().parse().ok(),
    }
}

/// Puts what was loaded in front of what is there. `false` if that was nothing.
fn put(cx: &mut Context, prefix: &[u8], avps: Vec<(Bytes, Value)>) -> bool {
    let mut any = false;
    for (name, value) in avps {
        if !cx.avps.push(&[prefix, &name].concat(), value) {
            tracing::error!("avp_db_load: there are too many AVPs: the rest is not loaded");
            break;
        }
        any = true;
    }
    any
}

fn store() -> Function<Context> {
    const PARAMETERS: &[Param] = &[SOURCE, NAME, DATABASE];
    Function::new("avp_db_store", PARAMETERS, Routes::ANY, |site| {
        let (source, names) = (Source::read(site, 0)?, Rc::new(Names::without_scheme(site)?));
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let Some(asked) = Asked::new(cx, "avp_db_store", &source, &arguments[2]) else {
                return Outcome::FALSE;
            };
            let (names, avps) = (Rc::clone(&names), chosen(cx, &names.wanted));
            if avps.is_empty() {
                return Outcome::FALSE;
            }
            wait(async move { ends(insert(&asked, &names, avps).await.is_some()) })
        });
        Ok(call)
    })
    .doc(
        "Stores AVPs of the message as those of a user or domain in a database, behind what is there. The arguments are \
         those of avp_db_load(), without a scheme. 1: done; -1: there is none, or it failed.",
    )
}

/// The AVPs of the message that are wanted, the oldest first.
fn chosen(cx: &Context, wanted: &Wanted) -> Vec<(Bytes, Value)> {
    let is_wanted = |(name, value): &(&Bytes, &Value)| match wanted {
        Wanted::Named(wanted) => ***name == *wanted.as_bytes(),
        Wanted::Kind(b'i') => matches!(value, Value::Int(_)),
        Wanted::Kind(b's') => matches!(value, Value::Str(_)),
        Wanted::Kind(_) => true,
    };
    let mut avps: Vec<_> =
        cx.avps.iter().filter(is_wanted).map(|(name, value)| (name.clone(), value.clone())).collect();
    avps.reverse();
    avps
}

async fn insert(asked: &Asked, names: &Names, avps: Vec<(Bytes, Value)>) -> Option<()> {
    let function = "avp_db_store";
    let store = asked.server.state::<Store>();
    let (pool, observer) = asked.pool(function)?;
    let table = names.table.as_ref().unwrap_or(&store.layout.table);
    for (name, value) in avps {
        let Some(column) = column_of(&value) else {
            tracing::error!("{function}: the value of $avp({}) is no text", name.lossy());
            return None;
        };
        let kind = if matches!(value, Value::Int(_)) { NUMBER } else { 0 };
        let mut columns = asked.owner.columns(&store.layout);
        columns.push((&store.attribute, name.lossy().as_ref().into()));
        columns.push((&store.layout.value, column));
        columns.push((&store.kind, kind.into()));
        reported(function, pool.insert(&Insert { table, columns: &columns }, &observer).await)?;
    }
    Some(())
}

/// The value as the text that the column holds.
fn column_of(value: &Value) -> Option<Column> {
    let text = value.to_bytes()?;
    Some(Column::Text(std::str::from_utf8(&text).ok()?.to_owned()))
}

fn delete() -> Function<Context> {
    const PARAMETERS: &[Param] = &[SOURCE, NAME, DATABASE];
    Function::new("avp_db_delete", PARAMETERS, Routes::ANY, |site| {
        let (source, names) = (Source::read(site, 0)?, Rc::new(Names::without_scheme(site)?));
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let Some(asked) = Asked::new(cx, "avp_db_delete", &source, &arguments[2]) else {
                return Outcome::FALSE;
            };
            let names = Rc::clone(&names);
            wait(async move { ends(remove(&asked, &names).await.is_some()) })
        });
        Ok(call)
    })
    .doc(
        "Deletes AVPs of a user or domain from a database. The arguments are those of avp_db_load(), without a scheme. 1: \
         done, even if there was none; -1: it failed.",
    )
}

async fn remove(asked: &Asked, names: &Names) -> Option<()> {
    let function = "avp_db_delete";
    let store = asked.server.state::<Store>();
    let (pool, observer) = asked.pool(function)?;
    let table = names.table.as_ref().unwrap_or(&store.layout.table);
    let which = match &names.wanted {
        Wanted::Named(name) => vec![Some(Condition::is(&store.attribute, name.as_str()))],
        Wanted::Kind(b'i') => [1, 3].map(|kind| Some(Condition::is(&store.kind, kind))).to_vec(),
        Wanted::Kind(b's') => [0, 2].map(|kind| Some(Condition::is(&store.kind, kind))).to_vec(),
        Wanted::Kind(_) => vec![None],
    };
    for condition in which {
        let mut conditions = asked.owner.conditions(&store.layout);
        conditions.extend(condition);
        let delete = Delete { table, conditions: &conditions };
        reported(function, pool.delete(&delete, &observer).await)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_manual_writes_them() {
        let named = |name: &str| Wanted::Named(name.to_owned());
        for (text, wanted, table, scheme) in [
            ("$avp(678)", named("678"), None, None),
            ("$(avp(x))", named("x"), None, None),
            ("i/domain_preferences", Wanted::Kind(b'i'), Some("domain_preferences"), None),
            ("A", Wanted::Kind(b'a'), None, None),
            ("$avp(404fwd)/fwd_table", named("404fwd"), Some("fwd_table"), None),
            ("$avp(123)/$some_scheme", named("123"), None, Some("some_scheme")),
        ] {
            let (table, scheme) = (table.map(str::to_owned), scheme.map(str::to_owned));
            assert_eq!(Names::read(text), Ok(Names { wanted, table, scheme }), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        for (text, problem) in [
            ("x", "write `$avp(name)`"),
            ("$avp()", "write `$avp(name)`"),
            ("$avp($var(x))", "write `$avp(name)`"),
            ("$avp(x)/", "the name of a table"),
            ("a/no such", "cannot be the name of a table"),
            ("a/$scheme", "the name of an AVP is needed"),
        ] {
            let said = Names::read(text).unwrap_err();
            assert!(said.contains(problem), "{text}: {said}");
        }
    }
}
