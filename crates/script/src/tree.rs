//! The configuration as it is written: what the parser makes and the checker reads. Every node has its span.

use crate::diagnostics::Diagnostic;
use crate::global::GlobalValue;
use crate::lexer::Text;
use crate::operator::Binary;
use crate::reference::Reference;
use crate::route::RouteKind;
use crate::source::Span;

/// Something with its place.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) node: T,
    pub(crate) span: Span,
}

/// All of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) globals: Vec<(Spanned<String>, Spanned<GlobalValue>)>,
    /// Names of the auto-scaling profiles, also of those that are wrong otherwise.
    pub(crate) profiles: Vec<Spanned<String>>,
    /// Names of auto-scaling profiles that sockets and groups of workers ask for.
    pub(crate) profiles_used: Vec<Spanned<String>>,
    pub(crate) modules: Vec<Spanned<String>>,
    pub(crate) parameters: Vec<ParameterTree>,
    pub(crate) routes: Vec<RouteTree>,
    /// What is probably not meant so.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// `modparam("MODULE", "NAME", VALUE)`.
#[derive(Debug)]
pub(crate) struct ParameterTree {
    pub(crate) module: Spanned<String>,
    pub(crate) name: Spanned<String>,
    pub(crate) value: Spanned<crate::value::Value>,
}

/// One route block.
#[derive(Debug)]
pub(crate) struct RouteTree {
    pub(crate) kind: RouteKind,
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) interval: Option<u32>,
    pub(crate) span: Span,
    pub(crate) body: Vec<Statement>,
}

pub(crate) type Statement = Spanned<StatementKind>;

/// What a statement does.
#[derive(Debug)]
pub(crate) enum StatementKind {
    If {
        arms: Vec<(Expr, Vec<Statement>)>,
        otherwise: Vec<Statement>,
    },
    While {
        condition: Expr,
        body: Vec<Statement>,
    },
    ForEach {
        target: Spanned<Reference>,
        source: Spanned<Reference>,
        body: Vec<Statement>,
    },
    Switch {
        subject: Expr,
        cases: Vec<Case>,
    },
    Do(CallTree),
    Route(RouteCallTree),
    Assign {
        target: Spanned<Reference>,
        operator: AssignOperator,
        value: Expr,
    },
    /// With a code, or with 1.
    Return(Option<Expr>),
    Exit,
    Drop,
    Break,
    /// `assert(condition, text)`: the call that follows if the condition is false.
    Assert {
        condition: Expr,
        failed: CallTree,
    },
    Async {
        call: CallTree,
        route: Expr,
        timeout: Option<Expr>,
    },
    Launch {
        call: CallTree,
        route: Option<Expr>,
        text: Option<Expr>,
    },
}

/// `case VALUE:` or `default:` with what follows it.
#[derive(Debug)]
pub(crate) struct Case {
    /// Nothing for `default`.
    pub(crate) value: Option<Expr>,
    pub(crate) span: Span,
    pub(crate) body: Vec<Statement>,
}

/// A function call; an argument may be left empty.
#[derive(Clone, Debug)]
pub(crate) struct CallTree {
    pub(crate) name: Spanned<String>,
    pub(crate) arguments: Vec<Argument>,
}

/// One argument: nothing where two commas meet.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) value: Option<Expr>,
    pub(crate) span: Span,
}

/// `route(NAME, ARGUMENTS...)`.
#[derive(Clone, Debug)]
pub(crate) struct RouteCallTree {
    pub(crate) name: Box<Expr>,
    pub(crate) arguments: Vec<Expr>,
}

pub(crate) type Expr = Spanned<ExprKind>;

/// What an expression is made of.
#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Int(i64),
    Text(Text),
    /// A name without quotes: `yes`, `L_INFO`, a flag, a route.
    Word(String),
    Null,
    Variable(Box<Reference>),
    Call(Box<CallTree>),
    Route(RouteCallTree),
    /// `[ $variable ]` as a condition: whether it has a value.
    Present(Box<Reference>),
    /// `$target = value` as a condition: whether that works.
    Assign {
        target: Spanned<Reference>,
        operator: AssignOperator,
        value: Box<Expr>,
    },
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Complement,
}

/// `=`, `:=`, or an operator joined with `=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AssignOperator {
    Set,
    Replace,
    Combine(Binary),
}
