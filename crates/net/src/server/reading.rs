//! Reading from connections, holding them up, and continuing when the client has taken what was written.

use milliways_proto::http::HttpError;
use milliways_tls::TlsConfig;

use super::Server;
use super::closing::End;
use super::conversation::{HttpFlag, Talk, WebSocketFlag};
use super::trap::Layer;
use crate::ids::{DomainId, Slot};
use crate::transport::{News, Read};

impl Server {
    /// Reads once.
    pub(crate) fn read(&mut self, slot: Slot, buffer: &mut [u8]) -> Read {
        let read = self.transport.read(slot, buffer);
        self.trap.pass(Layer::Read);
        match self.transport.take_news() {
            None => self.note_life(slot, &read),
            Some(news) if self.handle_news(slot, news) => return Read::Nothing,
            Some(_) => {}
        }
        read
    }

    /// Continues a TLS handshake with the certificate and the router for the server name that the client has asked for.
    pub(crate) fn choose(
        &mut self,
        slot: Slot,
        (config, domain): (&TlsConfig, DomainId),
        buffer: &mut [u8],
        is_drained: bool,
    ) -> Read {
        let read = self.transport.choose(slot, config, domain, buffer, is_drained);
        if let Some(news) = self.transport.take_news() {
            self.handle_news(slot, news);
        }
        read
    }

    /// Notes that the peer of a WebSocket lives. Bytes alone extend no other timeout: a head must be complete in time in
    /// however many pieces it arrives, a body must keep a pace, and a closing connection has no claim to anything.
    #[inline]
    fn note_life(&mut self, slot: Slot, read: &Read) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        if let Talk::WebSocket { flags, .. } = &mut conversation.talk
            && matches!(read, Read::Data { .. } | Read::Garbled { .. })
        {
            flags.take(WebSocketFlag::Pinged);
            conversation.last_active = now;
        }
    }

    /// Handles what a read has completed. Returns whether the connection has been ended for it.
    #[inline(never)]
    fn handle_news(&mut self, slot: Slot, news: News) -> bool {
        match news {
            News::Preface(preface) => self.refuse_source(slot, preface),
            News::Handshake => {
                self.trap.pass(Layer::Handshake);
                // The timeout of the protocol above begins.
                self.table[slot].last_active = self.clock.active();
                self.note_handshake(slot);
                self.arm(slot);
                false
            }
        }
    }

    /// Continues reading in another activity: has the kernel report the connection again if there is more to read.
    /// After a TLS peer's `close_notify`, the kernel reports nothing, so the connection ends at once unless it is held
    /// up.
    pub(crate) fn read_later(&mut self, slot: Slot) {
        if !self.transport.peer_has_closed(slot) {
            self.transport.rearm(slot);
        } else if self.is_held_up(slot) {
            self.table[slot].set_unread(true);
        } else {
            self.end(slot, End::Finished);
        }
    }

    /// Ends a connection that does not begin with a valid header of the PROXY protocol where there may be one.
    pub(crate) fn refuse_preface(&mut self, slot: Slot) {
        self.end(slot, End::Refused(HttpError::InvalidProxyHeader));
    }

    /// Returns whether the connection must not be read now. HTTP: the next request waits until the response before it
    /// is complete and the client has taken it. Only the rest of a body that a handler has asked for is read before
    /// that.
    #[inline]
    pub(crate) fn is_held_up(&self, slot: Slot) -> bool {
        match self.table[slot].talk {
            Talk::Http { responder: Some(_), flags } => flags.has(HttpFlag::Paused) || !self.has_room_for_body(slot),
            Talk::Http { responder: None, .. } => self.transport.backpressure(slot) > 0 && !self.has_body(slot),
            Talk::WebSocket { flags, .. } => flags.has(WebSocketFlag::Paused),
            Talk::Closing { .. } | Talk::Vacant | Talk::Gone => false,
        }
    }

    /// Returns whether the idle timeout applies, because the next step is the client's.
    pub(super) fn is_clients_turn(&self, slot: Slot) -> bool {
        match self.table[slot].talk {
            Talk::Http { responder: None, .. } => true,
            // A handler may take its time. The client may not.
            Talk::Http { responder: Some(_), flags } => {
                (self.has_body(slot) && !self.is_held_up(slot))
                    || self.is_unclaimed(slot)
                    || flags.has(HttpFlag::Stalled)
                    || self.transport.backpressure(slot) > 0
            }
            _ => false,
        }
    }

    /// Resumes reading a connection that was held up, and restarts its timeout.
    pub(super) fn go_on_reading(&mut self, slot: Slot) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        conversation.last_active = now;
        let owes_body = matches!(conversation.talk, Talk::Http { flags, .. } if flags.has(HttpFlag::OwesBody));
        if owes_body || conversation.is_unread() {
            self.resumed.push(slot);
        }
        self.arm(slot);
    }

    /// Returns the bytes that have been kept of a connection, followed by `bytes`; `None` if none have been kept.
    pub(crate) fn join(&mut self, slot: Slot, bytes: &[u8]) -> Option<Vec<u8>> {
        let side = self.sides.get_mut(self.table[slot].side)?;
        if side.input.is_empty() {
            return side.requests.join(bytes);
        }
        let mut all = std::mem::take(&mut side.input);
        all.extend_from_slice(bytes);
        Some(side.requests.join(&all).unwrap_or(all))
    }

    /// Keeps bytes that had been read before the connection was held up.
    pub(super) fn keep_unread(&mut self, slot: Slot, bytes: &[u8]) {
        let conversation = &mut self.table[slot];
        conversation.set_unread(true);
        self.sides.of(&mut conversation.side).input.extend_from_slice(bytes);
    }

    /// Returns whether bytes have been kept, which precede whatever is in the socket.
    pub(crate) fn has_kept(&self, slot: Slot) -> bool {
        self.sides.get(self.table[slot].side).is_some_and(|side| !side.input.is_empty())
    }

    /// Returns whether [`Server::handle_writable`] has something to do.
    #[inline]
    pub(crate) fn awaits_writable(&self, slot: Slot) -> bool {
        self.transport.backpressure(slot) > 0
            || matches!(self.table[slot].talk, Talk::Http { flags, .. } if flags.has(HttpFlag::Stalled))
    }

    /// Writes waiting output, because the socket is writable.
    pub(crate) fn handle_writable(&mut self, slot: Slot) {
        let is_stalled = match self.table[slot].talk {
            Talk::WebSocket { .. } => {
                self.offer_waiting(slot, true);
                return;
            }
            Talk::Http { flags, .. } => flags.has(HttpFlag::Stalled),
            Talk::Closing { .. } => false,
            Talk::Vacant | Talk::Gone => return,
        };
        let before = self.transport.backpressure(slot);
        if before > 0 {
            self.transport.flush_writable(slot);
        }
        if (before == 0 && is_stalled) || self.transport.backpressure(slot) < before {
            self.handle_taken(slot);
        }
    }

    /// Notes that the client has taken output that waited. Once it has taken all of it, whatever waited for that goes
    /// on.
    pub(super) fn handle_taken(&mut self, slot: Slot) {
        let now = self.clock.active();
        if self.transport.is_broken(slot) {
            return;
        }
        let conversation = &mut self.table[slot];
        conversation.note_progress(now);
        if self.transport.backpressure(slot) > 0 {
            return;
        }
        if conversation.is_answering() {
            return self.go_on_writing(slot);
        }
        if conversation.awaits_request() {
            // The timeout for the next request begins.
            conversation.last_active = now;
        }
        if conversation.is_unread() {
            self.resumed.push(slot);
        }
        self.arm(slot);
    }

    /// Notes a FIN that has arrived while the connection is held up. `has_read`: bytes have been read since the kernel
    /// reported the FIN.
    pub(crate) fn note_half_closed(&mut self, slot: Slot, has_read: bool) {
        let now = self.clock.active();
        if self.table[slot].awaits_request() {
            // The next request, which waits until the client has taken a response, needs to know.
            return self.table[slot].http().add(HttpFlag::HalfClosed);
        }
        if !self.table[slot].is_answering() || self.table[slot].http().has(HttpFlag::HalfClosed) {
            return;
        }
        // A FIN says that the client sends nothing more, not that it has gone (RFC 9293 section 3.6). Its request gets
        // a response unless the client turns out to be gone. If bytes have arrived with the FIN, or wait in front of
        // it, the client has sent a request and has merely finished sending.
        let is_leaving =
            !has_read && (!self.has_body(slot) || self.is_unclaimed(slot)) && !self.transport.has_unread(slot);
        self.table[slot].http().add(HttpFlag::HalfClosed);
        self.table[slot].last_active = now;
        if is_leaving {
            self.note_leaving(slot);
        }
        self.arm(slot);
    }
}
