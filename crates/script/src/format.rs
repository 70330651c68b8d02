//! Format strings: text with variables in it (manual, "Script Syntax", calling conventions). `$$` is a dollar sign,
//! and so is a `$` that begins no variable: regular expressions end with one.

use std::rc::Rc;

use crate::bind::Names;
use crate::call::Host;
use crate::expression::{Expr, Part};
use crate::reference::{begins_variable, scan_known};
use crate::route::Routes;
use crate::site::ArgError;
use crate::value::{Bytes, Value};
use crate::variable::Bound;

/// What is wrong with a format string, and where in its bytes.
pub(crate) struct FormatError {
    pub(crate) at: usize,
    pub(crate) len: usize,
    pub(crate) error: ArgError,
}

/// Reads a format string; one without variables is a constant.
pub(crate) fn parse<C: Host>(
    text: &[u8],
    names: &Rc<Names<C>>,
    routes: Routes,
) -> Result<Expr<C>, FormatError> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(len) = memchr::memchr(b'$', &text[at..]) {
        literal.extend_from_slice(&text[at..at + len]);
        at += len;
        match text.get(at + 1) {
            Some(b'$') => {
                literal.push(b'$');
                at += 2;
            }
            Some(_) if begins_variable(&text[at + 1..]) => {
                let (bound, end) = variable_at(text, at, names, routes)?;
                if !literal.is_empty() {
                    parts.push(Part::Text(Bytes::from(std::mem::take(&mut literal))));
                }
                parts.push(Part::Variable(bound));
                at = end;
            }
            _ => {
                literal.push(b'$');
                at += 1;
            }
        }
    }
    literal.extend_from_slice(&text[at..]);
    if parts.is_empty() {
        return Ok(Expr::Const(Value::Str(Bytes::from(literal))));
    }
    if !literal.is_empty() {
        parts.push(Part::Text(Bytes::from(literal)));
    }
    Ok(Expr::Format(parts.into()))
}

/// The variable a text begins with, and where it ends.
pub(crate) fn variable<C: Host>(
    text: &[u8],
    names: &Rc<Names<C>>,
    routes: Routes,
) -> Result<(Rc<Bound<C>>, usize), ArgError> {
    if text.first() != Some(&b'$') {
        return Err(ArgError::new("a variable expected"));
    }
    variable_at(text, 0, names, routes).map_err(|error| error.error)
}

fn variable_at<C: Host>(
    text: &[u8],
    at: usize,
    names: &Rc<Names<C>>,
    routes: Routes,
) -> Result<(Rc<Bound<C>>, usize), FormatError> {
    let known = |name: &str| names.has_variable(name);
    let (reference, end) = scan_known(text, at, &known).map_err(|error| FormatError {
        at,
        len: error.at.saturating_sub(at).max(1),
        error: ArgError::new(error.message),
    })?;
    let bound =
        names.bind_shared(&reference, routes).map_err(|error| FormatError { at, len: end - at, error })?;
    Ok((bound, end))
}
