//! The commands of this server, and the two about commands: `which` and `help`.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use tocsin_json::Value;
use tokio::sync::Semaphore;

use crate::{MiError, Params, Printed};

/// What a command comes to.
pub type Outcome = Result<Value, MiError>;

/// What a command returns.
pub enum Reply {
    /// The outcome, at once.
    Now(Outcome),
    /// The outcome later. What runs meanwhile is not held up.
    Later(Pin<Box<dyn Future<Output = Outcome>>>),
    /// A long list, which is printed piece by piece. One at a time in a process: each takes memory until it is whole.
    Long(Pin<Box<dyn Future<Output = Result<Printed, MiError>>>>),
}

impl Reply {
    /// The outcome of `future`.
    pub fn later(future: impl Future<Output = Outcome> + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// What the command comes to in the end. A long list is read back.
    pub async fn outcome(self) -> Outcome {
        match self {
            Self::Now(outcome) => outcome,
            Self::Later(outcome) => outcome.await,
            Self::Long(list) => Ok(list.await?.to_value()),
        }
    }

    /// The long list that `future` prints.
    pub fn long(future: impl Future<Output = Result<Printed, MiError>> + 'static) -> Self {
        Self::Long(Box::pin(future))
    }
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Self {
        Self::Now(outcome)
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Now(Ok(value))
    }
}

impl From<MiError> for Reply {
    fn from(error: MiError) -> Self {
        Self::Now(Err(error))
    }
}

/// One command.
///
/// ```
/// use tocsin_json::Value;
/// use tocsin_mi::{Command, MiError, Registry};
///
/// let mut registry = Registry::new();
/// registry.add(Command::new("core", "sum", &[&["a", "b"]], "Adds two numbers.", |params| {
///     let wrong = || MiError::invalid_params("a and b are numbers");
///     let number = |name| params.value(name).and_then(Value::as_integer).ok_or_else(wrong);
///     Ok::<_, MiError>(Value::from(number("a")? + number("b")?))
/// }));
/// assert!(registry.find(b"sum").is_some());
/// ```
#[derive(Clone)]
pub struct Command {
    /// Its name, as users type it.
    pub name: &'static str,
    /// Who exports it: `core` or the name of a module.
    pub module: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// The sets of parameters it takes, in order of position; `&[&[]]` for none.
    pub forms: &'static [&'static [&'static str]],
    pub(crate) run: Run,
}

/// What a command does.
#[derive(Clone)]
pub(crate) enum Run {
    Which,
    Help,
    Call(Rc<dyn Fn(Params) -> Reply>),
}

impl Command {
    /// A command that calls `run` with parameters that match one of `forms`.
    pub fn new<R: Into<Reply>>(
        module: &'static str,
        name: &'static str,
        forms: &'static [&'static [&'static str]],
        doc: &'static str,
        run: impl Fn(Params) -> R + 'static,
    ) -> Self {
        Self { name, module, doc, forms, run: Run::Call(Rc::new(move |params| run(params).into())) }
    }

    /// What `help` says: OpenSIPS begins with a small letter and ends without a full stop.
    pub fn help(&self) -> String {
        let text = self.doc.strip_suffix('.').unwrap_or(self.doc);
        let mut letters = text.chars();
        letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("name", &self.name)
            .field("forms", &self.forms)
            .finish_non_exhaustive()
    }
}

/// All commands, in the order they were added.
#[derive(Debug)]
pub struct Registry {
    commands: Vec<Command>,
    by_name: HashMap<&'static str, usize>,
    /// The turn of the long list that is printed next.
    long_list: Rc<Semaphore>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { commands: Vec::new(), by_name: HashMap::new(), long_list: Rc::new(Semaphore::new(1)) }
    }
}

impl Registry {
    /// A registry without commands, not even `which`: its place in the list is the adder's to choose.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a command. One that is already there by that name is replaced in its place, and `false` returned.
    pub fn add(&mut self, command: Command) -> bool {
        if let Some(&at) = self.by_name.get(command.name) {
            self.commands[at] = command;
            return false;
        }
        self.by_name.insert(command.name, self.commands.len());
        self.commands.push(command);
        true
    }

    /// The command of that name.
    pub fn find(&self, name: &[u8]) -> Option<&Command> {
        let at = self.by_name.get(std::str::from_utf8(name).ok()?)?;
        self.commands.get(*at)
    }

    /// All commands in order.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter()
    }

    /// Calls a command with what a request carries as `params`.
    pub fn call(&self, name: &[u8], params: Option<Value>) -> Reply {
        let Some(command) = self.find(name) else { return MiError::method_not_found().into() };
        let params = match Params::bind(command.forms, params) {
            Ok(params) => params,
            Err(error) => return error.into(),
        };
        match &command.run {
            Run::Call(run) => self.in_turn(run(params)),
            Run::Which => self.which(&params).into(),
            Run::Help => self.help(&params).into(),
        }
    }

    /// The same reply, but a long list begins when the one before it is whole.
    fn in_turn(&self, reply: Reply) -> Reply {
        let Reply::Long(list) = reply else { return reply };
        let turn = Rc::clone(&self.long_list);
        Reply::long(async move {
            let _turn = turn.acquire().await;
            list.await
        })
    }

    fn which(&self, params: &Params) -> Outcome {
        if !params.has("command") {
            return Ok(Value::array(self.commands.iter().map(|command| command.name)));
        }
        let command = self.named_by(params, "command")?;
        Ok(Value::array(command.forms.iter().map(|form| Value::array(form.iter().copied()))))
    }

    fn help(&self, params: &Params) -> Outcome {
        if !params.has("mi_cmd") {
            return Ok("Usage: help mi_cmd - returns information about 'mi_cmd'".into());
        }
        let command = self.named_by(params, "mi_cmd")?;
        Ok(Value::object([("Help", Value::from(command.help())), ("Exported by", command.module.into())]))
    }

    fn named_by(&self, params: &Params, name: &str) -> Result<&Command, MiError> {
        self.find(&params.text(name)?).ok_or_else(|| MiError::new(404, "unknown MI command"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommandRow;

    #[test]
    fn a_command_added_again_keeps_its_place() {
        let mut registry = Registry::new();
        let command = |answer: i32| Command::new("core", "x", &[&[]], "", move |_| Value::from(answer));
        assert!(registry.add(command(1)));
        assert!(registry.add(CommandRow::<()>::WHICH.command("core", ()).unwrap()));
        assert!(!registry.add(command(2)));
        let Reply::Now(Ok(names)) = registry.call(b"which", None) else { panic!() };
        assert_eq!(names, Value::array(["x", "which"]));
        let Reply::Now(Ok(answer)) = registry.call(b"x", None) else { panic!() };
        assert_eq!(answer, Value::Int(2));
    }
}
