//! What a domain's files say, read whole: PEM text, as it goes into shared memory.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use super::parameters::{Domain, Place, Side};

/// How large one file may be, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 2 << 20;
/// How many files one directory may have.
const MAX_DIRECTORY_FILES: usize = 4096;

/// What the files of one domain say. The text of a file that several domains name is there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Material {
    /// The certificate and its chain; none for a client without one.
    pub(super) certificate: Option<Rc<[u8]>>,
    pub(super) private_key: Option<Rc<[u8]>>,
    /// Certificates that are trusted.
    pub(super) trusted: Vec<Rc<[u8]>>,
    /// Lists of certificates that are revoked.
    pub(super) revoked: Vec<Rc<[u8]>>,
}

/// What cannot be used, and why: a file or directory as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub(super) struct BadFile {
    pub(super) file: String,
    pub(super) problem: String,
}

impl BadFile {
    pub(super) fn new(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: file.into(), problem: problem.into() }
    }
}

impl Material {
    /// Reads the files of `domain`.
    pub(super) fn read(domain: &Domain) -> Result<Self, BadFile> {
        let mut material = Self::default();
        // A client may have no certificate; the default one is used where it is there (manual, tls_mgm).
        let optional = |place: &Place| domain.side == Side::Client && !place.is_set && !place.path.exists();
        if !(optional(&domain.certificate) && optional(&domain.private_key)) {
            material.certificate = Some(read_place(&domain.certificate)?);
            material.private_key = Some(read_place(&domain.private_key)?);
        }
        if let Some(list) = &domain.ca_list {
            material.trusted.push(read_place(list)?);
        }
        if domain.ca_dir.is_set || (domain.ca_list.is_none() && domain.ca_dir.path.is_dir()) {
            let hashed = read_directory(&domain.ca_dir, is_hashed)?;
            if hashed.is_empty() && domain.ca_dir.is_set {
                let problem = "no certificates by their hashes in it: run openssl rehash on it";
                return Err(BadFile::new(&domain.ca_dir.shown, problem));
            }
            material.trusted.extend(hashed);
        }
        if let Some(lists) = &domain.crl_dir {
            material.revoked = read_directory(lists, |name| !name.starts_with('.'))?;
        }
        Ok(material)
    }

    /// All texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Rc<[u8]>> {
        self.certificate.iter().chain(&self.private_key).chain(&self.trusted).chain(&self.revoked)
    }
}

fn read_place(place: &Place) -> Result<Rc<[u8]>, BadFile> {
    if let Some(text) = &place.text {
        return Ok(Rc::clone(text));
    }
    read(&place.path).map_err(|problem| BadFile::new(&place.shown, problem))
}

fn read(path: &Path) -> Result<Rc<[u8]>, String> {
    let text = |cause: std::io::Error| cause.to_string();
    // A pipe or a device would be waited for.
    if !fs::metadata(path).map_err(text)?.is_file() {
        return Err("not a file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(text)?;
    match bytes.len() as u64 {
        0 => Err("the file is empty".to_owned()),
        1..=MAX_FILE_BYTES => Ok(bytes.into()),
        _ => Err(format!("the file has more than {MAX_FILE_BYTES} bytes")),
    }
}

/// The files of a directory whose names are `wanted`, by name.
fn read_directory(place: &Place, wanted: impl Fn(&str) -> bool) -> Result<Vec<Rc<[u8]>>, BadFile> {
    let failed = |problem: String| BadFile::new(&place.shown, problem);
    let entries = fs::read_dir(&place.path).map_err(|cause| failed(cause.to_string()))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|cause| failed(cause.to_string()))?.file_name();
        if name.to_str().is_some_and(&wanted) {
            names.push(name);
        }
        if names.len() > MAX_DIRECTORY_FILES {
            return Err(failed(format!("more than {MAX_DIRECTORY_FILES} files in it")));
        }
    }
    names.sort();
    let files = names.into_iter().map(|name| place.path.join(name)).filter(|path| path.is_file());
    files
        .map(|path| read(&path).map_err(|problem| BadFile::new(path.display().to_string(), problem)))
        .collect()
}

/// Whether a name is one that `openssl rehash` gives to a certificate: eight hexadecimal digits, a point, a number.
fn is_hashed(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names() {
        assert!(is_hashed("0a1b2c3d.0") && is_hashed("ffffffff.12"));
        for name in ["0a1b2c3d.r0", "0a1b2c3.0", "ca.pem", "0a1b2c3d.", "0a1b2c3d"] {
            assert!(!is_hashed(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        assert_eq!(read(Path::new("/dev/zero")), Err("not a file".to_owned()));
        assert!(read(Path::new("/no/such/file")).is_err());
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(read(empty.path()), Err("the file is empty".to_owned()));
        empty.as_file().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(read(empty.path()).unwrap_err().contains("more than"));
    }
}
