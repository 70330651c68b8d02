//! The regular expression of a call: compiled when the script is loaded, or when it is known.

use std::cell::RefCell;

use regex::bytes::Regex;
use tocsin_script::{ArgError, Bytes, Site, Value, compile_made_regex_with, compile_regex_within_lines};
use tocsin_server::Context;

/// The first argument of a call.
pub(super) enum Pattern {
    Fixed(Regex),
    /// Made at run time. The last one is kept.
    Made(RefCell<Option<(Bytes, Option<Regex>)>>),
}

impl Pattern {
    /// Lines are matched one by one.
    pub(super) fn new(site: &Site<'_, Context>) -> Result<Self, ArgError> {
        let Some(pattern) = site.constant_str(0) else { return Ok(Self::Made(RefCell::new(None))) };
        compile_regex_within_lines(pattern).map(Self::Fixed).map_err(|problem| ArgError::at(0, problem))
    }

    /// The expression; `None` if what was made at run time is none.
    pub(super) fn now(&self, argument: &Value) -> Option<Regex> {
        let last = match self {
            Self::Fixed(regex) => return Some(regex.clone()),
            Self::Made(last) => last,
        };
        let pattern = argument.to_bytes()?;
        let mut last = last.borrow_mut();
        if let Some((known, regex)) = &*last
            && *known == pattern
        {
            return regex.clone();
        }
        let regex = compile_made_regex_with(&pattern, true, true);
        if let Err(problem) = &regex {
            tracing::error!("`{}`: {problem}", pattern.escape_ascii());
        }
        let regex = regex.ok();
        *last = Some((pattern, regex.clone()));
        regex
    }
}
