//! Digest credentials and challenges (RFC 3261 section 22, RFC 8760).

use crate::grammar::{Cursor, TOKEN, inside_quotes, same};
use crate::params::{Param, scan_param};
use crate::span::Span;
use crate::{Limits, ParseError};

/// The directives that have a place of their own, in the order of their accessors.
const DIRECTIVES: [&[u8]; 13] = [
    b"username",
    b"realm",
    b"nonce",
    b"uri",
    b"response",
    b"algorithm",
    b"opaque",
    b"qop",
    b"nc",
    b"cnonce",
    b"domain",
    b"stale",
    b"auts",
];

/// The value of an Authorization, Proxy-Authorization, WWW-Authenticate or Proxy-Authenticate header field,
/// read in place.
///
/// A scheme other than `Digest` is no error: [`DigestRef::is_digest`] is false and no directive is found.
#[derive(Clone, Copy, Debug)]
pub struct DigestRef<'a> {
    text: &'a [u8],
    scheme: Span,
    directives: [Option<Span>; DIRECTIVES.len()],
}

impl<'a> DigestRef<'a> {
    /// Reads `scheme LWS name=value *( COMMA name=value )`.
    ///
    /// # Errors
    /// [`ParseError::Credentials`] out of the grammar, [`ParseError::Quotes`],
    /// [`ParseError::DuplicateParameter`], [`ParseError::TooManyParameters`],
    /// [`ParseError::HeaderValueTooLong`].
    pub fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        if text.len() > usize::from(limits.header_value) {
            return Err(ParseError::HeaderValueTooLong);
        }
        let mut cursor = Cursor::new(text);
        cursor.skip_lws();
        let scheme = cursor.run(TOKEN);
        if scheme.start == scheme.end {
            return Err(ParseError::Credentials);
        }
        let mut digest = Self { text, scheme, directives: [None; DIRECTIVES.len()] };
        if digest.is_digest() {
            digest.read(&mut cursor, limits)?;
        }
        Ok(digest)
    }

    fn read(&mut self, cursor: &mut Cursor<'a>, limits: &Limits) -> Result<(), ParseError> {
        let gap = cursor.at;
        cursor.skip_lws();
        if cursor.at == gap {
            return Err(ParseError::Credentials);
        }
        let mut count = 0;
        loop {
            count += 1;
            if count > limits.parameters {
                return Err(ParseError::TooManyParameters);
            }
            let (name, value) = scan_param(cursor).map_err(|error| match error {
                ParseError::Parameter => ParseError::Credentials,
                other => other,
            })?;
            self.note(name, value.ok_or(ParseError::Credentials)?)?;
            cursor.skip_lws();
            if cursor.at_end() {
                return Ok(());
            }
            if !cursor.eat(b',') {
                return Err(ParseError::Credentials);
            }
        }
    }

    fn note(&mut self, name: Span, value: Span) -> Result<(), ParseError> {
        let name = name.of(self.text);
        let Some(place) = DIRECTIVES.iter().position(|known| same(name, known)) else { return Ok(()) };
        if self.directives[place].replace(value).is_some() {
            Err(ParseError::DuplicateParameter)
        } else {
            Ok(())
        }
    }

    /// The whole value as it came.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The scheme as it came.
    #[must_use]
    pub fn scheme(&self) -> &'a [u8] {
        self.scheme.of(self.text)
    }

    /// Whether the scheme is `Digest`.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        same(self.scheme(), b"Digest")
    }

    /// Whether everything is there that an answer to a challenge needs, and none of it empty but the user
    /// name.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let filled = |directive: Option<&[u8]>| directive.is_some_and(|text| !text.is_empty());
        self.username().is_some()
            && filled(self.realm())
            && filled(self.nonce())
            && filled(self.uri())
            && filled(self.response())
            && (self.qop().is_none() || (filled(self.nc()) && filled(self.cnonce())))
    }

    /// A directive as it came, quotes included.
    #[must_use]
    pub fn directive(&self, name: &[u8]) -> Option<Param<'a>> {
        let place = DIRECTIVES.iter().position(|known| same(name, known))?;
        self.directives[place]
            .map(|value| Param { name: DIRECTIVES[place], value: Some(value.of(self.text)) })
    }

    fn inside(&self, place: usize) -> Option<&'a [u8]> {
        self.directives.get(place).copied().flatten().map(|value| inside_quotes(value.of(self.text)))
    }
}

macro_rules! directives {
    ($($place:literal $name:ident $what:literal),* $(,)?) => {
        impl<'a> DigestRef<'a> {
            $(
                #[doc = concat!("The `", stringify!($name), "` without its quotes, escapes as they came: ", $what, ".")]
                #[must_use]
                pub fn $name(&self) -> Option<&'a [u8]> {
                    self.inside($place)
                }
            )*
        }
    };
}

directives! {
    0 username "who",
    1 realm "for which protection domain",
    2 nonce "the challenge answered",
    3 uri "the Request-URI as the client saw it",
    4 response "the hash, in hexadecimal",
    5 algorithm "`MD5` when absent",
    6 opaque "returned as it was given",
    7 qop "the quality of protection chosen, or offered",
    8 nc "the count of uses of the nonce, eight hexadecimal digits",
    9 cnonce "the nonce of the client",
    10 domain "of a challenge: the URIs it covers",
    11 stale "of a challenge: whether only the nonce was refused",
    12 auts "AKA resynchronisation, RFC 3310",
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Result<DigestRef<'_>, ParseError> {
        DigestRef::parse(text.as_bytes(), &Limits::DEFAULT)
    }

    #[test]
    fn every_directive_is_found() {
        let text = "Digest username=\"bob\",\r\n realm=\"biloxi.com\", nonce=\"dcd9\", uri=\"sip:bob,x@biloxi.com\", \
                    qop=auth, nc=00000001,cnonce=\"0a4f\" , response=\"6629\", opaque=\"5ccc\", algorithm=MD5, x=y";
        let digest = digest(text).unwrap();
        assert!(digest.is_digest() && digest.is_complete());
        assert_eq!(digest.username(), Some(&b"bob"[..]));
        assert_eq!(digest.uri(), Some(&b"sip:bob,x@biloxi.com"[..]));
        assert_eq!(digest.nc(), Some(&b"00000001"[..]));
        assert_eq!(digest.opaque(), Some(&b"5ccc"[..]));
        assert_eq!(digest.stale(), None);
        assert_eq!(digest.directive(b"REALM").and_then(|param| param.value), Some(&b"\"biloxi.com\""[..]));
    }

    #[test]
    fn other_schemes_are_no_error_and_hold_nothing() {
        let other = digest("NoOneKnowsThisScheme opaque-data=here").unwrap();
        assert!(!other.is_digest() && !other.is_complete());
        assert_eq!(other.scheme(), b"NoOneKnowsThisScheme");
        assert_eq!(other.opaque(), None);
    }

    #[test]
    fn incomplete_credentials_say_so() {
        for text in [
            "Digest username=\"a\"",
            "Digest realm=\"x\",nonce=\"\"",
            "Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"r\",qop=auth",
        ] {
            assert!(!digest(text).unwrap().is_complete(), "{text}");
        }
    }

    #[test]
    fn what_are_no_credentials() {
        for (text, error) in [
            ("", ParseError::Credentials),
            ("Digest", ParseError::Credentials),
            ("Digest ", ParseError::Credentials),
            ("Digest a a=\"\",real", ParseError::Credentials),
            ("Digest real", ParseError::Credentials),
            ("Digest a=\"\",real", ParseError::Credentials),
            ("Digest a=b,", ParseError::Credentials),
            ("Digest ,a=b", ParseError::Credentials),
            ("Digest a=b c=d", ParseError::Credentials),
            ("Digest a=\"b", ParseError::Quotes),
            ("Digest nonce=a,nonce=b", ParseError::DuplicateParameter),
        ] {
            assert_eq!(digest(text).err(), Some(error), "{text}");
        }
        let many = format!("Digest {}", ["a=b"; 65].join(","));
        assert_eq!(digest(&many).err(), Some(ParseError::TooManyParameters));
    }
}
