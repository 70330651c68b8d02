//! The names of header fields, and how one is recognised.

use crate::grammar::same;
use std::fmt;

macro_rules! header_names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// A header field name. Names are case-insensitive, and some have a compact form (RFC 3261 section
        /// 7.3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// A name that is not in this list.
            Other,
        }

        /// Every name of the list, in its order.
        const NAMES: &[(HeaderName, &str)] = &[$((HeaderName::$variant, $text),)*];

        /// The compact form of each, in the same order; 0 for none.
        const COMPACT: &[u8] = &[$(first(&[$($compact)?]),)*];
    };
}

header_names! {
    Via "Via" b'v', From "From" b'f', To "To" b't', CallId "Call-ID" b'i', CSeq "CSeq",
    MaxForwards "Max-Forwards", Contact "Contact" b'm', Route "Route", RecordRoute "Record-Route",
    ContentLength "Content-Length" b'l', ContentType "Content-Type" b'c', Expires "Expires",
    Authorization "Authorization", ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate", ProxyAuthenticate "Proxy-Authenticate",
    AuthenticationInfo "Authentication-Info", ProxyAuthenticationInfo "Proxy-Authentication-Info",
    Accept "Accept", AcceptContact "Accept-Contact" b'a', AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language", AcceptResourcePriority "Accept-Resource-Priority",
    AlertInfo "Alert-Info", Allow "Allow", AllowEvents "Allow-Events" b'u', AnswerMode "Answer-Mode",
    CallInfo "Call-Info", ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e', ContentLanguage "Content-Language",
    ContentTransferEncoding "Content-Transfer-Encoding", ContentId "Content-ID", Date "Date",
    Diversion "Diversion", ErrorInfo "Error-Info", Event "Event" b'o', FeatureCaps "Feature-Caps",
    FlowTimer "Flow-Timer", Geolocation "Geolocation", HistoryInfo "History-Info",
    Identity "Identity" b'y', IdentityInfo "Identity-Info" b'n', InfoPackage "Info-Package",
    InReplyTo "In-Reply-To", Join "Join", MimeVersion "MIME-Version", MinExpires "Min-Expires",
    MinSe "Min-SE", Organization "Organization", Path "Path", PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI", PAccessNetworkInfo "P-Access-Network-Info",
    PCalledPartyId "P-Called-Party-ID", PChargingVector "P-Charging-Vector",
    PPreferredIdentity "P-Preferred-Identity", PVisitedNetworkId "P-Visited-Network-ID",
    Priority "Priority", Privacy "Privacy", ProxyRequire "Proxy-Require", RAck "RAck", Reason "Reason",
    RecvInfo "Recv-Info", ReferSub "Refer-Sub", ReferTo "Refer-To" b'r', ReferredBy "Referred-By" b'b',
    RejectContact "Reject-Contact" b'j', RemotePartyId "Remote-Party-ID", Replaces "Replaces",
    ReplyTo "Reply-To", RequestDisposition "Request-Disposition" b'd', Require "Require",
    ResourcePriority "Resource-Priority", RetryAfter "Retry-After", RSeq "RSeq",
    SecurityClient "Security-Client", SecurityServer "Security-Server", SecurityVerify "Security-Verify",
    Server "Server", ServiceRoute "Service-Route", SessionExpires "Session-Expires" b'x',
    SipEtag "SIP-ETag", SipIfMatch "SIP-If-Match", Subject "Subject" b's',
    SubscriptionState "Subscription-State", Supported "Supported" b'k', TargetDialog "Target-Dialog",
    Timestamp "Timestamp", Unsupported "Unsupported", UserAgent "User-Agent", UserToUser "User-to-User",
    Warning "Warning",
}

impl HeaderName {
    /// The header field this name names, in full or compact form.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            [] => Self::Other,
            [letter] => by_letter(letter.to_ascii_lowercase()),
            _ => by_name(name),
        }
    }

    /// The name in full, as the RFC that defines it writes it; empty for [`HeaderName::Other`].
    #[must_use]
    pub fn text(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |&(_, text)| text)
    }

    /// The one-letter form, lower case, if there is one.
    #[must_use]
    pub fn compact(self) -> Option<u8> {
        COMPACT.get(self as usize).copied().filter(|&letter| letter != 0)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Slots of the hash table: a power of two, about three times the names.
const SLOTS: usize = 256;
/// A slot nobody sits in.
const FREE: u8 = u8::MAX;
/// Name number by hash, linear probing; made when this is compiled.
const TABLE: [u8; SLOTS] = table();
/// Name number by compact letter.
const LETTERS: [u8; 26] = letters();

fn by_name(name: &[u8]) -> HeaderName {
    let mut slot = hash(name);
    loop {
        match NAMES.get(usize::from(TABLE[slot])) {
            Some(&(known, text)) if name == text.as_bytes() || same(name, text.as_bytes()) => return known,
            Some(_) => slot = (slot + 1) % SLOTS,
            None => return HeaderName::Other,
        }
    }
}

fn by_letter(letter: u8) -> HeaderName {
    let number = LETTERS.get(usize::from(letter.wrapping_sub(b'a'))).copied().unwrap_or(FREE);
    NAMES.get(usize::from(number)).map_or(HeaderName::Other, |&(known, _)| known)
}

/// Length and three letters, whatever their case.
const fn hash(name: &[u8]) -> usize {
    let (length, first) = (name.len(), (name[0] | 0x20) as usize);
    let (middle, last) = ((name[length / 2] | 0x20) as usize, (name[length - 1] | 0x20) as usize);
    (length * 7 + first * 31 + middle * 59 + last * 113) % SLOTS
}

const fn table() -> [u8; SLOTS] {
    let mut table = [FREE; SLOTS];
    let mut number = 0;
    while number < NAMES.len() {
        let mut slot = hash(NAMES[number].1.as_bytes());
        while table[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = number as u8;
        number += 1;
    }
    table
}

const fn letters() -> [u8; 26] {
    let mut letters = [FREE; 26];
    let mut number = 0;
    while number < COMPACT.len() {
        if COMPACT[number] != 0 {
            letters[(COMPACT[number] - b'a') as usize] = number as u8;
        }
        number += 1;
    }
    letters
}

const fn first(letters: &[u8]) -> u8 {
    if letters.is_empty() { 0 } else { letters[0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &(known, text) in NAMES {
            assert_eq!(HeaderName::of(text.as_bytes()), known);
            assert_eq!(HeaderName::of(text.to_ascii_uppercase().as_bytes()), known);
            assert_eq!(HeaderName::of(text.to_ascii_lowercase().as_bytes()), known);
            assert_eq!(HeaderName::of(format!("{text}x").as_bytes()), HeaderName::Other);
            assert_eq!(known.text(), text);
            if let Some(letter) = known.compact() {
                assert_eq!(HeaderName::of(&[letter]), known);
                assert_eq!(HeaderName::of(&[letter.to_ascii_uppercase()]), known);
            }
        }
    }

    #[test]
    fn what_is_not_a_name_is_other() {
        for name in [&b""[..], b"X-Foo", b"z", b"1", b"\xff", b"Vi", b"Viaa", b"C%6Fntact"] {
            assert_eq!(HeaderName::of(name), HeaderName::Other, "{name:?}");
        }
    }
}
