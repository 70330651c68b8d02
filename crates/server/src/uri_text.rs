//! A URI as scripts see and change it: its text, taken apart without judging it.
//!
//! What a script puts into `$ru` is a URI only when it is sent: until then the parts can be read and changed, and a
//! text that is none reads as NULL. [`tocsin_sip::UriRef`] is for what comes from and goes to the network.

/// The parts of a SIP URI, as they stand; a `tel:` URI has a user and no host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UriText<'a> {
    /// With its colon.
    pub scheme: &'a [u8],
    /// Before the colon of the password.
    pub user: Option<&'a [u8]>,
    /// Behind that colon.
    pub password: Option<&'a [u8]>,
    /// With the brackets of an IPv6 address.
    pub host: &'a [u8],
    /// As it is written.
    pub port: Option<&'a [u8]>,
    /// Parameters and headers, with the sign before them.
    pub rest: &'a [u8],
}

impl<'a> UriText<'a> {
    /// Takes a text apart; `None` if it is no URI.
    pub fn of(text: &'a [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', text)?;
        let (scheme, after) = text.split_at(colon + 1);
        if scheme.eq_ignore_ascii_case(b"tel:") {
            return Self::of_number(scheme, after);
        }
        if !scheme.eq_ignore_ascii_case(b"sip:") && !scheme.eq_ignore_ascii_case(b"sips:") {
            return None;
        }
        let mut uri = Self { scheme, ..Self::default() };
        let place = match memchr::memchr(b'@', after) {
            Some(at) => {
                uri.set_user(&after[..at])?;
                &after[at + 1..]
            }
            None => after,
        };
        uri.set_place(place)?;
        Some(uri)
    }

    /// A telephone number. One with a host was made by a script that set it: as in OpenSIPS, what follows the `@` is then
    /// taken for the number.
    fn of_number(scheme: &'a [u8], text: &'a [u8]) -> Option<Self> {
        let mut uri = Self { scheme, ..Self::default() };
        if let Some(at) = memchr::memchr(b'@', text) {
            uri.set_place(&text[at + 1..])?;
            (uri.user, uri.host) = (Some(uri.host), b"");
            return Some(uri);
        }
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let is_number = |byte: &u8| byte.is_ascii_hexdigit() || b"+-.()*#".contains(byte);
        let user = Some(&text[..end]).filter(|user| !user.is_empty() && user.iter().all(is_number))?;
        (uri.user, uri.rest) = (Some(user), &text[end..]);
        Some(uri)
    }

    /// `USER[:PASSWORD]`
    fn set_user(&mut self, text: &'a [u8]) -> Option<()> {
        let (user, password) = match memchr::memchr(b':', text) {
            Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
            None => (text, None),
        };
        self.user = Some(user).filter(|user| !user.is_empty());
        self.password = password;
        self.user.map(drop)
    }

    /// `HOST[:PORT]` and what follows.
    fn set_place(&mut self, text: &'a [u8]) -> Option<()> {
        let host = match text.first() {
            Some(b'[') => memchr::memchr(b']', text)? + 1,
            _ => text.iter().position(|byte| b":;?@".contains(byte)).unwrap_or(text.len()),
        };
        let (name, mut rest) = text.split_at(host);
        if let [b':', after @ ..] = rest {
            let end = after.iter().position(|byte| b";?".contains(byte)).unwrap_or(after.len());
            let port = std::str::from_utf8(&after[..end]).ok()?;
            // a sign before the digits is no digit
            if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
                return None;
            }
            self.port = Some(&after[..end]);
            rest = &after[end..];
        }
        let follows = matches!(rest.first(), None | Some(b';' | b'?'));
        (self.host, self.rest) = (name, rest);
        (follows && !name.is_empty()).then_some(())
    }

    /// Whether it is `sips:`.
    pub fn is_secure(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"sips:")
    }

    /// The host; a `tel:` URI has none.
    pub fn host(&self) -> Option<&'a [u8]> {
        Some(self.host).filter(|host| !host.is_empty())
    }

    /// The port that is written, or the one that the scheme stands for.
    pub fn port(&self) -> &'a [u8] {
        self.port.unwrap_or(if self.is_secure() { b"5061" } else { b"5060" })
    }

    /// The transport that is written, or the one that the scheme stands for.
    pub fn protocol(&self) -> &'a [u8] {
        let parameters = self.rest.split(|byte| *byte == b'?').next().unwrap_or_default();
        let named = parameters.split(|byte| *byte == b';').find_map(|parameter| {
            let (name, value) = parameter.split_at_checked(10)?;
            name.eq_ignore_ascii_case(b"transport=").then_some(value)
        });
        named.unwrap_or(if self.is_secure() { b"tls" } else { b"udp" })
    }

    /// The text of these parts.
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.host.len() + self.rest.len() + 48);
        out.extend_from_slice(self.scheme);
        if let Some(user) = self.user {
            out.extend_from_slice(user);
        }
        if let Some(password) = self.password {
            out.push(b':');
            out.extend_from_slice(password);
        }
        if self.user.is_some() || self.password.is_some() {
            out.push(b'@');
        }
        out.extend_from_slice(self.host);
        if let Some(port) = self.port {
            out.push(b':');
            out.extend_from_slice(port);
        }
        out.extend_from_slice(self.rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_and_go() {
        let text = b"sip:bob:pw@example.org:5070;transport=TCP;x=1?h=1";
        let uri = UriText::of(text).unwrap();
        assert_eq!((uri.user, uri.password), (Some(&b"bob"[..]), Some(&b"pw"[..])));
        assert_eq!((uri.host, uri.port()), (&b"example.org"[..], &b"5070"[..]));
        assert_eq!((uri.protocol(), uri.rest), (&b"TCP"[..], &b";transport=TCP;x=1?h=1"[..]));
        assert_eq!(uri.print(), text);
        let spaced = UriText::of(b"sip:a@b c").unwrap();
        assert_eq!((spaced.user, spaced.host), (Some(&b"a"[..]), &b"b c"[..]));
        let tel = UriText::of(b"tel:911;x=y").unwrap();
        assert_eq!((tel.user, tel.host(), tel.rest), (Some(&b"911"[..]), None, &b";x=y"[..]));
        let secure = UriText::of(b"sips:[::1]").unwrap();
        assert_eq!(
            (secure.host, secure.port(), secure.protocol()),
            (&b"[::1]"[..], &b"5061"[..], &b"tls"[..])
        );
    }

    #[test]
    fn what_is_no_uri() {
        for text in [
            "",
            "nonsense",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@b@c",
            "sip:h:x",
            "sip:h:70000",
            "sip:h:-1",
            "sip:h:1:2",
            "tel:",
            "sip:[::1",
        ] {
            assert_eq!(UriText::of(text.as_bytes()), None, "{text}");
        }
    }
}
