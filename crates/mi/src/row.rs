//! Commands as they are declared: a table of rows, from which come the commands of a process, what `which` and `help` say
//! of them, and the reference.

use std::fmt;
use std::rc::Rc;

use crate::command::{Command, Outcome, Registry, Reply, Run};
use crate::params::Params;

/// A command, declared once: its name, its parameters, its documentation and what it does. `P` is the process in which it
/// runs.
///
/// ```
/// use tocsin_json::Value;
/// use tocsin_mi::{CommandRow, Registry};
///
/// const COMMANDS: &[CommandRow<u32>] =
///     &[CommandRow::new("answer", &[&[]], "Gives the answer.", |answer, _| Ok(Value::from(answer)))];
///
/// let mut registry = Registry::new();
/// registry.add_rows("core", COMMANDS, 42);
/// assert!(registry.find(b"answer").is_some());
/// ```
pub struct CommandRow<P: 'static> {
    /// Its name, as users type it.
    pub name: &'static str,
    /// The sets of parameters it takes, in order of position; `&[&[]]` for none.
    pub forms: &'static [&'static [&'static str]],
    /// What it does, in a sentence or two. `help` shows it.
    pub doc: &'static str,
    effect: CommandEffect<P>,
    is_there: Option<fn(P) -> bool>,
}

enum CommandEffect<P> {
    /// Answers at once.
    Now(fn(P, &Params) -> Outcome),
    /// Answers at once, later or with a long list.
    Reply(fn(P, Params) -> Reply),
    Which,
    Help,
}

impl<P: Copy + 'static> CommandRow<P> {
    /// `which`: the names of all commands in the order they were added, or the parameter sets of one.
    pub const WHICH: Self = Self::with(
        "which",
        &[&[], &["command"]],
        "Lists the names of the available MI commands, or the parameters that one of them takes.",
        CommandEffect::Which,
    );

    /// `help`: what one command is for.
    pub const HELP: Self = Self::with(
        "help",
        &[&[], &["mi_cmd"]],
        "Shows what an MI command does and which module exports it.",
        CommandEffect::Help,
    );

    /// A command that answers at once.
    pub const fn new(
        name: &'static str,
        forms: &'static [&'static [&'static str]],
        doc: &'static str,
        run: fn(P, &Params) -> Outcome,
    ) -> Self {
        Self::with(name, forms, doc, CommandEffect::Now(run))
    }

    /// A command that may answer later, or with a long list.
    pub const fn replying(
        name: &'static str,
        forms: &'static [&'static [&'static str]],
        doc: &'static str,
        run: fn(P, Params) -> Reply,
    ) -> Self {
        Self::with(name, forms, doc, CommandEffect::Reply(run))
    }

    const fn with(
        name: &'static str,
        forms: &'static [&'static [&'static str]],
        doc: &'static str,
        effect: CommandEffect<P>,
    ) -> Self {
        Self { name, forms, doc, effect, is_there: None }
    }

    /// The same, but only in processes for which `condition` holds.
    pub const fn only_if(mut self, condition: fn(P) -> bool) -> Self {
        self.is_there = Some(condition);
        self
    }

    /// The command of `module` as `process` runs it; `None` if it is not there.
    pub fn command(&self, module: &'static str, process: P) -> Option<Command> {
        if self.is_there.is_some_and(|is_there| !is_there(process)) {
            return None;
        }
        let run = match self.effect {
            CommandEffect::Now(run) => Run::Call(Rc::new(move |params| run(process, &params).into())),
            CommandEffect::Reply(run) => Run::Call(Rc::new(move |params| run(process, params))),
            CommandEffect::Which => Run::Which,
            CommandEffect::Help => Run::Help,
        };
        Some(Command { name: self.name, module, doc: self.doc, forms: self.forms, run })
    }
}

impl Registry {
    /// Adds the commands of `module` that `rows` declare, as `process` runs them.
    pub fn add_rows<P: Copy + 'static>(
        &mut self,
        module: &'static str,
        rows: &'static [CommandRow<P>],
        process: P,
    ) {
        for command in rows.iter().filter_map(|row| row.command(module, process)) {
            self.add(command);
        }
    }
}

impl<P> fmt::Debug for CommandRow<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandRow").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tocsin_json::Value;

    use super::*;

    const ROWS: &[CommandRow<bool>] = &[
        CommandRow::new("plain", &[&[]], "Shows what it is given.", |given, _| Ok(Value::Bool(given))),
        CommandRow::new("rare", &[&[]], "Is rarely there.", |_, _| Ok(Value::Null)).only_if(|given| given),
        CommandRow::HELP,
    ];

    fn answer(registry: &Registry, name: &[u8], params: Option<Value>) -> Value {
        match registry.call(name, params) {
            Reply::Now(Ok(value)) => value,
            _ => panic!(),
        }
    }

    #[test]
    fn rows_become_commands_of_a_process() {
        let mut registry = Registry::new();
        registry.add_rows("core", ROWS, false);
        assert_eq!(registry.iter().map(|command| command.name).collect::<Vec<_>>(), ["plain", "help"]);
        assert_eq!(answer(&registry, b"plain", None), Value::Bool(false));
        let help = answer(&registry, b"help", Some(Value::array(["plain"])));
        assert_eq!(
            help,
            Value::object([("Help", "shows what it is given".into()), ("Exported by", Value::from("core"))])
        );
    }
}
