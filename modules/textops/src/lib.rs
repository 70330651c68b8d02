//! textops: searching and replacing in the text of a message. What is searched is the message as it came; what is replaced
//! shows in the message that leaves.
#![forbid(unsafe_code)]

mod pattern;

use std::ops::Range;
use std::rc::Rc;

use regex::bytes::Regex;
use tocsin_script::{
    Bytes, Call, Function, ModuleSpec, Outcome, Param, ParamKind, Routes, Substitution, Value, WriteError,
};
use tocsin_server::Context;
use tocsin_server::core::{set_uri, set_user};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::uri_text::UriText;
use tocsin_sip::Message;

use pattern::Pattern;

/// The most matches that one call replaces.
const MAX_MATCHES: usize = 1000;

/// Where the functions may be called.
const MESSAGES: Routes = Routes::REQUEST
    .union(Routes::REPLY)
    .union(Routes::FAILURE)
    .union(Routes::BRANCH)
    .union(Routes::LOCAL)
    .union(Routes::ERROR);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Textops;

impl Module for Textops {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = searches();
        functions.extend(replacements());
        functions.extend(substitutions());
        ModuleSpec { functions, ..ModuleSpec::new("textops") }
    }

    fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
        Ok(())
    }
}

/// The part of a message that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// With its first line.
    Message,
    /// Behind the first line, which is never changed as text.
    BehindFirstLine,
    Body,
}

impl Scope {
    fn range(self, message: &Message) -> Range<usize> {
        match self {
            Self::Message => 0..message.bytes().len(),
            Self::BehindFirstLine => message.headers_offset()..message.bytes().len(),
            Self::Body => message.body_range(),
        }
    }
}

/// Whether there is a match.
fn searches() -> Vec<Function<Context>> {
    const PATTERN: &[Param] = &[Param::required("re", ParamKind::Regex)];
    let search = |name, scope: Scope| {
        Function::new(name, PATTERN, MESSAGES, move |site| {
            let pattern = Pattern::new(site)?;
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let text = &cx.message.bytes()[scope.range(&cx.message)];
                pattern.now(&arguments[0]).is_some_and(|regex| regex.is_match(text)).into()
            });
            Ok(call)
        })
    };
    vec![
        search("search", Scope::Message).doc(
            "Searches the message for a regular expression, without regard to case; `^` and `$` match at each \
             line. 1: found; -1: not found.",
        ),
        search("search_body", Scope::Body)
            .doc("Searches the body for a regular expression, as search() does. 1: found; -1: not found."),
    ]
}

/// What is done to a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Append,
    Replace,
    ReplaceAll,
}

/// Regular expressions and the text that replaces them or follows.
fn replacements() -> Vec<Function<Context>> {
    const TWO: &[Param] = &[Param::required("re", ParamKind::Regex), Param::required("txt", ParamKind::Str)];
    let replace = |name, scope: Scope, change: Change| {
        Function::new(name, TWO, MESSAGES, move |site| {
            let pattern = Pattern::new(site)?;
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let text = arguments[1].as_str().unwrap_or_default();
                let regex = pattern.now(&arguments[0]);
                regex.is_some_and(|regex| change_matches(cx, &regex, scope, text, change)).into()
            });
            Ok(call)
        })
    };
    let (headers, body) = (Scope::BehindFirstLine, Scope::Body);
    vec![
        replace("search_append", headers, Change::Append).doc(
            "Puts a text behind the first match of a regular expression, which is searched behind the first line. \
             1: done; -1: not found.",
        ),
        replace("search_append_body", body, Change::Append)
            .doc("Puts a text behind the first match in the body. 1: done; -1: not found."),
        replace("replace", headers, Change::Replace).doc(
            "Replaces the first match of a regular expression, which is searched behind the first line. 1: done; \
             -1: not found.",
        ),
        replace("replace_body", body, Change::Replace)
            .doc("Replaces the first match in the body. 1: done; -1: not found."),
        replace("replace_all", headers, Change::ReplaceAll)
            .doc("Replaces all matches behind the first line. 1: done; -1: not found."),
        replace("replace_body_all", body, Change::ReplaceAll)
            .doc("Replaces all matches in the body, line by line. 1: done; -1: not found."),
        replace("replace_body_atonce", body, Change::ReplaceAll)
            .doc("The same as replace_body_all(). 1: done; -1: not found."),
    ]
}

/// Does to the matches what `change` says. `false` if there is none.
fn change_matches(cx: &mut Context, regex: &Regex, scope: Scope, text: &[u8], change: Change) -> bool {
    let most = if change == Change::ReplaceAll { MAX_MATCHES } else { 1 };
    let range = scope.range(&cx.message);
    let start = range.start;
    let found = regex.find_iter(&cx.message.bytes()[range]).take(most);
    let places: Vec<_> = found.map(|found| start + found.start()..start + found.end()).collect();
    for place in &places {
        apply(cx, place.clone(), text, change);
    }
    !places.is_empty()
}

fn apply(cx: &mut Context, place: Range<usize>, text: &[u8], change: Change) {
    match change {
        Change::Append => cx.edits.insert_text(&cx.message, place.end, text),
        // nothing would be written there, again and again
        Change::Replace | Change::ReplaceAll if place.is_empty() && text.is_empty() => {}
        Change::Replace | Change::ReplaceAll => cx.edits.replace_text(&cx.message, place, text),
    }
}

/// `/expression/replacement/flags`
fn substitutions() -> Vec<Function<Context>> {
    vec![
        substitution("subst", |cx, substitution| in_message(cx, substitution, Scope::BehindFirstLine)).doc(
            "Replaces what an expression matches behind the first line: `/expression/replacement/flags`, in which \
             `\\0` to `\\9` stand for the match and its groups, and variables for their values. Flags: `g` all \
             matches, `i` any case, `s` the text is one line. 1: done; -1: no match.",
        ),
        substitution("subst_body", |cx, substitution| in_message(cx, substitution, Scope::Body))
            .doc("The same in the body. 1: done; -1: no match."),
        substitution("subst_uri", |cx, substitution| {
            let uri = Bytes::new(cx.request_uri());
            let Some(new) = substitution.replaced(cx, &uri) else { return false };
            done("subst_uri", &set_uri(cx, &Value::Str(new)))
        })
        .doc("The same in the Request-URI. 1: done; -1: no match."),
        substitution("subst_user", |cx, substitution| {
            let Some(user) = UriText::of(cx.request_uri()).map(|uri| Bytes::new(uri.user.unwrap_or_default()))
            else {
                return false;
            };
            let Some(new) = substitution.replaced(cx, &user) else { return false };
            done("subst_user", &set_user(cx, &new))
        })
        .doc("The same in the user of the Request-URI. 1: done; -1: no match."),
    ]
}

fn substitution(
    name: &'static str,
    act: fn(&mut Context, &Substitution<Context>) -> bool,
) -> Function<Context> {
    const SUBSTITUTION: &[Param] = &[Param::required("subst", ParamKind::Substitution)];
    Function::new(name, SUBSTITUTION, MESSAGES, move |site| {
        let substitution = site.substitution(0);
        let call: Call<Context> = Rc::new(move |cx, _| {
            let done = substitution.as_ref().is_some_and(|substitution| act(cx, substitution));
            Outcome::from(done)
        });
        Ok(call)
    })
}

fn in_message(cx: &mut Context, substitution: &Substitution<Context>, scope: Scope) -> bool {
    let range = scope.range(&cx.message);
    let start = range.start;
    let text = Bytes::new(&cx.message.bytes()[range]);
    let replacements = substitution.replacements(cx, &text);
    for replacement in replacements.iter().take(MAX_MATCHES) {
        let place = start + replacement.place.start..start + replacement.place.end;
        cx.edits.replace_text(&cx.message, place, &replacement.text);
    }
    !replacements.is_empty()
}

fn done(name: &str, set: &Result<(), WriteError>) -> bool {
    if let Err(cause) = set {
        tracing::error!("{name}: {cause}");
    }
    set.is_ok()
}

#[cfg(test)]
mod tests;
