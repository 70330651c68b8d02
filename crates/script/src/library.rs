//! The names a configuration may use: the host registers its parameters, functions, variables and modules here, and the
//! compiler looks them up. Transformations belong to the language.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::call::{Call, Host};
use crate::route::{RouteKind, Routes};
use crate::site::{ArgError, Site, VarSite};
use crate::variable::Accessor;

/// A global parameter.
#[derive(Clone, Debug)]
pub struct Global {
    /// As it is written.
    pub name: &'static str,
    /// The grammar of its value.
    pub kind: GlobalKind,
    /// One line for the operator.
    pub doc: &'static str,
}

/// The grammar of a global parameter's value (manual, "Core Parameters").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKind {
    /// A number.
    Int,
    /// A string in quotes, or a path or name without.
    Str,
    /// yes/no, true/false, on/off, 1/0.
    Bool,
    /// `PROTOCOL:ADDRESS[:PORT[-PORT]]` with options: `socket`.
    Socket,
    /// `[PROTOCOL:]ADDRESS[:PORT]` with options: `alias`.
    Alias,
    /// `N [use_auto_scaling_profile NAME]`: `udp_workers`, `tcp_workers`, `timer_workers`.
    Workers,
    /// `NAME scale up to N on P% for C cycles [within W] [scale down to N on P% for C cycles]`.
    Profile,
    /// The rest of the line as it stands.
    Line,
}

/// A parameter of a module, set by `modparam`.
#[derive(Clone, Debug)]
pub struct ModParam {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: ModParamKind,
}

/// The type of a module parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModParamKind {
    /// A number.
    Int,
    /// A string in quotes.
    Str,
    /// Either.
    IntOrStr,
}

/// A module that `loadmodule` switches on.
pub struct ModuleSpec<C: Host> {
    /// The name of its file without `.so`.
    pub name: &'static str,
    /// What `modparam` may set.
    pub params: &'static [ModParam],
    /// Modules it cannot do without.
    pub depends: &'static [&'static str],
    /// The functions it adds.
    pub functions: Vec<Function<C>>,
    /// The variables it adds.
    pub variables: Vec<Variable<C>>,
}

impl<C: Host> ModuleSpec<C> {
    /// A module with nothing but its name.
    pub fn new(name: &'static str) -> Self {
        Self { name, params: &[], depends: &[], functions: Vec::new(), variables: Vec::new() }
    }
}

/// What one parameter of a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A string: constant, format string or variable. The function is given [`Value::Str`](crate::Value::Str).
    Str,
    /// A number: constant, expression or variable. The function is given [`Value::Int`](crate::Value::Int).
    Int,
    /// Either, as it comes.
    StrOrInt,
    /// A variable, taken from [`Site::variable`]; the function is given [`Value::Null`](crate::Value::Null) in its
    /// place.
    Variable,
    /// The same, and it must be one that can be written.
    Output,
    /// Variables that can be written, in quotes, with `;` between them: `"$avp(a);$avp(b)"`. They are taken from
    /// [`Site::outputs`]; the function is given [`Value::Null`](crate::Value::Null) in their place.
    Outputs,
    /// The name of a route of this type. The function is given its [`RouteId`](crate::RouteId) as
    /// [`Value::Int`](crate::Value::Int).
    Route(RouteKind),
    /// A regular expression. The function is given the pattern; of a constant, [`Site::regex`] has the compiled one.
    Regex,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// For messages to the operator.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// It may be left out, or left empty; the function is then given [`Value::Null`](crate::Value::Null).
    pub optional: bool,
}

impl Param {
    /// A parameter that must be given.
    pub const fn required(name: &'static str, kind: ParamKind) -> Self {
        Self { name, kind, optional: false }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, kind: ParamKind) -> Self {
        Self { name, kind, optional: true }
    }
}

type PrepareCall<C> = Rc<dyn Fn(&Site<'_, C>) -> Result<Call<C>, ArgError>>;
type PrepareVariable<C> = Rc<dyn Fn(&VarSite<'_, C>) -> Result<Rc<dyn Accessor<C>>, ArgError>>;

/// A function scripts may call.
pub struct Function<C: Host> {
    pub(crate) name: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) routes: Routes,
    pub(crate) asynchronous: bool,
    pub(crate) prepare: PrepareCall<C>,
}

impl<C: Host> Function<C> {
    /// `prepare` runs once for each place the function is called from, when the script is loaded.
    pub fn new(
        name: &'static str,
        params: &'static [Param],
        routes: Routes,
        prepare: impl Fn(&Site<'_, C>) -> Result<Call<C>, ArgError> + 'static,
    ) -> Self {
        Self { name, params, routes, asynchronous: false, prepare: Rc::new(prepare) }
    }

    /// It may also stand in `async()` and `launch()` (manual, "Script Async").
    #[must_use]
    pub fn asynchronous(mut self) -> Self {
        self.asynchronous = true;
        self
    }
}

/// A variable scripts may read, and perhaps write.
pub struct Variable<C: Host> {
    pub(crate) name: &'static str,
    pub(crate) prepare: PrepareVariable<C>,
}

impl<C: Host> Variable<C> {
    /// `prepare` runs once for each place the variable stands, when the script is loaded.
    pub fn new(
        name: &'static str,
        prepare: impl Fn(&VarSite<'_, C>) -> Result<Rc<dyn Accessor<C>>, ArgError> + 'static,
    ) -> Self {
        Self { name, prepare: Rc::new(prepare) }
    }
}

/// All names a configuration may use.
pub struct Library<C: Host> {
    pub(crate) globals: BTreeMap<&'static str, Global>,
    pub(crate) core: ModuleSpec<C>,
    pub(crate) modules: BTreeMap<&'static str, ModuleSpec<C>>,
}

impl<C: Host> Library<C> {
    /// Adds a global parameter.
    pub fn global(&mut self, global: Global) {
        self.globals.insert(global.name, global);
    }

    /// Adds a function that needs no module.
    pub fn function(&mut self, function: Function<C>) {
        self.core.functions.push(function);
    }

    /// Adds a variable that needs no module.
    pub fn variable(&mut self, variable: Variable<C>) {
        self.core.variables.push(variable);
    }

    /// Adds a module that `loadmodule` may switch on.
    pub fn module(&mut self, module: ModuleSpec<C>) {
        self.modules.insert(module.name, module);
    }

    /// The global parameters, by name.
    pub fn globals(&self) -> impl Iterator<Item = &Global> {
        self.globals.values()
    }
}
