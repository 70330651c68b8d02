//! Why a module could not start.

use thiserror::Error;
use tocsin_shm::ArenaFull;

/// Why a module could not start.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A parameter has a value that cannot be used.
    #[error("modparam {module}:{name}: {problem}")]
    Parameter {
        /// The module.
        module: &'static str,
        /// The parameter.
        name: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// One of the values of a parameter that may be given several times cannot be used.
    #[error("modparam {module}:{name}: {problem}")]
    Value {
        /// The module.
        module: &'static str,
        /// The parameter.
        name: &'static str,
        /// Which of its values, from 0.
        nth: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Shared memory is too small for what the module needs from the start.
    #[error("shared memory is too small: start with a larger -m ({0})")]
    Memory(#[from] ArenaFull),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
