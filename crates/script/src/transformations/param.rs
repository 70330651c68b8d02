//! `{param.*}`: lists such as `a=1;b;c="x;y"` (manual, "Parameters List Transformations").

use super::given::{Given, number, position, text as text_of};
use super::params::{Param, Params, named};
use super::row::{Kind, Parameter, Transformation};
use crate::value::Value;

const INDEX: &[Parameter] = &[Parameter::required("index", Kind::Number)];
const NAME: &[Parameter] = &[Parameter::required("name", Kind::Text)];

pub(super) const ROWS: &[Transformation] = &[
    Transformation::with(
        "param.value",
        NAME,
        |text, given| {
            let found = text_of(given, 0).and_then(|name| named(text, name));
            found.map_or(Value::Null, |param| Value::str(param.value))
        },
        "The value of the first parameter of this name, without quotes; empty if it has none. Case does not matter.",
    ),
    Transformation::with(
        "param.exist",
        NAME,
        |text, given| match (text_of(given, 0), params(text)) {
            (Some(name), Some(mut params)) => {
                Value::from(params.any(|param| param.name.eq_ignore_ascii_case(name)))
            }
            _ => Value::Null,
        },
        "1 if there is a parameter of this name, with or without a value, 0 if not.",
    ),
    Transformation::with(
        "param.valueat",
        INDEX,
        |text, given| at(text, given).map_or(Value::Null, |param| Value::str(param.value)),
        "The value of the parameter at an index: 0 is the first, -1 the last.",
    ),
    Transformation::with(
        "param.name",
        INDEX,
        |text, given| at(text, given).map_or(Value::Null, |param| Value::str(param.name)),
        "The name of the parameter at an index: 0 is the first, -1 the last.",
    ),
    Transformation::text(
        "param.count",
        |text| params(text).map_or(Value::Null, |params| Value::Int(params.count() as i64)),
        "The number of parameters.",
    ),
];

/// The parameters of a list that is one as a whole.
fn params(text: &[u8]) -> Option<impl Iterator<Item = Param<'_>> + Clone> {
    Params::checked(text)
}

fn at<'a>(text: &'a [u8], given: &[Given]) -> Option<Param<'a>> {
    let mut params = params(text)?;
    let at = position(number(given, 0)?, params.clone().count())?;
    params.nth(at)
}
