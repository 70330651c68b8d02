//! What the language asks of the message under way.

use std::net::IpAddr;
use std::sync::atomic::AtomicU32;

use tocsin_script::{Bytes, Context as Which, Host, Launch, Place, ScriptVars, Value, Waiting};

use crate::context::Context;
use crate::logging::{self, Level};
use crate::{resolve, run, time};

fn script_text(place: Place<'_>, message: &str) -> String {
    format!("core: {}:{}: {message}", place.file, place.line)
}

impl Host for Context {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn position(&self) -> &'static AtomicU32 {
        &self.server().table.slot(self.worker.member.slot).position
    }

    fn now_ms(&self) -> u64 {
        time::coarse_ms()
    }

    fn script_error(&mut self, place: Place<'_>, message: &str) {
        logging::fault_line(Level::Error, "statement", place, || script_text(place, message));
    }

    fn run_error(&mut self, place: Place<'_>, message: &str) {
        logging::fault_line(Level::Error, "run", place, || script_text(place, message));
    }

    fn launch(&mut self, launch: Launch<Self>) {
        run::launch(self, launch);
    }

    fn parameter_missing(&mut self, event: &Bytes, wanted: &Value, given: usize) {
        let event = event.lossy();
        let (file, line) = self.vars.place().unwrap_or(("", 0));
        logging::fault_line_untold(Level::Warning, "parameter", Place { file, line }, || {
            match wanted.to_int() {
                Some(number) => {
                    format!("event_route: Parameter {number} not found for event {event} - max {given}")
                }
                None => {
                    let name = String::from_utf8_lossy(wanted.as_str().unwrap_or_default());
                    format!("event_route: Parameter <{name}> not found for event <{event}>")
                }
            }
        });
    }

    fn address_of(&mut self, name: &Bytes) -> Option<IpAddr> {
        resolve::address_of(self, name)
    }

    fn look_up(&mut self) -> Option<Waiting<Self>> {
        resolve::look_up_of(self)
    }

    fn in_context(&mut self, which: Which, read: &mut dyn FnMut(&mut Self) -> Value) -> Value {
        let layer = self.server().registered.transactions.as_ref();
        let other = match (which, self.message.is_request()) {
            (Which::Request, true) => return read(self),
            (Which::Request, false) => layer.and_then(|layer| layer.request_of(self)),
            (Which::Reply, true) => layer.and_then(|layer| layer.reply_of(self)).map(|reply| (reply, None)),
            // of the reply under way it has no name, as in OpenSIPS
            (Which::Reply, false) => None,
        };
        let Some((other, uri)) = other else { return Value::Null };
        let here = std::mem::replace(&mut self.message, other);
        let status = self.transaction.as_mut().map(|transaction| std::mem::take(&mut transaction.status));
        let targets = std::mem::take(&mut self.targets);
        self.targets.main.uri = uri;
        let value = read(self);
        self.targets = targets;
        if let (Some(transaction), Some(status)) = (&mut self.transaction, status) {
            transaction.status = status;
        }
        self.message = here;
        value
    }

    fn between_statements(&mut self) -> bool {
        if let Some((level, info)) = &self.traced
            && logging::wanted(*level)
        {
            let (file, line) = self.vars.place().unwrap_or(("", 0));
            logging::script_line(*level, &format!("[Script Trace][{file}:{line}][{}]", info.lossy()));
        }
        self.worker.safe_point();
        self.came_to_unreadable()
    }

    fn action_starts(&mut self) -> u64 {
        time::now_ns()
    }

    fn action_done(&mut self, name: &str, line: u32, started: u64) {
        let took = time::now_ns().saturating_sub(started) / 1000;
        self.slowest.note(name, line, took);
    }
}
