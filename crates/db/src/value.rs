//! Values in columns, and the result of a query.

use std::fmt;

use chrono::NaiveDateTime;

/// A value in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes that are no text.
    Blob(Vec<u8>),
    /// A date with a time of day, without a time zone.
    Time(NaiveDateTime),
}

impl Value {
    /// Bytes that it takes in memory.
    pub(crate) fn size(&self) -> usize {
        let beside = match self {
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + beside
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Prints it as SQL would show it, without quotes; a blob as its bytes, as far as they are UTF-8.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Int(number) => number.fmt(f),
            Self::Double(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Blob(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Time(time) => time.format("%Y-%m-%d %H:%M:%S%.f").fmt(f),
        }
    }
}

/// What came of a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub(crate) columns: Vec<String>,
    pub(crate) values: Vec<Value>,
    pub(crate) is_result: bool,
    pub(crate) affected: u64,
}

impl Rows {
    /// The names of the columns; none if there is no row.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows, each with a value for every column.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Value]> {
        self.values.chunks(self.columns.len().max(1))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.iter().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the query was one that asks for rows, even if there are none.
    pub fn is_result(&self) -> bool {
        self.is_result
    }

    /// How many rows were inserted, changed or deleted.
    pub fn affected(&self) -> u64 {
        self.affected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_at_their_width() {
        let values = (1..=6).map(Value::Int).collect();
        let rows = Rows { columns: vec!["a".into(), "b".into()], values, is_result: true, affected: 0 };
        let rows: Vec<_> = rows.iter().map(<[Value]>::to_vec).collect();
        assert_eq!(rows[1], [Value::Int(3), Value::Int(4)]);
        assert_eq!(rows.len(), 3);
        assert_eq!((Rows::default().is_empty(), Rows::default().iter().count()), (true, 0));
    }

    #[test]
    fn values_print_as_sql_shows_them() {
        let time = NaiveDateTime::parse_from_str("2024-02-29 01:02:03", "%Y-%m-%d %H:%M:%S").unwrap();
        let shown = [
            (Value::Int(-5), "-5"),
            (Value::Double(2.5), "2.5"),
            (Value::Double(3.0), "3"),
            (Value::Blob(b"x".to_vec()), "x"),
            (Value::Time(time), "2024-02-29 01:02:03"),
        ];
        for (value, text) in shown {
            assert_eq!(value.to_string(), text);
        }
    }
}
