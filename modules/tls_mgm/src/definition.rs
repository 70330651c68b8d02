//! A TLS domain of a database, as it lies in shared memory.

use super::parameters::Side;

/// What defines a domain of a database, but for its texts: enough to make the same domain in each process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) side: Side,
    /// In the order of [`super::parameters::OF_DOMAINS`]; what stands for a text is the place where it was read.
    pub(super) written: Vec<Option<String>>,
}
