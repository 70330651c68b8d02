//! Why a reload changes nothing.

use tocsin_script::Diagnostics;

/// Why the server goes on with the script that it has.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Another process reloads.
    #[error("another reload is under way")]
    Busy,
    /// The reload itself failed half-way, and its process has logged why.
    #[error("a defect ended the reload: the log has its place")]
    Defect,
    /// The configuration cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It has errors.
    #[error("{}", text(.0))]
    Script(Box<Diagnostics>),
    /// It needs what the server has not, and cannot get while it runs.
    #[error("{0}")]
    Needs(String),
    /// A process does not answer, or cannot load the script.
    #[error("{process} {problem}")]
    Process {
        /// Its PID, and what it does.
        process: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl From<Diagnostics> for ReloadError {
    fn from(errors: Diagnostics) -> Self {
        Self::Script(Box::new(errors))
    }
}

/// The errors with their places, a line each.
fn text(errors: &Diagnostics) -> String {
    let lines = errors.errors().iter().map(|error| {
        let at = errors.source().position(error.span);
        let file = errors.source().file(error.span).name();
        let help = error.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
        format!("{file}:{}:{}: {}{help}", at.line, at.column, error.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}
