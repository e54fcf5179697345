//! The log of a run, which is only written if it is to be seen.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What becomes of the lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They are not even made.
    Nothing,
    /// They are hashed, to compare two runs.
    Hash,
    /// They are kept.
    Lines,
}

pub(crate) struct Log {
    keep: Keep,
    lines: RefCell<Vec<String>>,
    hash: Cell<u64>,
}

impl Log {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, lines: RefCell::default(), hash: Cell::default() }
    }

    pub(crate) fn add(&self, line: impl FnOnce() -> String) {
        match self.keep {
            Keep::Nothing => {}
            Keep::Hash => {
                let mut hasher = DefaultHasher::new();
                (self.hash.get(), line()).hash(&mut hasher);
                self.hash.set(hasher.finish());
            }
            Keep::Lines => self.lines.borrow_mut().push(line()),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.lines.take()
    }
}
