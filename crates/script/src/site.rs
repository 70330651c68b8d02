//! The place a function or variable is used at: what its `prepare` sees when the script is loaded.

use std::rc::Rc;

use regex::bytes::Regex;

use crate::call::Host;
use crate::diagnostics::did_you_mean;
use crate::expression::Part;
use crate::library::Param;
use crate::reference::Context;
use crate::route::RouteId;
use crate::route::Routes;
use crate::source::Place;
use crate::substitution::Substitution;
use crate::value::{Bytes, Value};
use crate::variable::{Bound, Index, SubName};

/// Why a function, variable or transformation cannot be used so; reported with the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgError {
    pub(crate) argument: Option<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// The variable that nobody knows, if that is what is wrong.
    pub(crate) unknown_variable: Option<String>,
}

impl ArgError {
    /// An error of the whole call.
    pub fn new(message: impl Into<String>) -> Self {
        Self { argument: None, message: message.into(), help: None, unknown_variable: None }
    }

    /// An error of one argument, counted from 0.
    pub fn at(argument: usize, message: impl Into<String>) -> Self {
        Self { argument: Some(argument), message: message.into(), help: None, unknown_variable: None }
    }

    /// Adds what the operator can do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest of the known names.
    #[must_use]
    pub fn suggest<'a>(mut self, wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.help = did_you_mean(wrong, names);
        self
    }
}

/// One argument of a call, as far as it is known when the script is loaded.
pub(crate) struct ArgumentSite<C> {
    pub(crate) constant: Option<Value>,
    pub(crate) variable: Option<Rc<Bound<C>>>,
    pub(crate) outputs: Vec<Rc<Bound<C>>>,
    pub(crate) regex: Option<Regex>,
    pub(crate) parts: Rc<[Part<C>]>,
    pub(crate) substitution: Option<Rc<Substitution<C>>>,
}

impl<C> Default for ArgumentSite<C> {
    fn default() -> Self {
        Self {
            constant: None,
            variable: None,
            outputs: Vec::new(),
            regex: None,
            parts: Rc::new([]),
            substitution: None,
        }
    }
}

/// Where a function is called.
pub struct Site<'a, C: Host> {
    pub(crate) function: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) given: usize,
    pub(crate) arguments: &'a [ArgumentSite<C>],
    pub(crate) routes: Routes,
    pub(crate) place: Place<'a>,
    pub(crate) asynchronous: bool,
}

impl<C: Host> Site<'_, C> {
    /// The function's name.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The parameters it was registered with. At run time the function gets a value for each, [`Value::Null`] for
    /// those left out.
    pub fn params(&self) -> &'static [Param] {
        self.params
    }

    /// How many arguments were written, counting empty ones.
    pub fn given(&self) -> usize {
        self.given
    }

    /// The argument, counted from 0, if it is known now; the function will be given the same value.
    pub fn constant(&self, argument: usize) -> Option<&Value> {
        self.arguments.get(argument)?.constant.as_ref()
    }

    /// The constant text of an argument.
    pub fn constant_str(&self, argument: usize) -> Option<&Bytes> {
        match self.constant(argument)? {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The constant number of an argument.
    pub fn constant_int(&self, argument: usize) -> Option<i64> {
        match self.constant(argument)? {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether the argument was left out or left empty.
    pub fn is_absent(&self, argument: usize) -> bool {
        let absent = |site: &ArgumentSite<C>| site.variable.is_none() && site.constant == Some(Value::Null);
        self.arguments.get(argument).is_none_or(absent)
    }

    /// The variable that is the argument.
    pub fn variable(&self, argument: usize) -> Option<Rc<Bound<C>>> {
        self.arguments.get(argument)?.variable.clone()
    }

    /// The variables of a [`ParamKind::Outputs`](crate::ParamKind::Outputs) argument; none if it was left out.
    pub fn outputs(&self, argument: usize) -> &[Rc<Bound<C>>] {
        self.arguments.get(argument).map_or(&[], |argument| &argument.outputs)
    }

    /// The regular expression of a constant [`ParamKind::Regex`](crate::ParamKind::Regex) argument.
    pub fn regex(&self, argument: usize) -> Option<Regex> {
        self.arguments.get(argument)?.regex.clone()
    }

    /// The pieces of a [`ParamKind::Parts`](crate::ParamKind::Parts) argument; none if it was left out.
    pub fn parts(&self, argument: usize) -> Rc<[Part<C>]> {
        match self.arguments.get(argument) {
            Some(argument) => argument.parts.clone(),
            None => Rc::new([]),
        }
    }

    /// The substitution of a [`ParamKind::Substitution`](crate::ParamKind::Substitution) argument.
    pub fn substitution(&self, argument: usize) -> Option<Rc<Substitution<C>>> {
        self.arguments.get(argument)?.substitution.clone()
    }

    /// The route a constant [`ParamKind::Route`](crate::ParamKind::Route) argument names.
    pub fn route(&self, argument: usize) -> Option<RouteId> {
        RouteId::from_value(self.constant(argument)?)
    }

    /// The types of routes the call can be reached from.
    pub fn routes(&self) -> Routes {
        self.routes
    }

    /// Whether the call stands in `async()` or `launch()`.
    pub fn is_asynchronous(&self) -> bool {
        self.asynchronous
    }

    /// File and line of the call.
    pub fn place(&self) -> Place<'_> {
        self.place
    }
}

/// Where a variable stands.
pub struct VarSite<'a, C: Host> {
    pub(crate) name: &'a str,
    pub(crate) sub: Option<SubName<C>>,
    pub(crate) index: Option<Index>,
    pub(crate) context: Option<Context>,
    pub(crate) routes: Routes,
}

impl<C: Host> VarSite<'_, C> {
    /// The variable's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// What stands in parentheses after the name.
    pub fn sub(&self) -> Option<&SubName<C>> {
        self.sub.as_ref()
    }

    /// What stands in parentheses, for variables that cannot do without.
    ///
    /// # Errors
    /// An [`ArgError`] for the operator if nothing does.
    pub fn required_sub(&self) -> Result<SubName<C>, ArgError> {
        let missing = || ArgError::new(format!("${} needs a name, as ${}(name)", self.name, self.name));
        self.sub.clone().ok_or_else(missing)
    }

    /// What stands in parentheses, for variables whose names must be known when the script is loaded.
    ///
    /// # Errors
    /// An [`ArgError`] for the operator if nothing does, or something with variables in it.
    pub fn literal_sub(&self) -> Result<Bytes, ArgError> {
        let sub = self.required_sub()?;
        let dynamic =
            || ArgError::new(format!("${}: the name in parentheses cannot be a variable", self.name));
        sub.literal().cloned().ok_or_else(dynamic)
    }

    /// For variables that take nothing in parentheses.
    ///
    /// # Errors
    /// An [`ArgError`] for the operator if something stands there.
    pub fn no_sub(&self) -> Result<(), ArgError> {
        match self.sub {
            None => Ok(()),
            Some(_) => Err(ArgError::new(format!("${} takes no name in parentheses", self.name))),
        }
    }

    /// The index as written; nothing if it is a variable.
    pub fn index(&self) -> Option<Index> {
        self.index
    }

    /// Whether the variable is to speak of another message than the one under way.
    pub fn context(&self) -> Option<Context> {
        self.context
    }

    /// The types of routes the variable can be reached from.
    pub fn routes(&self) -> Routes {
        self.routes
    }
}
