//! Reverse Polish notation: `1 2 +`. Numbers go onto a stack, and operations take theirs from it (manual, math_rpn).

use super::number;

/// How many numbers may lie on the stack.
pub(super) const MAX_STACK: usize = 256;

/// The value of an expression: the one number that is left. OpenSIPS 3.4 has no `log10` here, whatever its manual says. `None` if it is no expression, or not a number.
pub(super) fn evaluate(text: &[u8]) -> Option<f64> {
    let mut stack = Vec::new();
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        apply(word, &mut stack)?;
        if stack.len() > MAX_STACK {
            return None;
        }
    }
    match stack[..] {
        [value] if !value.is_nan() => Some(value),
        _ => None,
    }
}

fn apply(word: &[u8], stack: &mut Vec<f64>) -> Option<()> {
    if let Some(function) = unary(word) {
        let top = stack.last_mut()?;
        *top = function(*top);
        return Some(());
    }
    if let Some(function) = binary(word) {
        let second = stack.pop()?;
        let first = stack.last_mut()?;
        *first = function(*first, second);
        return Some(());
    }
    match word {
        b"e" => stack.push(std::f64::consts::E),
        b"pi" => stack.push(std::f64::consts::PI),
        b"drop" => drop(stack.pop()?),
        b"dup" => stack.push(*stack.last()?),
        b"swap" => {
            let below = stack.len().checked_sub(2)?;
            stack.swap(below, below + 1);
        }
        number => stack.push(read(number)?),
    }
    Some(())
}

fn unary(word: &[u8]) -> Option<fn(f64) -> f64> {
    Some(match word {
        b"neg" => |x| -x,
        b"exp" => f64::exp,
        b"ln" => f64::ln,
        b"abs" => f64::abs,
        b"sqrt" => f64::sqrt,
        b"cbrt" => f64::cbrt,
        b"floor" => f64::floor,
        b"ceil" => f64::ceil,
        b"round" => f64::round,
        b"nearbyint" => f64::round_ties_even,
        b"trunc" => f64::trunc,
        _ => return None,
    })
}

fn binary(word: &[u8]) -> Option<fn(f64, f64) -> f64> {
    Some(match word {
        b"+" => |x, y| x + y,
        b"-" => |x, y| x - y,
        b"*" => |x, y| x * y,
        b"/" => |x, y| x / y,
        b"mod" => |x, y| x % y,
        b"pow" => f64::powf,
        _ => return None,
    })
}

/// A word that is a number as a whole.
fn read(word: &[u8]) -> Option<f64> {
    let (sign, digits) = match word {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, word),
    };
    number::prefix(digits).filter(|(_, length)| *length == digits.len()).map(|(value, _)| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_take_their_numbers_from_the_stack() {
        for (text, value) in [
            ("10 4 -", 6.0),
            ("1 2 swap -", 1.0),
            ("5 dup *", 25.0),
            ("1 2 drop", 1.0),
            ("5 3 mod", 2.0),
            ("-5 abs", 5.0),
            ("2.5 nearbyint", 2.0),
            ("2.5 round", 3.0),
            ("27 cbrt", 3.0),
            ("1 0 /", f64::INFINITY),
            ("1 3 swap swap dup drop / exp ln 1 swap /", 3.0),
        ] {
            let found = evaluate(text.as_bytes()).unwrap();
            assert!(found == value || (found - value).abs() < 1e-9, "{text}: {found}");
        }
    }

    #[test]
    fn one_number_must_be_left() {
        for text in ["", "1 2", "+", "1 +", "x", "1x", "swap", "1 swap", "dup", "drop", "0 0 /", "100 log10"]
        {
            assert_eq!(evaluate(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_stack_is_limited() {
        let sum = |count: usize| format!("{}{}", "1 ".repeat(count), "+ ".repeat(count - 1));
        assert_eq!(evaluate(sum(MAX_STACK).as_bytes()), Some(MAX_STACK as f64));
        assert_eq!(evaluate(sum(MAX_STACK + 1).as_bytes()), None);
    }
}
