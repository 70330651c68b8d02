//! What the parameters name: collections with their sizes, and the collection that a URL leads to.

/// The collection that is always there.
pub(super) const DEFAULT: &str = "default";
/// The usual size of a collection: 2 to the power of this many chains.
const DEFAULT_EXPONENT: u32 = 9;
/// The largest exponent that may be given.
const MAX_EXPONENT: u32 = 32;
/// How long the name of a collection may be, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// The collections and their sizes: 2 to the power of that many chains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sizes(pub(super) Vec<(String, u32)>);

impl Default for Sizes {
    fn default() -> Self {
        Self(vec![(DEFAULT.to_owned(), DEFAULT_EXPONENT)])
    }
}

impl Sizes {
    /// Reads `name1; name2 = 5; default = 4`. What is said of a name last counts.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<(), String> {
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        for part in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, size) = part.split_once('=').map_or((part, None), |(name, size)| (name, Some(size)));
            // a collection that a cluster would share
            let name = name.trim();
            let name = name.strip_suffix("/r").unwrap_or(name);
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(format!("`{part}`: a collection has a name of 1 to {MAX_NAME_BYTES} bytes"));
            }
            let size = size.map(|size| size.trim().parse().ok().filter(|size| *size <= MAX_EXPONENT));
            let size = match size {
                None => DEFAULT_EXPONENT,
                Some(Some(size)) => size,
                Some(None) => {
                    return Err(format!("`{part}`: a size is an exponent from 0 to {MAX_EXPONENT}"));
                }
            };
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.to_owned(), size));
        }
        Ok(())
    }
}

/// Reads `local://`, `local:///collection` or `local:group:///collection`: the id that scripts use and the collection.
pub(super) fn collection_of(url: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let malformed = || format!("`{}` is not written as local:group:///collection", url.escape_ascii());
    let at = url.windows(3).position(|part| part == b"://").ok_or_else(malformed)?;
    let (id, rest) = (&url[..at], &url[at + 3..]);
    let known = id
        .strip_prefix(b"local")
        .is_some_and(|group| group.is_empty() || group.len() > 1 && group[0] == b':');
    if !known {
        return Err(malformed());
    }
    // Between the slashes others have a host.
    let name = match rest.iter().position(|byte| *byte == b'/') {
        Some(slash) => &rest[slash + 1..],
        None => b"",
    };
    let name = if name.is_empty() { DEFAULT.as_bytes() } else { name };
    Ok((id.to_vec(), name.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_have_sizes() {
        let mut sizes = Sizes::default();
        sizes.read(b"collection1; collection2 = 5; default = 4").unwrap();
        sizes.read(b"last/r=27;").unwrap();
        let expected = [("collection1", 9), ("collection2", 5), ("default", 4), ("last", 27)];
        assert_eq!(sizes.0, expected.map(|(name, size)| (name.to_owned(), size)));
        for bad in ["= 5", "a = x", "a = 33", "a = -1", "a ="] {
            assert!(Sizes::default().read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_lead_to_collections() {
        for (url, id, name) in [
            ("local://", "local", "default"),
            ("local:///collection1", "local", "collection1"),
            ("local:group2:///collection2", "local:group2", "collection2"),
            ("local:g://localhost/c", "local:g", "c"),
        ] {
            assert_eq!(collection_of(url.as_bytes()), Ok((id.into(), name.into())), "{url}");
        }
        for bad in ["local", "redis://", "localx://", "local:://", ""] {
            assert!(collection_of(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
