//! The names of flags (manual, "Script Flags").

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{Bytes, Value};

/// Flags are bits of one word: their names are given numbers as they are met.
const FLAGS: u32 = 32;

/// The names of flags, in the script and in parameters. One name is the same bit everywhere, in flags of each kind.
#[derive(Debug, Clone, Default)]
pub struct FlagNames(Rc<RefCell<Vec<FlagName>>>);

#[derive(Debug)]
struct FlagName {
    name: Bytes,
    /// A variable was the first to name it; OpenSIPS meets these before all others.
    of_variable: bool,
}

impl FlagNames {
    /// The names that [`Self::to_list`] gave, each with its bit.
    pub(crate) fn of_list(list: &[(Bytes, bool)]) -> Self {
        let names =
            list.iter().map(|(name, of_variable)| FlagName { name: name.clone(), of_variable: *of_variable });
        Self(Rc::new(RefCell::new(names.collect())))
    }

    /// All names in the order of their bits, and whether a variable was the first to name each.
    pub(crate) fn to_list(&self) -> Vec<(Bytes, bool)> {
        self.0.borrow().iter().map(|flag| (flag.name.clone(), flag.of_variable)).collect()
    }

    /// The bit of a flag that is given by its name or its number. A name that is not known yet gets the next
    /// bit, so only a script that is being loaded may ask for it: all processes load the same text.
    ///
    /// # Errors
    /// All 32 flags are taken, or the number is not 0 to 31.
    pub fn bit(&self, flag: &Value) -> Result<u32, String> {
        let number = match flag {
            Value::Int(number) => u32::try_from(*number).ok(),
            Value::Str(name) => self.number(name, false),
            Value::Null => None,
        };
        number
            .filter(|number| *number < FLAGS)
            .map(|number| 1 << number)
            .ok_or_else(|| format!("there are {FLAGS} flags of each kind: this one is beyond them"))
    }

    /// The bit of a flag that a variable names, as [`Self::bit`].
    ///
    /// # Errors
    /// All 32 flags are taken.
    pub fn bit_of_variable(&self, name: &Bytes) -> Result<u32, String> {
        self.number(name, true);
        self.bit(&Value::Str(name.clone()))
    }

    /// The names of the flags that are set, with blanks between, in the order in which OpenSIPS shows them: the one that was
    /// named last comes first.
    pub fn shown(&self, flags: u32) -> Vec<u8> {
        let names = self.0.borrow();
        let all = (0..FLAGS).rev().filter(|number| flags & (1 << number) != 0);
        let found = all.filter_map(|number| names.get(number as usize));
        let (early, late): (Vec<_>, Vec<_>) = found.partition(|flag| flag.of_variable);
        let shown: Vec<&[u8]> = late.into_iter().chain(early).map(|flag| flag.name.as_slice()).collect();
        shown.join(&b' ')
    }

    /// The flags of a list of names; what is no flag is left out.
    pub fn read(&self, list: &[u8]) -> u32 {
        let names = self.0.borrow();
        let mut flags = 0;
        for word in list.split(|byte| *byte == b' ') {
            if let Some(at) = names.iter().take(FLAGS as usize).position(|flag| *flag.name == *word) {
                flags |= 1 << at;
            }
        }
        flags
    }

    fn number(&self, name: &Bytes, of_variable: bool) -> Option<u32> {
        let mut names = self.0.borrow_mut();
        let at = names.iter().position(|known| known.name == *name).unwrap_or_else(|| {
            names.push(FlagName { name: name.clone(), of_variable });
            names.len() - 1
        });
        u32::try_from(at).ok()
    }
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
    fn the_latest_name_is_shown_first() {
        let names = FlagNames::default();
        let flags: u32 =
            ["A", "with space", "1"].iter().map(|name| names.bit(&Value::str(*name)).unwrap()).sum();
        let late = names.bit_of_variable(&"Q".into()).unwrap();
        assert_eq!(names.shown(flags | late), b"1 with space A Q");
        assert_eq!(names.read(b"Q A none"), names.bit(&Value::str("A")).unwrap() | late);
        assert_eq!(names.shown(0), b"");
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
