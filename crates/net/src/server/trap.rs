//! Panics on demand. A panic is a bug of ours, and ends one connection at most. Tests provoke one in each layer to see
//! that this is true.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Server;
use crate::event::Event;
use crate::ids::{ConnectionId, Slot};

/// A place where a panic can be provoked; see [`Reactor::provoke`](crate::Reactor::provoke).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A connection has been accepted, and belongs to nobody yet.
    Accept,
    /// A command of another thread is carried out.
    Command,
    /// Bytes have been read from a socket, and decrypted.
    Read,
    /// A handshake of TLS has been completed.
    Handshake,
    /// Bytes of HTTP are parsed.
    Http,
    /// A request is looked up in the routes.
    Route,
    /// A response is completed, by a call.
    Response,
    /// Frames of a WebSocket are parsed.
    WebSocket,
    /// A message has been written to a WebSocket, by a call.
    Send,
    /// A published message is written to a subscriber.
    Publish,
    /// A deadline is examined.
    Deadline,
    /// A WebSocket ends.
    Close,
    /// The consequences of writing to a connection are handled.
    Settle,
    /// A connection of an app that is being shut down is visited.
    Visit,
}

impl Layer {
    /// All layers.
    pub const ALL: [Self; 14] = [
        Self::Accept,
        Self::Command,
        Self::Read,
        Self::Handshake,
        Self::Http,
        Self::Route,
        Self::Response,
        Self::WebSocket,
        Self::Send,
        Self::Publish,
        Self::Deadline,
        Self::Close,
        Self::Settle,
        Self::Visit,
    ];
}

/// The layer that panics next, if any.
#[derive(Default)]
pub(crate) struct Trap(Option<Layer>);

impl Trap {
    pub(crate) fn set(&mut self, layer: Layer) {
        self.0 = Some(layer);
    }

    /// Panics if this is the layer that was set, once.
    #[inline]
    pub(crate) fn pass(&mut self, layer: Layer) {
        if self.0 == Some(layer) {
            self.spring(layer);
        }
    }

    #[cold]
    fn spring(&mut self, layer: Layer) {
        self.0 = None;
        panic!("a test has asked for this panic ({layer:?})");
    }
}

impl Server {
    /// Runs a step that concerns one connection, among steps that concern others. A panic ends that connection alone,
    /// and is reported.
    pub(crate) fn attempt(&mut self, slot: Slot, step: impl FnOnce(&mut Self)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| step(self))) {
            self.broken.push((self.table.id(slot), panic_message(&*panic)));
        }
    }

    /// Ends the connections for which [`Server::attempt`] has caught a panic, and reports it.
    #[inline]
    pub(crate) fn give_up_broken(&mut self) {
        if !self.broken.is_empty() {
            self.end_broken();
        }
    }

    #[cold]
    fn end_broken(&mut self) {
        for (id, message) in std::mem::take(&mut self.broken) {
            if self.table.id(id.slot) == id {
                self.give_up(id.slot);
            }
            self.events.push(Event::Panicked { message });
        }
    }

    /// Ends the connection that the call under way has named, because the call has panicked.
    pub(crate) fn give_up_named(&mut self) {
        let named: Option<ConnectionId> = self.table.take_named();
        if let Some(id) = named.filter(|id| self.table.id(id.slot) == *id) {
            self.give_up(id.slot);
        }
    }
}

/// Returns the message of a panic; empty if it has none.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
