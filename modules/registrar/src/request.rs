//! Reading a registration: the REGISTER, or the answer to one that was sent on.

use std::borrow::Cow;

use smallvec::SmallVec;
use tocsin_script::Bytes;
use tocsin_server::sockets::SocketId;
use tocsin_sip::{HeaderName, Message, NameAddrRef, unescape, unfold};

use super::apply::{MAX_CONTACTS_OF_AOR, Registration, Wanted};
use super::flags::{PathMode, SaveFlags};
use super::flow::Flow;
use super::parameters::Settings;
use super::refusal::Refusal;
use tocsin_usrloc::{ALL_METHODS, Contact, method_bit, same_uri};

/// The User-Agent of devices that name none.
const UNNAMED: &[u8] = b"n/a";

/// What a registration says beside its contacts, and what the script knows about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings<'m> {
    /// The values of Path.
    pub(super) path: Vec<u8>,
    /// Whether the response lists them.
    pub(super) shows_path: bool,
    /// The Path is kept, but the response is a refusal, as the device does not say that it knows it.
    pub(super) refuses_path: bool,
    /// The URI of the address it came from, or empty.
    pub(super) received: Cow<'m, [u8]>,
    /// The User-Agent.
    pub(super) user_agent: Cow<'m, [u8]>,
    /// What the script attaches, or empty.
    pub(super) attr: Bytes,
    /// The ownership tag, or empty.
    pub(super) tag: Bytes,
    /// Branch flags.
    pub(super) cflags: u32,
    /// The listener it arrived on.
    pub(super) socket: Option<SocketId>,
    /// The way by which it came.
    pub(super) flow: Flow,
}

impl<'m> Surroundings<'m> {
    /// What `message` says; the rest is the script's to add.
    pub(super) fn of(message: &'m Message, flags: &SaveFlags) -> Result<Self, Refusal> {
        let user_agent = message.header(HeaderName::UserAgent).filter(|name| !name.is_empty());
        let mut all = Self { user_agent: user_agent.map_or(UNNAMED.into(), unfold), ..Self::default() };
        if flags.path != PathMode::Ignored {
            all.read_path(message, flags)?;
        }
        Ok(all)
    }

    fn read_path(&mut self, message: &'m Message, flags: &SaveFlags) -> Result<(), Refusal> {
        for hop in message.addresses(HeaderName::Path) {
            let hop = hop.map_err(|_| Refusal::Path)?;
            let uri = hop.uri().map_err(|_| Refusal::Path)?;
            if self.path.is_empty() {
                if flags.path_received
                    && let Some(address) = uri.param(b"received").and_then(|param| param.value)
                {
                    self.received = unescape(address);
                }
            } else {
                self.path.extend_from_slice(b", ");
            }
            self.path.extend_from_slice(&unfold(hop.text()));
        }
        let is_known = message.lists_token(HeaderName::Supported, b"path");
        self.refuses_path = flags.path == PathMode::Strict && !is_known && !self.path.is_empty();
        self.shows_path = flags.path != PathMode::Off && is_known && !self.path.is_empty();
        Ok(())
    }
}

/// Reads the contacts of `message` and what is the same for all of them. `only` limits it to one contact; `id` makes
/// the identity of a contact out of its URI and the Call-ID; `now` is in seconds since 1970.
pub(super) fn read<'a>(
    message: &'a Message,
    surroundings: &'a Surroundings<'_>,
    settings: &Settings,
    flags: &SaveFlags,
    only: Option<&[u8]>,
    now: u64,
    id: impl Fn(&[u8], &[u8]) -> u64,
) -> Result<Registration<'a>, Refusal> {
    let call_id = message.call_id().map_err(|_| Refusal::Malformed)?;
    let cseq = message.cseq().map_err(|_| Refusal::Malformed)?.number;
    let common = Contact {
        call_id,
        cseq,
        modified: now,
        received: &surroundings.received,
        path: &surroundings.path,
        user_agent: &surroundings.user_agent,
        attr: &surroundings.attr,
        tag: &surroundings.tag,
        cflags: surroundings.cflags,
        socket: surroundings.socket,
        methods: methods(message),
        ..Contact::EMPTY
    };
    let mut registration = Registration {
        everything_off: false,
        contacts: SmallVec::new(),
        common,
        connection: &surroundings.flow.uri,
    };
    let expires = message.expires().map_err(|_| Refusal::Expires)?;
    if message.contact_is_star() {
        if message.values(HeaderName::Contact).count() != 1 {
            return Err(Refusal::StarAmongOthers);
        }
        if expires != Some(0) {
            return Err(Refusal::Star);
        }
        registration.everything_off = true;
        return Ok(registration);
    }
    for contact in message.contacts() {
        let contact = contact.map_err(|_| Refusal::Contact)?;
        if registration.contacts.len() == MAX_CONTACTS_OF_AOR {
            return Err(Refusal::TooManyContacts);
        }
        if only.is_some_and(|only| !same_uri(only, contact.uri_text())) {
            continue;
        }
        let id = id(contact.uri_text(), call_id);
        let usual = contact.expires().ok().flatten().or(expires).unwrap_or(settings.default_expires);
        let random = id ^ u64::from(cseq) ^ now;
        let seconds = lifetime(usual, settings, flags, random);
        registration.contacts.push(Wanted {
            seconds,
            id,
            ..wanted(&contact, common.methods, &surroundings.flow, settings)?
        });
    }
    Ok(registration)
}

/// What a contact says of itself; `allowed` are the methods that its device names in Allow.
fn wanted<'a>(
    contact: &NameAddrRef<'a>,
    allowed: u32,
    flow: &Flow,
    settings: &Settings,
) -> Result<Wanted<'a>, Refusal> {
    let q = contact.q().map_err(|_| Refusal::Preference)?;
    let parsed = contact.uri().map_err(|_| match contact.is_bracketed() {
        true => Refusal::ContactUri,
        false => Refusal::Contact,
    })?;
    // Told again in responses: nothing may be in it that ends a line or a quoted string.
    let is_plain = |urn: &&[u8]| urn.iter().all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\');
    let instance = contact.instance().filter(is_plain).unwrap_or_default();
    let reg_id = contact.reg_id().ok().flatten().unwrap_or_default();
    let is_flow = flow.outbound && reg_id > 0 && !instance.is_empty();
    Ok(Wanted {
        uri: parsed.text(),
        seconds: 0,
        q: q.map_or(settings.default_q, i32::from),
        instance,
        reg_id,
        methods: contact.param(b"methods").and_then(|param| param.value).map_or(allowed, methods_in),
        id: 0,
        is_flow,
        by_connection: flow.reaches(&parsed, is_flow),
    })
}

/// Seconds that a contact is to live which wants `wanted`: within the bounds, and changed by up to
/// `expires_max_deviation` at random.
fn lifetime(wanted: u32, settings: &Settings, flags: &SaveFlags, random: u64) -> u32 {
    if wanted == 0 {
        return 0;
    }
    let least = flags.min_expires.unwrap_or(settings.min_expires);
    let most = match flags.max_expires.unwrap_or(settings.max_expires) {
        0 => u32::MAX,
        most => most,
    };
    let granted = wanted.max(least).min(most);
    if settings.max_deviation == 0 {
        return granted;
    }
    let deviation = random % (u64::from(settings.max_deviation) * 2 + 1);
    let shifted = (u64::from(granted) + deviation).saturating_sub(settings.max_deviation.into());
    shifted.clamp(1, u32::MAX.into()) as u32
}

/// The methods in the `methods` parameter of a contact: names with commas between them, in quotes.
fn methods_in(value: &[u8]) -> u32 {
    let list = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    list.split(|&byte| byte == b',').fold(0, |mask, name| mask | method_bit(name.trim_ascii()))
}

/// The methods in Allow; all if there is none.
fn methods(message: &Message) -> u32 {
    if message.header(HeaderName::Allow).is_none() {
        return ALL_METHODS;
    }
    message.values(HeaderName::Allow).flatten().fold(0, |mask, value| mask | method_bit(value.text))
}

#[cfg(test)]
mod tests {
    use tocsin_server::module::Parameters;
    use tocsin_sip::Limits;

    use super::*;

    fn register(headers: &str) -> Message {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: c1\r\nCSeq: 7 REGISTER\r\n{headers}\r\n"
        );
        Message::parse(text.into_bytes(), &Limits::default()).unwrap()
    }

    fn settings() -> Settings {
        Settings::new(&Parameters::default())
    }

    /// Calls `check` with what a REGISTER with these headers says.
    fn reading<R>(
        headers: &str,
        flags: &str,
        settings: &Settings,
        check: impl FnOnce(&Registration<'_>, &Surroundings<'_>) -> R,
    ) -> Result<R, Refusal> {
        let (message, flags) = (register(headers), SaveFlags::parse(flags.as_bytes()).unwrap());
        let surroundings = Surroundings::of(&message, &flags)?;
        let registration = read(&message, &surroundings, settings, &flags, None, 100, |_, _| 3)?;
        Ok(check(&registration, &surroundings))
    }

    fn lifetimes(headers: &str, flags: &str, settings: &Settings) -> Vec<u32> {
        reading(headers, flags, settings, |r, _| r.contacts.iter().map(|c| c.seconds).collect()).unwrap()
    }

    #[test]
    fn how_long_a_contact_lives() {
        let narrow = Settings { max_expires: 600, ..settings() };
        for (headers, flags, settings, seconds) in [
            ("Contact: <sip:a@h>\r\n", "", &settings(), 3600),
            ("Contact: <sip:a@h>\r\nExpires: 120\r\n", "", &settings(), 120),
            ("Contact: <sip:a@h>;expires=200\r\nExpires: 120\r\n", "", &settings(), 200),
            ("Contact: <sip:a@h>;expires=0\r\nExpires: 120\r\n", "", &settings(), 0),
            ("Contact: <sip:a@h>;expires=5\r\n", "", &settings(), 60),
            ("Contact: <sip:a@h>;expires=5\r\n", "min-expires=0", &settings(), 5),
            ("Contact: <sip:a@h>\r\nExpires: 99999999999999\r\n", "", &settings(), u32::MAX),
            ("Contact: <sip:a@h>;expires=never\r\n", "", &settings(), 3600),
            ("Contact: <sip:a@h>\r\n", "", &narrow, 600),
            ("Contact: <sip:a@h>\r\n", "max-expires=90", &narrow, 90),
            ("Contact: <sip:a@h>\r\n", "max-expires=0", &narrow, 3600),
        ] {
            assert_eq!(lifetimes(headers, flags, settings), [seconds], "{headers} {flags}");
        }
    }

    #[test]
    fn lifetimes_are_spread() {
        let spread = Settings { max_deviation: 100, ..settings() };
        let seconds = |uri: usize| lifetime(1800, &spread, &SaveFlags::default(), uri as u64);
        assert!((0..1000).all(|n| (1700..=1900).contains(&seconds(n))));
        assert_eq!(((0..201).map(seconds).min(), (0..201).map(seconds).max()), (Some(1700), Some(1900)));
        assert_eq!(lifetime(0, &spread, &SaveFlags::default(), 5), 0);
        let wide = Settings { max_deviation: 86_400, ..settings() };
        assert!((0..1000).all(|n| lifetime(60, &wide, &SaveFlags::default(), n) > 0));
    }

    #[test]
    fn a_contact_names_its_methods() {
        let methods = |headers: &str| {
            reading(headers, "", &settings(), |r, _| r.contacts.iter().map(|c| c.methods).collect::<Vec<_>>())
        };
        let headers =
            "Contact: <sip:a@h>;methods=\"MESSAGE, OPTIONS\", <sip:b@h>;methods=INVITE, <sip:c@h>\r\n";
        assert_eq!(methods(headers), Ok(vec![288, 1, ALL_METHODS]));
        assert_eq!(methods(&format!("{headers}Allow: BYE\r\n")), Ok(vec![288, 1, 8]));
    }

    #[test]
    fn several_contacts_and_their_parameters() {
        let headers = "Contact: <sip:a@h>;q=0.5;+sip.instance=\"<urn:uuid:1>\";reg-id=2, \"B\" <sip:b@h>;expires=0\r\n\
                       m: sip:c@h;q=1\r\nAllow: INVITE, BYE\r\nUser-Agent: lab\r\n\t/1\r\n";
        let check = |r: &Registration<'_>, _: &Surroundings<'_>| {
            let reported: Vec<_> =
                r.contacts.iter().map(|c| (c.uri.to_vec(), c.q, c.instance.to_vec(), c.reg_id)).collect();
            (
                reported,
                r.common.methods,
                r.common.user_agent.to_vec(),
                r.common.call_id.to_vec(),
                r.common.cseq,
            )
        };
        let (reported, methods, user_agent, call_id, cseq) =
            reading(headers, "", &settings(), check).unwrap();
        let expected: [(&[u8], i32, &[u8], u32); 3] =
            [(b"sip:a@h", 500, b"<urn:uuid:1>", 2), (b"sip:b@h", -1, b"", 0), (b"sip:c@h", 1000, b"", 0)];
        assert_eq!(reported, expected.map(|(uri, q, instance, id)| (uri.to_vec(), q, instance.to_vec(), id)));
        assert_eq!((methods, cseq), (1 | 8, 7));
        assert!(!user_agent.contains(&b'\n'));
        assert_eq!(call_id, b"c1");
        let bare = |r: &Registration<'_>, _: &Surroundings<'_>| {
            (r.contacts.len(), r.common.methods, r.common.user_agent == UNNAMED)
        };
        assert_eq!(reading("", "", &settings(), bare), Ok((0, ALL_METHODS, true)));
    }

    #[test]
    fn what_cannot_be_registered() {
        for (headers, refusal) in [
            ("Contact: <sip:a@h\r\n", Refusal::Contact),
            ("Contact: <sip:a@h>;q=7\r\n", Refusal::Preference),
            ("Contact: <sip:a@h>, <nonsense>\r\n", Refusal::ContactUri),
            ("Contact: nonsense\r\n", Refusal::Contact),
            ("Contact: <sip:a@h>\r\nExpires: soon\r\n", Refusal::Expires),
            ("Contact: <sip:a@h>;expires=60\r\nExpires: soon\r\n", Refusal::Expires),
            ("Contact: *\r\n", Refusal::Star),
            ("Contact: *\r\nExpires: 60\r\n", Refusal::Star),
            ("Contact: *, <sip:a@h>\r\nExpires: 0\r\n", Refusal::StarAmongOthers),
            ("Contact: *\r\nContact: *\r\nExpires: 0\r\n", Refusal::StarAmongOthers),
        ] {
            assert_eq!(reading(headers, "", &settings(), |_, _| ()), Err(refusal), "{headers}");
        }
        assert_eq!(
            reading("Contact: *\r\nExpires: 0\r\n", "", &settings(), |r, _| r.everything_off),
            Ok(true)
        );
    }

    #[test]
    fn a_request_has_a_limit_of_contacts() {
        let contacts = |n: usize| (0..n).map(|n| format!("Contact: <sip:{n}@h>\r\n")).collect::<String>();
        let count = |n| reading(&contacts(n), "", &settings(), |r, _| r.contacts.len());
        assert_eq!(count(200), Ok(200));
        let in_pairs: String = (0..129).map(|n| format!("Contact: <sip:a{n}@h>, <sip:b{n}@h>\r\n")).collect();
        let counted = reading(&in_pairs, "", &settings(), |r, _| r.contacts.len());
        assert_eq!(counted, Err(Refusal::TooManyContacts));
    }

    #[test]
    fn an_instance_that_would_break_a_response_is_not_kept() {
        let headers = "Contact: <sip:a@h>;+sip.instance=\"<a\\\"b>\"\r\n";
        assert_eq!(reading(headers, "", &settings(), |r, _| r.contacts[0].instance.len()), Ok(0));
    }

    #[test]
    fn path_modes() {
        let path = "Contact: <sip:a@h>\r\nPath: <sip:p1;lr;received=sip:192.0.2.1:5070%3Btransport=udp>\r\nPath: <sip:p2;lr>, <sip:p3;lr>\r\n";
        let known = format!("Supported: gruu, path\r\n{path}");
        let joined = "<sip:p1;lr;received=sip:192.0.2.1:5070%3Btransport=udp>, <sip:p2;lr>, <sip:p3;lr>";
        for (headers, flags, expected) in [
            (path, "", Ok(("", false))),
            (path, "path-off", Ok((joined, false))),
            (path, "path-lazy", Ok((joined, false))),
            (path, "path-strict", Ok((joined, false))),
            (&known, "path-off", Ok((joined, false))),
            (&known, "path-lazy", Ok((joined, true))),
            (&known, "path-strict", Ok((joined, true))),
            ("Contact: <sip:a@h>\r\n", "path-strict", Ok(("", false))),
            ("Contact: <sip:a@h>\r\nPath: <\r\n", "path-off", Err(Refusal::Path)),
        ] {
            let kept = reading(headers, flags, &settings(), |r, s| {
                (String::from_utf8_lossy(r.common.path).into_owned(), s.shows_path)
            });
            assert_eq!(kept, expected.map(|(path, reported)| (path.to_owned(), reported)), "{flags}");
        }
        for (headers, refused) in [(path, true), (&known, false)] {
            let strict = reading(headers, "path-strict", &settings(), |_, s| s.refuses_path);
            assert_eq!(strict, Ok(refused), "{headers}");
        }
        let received =
            reading(path, "path-off,path-received", &settings(), |r, _| r.common.received.to_vec());
        assert_eq!(received.as_deref(), Ok(&b"sip:192.0.2.1:5070;transport=udp"[..]));
    }

    #[test]
    fn one_contact_of_several() {
        let message = register("Contact: <sip:a@h>, <sip:b@h>\r\n");
        let flags = SaveFlags::default();
        let surroundings = Surroundings::of(&message, &flags).unwrap();
        let only = read(&message, &surroundings, &settings(), &flags, Some(b"sip:b@h"), 1, |_, _| 0).unwrap();
        assert_eq!(only.contacts.iter().map(|c| c.uri).collect::<Vec<_>>(), [b"sip:b@h"]);
    }
}
