//! What a reactor holds: the server, the listening sockets, and the kernel's queue of events.

use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::ids::{AppId, ListenerId, Slot};
use crate::listener::{Accepted, Listeners};
use crate::mailbox::{Command, Inbox, Letter, Remote};
use crate::server::Server;
use crate::transport::sys::retry;

/// Connections accepted at once from a listener.
const ACCEPT_BUDGET: usize = 512;

/// Commands of other threads that are carried out at once.
const COMMAND_BUDGET: usize = 512;

/// What a reactor holds.
pub(crate) struct Core {
    pub(crate) server: Server,
    pub(crate) busy: Busy,
    pub(crate) listeners: Listeners,
    pub(crate) poll: Poll,
    /// `None` until another thread may send something.
    inbox: Option<Inbox>,
}

/// Connections whose events are being handled. There is more than one while a handler runs the event loop.
#[derive(Default)]
pub(crate) struct Busy {
    slots: Vec<Slot>,
    /// Those of them that the kernel has told of meanwhile.
    put_off: Vec<Slot>,
}

impl Busy {
    pub(crate) fn begin(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    pub(crate) fn end(&mut self) {
        self.slots.pop();
    }

    /// Puts an event off whose connection is in the middle of another; returns whether it did.
    pub(crate) fn put_off(&mut self, slot: Slot) -> bool {
        let is_busy = self.slots.contains(&slot);
        if is_busy && !self.put_off.contains(&slot) {
            self.put_off.push(slot);
        }
        is_busy
    }

    /// Whether an event has been put off that can be handled now.
    pub(crate) fn take_put_off(&mut self, slot: Slot) -> bool {
        let Some(index) = self.put_off.iter().position(|other| *other == slot) else { return false };
        if self.slots.contains(&slot) {
            return false;
        }
        self.put_off.swap_remove(index);
        true
    }
}

impl Core {
    pub(crate) fn new(poll: Poll, server: Server) -> Self {
        Self { server, busy: Busy::default(), listeners: Listeners::default(), poll, inbox: None }
    }

    pub(crate) fn remote(&mut self, app: AppId) -> io::Result<Remote> {
        let inbox = match &mut self.inbox {
            Some(inbox) => inbox,
            none => none.insert(Inbox::new(self.poll.registry())?),
        };
        Ok(inbox.remote(app))
    }

    pub(crate) fn remove_app(&mut self, app: AppId) {
        if let Some(inbox) = &mut self.inbox {
            inbox.forget_app(app);
        }
        self.server.remove_app(app);
    }

    /// Carries out what other threads have asked for.
    pub(crate) fn carry_out(&mut self) {
        let Some(inbox) = &self.inbox else { return };
        for (app, command) in inbox.take(COMMAND_BUDGET).into_iter().filter_map(Letter::open) {
            match command {
                Command::Adopt { stream } => {
                    // As accepted sockets have it. Unix sockets do not have this option.
                    let _ = stream.set_nodelay(true);
                    // A socket whose mode cannot be set is closed.
                    if stream.set_nonblocking(true).is_ok() {
                        self.server.begin(app, TcpStream::from_std(stream));
                    }
                }
                Command::Publish { topic, opcode, message, compress } => {
                    self.server.publish(app, None, &topic, opcode, &message, compress);
                }
            }
        }
    }

    /// Takes the connections that have come to a listening socket.
    pub(crate) fn accept(&mut self, id: ListenerId) {
        for _ in 0..ACCEPT_BUDGET {
            match self.listeners.accept(id) {
                Accepted::Connection(app, stream) => self.server.begin(app, stream),
                Accepted::Failed => {}
                Accepted::Nothing => return,
                Accepted::Starved => return self.server.has_freed_descriptor = false,
            }
        }
        // There may be more, of which the kernel would not tell again.
        self.listeners.rearm(self.poll.registry(), id);
    }

    pub(crate) fn wake_starved(&mut self) {
        self.listeners.wake_starved(self.poll.registry());
    }

    /// The next connection that is to be read again, and is not in the middle of an event.
    pub(crate) fn next_resumed(&mut self) -> Option<Slot> {
        let Self { server, busy, .. } = self;
        let index = server.resumed.iter().rposition(|slot| !busy.slots.contains(slot))?;
        Some(server.resumed.swap_remove(index))
    }

    /// Sends what has been written, and removes the connections that are over.
    pub(crate) fn settle_touched(&mut self) {
        let Self { server, .. } = self;
        while let Some(slot) = server.transport.next_touched() {
            server.transport.flush(slot);
            server.settle(slot);
        }
        server.forget_settled();
        if std::mem::take(&mut server.has_freed_descriptor) {
            self.wake_starved();
        }
    }

    /// After a call that has ended a connection: closes its socket, unless it is in the middle of an event.
    pub(crate) fn settle_idle(&mut self, slot: Slot) {
        if !self.busy.slots.contains(&slot) && self.server.transport.has(slot) && !self.server.table.is_live(slot) {
            self.server.settle(slot);
        }
    }

    /// Asks the kernel what has happened, without waiting.
    pub(crate) fn ask_kernel(&mut self, events: &mut Events) -> io::Result<()> {
        retry(|| self.poll.poll(events, Some(Duration::ZERO)))
    }
}
