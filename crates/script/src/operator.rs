//! Operators with two operands.

/// Operators with two operands (manual, "Script Operators" and "Script Statements").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Or,
    And,
    Equal,
    Unequal,
    Match,
    NoMatch,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    BitOr,
    BitAnd,
    BitXor,
    ShiftLeft,
    ShiftRight,
}
