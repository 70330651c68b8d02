//! `avp_pushto()`: a value becomes the Request-URI, a part of it, the next hop, or a branch.

use std::rc::Rc;

use tocsin_script::{
    ArgError, Bound, Bytes, Call, Function, Index, Param, ParamKind, Part, Routes, Site, Value,
};
use tocsin_server::Context;
use tocsin_server::core::{set_host, set_next_hop, set_uri, set_user};
use tocsin_server::target::{MAX_BRANCHES, Target};

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Uri,
    User,
    Host,
    NextHop,
    Branch,
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const PUSH: &[Param] =
        &[Param::required("destination", ParamKind::Parts), Param::required("name", ParamKind::Parts)];
    let push = Function::new("avp_pushto", PUSH, Routes::ANY, |site| {
        let destination = destination(site)?;
        let (source, all) = source(site)?;
        let call: Call<Context> = Rc::new(move |cx, _| push(cx, destination, &source, all).into());
        Ok(call)
    });
    vec![push.doc(
        "Puts the newest value of an AVP, or another variable, into the request. Destinations: `$ru`, `$ru/username`, \
         `$ru/domain`, `$du`, `$branch` (a further branch). With `/g` behind the second argument all values are used: \
         those behind the first become branches. 1: done; -1: there is no value, or it does not fit.",
    )]
}

fn destination(site: &Site<'_, Context>) -> Result<Destination, ArgError> {
    let parts = site.parts(0);
    let (variable, part) = match &*parts {
        [Part::Variable(bound)] => (bound.name(), &b""[..]),
        [Part::Variable(bound), Part::Text(part)] => (bound.name(), &**part),
        _ => ("", &b""[..]),
    };
    match (variable, part) {
        ("ru" | "ruri", b"") => Ok(Destination::Uri),
        ("ru" | "ruri", b"/username") => Ok(Destination::User),
        ("ru" | "ruri", b"/domain") => Ok(Destination::Host),
        ("du" | "duri", b"") => Ok(Destination::NextHop),
        ("branch", b"") => Ok(Destination::Branch),
        _ => Err(ArgError::at(0, "write $ru, $ru/username, $ru/domain, $du or $branch")),
    }
}

fn source(site: &Site<'_, Context>) -> Result<(Rc<Bound<Context>>, bool), ArgError> {
    match &*site.parts(1) {
        [Part::Variable(bound)] => Ok((Rc::clone(bound), false)),
        [Part::Variable(bound), Part::Text(flags)] if flags.eq_ignore_ascii_case(b"/g") => {
            Ok((Rc::clone(bound), bound.name() == "avp"))
        }
        _ => Err(ArgError::at(1, "a variable is needed, perhaps with `/g` behind it")),
    }
}

fn push(cx: &mut Context, destination: Destination, source: &Bound<Context>, all: bool) -> bool {
    if !all {
        let value = source.read(cx);
        return put(cx, destination, &value);
    }
    let read = |nth| source.read_at(cx, Index::Nth(nth));
    let values: Vec<_> = (0..MAX_BRANCHES as i64).map(read).take_while(|value| !value.is_null()).collect();
    let Some((first, others)) = values.split_first() else { return false };
    if !put(cx, destination, first) {
        return false;
    }
    for value in others {
        let main = cx.targets.main.clone();
        let fits = put(cx, destination, value);
        let further = std::mem::replace(&mut cx.targets.main, main);
        if !fits || destination != Destination::Branch && !cx.targets.append(further) {
            return false;
        }
    }
    true
}

fn put(cx: &mut Context, destination: Destination, value: &Value) -> bool {
    let Some(text) = value.to_bytes() else { return false };
    let text_value = || Value::Str(Bytes::clone(&text));
    let written = match destination {
        Destination::Uri => set_uri(cx, &text_value()),
        Destination::User => set_user(cx, &text),
        Destination::Host => set_host(cx, &text),
        Destination::NextHop => set_next_hop(cx, &text_value()),
        Destination::Branch => {
            return cx.targets.append(Target { uri: Some(text), ..Target::default() });
        }
    };
    if let Err(cause) = &written {
        tracing::error!("avp_pushto: {cause}");
    }
    written.is_ok()
}
