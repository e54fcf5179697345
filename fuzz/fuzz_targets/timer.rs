//! The timer wheel gives keys back when a sorted list of deadlines says so, whatever is scheduled, cancelled and polled
//! in between, and however far the clock jumps.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::timer::{HORIZON, Tick, TimerWheel};

#[derive(Arbitrary, Debug)]
enum Operation {
    Schedule(u8, u8),
    ScheduleFar(u16, u32),
    Cancel(u8),
    /// Lets time pass and takes everything that is due.
    Advance(u8),
    Jump(u16),
    /// Lets time pass and takes so many only, as an owner who schedules while he polls.
    AdvanceAndTake(u16, u8),
}

/// When a key has to come out: not before the one tick, not after the other.
#[derive(Clone, Copy)]
struct Window {
    earliest: Tick,
    latest: Tick,
}

struct Model {
    wheel: TimerWheel,
    windows: BTreeMap<u32, Window>,
    now: Tick,
    /// Everything that was due has been taken.
    is_drained: bool,
}

fuzz_target!(|input: (u16, Vec<Operation>)| {
    let (start, operations) = input;
    let start = Tick::from(start);
    let mut model = Model { wheel: TimerWheel::new(start), windows: BTreeMap::new(), now: start, is_drained: true };
    for operation in operations {
        match operation {
            Operation::Schedule(key, delay) => {
                let deadline = (model.now + Tick::from(delay)).saturating_sub(8);
                model.schedule(key.into(), deadline);
            }
            Operation::ScheduleFar(key, deadline) => model.schedule(key.into(), deadline),
            Operation::Cancel(key) => {
                model.wheel.cancel(key.into());
                model.windows.remove(&key.into());
            }
            Operation::Advance(ticks) => model.advance(ticks.into(), usize::MAX),
            Operation::Jump(ticks) => model.advance(ticks.into(), usize::MAX),
            Operation::AdvanceAndTake(ticks, count) => model.advance(ticks.into(), 1 + usize::from(count)),
        }
        model.check();
    }
    // In the end everything comes out.
    for ticks in [0, HORIZON, HORIZON] {
        model.advance(ticks, usize::MAX);
    }
    assert!(model.windows.is_empty());
    assert_eq!(model.wheel.next_expiry(), None);
});

impl Model {
    fn schedule(&mut self, key: u32, deadline: Tick) {
        self.wheel.schedule(key, deadline);
        // The next tick at the earliest, the horizon at the latest. In the middle of polling the horizon is nearer, by as
        // much as there is still to be polled.
        let next = self.now + 1;
        let latest = deadline.clamp(next, next + HORIZON);
        let earliest = if self.is_drained { latest } else { next };
        self.windows.insert(key, Window { earliest, latest });
    }

    fn advance(&mut self, ticks: Tick, count: usize) {
        self.now += ticks;
        for _ in 0..count {
            let Some(key) = self.wheel.poll_expired(self.now) else {
                self.is_drained = true;
                self.check_drained();
                return;
            };
            let window = self.windows.remove(&key).expect("a key that is scheduled");
            assert!(window.earliest <= self.now, "{key} is early");
            assert!(!self.wheel.is_scheduled(key));
        }
        // Nothing is known of what is left, unless time has stood still.
        self.is_drained &= ticks == 0;
    }

    /// No key is late, but those in the bucket of the next tick after a sleep longer than the wheel, by that one tick.
    fn check_drained(&mut self) {
        let next = self.now + 1;
        for window in self.windows.values_mut().filter(|window| window.latest <= self.now) {
            let is_in_bucket_of_next =
                (window.earliest..=window.latest).any(|tick| (next - tick).is_multiple_of(HORIZON + 1));
            assert!(is_in_bucket_of_next, "a key is late");
            *window = Window { earliest: next, latest: next };
        }
    }

    fn check(&self) {
        let next = self.wheel.next_expiry();
        let earliest = self.windows.values().map(|window| window.earliest).min();
        let latest = self.windows.values().map(|window| window.latest).min();
        assert_eq!(next.is_some(), earliest.is_some());
        if let (Some(next), Some(earliest), Some(latest)) = (next, earliest, latest)
            && self.is_drained
        {
            assert!((earliest..=latest).contains(&next), "{next} is not in {earliest}..={latest}");
        }
        for key in self.windows.keys() {
            assert!(self.wheel.is_scheduled(*key));
        }
    }
}
