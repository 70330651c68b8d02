//! Variables about the caller and the callee: From, To, and the header fields that assert or hide an identity.

use std::rc::Rc;

use tocsin_script::{Accessor, Bytes, Index, Value, Variable};
use tocsin_sip::{Limits, NameAddrRef};

use super::headers::first_of;
use super::values::readable;
use crate::context::Context;
use crate::uri_text::UriText;

type Party = for<'a> fn(&'a Context) -> Option<NameAddrRef<'a>>;
type Part = for<'a> fn(&NameAddrRef<'a>) -> Option<&'a [u8]>;
/// A name, its longer form, and what it shows of an address.
type Row = (&'static str, &'static [&'static str], &'static str, Part);

pub(super) fn variables() -> Vec<Variable<Context>> {
    let from: [Row; 5] = [
        ("fu", &["from"], "The URI of From.", |a| Some(a.uri_text())),
        ("fU", &["from.user"], "The user of From's URI.", user),
        ("fd", &["from.domain"], "The host of From's URI.", host),
        ("fn", &[], "The display name of From, with its quotes.", display),
        ("ft", &[], "The tag of From.", |a| a.tag()),
    ];
    let to: [Row; 5] = [
        ("tu", &["to"], "The URI of To.", |a| Some(a.uri_text())),
        ("tU", &["to.user"], "The user of To's URI.", user),
        ("td", &["to.domain"], "The host of To's URI.", host),
        ("tn", &[], "The display name of To, with its quotes.", display),
        ("tt", &[], "The tag of To.", |a| a.tag()),
    ];
    let mut all: Vec<_> = from.into_iter().map(|row| party(row, |cx| cx.message.from().ok())).collect();
    all.extend(to.into_iter().map(|row| party(row, |cx| cx.message.to().ok())));
    all.extend(identities());
    all.push(readable("Au", "Who is to be charged: user and host of From.", |cx| {
        let Ok(from) = cx.message.from() else { return Value::Null };
        let host = if UriText::of(from.uri_text()).is_some() { host(&from) } else { None };
        let name = [user(&from).unwrap_or_default(), b"@", host.unwrap_or_default()].concat();
        Value::Str(Bytes::from(name))
    }));
    all
}

fn user<'a>(address: &NameAddrRef<'a>) -> Option<&'a [u8]> {
    UriText::of(address.uri_text())?.user
}

fn host<'a>(address: &NameAddrRef<'a>) -> Option<&'a [u8]> {
    UriText::of(address.uri_text())?.host()
}

fn display<'a>(address: &NameAddrRef<'a>) -> Option<&'a [u8]> {
    Some(address.display()).filter(|name| !name.is_empty())
}

fn party((name, longer, doc, part): Row, of: Party) -> Variable<Context> {
    struct PartyPart(Party, Part);
    impl Accessor<Context> for PartyPart {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            let address = (self.0)(cx);
            if address.is_none() {
                cx.asked_in_vain.set(true);
            }
            let part = address.and_then(|address| (self.1)(&address));
            part.map_or(Value::Null, |part| Value::Str(Bytes::new(part)))
        }
    }
    Variable::declared(name, doc, move |_| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(PartyPart(of, part));
        Ok(accessor)
    })
    .also(longer)
}

/// What is shown of an address in a header field.
type Shown = for<'a> fn(&NameAddrRef<'a>) -> Option<&'a [u8]>;

/// Variables for the first address of some header field.
fn identities() -> impl Iterator<Item = Variable<Context>> {
    const ROWS: [(&str, &str, &str, Shown); 10] = [
        ("ai", "P-Asserted-Identity", "The URI of P-Asserted-Identity.", |a| Some(a.uri_text())),
        ("pu", "P-Preferred-Identity", "The URI of P-Preferred-Identity.", |a| Some(a.uri_text())),
        ("pU", "P-Preferred-Identity", "The user of P-Preferred-Identity.", user),
        ("pd", "P-Preferred-Identity", "The host of P-Preferred-Identity.", host),
        ("pn", "P-Preferred-Identity", "The display name of P-Preferred-Identity, with its quotes.", display),
        ("re", "Remote-Party-ID", "The URI of Remote-Party-ID.", |a| Some(a.uri_text())),
        ("rt", "Refer-To", "The URI of Refer-To.", |a| Some(a.uri_text())),
        ("di", "Diversion", "The URI of the first Diversion.", |a| Some(a.uri_text())),
        ("dip", "Diversion", "The parameter `privacy` of the first Diversion.", |a| {
            Some(a.param(b"privacy")?.inside_quotes())
        }),
        ("dir", "Diversion", "The parameter `reason` of the first Diversion.", |a| {
            Some(a.param(b"reason")?.inside_quotes())
        }),
    ];
    ROWS.into_iter().map(|(name, header, doc, shown)| {
        Variable::declared(name, doc, move |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Identity { header, shown });
            Ok(accessor)
        })
    })
}

struct Identity {
    header: &'static str,
    shown: Shown,
}

impl Accessor<Context> for Identity {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let Some(value) = first_of(cx, self.header.as_bytes()) else { return Value::Null };
        let Ok(address) = NameAddrRef::parse(&value, &Limits::default()) else { return Value::Null };
        (self.shown)(&address).map_or(Value::Null, |shown| Value::Str(Bytes::new(shown)))
    }
}
