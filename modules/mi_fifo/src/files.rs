//! Files that management clients find a transport by: where they may be made, with which permissions and owners.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tocsin_mi::datagram::is_served;
use tocsin_mi::fifo::is_read;
use tocsin_mi::jsonrpc::Style;
use tocsin_process::{lookup_group, lookup_user};
use tocsin_script::{ModParam, Value};
use tocsin_server::module::Parameters;
use tocsin_server::shared_parameters::PRETTY_PRINTING;

/// The digits of the permissions when nothing else is asked for.
const DEFAULT_MODE: i64 = 660;

/// What a transport makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A FIFO.
    Fifo,
    /// A UNIX socket.
    Socket,
}

/// Makes room for a file: its folder has to exist, and what has its name is removed if it is one of the kind that a server
/// left behind, whichever user that was. What a living server uses, and everything else, stays, and is an error.
pub fn make_room(path: &Path, kind: Kind) -> Result<(), String> {
    let shown = path.display();
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(format!("`{shown}` is no name of a file")),
    };
    if !folder.is_dir() {
        return Err(format!("{shown} cannot be created: there is no directory {}", folder.display()));
    }
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    let same = match kind {
        Kind::Fifo => found.file_type().is_fifo(),
        Kind::Socket => found.file_type().is_socket(),
    };
    if !same {
        return Err(format!("{shown} is there and is something else: remove it, or choose another name"));
    }
    let in_use = match kind {
        Kind::Fifo => is_read(path),
        Kind::Socket => is_served(path),
    };
    match in_use {
        Ok(true) => Err(format!("{shown} is in use by a server that runs: stop it, or choose another name")),
        Ok(false) => std::fs::remove_file(path)
            .map_err(|cause| format!("{shown} was left behind and cannot be removed: {cause}")),
        Err(cause) => Err(format!(
            "{shown} is there, and it cannot be reported whether a server uses it ({cause}): remove it, or choose another name"
        )),
    }
}

/// A parameter for permission bits. Numbers of a configuration are decimal: their digits are read as octal ones.
pub const fn mode_row(name: &'static str, doc: &'static str) -> ModParam {
    ModParam::number(name, DEFAULT_MODE, doc).check(|value| permissions(value).map(drop))
}

/// Permission bits, whose octal digits were written: `0660`.
///
/// # Errors
/// They are none.
pub fn mode(given: &Parameters, row: &ModParam) -> Result<u32, String> {
    permissions(&Value::Int(given.int(row)))
}

fn permissions(value: &Value) -> Result<u32, String> {
    let digits = value.to_bytes().unwrap_or_default();
    let bits = std::str::from_utf8(&digits).ok().and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let wrong = || format!("`{}` are no permissions: write them in octal, as 0660", digits.lossy());
    bits.filter(|bits| *bits <= 0o7777).ok_or_else(wrong)
}

/// A user, by name or number; `None` when none is given.
///
/// # Errors
/// There is no such user.
pub fn user(given: &Parameters, row: &ModParam) -> Result<Option<u32>, String> {
    identity(given, row, |text| lookup_user(text).map_err(|cause| cause.to_string()))
}

/// A group, by name or number; `None` when none is given.
///
/// # Errors
/// There is no such group.
pub fn group(given: &Parameters, row: &ModParam) -> Result<Option<u32>, String> {
    identity(given, row, |text| lookup_group(text).map_err(|cause| cause.to_string()))
}

fn identity(
    given: &Parameters,
    row: &ModParam,
    lookup: impl FnOnce(&str) -> Result<u32, String>,
) -> Result<Option<u32>, String> {
    let given = given.last(row).and_then(Value::to_bytes);
    given.map(|text| lookup(&text.lossy())).transpose()
}

/// What `pretty_printing` says.
pub fn style(given: &Parameters) -> Style {
    if given.on(&PRETTY_PRINTING) { Style::Pretty } else { Style::Compact }
}
