//! One table of a text database: a file whose first line names the columns and whose further lines are rows (manual,
//! "db_text", "Internal format of a db_text table").

/// Bytes that the file of a table may have.
pub(super) const MAX_TABLE_BYTES: usize = 1 << 20;

/// A table, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextTable {
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    values: Vec<String>,
}

impl TextTable {
    /// Reads the content of a file.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub(super) fn parse(content: &str) -> Result<Self, String> {
        let mut lines = content.lines().enumerate().map(|(at, line)| (at + 1, line));
        let (_, head) =
            lines.next().ok_or("the file is empty: its first line must name the columns, as id(int)")?;
        let columns = head.split_whitespace().map(column).collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() {
            return Err("line 1 names no columns: write each as name(type)".to_owned());
        }
        let mut rows = Vec::new();
        for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
            let values = split(text).map_err(|problem| format!("line {line}: {problem}"))?;
            if values.len() != columns.len() {
                let (is, should) = (values.len(), columns.len());
                return Err(format!("line {line} has {is} values for {should} columns"));
            }
            rows.push(Row { line, values });
        }
        Ok(Self { columns, rows })
    }

    /// The rows in order.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The value of a row in the column of this name; `None` when there is no such column or nothing in it.
    pub(super) fn value<'a>(&self, row: &'a Row, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| name == column)?;
        row.values.get(at).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The name in `name(type)` or `name(type,null)`.
fn column(text: &str) -> Result<String, String> {
    let wrong = || format!("line 1: `{text}` is no column: write it as name(type), such as priority(int)");
    let (name, rest) = text.split_once('(').ok_or_else(wrong)?;
    let inner = rest.strip_suffix(')').ok_or_else(wrong)?;
    if name.is_empty() || inner.is_empty() {
        return Err(wrong());
    }
    Ok(name.to_owned())
}

/// The values of a line: between colons, with `\:`, `\\`, `\n`, `\r` and `\t` for what cannot stand there itself.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut values = vec![String::new()];
    let mut rest = line.chars();
    while let Some(letter) = rest.next() {
        let letter = match letter {
            ':' => {
                values.push(String::new());
                continue;
            }
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself @ (':' | '\\')) => itself,
                _ => return Err("a backslash must be followed by one of : \\ n r t".to_owned()),
            },
            letter => letter,
        };
        if let Some(last) = values.last_mut() {
            last.push(letter);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_by_the_name_of_their_column() {
        let text = "id(int,auto) proto(string) remote_addr(string,null) note(string) \n\
                    1:tcp:2001\\:db8\\:\\:/32:a\\\\b\\n\n\n2:any::x\n";
        let table = TextTable::parse(text).unwrap();
        let [first, second] = table.rows() else { panic!("{table:?}") };
        assert_eq!((first.line, second.line), (2, 4));
        assert_eq!(table.value(first, "remote_addr"), Some("2001:db8::/32"));
        assert_eq!(table.value(first, "note"), Some("a\\b\n"));
        assert_eq!(table.value(second, "remote_addr"), None);
        assert_eq!(table.value(second, "nothing"), None);
        assert_eq!(table.value(second, "note"), Some("x"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("", "the file is empty"),
            (" \n", "names no columns"),
            ("id\n", "line 1: `id` is no column"),
            ("id(int\n", "`id(int` is no column"),
            ("(int)\n", "is no column"),
            ("a(int) b(int)\n1:2\n1\n", "line 3 has 1 values for 2 columns"),
            ("a(int) b(int)\n1:2:3\n", "line 2 has 3 values for 2 columns"),
            ("a(string)\nx\\y\n", "line 2: a backslash"),
            ("a(string)\nx\\\n", "line 2: a backslash"),
        ] {
            let problem = TextTable::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text:?}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(a\\(int\\) b\\(string\\)\n)?[\\x00-\\x7f]{0,60}") {
            if let Ok(table) = TextTable::parse(&text) {
                let full = table.rows().iter().all(|row| row.values.len() == table.columns.len());
                prop_assert!(full);
            }
        }
    }
}
