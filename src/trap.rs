//! Panics that tests provoke in this addon, to see what they end. The reactor has its own; see
//! [`milliways_net::Layer`].

use std::cell::Cell;

/// A place where a panic can be provoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// JavaScript has called a function.
    Call,
    /// An event is translated into the call of a handler.
    Event,
    /// What nobody uses any more is forgotten.
    Sweep,
    /// A callback of the loop begins.
    Loop,
}

impl Layer {
    pub(crate) const ALL: [Self; 4] = [Self::Call, Self::Event, Self::Sweep, Self::Loop];
}

/// The layer that panics next, if any.
#[derive(Default)]
pub(crate) struct Trap(Cell<Option<Layer>>);

impl Trap {
    pub(crate) fn set(&self, layer: Layer) {
        self.0.set(Some(layer));
    }

    /// Panics if this is the layer that was set, once.
    #[inline]
    pub(crate) fn pass(&self, layer: Layer) {
        if self.0.get() == Some(layer) {
            self.spring(layer);
        }
    }

    #[cold]
    fn spring(&self, layer: Layer) {
        self.0.set(None);
        panic!("a test has asked for this panic ({layer:?})");
    }
}
