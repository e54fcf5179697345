//! A timer wheel: one level of buckets, one tick each, with an intrusive list of keys in every bucket.
//!
//! The wheel stores no deadlines and has no clock. It returns a key at the tick for which that key was scheduled, or at
//! [`HORIZON`] if that comes first, and the owner, which knows the actual deadline, schedules the key again if there is time
//! left. So a connection that stays busy costs one store per message (the owner notes the time) and one visit per timeout, a
//! tick costs no more than what is due in it, and an entry takes eight bytes.

use crate::chunks::Chunks;

/// Whole ticks since the owner of the wheel began to count. The owner decides how long a tick is; milliways-net uses one
/// second.
pub type Tick = u32;

/// The number of buckets, a power of two. The longest idle timeout is 960 s, so with ticks of one second no connection is
/// visited before its time.
const BUCKETS: u32 = 1024;

/// The largest distance, in ticks, at which a key can be scheduled. A key with a later deadline expires at the horizon.
pub const HORIZON: Tick = BUCKETS - 1;

const NONE: u32 = u32::MAX;
/// The bit that is set in `Node::previous` of the first node of a list; the other bits are the bucket.
const IN_BUCKET: u32 = 1 << 31;

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    /// The key before this one; for the first one the bucket, with [`IN_BUCKET`]; [`NONE`] for a key that is not scheduled.
    previous: u32,
}

const UNSCHEDULED: Node = Node { next: NONE, previous: NONE };

impl Default for Node {
    fn default() -> Self {
        UNSCHEDULED
    }
}

/// A timer wheel. Its keys are small integers, such as slots of a table, each scheduled for at most one tick.
pub struct TimerWheel {
    /// The first key of each bucket, or [`NONE`].
    heads: Box<[u32; BUCKETS as usize]>,
    /// One bit per bucket, which is set if and only if the bucket's list is not empty.
    occupied: [u64; BUCKETS as usize / 64],
    /// Indexed by key; long enough for the largest key ever scheduled.
    nodes: Chunks<Node>,
    /// The latest time that the owner has passed.
    now: Tick,
    /// The first tick whose bucket may not be empty yet. It is at most `now + 1`, and `now + 1 - swept < BUCKETS`.
    swept: Tick,
}

impl TimerWheel {
    /// Creates an empty wheel. `now` is the owner's time.
    pub fn new(now: Tick) -> Self {
        Self {
            heads: Box::new([NONE; BUCKETS as usize]),
            occupied: [0; BUCKETS as usize / 64],
            nodes: Chunks::default(),
            now,
            swept: now + 1,
        }
    }

    /// Schedules `key` for `deadline`, and no longer for any other tick.
    ///
    /// A deadline that is not in the future counts as the next tick, and one beyond [`HORIZON`] as the horizon.
    pub fn schedule(&mut self, key: u32, deadline: Tick) {
        debug_assert!(key < IN_BUCKET, "keys share their word with a flag");
        self.cancel(key);
        let index = key as usize;
        while self.nodes.len() <= index {
            self.nodes.push(UNSCHEDULED);
        }
        // The upper bound counts from `swept`, not from `now`: while the owner still polls expired keys, a key must not
        // return to a bucket that is about to be swept, or polling would never end.
        let tick = deadline.clamp(self.now + 1, self.swept + HORIZON);
        let bucket = tick % BUCKETS;
        let head = &mut self.heads[bucket as usize];
        let next = std::mem::replace(head, key);
        self.nodes[index] = Node { next, previous: IN_BUCKET | bucket };
        if next == NONE {
            self.occupied[bucket as usize / 64] |= 1 << (bucket % 64);
        } else {
            self.nodes[next as usize].previous = key;
        }
    }

    /// Returns the number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.heads) + self.nodes.memory()
    }

    /// Returns whether `key` is scheduled.
    pub fn is_scheduled(&self, key: u32) -> bool {
        self.nodes.get(key as usize).is_some_and(|node| node.previous != NONE)
    }

    /// Cancels `key`, which need not be scheduled.
    pub fn cancel(&mut self, key: u32) {
        let Some(node) = self.nodes.get_mut(key as usize) else { return };
        let Node { next, previous } = std::mem::replace(node, UNSCHEDULED);
        if previous == NONE {
            return;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous & IN_BUCKET == 0 {
            self.nodes[previous as usize].next = next;
            return;
        }
        let bucket = previous & !IN_BUCKET;
        self.heads[bucket as usize] = next;
        if next == NONE {
            self.occupied[bucket as usize / 64] &= !(1 << (bucket % 64));
        }
    }

    /// Sets the time, and removes and returns one key that has expired. Call it until it returns `None`. Keys may be scheduled
    /// and cancelled in between. A time before the last one counts as the last one.
    pub fn poll_expired(&mut self, now: Tick) -> Option<u32> {
        self.now = self.now.max(now);
        // After a long sleep every bucket is due, except for the one that the next tick sweeps.
        self.swept = self.swept.max((self.now + 2).saturating_sub(BUCKETS));
        while self.swept <= self.now {
            let key = self.heads[(self.swept % BUCKETS) as usize];
            if key != NONE {
                self.cancel(key);
                return Some(key);
            }
            self.swept += 1;
        }
        None
    }

    /// Returns the tick of the first bucket that is not empty, which is when `poll_expired` next returns a key. The cost does
    /// not grow with the number of keys.
    pub fn next_expiry(&self) -> Option<Tick> {
        let start = self.swept % BUCKETS;
        let words = self.occupied.len() as u32;
        // The starting word is examined twice: first its bits from `start` on, and last the bits before.
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word as usize];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let bucket = word * 64 + bits.trailing_zeros();
                return Some(self.swept + (bucket + BUCKETS - start) % BUCKETS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn expired(wheel: &mut TimerWheel, now: Tick) -> Vec<u32> {
        let mut keys: Vec<u32> = std::iter::from_fn(|| wheel.poll_expired(now)).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_key_comes_out_at_its_tick_and_once() {
        let mut wheel = TimerWheel::new(100);
        wheel.schedule(7, 103);
        assert_eq!(wheel.next_expiry(), Some(103));
        assert_eq!(expired(&mut wheel, 102), []);
        assert_eq!(expired(&mut wheel, 103), [7]);
        assert_eq!(expired(&mut wheel, 2000), []);
        assert_eq!(wheel.next_expiry(), None);
    }

    #[test]
    fn scheduling_again_moves_a_key_and_cancelling_removes_it() {
        let mut wheel = TimerWheel::new(0);
        for key in 0..3 {
            wheel.schedule(key, 5);
        }
        wheel.schedule(1, 9);
        wheel.cancel(2);
        wheel.cancel(2);
        wheel.cancel(99);
        assert_eq!(expired(&mut wheel, 8), [0]);
        assert_eq!(expired(&mut wheel, 9), [1]);
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_at_the_next_tick() {
        let mut wheel = TimerWheel::new(50);
        wheel.schedule(0, 3);
        assert_eq!(expired(&mut wheel, 50), []);
        assert_eq!(expired(&mut wheel, 51), [0]);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_comes_out_at_the_horizon() {
        let mut wheel = TimerWheel::new(0);
        wheel.schedule(0, 50_000);
        assert_eq!(wheel.next_expiry(), Some(1 + HORIZON));
        assert_eq!(expired(&mut wheel, HORIZON), []);
        assert_eq!(expired(&mut wheel, 1 + HORIZON), [0]);
    }

    #[test]
    fn an_owner_who_schedules_again_while_polling_comes_to_an_end() {
        let mut wheel = TimerWheel::new(0);
        for key in 0..100 {
            wheel.schedule(key, 1 + key % 7);
        }
        // After a sleep longer than the wheel, every key is scheduled as far away as possible.
        let mut visits = 0;
        while let Some(key) = wheel.poll_expired(5000) {
            wheel.schedule(key, Tick::MAX - 1);
            visits += 1;
            assert!(visits <= 200);
        }
        assert_eq!(visits, 100);
    }

    #[test]
    fn agrees_with_a_sorted_map_over_a_long_random_run() {
        let mut wheel = TimerWheel::new(0);
        let mut model: BTreeMap<u32, Tick> = BTreeMap::new();
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = |below: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 33) as u32 % below
        };
        let mut now = 0;
        for _ in 0..20_000 {
            let key = random(300);
            match random(4) {
                0 => {
                    wheel.cancel(key);
                    model.remove(&key);
                }
                1 => {
                    now += random(40);
                    let due: Vec<u32> = model.iter().filter(|entry| *entry.1 <= now).map(|entry| *entry.0).collect();
                    model.retain(|_, deadline| *deadline > now);
                    assert_eq!(expired(&mut wheel, now), due);
                }
                _ => {
                    let deadline = now + 1 + random(900);
                    wheel.schedule(key, deadline);
                    model.insert(key, deadline);
                }
            }
            assert_eq!(wheel.next_expiry(), model.values().min().copied());
        }
    }
}
