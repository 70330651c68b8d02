//! Variables at run time: how the host's are read and written, and what stands at one place of the script.

use std::any::Any;
use std::rc::Rc;

use thiserror::Error;

use crate::call::Host;
use crate::expression::Expr;
use crate::reference::Context;
use crate::value::{Bytes, Value};

/// An index at which no list has a value.
const BEYOND_LISTS: i64 = i32::MAX as i64;

/// Which of a variable's values is meant (manual, "Core Variables").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Index {
    /// Nothing was written: the first value.
    #[default]
    Unset,
    /// `[n]`: from 0, or from -1 backwards.
    Nth(i64),
    /// `[*]`: all values.
    All,
    /// `[append]`: behind the last value, for writing.
    Append,
}

/// How a value is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// `=`: variables with many values get one more.
    Set,
    /// `:=`: what was there goes first.
    Replace,
}

/// Why a variable was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// It cannot be.
    #[error("the variable is read-only")]
    ReadOnly,
    /// It does not take this value.
    #[error("{0}")]
    Refused(std::borrow::Cow<'static, str>),
}

/// Reads and writes a variable for the host. It was prepared for one place of the script, so a subname is part of it.
pub trait Accessor<C> {
    /// The value, [`Value::Null`] if there is none.
    fn read(&self, host: &mut C, index: Index) -> Value;

    /// Adds the value to a format string; of use where a string need not be copied first.
    fn print(&self, host: &mut C, index: Index, out: &mut Vec<u8>) {
        self.read(host, index).append_to(out);
    }

    /// Gives it a value, or with [`Value::Null`] takes it away.
    ///
    /// # Errors
    /// [`WriteError::ReadOnly`] unless implemented; whatever the variable finds wrong with the value.
    fn write(&self, host: &mut C, index: Index, value: Value, store: Store) -> Result<(), WriteError> {
        let _ = (host, index, value, store);
        Err(WriteError::ReadOnly)
    }

    /// The number that stands beside a text, for comparisons with a number: the port of `$rp` is both.
    fn number(&self, host: &mut C) -> Option<i64> {
        let _ = host;
        None
    }

    /// Whether it can be written at all: seen when the script is loaded.
    fn writable(&self) -> bool {
        false
    }

    /// Itself, for functions of its module that take the variable as an argument and need more than its value.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// What stands in the parentheses after a variable's name.
pub enum SubName<C> {
    /// A name known when the script is loaded.
    Literal(Bytes),
    /// A name with variables in it.
    Dynamic(Rc<Bound<C>>),
    /// A format string.
    Format(Rc<Expr<C>>),
}

impl<C> Clone for SubName<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Literal(name) => Self::Literal(name.clone()),
            Self::Dynamic(bound) => Self::Dynamic(bound.clone()),
            Self::Format(format) => Self::Format(format.clone()),
        }
    }
}

impl<C: Host> SubName<C> {
    /// The name if it is known when the script is loaded.
    pub fn literal(&self) -> Option<&Bytes> {
        match self {
            Self::Literal(name) => Some(name),
            _ => None,
        }
    }

    /// The name now; a number if a variable gives one.
    pub fn value(&self, host: &mut C) -> Value {
        match self {
            Self::Literal(name) => Value::Str(name.clone()),
            Self::Dynamic(bound) => bound.read(host),
            Self::Format(format) => format.value(host).map(std::borrow::Cow::into_owned).unwrap_or_default(),
        }
    }
}

/// A variable bound to its accessor at one place of the script, with index and transformations.
pub struct Bound<C> {
    pub(crate) text: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) accessor: Rc<dyn Accessor<C>>,
    pub(crate) index: BoundIndex<C>,
    /// Which message it speaks of, if not of the one under way.
    pub(crate) context: Option<Context>,
    pub(crate) transforms: Box<[Transform<C>]>,
    /// One more, that printing leaves out.
    pub(crate) unprinted: Option<Transform<C>>,
    /// A transformation of it asks for the address of a name.
    pub(crate) looks_up: bool,
}

/// A prepared transformation: what it makes of a value.
pub(crate) type Transform<C> = Box<dyn Fn(&mut C, Value) -> Value>;

pub(crate) enum BoundIndex<C> {
    Fixed(Index),
    Variable(Box<Bound<C>>),
}

impl<C: Host> Bound<C> {
    /// As it is written, for messages.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its name without subname: `avp` of `$avp(x)`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variable's accessor, if it is a `T` that says so ([`Accessor::as_any`]).
    pub fn accessor_as<T: 'static>(&self) -> Option<&T> {
        self.accessor.as_any()?.downcast_ref()
    }

    /// Whether it can be written.
    pub fn writable(&self) -> bool {
        self.is_plain() && self.accessor.writable()
    }

    /// The value after its transformations.
    pub fn read(&self, host: &mut C) -> Value {
        let index = self.index(host);
        self.read_at(host, index)
    }

    /// The value of another index than the one written: functions walk lists with it.
    pub fn read_at(&self, host: &mut C, index: Index) -> Value {
        let value = self.value_at(host, index);
        let transforms = self.transforms.iter().chain(&self.unprinted);
        transforms.fold(value, |value, transform| transform(host, value))
    }

    /// Whether it has one value that stands at every index, as `$var(x)` and `$ru` do, and is no list.
    pub fn is_single(&self, host: &mut C) -> bool {
        !self.accessor.read(host, Index::Nth(BEYOND_LISTS)).is_null()
    }

    /// Adds the value to a format string.
    pub fn print(&self, host: &mut C, out: &mut Vec<u8>) {
        let index = self.index(host);
        if self.transforms.is_empty() && self.context.is_none() {
            return self.accessor.print(host, index, out);
        }
        let value = self.value_at(host, index);
        self.transforms.iter().fold(value, |value, transform| transform(host, value)).append_to(out);
    }

    /// The value before its transformations, in the context that is written before its name.
    fn value_at(&self, host: &mut C, index: Index) -> Value {
        match self.context {
            None => self.accessor.read(host, index),
            Some(which) => host.in_context(which, &mut |host| self.accessor.read(host, index)),
        }
    }

    /// Gives it a value, as `=` and `:=` do.
    ///
    /// # Errors
    /// What [`Accessor::write`] says.
    pub fn write(&self, host: &mut C, value: Value, store: Store) -> Result<(), WriteError> {
        let index = self.index(host);
        self.write_at(host, index, value, store)
    }

    /// The same with another index than the one written.
    ///
    /// # Errors
    /// What [`Accessor::write`] says; [`WriteError::ReadOnly`] if there are transformations.
    pub fn write_at(&self, host: &mut C, index: Index, value: Value, store: Store) -> Result<(), WriteError> {
        if !self.is_plain() {
            return Err(WriteError::ReadOnly);
        }
        self.accessor.write(host, index, value, store)
    }

    /// Whether it has neither transformations nor a context.
    fn is_plain(&self) -> bool {
        self.transforms.is_empty() && self.unprinted.is_none() && self.context.is_none()
    }

    /// The number that stands beside a text that it holds.
    pub(crate) fn number(&self, host: &mut C) -> Option<i64> {
        if self.is_plain() { self.accessor.number(host) } else { None }
    }

    fn index(&self, host: &mut C) -> Index {
        match &self.index {
            BoundIndex::Fixed(index) => *index,
            // no other value is an index: nothing is found there
            BoundIndex::Variable(bound) => match bound.read(host) {
                Value::Int(number) => Index::Nth(number),
                _ => Index::Nth(BEYOND_LISTS),
            },
        }
    }
}
