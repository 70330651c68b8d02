//! What changes AVPs as a whole: `avp_delete()`, `avp_copy()`, `avp_subst()`, `avp_shuffle()`; and what looks at them:
//! `is_avp_set()`, `avp_print()`.

use std::rc::Rc;

use tocsin_script::{
    ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Part, Routes, Site, Substitution, Value,
};
use tocsin_server::Context;

use super::written::{Avp, Flags, avp_with_flags, two_avps};

const NAME: &[Param] = &[Param::required("name", ParamKind::Parts)];

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![delete(), copy(), subst(), shuffle(), is_set(), print()]
}

/// Done, or there was nothing to do it with.
fn outcome(done: bool) -> Outcome<Context> {
    done.into()
}

/// AVPs without a name: `a` all, `i` numbers, `s` texts.
fn kind_of(parts: &[Part<Context>]) -> Option<(u8, bool)> {
    let [Part::Text(text)] = parts else { return None };
    let (kind, flags) = match text.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&text[..slash], &text[slash + 1..]),
        None => (&**text, &b""[..]),
    };
    let [kind] = kind else { return None };
    let kind = kind.to_ascii_lowercase();
    let all = flags.eq_ignore_ascii_case(b"g");
    (b"ais".contains(&kind) && (all || flags.is_empty())).then_some((kind, all))
}

fn delete() -> Function<Context> {
    Function::new("avp_delete", NAME, Routes::ANY, |site| {
        if let Some((kind, all)) = kind_of(&site.parts(0)) {
            let call: Call<Context> = Rc::new(move |cx, _| {
                let wanted = |value: &Value| match kind {
                    b'i' => matches!(value, Value::Int(_)),
                    b's' => matches!(value, Value::Str(_)),
                    _ => true,
                };
                outcome(cx.avps.remove_where(all, wanted))
            });
            return Ok(call);
        }
        let (avp, flags) = avp_with_flags(site, 0, b"g")?;
        let call: Call<Context> = Rc::new(move |cx, _| {
            let is_there = !avp.chosen(cx, false).is_empty();
            if flags.has(b'g') {
                avp.clear(cx);
            } else if is_there {
                avp.remove(cx, 0);
            }
            outcome(is_there)
        });
        Ok(call)
    })
    .doc(
        "Removes the newest value of an AVP, or with `/g` all. In place of an AVP, `a`, `i` or `s` stands for AVPs of \
         any name with any value, a number or a text. 1: done; -1: there is none.",
    )
}

fn copy() -> Function<Context> {
    const FROM_TO: &[Param] =
        &[Param::required("from_avp", ParamKind::Parts), Param::required("to_avp", ParamKind::Parts)];
    Function::new("avp_copy", FROM_TO, Routes::ANY, |site| {
        let (from, _) = avp_with_flags(site, 0, b"")?;
        let (to, flags) = avp_with_flags(site, 1, b"gdns")?;
        let call: Call<Context> = Rc::new(move |cx, _| {
            let values = from.chosen(cx, flags.has(b'g'));
            if flags.has(b'd') {
                values.iter().for_each(|_| from.remove(cx, 0));
            }
            let is_there = !values.is_empty();
            outcome(is_there && values.into_iter().all(|value| to.push(cx, as_kind(value, &flags))))
        });
        Ok(call)
    })
    .doc(
        "Copies the newest value of an AVP to another one. Flags of the second: `g` all values, `d` the source is \
         removed, `n` a text becomes a number, `s` a number becomes a text. 1: done; -1: there is none.",
    )
}

/// The value as a number or a text, if flags ask for one.
fn as_kind(value: Value, flags: &Flags) -> Value {
    match &value {
        Value::Str(_) if flags.has(b'n') => value.to_int().map_or(value, Value::Int),
        Value::Int(_) if flags.has(b's') => value.to_bytes().map_or(value, Value::Str),
        _ => value,
    }
}

fn subst() -> Function<Context> {
    const SUBST: &[Param] =
        &[Param::required("avps", ParamKind::Parts), Param::required("subst", ParamKind::Substitution)];
    Function::new("avp_subst", SUBST, Routes::ANY, |site| {
        let (source, destination, flags) = two_avps(site, 0, b"gd")?;
        let substitution = site.substitution(1).ok_or_else(|| ArgError::at(1, "a substitution is needed"))?;
        let replacement = Replacement { source, destination, flags, substitution };
        let call: Call<Context> = Rc::new(move |cx, _| outcome(replacement.run(cx)));
        Ok(call)
    })
    .doc(
        "Replaces what an expression matches in the newest text of an AVP, and puts the result in its place or into \
         another AVP: `$avp(a)/$avp(b)/flags`. Flags: `g` all texts, `d` the source is removed. 1: done; -1: no match.",
    )
}

/// A call of `avp_subst()`.
struct Replacement {
    source: Avp,
    /// Where the new texts go, if not in place of the old ones.
    destination: Option<Avp>,
    flags: Flags,
    substitution: Rc<Substitution<Context>>,
}

impl Replacement {
    /// `false` if no text matches.
    fn run(&self, cx: &mut Context) -> bool {
        let texts_wanted = if self.flags.has(b'g') { usize::MAX } else { 1 };
        let removes = self.destination.is_none() || self.flags.has(b'd');
        let to = self.destination.as_ref().unwrap_or(&self.source);
        let values = self.source.all(cx);
        let texts = values.iter().enumerate().filter_map(|(nth, value)| match value {
            Value::Str(text) => Some((nth, text)),
            _ => None,
        });
        let (mut any, mut removed, mut pushed) = (false, 0, 0);
        for (nth, text) in texts.take(texts_wanted) {
            let Some(new) = self.substitution.replaced(cx, text) else { continue };
            any = true;
            if removes {
                self.source.remove(cx, nth - removed + pushed);
                removed += 1;
            }
            // A new value stands before all that an AVP has.
            pushed += usize::from(to.push(cx, Value::Str(new)) && self.destination.is_none());
        }
        any
    }
}

fn shuffle() -> Function<Context> {
    Function::new("avp_shuffle", NAME, Routes::ANY, |site| {
        let (avp, _) = avp_with_flags(site, 0, b"")?;
        let call: Call<Context> = Rc::new(move |cx, _| {
            let mut values = avp.all(cx);
            for last in (1..values.len()).rev() {
                let other = (cx.worker.unique() % (last as u64 + 1)) as usize;
                values.swap(last, other);
            }
            let is_there = !values.is_empty();
            for (nth, value) in values.into_iter().enumerate() {
                avp.replace(cx, nth, value);
            }
            outcome(is_there)
        });
        Ok(call)
    })
    .doc("Puts the values of an AVP into a random order. 1: done; -1: there is none.")
}

fn is_set() -> Function<Context> {
    Function::new("is_avp_set", NAME, Routes::ANY, |site| {
        let (avp, flags) = avp_with_flags(site, 0, b"esn")?;
        let call: Call<Context> = Rc::new(move |cx, _| outcome(is_of_kind(&avp, &flags, cx)));
        Ok(call)
    })
    .doc(
        "Checks whether an AVP has a value. Flags ask of the newest one: `e` it is empty or 0, `s` it is a text, `n` it \
         is a number. 1: it is; -1: it is not.",
    )
}

fn is_of_kind(avp: &Avp, flags: &Flags, cx: &mut Context) -> bool {
    let Some(value) = avp.chosen(cx, false).pop() else { return false };
    let is_empty = match &value {
        Value::Int(number) => *number == 0,
        Value::Str(text) => text.is_empty(),
        Value::Null => true,
    };
    (!flags.has(b'e') || is_empty)
        && (!flags.has(b's') || matches!(value, Value::Str(_)))
        && (!flags.has(b'n') || matches!(value, Value::Int(_)))
}

fn print() -> Function<Context> {
    Function::new("avp_print", &[], Routes::ANY, |_: &Site<'_, Context>| {
        let call: Call<Context> = Rc::new(|cx, _| {
            for (name, value) in cx.avps.iter() {
                let value = value.to_bytes().unwrap_or(Bytes::EMPTY);
                tracing::info!("$avp({}): `{}`", name.escape_ascii(), value.escape_ascii());
            }
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc("Logs all AVPs of the message. 1: always.")
}
