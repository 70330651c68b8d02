//! Variables that show the digest credentials of a request: those of Proxy-Authorization, or else of Authorization.

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, Value, Variable};
use tocsin_sip::HeaderName;

use super::values::text;
use crate::context::Context;

type Part = for<'a> fn(&'a [u8]) -> Option<&'a [u8]>;

pub(super) fn variables() -> Vec<Variable<Context>> {
    const ROWS: [(&str, &[&str], &str, Part); 12] = [
        ("au", &[], "The user of the credentials, without a host.", |text| {
            let name = directive(text, b"username")?;
            Some(name.split(|byte| *byte == b'@').next().unwrap_or_default())
        }),
        ("ad", &[], "The host that the user name of the credentials has.", |text| {
            let name = directive(text, b"username")?;
            let at = name.iter().position(|byte| *byte == b'@')?;
            Some(&name[at + 1..])
        }),
        ("aU", &[], "The user name of the credentials as a whole.", |text| directive(text, b"username")),
        ("ar", &[], "The realm of the credentials.", |text| directive(text, b"realm")),
        ("an", &["auth.nonce"], "The nonce of the credentials.", |text| directive(text, b"nonce")),
        ("adu", &[], "The URI of the credentials.", |text| directive(text, b"uri")),
        ("auth.resp", &[], "The response of the credentials.", |text| directive(text, b"response")),
        ("auth.alg", &[], "The algorithm of the credentials.", |text| directive(text, b"algorithm")),
        ("auth.opaque", &[], "The opaque text of the credentials.", |text| directive(text, b"opaque")),
        ("auth.qop", &[], "The quality of protection of the credentials.", |text| directive(text, b"qop")),
        ("auth.nc", &[], "The nonce count of the credentials.", |text| directive(text, b"nc")),
        ("auth.cnonce", &[], "The client's nonce of the credentials.", |text| directive(text, b"cnonce")),
    ];
    ROWS.into_iter()
        .map(|(name, other, doc, part)| {
            Variable::declared(name, doc, move |_| {
                let accessor: Rc<dyn Accessor<Context>> = Rc::new(Credential(part));
                Ok(accessor)
            })
            .also(other)
        })
        .collect()
}

struct Credential(Part);

impl Accessor<Context> for Credential {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let headers = [HeaderName::ProxyAuthorization, HeaderName::Authorization];
        let credentials = headers.into_iter().find_map(|name| digest(cx.message.header(name)?));
        match credentials.and_then(|credentials| (self.0)(credentials)) {
            Some(found) if !found.is_empty() => Value::Str(Bytes::new(found)),
            _ => text(None),
        }
    }
}

/// What follows the word `Digest`.
fn digest(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"digest").then_some(rest)
}

/// The value of a directive. A quote ends it whatever stands before: who looks at credentials wants to see the odd ones, too.
fn directive<'a>(mut text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    loop {
        text = text.trim_ascii_start();
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let (name, rest) = (text[..equals].trim_ascii(), text[equals + 1..].trim_ascii_start());
        let (value, after) = match rest {
            [b'"', inside @ ..] => {
                let end = inside.iter().position(|byte| *byte == b'"')?;
                (&inside[..end], &inside[end + 1..])
            }
            _ => {
                let end = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
                (rest[..end].trim_ascii(), &rest[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        let comma = after.iter().position(|byte| *byte == b',')?;
        text = &after[comma + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_found_wherever_they_stand() {
        let text =
            digest(b"Digest username=alice, realm=\"a, b\",nonce=\"a\\\"b\", qop=\"auth,auth-int\"").unwrap();
        assert_eq!(directive(text, b"username"), Some(&b"alice"[..]));
        assert_eq!(directive(text, b"Realm"), Some(&b"a, b"[..]));
        assert_eq!(directive(text, b"nonce"), Some(&b"a\\"[..]));
        assert_eq!(directive(text, b"qop"), Some(&b"auth,auth-int"[..]));
        assert_eq!(directive(text, b"opaque"), None);
        assert_eq!(digest(b"Basic xyz"), None);
    }
}
