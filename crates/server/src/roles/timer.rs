//! A TIMER worker: does what is due in the tables, runs timer routes and periodic jobs.
//!
//! The workers of the group divide the shards, and the routes and jobs, among those that live: when one dies or leaves, the
//! others take over its share at their next look.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tocsin_process::Termination;
use tocsin_script::Verdict;

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
    let mut routes = tokio::task::spawn_local(crate::event_routes::serve(worker));
    let mut has_routes = worker.server.registered.event_routes.is_some();
    running(worker);
    let members = worker.server.plan.members();
    let siblings: Rc<[u16]> =
        members.iter().filter(|m| m.group == worker.member.group).map(|m| m.slot).collect();
    periodic(worker, &siblings);
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
            ended = &mut routes, if has_routes => {
                has_routes = false;
                if let Ok(Err(cause)) = ended {
                    return Err(cause);
                }
            }
            () = tokio::time::sleep(Duration::from_millis(wait)) => look_at = look(worker, &siblings),
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

/// Timer routes and jobs belong to no shard: each is run by one worker whenever it is due.
fn periodic(worker: &'static Worker, siblings: &Rc<[u16]>) {
    let routes = worker.server.program.timer_routes();
    let mut pieces = 0;
    let mut every = |period: Duration, work: Rc<dyn Fn()>| {
        let siblings = Rc::clone(siblings);
        tokio::task::spawn_local(repeat(worker, siblings, pieces, period, work));
        pieces += 1;
    };
    for (route, seconds) in routes {
        let work = move || {
            if let Some(mut cx) = worker.idle_context() {
                cx.route = tocsin_script::RouteKind::Timer;
                run(cx, route, |_, _: Verdict| {});
            }
        };
        every(Duration::from_secs(u64::from(seconds.max(1))), Rc::new(work));
    }
    for job in &worker.server.registered.jobs {
        every(job.every, Rc::new(move || (job.run)(worker)));
    }
}

/// Does `work`, the `piece`th, whenever it is due and nobody else does it.
async fn repeat(
    worker: &'static Worker,
    siblings: Rc<[u16]>,
    piece: usize,
    period: Duration,
    work: Rc<dyn Fn()>,
) {
    let table = worker.server.table;
    // The supervisor began before all others, and lives as long as the server.
    let epoch = table.slot(0).started_at.load(Relaxed);
    loop {
        let now = now_ms();
        let (turn, at) = next_turn(epoch, period.as_millis() as u64, now);
        tokio::time::sleep(Duration::from_millis(at - now)).await;
        let (rank, workers) = share(worker, &siblings);
        let patience = patience(piece, rank, workers, period);
        if !patience.is_zero() {
            tokio::time::sleep(patience).await;
        }
        if table.slot(worker.member.slot).is_vacant() {
            return;
        }
        if worker.server.turns.take(piece, turn) {
            work();
            worker.flush();
        }
    }
}
