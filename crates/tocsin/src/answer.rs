//! What the command line answers instead of doing what it was asked for.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

/// Exit status for everything that is wrong before the server runs, as OpenSIPS's.
pub(crate) const FAILED: u8 = 255;

/// Text to print instead of running.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) failed: bool,
}

impl Answer {
    /// What was wrong with the command line of the server.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self {
            text: format!("ERROR:core:main: {}\nNOTICE:core:main: Exiting....\n", text.into()),
            failed: true,
        }
    }

    /// Something to read, which was asked for.
    pub(crate) fn text(text: String) -> Self {
        Self { text, failed: false }
    }

    /// What was wrong with the use of a tool of this program.
    pub(crate) fn error_of(tool: &str, message: &str) -> Self {
        Self { text: format!("tocsin {tool}: {message}\n"), failed: true }
    }

    /// What the command line of a tool of this program led to: its help, or an error.
    pub(crate) fn of_clap(error: &clap::Error) -> Self {
        Self { text: error.to_string(), failed: error.kind() != ErrorKind::DisplayHelp }
    }

    /// Prints it and returns the exit status.
    pub(crate) fn give(&self) -> ExitCode {
        // If the terminal is gone, nobody reads this.
        if self.failed {
            let _ = std::io::stderr().write_all(self.text.as_bytes());
            ExitCode::from(FAILED)
        } else {
            let _ = write!(std::io::stdout(), "{}", self.text);
            ExitCode::SUCCESS
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
