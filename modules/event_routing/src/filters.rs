//! Filters over the parameters of an event: `key=value` each, the value with the wildcards of file names. All must hold.

use std::borrow::Cow;

use tocsin_event::{ParamValue, Params};
use tocsin_server::blocklist::pattern::matches;

/// Filters of one subscription.
const MAX_FILTERS: usize = 16;

/// Bytes of all of them: matching takes time in the product with a value.
const MAX_FILTER_BYTES: usize = 1024;

/// Filters, one behind the other, each with a NUL at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(Vec<u8>);

impl Filters {
    /// Takes filters as a script gives them.
    ///
    /// # Errors
    /// One is not written `key=value`, or there are too many.
    pub(crate) fn read(texts: &[Cow<'_, [u8]>]) -> Result<Self, String> {
        let bytes: usize = texts.iter().map(|text| text.len() + 1).sum();
        if texts.len() > MAX_FILTERS || bytes > MAX_FILTER_BYTES {
            return Err(format!("more than {MAX_FILTERS} filters, or {MAX_FILTER_BYTES} bytes of them"));
        }
        for text in texts {
            let is_one = text.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0);
            if !is_one || text.contains(&0) {
                return Err(format!("the filter `{}` is not written key=value", text.escape_ascii()));
            }
        }
        Ok(Self(texts.iter().flat_map(|text| [text, &b"\0"[..]].concat()).collect()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether an event with these parameters is wanted.
    pub(crate) fn hold(&self, params: Params<'_>) -> bool {
        hold(&self.0, params)
    }
}

/// The same for filters that lie elsewhere.
pub(crate) fn hold(filters: &[u8], params: Params<'_>) -> bool {
    filters.split(|byte| *byte == 0).filter(|filter| !filter.is_empty()).all(|filter| {
        let mut halves = filter.splitn(2, |byte| *byte == b'=');
        let (key, pattern) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        params.iter().any(|(name, value)| name == Some(key) && fits(pattern, value))
    })
}

fn fits(pattern: &[u8], value: ParamValue<'_>) -> bool {
    match value {
        ParamValue::Null => false,
        ParamValue::Int(number) => matches(pattern, number.to_string().as_bytes()),
        ParamValue::Str(text) => matches(pattern, text),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_event::ParamsWriter;

    use super::*;

    #[test]
    fn all_must_hold() {
        let mut bytes = Vec::new();
        let mut params = ParamsWriter::new(&mut bytes);
        params.text("k", "abc").int("n", 5).push(Some(b"null"), ParamValue::Null);
        params.push(None, ParamValue::Str(b"x"));
        let bytes = params.finish().unwrap().to_vec();
        let holds = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| Cow::Borrowed(text.as_bytes())).collect();
            Filters::read(&texts).unwrap().hold(Params::new(&bytes))
        };
        for yes in [&[][..], &["k=a*"], &["k=abc", "n=5"], &["k=?b[c-d]"], &["n=*"]] {
            assert!(holds(yes), "{yes:?}");
        }
        for no in [&["k=A*"][..], &["k=b*"], &["k=a*", "n=6"], &["none=*"], &["null=*"], &["k="], &["k=a"]] {
            assert!(!holds(no), "{no:?}");
        }
    }

    #[test]
    fn what_is_no_filter() {
        let read = |text: &[u8]| Filters::read(&[Cow::Borrowed(text)]);
        assert!(read(b"a=").is_ok() && read(b"a=b=c").is_ok());
        for bad in [&b"a"[..], b"=a", b"", b"a=\0"] {
            assert!(read(bad).is_err(), "{}", bad.escape_ascii());
        }
        let long = [b"a=".to_vec(), vec![b'x'; MAX_FILTER_BYTES]].concat();
        assert!(read(&long).is_err());
        assert!(Filters::read(&vec![Cow::Borrowed(&b"a=b"[..]); MAX_FILTERS + 1]).is_err());
    }
}
