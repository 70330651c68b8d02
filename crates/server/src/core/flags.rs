//! Flags of the message, of its branches and of the script (manual, "Script Flags").

use std::rc::Rc;

use tocsin_script::{ArgError, Call, Function, Param, ParamKind, Routes, Site, Value, Variable};

use super::values::computed;
use crate::context::Context;
use crate::flag_names::FlagNames;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        computed("mF", |cx| Value::Int(cx.flags.into())),
        computed("bf", |cx| Value::Int(cx.targets.main.flags.into())),
        computed("sf", |cx| Value::Int(cx.script_flags.into())),
    ]
}

/// What a function does to a word of flags with one bit of it.
type Act = fn(&mut u32, u32) -> bool;
/// Which word.
type Word = for<'a> fn(&'a mut Context) -> &'a mut u32;

pub(super) fn functions(names: &FlagNames) -> Vec<Function<Context>> {
    const FLAG: &[Param] = &[Param::required("flag", ParamKind::StrOrInt)];
    let words: [(&str, &str, &str, Word); 3] = [
        ("setflag", "resetflag", "isflagset", |cx| &mut cx.flags),
        ("setbflag", "resetbflag", "isbflagset", |cx| &mut cx.targets.main.flags),
        ("setsflag", "resetsflag", "issflagset", |cx| &mut cx.script_flags),
    ];
    let mut all = Vec::new();
    for (set, reset, is_set, word) in words {
        let acts: [(&'static str, Act); 3] = [
            (set, |word, bit| {
                *word |= bit;
                true
            }),
            (reset, |word, bit| {
                *word &= !bit;
                true
            }),
            (is_set, |word, bit| *word & bit != 0),
        ];
        for (name, act) in acts {
            let names = names.clone();
            all.push(Function::new(name, FLAG, Routes::ANY, move |site| {
                let bit = flag(site, &names)?;
                let call: Call<Context> = Rc::new(move |cx, _| act(word(cx), bit).into());
                Ok(call)
            }));
        }
    }
    all
}

fn flag(site: &Site<'_, Context>, names: &FlagNames) -> Result<u32, ArgError> {
    let constant = site.constant(0).ok_or_else(|| ArgError::at(0, "a flag is named by a constant"))?;
    names.bit(constant).map_err(|problem| ArgError::at(0, problem))
}
