//! A TCP worker: reads its mailbox, where connections and messages for them come from. Each connection is a task of its
//! own.

use std::time::Duration;

use tocsin_net::{MAX_MAILBOX_MESSAGE_BYTES, Mailbox, Watch};
use tocsin_process::Termination;

use super::{Stop, running};
use crate::worker::Worker;
use crate::worker::owner_id;
use tocsin_streams::ControlMessage;

/// Messages of the mailbox read before connections get their turn.
const MESSAGES_IN_A_ROW: usize = 64;
/// How long a worker that leaves for good keeps what only it can serve, such as connections over TLS.
const LEAVE: Duration = Duration::from_secs(120);
/// How long it goes on reading after the last message.
const LAST_LETTERS: Duration = Duration::from_millis(200);
/// How long connections have to say good-bye or to change hands.
const PARTING: Duration = Duration::from_secs(1);

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let shared = &worker.server.network.shared;
    let Some((me, mailbox)) =
        owner_id(worker).and_then(|me| Some((me, shared.workers.get(usize::from(me.index))?)))
    else {
        return Ok(Stop::Asked);
    };
    super::startup::run_or_await(worker).await;
    let wake_fd = Watch::new(mailbox.wake_fd())?;
    let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
    // What was posted for a predecessor comes before what TCP main still has for it.
    while !read_some(worker, me.index, mailbox, &mut buffer)? {}
    worker.streams().report_orphans();
    running(worker);
    worker.streams().to_main(&ControlMessage::Started { owner: me });
    let stop = super::stopping(worker, termination)?;
    let mut stop = std::pin::pin!(stop);
    let mut second = super::each_second();
    loop {
        // What is rare comes first: messages may never stop coming.
        tokio::select! {
            biased;
            stop = &mut stop => {
                if super::leaves(worker) {
                    leave(worker, me.index, mailbox, &mut buffer).await?;
                }
                part(worker).await;
                return Ok(stop);
            }
            _ = second.tick() => worker.streams().tick(),
            readable = wake_fd.readable() => {
                let readable = readable?;
                if read_some(worker, me.index, mailbox, &mut buffer)? { readable.drained() } else { readable.more() }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Reads messages. `true` when the box was emptied.
fn read_some(
    worker: &'static Worker,
    index: u16,
    mailbox: &Mailbox,
    buffer: &mut [u8],
) -> std::io::Result<bool> {
    let mut emptied = false;
    for _ in 0..MESSAGES_IN_A_ROW {
        let Some(length) = mailbox.look(buffer)? else {
            worker.streams().note_all_read();
            emptied = true;
            break;
        };
        if ControlMessage::has_enclosure(&buffer[..length]) {
            let Some(message) = mailbox.take(buffer)? else { break };
            worker.streams().read(&buffer[..message.length], message.enclosed);
        } else {
            read_in_place(worker, index, &buffer[..length]);
            mailbox.discard()?;
        }
    }
    worker.flush();
    worker.safe_point();
    Ok(emptied)
}

/// Serves a message that is still in the mailbox of the worker `index`: if this process dies over a message, its successor
/// finds it, as nothing repeats it over a stream. What a predecessor has served and not taken out is not served again.
fn read_in_place(worker: &'static Worker, index: u16, bytes: &[u8]) {
    let messages = &worker.server.network.shared.messages;
    let number = ControlMessage::number(bytes);
    if !messages.is_served(index, number) {
        worker.streams().read(bytes, None);
        worker.flush();
        messages.note(index, number);
    }
}

/// Lets others go on with the connections, each as soon as that is possible, and keeps those that only this process can
/// serve until they end: nobody follows.
async fn leave(
    worker: &'static Worker,
    index: u16,
    mailbox: &Mailbox,
    buffer: &mut [u8],
) -> std::io::Result<()> {
    let since = tokio::time::Instant::now();
    let mut quiet_since = since;
    let mut ticked = since;
    while super::leaves(worker) && since.elapsed() < LEAVE {
        worker.streams().let_go();
        let has_messages = !mailbox.is_empty()?;
        read_some(worker, index, mailbox, buffer)?;
        worker.streams().unpark_lost();
        if has_messages || !worker.streams().is_empty() || worker.waiting() > 0 {
            quiet_since = tokio::time::Instant::now();
        } else if quiet_since.elapsed() >= LAST_LETTERS {
            break;
        }
        if ticked.elapsed() >= Duration::from_secs(1) {
            worker.streams().tick();
            ticked = tokio::time::Instant::now();
        }
        tokio::time::sleep(super::LOOK_EVERY).await;
    }
    Ok(())
}

/// Gives the connections away: the server goes on without this process, or ends as a whole.
async fn part(worker: &'static Worker) {
    worker.streams().hand_over(true);
    let deadline = tokio::time::Instant::now() + PARTING;
    while !worker.streams().is_empty() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
        // What was in the middle of a message may have come to its end.
        worker.streams().let_go();
    }
    worker.streams().hand_over(false);
    worker.streams().bequeath();
    // Their tasks hear of it.
    tokio::task::yield_now().await;
}
