//! The state of a reactor: the server, the listening sockets, the poll, and the mailbox.

use std::io;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Poll};

use crate::ids::{AppId, ListenerId, Slot};
use crate::listener::{Accepted, Listeners};
use crate::mailbox::{Command, Inbox, Letter, Remote};
use crate::server::Server;
use crate::transport::sys::retry;

/// The number of connections that are accepted from a listening socket before others have their turn.
const ACCEPT_BUDGET: usize = 512;

/// The number of commands of other threads that are carried out before connections have their turn.
const COMMAND_BUDGET: usize = 512;

/// The state of a reactor.
pub(crate) struct Core {
    pub(crate) server: Server,
    pub(crate) busy: Busy,
    pub(crate) listeners: Listeners,
    pub(crate) poll: Poll,
    /// `None` until [`Core::remote`] is called.
    inbox: Option<Inbox>,
}

/// The connections whose events are being handled. There is more than one only while a handler runs the event loop.
#[derive(Default)]
pub(crate) struct Busy {
    slots: Vec<Slot>,
    /// Busy connections for which the kernel has reported events meanwhile.
    put_off: Vec<Slot>,
}

impl Busy {
    pub(crate) fn begin(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    pub(crate) fn end(&mut self) {
        self.slots.pop();
    }

    /// Puts off an event of the kernel if its connection is busy. Returns whether it did.
    pub(crate) fn put_off(&mut self, slot: Slot) -> bool {
        let is_busy = self.slots.contains(&slot);
        if is_busy && !self.put_off.contains(&slot) {
            self.put_off.push(slot);
        }
        is_busy
    }

    /// Forgets that an event has been put off, if the connection is no longer busy. Returns whether it did.
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

    /// Carries out the commands of other threads.
    pub(crate) fn carry_out(&mut self) {
        let Some(inbox) = &self.inbox else { return };
        for (app, command) in inbox.take(COMMAND_BUDGET).into_iter().filter_map(Letter::open) {
            match command {
                Command::Adopt { stream } => {
                    // Accepted sockets inherit this from their listening socket. Unix sockets do not have this option.
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

    /// Accepts the connections that are waiting at a listening socket.
    pub(crate) fn accept(&mut self, id: ListenerId) {
        for _ in 0..ACCEPT_BUDGET {
            match self.listeners.accept(id) {
                Accepted::Connection(app, stream) => self.server.begin(app, stream),
                Accepted::Failed => {}
                Accepted::Nothing => return,
                Accepted::Starved => return self.server.has_freed_descriptor = false,
            }
        }
        // More may be waiting, which the kernel would not report again.
        self.listeners.rearm(self.poll.registry(), id);
    }

    pub(crate) fn wake_starved(&mut self) {
        self.listeners.wake_starved(self.poll.registry());
    }

    /// Returns the next connection that is to be read again and is not busy.
    pub(crate) fn next_resumed(&mut self) -> Option<Slot> {
        let Self { server, busy, .. } = self;
        let index = server.resumed.iter().rposition(|slot| !busy.slots.contains(slot))?;
        Some(server.resumed.swap_remove(index))
    }

    /// Flushes the output of connections that were written to outside of their activity, and removes those that are
    /// over.
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

    /// Removes a connection that a call has cut. A busy connection is removed at the end of its activity instead.
    pub(crate) fn settle_idle(&mut self, slot: Slot) {
        if !self.busy.slots.contains(&slot) && self.server.transport.has(slot) && !self.server.table.is_live(slot) {
            self.server.settle(slot);
        }
    }

    /// Polls the kernel for events, without waiting.
    pub(crate) fn ask_kernel(&mut self, events: &mut Events) -> io::Result<()> {
        retry(|| self.poll.poll(events, Some(Duration::ZERO)))
    }
}
