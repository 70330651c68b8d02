//! The rule of the memory thresholds. Percentages depend on the memory that a server needs, so not the recorded numbers
//! are compared but what they show: at or above the threshold every change of the integer percentage is told once, below
//! it only the first one, and that only if the last told was above; the sizes are those of the statistics.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::Part;
use super::pattern::{Known, show};
use super::stage::Stage;
use super::talk;
use crate::harness::{Phone, Request, pause};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a subscriber was told so far: of shared memory, or of the private memory of each process by its number.
pub(crate) type Watch = HashMap<i64, Told>;

/// What was told of one memory.
#[derive(Default)]
pub(crate) struct Told {
    last: Option<i64>,
    all: Vec<i64>,
}

/// Memory as the statistics show it.
#[derive(Clone, Copy)]
struct Usage {
    used: i64,
    size: i64,
}

impl Usage {
    fn percent(self) -> i64 {
        self.used * 100 / self.size
    }
}

/// After the part before: what was told up to now follows the rule, and agrees with the statistics. Arguments: the kind
/// of memory, the subscriber, and either the number of events that must have come at least, or `perhaps`: what was reached
/// before the subscriber came may be left untold.
pub(super) fn check(stage: &mut Stage, part: &Part) -> Result<(), String> {
    let (kind, name) = (part.argument(0)?.to_owned(), part.argument(1)?.to_owned());
    let threshold =
        stage.known.get("threshold").and_then(|text| text.parse().ok()).ok_or("without a <threshold:...>")?;
    let mut watch = stage.watches.remove(&name).unwrap_or_default();
    await_requests(stage, stage.requests)?;
    let deadline = Instant::now() + PATIENCE;
    let mut looks = 0;
    loop {
        let (pid, usage) = usage(stage, &kind)?;
        let receiver = stage.receivers.get_mut(&name).ok_or("of nobody")?;
        while let Some(bytes) = receiver.next(Duration::from_millis(15)) {
            for event in documents(&bytes)? {
                hear(&mut watch, event, threshold, usage.size)?;
            }
        }
        let percent = usage.percent();
        let told = watch.entry(pid).or_default();
        let settled = if percent >= threshold {
            told.last == Some(percent) || (told.last.is_none() && part.is("perhaps"))
        } else {
            told.last.is_none_or(|last| last <= threshold)
        };
        // What is going on while a message is processed is told behind it: the second look is for that.
        looks += i32::from(settled);
        if looks == 2 {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{kind} is at {percent} % of threshold {threshold} %, but told was {:?}",
                told.all
            ));
        }
        pause(Duration::from_millis(10));
    }
    if let Some(least) = part.arguments.get(2).filter(|_| !part.is("perhaps")) {
        let least: usize = least.parse().map_err(|_| "wants a number of events".to_owned())?;
        let told = watch.values().map(|told| told.all.len()).sum::<usize>();
        if told < least {
            return Err(format!("{least} events: told were {told}"));
        }
    }
    stage.watches.insert(name, watch);
    Ok(())
}

/// What comes at the end, when memory is given back, follows the rule too.
pub(super) fn check_end(known: &Known, watch: &mut Watch, bytes: &[u8]) -> Result<(), String> {
    for bytes in documents(bytes)? {
        let event: Value = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
        hear(watch, bytes, threshold(known)?, event["params"]["size"].as_i64().unwrap_or(0))?;
    }
    Ok(())
}

/// The JSON texts that follow each other in a stream; one in a datagram.
fn documents(bytes: &[u8]) -> Result<Vec<&[u8]>, String> {
    let (mut texts, mut at) = (Vec::new(), 0);
    let mut parsed = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    while let Some(event) = parsed.next() {
        event.map_err(|cause| format!("{cause}: {}", show(bytes)))?;
        texts.extend(bytes.get(at..parsed.byte_offset()));
        at = parsed.byte_offset();
    }
    Ok(texts)
}

fn threshold(known: &Known) -> Result<i64, String> {
    known
        .get("threshold")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "without a <threshold:...>".to_owned())
}

/// Takes an event in, which must be due and right.
fn hear(watch: &mut Watch, bytes: &[u8], threshold: i64, size: i64) -> Result<(), String> {
    let event: Value = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
    let kind = if event["params"]["pid"].is_number() { "pkg" } else { "shm" };
    let number = |name: &str| event["params"][name].as_i64().unwrap_or(0);
    let (usage, used, process) = (number("usage"), number("used"), number("pid"));
    let method = format!("E_CORE_{}_THRESHOLD", kind.to_uppercase());
    let pid = if kind == "pkg" { format!(r#","pid":{process}"#) } else { String::new() };
    let expected = format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"usage":{},"threshold":{threshold},"used":{used},"size":{size}{pid}}}}}"#,
        used * 100 / size,
    );
    if expected.as_bytes() != bytes {
        return Err(format!("differs\n  expected: {expected}\n  got:      {}", show(bytes)));
    }
    let told = watch.entry(process).or_default();
    let due = if usage >= threshold {
        told.last != Some(usage)
    } else {
        told.last.is_some_and(|last| last > threshold)
    };
    if !due {
        return Err(format!("{usage} % must not be told after {:?}: {}", told.all, show(bytes)));
    }
    told.last = Some(usage);
    told.all.push(usage);
    Ok(())
}

/// Sends that many requests with bodies of that many bytes, each for a user of its own, one after the other.
pub(super) fn fill(stage: &mut Stage, part: &Part) -> Result<(), String> {
    let number = |at: usize| part.argument(at)?.parse().map_err(|_| "wants numbers".to_owned());
    let (count, bytes): (usize, usize) = (number(1)?, number(2)?);
    let port = stage.known.port(part.argument(0)?);
    let phone = Phone::new();
    for n in 1..=count {
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let request = Request::new(&phone, "MESSAGE", &format!("sip:k{n}@{to}")).body("v".repeat(bytes));
        phone.send(to, request.text());
        stage.requests += 1;
        await_requests(stage, stage.requests)?;
    }
    Ok(())
}

/// Waits until the server has received that many requests.
fn await_requests(stage: &Stage, count: u64) -> Result<(), String> {
    let dir = stage.server()?.path("");
    let deadline = Instant::now() + PATIENCE;
    while statistics(&dir, "rcv_requests")?["core:rcv_requests"].as_u64() < Some(count) {
        if Instant::now() > deadline {
            return Err(format!("request {count} was not received"));
        }
    }
    Ok(())
}

/// What `get_statistics` says of one name or group.
fn statistics(dir: &Path, name: &str) -> Result<Value, String> {
    let request =
        format!(r#":rep:{{"jsonrpc":"2.0","method":"get_statistics","params":[["{name}"]],"id":1}}"#);
    let answer = talk::fifo(dir, format!("{request}\n").as_bytes(), "rep", PATIENCE);
    let answer: Value =
        serde_json::from_slice(&answer).map_err(|cause| format!("{cause}: {}", show(&answer)))?;
    Ok(answer["result"].clone())
}

/// How full the memory is; of private memory that of the process that receives SIP, whose number comes with it.
fn usage(stage: &mut Stage, kind: &str) -> Result<(i64, Usage), String> {
    let dir = stage.server()?.path("");
    if kind == "shm" {
        return Ok((0, read(&statistics(&dir, "shmem:")?, "shmem:")?));
    }
    let (id, pid) = worker(&dir)?;
    Ok((pid, read(&statistics(&dir, "pkmem:")?, &format!("pkmem:{id}-"))?))
}

fn read(answer: &Value, prefix: &str) -> Result<Usage, String> {
    let number = |name: &str| answer[format!("{prefix}{name}")].as_i64();
    match (number("real_used_size"), number("total_size")) {
        (Some(used), Some(size)) => Ok(Usage { used, size }),
        _ => Err(format!("{prefix}real_used_size and total_size are not in {answer}")),
    }
}

/// The process that receives SIP: its number in `ps`, and that of the system.
fn worker(dir: &Path) -> Result<(i64, i64), String> {
    let request = b":rep:{\"jsonrpc\":\"2.0\",\"method\":\"ps\",\"id\":1}\n";
    let answer: Value = serde_json::from_slice(&talk::fifo(dir, request, "rep", PATIENCE))
        .map_err(|cause| cause.to_string())?;
    let rows = answer["result"]["Processes"].as_array().ok_or("ps shows nothing")?;
    let receives = |row: &&Value| row["Type"].as_str().is_some_and(|kind| kind.starts_with("SIP receiver"));
    let number = |row: &Value| Some((row["ID"].as_i64()?, row["PID"].as_i64()?));
    rows.iter().find(receives).and_then(number).ok_or_else(|| "no SIP receiver".to_owned())
}

/// A configuration that says `<threshold:shm+3>` wants three percent above the usage of a server that is idle.
pub(super) fn set_threshold(config: &str, arguments: &[String], known: &mut Known) -> Result<(), String> {
    let Some((_, rest)) = config.split_once("<threshold:") else { return Ok(()) };
    let wanted = rest.split('>').next().unwrap_or_default();
    let (kind, above) = wanted.split_once('+').ok_or("<threshold:KIND+PERCENT>")?;
    let above: i64 = above.parse().map_err(|_| "<threshold:KIND+PERCENT>".to_owned())?;
    let mut idle = Stage::idle(&config.replace(&format!("<threshold:{wanted}>"), "0"), arguments)?;
    let percent = usage(&mut idle, kind)?.1.percent();
    idle.end()?;
    known.set(&format!("threshold:{wanted}"), &(percent + above));
    known.set("threshold", &(percent + above));
    Ok(())
}
