//! The names a configuration may use: the host registers its parameters, functions, variables and modules here, and the
//! compiler looks them up. Transformations belong to the language.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::call::{Call, Host};
use crate::parameter::ModParam;
use crate::route::{RouteKind, Routes};
use crate::site::{ArgError, Site, VarSite};
use crate::value::Bytes;
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

/// A module that the host does not have, with the names by which a script would use it: what follows from its absence is
/// one error, not many.
#[derive(Clone, Debug)]
pub struct AbsentModule {
    /// The name of its file without `.so`.
    pub name: &'static str,
    /// Its functions.
    pub functions: Vec<&'static str>,
    /// Its variables, without the dollar sign.
    pub variables: Vec<&'static str>,
}

impl AbsentModule {
    /// A module with nothing but its name.
    pub fn new(name: &'static str) -> Self {
        Self { name, functions: Vec::new(), variables: Vec::new() }
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
    /// Text with variables in it, which the function reads itself: `"$avp(x)/g"`. Its pieces are taken from
    /// [`Site::parts`]; the function is given [`Value::Null`](crate::Value::Null) in its place.
    Parts,
    /// A string in quotes as it is written: a `$` in it names no variable. The function is given
    /// [`Value::Str`](crate::Value::Str).
    Verbatim,
    /// `/expression/replacement/flags` as in `{re.subst}`, taken from [`Site::substitution`]; the function is given
    /// [`Value::Null`](crate::Value::Null) in its place.
    Substitution,
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
    doc: &'static str,
}

impl<C: Host> Function<C> {
    /// `prepare` runs once for each place the function is called from, when the script is loaded.
    pub fn new(
        name: &'static str,
        params: &'static [Param],
        routes: Routes,
        prepare: impl Fn(&Site<'_, C>) -> Result<Call<C>, ArgError> + 'static,
    ) -> Self {
        Self { name, params, routes, asynchronous: false, prepare: Rc::new(prepare), doc: "" }
    }

    /// It may also stand in `async()` and `launch()` (manual, "Script Async").
    #[must_use]
    pub fn asynchronous(mut self) -> Self {
        self.asynchronous = true;
        self
    }

    /// What it does and gives, in a sentence or two.
    #[must_use]
    pub fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// As it is written, with the names of its parameters: `add_path([user])`.
    pub fn usage(&self) -> String {
        let params = self.params.iter().enumerate().map(|(at, param)| {
            let comma = if at > 0 { ", " } else { "" };
            if param.optional { format!("[{comma}{}]", param.name) } else { format!("{comma}{}", param.name) }
        });
        format!("{}({})", self.name, params.collect::<String>())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does and gives.
    pub fn documentation(&self) -> &'static str {
        self.doc
    }

    /// The types of routes it may be used in.
    pub fn routes(&self) -> Routes {
        self.routes
    }
}

/// A variable scripts may read, and perhaps write: one row, from which the checks of the compiler and the reference come.
pub struct Variable<C: Host> {
    pub(crate) name: &'static str,
    pub(crate) older: &'static [&'static str],
    pub(crate) naming: Naming,
    pub(crate) indexes: Indexes,
    pub(crate) settable: bool,
    pub(crate) doc: &'static str,
    pub(crate) prepare: PrepareVariable<C>,
}

/// What may stand in parentheses after a variable's name. The text is what it is called in the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The variable looks for itself.
    Unchecked,
    /// Nothing.
    Nothing,
    /// A name, and not without one.
    Required(&'static str),
    /// A name, or nothing.
    Optional(&'static str),
    /// A name that is taken as it stands, whatever is in it.
    Plain(&'static str),
}

/// Which of its values may be asked for in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexes {
    /// The variable looks for itself.
    Unchecked,
    /// It has one value.
    None,
    /// `[n]`, `[-n]`, `[*]`
    List,
    /// The same, and `[append]`.
    Append,
}

impl<C: Host> Variable<C> {
    /// `prepare` runs once for each place the variable stands, when the script is loaded. What stands in parentheses and
    /// in brackets is its own business.
    pub fn new(
        name: &'static str,
        prepare: impl Fn(&VarSite<'_, C>) -> Result<Rc<dyn Accessor<C>>, ArgError> + 'static,
    ) -> Self {
        Self {
            name,
            older: &[],
            naming: Naming::Unchecked,
            indexes: Indexes::Unchecked,
            settable: false,
            doc: "",
            prepare: Rc::new(prepare),
        }
    }

    /// A variable with its documentation, which takes nothing in parentheses and has one value unless said otherwise.
    pub fn declared(
        name: &'static str,
        doc: &'static str,
        prepare: impl Fn(&VarSite<'_, C>) -> Result<Rc<dyn Accessor<C>>, ArgError> + 'static,
    ) -> Self {
        Self { naming: Naming::Nothing, indexes: Indexes::None, doc, ..Self::new(name, prepare) }
    }

    /// Further names of the same.
    #[must_use]
    pub fn also(mut self, older: &'static [&'static str]) -> Self {
        self.older = older;
        self
    }

    /// What stands in parentheses.
    #[must_use]
    pub fn named(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// What stands in brackets.
    #[must_use]
    pub fn indexed(mut self, indexes: Indexes) -> Self {
        self.indexes = indexes;
        self
    }

    /// It can be assigned.
    #[must_use]
    pub fn settable(mut self) -> Self {
        self.settable = true;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its further names.
    pub fn other_names(&self) -> &'static [&'static str] {
        self.older
    }

    /// What may stand in parentheses.
    pub fn naming(&self) -> Naming {
        self.naming
    }

    /// What may stand in brackets.
    pub fn indexes(&self) -> Indexes {
        self.indexes
    }

    /// Whether it can be assigned.
    pub fn is_settable(&self) -> bool {
        self.settable
    }

    /// What it is, in a sentence or two.
    pub fn doc(&self) -> &'static str {
        self.doc
    }
}

impl<C: Host> Clone for Variable<C> {
    fn clone(&self) -> Self {
        Self { prepare: self.prepare.clone(), ..*self }
    }
}

/// The place of each `$var(name)`.
pub(crate) type Slots = Rc<RefCell<HashMap<Bytes, u32>>>;

/// All names a configuration may use.
pub struct Library<C: Host> {
    pub(crate) globals: BTreeMap<&'static str, Global>,
    pub(crate) core: ModuleSpec<C>,
    /// The places of `$var`, by name.
    pub(crate) slots: Slots,
    pub(crate) modules: BTreeMap<&'static str, ModuleSpec<C>>,
    pub(crate) absent: Vec<AbsentModule>,
    pub(crate) moved: BTreeMap<&'static str, &'static str>,
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

    /// Names a module that configurations may expect. It is absent unless the host has added it before.
    pub fn module_of_manual(&mut self, module: AbsentModule) {
        if !self.modules.contains_key(module.name) {
            self.absent.push(module);
        }
    }

    /// Names a module of earlier versions, and says what became of it.
    pub fn moved_module(&mut self, name: &'static str, hint: &'static str) {
        self.moved.insert(name, hint);
    }

    /// The absent modules that have a name which `has` finds.
    pub(crate) fn absent_with<'a>(
        &'a self,
        has: impl Fn(&AbsentModule) -> bool + 'a,
    ) -> impl Iterator<Item = &'static str> + 'a {
        self.absent.iter().filter(move |module| has(module)).map(|module| module.name)
    }

    /// Adds a module that `loadmodule` may switch on.
    pub fn module(&mut self, module: ModuleSpec<C>) {
        self.modules.insert(module.name, module);
    }

    /// The functions that need no module, in the order they were added.
    pub fn functions(&self) -> &[Function<C>] {
        &self.core.functions
    }

    /// The variables that need no module, in the order they were added.
    pub fn variables(&self) -> &[Variable<C>] {
        &self.core.variables
    }

    /// The global parameters, by name.
    pub fn globals(&self) -> impl Iterator<Item = &Global> {
        self.globals.values()
    }
}
