//! Descriptors: numbers by which any thread of the process can name an app, to hand connections over to it.
//!
//! No number ever stands for two apps. Numbers begin at a random one, so that those of another copy of this addon, or of
//! another process, are not known here either.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use milliways_net::Remote;

/// The number of descriptors that one copy of the addon can give before it might meet those of another one.
const NUMBERS: u64 = 1 << 20;

/// What a number stands for.
pub(crate) enum Described {
    App(Remote),
    /// An app that has been closed or has ended since.
    Ended,
    /// Nothing: no app has ever had this number.
    Nothing,
}

struct Descriptors {
    /// The first number, and the one after the last.
    first: u64,
    end: u64,
    apps: BTreeMap<u64, Remote>,
}

static DESCRIPTORS: Mutex<Option<Descriptors>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Descriptors>> {
    // Nothing panics while it is locked.
    DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Descriptors {
    fn new() -> Self {
        let random = RandomState::new().hash_one(()) >> 32;
        // Above 0, and exact as a number of JavaScript.
        let first = random * NUMBERS + 1;
        Self { first, end: first, apps: BTreeMap::new() }
    }
}

/// Returns the descriptor of an app, which it keeps until it is closed.
pub(crate) fn of(app: Remote) -> u64 {
    let mut guard = lock();
    let descriptors = guard.get_or_insert_with(Descriptors::new);
    descriptors.apps.retain(|_, other| other.is_open());
    if let Some((number, _)) = descriptors.apps.iter().find(|(_, other)| other.is_same_app(&app)) {
        return *number;
    }
    let number = descriptors.end;
    descriptors.end += 1;
    descriptors.apps.insert(number, app);
    number
}

/// Returns what a number stands for.
pub(crate) fn find(number: f64) -> Described {
    let guard = lock();
    let Some(descriptors) = &*guard else { return Described::Nothing };
    #[expect(clippy::cast_sign_loss, reason = "what is below 0 becomes 0, which is never a descriptor")]
    let descriptor = number as u64;
    if number.fract() != 0.0 || !(descriptors.first..descriptors.end).contains(&descriptor) {
        return Described::Nothing;
    }
    let app = descriptors.apps.get(&descriptor).filter(|app| app.is_open());
    app.map_or(Described::Ended, |app| Described::App(app.clone()))
}
