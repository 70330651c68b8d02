//! Locks for scripts: one for each key, in shared memory. A script that waits for one lets its process serve other
//! messages meanwhile.

use std::rc::Rc;
use std::time::Duration;

use tocsin_script::{
    ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Resume, Routes, Value, Waiting,
};
use tocsin_server::module::{Setup, SetupError};
use tocsin_server::{Context, Server};
use tocsin_shm::{Alloc, Full, Map, MapOptions, ShmBytes, ShmClone, ShmSafe, identity, monotonic_millis};

/// How long the key of a lock may be, in bytes.
const MAX_KEY_BYTES: usize = 1024;
/// How many locks may be held at once.
const MAX_HELD: usize = 10_000;
/// How long a script waits for a lock, in milliseconds.
const PATIENCE_MS: u64 = 30_000;
/// Between two looks at a lock that is held.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const MAX_LOOK: Duration = Duration::from_millis(20);

const SHARDS: usize = 8;
const BUCKETS: usize = 64;

/// Who holds a lock.
#[derive(ShmSafe, ShmClone)]
struct Holder {
    pid: u32,
}

/// The locks that are held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locks(Map<ShmBytes, Holder>);

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Taken,
    Held,
    Refused,
}

impl Locks {
    pub(super) fn create(setup: &mut Setup<'_>) -> Result<Self, SetupError> {
        let options = MapOptions { name: "script locks", shards: SHARDS, buckets: BUCKETS };
        let locks = Self(Map::create(setup.arena, &options)?);
        setup.tables.push(locks.0.sweeper());
        Ok(locks)
    }

    /// Takes a lock that is free, or whose holder has died.
    fn attempt(&self, key: &[u8], pid: u32, lives: impl FnOnce(u32) -> bool) -> Attempt {
        if key.len() > MAX_KEY_BYTES || self.0.len() >= MAX_HELD {
            return Attempt::Refused;
        }
        let build = |alloc: Alloc| -> Result<_, Full> {
            Ok((ShmBytes::try_from_slice_in(key, alloc)?, Holder { pid }))
        };
        match self.0.insert_new(key, build) {
            Ok(true) => return Attempt::Taken,
            Err(Full) => return Attempt::Refused,
            Ok(false) => {}
        }
        let Some(holder) = self.0.get(key, |holder| holder.pid) else { return Attempt::Held };
        if lives(holder) {
            return Attempt::Held;
        }
        let took = self.0.update(key, |found, _| {
            let is_same = found.pid == holder;
            if is_same {
                found.pid = pid;
            }
            is_same
        });
        if took == Some(true) { Attempt::Taken } else { Attempt::Held }
    }

    fn release(&self, key: &[u8]) {
        self.0.remove(key, |_| ());
    }
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const KEY: &[Param] = &[Param::required("key", ParamKind::Str)];
    const TWO: &[Param] = &[Param::required("key1", ParamKind::Str), Param::required("key2", ParamKind::Str)];
    let take = |name, kind: u8| {
        Function::new(name, KEY, Routes::ANY, move |site| {
            check_kind(kind, site.constant(0).is_some())?;
            let call: Call<Context> = Rc::new(move |cx, arguments| take(cx, key_of(kind, &arguments[0])));
            Ok(call)
        })
    };
    let release = |name, kind: u8| {
        Function::new(name, KEY, Routes::ANY, move |site| {
            check_kind(kind, site.constant(0).is_some())?;
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                cx.server().state::<Locks>().release(&key_of(kind, &arguments[0]));
                Outcome::TRUE
            });
            Ok(call)
        })
    };
    vec![
        take("get_static_lock", STATIC).doc(
            "Takes the lock of a key that is written in the script; waits while another script holds it, up to 30 \
             seconds. 1: taken; -1: it is still held.",
        ),
        release("release_static_lock", STATIC).doc("Gives a lock back. 1: always."),
        take("get_dynamic_lock", DYNAMIC).doc(
            "Takes the lock of a key; waits while another script holds it, up to 30 seconds. 1: taken; -1: it is \
             still held, or the key is too long.",
        ),
        release("release_dynamic_lock", DYNAMIC).doc("Gives a lock back. 1: always."),
        Function::new("strings_share_lock", TWO, Routes::ANY, |site| {
            if site.constant(0).is_some() && site.constant(1).is_some() {
                return Err(ArgError::at(0, "both keys are known already: one has to be a variable"));
            }
            let call: Call<Context> = Rc::new(|_, arguments| (arguments[0] == arguments[1]).into());
            Ok(call)
        })
        .doc("Checks whether two keys have the same lock: only if they are equal. 1: they have; -1: they have not."),
    ]
}

const STATIC: u8 = b's';
const DYNAMIC: u8 = b'd';

fn check_kind(kind: u8, is_constant: bool) -> Result<(), ArgError> {
    if kind == STATIC && !is_constant {
        return Err(ArgError::at(
            0,
            "the key must be a string without variables: get_dynamic_lock() takes others",
        ));
    }
    Ok(())
}

/// Both kinds of locks lie in one table.
fn key_of(kind: u8, argument: &Value) -> Bytes {
    let key = argument.to_bytes().unwrap_or_default();
    Bytes::from([&[kind], &*key].concat())
}

fn take(cx: &mut Context, key: Bytes) -> Outcome<Context> {
    let server = cx.server();
    match attempt(server, &key) {
        Attempt::Taken => Outcome::TRUE,
        Attempt::Refused => refused(&key),
        Attempt::Held => Outcome::Wait(wait(server, key)),
    }
}

fn attempt(server: &'static Server, key: &[u8]) -> Attempt {
    let own = identity::pid();
    let lives = |pid| {
        pid == own
            || server
                .table
                .living()
                .any(|(_, slot)| slot.pid.load(std::sync::atomic::Ordering::Relaxed) == pid)
    };
    server.state::<Locks>().attempt(key, own, lives)
}

fn wait(server: &'static Server, key: Bytes) -> Waiting<Context> {
    Box::pin(async move {
        let until = monotonic_millis() + PATIENCE_MS;
        let mut look = FIRST_LOOK;
        let outcome = loop {
            tokio::time::sleep(look).await;
            look = (look * 2).min(MAX_LOOK);
            match attempt(server, &key) {
                Attempt::Held if monotonic_millis() < until => {}
                outcome => break outcome,
            }
        };
        let rest: Resume<Context> = Box::new(move |_| match outcome {
            Attempt::Taken => Outcome::TRUE,
            _ => refused(&key),
        });
        rest
    })
}

fn refused(key: &[u8]) -> Outcome<Context> {
    tracing::error!("the lock `{}` is not to be had", key[1..].escape_ascii());
    Outcome::FALSE
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_shm::{Arena, ArenaOptions};

    fn locks() -> Locks {
        let arena = Arena::create(&ArenaOptions { bytes: 8 << 20, boot_bytes: 1 << 20 }).unwrap();
        Locks(
            Map::create(arena, &MapOptions { name: "script locks", shards: SHARDS, buckets: BUCKETS })
                .unwrap(),
        )
    }

    #[test]
    fn a_lock_is_held_until_it_is_released_or_its_holder_is_dead() {
        let locks = locks();
        assert_eq!(locks.attempt(b"sa", 7, |_| true), Attempt::Taken);
        assert_eq!(locks.attempt(b"sa", 7, |_| true), Attempt::Held, "by the same process, too");
        assert_eq!(locks.attempt(b"da", 8, |_| true), Attempt::Taken);
        locks.release(b"sa");
        locks.release(b"snever");
        assert_eq!(locks.attempt(b"sa", 8, |_| true), Attempt::Taken);
        assert_eq!(locks.attempt(b"sa", 9, |pid| pid != 8), Attempt::Taken, "from the dead");
        assert_eq!(locks.attempt(b"sa", 8, |_| true), Attempt::Held);
    }

    #[test]
    fn keys_and_their_number_have_limits() {
        let locks = locks();
        assert_eq!(locks.attempt(&[b'x'; MAX_KEY_BYTES + 1], 1, |_| true), Attempt::Refused);
        for nth in 0..MAX_HELD {
            assert_eq!(locks.attempt(nth.to_string().as_bytes(), 1, |_| true), Attempt::Taken);
        }
        assert_eq!(locks.attempt(b"more", 1, |_| true), Attempt::Refused);
    }
}
