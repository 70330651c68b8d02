//! Flags of the message, of its branches and of the script (manual, "Script Flags").

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Param, ParamKind, Routes, Site, Value, Variable};

use super::computed;
use crate::context::Context;

/// Flags are bits of one word: their names are given numbers as they are met.
const FLAGS: u32 = 32;

/// The names of flags, in the script and in parameters. One name is the same bit everywhere, in flags of each kind.
#[derive(Debug, Clone, Default)]
pub struct FlagNames(Rc<RefCell<Vec<Bytes>>>);

impl FlagNames {
    /// The bit of a flag that is given by its name or its number. To be asked before the first fork only: later names
    /// would be other bits in each process.
    ///
    /// # Errors
    /// When there are no bits left for the name, or the number is none of a flag.
    pub fn bit(&self, flag: &Value) -> Result<u32, String> {
        let number = match flag {
            Value::Int(number) => u32::try_from(*number).ok(),
            Value::Str(name) => self.number(name),
            Value::Null => None,
        };
        number
            .filter(|number| *number < FLAGS)
            .map(|number| 1 << number)
            .ok_or_else(|| format!("there are {FLAGS} flags of each kind: this one is beyond them"))
    }

    fn number(&self, name: &Bytes) -> Option<u32> {
        let mut names = self.0.borrow_mut();
        let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        u32::try_from(at).ok()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_one_bit() {
        let names = FlagNames::default();
        assert_eq!(names.bit(&Value::str("NAT")), Ok(1));
        assert_eq!(names.bit(&Value::str("TCP")), Ok(2));
        assert_eq!(names.clone().bit(&Value::str("NAT")), Ok(1));
        assert_eq!(names.bit(&Value::Int(31)), Ok(1 << 31));
        for bad in [Value::Int(32), Value::Int(-1), Value::Null] {
            assert!(names.bit(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn there_are_as_many_names_as_bits() {
        let names = FlagNames::default();
        for number in 0..FLAGS {
            assert_eq!(names.bit(&Value::str(format!("F{number}").as_str())), Ok(1 << number));
        }
        assert!(names.bit(&Value::str("ONE_MORE")).is_err());
    }
}
