//! What the module keeps.

use tocsin_server::statistics::StatId;
use tocsin_usrloc::DomainId;

use super::parameters::Settings;

/// What the module keeps.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    /// The domains of the script, by their place among them.
    pub(super) domains: Vec<DomainId>,
    pub(super) accepted: StatId,
    pub(super) rejected: StatId,
    /// `tcp_persistent_flag`: the bit of messages whose connections live as long as their contacts; 0 is none.
    pub(super) persistent_flag: u32,
}
