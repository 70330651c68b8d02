//! Written variables to bound ones: names are looked up, subnames and indexes prepared.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::call::Host;
use crate::format;
use crate::library::{Indexes, ModuleSpec, Naming, Variable};
use crate::reference::{IndexText, Reference};
use crate::route::Routes;
use crate::site::{ArgError, VarSite};
use crate::transformations::prepare;
use crate::value::{Bytes, Value};
use crate::variable::{Bound, BoundIndex, Index, SubName};

/// A text that is evaluated at run time may name variables whose text is evaluated, too: so many in all. A message could
/// bring a text that names itself.
pub const MAX_EVALUATIONS: usize = 16;

type Prepare<T> = HashMap<&'static str, T>;

/// The variables a configuration may use: those of the core and of the modules it loads.
pub(crate) struct Names<C: Host> {
    variables: Prepare<Variable<C>>,
    /// Texts evaluated at run time since the outermost one.
    evaluations: Cell<usize>,
    /// Variables bound since [`Names::take_look_ups`] that ask for addresses of names.
    look_ups: RefCell<Vec<Rc<Bound<C>>>>,
}

impl<C: Host> Names<C> {
    pub(crate) fn new<'a>(modules: impl IntoIterator<Item = &'a ModuleSpec<C>>) -> Self {
        let mut names =
            Self { variables: HashMap::new(), evaluations: Cell::new(0), look_ups: RefCell::default() };
        for module in modules {
            for variable in &module.variables {
                for name in std::iter::once(&variable.name).chain(variable.older) {
                    names.variables.insert(name, variable.clone());
                }
            }
        }
        names
    }

    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Evaluates a text at run time; nothing if too many are under way.
    pub(crate) fn evaluate<R>(&self, evaluate: impl FnOnce() -> R) -> Option<R> {
        let before = self.evaluations.get();
        if before == MAX_EVALUATIONS {
            return None;
        }
        self.evaluations.set(before + 1);
        let result = evaluate();
        if before == 0 {
            self.evaluations.set(0);
        }
        Some(result)
    }

    /// The variables of the script that were bound since and ask for addresses of names: the machine looks them up before
    /// it does what they stand in.
    pub(crate) fn take_look_ups(&self) -> Vec<Rc<Bound<C>>> {
        self.look_ups.take()
    }

    /// Binds a variable that stands in the script, or in a text that is evaluated at run time.
    pub(crate) fn bind_shared(
        self: &Rc<Self>,
        reference: &Reference,
        routes: Routes,
    ) -> Result<Rc<Bound<C>>, ArgError> {
        let bound = Rc::new(self.bind(reference, routes)?);
        if bound.looks_up && self.evaluations.get() == 0 {
            self.look_ups.borrow_mut().push(bound.clone());
        }
        Ok(bound)
    }

    /// Finds out what a written variable means.
    fn bind(self: &Rc<Self>, reference: &Reference, routes: Routes) -> Result<Bound<C>, ArgError> {
        let Some(variable) = self.variables.get(reference.name.as_str()) else {
            let message = format!("unknown script variable <${}>", reference.name);
            let error = ArgError::new(message).suggest(&reference.name, self.variables.keys().copied());
            return Err(ArgError { unknown_variable: Some(reference.name.clone()), ..error });
        };
        check_form(variable, reference)?;
        let sub = match (&reference.sub, variable.naming) {
            (Some(sub), Naming::Plain(_)) => Some(SubName::Literal(sub.clone())),
            (Some(sub), _) => Some(self.sub(sub, routes)?),
            (None, _) => None,
        };
        let index = match &reference.index {
            None => BoundIndex::Fixed(Index::Unset),
            Some(IndexText::Nth(number)) => BoundIndex::Fixed(Index::Nth(*number)),
            Some(IndexText::All) => BoundIndex::Fixed(Index::All),
            Some(IndexText::Append) => BoundIndex::Fixed(Index::Append),
            Some(IndexText::Variable(inner)) => BoundIndex::Variable(Box::new(self.bind(inner, routes)?)),
        };
        let site = VarSite {
            name: &reference.name,
            sub,
            index: match &index {
                BoundIndex::Fixed(index) => Some(*index),
                BoundIndex::Variable(_) => None,
            },
            context: reference.context,
            routes,
        };
        let accessor = (variable.prepare)(&site)?;
        let prepared = prepare(&reference.transformations, self, routes)?;
        Ok(Bound {
            text: reference.text.as_str().into(),
            name: reference.name.as_str().into(),
            accessor,
            index,
            context: reference.context,
            transforms: prepared.transforms,
            unprinted: prepared.unprinted,
            looks_up: prepared.looks_up,
        })
    }

    fn sub(self: &Rc<Self>, text: &Bytes, routes: Routes) -> Result<SubName<C>, ArgError> {
        if memchr::memchr(b'$', text).is_none() {
            return Ok(SubName::Literal(text.clone()));
        }
        if let Ok((bound, end)) = format::variable(text, self, routes)
            && end == text.len()
        {
            return Ok(SubName::Dynamic(bound));
        }
        let expr = format::parse(text, self, routes).map_err(|error| error.error)?;
        Ok(match expr.constant().and_then(Value::to_bytes) {
            Some(text) => SubName::Literal(text),
            None => SubName::Format(Rc::new(expr)),
        })
    }
}

/// What stands in parentheses and brackets, against what the variable declares.
fn check_form<C: Host>(variable: &Variable<C>, reference: &Reference) -> Result<(), ArgError> {
    let name = &reference.name;
    let is_named = reference.sub.as_ref().is_some_and(|sub| !sub.is_empty());
    match variable.naming {
        Naming::Nothing if reference.sub.is_some() => {
            return Err(ArgError::new(format!("${name} takes no name in parentheses")));
        }
        Naming::Required(what) | Naming::Plain(what) if !is_named => {
            return Err(ArgError::new(format!("${name} needs a name, as ${name}({what})")));
        }
        _ => {}
    }
    let takes = match (&reference.index, variable.indexes) {
        (None, _) | (_, Indexes::Unchecked | Indexes::Append) => true,
        (Some(index), Indexes::List) => *index != IndexText::Append,
        (Some(_), Indexes::None) => false,
    };
    match takes {
        true => Ok(()),
        false => Err(ArgError::new(format!("${name} has no values that this index could choose from"))),
    }
}
