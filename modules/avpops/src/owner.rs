//! Whose AVPs a function means: `$fu`, `$ru/domain`, `$avp(id)/uuid` (manual, avpops, section 1.5.1).

use std::rc::Rc;

use tocsin_db::{Condition, Value as Column};
use tocsin_script::{ArgError, Bound, Part, Site, Value};
use tocsin_server::Context;
use tocsin_sip::UriRef;

use super::scheme::Layout;

/// The variables that are URIs.
const URIS: [&str; 8] = ["ru", "ruri", "fu", "from.uri", "tu", "to.uri", "ou", "ouri"];

/// How a function says whose AVPs it means.
pub(super) struct Source {
    text: Vec<Part<Context>>,
    meant: Meant,
}

/// What the text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    Uuid,
    Uri,
    Username,
    Domain,
}

/// Whose AVPs they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    Uuid(String),
    User { username: Option<String>, domain: Option<String> },
}

impl Source {
    /// Reads the argument with the name `source`.
    pub(super) fn read(site: &Site<'_, Context>, argument: usize) -> Result<Self, ArgError> {
        let parts = site.parts(argument);
        let mut text: Vec<Part<Context>> = parts.iter().map(copy).collect();
        let mut meant = None;
        if let Some(Part::Text(last)) = parts.last()
            && let Some(slash) = last.iter().rposition(|byte| *byte == b'/')
            && let Some(word) = Meant::read(&last[slash + 1..])
        {
            meant = Some(word);
            text.pop();
            if slash > 0 {
                text.push(Part::Text(last[..slash].into()));
            }
        }
        if text.is_empty() {
            return Err(ArgError::at(argument, "write a variable or a text, as in \"$ru/username\""));
        }
        let is_uri = matches!(&text[..], [Part::Variable(bound)] if URIS.contains(&bound.name()));
        let usual = if is_uri { Meant::Uri } else { Meant::Uuid };
        Ok(Self { text, meant: meant.unwrap_or(usual) })
    }

    /// Whom it means now.
    ///
    /// # Errors
    /// Why it means nobody.
    pub(super) fn now(&self, cx: &mut Context, use_domain: bool) -> Result<Owner, String> {
        let mut text = Vec::new();
        for part in &self.text {
            match part {
                Part::Text(bytes) => text.extend_from_slice(bytes),
                Part::Variable(bound) => text.extend_from_slice(&value(cx, bound)?),
            }
        }
        let text = String::from_utf8(text).map_err(|_| "the source is no text".to_owned())?;
        if text.is_empty() {
            return Err("the source is empty".to_owned());
        }
        self.meant.owner(text, use_domain)
    }
}

fn copy(part: &Part<Context>) -> Part<Context> {
    match part {
        Part::Text(text) => Part::Text(text.clone()),
        Part::Variable(bound) => Part::Variable(Rc::clone(bound)),
    }
}

fn value(cx: &mut Context, bound: &Bound<Context>) -> Result<Vec<u8>, String> {
    match bound.read(cx) {
        Value::Null => Err(format!("{} has no value", bound.text())),
        other => Ok(other.to_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default()),
    }
}

impl Meant {
    fn read(word: &[u8]) -> Option<Self> {
        match word {
            b"uuid" => Some(Self::Uuid),
            b"uri" => Some(Self::Uri),
            b"username" => Some(Self::Username),
            b"domain" => Some(Self::Domain),
            _ => None,
        }
    }

    fn owner(self, text: String, use_domain: bool) -> Result<Owner, String> {
        if self == Self::Uuid {
            return Ok(Owner::Uuid(text));
        }
        let utf8 = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Ok(uri) = UriRef::parse(text.as_bytes()) else {
            // A name by itself is one as well.
            return match self {
                Self::Username => Ok(Owner::User { username: Some(text), domain: None }),
                Self::Domain => Ok(Owner::User { username: None, domain: Some(text) }),
                _ => Err(format!("`{text}` is no URI")),
            };
        };
        let (user, host) = (uri.user().map(utf8).filter(|user| !user.is_empty()), utf8(uri.host()));
        if self == Self::Domain {
            return if host.is_empty() {
                Err(format!("`{text}` has no domain"))
            } else {
                Ok(Owner::User { username: None, domain: Some(host) })
            };
        }
        let username = Some(user.ok_or_else(|| format!("`{text}` has no user"))?);
        let domain = (self == Self::Uri && use_domain).then_some(host);
        Ok(Owner::User { username, domain })
    }
}

impl Owner {
    /// The columns that say so, with their values.
    pub(super) fn columns<'a>(&self, layout: &'a Layout) -> Vec<(&'a str, Column)> {
        match self {
            Self::Uuid(uuid) => vec![(&layout.uuid, uuid.as_str().into())],
            Self::User { username, domain } => {
                let pairs = [(layout.username.as_str(), username), (layout.domain.as_str(), domain)];
                let given =
                    |(column, text): (&'a str, &Option<String>)| Some((column, text.as_deref()?.into()));
                pairs.into_iter().filter_map(given).collect()
            }
        }
    }

    /// The rows that are meant.
    pub(super) fn conditions<'a>(&self, layout: &'a Layout) -> Vec<Condition<'a>> {
        self.columns(layout).into_iter().map(|(column, value)| Condition::is(column, value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(username: Option<&str>, domain: Option<&str>) -> Result<Owner, String> {
        Ok(Owner::User { username: username.map(str::to_owned), domain: domain.map(str::to_owned) })
    }

    #[test]
    fn a_uri_stands_for_its_user_and_perhaps_for_its_domain() {
        let owner = |meant: Meant, text: &str, use_domain| meant.owner(text.to_owned(), use_domain);
        let uri = "sip:bob@example.com:5070;transport=tcp";
        assert_eq!(owner(Meant::Uri, uri, false), user(Some("bob"), None));
        assert_eq!(owner(Meant::Uri, uri, true), user(Some("bob"), Some("example.com")));
        assert_eq!(owner(Meant::Username, uri, true), user(Some("bob"), None));
        assert_eq!(owner(Meant::Domain, uri, false), user(None, Some("example.com")));
        assert_eq!(owner(Meant::Uuid, uri, true), Ok(Owner::Uuid(uri.to_owned())));
    }

    #[test]
    fn a_name_by_itself_is_enough_where_only_that_is_asked_for() {
        let owner = |meant: Meant, text: &str| meant.owner(text.to_owned(), true);
        assert_eq!(owner(Meant::Username, "bob"), user(Some("bob"), None));
        assert_eq!(owner(Meant::Domain, "example.com"), user(None, Some("example.com")));
        assert!(owner(Meant::Uri, "bob").unwrap_err().contains("no URI"));
        assert!(owner(Meant::Uri, "sip:example.com").unwrap_err().contains("no user"));
    }
}
