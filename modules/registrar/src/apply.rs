//! What a registration makes of the bindings of its AOR (RFC 3261 section 10.3, steps 6 and 7): all of it, or nothing.

use smallvec::SmallVec;
use tocsin_script::Bytes;
use tocsin_sip::UriRef;

use super::refusal::Refusal;
use tocsin_usrloc::{Bindings, Contact, same_uri};

/// Contacts that one AOR may have, whatever `max_contacts` says.
pub(super) const MAX_CONTACTS_OF_AOR: usize = 256;

/// When a contact is the same as one that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// Its URI is the same.
    Uri,
    /// Its URI and the Call-ID of its registration are the same.
    UriAndCallId,
    /// This parameter of its URI is the same.
    Parameter(Bytes),
}

/// A contact as a request wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    /// The URI.
    pub(super) uri: &'a [u8],
    /// Seconds that it is to live; 0 removes it.
    pub(super) seconds: u32,
    /// Preference in thousandths; -1 is none.
    pub(super) q: i32,
    /// The `+sip.instance`, or empty.
    pub(super) instance: &'a [u8],
    /// The `reg-id`, or 0.
    pub(super) reg_id: u32,
    /// The methods that its device understands.
    pub(super) methods: u32,
    /// Its identity, should it be new.
    pub(super) id: u64,
    /// Its instance and `reg-id` are what makes it the same, not its URI (RFC 5626 section 6).
    pub(super) is_flow: bool,
    /// It is reached over the connection that it comes by.
    pub(super) by_connection: bool,
}

/// What a registration wants.
#[derive(Clone, Debug)]
pub(super) struct Registration<'a> {
    /// `Contact: *`: no binding shall be left.
    pub(super) everything_off: bool,
    /// The contacts, in their order.
    pub(super) contacts: SmallVec<[Wanted<'a>; 1]>,
    /// What is the same for all of them; `modified` is the present second.
    pub(super) common: Contact<'a>,
    /// The URI of the connection that it came by, or empty.
    pub(super) connection: &'a [u8],
}

/// By which rules.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What is the same contact.
    pub(super) matching: Matching,
    /// Seconds in which a request with the same Call-ID and CSeq is a retransmission.
    pub(super) cseq_delay: u64,
    /// A request with the same Call-ID and CSeq is a newer one.
    pub(super) allow_dup_cseq: bool,
    /// Contacts that the AOR may have; 0 is any.
    pub(super) max_contacts: u32,
    /// Contacts that are there make room for new ones.
    pub(super) force: bool,
}

/// Applies a registration to the bindings of its AOR.
pub(super) fn apply<'a, 'm: 'a>(
    bindings: &mut Bindings<'a>,
    registration: &Registration<'m>,
    rules: &Rules,
) -> Result<(), Refusal> {
    if registration.everything_off {
        return remove_all(bindings, registration, rules);
    }
    let mut added = false;
    for wanted in &registration.contacts {
        let now = registration.common.modified;
        let noted = registration.common.received;
        let contact = Contact {
            id: wanted.id,
            uri: wanted.uri,
            q: wanted.q,
            instance: wanted.instance,
            reg_id: wanted.reg_id,
            methods: wanted.methods,
            received: if wanted.by_connection && noted.is_empty() { registration.connection } else { noted },
            expires: now.saturating_add(wanted.seconds.into()),
            ..registration.common
        };
        match rules.matching.find(bindings.contacts(), &contact, wanted.is_flow) {
            None if wanted.seconds == 0 => {}
            None => {
                bindings.insert(contact);
                added = true;
            }
            Some(index) => refresh(bindings, index, contact, wanted.seconds == 0, rules)?,
        }
    }
    if added { make_room(bindings, &registration.common, rules) } else { Ok(()) }
}

impl Matching {
    /// The place of the contact that `new` is a newer registration of. A flow is known by its instance and `reg-id`; it
    /// also takes the place of the same contact from before it was one.
    fn find(&self, known: &[Contact<'_>], new: &Contact<'_>, is_flow: bool) -> Option<usize> {
        let find = |same: &dyn Fn(&Contact<'_>) -> bool| known.iter().position(same);
        if !is_flow {
            return find(&|known| self.is_same(known, new));
        }
        find(&|known| known.reg_id == new.reg_id && known.instance.eq_ignore_ascii_case(new.instance))
            .or_else(|| find(&|known| known.reg_id == 0 && self.is_same(known, new)))
    }

    fn is_same(&self, known: &Contact<'_>, new: &Contact<'_>) -> bool {
        match self {
            Self::Uri => same_uri(known.uri, new.uri),
            Self::UriAndCallId => known.call_id == new.call_id && same_uri(known.uri, new.uri),
            Self::Parameter(name) => match (parameter(known.uri, name), parameter(new.uri, name)) {
                (Some(one), Some(two)) => one == two,
                _ => same_uri(known.uri, new.uri),
            },
        }
    }
}

fn parameter<'a>(uri: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    UriRef::parse(uri).ok()?.param(name)?.value
}

/// How a request stands to the one that made a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequence {
    /// It came later, or from elsewhere.
    Newer,
    /// It is the same once more.
    Retransmission,
    /// It is older: its time is over.
    Older,
}

/// RFC 3261 section 10.3, step 7: requests of one Call-ID are in the order of their CSeq.
fn sequence(known: &Contact<'_>, new: &Contact<'_>, rules: &Rules) -> Sequence {
    let delay = rules.cseq_delay;
    if known.call_id != new.call_id
        || new.cseq > known.cseq
        || (rules.allow_dup_cseq && new.cseq == known.cseq)
    {
        Sequence::Newer
    } else if new.cseq == known.cseq && delay > 0 && new.modified.saturating_sub(known.modified) <= delay {
        Sequence::Retransmission
    } else {
        Sequence::Older
    }
}

fn refresh<'a>(
    bindings: &mut Bindings<'a>,
    index: usize,
    contact: Contact<'a>,
    ends: bool,
    rules: &Rules,
) -> Result<(), Refusal> {
    let known = bindings.contacts()[index];
    // The same contact twice in one request: the first counts.
    if bindings.changes().iter().any(|(_, changed)| *changed == known) {
        return Ok(());
    }
    match sequence(&known, &contact, rules) {
        Sequence::Newer if ends => bindings.remove(index),
        Sequence::Newer => {
            // The same URI in another spelling stays as it was.
            let uri = if same_uri(known.uri, contact.uri) { known.uri } else { contact.uri };
            bindings.update(index, Contact { uri, id: known.id, latency: known.latency, ..contact });
        }
        Sequence::Retransmission => {}
        Sequence::Older => return Err(Refusal::OldCSeq),
    }
    Ok(())
}

fn remove_all(
    bindings: &mut Bindings<'_>,
    registration: &Registration<'_>,
    rules: &Rules,
) -> Result<(), Refusal> {
    let stale = |known: &Contact<'_>| sequence(known, &registration.common, rules) == Sequence::Older;
    if bindings.contacts().iter().any(stale) {
        return Err(Refusal::OldCSeq);
    }
    bindings.remove_where(|_| true);
    Ok(())
}

/// Sees to it that there are no more contacts than there may be. By force, the last in the order in which they are tried go
/// first: the least preferred, or the oldest where `desc_time_order` is set; then those that the request names first.
fn make_room(bindings: &mut Bindings<'_>, common: &Contact<'_>, rules: &Rules) -> Result<(), Refusal> {
    let most = match rules.max_contacts {
        0 => MAX_CONTACTS_OF_AOR,
        most => MAX_CONTACTS_OF_AOR.min(most as usize),
    };
    while bindings.contacts().len() > most {
        if !rules.force {
            return Err(Refusal::TooManyContacts);
        }
        let is_other = |known: &Contact<'_>| known.call_id != common.call_id || known.cseq != common.cseq;
        let others = bindings.contacts().iter().rposition(is_other);
        match others.or_else(|| first_of_request(bindings)) {
            Some(index) => bindings.remove(index),
            None => return Err(Refusal::TooManyContacts),
        }
    }
    Ok(())
}

/// The place of the contact that the request named first, of those that are still there.
fn first_of_request(bindings: &Bindings<'_>) -> Option<usize> {
    let places = bindings
        .changes()
        .iter()
        .map(|(_, changed)| bindings.contacts().iter().position(|known| known == changed));
    places.flatten().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_usrloc::{Change, Order};

    const NOW: u64 = 1000;

    fn rules() -> Rules {
        Rules {
            matching: Matching::Uri,
            cseq_delay: 20,
            allow_dup_cseq: false,
            max_contacts: 0,
            force: false,
        }
    }

    fn wanted(uri: &str, seconds: u32) -> Wanted<'_> {
        Wanted {
            uri: uri.as_bytes(),
            seconds,
            q: -1,
            instance: b"",
            reg_id: 0,
            methods: 1,
            id: 9,
            is_flow: false,
            by_connection: false,
        }
    }

    fn registration<'a>(call_id: &'a str, cseq: u32, contacts: &[Wanted<'a>]) -> Registration<'a> {
        let common = Contact { call_id: call_id.as_bytes(), cseq, modified: NOW, ..Contact::EMPTY };
        let contacts = contacts.iter().copied().collect();
        Registration { everything_off: false, contacts, common, connection: b"sip:h:7;transport=ws" }
    }

    fn known<'a>(uri: &'a str, call_id: &'a str, cseq: u32, modified: u64) -> Contact<'a> {
        let (uri, call_id) = (uri.as_bytes(), call_id.as_bytes());
        Contact { id: 1, uri, call_id, cseq, modified, expires: NOW + 50, ..Contact::EMPTY }
    }

    fn changes(bindings: &Bindings<'_>) -> Vec<(Change, String)> {
        bindings
            .changes()
            .iter()
            .map(|(change, c)| (*change, String::from_utf8_lossy(c.uri).into_owned()))
            .collect()
    }

    /// RFC 3261 section 10.3, step 7, as a table: what is registered, what comes, what becomes of it.
    #[test]
    fn rfc3261_10_3_ordering() {
        let refreshed = Ok(vec![(Change::Updated, "sip:a".to_owned())]);
        let removed = Ok(vec![(Change::Deleted, "sip:a".to_owned())]);
        for (call_id, cseq, modified, seconds, expected) in [
            ("c1", 6, NOW - 10, 60, refreshed.clone()),
            ("c1", 6, NOW - 10, 0, removed.clone()),
            ("c1", 5, NOW - 10, 60, Ok(vec![])),
            ("c1", 5, NOW - 10, 0, Ok(vec![])),
            ("c1", 5, NOW - 20, 60, Ok(vec![])),
            ("c1", 5, NOW - 21, 60, Err(Refusal::OldCSeq)),
            ("c1", 4, NOW - 10, 60, Err(Refusal::OldCSeq)),
            ("c1", 4, NOW - 10, 0, Err(Refusal::OldCSeq)),
            ("c2", 1, NOW - 10, 60, refreshed),
            ("c2", 1, NOW - 10, 0, removed),
        ] {
            let mut bindings = Bindings::new([known("sip:a", "c1", 5, modified)], Order::Preference);
            let outcome =
                apply(&mut bindings, &registration(call_id, cseq, &[wanted("sip:a", seconds)]), &rules());
            let outcome = outcome.map(|()| changes(&bindings));
            assert_eq!(outcome, expected, "{call_id} {cseq} {modified} {seconds}");
        }
    }

    #[test]
    fn rfc3261_10_3_everything_off() {
        for (call_id, cseq, expected) in
            [("c2", 1, Ok(2)), ("c1", 6, Ok(2)), ("c1", 4, Err(Refusal::OldCSeq))]
        {
            let both = [known("sip:a", "c1", 5, NOW - 10), known("sip:b", "c3", 5, NOW - 10)];
            let mut bindings = Bindings::new(both, Order::Preference);
            let registration = Registration { everything_off: true, ..registration(call_id, cseq, &[]) };
            let outcome = apply(&mut bindings, &registration, &rules());
            assert_eq!(outcome.map(|()| bindings.changes().len()), expected, "{call_id} {cseq}");
        }
    }

    #[test]
    fn a_refresh_may_have_the_same_cseq_where_that_is_allowed() {
        let mut bindings = Bindings::new([known("sip:a", "c1", 5, NOW - 10)], Order::Preference);
        let lax = Rules { allow_dup_cseq: true, ..rules() };
        assert_eq!(apply(&mut bindings, &registration("c1", 5, &[wanted("sip:a", 300)]), &lax), Ok(()));
        assert_eq!(bindings.contacts()[0].expires, NOW + 300);
        let older = registration("c1", 4, &[wanted("sip:a", 300)]);
        let mut bindings = Bindings::new([known("sip:a", "c1", 5, NOW - 10)], Order::Preference);
        assert_eq!(apply(&mut bindings, &older, &lax), Err(Refusal::OldCSeq));
    }

    #[test]
    fn rfc3261_19_1_4_a_refresh_keeps_the_spelling_of_the_uri() {
        let mut bindings = Bindings::new([known("sip:b%6fb@h", "c1", 5, NOW - 10)], Order::Preference);
        assert_eq!(
            apply(&mut bindings, &registration("c1", 6, &[wanted("sip:bob@h", 60)]), &rules()),
            Ok(())
        );
        assert_eq!(bindings.contacts().iter().map(|c| c.uri).collect::<Vec<_>>(), [b"sip:b%6fb@h"]);
    }

    #[test]
    fn a_binding_that_is_not_there_is_removed_in_peace() {
        let mut bindings = Bindings::new([], Order::Preference);
        assert_eq!(apply(&mut bindings, &registration("c1", 1, &[wanted("sip:a", 0)]), &rules()), Ok(()));
        assert_eq!(bindings.changes(), []);
    }

    #[test]
    fn expiry_counts_from_now_and_a_refresh_keeps_the_identity() {
        let mut bindings = Bindings::new([known("sip:a", "c1", 5, NOW - 10)], Order::Preference);
        let request = registration("c1", 6, &[wanted("sip:a", 60), wanted("sip:b", 120)]);
        assert_eq!(apply(&mut bindings, &request, &rules()), Ok(()));
        let after: Vec<_> = bindings.contacts().iter().map(|c| (c.uri, c.id, c.expires, c.cseq)).collect();
        assert_eq!(after, [(&b"sip:a"[..], 1, NOW + 60, 6), (b"sip:b", 9, NOW + 120, 6)]);
    }

    #[test]
    fn the_same_contact_twice_in_a_request_counts_once() {
        for delay in [0, 20] {
            let mut bindings = Bindings::new([known("sip:a", "c1", 5, NOW - 10)], Order::Preference);
            let request = registration(
                "c1",
                6,
                &[wanted("sip:a", 60), wanted("sip:a", 70), wanted("sip:b", 1), wanted("sip:b", 2)],
            );
            assert_eq!(apply(&mut bindings, &request, &Rules { cseq_delay: delay, ..rules() }), Ok(()));
            let ends: Vec<_> = bindings.contacts().iter().map(|c| c.expires).collect();
            assert_eq!(ends, [NOW + 60, NOW + 1]);
        }
    }

    #[test]
    fn what_is_the_same_contact() {
        let parameter = Matching::Parameter("line".into());
        for (matching, uri, call_id, same) in [
            (Matching::Uri, "sip:a@h;line=1", "c2", true),
            (Matching::Uri, "sip:a@H;line=1", "c1", true),
            (Matching::Uri, "sip:%61@h;line=1", "c1", true),
            (Matching::Uri, "sip:a@h;ob", "c1", true),
            (Matching::Uri, "sip:a@h;line=2", "c1", false),
            (Matching::Uri, "sip:A@h;line=1", "c1", false),
            (Matching::Uri, "sip:a@h;line=1;transport=tcp", "c1", false),
            (Matching::UriAndCallId, "sip:a@h;line=1", "c1", true),
            (Matching::UriAndCallId, "sip:a@h;line=1", "c2", false),
            (parameter.clone(), "sip:b@elsewhere;line=1", "c2", true),
            (parameter.clone(), "sip:a@h;line=2", "c1", false),
            (parameter, "sip:a@h", "c1", true),
        ] {
            let (one, two) = (known("sip:a@h;line=1", "c1", 5, NOW), known(uri, call_id, 6, NOW));
            assert_eq!(matching.is_same(&one, &two), same, "{matching:?} {uri} {call_id}");
        }
    }

    /// RFC 5626 section 6: a device that comes again over a new connection replaces its flow, whatever its contact is.
    #[test]
    fn rfc5626_6_a_flow_is_known_by_instance_and_reg_id() {
        let flow = |uri, reg_id, seconds| Wanted {
            instance: b"<urn:uuid:AB>",
            reg_id,
            is_flow: true,
            by_connection: true,
            ..wanted(uri, seconds)
        };
        let one = Contact { instance: b"<urn:uuid:ab>", reg_id: 1, ..known("sip:a", "c1", 1, 10) };
        let two = Contact { reg_id: 2, ..known("sip:b", "c1", 1, 10) };
        let two = Contact { instance: b"<urn:uuid:ab>", ..two };
        let plain = known("sip:c", "c2", 1, 10);
        let run = |contact: Wanted<'static>| {
            let mut bindings = Bindings::new([plain, one, two], Order::Preference);
            apply(&mut bindings, &registration("c9", 1, &[contact]), &rules()).unwrap();
            bindings
                .contacts()
                .iter()
                .map(|c| String::from_utf8_lossy(c.uri).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(flow("sip:new", 1, 60)), ["sip:c", "sip:new", "sip:b"]);
        assert_eq!(run(flow("sip:new", 2, 60)), ["sip:c", "sip:a", "sip:new"]);
        assert_eq!(run(flow("sip:new", 3, 60)), ["sip:c", "sip:a", "sip:b", "sip:new"]);
        assert_eq!(run(flow("sip:new", 1, 0)), ["sip:c", "sip:b"]);
        // The same URI, but another flow: both are there.
        assert_eq!(run(flow("sip:a", 3, 60)), ["sip:c", "sip:a", "sip:b", "sip:a"]);
        // A contact from before the device managed flows becomes one.
        assert_eq!(run(flow("sip:c", 3, 60)), ["sip:c", "sip:a", "sip:b"]);
        // Without outbound the URI decides, and reg-id means nothing.
        assert_eq!(run(Wanted { is_flow: false, ..flow("sip:new", 1, 60) }).len(), 4);
    }

    #[test]
    fn who_is_reached_over_the_connection_is_noted_with_it() {
        let received = |by_connection, noted: &'static [u8]| {
            let mut bindings = Bindings::new([], Order::Preference);
            let mut request = registration("c1", 1, &[]);
            request.common.received = noted;
            request.contacts.push(Wanted { by_connection, ..wanted("sip:a", 60) });
            apply(&mut bindings, &request, &rules()).unwrap();
            String::from_utf8_lossy(bindings.contacts()[0].received).into_owned()
        };
        assert_eq!(received(true, b""), "sip:h:7;transport=ws");
        assert_eq!(received(false, b""), "");
        // What the script knows comes first.
        assert_eq!(received(true, b"sip:x:1"), "sip:x:1");
    }

    #[test]
    fn there_are_no_more_contacts_than_allowed() {
        let three = [known("sip:a", "c1", 1, 10), known("sip:b", "c2", 1, 5), known("sip:c", "c3", 1, 20)];
        let run = |max_contacts, force, contacts: &[Wanted<'static>]| {
            let mut bindings = Bindings::new(three, Order::Preference);
            let rules = Rules { max_contacts, force, ..rules() };
            apply(&mut bindings, &registration("c4", 1, contacts), &rules).map(|()| changes(&bindings))
        };
        let new = [wanted("sip:d", 60)];
        assert_eq!(run(3, false, &new), Err(Refusal::TooManyContacts));
        assert_eq!(run(4, false, &new), Ok(vec![(Change::Inserted, "sip:d".into())]));
        let last = vec![(Change::Inserted, "sip:d".into()), (Change::Deleted, "sip:c".into())];
        assert_eq!(run(3, true, &new), Ok(last));
        // A swap takes no room, and a refresh above the limit is no new contact.
        assert!(run(3, false, &[wanted("sip:a", 0), wanted("sip:d", 60)]).is_ok());
        assert!(run(1, false, &[wanted("sip:a", 60)]).is_ok());
        // By force, what the request names last stays.
        let many = [wanted("sip:d", 60), wanted("sip:e", 60)];
        assert_eq!(run(1, false, &many), Err(Refusal::TooManyContacts));
        let mut bindings = Bindings::new([], Order::Preference);
        let one = Rules { max_contacts: 1, force: true, ..rules() };
        assert_eq!(apply(&mut bindings, &registration("c4", 1, &many), &one), Ok(()));
        assert_eq!(bindings.contacts().iter().map(|c| c.uri).collect::<Vec<_>>(), [b"sip:e"]);
        let uris: Vec<String> = (0..=MAX_CONTACTS_OF_AOR).map(|n| format!("sip:{n}")).collect();
        let flood: Vec<_> = uris.iter().map(|uri| wanted(uri, 60)).collect();
        let mut bindings = Bindings::new([], Order::Preference);
        assert_eq!(
            apply(&mut bindings, &registration("c", 1, &flood), &rules()),
            Err(Refusal::TooManyContacts)
        );
    }
}
