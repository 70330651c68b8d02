//! The rows of the table, and the constants that they name.

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is limited.
    pub(crate) limit: String,
    /// Its figures.
    pub(crate) value: String,
    /// Where they stand in the code.
    named: String,
}

/// Where a constant is declared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// In one of the files of a crate whose path in the crate begins with `modules`.
    InCrate { of: String, modules: Vec<String>, name: String },
    /// In one file.
    InFile { file: String, name: String },
    /// As a field of what a type is by default.
    Field { of: String, modules: Vec<String>, kind: String, field: String },
}

/// The rows of the table whose first column is headed `limit`.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let table = text.lines().skip_while(|line| !line.starts_with("| limit | value |")).skip(2);
    table.take_while(|line| line.starts_with('|')).map(Row::read).collect()
}

impl Row {
    fn read(line: &str) -> Self {
        let columns: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let [limit, value, named, _] = columns[..] else { panic!("a row has four columns: {line}") };
        Self { limit: limit.to_owned(), value: value.to_owned(), named: named.to_owned() }
    }

    /// The constants of the third column, in order.
    pub(crate) fn references(&self) -> Result<Vec<Reference>, String> {
        let mut found = Vec::new();
        // Names whose file is still to come.
        let mut bare: Vec<String> = Vec::new();
        for code in self.named.split('`').skip(1).step_by(2) {
            if code.contains('/') {
                let in_file = |name| Reference::InFile { file: code.to_owned(), name };
                found.extend(bare.drain(..).map(in_file));
            } else if let Some((path, last)) = code.rsplit_once("::") {
                if let Some(name) = bare.first() {
                    return Err(format!("`{name}` has no file"));
                }
                let names = last.trim_matches(['{', '}']).split(", ");
                found.extend(names.map(|name| in_path(path, name)));
            } else {
                bare.push(code.to_owned());
            }
        }
        match bare.first() {
            Some(name) => Err(format!("`{name}` has no file")),
            None => Ok(found),
        }
    }
}

/// What `path::name` names.
fn in_path(path: &str, name: &str) -> Reference {
    let mut modules: Vec<String> = path.split("::").map(str::to_owned).collect();
    let kind = modules.pop_if(|last| last.starts_with(|first: char| first.is_ascii_uppercase()));
    let (of, name) = (modules.remove(0), name.to_owned());
    match kind {
        Some(kind) => Reference::Field { of, modules, kind, field: name },
        None => Reference::InCrate { of, modules, name },
    }
}

#[test]
fn constants_are_named_in_three_ways() {
    let row = |named: &str| Row::read(&format!("| a | 1 | {named} | - |")).references();
    let file = |file: &str, name: &str| Reference::InFile { file: file.to_owned(), name: name.to_owned() };
    assert_eq!(
        row("`A`, `B` (`x/y.rs`), `C` (`z.rs/`)"),
        Ok(vec![file("x/y.rs", "A"), file("x/y.rs", "B"), file("z.rs/", "C")])
    );
    let references = row("`mi::fifo::{A, B}`").unwrap();
    assert!(matches!(&references[1], Reference::InCrate { of, modules, name }
        if of == "mi" && modules == &["fifo"] && name == "B"));
    let references = row("`sip::Limits::uri`").unwrap();
    assert!(
        matches!(&references[0], Reference::Field { kind, field, .. } if kind == "Limits" && field == "uri")
    );
    assert!(row("`A`").is_err() && row("`A`, `x::B`").is_err());
}
