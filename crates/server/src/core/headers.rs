//! Variables that show header fields: `$hdr`, `$hdrcnt`, `$hdr_name`, `$ct` and `$ct.fields`.

use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Indexes, Naming, SubName, Value, VarSite, Variable};
use tocsin_sip::{HeaderName, HeaderRef, Limits, NameAddrRef};

use super::values::{chosen, joined, nth, text};
use crate::context::Context;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        Variable::declared(
            "hdr",
            "The body of a header field, as it came. `[n]` is the n-th field of that name.",
            header,
        )
        .named(Naming::Required("name"))
        .indexed(Indexes::List),
        Variable::declared("hdrcnt", "How many header fields of that name there are.", |site| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(HeaderCount(site.required_sub()?));
            Ok(accessor)
        })
        .named(Naming::Required("name")),
        Variable::declared("hdr_name", "The name of a header field, by its place in the message.", |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(HeaderNames);
            Ok(accessor)
        })
        .indexed(Indexes::List),
        Variable::declared("ct", "A contact of the message, from its Contact fields.", |_| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Contacts(|contact| Some(contact)));
            Ok(accessor)
        })
        .indexed(Indexes::List),
        Variable::declared(
            "ct.fields",
            "A part of a contact: `name`, `uri`, `q`, `expires`, `methods`, `received` or `params`.",
            contact_field,
        )
        .named(Naming::Required("field"))
        .indexed(Indexes::List),
    ]
}

/// `$hdr(name)`, `$(hdr(name)[1])`, `$(hdr(name)[*])`.
struct Header(SubName<Context>);

fn header(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    Ok(Rc::new(Header(site.required_sub()?)))
}

impl Accessor<Context> for Header {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let Some(name) = super::as_text(&self.0.value(cx)) else { return Value::Null };
        if name.eq_ignore_ascii_case(b"s") {
            // the short form of Subject stands for itself only, as in OpenSIPS
            let values: Vec<&[u8]> = cx
                .message
                .all_headers()
                .filter(|header| header.name_text.eq_ignore_ascii_case(&name))
                .map(|header| header.value)
                .collect();
            return chosen(&values, index);
        }
        let mut values = cx.message.headers_by_text(&name).map(|header| shown(cx, &header));
        match index {
            Index::All => joined(values),
            Index::Unset | Index::Append => text(values.next()),
            Index::Nth(n) if n >= 0 => text(usize::try_from(n).ok().and_then(|n| values.nth(n))),
            Index::Nth(_) => {
                let count = cx.message.headers_by_text(&name).count();
                text(nth(index, count).and_then(|at| values.nth(at)))
            }
        }
    }
}

/// The value of a header field as it came; of Max-Forwards, what is left of it.
fn shown<'a>(cx: &'a Context, header: &HeaderRef<'a>) -> &'a [u8] {
    let counted = match header.name {
        HeaderName::MaxForwards => cx.edits.replaced_value(&cx.message, header.index),
        _ => None,
    };
    counted.unwrap_or(header.value)
}

struct HeaderCount(SubName<Context>);

impl Accessor<Context> for HeaderCount {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        let Some(name) = super::as_text(&self.0.value(cx)) else { return Value::Null };
        Value::Int(cx.message.headers_by_text(&name).count() as i64)
    }
}

struct HeaderNames;

impl Accessor<Context> for HeaderNames {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        if index == Index::All {
            return joined(cx.message.all_headers().map(|header| header.name_text));
        }
        let found = nth(index, cx.message.header_count()).and_then(|at| cx.message.header_at(at));
        text(found.map(|header| header.name_text))
    }
}

type ContactPart = for<'a> fn(&'a [u8]) -> Option<&'a [u8]>;

/// `$ct` and `$ct.fields(part)`. Of several contacts, one that lacks the part counts as empty.
struct Contacts(ContactPart);

impl Accessor<Context> for Contacts {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let mut contacts = Vec::new();
        for header in cx.message.headers(HeaderName::Contact) {
            split_list(header.value, &mut contacts);
        }
        match index {
            Index::All => {
                let parts: Vec<&[u8]> =
                    contacts.iter().map(|contact| (self.0)(contact).unwrap_or_default()).collect();
                chosen(&parts, Index::All)
            }
            // `*` is no contact, and has no last one
            Index::Nth(n) if n < 0 && contacts == [b"*"] => Value::Null,
            _ => text(nth(index, contacts.len()).and_then(|at| (self.0)(contacts[at]))),
        }
    }
}

fn contact_field(site: &VarSite<'_, Context>) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let name = site.literal_sub()?;
    let name = name.lossy();
    let part = CONTACT_FIELDS.iter().find(|(field, _)| *field == name).map(|(_, part)| *part);
    let part = part.ok_or_else(|| {
        ArgError::new(format!("$ct.fields has no field `{name}`"))
            .suggest(&name, CONTACT_FIELDS.iter().map(|(field, _)| *field))
    })?;
    Ok(Rc::new(Contacts(part)))
}

const CONTACT_FIELDS: [(&str, ContactPart); 7] = [
    ("name", |contact| Some(parsed(contact)?.display()).filter(|name| !name.is_empty())),
    ("uri", |contact| Some(parsed(contact)?.uri_text()).filter(|uri| *uri != b"*")),
    ("q", |contact| parameter(contact, b"q")),
    ("expires", |contact| parameter(contact, b"expires")),
    ("methods", |contact| parameter(contact, b"methods")),
    ("received", |contact| parameter(contact, b"received")),
    ("params", |contact| {
        let params = parsed(contact)?.params().text().trim_ascii();
        let params = params.strip_prefix(b";").unwrap_or(params);
        Some(params).filter(|params| !params.is_empty())
    }),
];

fn parsed(contact: &[u8]) -> Option<NameAddrRef<'_>> {
    NameAddrRef::parse(contact.trim_ascii(), &Limits::default()).ok()
}

fn parameter<'a>(contact: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    Some(parsed(contact)?.param(name)?.inside_quotes())
}

/// The elements of a list, with the white space behind them.
pub(super) fn split_list<'a>(text: &'a [u8], out: &mut Vec<&'a [u8]>) {
    let (mut quoted, mut bracketed, mut escaped, mut begin) = (false, false, false, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => {
                out.push(text[begin..at].trim_ascii_start());
                begin = at + 1;
            }
            _ => {}
        }
    }
    out.push(text[begin..].trim_ascii_start());
}

/// The first element of a header field's list.
pub(super) fn first_of(cx: &Context, name: &[u8]) -> Option<Bytes> {
    let value = cx.message.header_by_text(name)?;
    let mut values = Vec::new();
    split_list(value, &mut values);
    values.first().map(|first| Bytes::new(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_quotes_and_brackets_are_no_separators() {
        let mut values = Vec::new();
        split_list(b"\"a,b\" <sip:c,d@e>;q=1 , <sip:f>", &mut values);
        assert_eq!(values, [&b"\"a,b\" <sip:c,d@e>;q=1 "[..], b"<sip:f>"]);
    }
}
