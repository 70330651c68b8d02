//! The network between: each message may be lost, come twice, and overtake another.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use proptest::prelude::*;

use super::{Message, Party};

#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Nothing is lost, repeated or overtaken.
    pub(super) reliable: bool,
    /// Of 100, how many are lost: but never two of the same kind in a row on the same way, so that a protocol which
    /// repeats itself can be held to its promise.
    loss: u64,
    repeated: u64,
    /// Milliseconds at most.
    delay: u64,
}

pub(super) fn weather() -> impl Strategy<Value = Weather> {
    let rough = (0..90_u64, 0..30_u64, 1..900_u64).prop_map(|(loss, repeated, delay)| Weather {
        reliable: false,
        loss,
        repeated,
        delay,
    });
    let calm = (1..900_u64).prop_map(|delay| Weather { reliable: true, loss: 0, repeated: 0, delay });
    prop_oneof![4 => rough, 1 => calm]
}

pub(super) struct Link {
    weather: Weather,
    random: u64,
    sent: u64,
    /// Arrival time, order of sending, index of the message.
    flying: BinaryHeap<Reverse<(u64, u64)>>,
    messages: Vec<(Party, Party, Message)>,
    just_lost: HashSet<(Party, Party, Message)>,
}

impl Link {
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        Link {
            weather,
            random: seed | 1,
            sent: 0,
            flying: BinaryHeap::new(),
            messages: Vec::new(),
            just_lost: HashSet::new(),
        }
    }

    pub(super) fn send(&mut self, from: Party, to: Party, message: Message, now: u64) {
        let letter = (from, to, message);
        if self.percent() < self.weather.loss && self.just_lost.insert(letter) {
            return;
        }
        self.just_lost.remove(&letter);
        self.fly(letter, now);
        if self.percent() < self.weather.repeated {
            self.fly(letter, now);
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.flying.peek().map(|Reverse((time, _))| *time)
    }

    /// The next that has arrived by now.
    pub(super) fn arrival(&mut self, now: u64) -> Option<(Party, Party, Message)> {
        let &Reverse((_, number)) = self.flying.peek().filter(|Reverse((time, _))| *time <= now)?;
        self.flying.pop();
        Some(self.messages[usize::try_from(number).unwrap()])
    }

    /// A number below `limit`, for the other parts of the world as well.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn percent(&mut self) -> u64 {
        self.below(100)
    }

    fn fly(&mut self, letter: (Party, Party, Message), now: u64) {
        let delay =
            if self.weather.reliable { self.weather.delay } else { 1 + self.below(self.weather.delay) };
        self.flying.push(Reverse((now + delay, self.sent)));
        self.messages.push(letter);
        self.sent += 1;
    }
}
