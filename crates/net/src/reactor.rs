//! The reactor: what its driver calls, and how an event of the kernel becomes events of a handler.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use milliways_proto::router::{PatternTooDeep, RouteKind};
use milliways_proto::timer::Tick;
use milliways_proto::ws::CloseFrame;
use mio::{Events, Interest, Poll, Token};

use crate::ids::{ConnectionId, Stale};
use crate::listener::{self, ListenError, Listener, Listening};
use crate::server::conversation::{Connection, Flags, Phase};
use crate::server::input::Peer;
use crate::server::state::{Count, State};
use crate::transport::sys::retry;
use crate::{AppId, DomainId, Handler, ListenerId, Route};

/// Events taken from the kernel at once. What is left is taken in the next turn, after whatever else the thread does.
const EVENTS: usize = 1024;

/// Connections accepted at once from a listener.
const ACCEPT_BUDGET: usize = 512;

/// Listeners' tokens have this bit, connections' are their slots.
const LISTENER: usize = 1 << 31;

/// Seconds after which accepting is tried again while there are no descriptors to be had.
const STARVED_RETRY: Tick = 1;

/// Why a route was not registered. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern has more segments than there may be.
    PatternTooDeep,
    /// The server name whose route it was to be has been removed.
    DomainRemoved,
}

/// How much there is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Sockets of connections, those included that are only closing.
    pub connections: usize,
    /// Open WebSockets.
    pub websockets: usize,
    /// Listening sockets.
    pub listeners: usize,
}

/// Sockets, protocols and timeouts of one thread.
pub struct Reactor {
    state: RefCell<State>,
    poll: RefCell<Poll>,
    /// Not there while events of a turn are handled.
    events: Cell<Option<Events>>,
    /// Where sockets are read into; not there while its bytes are being handled.
    pub(crate) receive_buffer: Cell<Vec<u8>>,
    epoch: Instant,
    /// A handler is running, see [`Reactor::nested`].
    is_nested: Cell<bool>,
}

impl Reactor {
    /// A reactor without sockets; `now` is the time of its creation.
    pub fn new(now: Instant) -> io::Result<Self> {
        Ok(Self {
            state: RefCell::new(State::new(now)),
            poll: RefCell::new(Poll::new()?),
            events: Cell::new(Some(Events::with_capacity(EVENTS))),
            receive_buffer: Cell::new(Vec::new()),
            epoch: now,
            is_nested: Cell::new(false),
        })
    }

    /// Has [`Handler::connected`] and [`Handler::disconnected`] called for the app's connections from now on.
    pub fn count_connections(&self, app: AppId) {
        self.state().apps.of_mut(app).counts = true;
    }

    /// Leaves the header that names the interface out of responses from now on.
    pub fn leave_out_name(&self) {
        let mut state = self.state();
        state.is_named = false;
        state.marks = None;
    }

    /// Registers a route, or with `None` removes it, and gives back what was there.
    pub fn route(
        &self,
        app: AppId,
        domain: DomainId,
        kind: RouteKind,
        pattern: &str,
        route: Option<Route>,
    ) -> Result<Option<Route>, RouteError> {
        let mut state = self.state();
        let router = state.apps.of_mut(app).router_mut(domain).ok_or(RouteError::DomainRemoved)?;
        match route {
            Some(route) => router.insert(kind, pattern, route).map_err(|PatternTooDeep| RouteError::PatternTooDeep),
            None => Ok(router.remove(kind, pattern)),
        }
    }

    /// Listens on a port, 0 for one that is free. Without a host: on all addresses, IPv6 and IPv4. Unless `exclusive`,
    /// others may listen on the same port and share its connections (`SO_REUSEPORT`).
    pub fn listen(
        &self,
        app: AppId,
        host: Option<&str>,
        port: u16,
        exclusive: bool,
    ) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Tcp(listener::bind(host, port, exclusive)?))
    }

    /// Listens on a Unix socket at `path`, in place of what is there. Only this user may connect.
    #[cfg(unix)]
    pub fn listen_unix(&self, app: AppId, path: &std::path::Path) -> Result<ListenerId, ListenError> {
        self.add_listener(app, Listening::Unix(listener::bind_unix(path)?))
    }

    fn add_listener(&self, app: AppId, mut socket: Listening) -> Result<ListenerId, ListenError> {
        let mut state = self.state();
        let number = state.next_listener;
        let token = Token(LISTENER | number as usize);
        self.poll.borrow().registry().register(&mut socket, token, Interest::READABLE)?;
        state.listeners.insert(number, Listener { socket, app, starved: false });
        state.next_listener += 1;
        Ok(ListenerId(number))
    }

    /// Closes a listening socket; its connections stay. False when it was closed before.
    pub fn close_listener(&self, id: ListenerId) -> bool {
        let mut state = self.state();
        let Some(listener) = state.listeners.remove(&id.0) else { return false };
        state.quiet.push(listener.app);
        true
    }

    /// The port a socket listens on, `None` when it is closed or has none.
    pub fn local_port(&self, id: ListenerId) -> Option<u16> {
        self.local_address(id).map(|address| address.port())
    }

    /// The address and the port a socket listens on, `None` when it is closed or has none.
    pub fn local_address(&self, id: ListenerId) -> Option<SocketAddr> {
        let state = self.state();
        state.listeners.get(&id.0)?.socket.address()
    }

    /// Closes the app's listening sockets and all its connections, at once.
    pub fn close_app(&self, app: AppId, handler: &impl Handler) {
        let slots = {
            let mut state = self.state();
            state.listeners.retain(|_, listener| listener.app != app);
            state.quiet.push(app);
            state.table.slots()
        };
        for slot in slots {
            let mut state = self.state();
            let State { table, behaviors, .. } = &mut *state;
            let is_ours = table.at(slot).is_some_and(|connection| behaviors.app_of(connection) == app);
            drop(state);
            if is_ours {
                self.guard(slot, handler, || self.drop_connection(slot, handler));
            }
        }
    }

    /// How much there is.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats { connections: state.table.len(), websockets: state.websockets, listeners: state.listeners.len() }
    }

    /// Whether there is anything for the sake of which a process should go on.
    pub fn is_active(&self) -> bool {
        let state = self.state();
        state.table.len() > 0 || !state.listeners.is_empty()
    }

    /// Runs what the reactor is called for while a handler is running: some addons make it possible for one to run the
    /// thread's event loop. Connections whose events are under way wait until that is over, and slots of those that have
    /// gone are not used again, because somebody further out may still tell of them.
    pub fn nested<R>(&self, run: impl FnOnce() -> R) -> R {
        let outer = self.is_nested.replace(true);
        let result = run();
        self.is_nested.set(outer);
        result
    }

    /// Handles what the kernel has to tell, without waiting. To be called when the poll's descriptor is readable.
    pub fn turn(&self, now: Instant, handler: &impl Handler) -> io::Result<()> {
        self.take_events(now, handler)?;
        self.pump(now, handler);
        Ok(())
    }

    /// Handles a batch of events; tells whether there may be more.
    fn take_events(&self, now: Instant, handler: &impl Handler) -> io::Result<bool> {
        // A nested turn has its own, and leaves them to the outer one.
        let mut events = self.events.take().unwrap_or_else(|| Events::with_capacity(EVENTS));
        self.tell_time(now);
        if !self.is_nested.get() {
            self.state().table.recycle();
        }
        let polled = retry(|| self.poll.borrow_mut().poll(&mut events, Some(Duration::ZERO)));
        if polled.is_ok() {
            for event in &events {
                let token = event.token().0;
                let slot = token as u32;
                if token & LISTENER != 0 {
                    self.accept((token & !LISTENER) as u32);
                    self.tell_counted(handler);
                } else if !self.state().put_off(slot) {
                    self.guard(slot, handler, || self.handle_event(slot, event, handler));
                }
            }
        }
        let is_full = events.iter().count() == EVENTS;
        self.events.set(Some(events));
        polled.map(|()| is_full)
    }

    /// Sends what was written outside of events, and goes on reading where a response has been completed. To be called
    /// before the thread goes to sleep.
    pub fn pump(&self, now: Instant, handler: &impl Handler) {
        self.tell_time(now);
        let mut busy = Vec::new();
        loop {
            let mut state = self.state();
            let Some(slot) = state.resumed.pop() else { break };
            if state.busy.contains(&slot) {
                busy.push(slot);
                continue;
            }
            drop(state);
            self.guard(slot, handler, || self.resume(slot, handler));
        }
        self.state().resumed.append(&mut busy);
        loop {
            let doomed = self.state().doomed.pop();
            let Some(id) = doomed else { break };
            self.guard(id.slot, handler, || _ = self.close(id, handler));
        }
        self.tell_counted(handler);
        self.deliver_published(handler);
        let mut state = self.state();
        while let Some(slot) = state.dirty.pop() {
            state.flush(slot);
        }
        state.forget_settled();
        if std::mem::take(&mut state.descriptor_freed) {
            self.wake_starved_listeners(&mut state);
        }
    }

    /// Handles the deadlines that have passed. To be called at [`Reactor::next_deadline`].
    ///
    /// What has arrived is handled first: if the thread was busy for long, a peer may look silent that is not.
    pub fn expire(&self, now: Instant, handler: &impl Handler) -> io::Result<()> {
        while self.take_events(now, handler)? {}
        self.handle_expired(handler);
        self.handle_leaving(handler);
        self.state().rest_silent();
        self.wake_starved_listeners(&mut self.state());
        self.pump(now, handler);
        Ok(())
    }

    /// When [`Reactor::expire`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let state = self.state();
        let retry = state.listeners.values().any(|listener| listener.starved).then(|| state.now + STARVED_RETRY);
        let tick = retry.into_iter().chain(state.wheel.next_expiry()).chain(state.keyed.next()).min();
        let tick = tick.map(|tick| self.epoch + Duration::from_secs(tick.into()));
        tick.into_iter().chain(state.leaving.front().map(|(deadline, _)| *deadline)).min()
    }

    /// Whether [`Reactor::pump`] has something to do.
    pub fn has_work(&self) -> bool {
        let state = self.state();
        let is_idle = state.dirty.is_empty()
            && state.resumed.is_empty()
            && state.doomed.is_empty()
            && state.counted.is_empty()
            && state.undelivered.is_empty()
            && state.dropped.is_empty();
        !is_idle
    }

    /// Gathers what is written to a connection until [`Reactor::uncork`]; gives what that is to be told.
    pub fn cork(&self, id: ConnectionId) -> Result<Option<u32>, Stale> {
        let mut state = self.state();
        state.table.get(id)?;
        Ok(state.corked.replace(id.slot))
    }

    /// Sends what has been gathered, unless there is an outer cork that goes on gathering. The connection may have gone
    /// meanwhile.
    pub fn uncork(&self, slot: u32, outer: Option<u32>) {
        let mut state = self.state();
        state.corked = outer;
        if outer != Some(slot) {
            state.flush(slot);
        }
    }

    /// Whether what is written to a connection is being gathered.
    pub fn is_corked(&self, id: ConnectionId) -> bool {
        self.state().corked == Some(id.slot)
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Makes the kernel tell again what it has to tell about a connection.
    pub(crate) fn rearm(&self, connection: &mut Connection, slot: u32) {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let poll = self.poll.borrow();
        if poll.registry().reregister(&mut connection.stream, Token(slot as usize), interest).is_err() {
            // For want of kernel memory; the deadline of the connection will end it.
            connection.flags.add(Flags::BROKEN);
        }
    }

    /// Removes a connection at once, and tells whoever knows it.
    pub(crate) fn drop_connection(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let Some(phase) = state.table.at(slot).map(|connection| connection.phase) else { return };
        match phase {
            Phase::WebSocket => {
                drop(state);
                self.lose_websocket(slot, CloseFrame::ABNORMAL, "", handler);
            }
            Phase::Response => {
                drop(state);
                self.lose_response(slot, handler);
            }
            Phase::Request | Phase::Closing => state.remove(slot),
        }
    }

    /// Where a connection comes from: its peer's address, `None` for a Unix socket.
    pub fn remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        Ok(self.state().table.get(id)?.stream.peer_addr().ok())
    }

    /// Where it comes from as the proxy in between says; `None` if none says anything.
    pub fn proxied_remote_address(&self, id: ConnectionId) -> Result<Option<SocketAddr>, Stale> {
        let mut state = self.state();
        let side = state.table.get(id)?.side.as_ref();
        Ok(side.and_then(|side| side.proxied.as_deref().copied()))
    }

    fn tell_counted(&self, handler: &impl Handler) {
        loop {
            // One at a time, for a handler that runs the loop has the next told before this returns.
            let Some((app, id, count)) = self.state().counted.pop_front() else { return };
            self.guard(id.slot, handler, || match count {
                Count::Up => handler.connected(self, app, id),
                Count::Down => handler.disconnected(self, app, id),
            });
        }
    }

    /// Tells the time that is noted of what is done with connections from now on, as all functions that take a time do.
    pub fn tell_time(&self, now: Instant) {
        let ticks = now.saturating_duration_since(self.epoch).as_secs();
        let mut state = self.state();
        state.now = Tick::try_from(ticks).unwrap_or(Tick::MAX / 2);
        state.clock = now;
    }

    /// Keeps a panic from anyone but the connection in whose event it happened.
    pub(crate) fn guard(&self, slot: u32, handler: &impl Handler, event: impl FnOnce()) {
        self.state().busy.push(slot);
        let done = catch_unwind(AssertUnwindSafe(event));
        self.state().busy.pop();
        self.make_up(slot);
        let Err(panic) = done else { return };
        // What is told about the end may be what panics; then the connection goes without a word.
        if catch_unwind(AssertUnwindSafe(|| self.drop_connection(slot, handler))).is_err() {
            self.state().remove(slot);
        }
        self.state().corked = None;
        handler.panicked(self, &panic_message(&*panic));
    }

    /// Has the kernel tell again what a nested turn has put off for a connection.
    fn make_up(&self, slot: u32) {
        let mut state = self.state();
        if let Some(index) = state.put_off.iter().position(|other| *other == slot)
            && !state.busy.contains(&slot)
        {
            state.put_off.swap_remove(index);
            if let Some(connection) = state.table.at(slot) {
                self.rearm(connection, slot);
            }
        }
    }

    fn handle_event(&self, slot: u32, event: &mio::event::Event, handler: &impl Handler) {
        if event.is_writable() {
            self.handle_writable(slot, handler);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let peer = if event.is_error() || event.is_write_closed() {
                Peer::Failed
            } else if event.is_read_closed() {
                Peer::Finished
            } else {
                Peer::Talking
            };
            self.handle_readable(slot, peer, handler);
        }
    }

    fn accept(&self, number: u32) {
        let mut state = self.state();
        let state = &mut *state;
        let poll = self.poll.borrow();
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = state.listeners.get_mut(&number) else { return };
            let mut stream = match listener.socket.accept() {
                Ok(stream) => stream,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS) => {
                        listener.starved = true;
                        state.descriptor_freed = false;
                        return;
                    }
                    _ if error.kind() == io::ErrorKind::WouldBlock => return,
                    // This connection has failed already (accept(2): ECONNABORTED, EPROTO and errors of the network);
                    // the next may be good.
                    _ => continue,
                },
            };
            // The slot must be known to register; it is vacant again if that fails.
            let app = listener.app;
            let slot = state.table.vacant_slot();
            if poll
                .registry()
                .register(&mut stream, Token(slot as usize), Interest::READABLE | Interest::WRITABLE)
                .is_ok()
            {
                let mut connection = Connection::new(stream, app, state.active_now());
                if state.apps.of(app).settings.proxy_protocol {
                    connection.flags.add(Flags::MAY_HAVE_PROXY_HEADER);
                }
                if state.apps.of(app).names.is_some() {
                    connection.flags.add(Flags::TLS | Flags::HANDSHAKE);
                    state.sessions.insert(slot);
                }
                let inserted = state.table.insert(connection);
                debug_assert_eq!(inserted, slot);
                state.note_connection(app);
                state.arm(slot);
                state.count(app, slot, Count::Up);
            }
        }
        // There may be more, of which the kernel would not tell again.
        let Some(listener) = state.listeners.get_mut(&number) else { return };
        let _ = poll.registry().reregister(&mut listener.socket, Token(LISTENER | number as usize), Interest::READABLE);
    }

    fn wake_starved_listeners(&self, state: &mut State) {
        let poll = self.poll.borrow();
        for (number, listener) in state.listeners.iter_mut().filter(|(_, listener)| listener.starved) {
            listener.starved = false;
            let token = Token(LISTENER | *number as usize);
            let _ = poll.registry().reregister(&mut listener.socket, token, Interest::READABLE);
        }
    }
}

/// What a panic says.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for Reactor {
    /// The descriptor that is readable when [`Reactor::turn`] has something to do.
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.poll.borrow().as_raw_fd()
    }
}
