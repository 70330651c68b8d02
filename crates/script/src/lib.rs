//! The configuration language of OpenSIPS 3.4, from text to a running script.
//!
//! Text goes in through [`SourceMap`]; [`compile()`] reads it, checks it against the [`Library`] of names the host has
//! registered, and gives a [`Program`]: the settings of the server, and its routes as flat code. An [`Execution`]
//! runs a route for a [`Host`], the message or event under way, and stops where a function waits. What is wrong
//! with a text comes out as [`Diagnostics`]. Nothing here knows SIP, sockets or modules: all but the language itself
//! is the host's.
#![forbid(unsafe_code)]

mod arithmetic;
mod bind;
mod builtin;
mod call;
mod code;
mod compile;
mod diagnostics;
mod ere;
mod expression;
mod fault;
mod format;
mod global;
mod language;
mod lexer;
mod library;
mod operator;
mod parameter;
mod parser;
mod program;
mod reference;
mod route;
mod site;
mod source;
mod substitution;
mod transformations;
mod tree;
mod value;
mod variable;
mod vars;
mod vm;

#[cfg(test)]
mod testing;

pub use bind::MAX_EVALUATIONS;
pub use call::{Call, Host, Launch, NamedParams, Outcome, Resume, Waiting};
pub use compile::compile;
pub use diagnostics::{Diagnostic, Diagnostics, Level, MAX_ERRORS, MAX_WARNINGS, did_you_mean};
pub use ere::{
    compile as compile_regex, compile_made as compile_made_regex,
    compile_made_with as compile_made_regex_with, compile_within_lines as compile_regex_within_lines,
};
pub use expression::{Expr, Operator, Part, Pattern};
pub use fault::Fault;
pub use global::{GlobalSetting, GlobalValue, MAX_WHILE_LOOPS, ProfileSpec, SocketOption, SocketSpec};
pub use library::{
    AbsentModule, Function, Global, GlobalKind, Indexes, Library, ModuleSpec, Naming, Param, ParamKind,
    Variable,
};
pub use parameter::{ModParam, ModParamDefault, ModParamKind, is_on, split_keyed};
pub use parser::{MAX_NESTING, MAX_OPERATORS};
pub use program::{DEFAULT_MAX_WHILE_LOOPS, MAX_OPERATIONS_OF_PROGRAM, ModuleSetting, Program, Statement};
pub use reference::{Context, MAX_NESTED_VARIABLES};
pub use route::{RouteId, RouteKind, Routes};
pub use site::{ArgError, Site, VarSite};
pub use source::{
    MAX_FILE_BYTES, MAX_FILES, MAX_INCLUDE_DEPTH, Place, Position, SourceFile, SourceMap, Span,
};
pub use substitution::{Replacement, Substitution};
pub use transformations::{
    CLASSES as TRANSFORMATIONS, Class as TransformationClass, Kind as TransformationKind,
    Parameter as TransformationParameter, Transformation, find as find_transformation,
};
pub use value::{Bytes, MAX_STRING_BYTES, Value};
pub use variable::{Accessor, Bound, Index, Store, SubName, WriteError};
pub use vars::ScriptVars;
pub use vm::{
    DEFAULT_MAX_OPERATIONS, DEFAULT_MAX_STRETCH, Execution, MAX_REPORTED_ERRORS, MAX_ROUTE_ARGUMENTS,
    MAX_ROUTE_DEPTH, Pause, PauseKind, Step, Verdict,
};
