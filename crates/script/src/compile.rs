//! Text to program: the tree is checked against the library, and each route becomes code.
//!
//! Checking goes on after an error, so that one run reports them all; a program comes out only if there is none.

mod calls;
mod expressions;
mod reach;
mod statements;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::bind::Names;
use crate::call::Host;
use crate::code::Op;
use crate::diagnostics::{Diagnostic, Diagnostics, Errors, did_you_mean, nearest, warning_line};
use crate::global::{GlobalSetting, GlobalValue, MAX_WHILE_LOOPS};
use crate::library::{Function, Library, ModuleSpec};
use crate::parser;
use crate::program::{DEFAULT_MAX_WHILE_LOOPS, Entry, MAX_OPERATIONS_OF_PROGRAM, ModuleSetting, Program};
use crate::route::{NoRoute, RouteId, RouteKind, RouteTable, Routes};
use crate::site::ArgError;
use crate::source::Mark;
use crate::source::{SourceMap, Span};
use crate::tree::{ParameterTree, RouteTree, Spanned, Tree};
use crate::value::{Bytes, Value};
use crate::vm::{DEFAULT_MAX_OPERATIONS, DEFAULT_MAX_STRETCH};

/// Makes a program of a configuration.
///
/// # Errors
/// All that is wrong with it: syntax, unknown names, wrong arguments, functions in routes they cannot be used in.
pub fn compile<C: Host>(mut source: SourceMap, library: &Library<C>) -> Result<Program<C>, Diagnostics> {
    let mut errors = Errors::default();
    let globals =
        library.globals.iter().map(|(name, global)| (*name, global.kind)).collect::<BTreeMap<_, _>>();
    let tree = parser::parse(&mut source, &globals, &mut errors);
    let modules = load_modules(&tree, library, &mut errors);
    let settings = set_parameters(&tree, &modules, library, &mut errors);
    let mut table = declare_routes(&tree, &mut errors);
    table.files = source.files().iter().map(|file| file.name().to_owned()).collect();
    let names = Rc::new(Names::new(modules.iter().copied()));
    let mut compiler = Compiler {
        library,
        source: &source,
        errors: &mut errors,
        functions: functions(&modules),
        names,
        table: &table,
        code: Vec::new(),
        marks: Vec::new(),
        mark: Mark::default(),
        routes: Routes::ANY,
        loops: 0,
        counters: 0,
        calls: 0,
        called: 0,
        breaks: Vec::new(),
        signature: String::new(),
    };
    let entries = compiler.routes(&tree.routes);
    let (code, marks) = (compiler.code, compiler.marks);
    table.marks = marks;
    profiles(&tree, &mut errors);
    if code.len() > MAX_OPERATIONS_OF_PROGRAM {
        errors.add(
            Span::default(),
            format!("the routes have more than {MAX_OPERATIONS_OF_PROGRAM} operations"),
        );
    }
    if !errors.is_empty() {
        return Err(errors.finish(source));
    }
    let warnings = tree.warnings.iter().map(|warning| warning_line(&source, warning)).collect();
    let mut program = Program {
        source,
        warnings,
        slots: library.slots.clone(),
        globals: tree
            .globals
            .into_iter()
            .map(|(name, value)| GlobalSetting {
                name: name.node,
                value: value.node,
                span: name.span,
                value_span: value.span,
            })
            .collect(),
        modules: modules.iter().skip(1).map(|module| module.name.to_owned()).collect(),
        loading: tree.modules.into_iter().map(|path| (file_stem(&path.node).to_owned(), path.span)).collect(),
        settings,
        table: Rc::new(table),
        entries,
        code,
        positions: 0,
        max_while_loops: DEFAULT_MAX_WHILE_LOOPS,
        max_operations: DEFAULT_MAX_OPERATIONS,
        max_stretch: DEFAULT_MAX_STRETCH,
        traced: false,
    };
    if let Some(GlobalValue::Int(most)) = program.global(MAX_WHILE_LOOPS) {
        program.max_while_loops = u32::try_from(*most).unwrap_or(if *most < 0 { 0 } else { u32::MAX });
    }
    Ok(program)
}

/// The modules named by `loadmodule`, once each, behind the core.
fn load_modules<'a, C: Host>(
    tree: &Tree,
    library: &'a Library<C>,
    errors: &mut Errors,
) -> Vec<&'a ModuleSpec<C>> {
    let mut modules = vec![&library.core];
    for path in &tree.modules {
        let name = file_stem(&path.node);
        match library.modules.get(name) {
            Some(module) if modules.iter().any(|loaded| loaded.name == module.name) => {}
            Some(module) => modules.push(module),
            None => {
                let file = path.node.rsplit('/').next().unwrap_or_default();
                let (message, help) = why_not_loaded(name, file, library, errors);
                errors.add_with_help(path.span, message, help);
            }
        }
    }
    for module in modules.iter().skip(1) {
        let missing =
            module.depends.iter().find(|needed| !modules.iter().any(|loaded| loaded.name == **needed));
        let path = tree.modules.iter().find(|path| path.node.contains(module.name));
        if let (Some(needed), Some(path)) = (missing, path) {
            let help = format!("loadmodule \"{needed}.so\"");
            errors.add_with_help(
                path.span,
                format!("module <{}> needs module <{needed}>", module.name),
                Some(help),
            );
        }
    }
    modules
}

/// The name of a module from the path of its file.
fn file_stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".so").unwrap_or(file)
}

/// Why there is no such module: it is another one's name, it is not there yet, or it never was.
fn why_not_loaded<C: Host>(
    name: &str,
    file: &str,
    library: &Library<C>,
    errors: &mut Errors,
) -> (String, Option<String>) {
    if library.absent.iter().any(|module| module.name == name) {
        errors.is_absent(name);
        return (format!("failed to load module {file}: this module of OpenSIPS is not there yet"), None);
    }
    let message = format!("failed to load module {file}: there is no such module");
    if let Some(hint) = library.moved.get(name) {
        return (message, Some((*hint).to_owned()));
    }
    let absent = library.absent.iter().map(|module| module.name);
    let nearest = nearest(name, library.modules.keys().copied().chain(absent));
    if let Some(meant) = nearest.filter(|meant| library.absent.iter().any(|module| module.name == *meant)) {
        errors.is_absent(meant);
    }
    (message, nearest.map(|meant| format!("did you mean `{meant}`?")))
}

fn set_parameters<C: Host>(
    tree: &Tree,
    modules: &[&ModuleSpec<C>],
    library: &Library<C>,
    errors: &mut Errors,
) -> Vec<ModuleSetting> {
    let mut settings = Vec::new();
    for parameter in &tree.parameters {
        let wanted = &parameter.module;
        let pattern = (!is_module_name(&wanted.node)).then(|| module_pattern(&wanted.node));
        let is_wanted = |name: &str| match &pattern {
            Some(Ok(pattern)) => pattern.is_match(name.as_bytes()),
            _ => name == wanted.node,
        };
        if let Some(Err(message)) = pattern {
            errors.add(wanted.span, message);
            continue;
        }
        let mut found = false;
        for module in modules.iter().skip(1).filter(|module| is_wanted(module.name)) {
            found = true;
            settings.extend(set_parameter(parameter, module, errors));
        }
        if !found && !errors.follows_from(&wanted.node) {
            let help = match library.modules.contains_key(wanted.node.as_str()) {
                true => Some(format!("loadmodule \"{}.so\" is missing", wanted.node)),
                false if library.absent.iter().any(|module| module.name == wanted.node) => {
                    Some("this module of OpenSIPS is not there yet".to_owned())
                }
                false => did_you_mean(&wanted.node, modules.iter().skip(1).map(|module| module.name)),
            };
            errors.add_with_help(wanted.span, format!("module <{}> is not loaded", wanted.node), help);
        }
    }
    settings
}

/// Whether it names one module; otherwise it is a regular expression that matches the whole name.
fn is_module_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn module_pattern(pattern: &str) -> Result<regex::bytes::Regex, String> {
    crate::ere::compile(format!("^({pattern})$").as_bytes())
}

fn set_parameter<C: Host>(
    parameter: &ParameterTree,
    module: &ModuleSpec<C>,
    errors: &mut Errors,
) -> Option<ModuleSetting> {
    let name = &parameter.name.node;
    let Some(known) = module.params.iter().find(|known| known.name == name) else {
        let help = did_you_mean(name, module.params.iter().map(|known| known.name));
        let message = format!("parameter <{name}> not found in module <{}>", module.name);
        errors.add_with_help(parameter.name.span, message, help);
        return None;
    };
    if let Err(problem) = known.accepts(&parameter.value.node) {
        let colon = if problem.starts_with("takes ") { "" } else { ":" };
        let message = format!("parameter <{name}> of module <{}>{colon} {problem}", module.name);
        let help = format!("tocsin doc {} {name} says what it takes", module.name);
        errors.add_with_help(parameter.value.span, message, Some(help));
        return None;
    }
    Some(ModuleSetting {
        module: module.name.to_owned(),
        name: name.clone(),
        value: parameter.value.node.clone(),
        idle: known.idle,
        span: parameter.value.span,
    })
}

/// Every auto-scaling profile that is asked for has to be there, and each only once.
fn profiles(tree: &Tree, errors: &mut Errors) {
    let mut known: Vec<&str> = Vec::new();
    for name in &tree.profiles {
        if known.contains(&name.node.as_str()) {
            errors.add(name.span, format!("the auto-scaling profile {} is there twice", name.node));
        }
        known.push(&name.node);
    }
    for used in tree.profiles_used.iter().filter(|used| !known.contains(&used.node.as_str())) {
        let help = did_you_mean(&used.node, known.iter().copied())
            .unwrap_or_else(|| format!("write auto_scaling_profile = {} scale up to ...", used.node));
        let message = format!("there is no auto-scaling profile {}", used.node);
        errors.add_with_help(used.span, message, Some(help));
    }
}

fn declare_routes(tree: &Tree, errors: &mut Errors) -> RouteTable {
    let mut table = RouteTable::default();
    let mut places: Vec<Span> = Vec::new();
    for route in &tree.routes {
        let name = route.name.as_ref().map(|name| Bytes::from(name.node.as_str()));
        match table.add(route.kind, name) {
            Ok(_) => places.push(route.span),
            Err(NoRoute::SameKey(known)) => {
                let known = String::from_utf8_lossy(table.text(known));
                let message =
                    format!("this route has the same key as {known}: give one of them another name");
                errors.push(Diagnostic::new(route.span, message));
            }
            Err(NoRoute::Known(known)) => {
                let text = String::from_utf8_lossy(table.text(known)).into_owned();
                let error = Diagnostic::new(route.span, format!("{text} is there twice"));
                let first = places.get(known.index as usize).copied();
                errors.push(match first {
                    Some(first) => error.with_note(first, "the first one is there"),
                    None => error,
                });
            }
        }
    }
    table
}

type Functions<'a, C> = HashMap<&'static str, &'a Function<C>>;

fn functions<'a, C: Host>(modules: &[&'a ModuleSpec<C>]) -> Functions<'a, C> {
    modules.iter().flat_map(|module| &module.functions).map(|function| (function.name, function)).collect()
}

/// When the routes of a kind are compiled. What calls declare on the way, such as the names of events, comes in this order
/// with OpenSIPS: first the routes of messages, whatever the file begins with.
fn turn(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Request => 0,
        RouteKind::Reply => 1,
        RouteKind::Failure => 2,
        RouteKind::Branch => 3,
        RouteKind::Local => 4,
        RouteKind::Error => 5,
        RouteKind::Startup => 6,
        RouteKind::Timer => 7,
        RouteKind::Event => 8,
    }
}

/// Turns the tree of the routes into code.
struct Compiler<'a, C: Host> {
    library: &'a Library<C>,
    source: &'a SourceMap,
    errors: &'a mut Errors,
    functions: Functions<'a, C>,
    names: Rc<Names<C>>,
    table: &'a RouteTable,
    code: Vec<Op<C>>,
    marks: Vec<Mark>,
    /// The line operations are now made for.
    mark: Mark,
    /// The types of routes from which the route in hand can be reached.
    routes: Routes,
    /// How deep in loops the statement in hand is, and the most seen in this route.
    loops: u32,
    counters: u32,
    /// How many calls the expression in hand has, and how many of them are made.
    calls: u32,
    called: u32,
    /// The jumps to be set to the end of each loop or switch around.
    breaks: Vec<Vec<usize>>,
    /// The function whose arguments are checked, with its parameters.
    signature: String,
}

/// An error that has been reported.
struct Reported;

type Checked<T> = Result<T, Reported>;

impl<C: Host> Compiler<'_, C> {
    fn routes(&mut self, routes: &[RouteTree]) -> Vec<Entry> {
        let reach = reach::reach(routes, self.table);
        let mut entries = vec![Entry::default(); self.table.routes.len()];
        let mut ordered: Vec<&RouteTree> = routes.iter().collect();
        ordered.sort_by_key(|route| turn(route.kind));
        for route in ordered {
            let name = route.name.as_ref().map_or(&b""[..], |name| name.node.as_bytes());
            let Some(id) = self.table.find(route.kind, name) else { continue };
            let start = self.code.len();
            self.routes = reach.get(id.index as usize).copied().unwrap_or(Routes::ANY);
            self.counters = 0;
            self.at(route.span);
            self.block(&route.body);
            self.emit(Op::ReturnLast);
            let mut entry = Entry::new(start, route.interval);
            entry.counters = self.counters;
            entries[id.index as usize] = entry;
        }
        entries
    }

    fn emit(&mut self, op: Op<C>) -> usize {
        for variable in self.names.take_look_ups() {
            self.push(Op::LookUp(variable));
        }
        self.push(op)
    }

    fn push(&mut self, op: Op<C>) -> usize {
        self.code.push(op);
        self.marks.push(self.mark);
        self.code.len() - 1
    }

    /// Operations from here on belong to the line of this span.
    fn at(&mut self, span: Span) {
        self.mark = Mark { file: span.file, line: self.source.position(span).line };
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    /// Sets the target of a jump to the next operation.
    fn land(&mut self, jump: usize) {
        let here = self.here();
        match &mut self.code[jump] {
            Op::Unless(target) | Op::When(target) | Op::Jump(target) => *target = here,
            Op::LoopCount { exit, .. } => *exit = here,
            Op::Each(each) => each.exit = here,
            _ => {}
        }
    }

    fn fail<T>(&mut self, span: Span, message: impl Into<String>) -> Checked<T> {
        self.errors.add(span, message);
        Err(Reported)
    }

    fn reject<T>(&mut self, span: Span, mut error: ArgError) -> Checked<T> {
        if let Some(name) = &error.unknown_variable {
            let mut absent =
                self.library.absent_with(|module| module.variables.contains(&name.as_str())).peekable();
            if let Some(first) = absent.peek() {
                error.help = Some(format!("it belongs to the module {first}, which is not there yet"));
            }
            if absent.any(|module| self.errors.follows_from(module)) {
                return Err(Reported);
            }
        }
        self.errors.add_with_help(span, error.message, error.help);
        Err(Reported)
    }

    fn find_route(&mut self, kind: RouteKind, name: &[u8], span: Span) -> Checked<RouteId> {
        if let Some(id) = self.table.find(kind, name) {
            return Ok(id);
        }
        let name = String::from_utf8_lossy(name);
        let table = self.table;
        let known = table.by_name.get(&kind).into_iter().flatten();
        let known: Vec<_> = known.map(|(name, _)| name.lossy()).filter(|name| !name.is_empty()).collect();
        let help = did_you_mean(&name, known.iter().map(AsRef::as_ref));
        self.errors.add_with_help(span, format!("{}[{name}] is not there", kind.keyword()), help);
        Err(Reported)
    }

    /// What a word without quotes stands for where a value is wanted.
    fn word(&mut self, word: &Spanned<&str>) -> Checked<Value> {
        match constant(word.node) {
            Some(number) => Ok(Value::Int(number)),
            None => {
                let message =
                    format!("syntax error: unknown word <{}>: strings are written in quotes", word.node);
                self.fail(word.span, message)
            }
        }
    }
}

/// The names of numbers (manual, "Core functions", xlog; "Core Variables", $msg.flag).
fn constant(word: &str) -> Option<i64> {
    Some(match word {
        "yes" | "on" | "true" | "YES" | "ON" | "TRUE" => 1,
        "no" | "off" | "false" | "NO" | "OFF" | "FALSE" => 0,
        "L_ALERT" => -3,
        "L_CRIT" => -2,
        "L_ERR" => -1,
        "L_WARN" => 1,
        "L_NOTICE" => 2,
        "L_INFO" => 3,
        "L_DBG" => 4,
        _ => return None,
    })
}
