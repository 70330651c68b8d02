//! What operators make of two values. The rules are those that OpenSIPS 3.4.18 was recorded to follow: the type of the
//! left operand decides, numbers have 32 bits, and texts are compared without regard to case.

use std::cmp::Ordering;

use crate::fault::Fault;
use crate::operator::Binary;
use crate::value::{Bytes, MAX_STRING_BYTES, Value};

/// What stands on the right of an operator: a variable gives its text where a text is needed, a number in the script does
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Variable,
    Other,
}

/// Whether an operator makes a value rather than a truth.
pub(crate) fn is_arithmetic(operator: Binary) -> bool {
    use Binary::{Add, BitAnd, BitOr, BitXor, Divide, Modulo, Multiply, ShiftLeft, ShiftRight, Subtract};
    matches!(
        operator,
        Add | Subtract | Multiply | Divide | Modulo | BitOr | BitAnd | BitXor | ShiftLeft | ShiftRight
    )
}

/// A number with a number, or a text with a text. NULL on the right is 0 to a number and empty to a sum of texts.
pub(crate) fn arithmetic(operator: Binary, left: &Value, right: &Value, kind: Right) -> Result<Value, Fault> {
    match (left, right) {
        (Value::Null, _) => Err(Fault::NullOperand),
        (Value::Int(left), Value::Int(right)) => Ok(of_numbers(operator, *left, *right)),
        (Value::Int(left), Value::Null) => Ok(of_numbers(operator, *left, 0)),
        (Value::Int(_), Value::Str(_)) => Err(Fault::MixedTypes),
        (Value::Str(left), Value::Str(right)) => of_texts(operator, left, right, kind),
        (Value::Str(left), Value::Int(right)) if kind == Right::Variable => {
            of_texts(operator, left, itoa::Buffer::new().format(*right).as_bytes(), kind)
        }
        (Value::Str(_), Value::Int(_)) => Err(Fault::MixedTypes),
        (Value::Str(left), Value::Null) if operator == Binary::Add => Ok(Value::Str(left.clone())),
        (Value::Str(_), Value::Null) => Err(Fault::NullOperand),
    }
}

/// Division by zero gives 0.
fn of_numbers(operator: Binary, left: i64, right: i64) -> Value {
    let result = match operator {
        Binary::Add => left.wrapping_add(right),
        Binary::Subtract => left.wrapping_sub(right),
        Binary::Multiply => left.wrapping_mul(right),
        Binary::Divide => left.checked_div(right).unwrap_or(0),
        Binary::Modulo => left.checked_rem(right).unwrap_or(0),
        Binary::BitOr => left | right,
        Binary::BitAnd => left & right,
        Binary::BitXor => left ^ right,
        Binary::ShiftLeft => i64::from(narrow(left).wrapping_shl(right as u32)),
        Binary::ShiftRight => i64::from(narrow(left).wrapping_shr(right as u32)),
        _ => return Value::from(compare(operator, &Value::Int(left), &Value::Int(right), Right::Other)),
    };
    Value::Int(i64::from(narrow(result)))
}

/// Texts are joined, or combined byte by byte if both are in variables and have the same length.
fn of_texts(operator: Binary, left: &[u8], right: &[u8], kind: Right) -> Result<Value, Fault> {
    let combine: fn(u8, u8) -> u8 = match operator {
        Binary::Add => return joined(left, right),
        Binary::BitOr => |left, right| left | right,
        Binary::BitAnd => |left, right| left & right,
        Binary::BitXor => |left, right| left ^ right,
        _ => return Err(Fault::NotANumber),
    };
    if kind == Right::Other || left.len() != right.len() {
        return Err(Fault::Lengths);
    }
    let bytes: Vec<u8> = left.iter().zip(right).map(|(left, right)| combine(*left, *right)).collect();
    Ok(Value::Str(Bytes::from(bytes)))
}

fn joined(left: &[u8], right: &[u8]) -> Result<Value, Fault> {
    if left.len() + right.len() > MAX_STRING_BYTES {
        return Err(Fault::TooLong);
    }
    let mut text = Vec::with_capacity(left.len() + right.len());
    text.extend_from_slice(left);
    text.extend_from_slice(right);
    Ok(Value::Str(Bytes::from(text)))
}

/// `~`
pub(crate) fn complement(value: &Value) -> Result<Value, Fault> {
    match value {
        Value::Null => Err(Fault::NullOperand),
        Value::Str(_) => Err(Fault::NotANumber),
        Value::Int(number) => Ok(Value::Int(i64::from(narrow(!number)))),
    }
}

/// Numbers are 32 bits wide.
pub(crate) fn narrow(number: i64) -> i32 {
    number as i32
}

/// `==` and its kin. Two numbers are compared as numbers, everything else as text; a text compared with a number that
/// the script writes gives false. NULL equals NULL only, and has no order.
pub(crate) fn compare(operator: Binary, left: &Value, right: &Value, kind: Right) -> bool {
    let order = match (left, right) {
        (Value::Null, Value::Null) => return operator == Binary::Equal,
        (Value::Null, _) | (_, Value::Null) => return operator == Binary::Unequal,
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Str(left), Value::Str(right)) => text_order(left, right),
        (Value::Str(_), Value::Int(_)) if kind == Right::Other => return false,
        (Value::Str(left), Value::Int(right)) => {
            text_order(left, itoa::Buffer::new().format(*right).as_bytes())
        }
        (Value::Int(left), Value::Str(right)) => {
            text_order(itoa::Buffer::new().format(*left).as_bytes(), right)
        }
    };
    match operator {
        Binary::Equal => order.is_eq(),
        Binary::Unequal => order.is_ne(),
        Binary::Less => order.is_lt(),
        Binary::LessEqual => order.is_le(),
        Binary::Greater => order.is_gt(),
        Binary::GreaterEqual => order.is_ge(),
        _ => false,
    }
}

fn text_order(left: &[u8], right: &[u8]) -> Ordering {
    let lower = |text: &u8| text.to_ascii_lowercase();
    left.iter().map(lower).cmp(right.iter().map(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::from(text)
    }

    #[test]
    fn the_left_operand_decides_the_type() {
        use Binary::{Add, BitOr, Divide, Modulo, Multiply, Subtract};
        let seven = Value::Int(7);
        let fine = |operator, left: &Value, right: &Value, kind| arithmetic(operator, left, right, kind);
        assert_eq!(fine(Add, &text("z"), &seven, Right::Variable), Ok(text("z7")));
        assert_eq!(fine(Add, &text("z"), &seven, Right::Other), Err(Fault::MixedTypes));
        assert_eq!(fine(Add, &seven, &text("3"), Right::Variable), Err(Fault::MixedTypes));
        assert_eq!(fine(Add, &text("z"), &Value::Null, Right::Variable), Ok(text("z")));
        assert_eq!(fine(Multiply, &seven, &Value::Null, Right::Variable), Ok(Value::Int(0)));
        assert_eq!(fine(Add, &Value::Null, &seven, Right::Variable), Err(Fault::NullOperand));
        assert_eq!(fine(Divide, &seven, &Value::Int(0), Right::Other), Ok(Value::Int(0)));
        assert_eq!(fine(Modulo, &seven, &Value::Int(0), Right::Other), Ok(Value::Int(0)));
        assert_eq!(fine(BitOr, &text("12"), &Value::Int(-3), Right::Variable), Ok(text("=3")));
        assert_eq!(fine(BitOr, &text("12"), &text("123"), Right::Variable), Err(Fault::Lengths));
        assert_eq!(fine(Subtract, &text("5"), &text("3"), Right::Variable), Err(Fault::NotANumber));
    }

    #[test]
    fn unlike_types_are_compared_as_text() {
        use Binary::{Equal, GreaterEqual, Less, Unequal};
        let seven = Value::Int(7);
        assert!(compare(GreaterEqual, &seven, &text("12"), Right::Variable));
        assert!(compare(GreaterEqual, &seven, &text(""), Right::Variable));
        assert!(!compare(Less, &text("12"), &text("012"), Right::Variable));
        assert!(compare(Equal, &text("ABC"), &text("abc"), Right::Variable));
        assert!(!compare(Unequal, &text("5"), &Value::Int(0), Right::Other));
        assert!(compare(Equal, &text("5"), &Value::Int(5), Right::Variable));
        assert!(!compare(GreaterEqual, &Value::Null, &Value::Null, Right::Variable));
        assert!(compare(Unequal, &Value::Null, &seven, Right::Other));
    }
}
