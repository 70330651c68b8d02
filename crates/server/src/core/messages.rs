//! Variables that show the message: its first line, some of its header fields, its body.

use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Indexes, Naming, Value, VarSite, Variable};
use tocsin_sip::{ContentTypeRef, HeaderName, Kind, Limits, Method};

use super::values::{BETWEEN, Texts, nth, readable, text, texts};
use crate::context::Context;

pub(super) fn variables() -> Vec<Variable<Context>> {
    let mut all = start_line();
    all.extend(fields());
    all.extend([
        Variable::declared("cT", "The content type; with an index, that of a part of the body.", |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(ContentTypes);
            Ok(accessor)
        })
        .indexed(Indexes::List),
        Variable::declared(
            "rb",
            "The body; with an index, a part of it; with a type such as `application/sdp`, the parts of that type.",
            body,
        )
        .named(Naming::Optional("type"))
        .indexed(Indexes::List),
    ]);
    all
}

fn start_line() -> Vec<Variable<Context>> {
    vec![
        texts(
            "rm",
            "The method of the request, or of the request that a reply answers.",
            Texts {
                text: |cx| Value::Str(Bytes::new(method(cx))),
                number: |cx| Some(method_number(method(cx))),
            },
        ),
        texts(
            "rs",
            "The status of the reply; in a failure route, that of the reply which counts. NULL if that is none: \
             the branch timed out, or its request could not be sent.",
            Texts {
                text: |cx| shown_status(cx).map_or(Value::Null, |status| Value::Str(Bytes::decimal(status))),
                number: shown_status,
            },
        ),
        readable("rr", "The reason phrase of the reply.", |cx| match cx.message.kind() {
            Kind::Reply { reason, .. } => Value::Str(Bytes::new(reason)),
            Kind::Request { .. } => Value::Null,
        }),
        truth("msg.is_request", "Whether the message is a request.", |cx| cx.message.is_request()),
        readable("msg.type", "`request` or `reply`.", |cx| {
            Value::Str(Bytes::from(if cx.message.is_request() { "request" } else { "reply" }))
        }),
        readable("mb", "The whole message as it came.", |cx| text(Some(cx.message.bytes()))),
        readable("ml", "The length of the message.", |cx| Value::Int(cx.message.bytes().len() as i64)),
        readable("mi", "A number of the message within its process.", |cx| {
            Value::Int(((cx.began_ns / 1_000) & 0x7fff_ffff) as i64)
        }),
    ]
}

fn shown_status(cx: &Context) -> Option<i64> {
    let failed = cx.transaction.filter(|t| t.status > 0);
    match failed {
        Some(failed) => (!failed.is_local).then(|| failed.status.into()),
        None => leaving_status(cx).map(i64::from),
    }
}

/// The status of the reply as it will be sent on.
pub fn leaving_status(cx: &Context) -> Option<u16> {
    cx.edits.replaced_status(&cx.message).or_else(|| cx.message.status())
}

fn fields() -> Vec<Variable<Context>> {
    vec![
        readable("ci", "The Call-ID.", |cx| text(cx.message.call_id().ok())),
        readable("cs", "The number of the CSeq.", |cx| {
            let number = cx.message.cseq().ok().map(|cseq| Bytes::decimal(cseq.number.into()));
            number.map_or(Value::Null, Value::Str)
        }),
        readable("ua", "The User-Agent.", |cx| text(cx.message.header(HeaderName::UserAgent))),
        readable("cl", "The Content-Length.", |cx| {
            cx.message.content_length().map_or(Value::Null, |n| Value::Int(n.into()))
        }),
    ]
}

/// The method of a request, or of the request that a reply answers.
pub(crate) fn method(cx: &Context) -> &[u8] {
    match cx.message.kind() {
        Kind::Request { .. } => cx.message.method_text(),
        Kind::Reply { .. } => cx.message.cseq().map(|cseq| cseq.method_text).unwrap_or_default(),
    }
}

/// Each method has a number of its own: a power of two, none of which a script is likely to name.
fn method_number(name: &[u8]) -> i64 {
    let known = [
        Method::Invite,
        Method::Cancel,
        Method::Ack,
        Method::Bye,
        Method::Info,
        Method::Options,
        Method::Update,
        Method::Register,
        Method::Message,
        Method::Subscribe,
        Method::Notify,
        Method::Prack,
        Method::Refer,
        Method::Publish,
    ];
    let at = known.iter().position(|method| *method == Method::of(name)).unwrap_or(known.len());
    1 << at
}

/// A variable that is 1 or 0 to operators and reads `true` or `false`.
pub(super) fn truth(name: &'static str, doc: &'static str, is: fn(&Context) -> bool) -> Variable<Context> {
    Variable::declared(name, doc, move |_| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(Truth(is));
        Ok(accessor)
    })
}

struct Truth(fn(&Context) -> bool);

impl Accessor<Context> for Truth {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        Value::from((self.0)(cx))
    }

    fn print(&self, cx: &mut Context, _: Index, out: &mut Vec<u8>) {
        print_truth((self.0)(cx), out);
    }
}

/// How a format string shows a truth.
pub(super) fn print_truth(truth: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if truth { b"true" } else { b"false" });
}

/// A part of the body: its type without parameters, and its bytes.
type BodyPart<'a> = (&'a [u8], &'a [u8]);

/// The parts of the body; a body that is not made of parts is one itself, if its type is known.
fn parts(cx: &Context) -> Vec<BodyPart<'_>> {
    let Ok(Some(content_type)) = cx.message.content_type() else { return Vec::new() };
    if cx.message.body().is_empty() {
        return Vec::new();
    }
    if !content_type.is_multipart() {
        return vec![(without_parameters(&content_type), cx.message.body())];
    }
    let Ok(parts) = cx.message.parts() else { return Vec::new() };
    parts
        .map_while(Result::ok)
        .map(|part| {
            let declared = part.header(HeaderName::ContentType).unwrap_or(b"text/plain");
            let kind = ContentTypeRef::parse(declared, &Limits::default());
            (kind.map_or(declared, |kind| without_parameters(&kind)), part.body())
        })
        .collect()
}

fn without_parameters<'a>(content_type: &ContentTypeRef<'a>) -> &'a [u8] {
    let text = content_type.text();
    let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
    text[..end].trim_ascii()
}

/// `$cT`, `$(cT[n])` and `$(cT[*])`, which begins with the type of the whole.
struct ContentTypes;

impl Accessor<Context> for ContentTypes {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let whole = cx.message.header(HeaderName::ContentType);
        match index {
            Index::Unset | Index::Append => text(whole),
            Index::Nth(_) => {
                let parts = parts(cx);
                text(nth(index, parts.len()).map(|at| parts[at].0))
            }
            Index::All => {
                let Some(whole) = whole else { return Value::Null };
                let kinds: Vec<&[u8]> =
                    std::iter::once(whole).chain(parts(cx).into_iter().map(|part| part.0)).collect();
                Value::Str(Bytes::from(kinds.join(&BETWEEN[..1])))
            }
        }
    }
}

/// `$rb` and `$rb(type)`
struct Body(Option<Bytes>);

fn body(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let kind = site.sub().map(|_| site.literal_sub()).transpose()?;
    if let Some(kind) = &kind
        && !kind.contains(&b'/')
    {
        return Err(ArgError::new(format!("$rb: `{}` is not a type such as application/sdp", kind.lossy())));
    }
    Ok(Rc::new(Body(kind)))
}

impl Accessor<Context> for Body {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        if self.0.is_none() && !matches!(index, Index::Nth(_)) {
            return text(Some(cx.message.body()).filter(|body| !body.is_empty()));
        }
        let of_kind = |kind: &[u8]| self.0.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind));
        let parts: Vec<&[u8]> =
            parts(cx).into_iter().filter(|part| of_kind(part.0)).map(|part| part.1).collect();
        text(nth(index, parts.len()).map(|at| parts[at]))
    }
}
