//! The branches of a request beside the first: `$branch`, `$branch.flag`, `$ds`, and the functions on them.

use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bytes, Call, Function, Index, Indexes, Naming, Outcome, Param, ParamKind, Routes,
    Store, Value, VarSite, Variable, WriteError,
};

use super::messages::print_truth;
use super::request_uri::check;
use super::routing::listener_named;
use super::serial;
use super::values::{BETWEEN, as_text, nth, readable, refused};
use crate::context::Context;
use crate::flag_names::FlagNames;
use crate::target::{Target, printed_q};

pub(super) fn variables(flags: &FlagNames) -> Vec<Variable<Context>> {
    let (names, flag_names) = (flags.clone(), flags.clone());
    vec![
        Variable::declared(
            "branch",
            "The branches that were appended: their URIs, or the fields `uri`, `duri`, `q`, `path`, `flags` and `socket` of \
             them. A URI that is assigned appends a branch.",
            move |site| branch(site, &names),
        )
        .named(Naming::Optional("field"))
        .indexed(Indexes::List)
        .settable(),
        Variable::declared("branch.flag", "A flag of an appended branch: `true` or `false`.", move |site| {
            let name = site.literal_sub()?;
            let bit = flag_names.bit_of_variable(&name).map_err(ArgError::new)?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(BranchFlag(bit));
            Ok(accessor)
        })
        .named(Naming::Required("flag"))
        .indexed(Indexes::List)
        .settable(),
        readable("ds", "The destinations as a Contact field: the changed Request-URI and the branches.", |cx| {
            cx.targets.contacts().map_or(Value::Null, |text| Value::Str(Bytes::from(text)))
        }),
    ]
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const BRANCH: &[Param] = &[Param::optional("uri", ParamKind::Str), Param::optional("q", ParamKind::Str)];
    const POSITION: &[Param] = &[Param::required("branch", ParamKind::Int)];
    const SERIALIZE: &[Param] =
        &[Param::required("clear", ParamKind::Int), Param::optional("keep order", ParamKind::Int)];
    vec![
        Function::new("append_branch", BRANCH, Routes::ANY, |site| {
            if let Some(q) = site.constant_str(1) {
                thousandths(q).ok_or_else(|| ArgError::at(1, "a preference is a number from 0 to 1"))?;
            }
            let call: Call<Context> = Rc::new(|cx, arguments| append_branch(cx, arguments).into());
            Ok(call)
        })
        .doc(
            "Adds a branch: with the given URI, or a copy of the first branch. 1: done; -1: the \
             URI is malformed, or there are too many branches.",
        ),
        Function::new("remove_branch", POSITION, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let at = arguments[0].to_int().and_then(|at| usize::try_from(at).ok());
                let at = at.filter(|at| *at < cx.targets.others.len());
                at.map(|at| cx.targets.others.remove(at)).is_some().into()
            });
            Ok(call)
        })
        .doc("Removes an appended branch, by its position from 0. 1: done; -1: there is no such branch."),
        Function::new("serialize_branches", SERIALIZE, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let keeps_order = arguments[1].to_int().is_some_and(|keeps| keeps != 0);
                serial::wait(cx, arguments[0].to_int().is_some_and(|clear| clear != 0), keeps_order);
                Outcome::TRUE
            });
            Ok(call)
        })
        .doc(
            "Sorts the branches into groups of equal preference for next_branches(); `clear` \
             removes what was sorted before, `keep order` sorts by order and not by `q`. 1: \
             always.",
        ),
        Function::new("next_branches", &[], Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, _| Outcome::Done(serial::next(cx)));
            Ok(call)
        })
        .doc(
            "Makes the next group of branches the current one. 1: done, and more follow; 2: done, \
             and it was the last; -1: there is none.",
        ),
    ]
}

/// A copy of the first branch with its next hop, or a branch of its own URI.
fn append_branch(cx: &mut Context, arguments: &[Value]) -> bool {
    let q = as_text(&arguments[1]).and_then(|q| thousandths(&q));
    let branch = match as_text(&arguments[0]).filter(|uri| !uri.is_empty()) {
        Some(uri) => {
            if let Err(cause) = check(&uri) {
                tracing::error!("append_branch: {cause}");
                return false;
            }
            Target { uri: Some(uri), q: q.unwrap_or(-1), ..Target::default() }
        }
        None => {
            let uri = Some(Bytes::new(cx.request_uri()));
            let main = Target { next_hop: cx.targets.main.next_hop.take(), ..cx.targets.main.clone() };
            Target { uri, q: q.unwrap_or(main.q), ..main }
        }
    };
    cx.targets.append(branch)
}

/// `0.5` is 500.
fn thousandths(q: &[u8]) -> Option<i32> {
    let q: f64 = std::str::from_utf8(q).ok()?.trim().parse().ok()?;
    (0.0..=1.0).contains(&q).then(|| (q * 1000.0).round() as i32)
}

type ReadField = fn(&Context, &Target, &FlagNames) -> Option<Bytes>;
type WriteField = fn(&Context, &mut Target, Value, &FlagNames) -> Result<(), WriteError>;
/// A field's name, how it is read, and how it is assigned.
type Field = (&'static str, ReadField, WriteField);

const FIELDS: [Field; 6] = [
    (
        "uri",
        |_, branch, _| branch.uri.clone(),
        |_, branch, value, _| {
            branch.uri = Some(needed(value)?);
            Ok(())
        },
    ),
    (
        "duri",
        |_, branch, _| branch.next_hop.clone(),
        |_, branch, value, _| {
            branch.next_hop = checked(value)?;
            Ok(())
        },
    ),
    (
        "q",
        |_, branch, _| (branch.q >= 0).then(|| Bytes::from(printed_q(branch.q))),
        |_, branch, value, _| {
            branch.q = match value {
                Value::Int(q @ 0..=1000) => q as i32,
                Value::Null => -1,
                _ => return Err(refused("the preference is a number from 0 to 1000")),
            };
            Ok(())
        },
    ),
    (
        "path",
        |_, branch, _| branch.path.clone(),
        |_, branch, value, _| {
            branch.path = checked(value)?;
            Ok(())
        },
    ),
    (
        "flags",
        |_, branch, names| Some(Bytes::from(names.shown(branch.flags))),
        |_, branch, value, names| {
            let flags = as_text(&value).unwrap_or_default();
            branch.flags = names.read(&flags);
            Ok(())
        },
    ),
    (
        "socket",
        |cx, branch, _| {
            let listener = cx.server().network.sockets.listener(branch.socket?);
            Some(Bytes::from(listener.name.as_str()))
        },
        |cx, branch, value, _| {
            let Some(name) = as_text(&value) else {
                branch.socket = None;
                return Ok(());
            };
            let found = listener_named(cx.server(), &name.lossy());
            branch.socket = Some(found.ok_or_else(|| refused("no `socket=` of this name"))?.id);
            Ok(())
        },
    ),
];

/// A text that may become part of a message.
fn checked(value: Value) -> Result<Option<Bytes>, WriteError> {
    let text = match value {
        Value::Int(_) => return Err(refused("a string is needed, and not a number")),
        other => as_text(&other).filter(|text| !text.is_empty()),
    };
    if let Some(text) = &text {
        check(text)?;
    }
    Ok(text)
}

fn needed(value: Value) -> Result<Bytes, WriteError> {
    checked(value)?.ok_or_else(|| refused("the URI of a branch cannot be NULL"))
}

/// `$branch` and `$branch(field)`
struct Branch {
    field: &'static Field,
    /// No field is named: what is assigned is a new branch.
    whole: bool,
    names: FlagNames,
}

fn branch(site: &VarSite<'_, Context>, names: &FlagNames) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let names = names.clone();
    if site.sub().is_none() {
        return Ok(Rc::new(Branch { field: &FIELDS[0], whole: true, names }));
    }
    let name = site.literal_sub()?;
    let name = name.lossy();
    let field = FIELDS.iter().find(|(field, ..)| *field == name).ok_or_else(|| {
        ArgError::new(format!("$branch has no field `{name}`"))
            .suggest(&name, FIELDS.iter().map(|(field, ..)| *field))
    })?;
    Ok(Rc::new(Branch { field, whole: false, names }))
}

impl Accessor<Context> for Branch {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let others = &cx.targets.others;
        if index == Index::All {
            let values: Vec<Bytes> = others
                .iter()
                .map(|branch| (self.field.1)(cx, branch, &self.names).unwrap_or_default())
                .collect();
            return match values.is_empty() {
                true => Value::Null,
                false => Value::Str(Bytes::from(values.join(BETWEEN))),
            };
        }
        let at = nth(index, others.len());
        let value = at.and_then(|at| (self.field.1)(cx, &others[at], &self.names));
        value.filter(|value| !value.is_empty()).map_or(Value::Null, Value::Str)
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, _: Store) -> Result<(), WriteError> {
        if self.whole && index == Index::Unset {
            let branch = Target { uri: Some(needed(value)?), q: -1, ..Target::default() };
            return match cx.targets.append(branch) {
                true => Ok(()),
                false => Err(refused("there are as many branches as there may be")),
            };
        }
        let at = if index == Index::All { None } else { nth(index, cx.targets.others.len()) };
        let at = at.ok_or_else(|| refused("there is no such branch"))?;
        let mut branch = cx.targets.others[at].clone();
        (self.field.2)(cx, &mut branch, value, &self.names)?;
        cx.targets.others[at] = branch;
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

/// `$branch.flag(name)`
struct BranchFlag(u32);

impl BranchFlag {
    fn find(&self, cx: &Context, index: Index) -> Option<bool> {
        let at = nth(index, cx.targets.others.len())?;
        Some(cx.targets.others[at].flags & self.0 != 0)
    }
}

impl Accessor<Context> for BranchFlag {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        self.find(cx, index).map_or(Value::Null, Value::from)
    }

    fn print(&self, cx: &mut Context, index: Index, out: &mut Vec<u8>) {
        match self.find(cx, index) {
            Some(set) => print_truth(set, out),
            None => Value::Null.append_to(out),
        }
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let Value::Int(value) = value else { return Err(refused("a flag is 1 or 0")) };
        let at = nth(index, cx.targets.others.len()).ok_or_else(|| refused("there is no such branch"))?;
        let flags = &mut cx.targets.others[at].flags;
        *flags = if value != 0 { *flags | self.0 } else { *flags & !self.0 };
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_and_printed() {
        for (text, q) in [("0.5", 500), ("1", 1000), ("0", 0), ("0.025", 25)] {
            assert_eq!(thousandths(text.as_bytes()), Some(q));
            assert_eq!(printed_q(q), text);
        }
        assert_eq!(thousandths(b"9"), None);
        assert_eq!(thousandths(b"x"), None);
    }
}
