//! The code of a program: the operations of the machine, and what they carry.

use std::rc::Rc;

use crate::arithmetic::{Right, arithmetic, compare};
use crate::call::{Call, Host};
use crate::expression::{Expr, Operator};
use crate::fault::Fault;
use crate::operator::Binary;
use crate::route::RouteId;
use crate::route::RouteKind;
use crate::value::Value;
use crate::variable::{Bound, Store};

/// One operation. Jumps go to an index of the code.
pub(crate) enum Op<C: Host> {
    /// Sets the truth register.
    Test(Expr<C>),
    /// Turns the truth register round.
    Invert,
    /// Jumps if not true.
    Unless(u32),
    /// Jumps if true.
    When(u32),
    Jump(u32),
    /// Waits for the address of a name that the variable asks for.
    LookUp(Rc<Bound<C>>),
    Call(Box<CallSite<C>>),
    Assign(Box<Assignment<C>>),
    Route(Box<RouteCall<C>>),
    Return(i64),
    /// With what a variable holds: 1 if it is a text, -1 if it is NULL.
    ReturnValue(Box<Expr<C>>),
    /// At the end of a route: with the code of its last statement.
    ReturnLast,
    /// Sets `$rc`, as a statement does that calls nothing.
    SetCode(i64),
    /// Keeps `$rc` for the expression that follows.
    Keep,
    /// Takes back what was kept for this many calls.
    Forget(u32),
    Switch(Box<Switch<C>>),
    /// A loop begins: its counter is 0.
    LoopStart(u32),
    /// One more round, or too many.
    LoopCount {
        slot: u32,
        exit: u32,
    },
    Each(Box<Each<C>>),
    Exit,
    Drop,
    Async(Box<Async<C>>),
    Launch(Box<Launched<C>>),
}

/// `$target = value`
pub(crate) struct Assignment<C> {
    pub(crate) target: Rc<Bound<C>>,
    pub(crate) store: Store,
    /// The operator of `+=` and its kin.
    pub(crate) combine: Option<Operator>,
    pub(crate) value: Expr<C>,
}

impl<C: Host> Assignment<C> {
    pub(crate) fn value(&self, host: &mut C) -> Result<Value, Fault> {
        match self.combine {
            None => Ok(self.value.value(host)?.into_owned()),
            Some(Operator(operator)) => {
                let old = self.target.read(host);
                arithmetic(operator, &old, &*self.value.value(host)?, self.value.as_right())
            }
        }
    }
}

/// `route(NAME, ...)`
pub(crate) struct RouteCall<C> {
    pub(crate) target: RouteTarget<C>,
    pub(crate) arguments: Box<[Expr<C>]>,
}

pub(crate) enum RouteTarget<C> {
    Fixed(RouteId),
    /// The name is known at run time only.
    Named(Expr<C>),
}

/// `switch`: where each case begins. A case without `break` goes on into the next one.
pub(crate) struct Switch<C> {
    pub(crate) subject: Expr<C>,
    pub(crate) cases: Box<[(Value, u32)]>,
    pub(crate) otherwise: u32,
}

impl<C> Switch<C> {
    pub(crate) fn target(&self, value: &Value) -> u32 {
        let case = self.cases.iter().find(|(case, _)| compare(Binary::Equal, value, case, Right::Other));
        case.map_or(self.otherwise, |(_, target)| *target)
    }
}

/// The head of a `for` loop.
pub(crate) struct Each<C> {
    pub(crate) slot: u32,
    pub(crate) target: Rc<Bound<C>>,
    pub(crate) source: Rc<Bound<C>>,
    pub(crate) exit: u32,
}

/// `async(...)`
pub(crate) struct Async<C: Host> {
    pub(crate) site: CallSite<C>,
    pub(crate) route: RouteId,
    pub(crate) timeout: Option<Expr<C>>,
}

/// `launch(...)`
pub(crate) struct Launched<C: Host> {
    pub(crate) site: CallSite<C>,
    pub(crate) report: Option<RouteId>,
    pub(crate) text: Option<Expr<C>>,
}

/// A prepared function at one place of the script.
pub(crate) struct CallSite<C: Host> {
    pub(crate) name: &'static str,
    pub(crate) call: Call<C>,
    pub(crate) arguments: Arguments<C>,
}

pub(crate) enum Arguments<C> {
    /// All known when the script was loaded.
    Fixed(Box<[Value]>),
    Mixed(Box<[Argument<C>]>),
}

/// One argument; what is missing has become a constant NULL.
pub(crate) struct Argument<C> {
    pub(crate) kind: ArgumentKind,
    pub(crate) optional: bool,
    pub(crate) value: Expr<C>,
}

/// What a value is made before the function is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArgumentKind {
    /// It is a constant already.
    Ready,
    Str,
    Int,
    StrOrInt,
    Route(RouteKind),
}
