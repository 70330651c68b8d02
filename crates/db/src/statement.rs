//! Statements put together from names and values, and what the text of one shows.

use std::fmt::Write;

use crate::error::QueryError;
use crate::url::Scheme;
use crate::value::Value;

/// Bytes of the name of a table or column.
pub const MAX_NAME_BYTES: usize = 64;

/// What a row has to fulfil: all conditions of a statement, together.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition<'a> {
    column: &'a str,
    operator: &'static str,
    value: Value,
}

impl<'a> Condition<'a> {
    /// The column has this value; [`Value::Null`] finds rows that have none.
    pub fn is(column: &'a str, value: impl Into<Value>) -> Self {
        Self { column, operator: "=", value: value.into() }
    }

    /// The column is less.
    pub fn below(column: &'a str, value: impl Into<Value>) -> Self {
        Self { column, operator: "<", value: value.into() }
    }

    /// The column is greater.
    pub fn above(column: &'a str, value: impl Into<Value>) -> Self {
        Self { column, operator: ">", value: value.into() }
    }
}

/// Asks for rows.
#[derive(Debug, Clone, Default)]
pub struct Select<'a> {
    /// Where from.
    pub table: &'a str,
    /// Which columns; none stands for all.
    pub columns: &'a [&'a str],
    /// Which rows.
    pub conditions: &'a [Condition<'a>],
    /// The column that says their order.
    pub order: Option<&'a str>,
}

/// Adds a row.
#[derive(Debug, Clone, Default)]
pub struct Insert<'a> {
    /// Where to.
    pub table: &'a str,
    /// Its columns.
    pub columns: &'a [(&'a str, Value)],
}

/// Changes rows.
#[derive(Debug, Clone, Default)]
pub struct Update<'a> {
    /// Where.
    pub table: &'a str,
    /// What becomes of their columns.
    pub columns: &'a [(&'a str, Value)],
    /// Which rows; without a condition, all.
    pub conditions: &'a [Condition<'a>],
}

/// Takes rows away.
#[derive(Debug, Clone, Default)]
pub struct Delete<'a> {
    /// Where from.
    pub table: &'a str,
    /// Which rows; without a condition, all.
    pub conditions: &'a [Condition<'a>],
}

/// SQL with `?` where its values belong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
    /// Whether it asks for rows, which the protocol does not say of a result without any; `None` if only the database
    /// knows.
    pub(crate) asks: Option<bool>,
    /// Worth keeping on the connection for the next time.
    pub(crate) is_prepared: bool,
}

impl Statement {
    /// A query as it was written. MySQL itself refuses several statements that come as one; SQLite would run them all.
    pub(crate) fn plain(text: &[u8], scheme: Scheme) -> Result<Self, QueryError> {
        // For SQLite a text ends at its first NUL, and its driver looks for the rest for ever.
        let text =
            std::str::from_utf8(text).ok().filter(|text| !text.contains('\0')).ok_or(QueryError::NotText)?;
        let text = text.to_owned();
        if scheme == Scheme::Sqlite && has_several(&text) {
            return Err(QueryError::Several);
        }
        Ok(Self { asks: asks_for_rows(&text), text, values: Vec::new(), is_prepared: false })
    }

    pub(crate) fn select(select: &Select<'_>, scheme: Scheme) -> Result<Self, QueryError> {
        let mut writer = Writer::new(scheme, "SELECT ");
        match select.columns {
            [] => writer.text.push('*'),
            columns => writer.list(columns, |writer, column| writer.name(column))?,
        }
        writer.text.push_str(" FROM ");
        writer.name(select.table)?;
        writer.conditions(select.conditions)?;
        if let Some(column) = select.order {
            writer.text.push_str(" ORDER BY ");
            writer.name(column)?;
        }
        Ok(writer.finish(true))
    }

    pub(crate) fn insert(insert: &Insert<'_>, scheme: Scheme) -> Result<Self, QueryError> {
        let mut writer = Writer::new(scheme, "INSERT INTO ");
        writer.name(insert.table)?;
        writer.text.push_str(" (");
        writer.list(insert.columns, |writer, (column, _)| writer.name(column))?;
        writer.text.push_str(") VALUES (");
        writer.list(insert.columns, |writer, (_, value)| {
            writer.value(value);
            Ok(())
        })?;
        writer.text.push(')');
        Ok(writer.finish(false))
    }

    pub(crate) fn update(update: &Update<'_>, scheme: Scheme) -> Result<Self, QueryError> {
        let mut writer = Writer::new(scheme, "UPDATE ");
        writer.name(update.table)?;
        writer.text.push_str(" SET ");
        writer.list(update.columns, |writer, (column, value)| {
            writer.name(column)?;
            writer.text.push('=');
            writer.value(value);
            Ok(())
        })?;
        writer.conditions(update.conditions)?;
        Ok(writer.finish(false))
    }

    pub(crate) fn delete(delete: &Delete<'_>, scheme: Scheme) -> Result<Self, QueryError> {
        let mut writer = Writer::new(scheme, "DELETE FROM ");
        writer.name(delete.table)?;
        writer.conditions(delete.conditions)?;
        Ok(writer.finish(false))
    }
}

/// Whether this can be the name of a table or column in a statement: 1 to [`MAX_NAME_BYTES`] letters, digits, `_`, `$` and `-`.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_$-".contains(&byte);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(fits)
}

struct Writer {
    text: String,
    values: Vec<Value>,
    quote: char,
}

impl Writer {
    fn new(scheme: Scheme, begin: &str) -> Self {
        let quote = match scheme {
            Scheme::Mysql => '`',
            Scheme::Sqlite => '"',
        };
        Self { text: begin.to_owned(), values: Vec::new(), quote }
    }

    fn finish(self, asks: bool) -> Statement {
        Statement { text: self.text, values: self.values, asks: Some(asks), is_prepared: true }
    }

    fn name(&mut self, name: &str) -> Result<(), QueryError> {
        if !is_name(name) {
            return Err(QueryError::BadName(name.to_owned()));
        }
        let quote = self.quote;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{quote}{name}{quote}");
        Ok(())
    }

    fn value(&mut self, value: &Value) {
        self.text.push('?');
        self.values.push(value.clone());
    }

    fn list<T>(
        &mut self,
        items: &[T],
        mut each: impl FnMut(&mut Self, &T) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        items.iter().enumerate().try_for_each(|(at, item)| {
            if at > 0 {
                self.text.push_str(", ");
            }
            each(self, item)
        })
    }

    fn conditions(&mut self, conditions: &[Condition<'_>]) -> Result<(), QueryError> {
        for (at, condition) in conditions.iter().enumerate() {
            self.text.push_str(if at == 0 { " WHERE " } else { " AND " });
            self.name(condition.column)?;
            if condition.value == Value::Null {
                self.text.push_str(" IS NULL");
            } else {
                self.text.push_str(condition.operator);
                self.value(&condition.value);
            }
        }
        Ok(())
    }
}

/// Whether a query as it was written asks for rows, as far as its words show.
fn asks_for_rows(text: &str) -> Option<bool> {
    let is_one_of = |word: &str, list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(word));
    let mut words = words(text);
    let first = words.next()?;
    let mut has = |wanted: &str| words.any(|word| word.eq_ignore_ascii_case(wanted));
    if is_one_of(first, &["SELECT", "VALUES", "TABLE"]) {
        // What goes into a variable or a file does not come here.
        return if has("INTO") { None } else { Some(true) };
    }
    if is_one_of(first, &["INSERT", "REPLACE", "UPDATE", "DELETE"]) {
        return Some(has("RETURNING"));
    }
    const COMMANDS: &[&str] =
        &["SET", "USE", "CREATE", "ALTER", "DROP", "TRUNCATE", "BEGIN", "START", "COMMIT", "ROLLBACK"];
    if is_one_of(first, COMMANDS) { Some(false) } else { None }
}

/// Whether another statement follows the first, as SQLite reads them. The body of a trigger has statements in it.
fn has_several(text: &str) -> bool {
    if words(text).next().is_some_and(|first| first.eq_ignore_ascii_case("CREATE")) {
        return false;
    }
    let mut rest = text;
    let mut is_over = false;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match first {
            '-' if rest.starts_with("--") => behind(rest, "\n"),
            '/' if rest.starts_with("/*") => behind(&rest[2..], "*/"),
            c if c.is_ascii_whitespace() => after,
            ';' => {
                is_over = true;
                after
            }
            _ if is_over => return true,
            // A quote that is doubled ends one string and begins the next.
            '\'' | '"' | '`' => after.split_once(first).map_or("", |(_, after)| after),
            '[' => behind(after, "]"),
            _ => after,
        };
    }
    false
}

/// The words outside of strings and comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            if first.is_ascii_alphabetic() || first == '_' {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = after;
                return Some(word);
            }
            rest = match first {
                '\'' | '"' | '`' => behind_quotes(rest, first),
                '#' => behind(rest, "\n"),
                '-' if rest.starts_with("--") => behind(rest, "\n"),
                '/' if rest.starts_with("/*") => behind(rest, "*/"),
                _ => &rest[first.len_utf8()..],
            };
        }
    })
}

fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, after)| after)
}

fn behind_quotes(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return &text[at + c.len_utf8()..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_are_put_together() {
        let conditions = [Condition::is("username", "al'ice"), Condition::above("expires", 5)];
        let select = Select {
            table: "location",
            columns: &["contact", "q"],
            conditions: &conditions,
            order: Some("q"),
        };
        let made = Statement::select(&select, Scheme::Mysql).unwrap();
        assert_eq!(
            made.text,
            "SELECT `contact`, `q` FROM `location` WHERE `username`=? AND `expires`>? ORDER BY `q`"
        );
        assert_eq!(made.values, [Value::from("al'ice"), Value::Int(5)]);
        assert!(made.asks == Some(true) && made.is_prepared);

        let columns = [("a", Value::Int(1)), ("b", Value::Null)];
        let made = Statement::insert(&Insert { table: "t", columns: &columns }, Scheme::Sqlite).unwrap();
        assert_eq!(made.text, "INSERT INTO \"t\" (\"a\", \"b\") VALUES (?, ?)");
        assert_eq!(made.values.len(), 2);

        let gone = [Condition::is("c", Value::Null)];
        let update = Update { table: "t", columns: &columns, conditions: &gone };
        assert_eq!(
            Statement::update(&update, Scheme::Mysql).unwrap().text,
            "UPDATE `t` SET `a`=?, `b`=? WHERE `c` IS NULL"
        );
        let delete = Delete { table: "t", conditions: &[Condition::below("d", 3)] };
        assert_eq!(
            Statement::delete(&delete, Scheme::Sqlite).unwrap().text,
            "DELETE FROM \"t\" WHERE \"d\"<?"
        );
    }

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        for bad in ["", "a`b", "a\"b", "a b", "a;", "é", &"x".repeat(MAX_NAME_BYTES + 1)] {
            let delete = Delete { table: bad, conditions: &[] };
            let problem = Statement::delete(&delete, Scheme::Mysql).unwrap_err();
            assert_eq!(problem, QueryError::BadName(bad.to_owned()));
        }
    }

    #[test]
    fn queries_for_rows_are_known_from_their_text() {
        for (text, asks) in [
            ("select 1", Some(true)),
            ("  SELECT SLEEP(0.2)", Some(true)),
            ("/* why */ (SELECT 1) UNION SELECT 2", Some(true)),
            ("-- first\ntable t", Some(true)),
            ("insert into t values ('x') returning id", Some(true)),
            ("DELETE FROM t", Some(false)),
            ("insert into t values ('select', \"it's returning\", 'a\\' returning')", Some(false)),
            ("update t set a = 'x' -- returning", Some(false)),
            ("DROP TABLE t", Some(false)),
            ("WITH x AS (SELECT 1) SELECT * FROM x", None),
            ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", None),
            ("SELECT 1 INTO @x", None),
            ("PRAGMA user_version = 3", None),
            ("CALL p()", None),
            ("'select", None),
            ("", None),
        ] {
            assert_eq!(asks_for_rows(text), asks, "{text}");
        }
    }

    #[test]
    fn text_that_is_none_is_refused() {
        assert_eq!(Statement::plain(b"SELECT '\xff'", Scheme::Mysql).unwrap_err(), QueryError::NotText);
        assert_eq!(Statement::plain(b"SELECT 1\0;", Scheme::Sqlite).unwrap_err(), QueryError::NotText);
    }

    #[test]
    fn a_second_statement_is_seen_wherever_it_hides() {
        for text in [
            "SELECT 1; DROP TABLE t",
            "SELECT '\\'; DROP TABLE t --'",
            "SELECT 'a''b' ;;DROP TABLE t",
            "SELECT 1 /* ' */; DROP TABLE t",
            "SELECT 1 -- '\n; DROP TABLE t",
            "SELECT [']; DROP TABLE t",
            "SELECT \"a'\"; DROP TABLE t --'",
        ] {
            assert_eq!(Statement::plain(text.as_bytes(), Scheme::Sqlite), Err(QueryError::Several), "{text}");
        }
        for text in [
            "SELECT 1",
            "SELECT 1; ; -- done",
            "SELECT ';', \";\", `;`, [;] /* ; */ -- ; x",
            "SELECT 'it''s; fine'; /* end */",
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; END",
            "SELECT 'not closed; x",
        ] {
            assert!(!has_several(text), "{text}");
        }
        assert!(Statement::plain(b"SELECT 1; SELECT 2", Scheme::Mysql).is_ok(), "its server says so");
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(text in "(select|--|/\\*|\\*/|#|'|\"|`|\\\\|\n| |é|returning|;|\0){0,20}") {
            asks_for_rows(&text);
            has_several(&text);
            for scheme in [Scheme::Mysql, Scheme::Sqlite] {
                let has_nul = Statement::plain(text.as_bytes(), scheme) == Err(QueryError::NotText);
                prop_assert_eq!(has_nul, text.contains('\0'));
            }
        }
    }
}
