//! Variables that show the message: its first line, From, To, Call-ID and other headers, its body.

use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Store, SubName, Value, VarSite, Variable, WriteError};
use tocsin_sip::{HeaderName, Kind, NameAddrRef, UriRef, unfold};

use super::values::{computed, refused, text};
use crate::avps::Avps;
use crate::context::Context;

pub(super) fn variables() -> Vec<Variable<Context>> {
    let mut all = vec![
        computed("rm", |cx| Value::Str(Bytes::new(method(cx)))),
        computed("rs", |cx| {
            cx.transaction
                .filter(|t| t.status > 0)
                .map_or_else(|| status(cx), |t| Value::Int(t.status.into()))
        }),
        computed("rr", |cx| match cx.message.kind() {
            Kind::Reply { reason, .. } => Value::Str(Bytes::new(reason)),
            Kind::Request { .. } => Value::Null,
        }),
        computed("ci", |cx| text(cx.message.call_id().ok())),
        computed("cs", |cx| cx.message.cseq().map_or(Value::Null, |cseq| Value::Int(cseq.number.into()))),
        computed("ua", |cx| text(cx.message.header(HeaderName::UserAgent))),
        computed("ct", |cx| text(cx.message.header(HeaderName::Contact))),
        computed("cT", |cx| text(cx.message.header(HeaderName::ContentType))),
        computed("cl", |cx| cx.message.content_length().map_or(Value::Null, |n| Value::Int(n.into()))),
        computed("mf", |cx| {
            cx.message.max_forwards().ok().flatten().map_or(Value::Null, |n| Value::Int(n.into()))
        }),
        computed("rb", |cx| text(Some(cx.message.body()).filter(|body| !body.is_empty()))),
        computed("mb", |cx| text(Some(cx.message.bytes()))),
        computed("ml", |cx| Value::Int(cx.message.bytes().len() as i64)),
        computed("msg.is_request", |cx| Value::Int(cx.message.is_request().into())),
        computed("msg.type", |cx| {
            Value::Str(Bytes::from(if cx.message.is_request() { "request" } else { "reply" }))
        }),
    ];
    all.extend(party("f", |cx| cx.message.from().ok()));
    all.extend(party("t", |cx| cx.message.to().ok()));
    all.push(Variable::new("hdr", header));
    all.push(Variable::new("hdr_name", |site| {
        site.no_sub()?;
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(HeaderNames);
        Ok(accessor)
    }));
    all.push(Variable::new("hdrcnt", |site| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(HeaderCount(site.required_sub()?));
        Ok(accessor)
    }));
    all.push(Variable::new("avp", |site| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Avp(site.required_sub()?));
        Ok(accessor)
    }));
    all
}

/// The method of a request, or of the request that a reply answers.
pub(crate) fn method(cx: &Context) -> &[u8] {
    match cx.message.kind() {
        Kind::Request { .. } => cx.message.method_text(),
        Kind::Reply { .. } => cx.message.cseq().map(|cseq| cseq.method_text).unwrap_or_default(),
    }
}

fn status(cx: &Context) -> Value {
    cx.message.status().map_or(Value::Null, |status| Value::Int(status.into()))
}

type Party = for<'a> fn(&'a Context) -> Option<NameAddrRef<'a>>;
type Part = for<'a> fn(&NameAddrRef<'a>) -> Option<Bytes>;

/// `$fu $fU $fd $fn $ft` and the same for To.
fn party(letter: &'static str, of: Party) -> Vec<Variable<Context>> {
    struct PartyPart(Party, Part);
    impl Accessor<Context> for PartyPart {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            (self.0)(cx).and_then(|address| (self.1)(&address)).map_or(Value::Null, Value::Str)
        }
    }
    let parts: [(&str, &'static str, &'static str, Part); 5] = [
        ("u", "fu", "tu", |a| Some(Bytes::new(a.uri_text()))),
        ("U", "fU", "tU", |a| uri_of(a)?.user().map(Bytes::new)),
        ("d", "fd", "td", |a| Some(Bytes::new(uri_of(a)?.host()))),
        ("n", "fn", "tn", |a| Some(a.display()).filter(|d| !d.is_empty()).map(Bytes::new)),
        ("t", "ft", "tt", |a| a.tag().map(Bytes::new)),
    ];
    parts
        .into_iter()
        .map(|(_, from, to, part)| {
            Variable::new(if letter == "f" { from } else { to }, move |site| {
                site.no_sub()?;
                let accessor: Rc<dyn Accessor<Context>> = Rc::new(PartyPart(of, part));
                Ok(accessor)
            })
        })
        .collect()
}

fn uri_of<'a>(address: &NameAddrRef<'a>) -> Option<UriRef<'a>> {
    address.uri().ok()
}

/// The nth of `count` things: from the front for 0 and more, from the back for less.
fn nth(index: Index, count: usize) -> Option<usize> {
    match index {
        Index::Nth(n) if n < 0 => count.checked_sub(usize::try_from(n.unsigned_abs()).ok()?),
        Index::Nth(n) => usize::try_from(n).ok().filter(|n| *n < count),
        _ => (count > 0).then_some(0),
    }
}

/// `$hdr(name)`, `$(hdr(name)[1])`, `$(hdr(name)[*])`.
struct Header(SubName<Context>);

fn header(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    Ok(Rc::new(Header(site.required_sub()?)))
}

impl Accessor<Context> for Header {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let Value::Str(name) = self.0.value(cx) else { return Value::Null };
        let values: Vec<_> = cx.message.headers_by_text(&name).map(|header| header.value).collect();
        if index == Index::All {
            let plain: Vec<_> = values.iter().map(|value| unfold(value)).collect();
            return if plain.is_empty() {
                Value::Null
            } else {
                Value::Str(Bytes::from(plain.join(&b","[..])))
            };
        }
        nth(index, values.len()).map_or(Value::Null, |at| Value::Str(Bytes::new(&unfold(values[at]))))
    }
}

struct HeaderNames;

impl Accessor<Context> for HeaderNames {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let found = nth(index, cx.message.header_count()).and_then(|at| cx.message.header_at(at));
        text(found.map(|header| header.name_text))
    }
}

struct HeaderCount(SubName<Context>);

impl Accessor<Context> for HeaderCount {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let Value::Str(name) = self.0.value(cx) else { return Value::Null };
        Value::Int(cx.message.headers_by_text(&name).count() as i64)
    }
}

/// `$avp(name)` with all its index forms.
struct Avp(SubName<Context>);

impl Avp {
    fn name(&self, cx: &mut Context) -> Option<Bytes> {
        super::as_text(&self.0.value(cx))
    }

    fn read_all(avps: &Avps, name: &[u8]) -> Value {
        let mut out = Vec::new();
        for (at, value) in avps.values(name).enumerate() {
            if at > 0 {
                out.push(b';');
            }
            value.append_to(&mut out);
        }
        Value::Str(Bytes::from(out))
    }
}

impl Accessor<Context> for Avp {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let Some(name) = self.name(cx) else { return Value::Null };
        match index {
            Index::All => Self::read_all(&cx.avps, &name),
            Index::Nth(_) => {
                let count = cx.avps.values(&name).count();
                nth(index, count).and_then(|at| cx.avps.values(&name).nth(at).cloned()).unwrap_or_default()
            }
            Index::Unset | Index::Append => cx.avps.values(&name).next().cloned().unwrap_or_default(),
        }
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, store: Store) -> Result<(), WriteError> {
        let Some(name) = self.name(cx) else { return Err(refused("the name of the AVP is NULL")) };
        let avps = &mut cx.avps;
        let nth = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
        if value == Value::Null {
            match index {
                Index::All => avps.clear(&name),
                Index::Nth(n) => avps.remove(&name, nth(n)),
                Index::Unset | Index::Append => avps.pop(&name),
            }
            return Ok(());
        }
        let stored = match index {
            Index::All => {
                avps.clear(&name);
                avps.push(&name, value)
            }
            Index::Nth(n) => {
                if !avps.replace(&name, nth(n), value) {
                    return Err(refused("the AVP has no value at this index"));
                }
                true
            }
            Index::Unset if store == Store::Replace && avps.values(&name).next().is_some() => {
                avps.replace(&name, 0, value)
            }
            Index::Unset => avps.push(&name, value),
            Index::Append => avps.append(&name, value),
        };
        if !stored {
            return Err(refused("too many AVPs in one message"));
        }
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}
