//! Reading from sockets, and which protocol gets the bytes.

use std::io::{self, Read};

use milliways_proto::ws::CloseFrame;

use crate::server::conversation::{Flags, Phase};
use crate::server::state::State;
use crate::transport::sys::retry;
use crate::{ConnectionId, Handler, Reactor};

/// Bytes read with one system call. All connections share the buffer, and only as much of it is touched as is read.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// How often a connection that has more is read before the others have their turn.
const READ_BUDGET: usize = 4;

/// What the kernel says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Talking,
    /// It has sent its FIN.
    Finished,
    /// The connection is gone.
    Failed,
}

/// What reading a socket gave.
enum Received {
    Bytes(usize),
    /// So many bytes of TLS, those included that a session has kept.
    Sealed(usize),
    /// There is nothing now, or it is not to be read now, or it has gone.
    Nothing,
    /// The peer has finished.
    Fin,
    /// The connection has gone while it was not to be read.
    Gone,
    Failed,
}

impl Reactor {
    pub(crate) fn handle_writable(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let Some(connection) = state.table.at(slot) else { return };
        if connection.phase == Phase::WebSocket {
            drop(state);
            self.offer_waiting(slot, true, handler);
            return;
        }
        let before = connection.backpressure();
        if before == 0 && !connection.flags.has(Flags::STALLED) {
            return;
        }
        if before > 0 {
            state.flush_writable(slot);
        }
        let is_stalled = before == 0;
        let has_taken = state.table.at(slot).is_some_and(|connection| connection.backpressure() < before);
        drop(state);
        if is_stalled || has_taken {
            self.handle_taken(slot, handler);
        }
    }

    /// HTTP: goes on where that waited for the client to take what was written, of which it has just taken some.
    pub(crate) fn handle_taken(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let (id, now) = (state.table.id(slot), state.active_now());
        let Some(connection) = state.table.at(slot) else { return };
        if connection.flags.has(Flags::BROKEN) {
            return;
        }
        connection.note_progress(now);
        if connection.backpressure() > 0 {
            return;
        }
        if connection.phase == Phase::Response {
            drop(state);
            return self.tell_writable(id, handler);
        }
        if connection.phase == Phase::Request {
            // Its time for the next request begins.
            connection.last_active = now;
        }
        if connection.flags.has(Flags::UNREAD) {
            state.resumed.push(slot);
        }
        state.arm(slot);
    }

    /// WebSocket: writes as much of what waits as the socket takes, and tells whether it took some. `is_heard`: then the peer
    /// is there. (A long message may keep our ping from reaching it in time.)
    pub(crate) fn offer_waiting(&self, slot: u32, is_heard: bool, handler: &impl Handler) -> bool {
        let mut state = self.state();
        let (id, now) = (state.table.id(slot), state.active_now());
        let Some(connection) = state.table.at(slot) else { return false };
        let before = connection.backpressure();
        if before == 0 {
            return false;
        }
        state.flush_writable(slot);
        let Some(connection) = state.table.at(slot) else { return true };
        if connection.flags.has(Flags::BROKEN) || connection.backpressure() == before {
            return false;
        }
        if is_heard {
            connection.last_active = now;
            connection.flags.take(Flags::PINGED);
        }
        let behavior = connection.behavior();
        drop(state);
        self.corked(slot, || handler.drain(self, behavior, id));
        true
    }

    /// Lets the handler of a response go on writing, if it wants to.
    pub(crate) fn tell_writable(&self, id: ConnectionId, handler: &impl Handler) {
        let mut state = self.state();
        let Ok(connection) = state.response(id) else { return };
        connection.flags.take(Flags::STALLED);
        let (flags, offset) = (connection.flags, connection.progress().map_or(0, |progress| progress.offset));
        if flags.has(Flags::HALF_CLOSED) {
            // The client has taken all that was there for it, so that it may wait for more, or have gone.
            state.arm(id.slot);
        }
        if flags.has(Flags::WANTS_WRITABLE) {
            drop(state);
            self.corked(id.slot, || handler.writable(self, id, offset));
        }
    }

    /// Reads until the socket has nothing more. When the peer has finished or failed, that is only seen by reading on
    /// after a short read.
    pub(crate) fn handle_readable(&self, slot: u32, peer: Peer, handler: &impl Handler) {
        let to_the_end = peer != Peer::Talking;
        let mut buffer = self.receive_buffer.take();
        if buffer.is_empty() {
            buffer = vec![0; RECEIVE_BUFFER];
        }
        self.corked(slot, || {
            let mut has_read = false;
            for _ in 0..READ_BUDGET {
                let received = self.read(slot, peer, has_read, &mut buffer);
                has_read = true;
                match received {
                    Received::Bytes(length) => {
                        self.handle_bytes(slot, &mut buffer[..length], handler);
                        // A short read has drained the socket; the kernel tells when there is more.
                        if length < buffer.len() && !to_the_end {
                            return;
                        }
                    }
                    Received::Sealed(length) => {
                        let has_closed = self.handle_sealed(slot, &mut buffer, length, handler);
                        if length < buffer.len() && !to_the_end && !has_closed {
                            return;
                        }
                    }
                    Received::Nothing => return,
                    Received::Fin | Received::Gone => return self.handle_fin(slot, handler),
                    Received::Failed => return self.drop_connection(slot, handler),
                }
            }
            self.read_later(slot, handler);
        });
        self.receive_buffer.set(buffer);
    }

    /// One read, unless the connection is held up. `has_read` says whether something has been read since the kernel told of
    /// what has become of the peer.
    fn read(&self, slot: u32, peer: Peer, has_read: bool, buffer: &mut [u8]) -> Received {
        let mut state = self.state();
        let now = state.active_now();
        let State { table, sessions, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return Received::Nothing };
        let session = if connection.flags.has(Flags::TLS) { sessions.at(slot) } else { None };
        let has_closed = session.as_ref().is_some_and(|session| session.peer_has_closed());
        let peer = if has_closed && peer == Peer::Talking { Peer::Finished } else { peer };
        if connection.is_held_up() {
            // The next request waits for its turn, in the kernel's buffer.
            connection.flags.add(Flags::UNREAD);
            match (connection.phase, peer) {
                (Phase::Response | Phase::WebSocket, Peer::Failed) => return Received::Gone,
                // A FIN says that the peer sends nothing more, not that it has gone (RFC 9293 section 3.6). Its request is
                // answered, unless it turns out that nobody is there.
                (Phase::Response, Peer::Finished) if !connection.flags.has(Flags::HALF_CLOSED) => {
                    // What has come with the FIN, or waits before it, is a request of somebody who only finishes. Of TLS a
                    // close_notify waits, in a record of up to 31 bytes.
                    let most = if connection.flags.has(Flags::TLS) { 31 } else { 0 };
                    let waits = || retry(|| connection.stream.peek(&mut [0; 32])).is_ok_and(|length| length > most);
                    let is_leaving = !has_read && (!connection.has_body() || connection.is_unclaimed()) && !waits();
                    connection.flags.add(Flags::HALF_CLOSED);
                    connection.last_active = now;
                    let id = state.table.id(slot);
                    if is_leaving {
                        state.note_leaving(id);
                    }
                    state.arm(slot);
                }
                // Noted for the request that waits behind a response which the client has yet to take.
                (Phase::Request, Peer::Finished) => connection.flags.add(Flags::HALF_CLOSED),
                _ => {}
            }
            return Received::Nothing;
        }
        if connection.phase == Phase::Request
            && peer != Peer::Failed
            && connection.flags.has(Flags::UNREAD)
            && connection.side.as_ref().is_some_and(|side| !side.input.is_empty())
        {
            // Requests that were put off come before whatever the socket has, its end included.
            state.resumed.push(slot);
            return Received::Nothing;
        }
        connection.flags.take(Flags::UNREAD);
        // What is behind the peer's last word is nothing to us.
        if has_closed {
            return Received::Fin;
        }
        let kept = session.as_ref().map_or(0, |session| session.copy_partial(buffer));
        match retry(|| connection.stream.read(&mut buffer[kept..])) {
            Ok(0) => Received::Fin,
            Ok(length) => {
                // A head has to be complete in time however many pieces it comes in, a body keeps a pace, and a closing
                // connection has no claim to anything.
                if connection.phase == Phase::WebSocket {
                    connection.last_active = now;
                    connection.flags.take(Flags::PINGED);
                }
                if session.is_some() { Received::Sealed(kept + length) } else { Received::Bytes(length) }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(_) => Received::Failed,
        }
    }

    /// Takes bytes to the protocol that the connection speaks at each point of them.
    pub(crate) fn handle_bytes(&self, slot: u32, bytes: &mut [u8], handler: &impl Handler) {
        let kept = {
            let mut state = self.state();
            let side = state.table.at(slot).and_then(|connection| connection.side.as_mut());
            side.map(|side| std::mem::take(&mut side.input)).unwrap_or_default()
        };
        if kept.is_empty() {
            return self.handle_input(slot, bytes, handler);
        }
        let mut all = kept;
        all.extend_from_slice(bytes);
        self.handle_input(slot, &mut all, handler);
    }

    fn handle_input(&self, slot: u32, mut bytes: &mut [u8], handler: &impl Handler) {
        while !bytes.is_empty() {
            let phase = self.state().table.at(slot).map(|connection| connection.phase);
            let used = match phase {
                Some(Phase::Request | Phase::Response) => self.handle_http(slot, bytes, handler),
                Some(Phase::WebSocket) => self.handle_frames(slot, bytes, handler),
                Some(Phase::Closing) => self.handle_last_frames(slot, bytes),
                None => return,
            };
            bytes = &mut bytes[used..];
        }
    }

    /// Reads on where that was put off until a response was done.
    pub(crate) fn resume(&self, slot: u32, handler: &impl Handler) {
        let id = self.state().table.id(slot);
        self.corked(slot, || {
            self.deliver_owed(id, handler);
            self.handle_bytes(slot, &mut [], handler);
        });
        let mut state = self.state();
        if let Some(connection) = state.table.at(slot)
            && !connection.is_held_up()
            && connection.flags.take(Flags::UNREAD)
        {
            drop(state);
            self.read_later(slot, handler);
        }
    }

    /// Has the kernel tell again what there is to read. Of a peer that has finished by TLS it has nothing to tell.
    fn read_later(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        let State { table, sessions, .. } = &mut *state;
        let Some(connection) = table.at(slot) else { return };
        let is_secure = connection.flags.has(Flags::TLS);
        if !is_secure || !sessions.at(slot).is_some_and(|session| session.peer_has_closed()) {
            self.rearm(connection, slot);
        } else if connection.is_held_up() {
            connection.flags.add(Flags::UNREAD);
        } else {
            drop(state);
            self.handle_fin(slot, handler);
        }
    }

    fn handle_fin(&self, slot: u32, handler: &impl Handler) {
        let mut state = self.state();
        // The peer may have finished as soon as it had asked, and still read the answers.
        state.flush(slot);
        let Some(connection) = state.table.at(slot) else { return };
        if connection.flags.has(Flags::BROKEN) {
            drop(state);
            return self.drop_connection(slot, handler);
        }
        if !connection.has_output() && connection.phase != Phase::Closing {
            state.say_goodbye(slot);
        }
        let Some(connection) = state.table.at(slot) else { return };
        match connection.phase {
            Phase::Request if connection.has_output() => {
                connection.flags.add(Flags::PEER_FINISHED);
                state.begin_closing(slot);
            }
            Phase::WebSocket => {
                drop(state);
                let reason = "Received TCP FIN before WebSocket close frame";
                self.lose_websocket(slot, CloseFrame::ABNORMAL, reason, handler);
            }
            Phase::Closing => {
                connection.flags.add(Flags::PEER_FINISHED);
                state.settle(slot);
            }
            Phase::Request | Phase::Response => {
                drop(state);
                self.drop_connection(slot, handler);
            }
        }
    }

    /// Gathers what `event` writes to the connection and sends it with one system call.
    pub(crate) fn corked(&self, slot: u32, event: impl FnOnce()) {
        let outer = self.state().corked.replace(slot);
        event();
        self.uncork(slot, outer);
    }
}
