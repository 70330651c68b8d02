//! Calls of the host's functions: the name, where it may be used, and each argument against its parameter.

use std::rc::Rc;

use super::{Checked, Compiler, Reported, constant};
use crate::call::Host;
use crate::code::{Argument, ArgumentKind, Arguments, CallSite};
use crate::diagnostics::{did_you_mean, nearest};
use crate::expression::{Expr, Part};
use crate::library::{AbsentModule, Function, ModuleSpec, Param, ParamKind};
use crate::site::{ArgumentSite, Site};
use crate::source::Place;
use crate::source::Span;
use crate::transformations::read_substitution;
use crate::tree::{self, CallTree, ExprKind};
use crate::value::{Bytes, Value};
use crate::variable::Bound;

/// An argument with what `prepare` gets to know of it.
struct Checking<C: Host> {
    argument: Argument<C>,
    site: ArgumentSite<C>,
}

impl<'a, C: Host> Compiler<'a, C> {
    pub(super) fn call_site(&mut self, call: &CallTree, asynchronous: bool) -> Checked<CallSite<C>> {
        let function = self.function(call, asynchronous)?;
        let span = call.name.span;
        if !self.routes.intersects(function.routes) {
            let message = format!("command <{}> cannot be used in this type of route", function.name);
            let help =
                format!("this is {}; it may be used in {}", self.routes.list(), function.routes.list());
            self.errors.add_with_help(span, message, Some(help));
            return Err(Reported);
        }
        self.check_count(function, call)?;
        self.signature = function.usage();
        let mut arguments = Vec::with_capacity(function.params.len());
        let mut sites = Vec::with_capacity(function.params.len());
        let mut failed = false;
        for (position, param) in function.params.iter().enumerate() {
            let value = call.arguments.get(position).and_then(|argument| argument.value.as_ref());
            let missing = call.arguments.get(position).map_or(span, |argument| argument.span);
            match self.argument(position, param, value, missing) {
                Ok(checking) => {
                    arguments.push(checking.argument);
                    sites.push(checking.site);
                }
                Err(Reported) => failed = true,
            }
        }
        if failed {
            return Err(Reported);
        }
        self.prepare(function, call, &sites, arguments, asynchronous)
    }

    fn function(&mut self, call: &CallTree, asynchronous: bool) -> Checked<&'a Function<C>> {
        let name = &call.name.node;
        let found = self.functions.get(name.as_str()).copied();
        match found {
            Some(function) if function.asynchronous || !asynchronous => Ok(function),
            Some(_) => {
                let message = format!("unknown async command <{name}>: it does not wait");
                self.fail(call.name.span, message)
            }
            None => {
                let provides =
                    |module: &&ModuleSpec<C>| module.functions.iter().any(|function| function.name == name);
                let has = |module: &AbsentModule| module.functions.contains(&name.as_str());
                let mut absent = self.library.absent_with(has).peekable();
                let of_absent = absent.peek().copied();
                if absent.any(|module| self.errors.follows_from(module)) {
                    return Err(Reported);
                }
                let help = match self.library.modules.values().find(provides) {
                    Some(module) => Some(format!("loadmodule \"{}.so\" is missing", module.name)),
                    None if of_absent.is_some() => of_absent
                        .map(|module| format!("it belongs to the module {module}, which is not there yet")),
                    None => self.nearest_function(name),
                };
                let message = format!("unknown command <{name}>, missing loadmodule?");
                self.errors.add_with_help(call.name.span, message, help);
                Err(Reported)
            }
        }
    }

    /// The function that was probably meant, also one of a module that is not loaded.
    fn nearest_function(&self, name: &str) -> Option<String> {
        did_you_mean(name, self.functions.keys().copied()).or_else(|| {
            let modules = self.library.modules.values();
            let others = modules.flat_map(|module| module.functions.iter().map(|function| function.name));
            let meant = nearest(name, others)?;
            let of = |module: &&ModuleSpec<C>| module.functions.iter().any(|function| function.name == meant);
            let module = self.library.modules.values().find(of)?.name;
            Some(format!("did you mean `{meant}` of the module {module}?"))
        })
    }

    fn check_count(&mut self, function: &Function<C>, call: &CallTree) -> Checked<()> {
        let given = call.arguments.len();
        let most = function.params.len();
        let least = function.params.iter().rposition(|param| !param.optional).map_or(0, |last| last + 1);
        if given >= least && given <= most {
            return Ok(());
        }
        let takes = if least == most { most.to_string() } else { format!("{least} to {most}") };
        let message = format!("command <{}> takes {takes} parameters, {given} given", function.name);
        self.errors.add_with_help(call.name.span, message, Some(function.usage()));
        Err(Reported)
    }

    fn argument(
        &mut self,
        position: usize,
        param: &Param,
        value: Option<&tree::Expr>,
        missing: Span,
    ) -> Checked<Checking<C>> {
        let Some(expr) = value else {
            if param.optional {
                return Ok(ready(Value::Null, ArgumentSite::default()));
            }
            return self
                .fail_argument(missing, format!("Param [{}] ({}) is missing", position + 1, param.name));
        };
        match param.kind {
            ParamKind::Variable | ParamKind::Output => self.variable_argument(position, param, expr),
            ParamKind::Outputs => self.outputs_argument(position, expr, param.optional),
            ParamKind::Parts => self.parts_argument(expr),
            ParamKind::Verbatim => self.verbatim_argument(position, expr),
            ParamKind::Substitution => self.substitution_argument(position, expr),
            ParamKind::Int => self.int_argument(position, expr, param.optional),
            _ => self.text_argument(position, param, expr),
        }
    }

    /// What is wrong with an argument, with the parameters of its function as help.
    fn fail_argument<T>(&mut self, span: Span, message: impl Into<String>) -> Checked<T> {
        let signature = self.signature.clone();
        self.errors.add_with_help(span, message, Some(signature));
        Err(Reported)
    }

    fn variable_argument(
        &mut self,
        position: usize,
        param: &Param,
        expr: &tree::Expr,
    ) -> Checked<Checking<C>> {
        let ExprKind::Variable(reference) = &expr.node else {
            return self
                .fail_argument(expr.span, format!("Param [{}] expected to be a variable", position + 1));
        };
        let bound = self.bound(reference, expr.span)?;
        if param.kind == ParamKind::Output && !bound.writable() {
            let message =
                format!("Param [{}] is to be written, but {} is read-only", position + 1, bound.text());
            return self.fail_argument(expr.span, message);
        }
        Ok(ready(Value::Null, ArgumentSite { variable: Some(bound), ..ArgumentSite::default() }))
    }

    /// The list is read as the format string that it looks like.
    fn outputs_argument(
        &mut self,
        position: usize,
        expr: &tree::Expr,
        optional: bool,
    ) -> Checked<Checking<C>> {
        let mut outputs = Vec::new();
        match self.argument_value(expr)? {
            Expr::Const(Value::Str(text)) if optional && text.trim_ascii().is_empty() => {}
            Expr::Variable(bound) => outputs.push(bound),
            Expr::Format(parts) => match variables_of(&parts) {
                Ok(variables) => outputs = variables,
                Err(text) => {
                    let (number, text) = (position + 1, text.lossy());
                    let problem = "is no variable; write one or more, with `;` between";
                    return self.fail(expr.span, format!("Param [{number}]: `{text}` {problem}"));
                }
            },
            _ => {
                return self
                    .fail_argument(expr.span, format!("Param [{}] expected to be variables", position + 1));
            }
        }
        if let Some(bound) = outputs.iter().find(|bound| !bound.writable()) {
            let message =
                format!("Param [{}] is to be written, but {} is read-only", position + 1, bound.text());
            return self.fail_argument(expr.span, message);
        }
        Ok(ready(Value::Null, ArgumentSite { outputs, ..ArgumentSite::default() }))
    }

    fn parts_argument(&mut self, expr: &tree::Expr) -> Checked<Checking<C>> {
        let parts: Rc<[Part<C>]> = match self.argument_value(expr)? {
            Expr::Variable(bound) => Rc::new([Part::Variable(bound)]),
            Expr::Format(parts) => parts.into_vec().into(),
            other => match other.constant().and_then(Value::to_bytes) {
                Some(text) => Rc::new([Part::Text(text)]),
                None => return self.fail(expr.span, "a string or a variable is needed here"),
            },
        };
        Ok(ready(Value::Null, ArgumentSite { parts, ..ArgumentSite::default() }))
    }

    fn verbatim_argument(&mut self, position: usize, expr: &tree::Expr) -> Checked<Checking<C>> {
        let ExprKind::Text(text) = &expr.node else {
            let message = format!("Param [{}] expected to be a string: write it in quotes", position + 1);
            return self.fail_argument(expr.span, message);
        };
        Ok(ready(Value::Str(text.bytes.clone()), ArgumentSite::default()))
    }

    fn substitution_argument(&mut self, position: usize, expr: &tree::Expr) -> Checked<Checking<C>> {
        let read = match &expr.node {
            ExprKind::Text(text) => read_substitution(&text.bytes, &self.names, self.routes),
            _ => None,
        };
        let Some(substitution) = read else {
            let message = format!("Param [{}] is no /expression/replacement/flags in quotes", position + 1);
            return self.fail(expr.span, message);
        };
        let substitution = Some(Rc::new(substitution));
        Ok(ready(Value::Null, ArgumentSite { substitution, ..ArgumentSite::default() }))
    }

    fn int_argument(&mut self, position: usize, expr: &tree::Expr, optional: bool) -> Checked<Checking<C>> {
        let value = match &expr.node {
            ExprKind::Word(word) => match constant(word) {
                Some(number) => Expr::Const(Value::Int(number)),
                None => {
                    return self.fail_argument(
                        expr.span,
                        format!("Param [{}] expected to be an integer", position + 1),
                    );
                }
            },
            _ => self.value(expr)?,
        };
        let Some(known) = value.constant() else {
            return Ok(self.at_run_time(ArgumentKind::Int, optional, value));
        };
        match known {
            Value::Int(number) => Ok(ready(Value::Int(*number), ArgumentSite::default())),
            _ => {
                let message = format!("Param [{}] expected to be an integer, without quotes", position + 1);
                self.fail_argument(expr.span, message)
            }
        }
    }

    fn text_argument(&mut self, position: usize, param: &Param, expr: &tree::Expr) -> Checked<Checking<C>> {
        let route = matches!(param.kind, ParamKind::Route(_));
        if matches!(expr.node, ExprKind::Word(_)) && !route {
            let message = format!("Param [{}] expected to be a string: write it in quotes", position + 1);
            return self.fail_argument(expr.span, message);
        }
        let value = self.argument_value(expr)?;
        let kind = match param.kind {
            ParamKind::StrOrInt => ArgumentKind::StrOrInt,
            ParamKind::Route(kind) => ArgumentKind::Route(kind),
            _ => ArgumentKind::Str,
        };
        if let ExprKind::Text(text) = &expr.node
            && param.kind != ParamKind::Regex
            && has_bare_dollar(&text.bytes)
        {
            let message = "syntax error: a variable name expected after `$`";
            self.errors.add_with_help(expr.span, message, Some("write `$$` for a dollar sign".to_owned()));
            return Err(Reported);
        }
        let Some(known) = value.constant() else {
            return Ok(self.at_run_time(kind, param.optional, value));
        };
        let Some(text) = known.to_bytes() else {
            return self.fail_argument(expr.span, format!("Param [{}] cannot be NULL", position + 1));
        };
        if matches!(known, Value::Int(_)) && !route && kind != ArgumentKind::StrOrInt {
            let message = format!("Param [{}] expected to be a string: write it in quotes", position + 1);
            return self.fail_argument(expr.span, message);
        }
        let mut site = ArgumentSite::default();
        let known = match param.kind {
            ParamKind::StrOrInt => known.clone(),
            ParamKind::Route(kind) => self.find_route(kind, &text, expr.span)?.to_value(),
            ParamKind::Regex => {
                site.regex = Some(self.regex(&text, expr.span)?);
                Value::Str(text)
            }
            _ => Value::Str(text),
        };
        Ok(ready(known, site))
    }

    fn at_run_time(&self, kind: ArgumentKind, optional: bool, value: Expr<C>) -> Checking<C> {
        let variable = match &value {
            Expr::Variable(bound) => Some(bound.clone()),
            _ => None,
        };
        let site = ArgumentSite { variable, ..ArgumentSite::default() };
        Checking { argument: Argument { kind, optional, value }, site }
    }

    fn prepare(
        &mut self,
        function: &Function<C>,
        call: &CallTree,
        sites: &[ArgumentSite<C>],
        arguments: Vec<Argument<C>>,
        asynchronous: bool,
    ) -> Checked<CallSite<C>> {
        let span = call.name.span;
        let site = Site {
            function: function.name,
            params: function.params,
            given: call.arguments.len(),
            arguments: sites,
            routes: self.routes,
            place: Place { file: self.source.file(span).name(), line: self.source.position(span).line },
            asynchronous,
        };
        let prepared = (function.prepare)(&site);
        let call = match prepared {
            Ok(call) => call,
            Err(error) => {
                let at = error.argument.and_then(|argument| call.arguments.get(argument));
                return self.reject(at.map_or(span, |argument| argument.span), error);
            }
        };
        let fixed = arguments.iter().all(|argument| argument.value.constant().is_some());
        let arguments = match fixed {
            true => {
                Arguments::Fixed(arguments.iter().filter_map(|one| one.value.constant().cloned()).collect())
            }
            false => Arguments::Mixed(arguments.into()),
        };
        Ok(CallSite { name: function.name, call, arguments })
    }
}

/// Whether a dollar sign stands before a blank, a digit or the end, and not behind another one.
fn has_bare_dollar(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'$', &text[at..]) {
        match text.get(at + found + 1) {
            Some(b'$') => at += found + 2,
            None => return true,
            Some(next) if next.is_ascii_whitespace() || next.is_ascii_digit() => return true,
            Some(_) => at += found + 1,
        }
    }
    false
}

/// An argument that is known now.
fn ready<C: Host>(value: Value, mut site: ArgumentSite<C>) -> Checking<C> {
    site.constant = Some(value.clone());
    Checking {
        argument: Argument { kind: ArgumentKind::Ready, optional: true, value: Expr::Const(value) },
        site,
    }
}

/// The variables of a text that has nothing but `;` between them.
///
/// # Errors
/// What else stands there.
fn variables_of<C>(parts: &[Part<C>]) -> Result<Vec<Rc<Bound<C>>>, Bytes> {
    let mut variables = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Variable(bound) => variables.push(bound.clone()),
            Part::Text(text) if text.trim_ascii() == b";" && at > 0 => {}
            Part::Text(text) => return Err(text.clone()),
        }
    }
    Ok(variables)
}
