//! A TIMER worker: does what is due in the tables, runs timer routes and periodic jobs.
//!
//! The workers of the group divide the shards, and the routes and jobs, among those that live: when one dies or leaves, the
//! others take over its share at their next look.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tocsin_process::Termination;
use tocsin_script::{RouteId, RouteKind, Verdict};

use super::{Stop, running};
use crate::run::run;
use crate::time::now_ms;
use crate::turns::{next_turn, patience};
use crate::worker::Worker;

/// The shortest time between two looks at the tables.
const SHORTEST: u64 = 50;
/// The longest: a deadline set meanwhile is served at most this late.
const LONGEST: u64 = 100;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let mut events = tokio::task::spawn_local(crate::event_routes::serve(worker));
    let mut has_events = worker.server.registered.event_routes.is_some();
    running(worker);
    let members = worker.server.plan.members();
    let siblings: Rc<[u16]> =
        members.iter().filter(|m| m.group == worker.member.group).map(|m| m.slot).collect();
    jobs(worker, &siblings);
    let mut version = routes_of(worker, &siblings);
    let mut look_at = now_ms();
    let stop = super::stopping(worker, termination)?;
    let mut stop = std::pin::pin!(stop);
    loop {
        let wait = look_at.saturating_sub(now_ms()).clamp(SHORTEST, LONGEST);
        tokio::select! {
            stop = &mut stop => {
                crate::event_routes::hand_over(worker);
                return Ok(stop);
            }
            ended = &mut events, if has_events => {
                has_events = false;
                if let Ok(Err(cause)) = ended {
                    return Err(cause);
                }
            }
            () = tokio::time::sleep(Duration::from_millis(wait)) => look_at = look(worker, &siblings),
        }
        if worker.server.script().version != version {
            version = routes_of(worker, &siblings);
        }
        crate::scaling::report(worker.server);
        worker.safe_point();
    }
}

/// Does what is due in this worker's share. Returns when something is due next.
fn look(worker: &'static Worker, siblings: &[u16]) -> u64 {
    let now = now_ms();
    let (rank, workers) = share(worker, siblings);
    if rank == 0 {
        crate::event_routes::take_over(worker);
    }
    let mut next = u64::MAX;
    for table in &worker.server.registered.deadlines {
        for shard in (rank..table.shards()).step_by(workers) {
            let due = table.next_due(shard);
            if due <= now {
                table.expire(worker, shard, now);
                worker.flush();
            } else {
                next = next.min(due);
            }
        }
    }
    next
}

/// Which share of the work is this worker's: its place among the TIMER workers that live, and their number.
fn share(worker: &Worker, siblings: &[u16]) -> (usize, usize) {
    let own = worker.member.slot;
    let lives = |slot: &u16| *slot == own || worker.server.table.slot(*slot).serves();
    let rank = siblings.iter().take_while(|slot| **slot != own).filter(|slot| lives(slot)).count();
    (rank, siblings.iter().filter(|slot| lives(slot)).count().max(1))
}

/// Jobs belong to no shard: each is done by one worker whenever it is due.
fn jobs(worker: &'static Worker, siblings: &Rc<[u16]>) {
    for (piece, job) in worker.server.registered.jobs.iter().enumerate() {
        let work = Periodic {
            worker,
            siblings: Rc::clone(siblings),
            piece,
            period: job.every,
            take: move |turn| worker.server.turns.take_job(piece, turn),
            work: move || (job.run)(worker),
        };
        tokio::task::spawn_local(work.repeat(|| true));
    }
}

/// Timer routes, which belong to no shard either. They run until another version of the script is in force; returns this
/// one's number.
fn routes_of(worker: &'static Worker, siblings: &Rc<[u16]>) -> u32 {
    let script = worker.server.script();
    let version = script.version;
    for (place, (route, seconds)) in script.program.timer_routes().enumerate() {
        let work = Periodic {
            worker,
            siblings: Rc::clone(siblings),
            piece: place + worker.server.registered.jobs.len(),
            period: Duration::from_secs(u64::from(seconds.max(1))),
            take: move |turn| worker.server.turns.take_route(place, version, turn),
            work: move || run_timer_route(worker, route),
        };
        tokio::task::spawn_local(work.repeat(move || worker.server.script().version == version));
    }
    version
}

fn run_timer_route(worker: &'static Worker, route: RouteId) {
    if let Some(mut cx) = worker.idle_context() {
        cx.route = RouteKind::Timer;
        run(cx, route, |_, _: Verdict| {});
    }
}

/// Work that is due every so often.
struct Periodic<T, W> {
    worker: &'static Worker,
    siblings: Rc<[u16]>,
    /// Which piece of all periodic work it is.
    piece: usize,
    period: Duration,
    /// Takes a turn of it, if no other process has.
    take: T,
    work: W,
}

impl<T: Fn(u64) -> bool, W: Fn()> Periodic<T, W> {
    /// Does the work whenever it is due and no other worker does it, for as long as `lasts`.
    async fn repeat(self, lasts: impl Fn() -> bool) {
        let table = self.worker.server.table;
        // The supervisor began before all others, and lives as long as the server.
        let epoch = table.slot(0).started_at.load(Relaxed);
        while lasts() {
            let now = now_ms();
            let (turn, at) = next_turn(epoch, self.period.as_millis() as u64, now);
            tokio::time::sleep(Duration::from_millis(at - now)).await;
            let (rank, workers) = share(self.worker, &self.siblings);
            let patience = patience(self.piece, rank, workers, self.period);
            if !patience.is_zero() {
                tokio::time::sleep(patience).await;
            }
            if table.slot(self.worker.member.slot).is_vacant() || !lasts() {
                return;
            }
            if (self.take)(turn) {
                (self.work)();
                self.worker.flush();
            }
        }
    }
}
