//! A TIMER worker: does what is due in the tables, runs timer routes and periodic jobs.
//!
//! The workers of the group divide the shards among those that live: when one dies, the others take over its share
//! at their next look.

use std::os::fd::AsFd;
use std::time::Duration;

use tocsin_net::Watch;
use tocsin_process::Termination;
use tocsin_script::Verdict;
use tocsin_shm::SlotState;

use super::{Stop, running};
use crate::run::run;
use crate::time::now_ms;
use crate::worker::Worker;

/// The shortest time between two looks at the tables.
const SHORTEST: u64 = 20;
/// The longest: a deadline set meanwhile is served at most this late.
const LONGEST: u64 = 100;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let asked = Watch::new(termination.as_fd())?;
    running(worker);
    if worker.member.index == 0 {
        periodic(worker);
    }
    let mut look_at = now_ms();
    loop {
        let wait = look_at.saturating_sub(now_ms()).clamp(SHORTEST, LONGEST);
        tokio::select! {
            readable = asked.readable() => {
                readable?.drained();
                if termination.asked() {
                    return Ok(Stop::Asked);
                }
            }
            () = tokio::time::sleep(Duration::from_millis(wait)) => look_at = look(worker),
        }
        worker.safe_point();
        if worker.is_full() {
            return Ok(Stop::Full);
        }
    }
}

/// Does what is due in this worker's share. Returns when something is due next.
fn look(worker: &'static Worker) -> u64 {
    let now = now_ms();
    let (rank, workers) = share(worker);
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
fn share(worker: &Worker) -> (usize, usize) {
    let (mut rank, mut living) = (0, 0);
    let server = worker.server;
    for member in server.plan.members().iter().filter(|m| m.group == worker.member.group) {
        if member.slot == worker.member.slot {
            rank = living;
            living += 1;
        } else if server.table.slot(member.slot).state() == SlotState::Running {
            living += 1;
        }
    }
    (rank, living.max(1))
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
