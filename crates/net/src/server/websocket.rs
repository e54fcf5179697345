//! WebSockets: frames in, frames out, and the ways one ends.

use std::fmt::{self, Write};
use std::rc::Rc;

use milliways_proto::topics::Change;
use milliways_proto::ws::{
    CloseFrame, Event, Limits, MAX_CONTROL_PAYLOAD, Opcode, Payload, Receiver, Step, Violation, encode_frame_header,
    write_frame, write_frame_header,
};

use crate::server::conversation::{Connection, Flags, Phase};
use crate::server::state::State;
use crate::transport::output::Output;
use crate::{BehaviorId, ConnectionId, Handler, Reactor, Stale, WebSocketSettings};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// It waits for the socket, behind what waited already or because the socket took a part only.
    Backpressure = 0,
    /// It is on its way.
    Sent = 1,
    /// More than `max_backpressure` was waiting already.
    Dropped = 2,
}

/// When our FIN follows a Close frame of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// With it, as the peer has broken the protocol. Messages that wait are dropped: the Close frame is to arrive, as soon as
    /// the frame is out that has begun to go out.
    AtOnce,
    /// With it, as the peer's has come before. What waits goes out first.
    Now,
    /// When the peer's has come (RFC 6455 section 7.1.1). Some clients throw away what they have not looked at yet when a
    /// connection ends before.
    AfterPeer,
}

/// What is received while the peer's Close frame is awaited. It is thrown away; a peer with longer messages gets our FIN.
const LAST_LIMITS: Limits = Limits { max_payload: 64 * 1024, compression: true };

/// Why a frame was not sent. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The WebSocket has closed.
    Stale,
    /// A message, or the first fragment of one, while the last fragment of another is still to come.
    Interrupts,
    /// A fragment that no first one came before.
    NoFirstFragment,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stale => "the WebSocket has closed",
            Self::Interrupts => "a message cannot be sent between the fragments of another",
            Self::NoFirstFragment => "a fragment needs a first one before it",
        })
    }
}

impl std::error::Error for SendError {}

impl From<Stale> for SendError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

/// Why a WebSocket was not ended. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndError {
    /// It has closed.
    Stale,
    /// A code that must not be sent (RFC 6455 section 7.4): 1000 to 1003, 1007 to 1014 and 3000 to 4999 may.
    InvalidCode(u16),
}

impl fmt::Display for EndError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => formatter.write_str("the WebSocket has closed"),
            Self::InvalidCode(code) => write!(formatter, "the close code {code} must not be sent"),
        }
    }
}

impl std::error::Error for EndError {}

impl From<Stale> for EndError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

/// The header of a frame with 126 to 65,535 bytes (RFC 6455 section 5.2).
const MEDIUM_HEADER: usize = 4;

impl Reactor {
    /// Sends a frame: a whole message or, unless `fin`, a fragment.
    ///
    /// What has been published to its topics before goes out before.
    ///
    /// Of a message whose first fragment was dropped the others are, and no other fragment ever is.
    pub fn send(&self, id: ConnectionId, opcode: Opcode, fin: bool, payload: &[u8]) -> Result<SendStatus, SendError> {
        let mut state = self.state();
        state.deliver_before(id.slot);
        if !state.admits(id, opcode, fin)? {
            return Ok(SendStatus::Dropped);
        }
        state.write_payload(id.slot, payload, |output| write_frame_header(output, opcode, fin, payload.len()), b"");
        state.end_message(id.slot, opcode, fin);
        state.send_status(id)
    }

    /// Sends a whole message as [`Reactor::send`] does, compressed if that was agreed on and the message is long enough.
    /// `message` is only called if it is not dropped.
    pub fn send_compressed<'m>(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        message: impl FnOnce() -> &'m [u8],
    ) -> Result<SendStatus, SendError> {
        let mut state = self.state();
        state.deliver_before(id.slot);
        if !state.admits(id, opcode, true)? {
            return Ok(SendStatus::Dropped);
        }
        let message = message();
        if state.is_compressed(id.slot, message.len()) {
            let frame = state.compress(id.slot, opcode, message);
            state.write(id.slot, |output| output.extend_from_slice(&frame));
        } else {
            let append_head = |output: &mut Vec<u8>| write_frame_header(output, opcode, true, message.len());
            state.write_payload(id.slot, message, append_head, b"");
        }
        state.send_status(id)
    }

    /// Sends a frame as [`Reactor::send`] does, whose bytes `append` appends, for those who can write them only once and
    /// don't know their number before. It must not shorten what is there.
    pub fn send_with(
        &self,
        id: ConnectionId,
        opcode: Opcode,
        fin: bool,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<SendStatus, SendError> {
        let mut state = self.state();
        state.deliver_before(id.slot);
        if !state.admits(id, opcode, fin)? {
            return Ok(SendStatus::Dropped);
        }
        state.write(id.slot, |output| {
            let start = output.len();
            output.extend_from_slice(&[0; MEDIUM_HEADER]);
            append(output);
            let payload_len = output.len() - start - MEDIUM_HEADER;
            let (header, header_len) = encode_frame_header(opcode, fin, payload_len);
            let header = &header[..header_len];
            if header_len > MEDIUM_HEADER {
                output.splice(start..start + MEDIUM_HEADER, header.iter().copied());
                return;
            }
            // Almost every message is short, and moving a short one is cheaper than knowing its length first.
            output.copy_within(start + MEDIUM_HEADER.., start + header_len);
            output.truncate(start + header_len + payload_len);
            output[start..start + header_len].copy_from_slice(header);
        });
        state.end_message(id.slot, opcode, fin);
        state.send_status(id)
    }

    /// Stops reading: the peer is slowed down when the buffers between it and us are full. Meanwhile nothing is told of
    /// it, not even that it has finished, and the idle timeout does not run.
    pub fn pause_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut state = self.state();
        state.websocket(id)?.flags.add(Flags::PAUSED);
        state.arm(id.slot);
        Ok(())
    }

    /// Goes on reading.
    pub fn resume_websocket(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut state = self.state();
        let connection = state.websocket(id)?;
        if connection.flags.take(Flags::PAUSED) {
            connection.flags.take(Flags::PINGED);
            state.go_on_reading(id.slot);
        }
        Ok(())
    }

    /// Bytes that wait because the socket did not take them, and those that were lost with it until its end is told.
    pub fn buffered_amount(&self, id: ConnectionId) -> Result<usize, Stale> {
        Ok(self.state().websocket(id)?.unsent())
    }

    /// Whether a WebSocket is open; gives its behavior.
    pub fn check_websocket(&self, id: ConnectionId) -> Result<BehaviorId, Stale> {
        Ok(self.state().websocket(id)?.behavior())
    }

    /// Sends a Ping (RFC 6455 section 5.5.2), of its payload as much as a control frame can carry.
    pub fn ping(&self, id: ConnectionId, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.send(id, Opcode::Ping, true, &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)])
    }

    /// Closes with a Close frame, which without a code is empty. The handler's close event, with 0 for none, is delivered
    /// before this returns.
    pub fn end(
        &self,
        id: ConnectionId,
        code: Option<u16>,
        reason: &[u8],
        handler: &impl Handler,
    ) -> Result<(), EndError> {
        self.state().websocket(id)?;
        if let Some(code) = code.filter(|code| !CloseFrame::allows(*code)) {
            return Err(EndError::InvalidCode(code));
        }
        let code = code.unwrap_or_default();
        self.finish_websocket(id.slot, CloseFrame { code, reason }, Fin::AfterPeer, code, reason, handler);
        Ok(())
    }

    /// Closes the socket without a word to the peer. The handler's close event is delivered before this returns.
    pub fn close(&self, id: ConnectionId, handler: &impl Handler) -> Result<(), Stale> {
        self.state().websocket(id)?;
        self.lose_websocket(id.slot, CloseFrame::ABNORMAL, "", handler);
        Ok(())
    }

    /// Handles frames up to the first event; gives the number of bytes used.
    pub(crate) fn handle_frames(&self, slot: u32, bytes: &mut [u8], handler: &impl Handler) -> usize {
        let length = bytes.len();
        let mut state = self.state();
        let State { table, behaviors, pool, .. } = &mut *state;
        let id = table.id(slot);
        let Some(connection) = table.at(slot) else { return length };
        if connection.is_held_up() {
            connection.flags.add(Flags::UNREAD);
            pool.side_of(connection).input.extend_from_slice(bytes);
            return length;
        }
        let behavior = connection.behavior();
        let &WebSocketSettings { max_payload, max_text, .. } = &behaviors.get(behavior).settings;
        let limits = limits(max_payload, connection.flags.has(Flags::DEFLATE));
        let mut receiver = connection.take_receiver();
        let step = receiver.handle(bytes, limits);
        pool.keep_receiver(connection, receiver);
        let step = match step {
            Ok(step) => step,
            Err(violation) => {
                drop(state);
                self.refuse_message(slot, violation, handler);
                return length;
            }
        };
        drop(state);
        match step.event {
            None => {}
            Some(Event::Message { payload, binary, compressed: true }) => {
                let is_good = self.handle_compressed(id, payload, binary, handler);
                return if is_good { step.consumed } else { length };
            }
            // The machine's limit has room for what compressing may add.
            Some(Event::Message { payload, .. }) if payload.len() > max_payload => {
                self.refuse_message(slot, Violation::TooBig, handler);
                return length;
            }
            Some(Event::Message { mut payload, binary, .. }) => {
                if !binary && is_too_long(&mut payload, max_text) {
                    self.refuse_message(slot, Violation::TextTooLong, handler);
                    return length;
                }
                handler.message(self, behavior, id, payload, binary);
            }
            Some(Event::Ping(mut payload)) => {
                self.state().write_pong(slot, payload.bytes());
                handler.ping(self, behavior, id, payload);
            }
            Some(Event::Pong(payload)) => handler.pong(self, behavior, id, payload),
            Some(Event::Close(mut payload)) => {
                let frame = CloseFrame::parse(payload.bytes()).expect("the receiver has parsed it");
                let code = if frame.code == 0 { CloseFrame::NO_STATUS } else { frame.code };
                self.finish_websocket(slot, frame, Fin::Now, code, frame.reason, handler);
            }
        }
        step.consumed
    }

    /// Tells a message once it has been decompressed; false if that failed, and the connection with it.
    fn handle_compressed(
        &self,
        id: ConnectionId,
        mut payload: Payload<'_>,
        binary: bool,
        handler: &impl Handler,
    ) -> bool {
        let mut state = self.state();
        let State { table, behaviors, codecs, .. } = &mut *state;
        let Some(connection) = table.at(id.slot) else { return false };
        let behavior = connection.behavior();
        let &WebSocketSettings { max_payload, max_text, .. } = &behaviors.get(behavior).settings;
        match codecs.inflate(connection.contexts(), payload.bytes(), max_payload, binary) {
            Ok(mut message) => {
                drop(state);
                let mut payload = Payload::Borrowed { bytes: &mut message, mask: [0; 4] };
                if !binary && is_too_long(&mut payload, max_text) {
                    self.refuse_message(id.slot, Violation::TextTooLong, handler);
                    return false;
                }
                handler.message(self, behavior, id, payload, binary);
                self.state().codecs.recycle(message);
                true
            }
            Err(violation) => {
                drop(state);
                self.refuse_message(id.slot, violation, handler);
                false
            }
        }
    }

    /// RFC 6455 section 7.1.7, Fail the WebSocket Connection.
    fn refuse_message(&self, slot: u32, violation: Violation, handler: &impl Handler) {
        let mut explanation = violation.to_string();
        if let Some(limits) = self.websocket_settings(slot) {
            match violation {
                Violation::TooBig | Violation::InflatedTooBig => {
                    let _ = write!(explanation, " of {} bytes", limits.max_payload);
                }
                Violation::TextTooLong => {
                    let _ = write!(explanation, " of {} UTF-16 code units", limits.max_text);
                }
                _ => {}
            }
        }
        let frame = CloseFrame { code: violation.close_code(), reason: explanation.as_bytes() };
        let reason = violation.reason().as_bytes();
        self.finish_websocket(slot, frame, Fin::AtOnce, CloseFrame::ABNORMAL, reason, handler);
    }

    fn websocket_settings(&self, slot: u32) -> Option<WebSocketSettings> {
        let mut state = self.state();
        let State { table, behaviors, .. } = &mut *state;
        table.at(slot).and_then(|connection| behaviors.settings_of(connection)).copied()
    }

    /// Ends a WebSocket that has been silent for too long; with a Close frame, unless the peer takes nothing either.
    pub(crate) fn end_silent(&self, slot: u32, handler: &impl Handler) {
        let reason = "WebSocket timed out from inactivity";
        let is_blocked = self.state().table.at(slot).is_some_and(|connection| connection.backpressure() > 0);
        if is_blocked {
            self.lose_websocket(slot, CloseFrame::ABNORMAL, reason, handler);
        } else {
            let timeout = self.websocket_settings(slot).map_or(0, |settings| settings.idle_timeout);
            let explanation = format!("nothing received for {timeout} seconds");
            let frame = CloseFrame { code: 1001, reason: explanation.as_bytes() };
            self.finish_websocket(slot, frame, Fin::Now, CloseFrame::ABNORMAL, reason.as_bytes(), handler);
        }
    }

    /// Sends a Close frame and lets the connection end by itself; tells the handler `code` and `reason`.
    pub(crate) fn finish_websocket(
        &self,
        slot: u32,
        frame: CloseFrame<'_>,
        fin: Fin,
        code: u16,
        reason: &[u8],
        handler: &impl Handler,
    ) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(behavior) = state.table.at(slot).map(|connection| connection.behavior()) else { return };
        state.deliver_before(slot);
        if fin == Fin::AtOnce
            && let Some(output) = state.blocked_output(slot)
        {
            output.drop_frames();
        }
        state.write(slot, |output| frame.write(output));
        if let Some(side) = state.table.at(slot).and_then(|connection| connection.side.as_mut()) {
            side.output.end_frames();
        }
        state.websockets -= 1;
        state.release_behavior(behavior);
        let left = state.leave_topics(slot);
        let receiver = state.table.at(slot).map(Connection::take_receiver).unwrap_or_default();
        state.begin_closing(slot);
        if fin == Fin::AfterPeer {
            state.await_close(slot, receiver);
        }
        drop(state);
        self.tell_end(behavior, id, left, code, reason, handler);
    }

    /// Handles frames that come when all is said: of interest is where the peer's Close frame ends. Gives the number of
    /// bytes used.
    pub(crate) fn handle_last_frames(&self, slot: u32, bytes: &mut [u8]) -> usize {
        let length = bytes.len();
        let mut state = self.state();
        let connection = state.table.at(slot).filter(|connection| connection.flags.has(Flags::AWAITS_CLOSE));
        let Some(connection) = connection else { return length };
        let mut receiver = connection.take_receiver();
        match receiver.handle(bytes, LAST_LIMITS) {
            Ok(Step { consumed, event }) if !matches!(event, Some(Event::Close(_))) => {
                state.await_close(slot, receiver);
                // A peer that is still taking what was sent before wants to know that we are there. Nothing follows our Close
                // frame.
                if let (Some(Event::Ping(mut payload)), Some(output)) = (event, state.blocked_output(slot)) {
                    output.push_pong(payload.bytes());
                }
                return consumed;
            }
            // It says no more, or nothing that can be understood.
            _ => {
                connection.flags.take(Flags::AWAITS_CLOSE);
                state.mark_dirty(slot);
            }
        }
        length
    }

    /// Drops the connection at once; tells the handler `code` and `reason`.
    pub(crate) fn lose_websocket(&self, slot: u32, code: u16, reason: &str, handler: &impl Handler) {
        let mut state = self.state();
        let id = state.table.id(slot);
        let Some(behavior) = state.table.at(slot).map(|connection| connection.behavior()) else { return };
        state.websockets -= 1;
        state.release_behavior(behavior);
        let left = state.leave_topics(slot);
        state.remove(slot);
        drop(state);
        self.tell_end(behavior, id, left, code, reason.as_bytes(), handler);
    }

    fn tell_end(
        &self,
        behavior: BehaviorId,
        id: ConnectionId,
        left: Vec<(Rc<[u8]>, Change)>,
        code: u16,
        reason: &[u8],
        handler: &impl Handler,
    ) {
        for (topic, change) in left {
            handler.unsubscribed(self, behavior, id, &topic, change);
        }
        handler.close(self, behavior, id, code, reason);
    }
}

/// What a message that cannot be compressed grows by is accepted; with the smallest memory zlib adds a twenty-fifth.
fn limits(max_payload: usize, compression: bool) -> Limits {
    let slack = if compression { max_payload / 16 + 64 } else { 0 };
    Limits { max_payload: max_payload.saturating_add(slack), compression }
}

/// Whether text has more than so many UTF-16 code units, of which there are no more than bytes.
fn is_too_long(text: &mut Payload<'_>, max: usize) -> bool {
    // Each character has one byte that is no continuation, 10xxxxxx, and those of four bytes, 11110xxx, are two units.
    let units = |bytes: &[u8]| {
        bytes.iter().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum::<usize>()
    };
    text.len() > max && units(text.bytes()) > max
}

impl State {
    /// Whether a message of that length goes out compressed.
    pub(crate) fn is_compressed(&mut self, slot: u32, length: usize) -> bool {
        let Self { table, behaviors, .. } = self;
        table.at(slot).filter(|connection| length > 0 && connection.flags.has(Flags::DEFLATE)).is_some_and(
            |connection| {
                let settings = behaviors.settings_of(connection);
                settings.is_some_and(|settings| length >= settings.compression_threshold)
            },
        )
    }

    /// Keeps a closing connection from sending its FIN; `receiver` is where the peer is in its messages.
    fn await_close(&mut self, slot: u32, receiver: Receiver) {
        let Some(connection) = self.table.at(slot) else { return };
        connection.flags.add(Flags::AWAITS_CLOSE);
        self.pool.keep_receiver(connection, receiver);
    }

    /// The frame of a message compressed for a connection. It has to be sent: its context knows the message from now on.
    pub(crate) fn compress(&mut self, slot: u32, opcode: Opcode, message: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let contexts = self.table.at(slot).and_then(Connection::contexts);
        self.codecs.write_frame(contexts, opcode, message, &mut frame);
        frame
    }

    pub(crate) fn websocket(&mut self, id: ConnectionId) -> Result<&mut Connection, Stale> {
        self.table.get(id).and_then(|connection| match connection.phase {
            Phase::WebSocket => Ok(connection),
            _ => Err(Stale),
        })
    }

    /// Whether a frame is to be sent, or dropped.
    fn admits(&mut self, id: ConnectionId, opcode: Opcode, fin: bool) -> Result<bool, SendError> {
        let flags = &mut self.websocket(id)?.flags;
        let is_begun = flags.has(Flags::SENDING_FRAGMENTS | Flags::DROPPING_FRAGMENTS);
        match opcode {
            Opcode::Continuation if !is_begun => return Err(SendError::NoFirstFragment),
            Opcode::Continuation => {
                let is_dropped = flags.has(Flags::DROPPING_FRAGMENTS);
                if fin {
                    flags.take(Flags::DROPPING_FRAGMENTS);
                }
                return Ok(!is_dropped);
            }
            Opcode::Text | Opcode::Binary if is_begun => return Err(SendError::Interrupts),
            _ => {}
        }
        let is_dropped = self.check_limit(id)?;
        if !fin {
            let flag = if is_dropped { Flags::DROPPING_FRAGMENTS } else { Flags::SENDING_FRAGMENTS };
            self.websocket(id)?.flags.add(flag);
        }
        Ok(!is_dropped)
    }

    /// After a frame: what had to wait for the end of its message goes out.
    fn end_message(&mut self, slot: u32, opcode: Opcode, fin: bool) {
        if opcode != Opcode::Continuation || !fin {
            return;
        }
        let Some(connection) = self.table.at(slot) else { return };
        connection.flags.take(Flags::SENDING_FRAGMENTS);
        if let Some(side) = &mut connection.side {
            let held = std::mem::take(&mut side.held);
            self.write(slot, |output| output.extend_from_slice(&held));
        }
    }

    /// Whether a message has to be dropped. It is only when *more* than the limit waits already, so that one message of
    /// any size can always be sent.
    pub(crate) fn check_limit(&mut self, id: ConnectionId) -> Result<bool, Stale> {
        let Self { table, behaviors, doomed, .. } = self;
        let connection = table.get(id)?;
        let settings = behaviors.settings_of(connection).ok_or(Stale)?;
        let waiting = connection.unsent() + connection.held();
        let is_over = settings.max_backpressure > 0 && waiting > settings.max_backpressure;
        if is_over && settings.close_on_backpressure_limit && !connection.flags.has(Flags::DOOMED) {
            connection.flags.add(Flags::DOOMED);
            doomed.push(id);
        }
        Ok(is_over)
    }

    /// Answers a Ping: ahead of what waits, so that a peer that is still taking a long message does not believe that we have
    /// gone. Of several Pings the newest is answered (RFC 6455 section 5.5.3).
    fn write_pong(&mut self, slot: u32, payload: &[u8]) {
        match self.blocked_output(slot) {
            Some(output) => output.push_pong(payload),
            None => self.write(slot, |output| write_frame(output, Opcode::Pong, true, payload)),
        }
    }

    /// Sends a Ping, ahead of what waits.
    pub(crate) fn write_ping(&mut self, slot: u32) {
        match self.blocked_output(slot) {
            Some(output) => output.push_ping(),
            None => self.write(slot, |output| write_frame(output, Opcode::Ping, true, &[])),
        }
    }

    /// The output of a connection whose socket has refused some of it.
    fn blocked_output(&mut self, slot: u32) -> Option<&mut Output> {
        let connection = self.table.at(slot)?;
        if connection.backpressure() == 0 {
            return None;
        }
        Some(&mut connection.side.as_mut()?.output)
    }

    fn send_status(&mut self, id: ConnectionId) -> Result<SendStatus, SendError> {
        let keeps_up = self.table.get(id)?.keeps_up();
        Ok(if keeps_up { SendStatus::Sent } else { SendStatus::Backpressure })
    }
}
