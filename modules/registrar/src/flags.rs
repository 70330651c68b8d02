//! The flags of `save()` and `lookup()`: names with commas between them, some with a value.

use std::fmt;

use tocsin_script::{Bytes, compile_made_regex_with};

use super::apply::Matching;

/// What the Path of a registration is good for (RFC 3327 section 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PathMode {
    /// It is left alone.
    #[default]
    Ignored,
    /// It is kept, and never shown.
    Off,
    /// It is kept, and shown to devices that say they know it.
    Lazy,
    /// It is kept and shown, and refused from devices that do not say they know it.
    Strict,
}

/// The flags of `save()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SaveFlags {
    /// `no-reply`
    pub(super) no_reply: bool,
    /// `socket-header`
    pub(super) socket_header: bool,
    /// `max-contacts`
    pub(super) max_contacts: Option<u32>,
    /// `min-expires`
    pub(super) min_expires: Option<u32>,
    /// `max-expires`
    pub(super) max_expires: Option<u32>,
    /// `force-registration`
    pub(super) force: bool,
    /// `only-request-contacts`
    pub(super) only_request: bool,
    /// `matching-mode`
    pub(super) matching: Option<Matching>,
    /// `path-off`, `path-lazy`, `path-strict`
    pub(super) path: PathMode,
    /// `path-received`
    pub(super) path_received: bool,
}

/// Says whether a User-Agent is one that is looked for.
type UserAgentTest = Box<dyn Fn(&[u8]) -> bool>;

/// The flags of `lookup()`.
#[derive(Default)]
pub(super) struct LookupFlags {
    /// `no-branches`
    pub(super) no_branches: bool,
    /// `to-branches-only`
    pub(super) to_branches_only: bool,
    /// `branch`
    pub(super) expand_branches: bool,
    /// `method-filtering`
    pub(super) by_method: bool,
    /// `ua-filtering`
    pub(super) user_agent: Option<UserAgentTest>,
    /// `max-ping-latency`, microseconds
    pub(super) max_latency: Option<u32>,
    /// `sort-by-latency`
    pub(super) by_latency: bool,
}

impl fmt::Debug for LookupFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupFlags").finish_non_exhaustive()
    }
}

impl SaveFlags {
    /// Reads the flags.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut flags = Self::default();
        for (name, value) in split(text) {
            match (name, value) {
                // Contacts are nowhere but in memory.
                (b"memory-only", None) => {}
                (b"no-reply", None) => flags.no_reply = true,
                (b"socket-header", None) => flags.socket_header = true,
                (b"force-registration", None) => flags.force = true,
                (b"only-request-contacts", None) => flags.only_request = true,
                (b"path-off", None) => flags.path = PathMode::Off,
                (b"path-lazy", None) => flags.path = PathMode::Lazy,
                (b"path-strict", None) => flags.path = PathMode::Strict,
                (b"path-received", None) => flags.path_received = true,
                (b"max-contacts", Some(value)) => flags.max_contacts = Some(number(name, value)?),
                (b"min-expires", Some(value)) => flags.min_expires = Some(number(name, value)?),
                (b"max-expires", Some(value)) => flags.max_expires = Some(number(name, value)?),
                (b"matching-mode", Some(value)) => flags.matching = Some(matching(value)?),
                _ => return Err(unknown(name, value)),
            }
        }
        Ok(flags)
    }
}

impl LookupFlags {
    /// Reads the flags.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut flags = Self::default();
        let (mut pattern, mut any_case) = (None, false);
        for (name, value) in split(text) {
            match (name, value) {
                (b"no-branches", None) => flags.no_branches = true,
                (b"to-branches-only", None) => flags.to_branches_only = true,
                (b"branch", None) => flags.expand_branches = true,
                (b"method-filtering", None) => flags.by_method = true,
                (b"ua-filtering", Some(value)) => pattern = Some(between_slashes(value)?),
                (b"case-insensitive", None) => any_case = true,
                // Every pattern is an extended one; and no other location knows more contacts.
                (b"extended-regexp" | b"global", None) => {}
                (b"max-ping-latency", Some(value)) => flags.max_latency = Some(number(name, value)?),
                (b"sort-by-latency", None) => flags.by_latency = true,
                _ => return Err(unknown(name, value)),
            }
        }
        if let Some((pattern, own_any_case)) = pattern {
            let regex = compile_made_regex_with(pattern, any_case || own_any_case, false)?;
            flags.user_agent = Some(Box::new(move |user_agent| regex.is_match(user_agent)));
        }
        Ok(flags)
    }
}

/// Names and values. A comma between slashes belongs to a pattern, and so does a slash behind a backslash.
fn split(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let (mut in_pattern, mut escaped) = (false, false);
    let parts = text.split(move |&byte| {
        in_pattern ^= byte == b'/' && !escaped;
        escaped = byte == b'\\' && !escaped;
        byte == b',' && !in_pattern
    });
    parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()).map(|part| {
        match part.iter().position(|&byte| byte == b'=') {
            Some(equals) => (part[..equals].trim_ascii(), Some(part[equals + 1..].trim_ascii())),
            None => (part, None),
        }
    })
}

fn number(name: &[u8], value: &[u8]) -> Result<u32, String> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("{}={}: not a number", name.escape_ascii(), value.escape_ascii()))
}

fn matching(value: &[u8]) -> Result<Matching, String> {
    match value {
        b"0" => Ok(Matching::Uri),
        b"1" => Ok(Matching::UriAndCallId),
        _ => match value.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(value) {
            b"" => Err("matching-mode is 0, 1 or <name of a URI parameter>".to_owned()),
            name => Ok(Matching::Parameter(Bytes::new(name))),
        },
    }
}

/// `/pattern/`, with an `i` behind it for letters of either case.
fn between_slashes(value: &[u8]) -> Result<(&[u8], bool), String> {
    let inner = value.strip_prefix(b"/").and_then(|rest| {
        let end = rest.iter().rposition(|&byte| byte == b'/')?;
        Some((&rest[..end], &rest[end + 1..]))
    });
    match inner {
        Some((pattern, b"" | b"e")) => Ok((pattern, false)),
        Some((pattern, b"i" | b"ie" | b"ei")) => Ok((pattern, true)),
        _ => Err(format!("ua-filtering={}: write it as ua-filtering=/pattern/", value.escape_ascii())),
    }
}

fn unknown(name: &[u8], value: Option<&[u8]>) -> String {
    let why =
        if value.is_some() { "takes no value, or is not known" } else { "needs a value, or is not known" };
    format!(
        "flag `{}` {why}: the flags are names with commas between them, such as max-contacts=5",
        name.escape_ascii()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_save() {
        let flags = SaveFlags::parse(
            b"memory-only, no-reply ,max-contacts=5,min-expires=10,max-expires=20,path-strict",
        )
        .unwrap();
        assert_eq!((flags.max_contacts, flags.min_expires, flags.max_expires), (Some(5), Some(10), Some(20)));
        assert!(flags.no_reply && !flags.force && flags.path == PathMode::Strict);
        assert_eq!(SaveFlags::parse(b""), Ok(SaveFlags::default()));
        for (mode, expected) in [
            ("0", Matching::Uri),
            ("1", Matching::UriAndCallId),
            ("<rinstance>", Matching::Parameter("rinstance".into())),
            ("line", Matching::Parameter("line".into())),
        ] {
            let flags = SaveFlags::parse(format!("matching-mode={mode}").as_bytes()).unwrap();
            assert_eq!(flags.matching, Some(expected));
        }
        for bad in
            ["mc5", "max-contacts", "max-contacts=x", "no-reply=1", "matching-mode=", "matching-mode=<>"]
        {
            assert!(SaveFlags::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_of_lookup() {
        let flags =
            LookupFlags::parse(b"ua-filtering=/phone, v[0-9]\\/x/,method-filtering,max-ping-latency=7")
                .unwrap();
        let matches = flags.user_agent.unwrap();
        assert!(matches(b"A phone, v2/x") && !matches(b"A PHONE, v2/x") && !matches(b"A phone"));
        assert!(flags.by_method && flags.max_latency == Some(7) && !flags.no_branches);
        let any_case =
            LookupFlags::parse(b"ua-filtering=/phone/,case-insensitive,extended-regexp,global").unwrap();
        assert!(any_case.user_agent.unwrap()(b"PHONE"));
        assert!(LookupFlags::parse(b"ua-filtering=/phone/i").unwrap().user_agent.unwrap()(b"PHONE"));
        for bad in ["b", "ua-filtering=phone", "ua-filtering=/(/", "ua-filtering=/x/z", "no-branches=1"] {
            assert!(LookupFlags::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
