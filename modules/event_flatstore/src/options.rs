//! The module's parameters, and what they say.

use std::path::Path;
use std::sync::Arc;

use tocsin_script::{ModParam, Value};
use tocsin_server::module::{Parameters, SetupError};

use super::lines::Layout;
use super::place::Place;

/// The module's name.
pub(super) const NAME: &str = "event_flatstore";
/// How many files may be open, unless `max_open_sockets` says otherwise.
const OPEN_FILES: i64 = 100;
/// The most files that may be open.
const MOST_OPEN_FILES: i64 = 10_000;

const MAX_OPEN_SOCKETS: ModParam =
    ModParam::number("max_open_sockets", OPEN_FILES, "The most files that are open at the same time.")
        .within(1, MOST_OPEN_FILES, "files");
const DELIMITER: ModParam = ModParam::text("delimiter", ",", "What stands between two values of a line.");
const FILE_PERMISSIONS: ModParam =
    ModParam::text("file_permissions", "644", "The access rights of a new file, in octal digits.")
        .check(|value| octal(value.as_str().unwrap_or_default()).map(drop));
const SUPPRESS_EVENT_NAME: ModParam =
    ModParam::switch("suppress_event_name", false, "Whether lines begin without the name of the event.");
// Not of OpenSIPS, like `escape`.
const DIRECTORY: ModParam = ModParam::text(
    "directory",
    "",
    "Files of subscribers must be below this directory and no symbolic links. The manual does not have this parameter.",
)
.unset("files may be anywhere")
.check(|value| {
    let directory = value.as_str().unwrap_or_default();
    if directory.starts_with(b"/") {
        Ok(())
    } else {
        Err(format!("`{}` is no absolute path", directory.escape_ascii()))
    }
});
const ESCAPE: ModParam = ModParam::switch(
    "escape",
    false,
    "Whether control characters, backslashes and the first byte of the delimiter are escaped in values. The manual does \
     not have this parameter.",
);

pub(super) const PARAMETERS: &[ModParam] =
    &[MAX_OPEN_SOCKETS, DELIMITER, FILE_PERMISSIONS, SUPPRESS_EVENT_NAME, DIRECTORY, ESCAPE];

/// What the parameters say.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) layout: Layout,
    /// Access rights of a new file.
    pub(super) mode: u32,
    pub(super) open_files: usize,
    pub(super) place: Arc<Place>,
}

pub(super) fn options(given: &Parameters) -> Result<Options, SetupError> {
    let wrong = |row: ModParam, problem| SetupError::Parameter { module: NAME, name: row.name, problem };
    let layout = Layout {
        delimiter: given
            .last(&DELIMITER)
            .and_then(Value::as_str)
            .map_or_else(|| DELIMITER.default_text().as_bytes().to_vec(), <[u8]>::to_vec),
        with_name: !given.on(&SUPPRESS_EVENT_NAME),
        escape: given.on(&ESCAPE),
    };
    let is_plain = |first: &u8| !first.is_ascii_alphanumeric() && *first != b'\\';
    if layout.escape && !layout.delimiter.first().is_some_and(is_plain) {
        let problem = "a delimiter that begins with a letter, a digit or a backslash could be a part of what is escaped";
        return Err(wrong(ESCAPE, problem.to_owned()));
    }
    let directory = given.string(&DIRECTORY);
    let place = match directory.as_str() {
        "" => Place::default(),
        directory => Place::below(Path::new(directory)).map_err(|problem| wrong(DIRECTORY, problem))?,
    };
    let mode = octal(given.string(&FILE_PERMISSIONS).as_bytes());
    Ok(Options {
        layout,
        mode: mode.map_err(|problem| wrong(FILE_PERMISSIONS, problem))?,
        open_files: given.int(&MAX_OPEN_SOCKETS) as usize,
        place: Arc::new(place),
    })
}

fn octal(digits: &[u8]) -> Result<u32, String> {
    let mode = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 8).ok());
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("`{}` is no octal number such as 644", digits.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<Options, String> {
        let given = Parameters::checked(PARAMETERS, &[(name, value.into())])?;
        options(&given).map_err(|problem| problem.to_string())
    }

    #[test]
    fn parameters_say_how_files_are_written() {
        let none = options(&Parameters::default()).unwrap();
        assert_eq!((none.mode, none.open_files), (0o644, 100));
        assert_eq!((none.layout.delimiter.as_slice(), none.layout.with_name), (&b","[..], true));
        assert_eq!(given("file_permissions", "664").unwrap().mode, 0o664);
        assert_eq!(given("delimiter", ";").unwrap().layout.delimiter, b";");
        assert!(!given("suppress_event_name", 1).unwrap().layout.with_name);
        assert_eq!(given("max_open_sockets", 200).unwrap().open_files, 200);
        assert!(given("file_permissions", "rw").is_err() && given("file_permissions", "1000").is_err());
        assert!(given("max_open_sockets", 0).is_err());
        assert!(!none.layout.escape && given("escape", "yes").unwrap().layout.escape);
        for delimiter in ["", "n", "\\"] {
            let both = [("delimiter", Value::str(delimiter)), ("escape", Value::Int(1))];
            let both = both.map(|(name, value)| (name.to_owned(), value)).into();
            assert!(options(&Parameters(both)).is_err(), "{delimiter}");
        }
        assert_eq!(*given("directory", "/").unwrap().place, Place::below(Path::new("/")).unwrap());
        assert!(given("directory", "logs").is_err());
    }
}
