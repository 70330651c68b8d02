//! `$json(id)`, `$json_pretty(id)`, `$json_compact(id)` and `json_link()` (manual, json). The values belong to the process
//! and stay from one message to the next.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bound, Bytes, Call, Function, Index, Naming, Outcome, Param, ParamKind, Routes,
    Store, Value, Variable, WriteError,
};
use tocsin_server::Context;
use tocsin_server::core::refused;

use super::node::{Node, Place, Shared, reaches, shared};
use super::path::{Listed, Path, Way};
use super::print::{Style, print};

/// How many values with a name one process keeps.
const MAX_NAMES: usize = 10_000;

/// The values of this process, by name.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) quote_long: bool,
    roots: RefCell<HashMap<Bytes, Shared>>,
}

impl Documents {
    pub(super) fn new(quote_long: bool) -> Self {
        Self { quote_long, roots: RefCell::new(HashMap::new()) }
    }

    fn find(&self, name: &Bytes, steps: &[Place]) -> Option<Shared> {
        let root = self.roots.borrow().get(name).cloned()?;
        steps.iter().try_fold(root, |node, step| node.borrow().member(step))
    }

    /// Puts a value where a way leads, or takes away what is there.
    fn set(&self, way: &Way, value: Option<Shared>) -> Result<(), WriteError> {
        if let Some((last, steps)) = way.steps.split_last() {
            let parent =
                self.find(&way.name, steps).ok_or_else(|| refused("there is nothing to put it in"))?;
            return parent.borrow_mut().set(last, value).map_err(refused);
        }
        let mut roots = self.roots.borrow_mut();
        match value {
            Some(_) if roots.len() >= MAX_NAMES && !roots.contains_key(&way.name) => {
                return Err(refused("there are 10,000 JSON values: no more may be made"));
            }
            Some(value) => drop(roots.insert(way.name.clone(), value)),
            None => drop(roots.remove(&way.name)),
        }
        Ok(())
    }
}

pub(super) fn all() -> Vec<Variable<Context>> {
    let row = |name, doc, style| {
        Variable::declared(name, doc, move |site| {
            match site.index() {
                None | Some(Index::Unset | Index::All) => {}
                Some(_) => {
                    return Err(ArgError::new("elements are chosen inside of the parentheses: $json(a[0])"));
                }
            }
            let path = Path::new(&site.required_sub()?)?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(JsonVariable { path, style });
            Ok(accessor)
        })
        .named(Naming::Required("name/key[index]"))
        .indexed(tocsin_script::Indexes::List)
        .settable()
    };
    vec![
        row(
            "json",
            "A JSON value: a number or text as it is, anything else as its text. `=` puts a value in as it is, \
             `:=` reads it as JSON, and NULL removes what is there. The process keeps it. `for` goes through the \
             values of `$(json(a)[*])`, or through the keys of `$(json(a.keys)[*])`.",
            Style::Spaced,
        ),
        row("json_pretty", "The same, with each member on a line of its own.", Style::Pretty),
        row("json_compact", "The same, without blanks.", Style::Compact),
    ]
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const LINK: &[Param] =
        &[Param::required("dest_id", ParamKind::Output), Param::required("source_id", ParamKind::Variable)];
    let link = Function::new("json_link", LINK, Routes::ANY, |site| {
        let variable = |argument: usize| {
            let variable = site.variable(argument);
            let needed = || ArgError::at(argument, "a $json variable is needed");
            variable.filter(|variable| path_of(variable).is_some()).ok_or_else(needed)
        };
        let (to, from) = (variable(0)?, variable(1)?);
        let call: Call<Context> = Rc::new(move |cx, _| match join(cx, &to, &from) {
            Ok(()) => Outcome::TRUE,
            Err(cause) => {
                tracing::error!("json_link: {cause}");
                Outcome::FALSE
            }
        });
        Ok(call)
    });
    vec![link.doc(
        "Puts a JSON value into another without a copy: a change of one is seen in both. 1: done; -1: there is \
         no such value or place, or a value would lie in itself.",
    )]
}

fn path_of(variable: &Bound<Context>) -> Option<&Path> {
    variable.accessor_as::<JsonVariable>().map(|variable| &variable.path)
}

fn join(cx: &mut Context, to: &Bound<Context>, from: &Bound<Context>) -> Result<(), WriteError> {
    let mut way = |variable| {
        let way = path_of(variable).and_then(|path| path.now(cx));
        way.ok_or_else(|| refused("a variable in the name has no value"))
    };
    let (to, from) = (way(to)?, way(from)?);
    let documents = cx.server().state::<Documents>();
    let source = documents.find(&from.name, &from.steps).ok_or_else(|| refused("there is no such value"))?;
    let parent = to.steps.split_last().and_then(|(_, steps)| documents.find(&to.name, steps));
    if parent.is_some_and(|parent| reaches(&source, &parent)) {
        return Err(refused("a value cannot lie in itself"));
    }
    documents.set(&to, Some(source))
}

struct JsonVariable {
    path: Path,
    style: Style,
}

impl JsonVariable {
    fn value(&self, node: &Node) -> Value {
        match node {
            Node::Null => Value::Null,
            Node::Int(number) => Value::Int(*number),
            Node::Str(text) => Value::Str(text.clone()),
            other => print(other, self.style).map_or(Value::Null, |text| Value::Str(Bytes::from(text))),
        }
    }
}

impl Accessor<Context> for JsonVariable {
    fn read(&self, cx: &mut Context, index: Index) -> Value {
        let Some(way) = self.path.now(cx) else { return Value::Null };
        let Some(node) = cx.server().state::<Documents>().find(&way.name, &way.steps) else {
            return Value::Null;
        };
        let node = node.borrow();
        match (index, self.path.listed) {
            (Index::Unset, None) => self.value(&node),
            (Index::Nth(at), listed) => {
                let Ok(at) = usize::try_from(at) else { return Value::Null };
                match listed {
                    Some(Listed::Keys) => node.key(at).map_or(Value::Null, Value::Str),
                    _ => node.nth_value(at).map_or(Value::Null, |value| self.value(&value.borrow())),
                }
            }
            _ => Value::Null,
        }
    }

    fn write(&self, cx: &mut Context, _: Index, value: Value, store: Store) -> Result<(), WriteError> {
        if self.path.listed.is_some() {
            return Err(refused("keys and values are read one by one"));
        }
        let way = self.path.now(cx).ok_or_else(|| refused("a variable in the name has no value"))?;
        let documents = cx.server().state::<Documents>();
        let node = match (store, value) {
            (Store::Replace, Value::Str(text)) => match Node::parse(&text, documents.quote_long) {
                // JSON's null is no value of its own here
                Ok(node) => Some(node).filter(|node| !matches!(node, Node::Null)),
                Err(cause) => {
                    // what was there is gone all the same
                    documents.set(&way, None)?;
                    return Err(WriteError::Refused(format!("the text is no JSON: {cause}").into()));
                }
            },
            (_, value) => Node::of(value),
        };
        documents.set(&way, node.map(shared))
    }

    fn writable(&self) -> bool {
        self.path.listed.is_none()
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
