//! The names of flags (manual, "Script Flags").

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_script::{Bytes, Value};

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
    /// All 32 flags are taken, or the number is not 0 to 31.
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
