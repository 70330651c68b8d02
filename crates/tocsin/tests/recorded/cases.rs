//! The recorded cases, as they lie in the repository.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A recorded case: its name, `TABLE/AREA/NAME`, and its content.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) content: Value,
}

/// All cases of an area, by name.
pub(crate) fn of_area(table: &str, area: &str) -> Vec<Case> {
    let files = entries(&folder().join("cases").join(table).join(area));
    files.iter().map(|file| read(&format!("{table}/{area}"), file)).collect()
}

/// The names of the areas of a table.
pub(crate) fn areas(table: &str) -> Vec<String> {
    entries(&folder().join("cases").join(table)).iter().map(|path| stem(path)).collect()
}

/// Where the cases and the lists about them lie.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

fn read(area: &str, file: &Path) -> Case {
    let name = format!("{area}/{}", stem(file));
    let text = fs::read_to_string(file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    let content = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{name} is not JSON: {cause}"));
    Case { name, content }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()));
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The text of a member; empty if it is absent.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// The texts of a list; none if it is absent.
pub(crate) fn texts(value: &Value, member: &str) -> Vec<String> {
    list(value, member).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The items of a list; none if it is absent.
pub(crate) fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

/// Whether a member is there and not `false`.
pub(crate) fn is_set(value: &Value, member: &str) -> bool {
    !matches!(value[member], Value::Null | Value::Bool(false))
}
