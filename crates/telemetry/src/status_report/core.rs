//! The group of the core: how far the server as a whole is (manual, "Status/Report Interface", "Core identifiers").

use super::{CORE_GROUP, Identifier, IdentifierId, MAIN, Owner, State, StatusError, StatusReports};

/// Reports that the core keeps.
const REPORTS: u16 = 10;
/// The first identifier of all.
const CORE: IdentifierId = IdentifierId(0);

/// How far the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreState {
    /// It starts.
    Initializing,
    /// All processes serve.
    Running,
    /// It ends.
    Terminating,
}

impl CoreState {
    /// The status.
    fn status(self) -> i32 {
        match self {
            Self::Initializing => -1,
            Self::Running => 1,
            Self::Terminating => -2,
        }
    }

    /// What is said about the status.
    fn details(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Terminating => "terminating",
        }
    }

    /// What is reported when it comes to this.
    fn report(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Running => "initialization completed, ready now",
            Self::Terminating => "terminating",
        }
    }
}

impl StatusReports {
    /// The core has come to `state`.
    pub fn set_core(&self, state: CoreState) {
        let (status, details) = (state.status(), state.details().as_bytes());
        match state {
            // The subscriptions of the startup route are older than this, but its subscribers expect no event for it.
            CoreState::Running => {
                self.shared.set(CORE.0, status, Some(details));
            }
            _ => self.set(CORE, status, Some(details)),
        }
        self.report_core(state);
    }

    /// The status of the core.
    pub fn core(&self) -> State {
        self.state(CORE)
    }

    pub(super) fn add_core(&mut self) -> Result<(), StatusError> {
        let group = self.group(CORE_GROUP, Owner::Server)?;
        let state = CoreState::Initializing;
        let main =
            Identifier { name: MAIN, status: state.status(), details: state.details(), reports: REPORTS };
        self.identifier(group, &main)?;
        self.report_core(state);
        Ok(())
    }

    fn report_core(&self, state: CoreState) {
        if self.report(CORE, state.report().as_bytes()).is_err() {
            tracing::warn!("no room for a report of the core: the shared memory is full");
        }
    }
}
