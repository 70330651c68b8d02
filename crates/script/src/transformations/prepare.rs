//! Written transformations to what a variable runs: names are looked up, arguments read.

use std::rc::Rc;

use smallvec::SmallVec;

use super::given::Given;
use super::row::{Effect, Kind, Parameter, Transformation};
use super::substitution::Substitutions;
use super::{all, find, ip, network, text};
use crate::bind::Names;
use crate::call::Host;
use crate::format;
use crate::reference::{TransformationText, begins_variable};
use crate::route::Routes;
use crate::site::ArgError;
use crate::value::{Bytes, Value};
use crate::variable::{Bound, Transform};

/// The transformations of one variable.
pub(crate) struct Prepared<C> {
    pub(crate) transforms: Box<[Transform<C>]>,
    /// The last one, if what is printed does not pass through it.
    pub(crate) unprinted: Option<Transform<C>>,
    /// One of them asks for the address of a name.
    pub(crate) looks_up: bool,
}

/// Makes what is written ready to run.
///
/// # Errors
/// A name that is not known, an argument that is missing or not as it has to be.
pub(crate) fn prepare<C: Host>(
    written: &[TransformationText],
    names: &Rc<Names<C>>,
    routes: Routes,
) -> Result<Prepared<C>, ArgError> {
    let found: SmallVec<[_; 4]> = written.iter().map(known).collect::<Result<_, _>>()?;
    let mut transforms = Vec::with_capacity(found.len());
    let mut unprinted = None;
    for (position, (row, index)) in found.iter().enumerate() {
        match (row.effect, found.get(position + 1)) {
            (Effect::LeadingNumber, None) => unprinted = Some(leading_number()),
            (Effect::LeadingNumber, Some((next, _))) if !matches!(next.effect, Effect::Value(_)) => {
                // What follows takes the text, and so nobody asks for the number.
            }
            _ => {
                let site = Site { row, raw: written[position].arguments.as_deref(), names, routes };
                transforms.push(site.transform(*index)?);
            }
        }
    }
    let looks_up = found.iter().any(|(row, _)| matches!(row.effect, Effect::Resolve));
    Ok(Prepared { transforms: transforms.into(), unprinted, looks_up })
}

fn known(written: &TransformationText) -> Result<(&'static Transformation, i64), ArgError> {
    find(&written.name).ok_or_else(|| {
        let error = ArgError::new(format!("unknown transformation <{}>", written.name));
        error.suggest(&written.name, all().map(|row| row.name))
    })
}

fn leading_number<C>() -> Transform<C> {
    Box::new(|_, value| match value {
        Value::Str(written) => Value::Int(text::leading_number(&written)),
        other => other,
    })
}

/// A place at which a transformation is written.
struct Site<'a, C: Host> {
    row: &'static Transformation,
    /// All that follows the first comma.
    raw: Option<&'a [u8]>,
    names: &'a Rc<Names<C>>,
    routes: Routes,
}

/// The arguments of a place.
enum Arguments<C> {
    Known(Box<[Given]>),
    Read(Box<[Argument<C>]>),
}

enum Argument<C> {
    Known(Given),
    Variable(Rc<Bound<C>>, Kind),
}

impl<C: Host> Site<'_, C> {
    fn transform(&self, index: i64) -> Result<Transform<C>, ArgError> {
        Ok(match self.row.effect {
            Effect::Text(make) => Box::new(move |_, value| of_text(&value, make)),
            Effect::Value(make) => Box::new(move |_, value| make(value)),
            Effect::With(make) => self.with(make)?,
            Effect::Nth(make) => self.with(move |text, given| make(text, index, given))?,
            Effect::LeadingNumber => leading_number(),
            Effect::Format => self.format(),
            Effect::Substitute => self.substitute()?,
            Effect::Resolve => Box::new(|host, value| of_text(&value, |text| resolve(host, text))),
        })
    }

    fn with(&self, make: impl Fn(&[u8], &[Given]) -> Value + 'static) -> Result<Transform<C>, ArgError> {
        Ok(match self.arguments()? {
            Arguments::Known(given) => Box::new(move |_, value| of_text(&value, |text| make(text, &given))),
            Arguments::Read(arguments) => Box::new(move |host, value| {
                let given: SmallVec<[Given; 2]> =
                    arguments.iter().map(|argument| argument.given(host)).collect();
                of_text(&value, |text| make(text, &given))
            }),
        })
    }

    /// The text is a format string, read anew each time.
    fn format(&self) -> Transform<C> {
        let (names, routes) = (self.names.clone(), self.routes);
        Box::new(move |host, value| {
            of_text(&value, |text| {
                let evaluate =
                    || Some(format::parse(text, &names, routes).ok()?.value(host).ok()?.into_owned());
                names.evaluate(evaluate).flatten().unwrap_or_default()
            })
        })
    }

    fn substitute(&self) -> Result<Transform<C>, ArgError> {
        let raw = self.raw.ok_or_else(|| self.missing(&self.row.parameters[0]))?;
        let trimmed = raw.trim_ascii_start();
        let variable = match trimmed {
            [b'$', rest @ ..] if begins_variable(rest) => Some(self.variable(trimmed)?.0),
            _ => None,
        };
        let substitutions = Substitutions::new(self.names.clone(), self.routes);
        Ok(match variable {
            Some(bound) => Box::new(move |host, value| match bound.read(host) {
                Value::Str(expression) => of_text(&value, |text| substitutions.made(host, &expression, text)),
                _ => Value::Null,
            }),
            None => {
                let fixed = substitutions.fixed(raw);
                Box::new(move |host, value| match &fixed {
                    Some(fixed) => of_text(&value, |text| fixed.apply(host, text)),
                    None => Value::Null,
                })
            }
        })
    }

    fn arguments(&self) -> Result<Arguments<C>, ArgError> {
        let mut arguments = Vec::with_capacity(self.row.parameters.len());
        let mut rest = self.raw;
        for parameter in self.row.parameters {
            let Some(text) = rest else {
                if parameter.optional {
                    break;
                }
                return Err(self.missing(parameter));
            };
            let (argument, after) = self.argument(parameter, text)?;
            arguments.push(argument);
            rest = after;
        }
        let known: Option<Box<[Given]>> = arguments.iter().map(Argument::known).collect();
        Ok(known.map_or_else(|| Arguments::Read(arguments.into()), Arguments::Known))
    }

    /// The first argument in a text, and what follows the comma after it.
    fn argument<'t>(
        &self,
        parameter: &Parameter,
        text: &'t [u8],
    ) -> Result<(Argument<C>, Option<&'t [u8]>), ArgError> {
        if parameter.kind == Kind::Separator {
            let byte = text.first().ok_or_else(|| self.missing(parameter))?;
            return Ok((Argument::Known(Given::Byte(*byte)), None));
        }
        let trimmed = text.trim_ascii_start();
        if let [b'$', name @ ..] = trimmed
            && begins_variable(name)
        {
            if !parameter.kind.takes_variables() {
                return Err(self.error(format_args!("`{}` cannot be a variable", parameter.name)));
            }
            let (bound, end) = self.variable(trimmed)?;
            let after = trimmed[end..].trim_ascii_start();
            if !matches!(after, [] | [b',', ..]) {
                return Err(self.error(format_args!("a comma expected after a variable")));
            }
            return Ok((Argument::Variable(bound, parameter.kind), after.get(1..)));
        }
        let (text, after) = match memchr::memchr(b',', text) {
            Some(comma) => (&text[..comma], Some(&text[comma + 1..])),
            None => (text, None),
        };
        let text = text.trim_ascii();
        let given = Given::written(parameter.kind, text).map_err(|needed| {
            let written = String::from_utf8_lossy(text);
            self.error(format_args!("`{written}` cannot be the {}: {needed}", parameter.name))
        })?;
        Ok((Argument::Known(given), after))
    }

    fn variable(&self, text: &[u8]) -> Result<(Rc<Bound<C>>, usize), ArgError> {
        format::variable(text, self.names, self.routes)
    }

    fn missing(&self, parameter: &Parameter) -> ArgError {
        self.error(format_args!("the {} is missing", parameter.name))
    }

    fn error(&self, what: std::fmt::Arguments<'_>) -> ArgError {
        ArgError::new(format!("{}: {what}", self.row.usage()))
            .with_help(format!("tocsin doc {} says what it takes", self.row.name))
    }
}

impl<C: Host> Argument<C> {
    fn known(&self) -> Option<Given> {
        match self {
            Self::Known(given) => Some(given.clone()),
            Self::Variable(..) => None,
        }
    }

    fn given(&self, host: &mut C) -> Given {
        match self {
            Self::Known(given) => given.clone(),
            Self::Variable(bound, kind) => Given::held(*kind, bound.read(host)),
        }
    }
}

/// What is made of the text of a value, of a number in decimal; NULL of NULL.
fn of_text(value: &Value, make: impl FnOnce(&[u8]) -> Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Str(text) => make(text),
        Value::Int(number) => make(itoa::Buffer::new().format(*number).as_bytes()),
    }
}

fn resolve<C: Host>(host: &mut C, name: &[u8]) -> Value {
    if name.is_empty() {
        return Value::Null;
    }
    let address = network::address(name).or_else(|| host.address_of(&Bytes::new(name)));
    address.map_or(Value::Null, |address| Value::Str(ip::written(address)))
}
