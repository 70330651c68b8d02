//! Where the rules are read from: a table of a database, or a text file of the same form.

use std::io::Read;
use std::path::{Path, PathBuf};

use tocsin_server::Server;
use tocsin_server::databases::{Asker, Databases};
use tocsin_server::module::{Parameters, SetupError};
use tocsin_server::tables::{self, Table};

use super::parameters::{COLUMNS, DB_TABLE, DB_URL, MAX_RULES, NAME};
use super::rule::Rule;
use super::text_table::{MAX_TABLE_BYTES, TextTable};

/// A source of rules.
#[derive(Debug)]
pub(super) struct Source {
    place: Place,
    /// The names of [`COLUMNS`] in the table.
    names: Vec<String>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Table(Table),
}

impl Source {
    /// What `db_url`, `db_table` and the parameters for the columns name.
    pub(super) fn new(given: &Parameters, databases: &mut Databases) -> Result<Self, SetupError> {
        let asker = |parameter| Asker { module: NAME, parameter, nth: 0 };
        let url = given.string(&DB_URL);
        if url.is_empty() {
            let problem = "a database is needed: give mysql://user:password@host/name, sqlite:///file or text:///folder";
            return Err(asker(DB_URL.name).wrong(problem));
        }
        let table = given.string(&DB_TABLE);
        let place = match url.strip_prefix("text://").filter(|folder| !folder.is_empty()) {
            Some(folder) => {
                if table.is_empty() || table.contains('/') || table.starts_with('.') {
                    return Err(
                        asker(DB_TABLE.name).wrong(format!("`{table}` cannot be the name of a table"))
                    );
                }
                Place::File(Path::new(folder).join(table))
            }
            None => {
                let database = databases.want(asker(DB_URL.name), &url)?;
                Place::Table(Table::new(asker(DB_TABLE.name), database, &table)?)
            }
        };
        let names = COLUMNS.iter().map(|row| given.string(row)).collect();
        Ok(Self { place, names })
    }

    /// The rules in the text file as it is now; `None` where they come from a database.
    pub(super) fn read_file(&self) -> Option<Result<Vec<Rule>, String>> {
        match &self.place {
            Place::File(file) => {
                Some(self.of_file(file).map_err(|problem| format!("{}: {problem}", file.display())))
            }
            Place::Table(_) => None,
        }
    }

    /// The rules as they are now.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) async fn read(&self, server: &Server) -> Result<Vec<Rule>, String> {
        match &self.place {
            Place::File(_) => self.read_file().unwrap_or_else(|| Ok(Vec::new())),
            Place::Table(table) => self
                .of_table(table, server)
                .await
                .map_err(|problem| format!("table {}: {problem}", table.name())),
        }
    }

    fn of_file(&self, file: &Path) -> Result<Vec<Rule>, String> {
        let table = TextTable::parse(&content(file)?)?;
        fits(table.rows().len())?;
        let rules = table.rows().iter().map(|row| {
            let read = self.rule(|column| table.value(row, column).map(str::to_owned));
            read.map_err(|problem| format!("line {}: {problem}", row.line))
        });
        Ok(rules.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    async fn of_table(&self, table: &Table, server: &Server) -> Result<Vec<Rule>, String> {
        let all = table.read(server).await.map_err(|cause| cause.to_string())?;
        fits(all.len())?;
        let rules = tables::rows(&all).enumerate().map(|(at, row)| {
            let text =
                |column: &str| row.value(column).map(ToString::to_string).filter(|text| !text.is_empty());
            let read = self.rule(text);
            read.map_err(|problem| {
                format!("row {}: {problem}", text(&self.names[0]).unwrap_or_else(|| (at + 1).to_string()))
            })
        });
        Ok(rules.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The rule of a row whose values `value` gives by the names of the columns in the table.
    fn rule(&self, value: impl Fn(&str) -> Option<String>) -> Result<Option<Rule>, String> {
        let values: Vec<Option<String>> = self.names.iter().map(|name| value(name)).collect();
        Rule::read(|column| {
            let at = COLUMNS.iter().position(|row| row.default_text() == column)?;
            values[at].as_deref()
        })
    }
}

fn fits(rows: usize) -> Result<(), String> {
    if rows > MAX_RULES { Err(format!("{rows} rows: there may be {MAX_RULES}")) } else { Ok(()) }
}

fn content(file: &Path) -> Result<String, String> {
    let mut content = String::new();
    let file = std::fs::File::open(file).map_err(|cause| cause.to_string())?;
    // One byte more shows that a file is too large.
    file.take(MAX_TABLE_BYTES as u64 + 1).read_to_string(&mut content).map_err(|cause| cause.to_string())?;
    if content.len() > MAX_TABLE_BYTES {
        return Err(format!("the file is larger than {MAX_TABLE_BYTES} bytes"));
    }
    Ok(content)
}
