//! A TIMER worker: does what is due in the tables, runs timer routes and periodic jobs.
//!
//! The workers of the group divide the shards among those that live: when one dies, the others take over its share
//! at their next look.

use std::time::Duration;

use tocsin_process::Termination;
use tocsin_script::Verdict;
use tocsin_shm::SlotState;

use super::{Stop, running};
use crate::run::run;
use crate::time::now_ms;
use crate::worker::Worker;

/// The shortest time between two looks at the tables.
const SHORTEST: u64 = 50;
/// The longest: a deadline set meanwhile is served at most this late.
const LONGEST: u64 = 100;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let mut routes = tokio::task::spawn_local(crate::event_routes::serve(worker));
    let mut has_routes = worker.server.event_routes.is_some();
    running(worker);
    if worker.member.index == 0 {
        periodic(worker);
    }
    let members = worker.server.plan.members();
    let siblings: Vec<u16> =
        members.iter().filter(|m| m.group == worker.member.group).map(|m| m.slot).collect();
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
        worker.safe_point();
    }
}

/// Does what is due in this worker's share. Returns when something is due next.
fn look(worker: &'static Worker, siblings: &[u16]) -> u64 {
    let now = now_ms();
    let (rank, workers) = share(worker, siblings);
    let mut next = u64::MAX;
    for table in &worker.server.deadlines {
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

/// Which share of the shards is this worker's: its place among the TIMER workers that live, and their number.
fn share(worker: &Worker, siblings: &[u16]) -> (usize, usize) {
    let own = worker.member.slot;
    let lives = |slot: &u16| *slot == own || worker.server.table.slot(*slot).state() == SlotState::Running;
    let rank = siblings.iter().take_while(|slot| **slot != own).filter(|slot| lives(slot)).count();
    (rank, siblings.iter().filter(|slot| lives(slot)).count().max(1))
}

/// The first TIMER worker runs what belongs to no shard.
fn periodic(worker: &'static Worker) {
    for (route, seconds) in worker.server.program.timer_routes() {
        every(Duration::from_secs(u64::from(seconds.max(1))), move || {
            if let Some(mut cx) = worker.idle_context() {
                cx.route = tocsin_script::RouteKind::Timer;
                run(cx, route, |_, _: Verdict| {});
                worker.flush();
            }
        });
    }
    for job in &worker.server.jobs {
        every(job.every, move || {
            (job.run)(worker);
            worker.flush();
        });
    }
}

fn every(period: Duration, mut work: impl FnMut() + 'static) {
    tokio::task::spawn_local(async move {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            work();
        }
    });
}
