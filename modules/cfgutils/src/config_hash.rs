//! `hash_file`: the hash of a file when the server started, so that an operator can tell whether it has changed since.

use std::io::Read;

use md5::{Digest, Md5};
use tocsin_json::Value as Json;
use tocsin_mi::MiError;
use tocsin_script::ModParam;
use tocsin_server::Server;
use tocsin_server::module::{CommandRow, Setup, SetupError};

pub(super) const HASH_FILE: ModParam = ModParam::text(
    "hash_file",
    "",
    "A file whose hash is kept, so that the command check_config_hash tells whether it has changed.",
)
.unset("no hash is kept");

/// The largest file of which a hash is made.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The file, and its hash at the start.
#[derive(Debug)]
pub(super) struct ConfigHash(Option<(String, String)>);

impl ConfigHash {
    pub(super) fn create(setup: &Setup<'_>) -> Result<Self, SetupError> {
        let file = setup.parameters.string(&HASH_FILE);
        if file.is_empty() {
            return Ok(Self(None));
        }
        let wrong = |problem| SetupError::Parameter { module: "cfgutils", name: HASH_FILE.name, problem };
        let hash = hash(&file).map_err(|problem| wrong(format!("{file}: {problem}")))?;
        Ok(Self(Some((file, hash))))
    }
}

fn hash(file: &str) -> std::io::Result<String> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(Md5::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) const CHECK: CommandRow = CommandRow::new(
    "check_config_hash",
    &[&[]],
    "Checks whether the file of `hash_file` is as it was at the start.",
    |worker, _| {
        let (file, before) = at_start(worker.server)?;
        match hash(file) {
            Ok(now) if now == *before => {
                Ok(Json::from("The actual config file hash is identical to the stored one."))
            }
            Ok(_) => {
                Err(MiError::new(400, "The actual config file hash is not identical to the stored one."))
            }
            Err(problem) => Err(MiError::new(500, format!("Error during hash calculation: {problem}"))),
        }
    },
);

pub(super) const SHOW: CommandRow = CommandRow::new(
    "get_config_hash",
    &[&[]],
    "Shows the hash that the file of `hash_file` had at the start.",
    |worker, _| Ok(Json::from(at_start(worker.server)?.1.clone())),
);

fn at_start(server: &'static Server) -> Result<&'static (String, String), MiError> {
    server.state::<ConfigHash>().0.as_ref().ok_or_else(|| MiError::new(404, "Functionality disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_md5sum() {
        assert_eq!(hash("/dev/null").unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
        assert!(hash("/nowhere/x").is_err());
    }
}
