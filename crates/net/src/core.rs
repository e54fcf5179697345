//! The state of a reactor: the server, the connections that are busy, the listening sockets, the kernel's events, and the
//! mailbox.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::acceptor::Acceptors;
use crate::ids::{AppId, ConnectionId, ListenerId, Slot};
use crate::kernel::{self, Kernel};
use crate::listener::{Accepted, BACKLOG, Listeners};
use crate::mailbox::{Command, Inbox, Remote};
use crate::server::Server;
use crate::server::trap::Layer;
use crate::transport::sys::{self, StdTcpStream, TcpStream};

/// The number of connections that are accepted from a listening socket before others have their turn.
const ACCEPT_BUDGET: usize = 512;

/// The state of a reactor.
pub(crate) struct Core {
    pub(crate) server: Server,
    pub(crate) busy: Busy,
    pub(crate) listeners: Listeners,
    /// The apps that hand over what they accept.
    pub(crate) acceptors: Acceptors,
    pub(crate) kernel: Kernel,
    /// `None` until [`Core::remote`] is called.
    inbox: Option<Inbox>,
    /// Commands may be waiting: the kernel has reported the mailbox, and not all have been carried out since.
    has_commands: bool,
}

/// The connections whose events are being handled. There is more than one only while a handler runs the event loop.
#[derive(Default)]
pub(crate) struct Busy {
    slots: Vec<Slot>,
    /// Busy connections for which the kernel has reported events meanwhile.
    put_off: Vec<Slot>,
}

impl Busy {
    /// Returns whether no connection is busy, as outside of nested event loops between two activities.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.slots.contains(&slot)
    }

    /// Takes the last element of a list whose connection is not busy.
    fn take_idle<T>(&self, list: &mut Vec<T>, slot_of: impl Fn(&T) -> Slot) -> Option<T> {
        let index = list.iter().rposition(|element| !self.has(slot_of(element)))?;
        Some(list.swap_remove(index))
    }

    pub(crate) fn begin(&mut self, slot: Slot) {
        self.slots.push(slot);
    }

    pub(crate) fn end(&mut self) {
        self.slots.pop();
    }

    /// Puts off an event of the kernel if its connection is busy. Returns whether it did.
    pub(crate) fn put_off(&mut self, slot: Slot) -> bool {
        let is_busy = self.has(slot);
        if is_busy && !self.put_off.contains(&slot) {
            self.put_off.push(slot);
        }
        is_busy
    }

    #[inline]
    pub(crate) fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Forgets that an event has been put off, if the connection is no longer busy. Returns whether it did.
    pub(crate) fn take_put_off(&mut self, slot: Slot) -> bool {
        let Some(index) = self.put_off.iter().position(|other| *other == slot) else { return false };
        if self.has(slot) {
            return false;
        }
        self.put_off.swap_remove(index);
        true
    }
}

impl Core {
    pub(crate) fn new(kernel: Kernel, server: Server) -> Self {
        let (busy, listeners, acceptors) = (Busy::default(), Listeners::default(), Acceptors::default());
        Self { server, busy, listeners, acceptors, kernel, inbox: None, has_commands: false }
    }

    pub(crate) fn remote(&mut self, app: AppId) -> io::Result<Remote> {
        debug_assert!(self.server.apps.has(app), "a removed app has no address");
        let inbox = match &mut self.inbox {
            Some(inbox) => inbox,
            none => none.insert(Inbox::new(self.kernel.registry())?),
        };
        Ok(inbox.remote(app))
    }

    /// Makes every [`Remote`] of an app refuse commands, and carries out those that have been sent before.
    pub(crate) fn close_remotes(&mut self, app: AppId) {
        if let Some(inbox) = &mut self.inbox {
            inbox.close(app);
        }
        self.carry_out_waiting();
        self.server.apps.end_adopting(app);
    }

    /// Does what [`Core::close_remotes`] does, and accepts all connections that are waiting.
    pub(crate) fn close_for_shutdown(&mut self, app: AppId) {
        self.close_remotes(app);
        for listener in self.listeners.of(app) {
            self.accept_all(listener);
        }
    }

    pub(crate) fn remove_app(&mut self, app: AppId) {
        if let Some(inbox) = &mut self.inbox {
            inbox.forget_app(app);
        }
        self.acceptors.forget_app(app);
        self.server.remove_app(app);
    }

    /// Notes that commands of other threads are waiting.
    pub(crate) fn note_commands(&mut self) {
        self.has_commands = true;
    }

    /// Carries out the next command of another thread. Returns whether there was one.
    pub(crate) fn carry_out(&mut self) -> bool {
        if !self.has_commands {
            return false;
        }
        let Some(letter) = self.inbox.as_mut().and_then(Inbox::next) else {
            self.has_commands = false;
            return false;
        };
        self.server.trap.pass(Layer::Command);
        match letter.open() {
            // If the kernel cannot watch the socket, or the app has too many, the socket is closed.
            (app, Command::Adopt { stream }) => _ = self.begin(app, stream, None),
            (app, Command::Publish { topic, opcode, message, compress }) => {
                self.server.publish(app, None, &topic, opcode, &message, compress);
            }
        }
        true
    }

    /// Serves a connection that another part of the process has accepted. Returns the error and the socket if that is
    /// not possible; see [`Server::begin`].
    pub(crate) fn adopt(
        &mut self,
        app: AppId,
        stream: StdTcpStream,
        peer: Option<IpAddr>,
    ) -> Result<(), (io::Error, StdTcpStream)> {
        if !sys::may_be_connected(&stream) {
            return Err((io::ErrorKind::InvalidInput.into(), stream));
        }
        let mut stream = TcpStream::from_std(stream);
        let is_watched = kernel::is_watched(&mut stream);
        let stream = StdTcpStream::from(stream);
        if is_watched {
            return Err((io::ErrorKind::AlreadyExists.into(), stream));
        }
        let port = || stream.peer_addr().map_or(0, |address| address.port());
        let peer = peer.map(|peer| SocketAddr::new(peer, port()));
        self.begin(app, stream, peer).map(|_| ())
    }

    fn begin(
        &mut self,
        app: AppId,
        stream: StdTcpStream,
        peer: Option<SocketAddr>,
    ) -> Result<Slot, (io::Error, StdTcpStream)> {
        // Accepted sockets inherit this from their listening socket. Unix sockets do not have this option.
        let _ = stream.set_nodelay(true);
        if let Err(error) = stream.set_nonblocking(true) {
            return Err((error, stream));
        }
        let begun = self.server.begin(app, TcpStream::from_std(stream), peer);
        begun.map_err(|(error, stream)| (error, stream.into()))
    }

    /// Carries out the commands that are waiting now, of which the kernel may not have reported the last ones yet.
    pub(crate) fn carry_out_waiting(&mut self) {
        let waiting = self.inbox.as_ref().map_or(0, Inbox::len);
        self.has_commands |= waiting > 0;
        for _ in 0..waiting {
            self.carry_out();
        }
    }

    /// Returns whether anything could happen that a process should stay alive for.
    pub(crate) fn is_active(&self) -> bool {
        self.server.table.len() > 0
            || self.listeners.count() > 0
            || self.server.apps.adopt()
            || self.inbox.as_ref().is_some_and(|inbox| inbox.len() > 0)
    }

    /// Returns whether a turn has work that the kernel does not report. What is left to a busy connection is done at the end
    /// of its activity.
    pub(crate) fn has_work(&self) -> bool {
        let Self { server, busy, .. } = self;
        self.has_commands
            || server.has_work()
            || server.resumed.iter().any(|slot| !busy.has(*slot))
            || server.doomed.iter().any(|id| !busy.has(id.slot))
            || server.visited_again.iter().any(|slot| !busy.has(*slot))
    }

    /// Accepts connections that are waiting at a listening socket.
    pub(crate) fn accept(&mut self, id: ListenerId) {
        if self.accept_some(id) {
            // The kernel would not report those that are still waiting.
            self.listeners.rearm(self.kernel.registry(), id);
        }
    }

    /// Accepts all connections that are waiting at a listening socket, which is about to be closed.
    pub(crate) fn accept_all(&mut self, id: ListenerId) {
        // A flood of new connections must not keep the thread here for ever.
        for _ in 0..usize::from(BACKLOG).div_ceil(ACCEPT_BUDGET) {
            if !self.accept_some(id) {
                return;
            }
        }
    }

    /// Accepts as many connections as others may wait for. Returns whether there may be more.
    fn accept_some(&mut self, id: ListenerId) -> bool {
        for _ in 0..ACCEPT_BUDGET {
            if self.pauses_accepting(id) {
                return false;
            }
            match self.listeners.accept(id) {
                Accepted::Connection(app, stream) => {
                    self.server.trap.pass(Layer::Accept);
                    match self.acceptors.hand_over(app, stream) {
                        // If the kernel has no memory to watch the socket, or the app has too many, the socket is closed.
                        Some(stream) => _ = self.server.begin(app, stream, None),
                        None => self.server.note_hand_over(app),
                    }
                }
                Accepted::Failed(app) => self.server.note_accept_error(app),
                Accepted::Nothing => return false,
                Accepted::Starved(app) => {
                    self.server.note_starvation(app);
                    self.server.has_freed_descriptor = false;
                    return false;
                }
            }
        }
        true
    }

    /// Returns whether the connections that wait at a listening socket have to wait on, because their app has as many as
    /// it may have. The children of an acceptor have limits of their own.
    fn pauses_accepting(&mut self, id: ListenerId) -> bool {
        let app = self.listeners.app(id).filter(|app| !self.acceptors.has(*app));
        app.is_some_and(|app| self.server.pauses_accepting(app))
    }

    /// Has the kernel report all connections that are waiting to be accepted, after a panic has ended accepting.
    pub(crate) fn rearm_listeners(&mut self) {
        self.listeners.rearm_all(self.kernel.registry());
    }

    pub(crate) fn wake_starved(&mut self) {
        self.listeners.wake_starved(self.kernel.registry());
    }

    /// Returns the next connection that is to be read again and is not busy.
    pub(crate) fn next_resumed(&mut self) -> Option<Slot> {
        self.busy.take_idle(&mut self.server.resumed, |slot| *slot)
    }

    /// Returns the next WebSocket that is to be closed for exceeding its limit and is not busy.
    pub(crate) fn next_doomed(&mut self) -> Option<ConnectionId> {
        self.busy.take_idle(&mut self.server.doomed, |id| id.slot)
    }

    /// Returns the next connection of an app that is being shut down, to be visited. A busy one is visited later.
    pub(crate) fn next_visit(&mut self) -> Option<Slot> {
        while let Some(slot) = self.server.next_visit() {
            if !self.busy.has(slot) {
                return Some(slot);
            }
            self.server.visited_again.push(slot);
        }
        self.busy.take_idle(&mut self.server.visited_again, |slot| *slot)
    }

    /// Flushes the output of connections that were written to outside of their activity, and removes those that are
    /// over. Busy connections are settled at the end of their activity.
    pub(crate) fn settle_touched(&mut self) {
        let Self { server, busy, .. } = self;
        while let Some(slot) = server.transport.next_touched() {
            server.attempt(slot, |server| {
                server.transport.flush(slot);
                if !busy.has(slot) {
                    server.settle(slot);
                }
            });
            server.give_up_broken();
        }
        server.forget_settled();
        if std::mem::take(&mut server.has_freed_descriptor) {
            self.wake_starved();
        }
        for app in self.server.resume_accepting() {
            self.accept_again(app);
        }
    }

    /// Has the kernel report the connections that are waiting to be accepted by an app.
    pub(crate) fn accept_again(&mut self, app: AppId) {
        for listener in self.listeners.of(app) {
            self.listeners.rearm(self.kernel.registry(), listener);
        }
    }

    /// Removes a connection that a call has cut. A busy connection is removed at the end of its activity instead.
    pub(crate) fn settle_idle(&mut self, slot: Slot) {
        if !self.busy.has(slot) && self.server.transport.has(slot) && !self.server.table.is_live(slot) {
            self.server.settle(slot);
        }
    }
}
