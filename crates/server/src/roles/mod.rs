//! What the processes of each kind do from their first instruction to their last.

mod courier;
mod startup;
mod tcp;
mod tcp_main;
mod tcp_source;
mod timer;
mod udp;

use std::cell::Cell;
use std::future::Future;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::Watch;
use tocsin_process::{Kind, Member, REPLACE_ME, Termination};
use tocsin_shm::SlotState;

use crate::logging;
use crate::server::Server;
use crate::worker::Worker;

/// Exit code of a process that could not start.
const START_FAILED: i32 = 1;
/// How long a process waits, when the server ends, for messages whose script waits for something.
const DRAIN: Duration = Duration::from_secs(3);
/// The same of a process that leaves while the server goes on: longer than any single wait of a script, as nothing waits
/// for the end of the process.
const LEAVE: Duration = Duration::from_secs(3660);
/// How long a process takes to answer what it gives up.
const GIVE_UP: Duration = Duration::from_millis(500);
/// How far a process may go beyond its private budget (`-M`), in percent, while it waits for the successor beside it.
const BEYOND_PERCENT: u64 = 200;
/// Time between two looks at whether a process that ends has finished.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a process stops serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was asked to.
    Asked,
    /// Its private memory is over the budget, and there is no successor beside it: one follows with an empty heap.
    Full,
}

/// Runs as `member` of `server`. Returns the exit code.
pub fn run(server: &'static Server, member: Member) -> i32 {
    let slot = server.table.slot(member.slot);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || slot.idle_begin(crate::time::now_ns()))
        .on_thread_unpark(move || {
            slot.idle_end(crate::time::now_ns());
            slot.turn();
        })
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            tracing::error!("the process cannot start its runtime: {cause}");
            return START_FAILED;
        }
    };
    let termination = match tocsin_process::terminations() {
        Ok(termination) => termination,
        Err(cause) => {
            tracing::error!("the process cannot read signals: {cause}");
            return START_FAILED;
        }
    };
    let local = tokio::task::LocalSet::new();
    logging::limit_floods();
    // It may have been forked with an older version of the script.
    crate::reload::catch_up(server);
    let worker = Worker::new(server, member);
    let code = local.block_on(&runtime, async move {
        tokio::task::spawn_local(crate::reload::follow(worker));
        match serve(worker, &termination).await {
            Ok(stop) => {
                server.table.slot(member.slot).set_state(SlotState::Draining);
                drain(worker).await;
                if stop == Stop::Full { REPLACE_ME } else { 0 }
            }
            Err(cause) => {
                tracing::error!("{}: {cause}", server.plan.groups[member.group].description);
                START_FAILED
            }
        }
    });
    logging::report_last_floods();
    code
}

async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let server = worker.server;
    let group = &server.plan.groups[worker.member.group];
    match group.kind {
        Kind::Udp => udp::serve(worker, termination).await,
        Kind::Timer => timer::serve(worker, termination).await,
        Kind::Courier => courier::serve(worker, termination).await,
        Kind::TcpMain => tcp_main::serve(worker, termination).await,
        Kind::Tcp => tcp::serve(worker, termination).await,
        Kind::Mi => module_process(worker, termination).await,
    }
}

/// A process of a module: groups of modules come first in the plan, in the order in which they were registered.
async fn module_process(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let Some(group) = worker.server.registered.processes.get(worker.member.group) else {
        return Ok(Stop::Asked);
    };
    let work = Rc::clone(&group.run)(worker);
    running(worker);
    until_asked(worker, termination, work).await
}

/// Serves until `work` ends or this process is asked to end.
async fn until_asked(
    worker: &'static Worker,
    termination: &Termination,
    work: impl Future<Output = ()>,
) -> std::io::Result<Stop> {
    tokio::select! {
        stop = stopping(worker, termination)? => Ok(stop),
        () = work => Ok(Stop::Asked),
    }
}

/// Ends when this process is asked to end or is full; looks every second, which is a safe point too.
fn stopping(
    worker: &'static Worker,
    termination: &Termination,
) -> std::io::Result<impl Future<Output = Stop> + use<>> {
    let termination = termination.try_clone()?;
    let asked = Watch::new(termination.as_fd())?;
    let watching = tokio::task::spawn_local(async move {
        tokio::select! {
            () = termination_asked(&termination, &asked) => Stop::Asked,
            () = full(worker) => Stop::Full,
        }
    });
    // Without the task nothing would notice a request to end: ending is the safe side.
    Ok(async move { watching.await.unwrap_or(Stop::Asked) })
}

/// Ends when this process is asked to end.
async fn termination_asked(termination: &Termination, asked: &Watch) {
    while !termination.asked() {
        if let Ok(readable) = asked.readable().await {
            readable.drained();
        }
    }
}

/// Ends when this process has no room left in its private memory; does its work of every second meanwhile.
async fn full(worker: &'static Worker) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        logging::report_floods();
        worker.server.registered.databases.close_idle();
        worker.safe_point();
        if worker.is_full() && !may_go_on(worker) {
            return;
        }
    }
}

/// A process over its private budget makes room for a fresh one: it goes on until that one serves beside it, if there can be
/// one.
fn may_go_on(worker: &Worker) -> bool {
    let budget = worker.server.settings.private_bytes;
    let has_spare = worker.server.plan.groups[worker.member.group].has_spare();
    let slot = worker.slot();
    if !slot.wants_relief() {
        tracing::warn!(
            "private memory is over its budget of {} MiB: this process makes room for a fresh one",
            budget >> 20
        );
        slot.ask_for_relief();
    }
    has_spare && tocsin_process::private_bytes() < budget.saturating_mul(BEYOND_PERCENT) / 100
}

/// Ticks once a second; a missed tick is not made up for.
fn each_second() -> tokio::time::Interval {
    each(Duration::from_secs(1))
}

/// Ticks once in `period`; a missed tick is not made up for.
fn each(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// From here on the supervisor counts this process as serving.
fn running(worker: &Worker) {
    worker.server.table.slot(worker.member.slot).set_state(SlotState::Running);
}

/// Lets messages that wait for something end, as long as that is allowed to take, and answers the others.
async fn drain(worker: &'static Worker) {
    let ending = Ending::new(worker);
    while worker.waiting() > 0 && !ending.is_over() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if worker.waiting() > 0 {
        worker.give_up();
        let deadline = tokio::time::Instant::now() + GIVE_UP;
        while worker.waiting() > 0 && tokio::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
    }
    worker.flush();
    worker.safe_point();
}

/// The time that a process has to finish what it has.
struct Ending {
    worker: &'static Worker,
    since: Cell<tokio::time::Instant>,
    /// The server as a whole ends, or a successor takes this process's place.
    is_short: Cell<bool>,
}

impl Ending {
    fn new(worker: &'static Worker) -> Self {
        let is_short = !leaves(worker);
        Self { worker, since: Cell::new(tokio::time::Instant::now()), is_short: Cell::new(is_short) }
    }

    fn is_over(&self) -> bool {
        if !self.is_short.get() && self.worker.server.is_ending() {
            self.is_short.set(true);
            self.since.set(tokio::time::Instant::now());
        }
        self.since.get().elapsed() >= if self.is_short.get() { DRAIN } else { LEAVE }
    }
}

/// Whether this process leaves for good, while the server goes on.
fn leaves(worker: &Worker) -> bool {
    worker.server.table.slot(worker.member.slot).is_vacant() && !worker.server.is_ending()
}
