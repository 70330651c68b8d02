//! Flags of the message, of its branches and of the script (manual, "Script Flags").

use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bytes, Call, Function, Index, Naming, Outcome, Param, ParamKind, Routes, Site, Store,
    Value, Variable, WriteError,
};

use super::messages::print_truth;
use super::values::refused;
use crate::context::Context;
use crate::flag_names::FlagNames;

pub(super) fn variables(names: &FlagNames) -> Vec<Variable<Context>> {
    let flag_names = names.clone();
    vec![
        flag_list("mf", "The flags of the message that are set, by their names.", names, |cx| cx.flags),
        flag_list("bf", "The flags of the first branch that are set, by their names.", names, |cx| {
            cx.targets.main.flags
        }),
        Variable::declared("msg.flag", "A flag of the message: `true` or `false`.", move |site| {
            let name = site.literal_sub()?;
            let bit = flag_names.bit_of_variable(&name).map_err(ArgError::new)?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(MessageFlag(bit));
            Ok(accessor)
        })
        .named(Naming::Required("flag"))
        .settable(),
    ]
}

fn flag_list(
    name: &'static str,
    doc: &'static str,
    names: &FlagNames,
    flags: fn(&Context) -> u32,
) -> Variable<Context> {
    let names = names.clone();
    Variable::declared(name, doc, move |_| {
        let accessor: Rc<dyn Accessor<Context>> = Rc::new(FlagList { names: names.clone(), flags });
        Ok(accessor)
    })
}

/// `$mf` and `$bf`
struct FlagList {
    names: FlagNames,
    flags: fn(&Context) -> u32,
}

impl Accessor<Context> for FlagList {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        Value::Str(Bytes::from(self.names.shown((self.flags)(cx))))
    }
}

/// `$msg.flag(name)`
struct MessageFlag(u32);

impl Accessor<Context> for MessageFlag {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        Value::from(cx.flags & self.0 != 0)
    }

    fn print(&self, cx: &mut Context, _: Index, out: &mut Vec<u8>) {
        print_truth(cx.flags & self.0 != 0, out);
    }

    fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let Value::Int(value) = value else { return Err(refused("a flag is 1 or 0")) };
        cx.flags = if value != 0 { cx.flags | self.0 } else { cx.flags & !self.0 };
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

/// What a function does to a word of flags with one bit of it.
type Act = fn(&mut u32, u32) -> bool;
/// Which word; `None` if there is no such branch.
type Word = for<'a> fn(&'a mut Context, i64) -> Option<&'a mut u32>;

pub(super) fn functions(names: &FlagNames) -> Vec<Function<Context>> {
    const FLAG: &[Param] = &[Param::required("flag", ParamKind::Str)];
    const BRANCH_FLAG: &[Param] =
        &[Param::required("flag", ParamKind::Str), Param::optional("branch", ParamKind::Int)];
    const SET: Act = |word, bit| {
        *word |= bit;
        true
    };
    const RESET: Act = |word, bit| {
        *word &= !bit;
        true
    };
    const IS_SET: Act = |word, bit| *word & bit != 0;
    let of_message: Word = |cx, _| Some(&mut cx.flags);
    let of_script: Word = |cx, _| Some(&mut cx.script_flags);
    let all: [(&str, &[Param], Word, Act, &str); 9] = [
        ("setflag", FLAG, of_message, SET, "Sets a flag of the message. 1: always."),
        ("resetflag", FLAG, of_message, RESET, "Clears a flag of the message. 1: always."),
        (
            "isflagset",
            FLAG,
            of_message,
            IS_SET,
            "Whether a flag of the message is set. 1: it is; -1: it is not.",
        ),
        (
            "setbflag",
            BRANCH_FLAG,
            branch_flags,
            SET,
            "Sets a flag of a branch. 1: done; -1: there is no such branch.",
        ),
        (
            "resetbflag",
            BRANCH_FLAG,
            branch_flags,
            RESET,
            "Clears a flag of a branch. 1: done; -1: there is no such branch.",
        ),
        (
            "isbflagset",
            BRANCH_FLAG,
            branch_flags,
            IS_SET,
            "Whether a flag of a branch is set. 1: it is; -1: it is not.",
        ),
        ("setsflag", FLAG, of_script, SET, "Sets a flag of the script run. 1: always."),
        ("resetsflag", FLAG, of_script, RESET, "Clears a flag of the script run. 1: always."),
        (
            "issflagset",
            FLAG,
            of_script,
            IS_SET,
            "Whether a flag of the script run is set. 1: it is; -1: it is not.",
        ),
    ];
    all.into_iter()
        .map(|(name, params, word, act, doc)| function(names, name, params, word, act).doc(doc))
        .collect()
}

/// Does `act` with a flag in `word`.
fn function(
    names: &FlagNames,
    name: &'static str,
    params: &'static [Param],
    word: Word,
    act: Act,
) -> Function<Context> {
    let names = names.clone();
    Function::new(name, params, Routes::ANY, move |site| {
        let bit = flag(site, &names)?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let branch = arguments.get(1).and_then(Value::to_int).unwrap_or(0);
            word(cx, branch).map_or(Outcome::FALSE, |word| act(word, bit).into())
        });
        Ok(call)
    })
}

/// The flags of the first branch, 0, or of one that was appended.
fn branch_flags(cx: &mut Context, branch: i64) -> Option<&mut u32> {
    let Some(appended) = usize::try_from(branch).ok()?.checked_sub(1) else {
        return Some(&mut cx.targets.main.flags);
    };
    cx.targets.others.get_mut(appended).map(|target| &mut target.flags)
}

fn flag(site: &Site<'_, Context>, names: &FlagNames) -> Result<u32, ArgError> {
    let name = site.constant_str(0).ok_or_else(|| ArgError::at(0, "a flag is named by a constant"))?;
    if name.is_empty() {
        return Err(ArgError::at(0, "a flag has a name"));
    }
    names.bit(&Value::Str(name.clone())).map_err(|problem| ArgError::at(0, problem))
}
