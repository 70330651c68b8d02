//! What the log says of statements that fail.

use super::Machine;
use crate::call::Host;

/// Errors of one run that are reported one by one; the others are counted, and their number is reported at its end.
pub const MAX_REPORTED_ERRORS: u32 = 20;

impl<C: Host> Machine<'_, C> {
    /// A statement has failed: it is reported, unless too many were.
    pub(super) fn fail(&mut self, message: &str) {
        let run = self.run();
        run.errors += 1;
        run.failed_at = run.at;
        let at = run.at;
        if run.errors <= u64::from(MAX_REPORTED_ERRORS)
            && let Some(table) = run.table.clone()
        {
            self.host.script_error(table.place(at), message);
        }
    }

    /// At the end of a run: the number of errors that were only counted, and the line of the last.
    pub(super) fn report_the_rest(&mut self) {
        let run = self.run();
        let errors = std::mem::take(&mut run.errors);
        if let Some(more @ 1..) = errors.checked_sub(u64::from(MAX_REPORTED_ERRORS)) {
            run.at = run.failed_at;
            self.report(&format!("{more} more errors of the same run, the last one here"));
        }
    }

    /// There is something to say about the whole run.
    pub(super) fn report(&mut self, message: &str) {
        let run = self.run();
        let at = run.at;
        if let Some(table) = run.table.clone() {
            self.host.run_error(table.place(at), message);
        }
    }
}
