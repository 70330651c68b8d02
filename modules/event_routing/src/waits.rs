//! The messages of this process that wait for events. One task reads the event log for all of them, as long as there is one.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tocsin_event::{EventId, Events, ParamValue, Params, Reader};
use tocsin_script::{Bytes, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::filters::Filters;

/// Time between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Events that are read before others have their turn.
const TURN: usize = 256;

/// Messages of one process that may wait for events.
const MAX_WAITS: usize = 4096;

/// The named parameters of an event.
pub(crate) type Named = Vec<(Bytes, Value)>;

/// Those that wait.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    list: RefCell<Vec<Wait>>,
    /// The task is there.
    is_reading: Cell<bool>,
}

#[derive(Debug)]
struct Wait {
    event: EventId,
    filters: Filters,
    /// The first number of the log that counts.
    from: u64,
    found: oneshot::Sender<Named>,
}

/// Why there is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// None came in time.
    TimedOut,
    /// Too many wait.
    Full,
}

impl Waits {
    /// Waits for the next event that the filters hold for.
    pub(crate) async fn wait(
        &'static self,
        events: Events,
        event: EventId,
        filters: Filters,
        patience: Duration,
    ) -> Result<Named, Missing> {
        let (found, arrival) = oneshot::channel();
        if self.list.borrow().len() >= MAX_WAITS {
            return Err(Missing::Full);
        }
        let reader = events.read_on();
        self.list.borrow_mut().push(Wait { event, filters, from: reader.next_number(), found });
        if !self.is_reading.replace(true) {
            tokio::task::spawn_local(self.read(reader));
        }
        match timeout(patience, arrival).await {
            Ok(Ok(named)) => Ok(named),
            _ => Err(Missing::TimedOut),
        }
    }

    async fn read(&'static self, mut reader: Reader) {
        loop {
            // Those that ended otherwise.
            self.list.borrow_mut().retain(|wait| !wait.found.is_closed());
            if self.list.borrow().is_empty() {
                self.is_reading.set(false);
                return;
            }
            let mut count = 0;
            while count < TURN
                && let Some(read) = reader.next()
            {
                count += 1;
                self.offer(read.event, read.number, read.params);
            }
            match count {
                TURN => tokio::task::yield_now().await,
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Gives an event to all that wait for it.
    fn offer(&self, event: EventId, number: u64, params: Params<'_>) {
        let mut list = self.list.borrow_mut();
        let is_wanted = |wait: &Wait| wait.event == event && number >= wait.from && wait.filters.hold(params);
        let mut at = 0;
        while at < list.len() {
            if is_wanted(&list[at]) {
                // Who waits no longer is not missed.
                let _ = list.remove(at).found.send(named(params));
            } else {
                at += 1;
            }
        }
    }
}

fn named(params: Params<'_>) -> Named {
    let value = |value| match value {
        ParamValue::Null => Value::Null,
        ParamValue::Int(number) => Value::Int(number),
        ParamValue::Str(text) => Value::Str(Bytes::new(text)),
    };
    params.iter().filter_map(|(name, given)| Some((Bytes::new(name?), value(given)))).collect()
}
