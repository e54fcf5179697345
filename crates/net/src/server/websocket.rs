//! WebSockets: frames in and frames out.

use std::fmt;

use milliways_proto::ws::{
    Admission, CloseFrame, Event as Frame, Limits, MAX_CONTROL_PAYLOAD, Opcode, Payload, Receiver, Step, Violation,
    write_frame, write_frame_header, write_frame_with,
};

use super::Server;
use super::closing::End;
use super::conversation::{Talk, WebSocketFlag, WebSocketFlags};
use super::settings::{Behavior, WebSocketSettings};
use super::trap::Layer;
use crate::counters::{Cell, Limit, Meter};
use crate::event::Event;
use crate::ids::{BehaviorId, ConnectionId, Slot, Stale};
use crate::transport::output::Lane;

pub use milliways_proto::ws::SendError;

/// What has happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// It is waiting, because output was waiting already or the socket took only a part.
    Backpressure = 0,
    /// The socket has taken it, or will be offered it by the end of the turn.
    Sent = 1,
    /// It was dropped, because more than `max_backpressure` bytes were waiting already.
    Dropped = 2,
}

/// Limits for messages received while the peer's Close frame is awaited. They are discarded. If the peer exceeds the
/// limits, its Close frame is no longer awaited.
const LAST_LIMITS: Limits = Limits { max_payload: 64 * 1024, max_fragments: 16 * 1024, compression: true };

impl From<Stale> for SendError {
    fn from(Stale: Stale) -> Self {
        Self::Closed
    }
}

/// Why a WebSocket was not ended. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndError {
    /// The WebSocket has closed.
    Stale,
    /// The code must not be sent (RFC 6455 section 7.4). 1000 to 1003, 1007 to 1014 and 3000 to 4999 are allowed.
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

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn send(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        fin: bool,
        payload: &[u8],
    ) -> Result<SendStatus, SendError> {
        let (admission, behavior) = self.admit(id, opcode, fin)?;
        if admission == Admission::Drop {
            return Ok(self.note_dropped(id, opcode, || payload.into()));
        }
        count_sent(&self.behaviors.get(behavior).meter, opcode, fin, payload.len());
        let append_head = |output: &mut Vec<u8>| write_frame_header(output, opcode, fin, payload.len());
        self.transport.write_payload(id.slot, payload, append_head, b"");
        self.trap.pass(Layer::Send);
        Ok(self.finish_sending(id.slot, admission))
    }

    pub(crate) fn send_compressed<'m>(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        message: impl FnOnce() -> &'m [u8],
    ) -> Result<SendStatus, SendError> {
        let (admission, behavior) = self.admit(id, opcode, true)?;
        if admission == Admission::Drop {
            return Ok(self.note_dropped(id, opcode, || message().into()));
        }
        let message = message();
        count_sent(&self.behaviors.get(behavior).meter, opcode, true, message.len());
        if self.is_compressed(id.slot, message.len()) {
            let frame = self.compress(id.slot, opcode, message);
            self.transport.write(id.slot, |output| output.extend_from_slice(&frame));
        } else {
            let append_head = |output: &mut Vec<u8>| write_frame_header(output, opcode, true, message.len());
            self.transport.write_payload(id.slot, message, append_head, b"");
        }
        Ok(self.finish_sending(id.slot, admission))
    }

    pub(crate) fn send_with(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        fin: bool,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> Result<SendStatus, SendError> {
        let (admission, behavior) = self.admit(id, opcode, fin)?;
        if admission == Admission::Drop {
            return Ok(self.note_dropped(id, opcode, || {
                let mut message = Vec::new();
                append(&mut message);
                message.into()
            }));
        }
        let length = self.transport.write(id.slot, |output| write_frame_with(output, opcode, fin, append));
        count_sent(&self.behaviors.get(behavior).meter, opcode, fin, length);
        self.trap.pass(Layer::Send);
        Ok(self.finish_sending(id.slot, admission))
    }

    pub(crate) fn ping(&mut self, id: ConnectionId, payload: &[u8]) -> Result<SendStatus, SendError> {
        self.send(id, Opcode::Ping, true, &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)])
    }

    pub(crate) fn pause_websocket(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_websocket(id)?;
        self.table[id.slot].websocket().add(WebSocketFlag::Paused);
        self.arm(id.slot);
        Ok(())
    }

    pub(crate) fn resume_websocket(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_websocket(id)?;
        let flags = self.table[id.slot].websocket();
        if flags.take(WebSocketFlag::Paused) {
            flags.take(WebSocketFlag::Pinged);
            self.go_on_reading(id.slot);
        }
        Ok(())
    }

    pub(crate) fn buffered_amount(&mut self, id: ConnectionId) -> Result<usize, Stale> {
        self.check_websocket(id)?;
        Ok(self.transport.unsent(id.slot))
    }

    /// Returns the behavior of an open WebSocket.
    pub(crate) fn check_websocket(&mut self, id: ConnectionId) -> Result<BehaviorId, Stale> {
        self.table.get(id)?.open_behavior().ok_or(Stale)
    }

    pub(crate) fn end_in_order(&mut self, id: ConnectionId, code: Option<u16>, reason: &[u8]) -> Result<(), EndError> {
        self.check_websocket(id)?;
        if let Some(code) = code.filter(|code| !CloseFrame::allows(*code)) {
            return Err(EndError::InvalidCode(code));
        }
        // RFC 6455 section 5.5.1 requires it, and clients fail on anything else.
        let reason = String::from_utf8_lossy(reason);
        self.end(id.slot, End::Asked { code, reason: reason.as_bytes() });
        Ok(())
    }

    pub(crate) fn close(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_websocket(id)?;
        self.end(id.slot, End::Cut);
        Ok(())
    }
}

/// Received frames.
impl Server {
    /// Handles frames up to the first event. Returns the number of bytes that were consumed, and the event. A
    /// decompressed message is put into `inflated`.
    pub(crate) fn handle_frames<'b>(
        &mut self,
        slot: Slot,
        bytes: &'b mut [u8],
        inflated: &'b mut Vec<u8>,
    ) -> (usize, Option<Event<'b>>) {
        self.trap.pass(Layer::WebSocket);
        let length = bytes.len();
        let conversation = &self.table[slot];
        let Talk::WebSocket { sender, flags, .. } = conversation.talk else { return (length, None) };
        if flags.has(WebSocketFlag::Paused) {
            self.keep_unread(slot, bytes);
            return (length, None);
        }
        let (id, behavior, side) = (conversation.id(slot), conversation.behavior(), conversation.side);
        let settings = &self.behaviors.get(behavior).settings;
        let &WebSocketSettings { max_payload, max_text, .. } = settings;
        let limits = limits(settings, sender.has_compression());
        // Between two messages a receiver has no state.
        let mut new = Receiver::default();
        let receiver = self.sides.get_mut(side).map_or(&mut new, |side| &mut side.frames);
        let step = receiver.handle(bytes, limits);
        self.keep_receiver(slot, new);
        let Step { consumed, event } = match step {
            Ok(step) => step,
            Err(violation) => return self.refuse(slot, violation, length),
        };
        let event = match event {
            None => return (consumed, None),
            Some(Frame::Message { mut payload, binary, compressed: true }) => {
                let side = self.sides.get_mut(self.table[slot].side);
                let contexts = side.and_then(|side| side.contexts.as_deref_mut());
                match self.codecs.inflate(contexts, payload.bytes(), max_payload, binary) {
                    Ok(message) => *inflated = message,
                    Err(violation) => return self.refuse(slot, violation, length),
                }
                let payload = Payload::Borrowed { bytes: inflated, mask: 0 };
                let max = if binary { usize::MAX } else { max_text };
                match checked_text(payload, max) {
                    Ok(payload) => Event::Message { behavior, id, payload, binary },
                    Err(violation) => return self.refuse(slot, violation, length),
                }
            }
            // The limit of the receiver includes room for what compression may add.
            Some(Frame::Message { payload, .. }) if payload.len() > max_payload => {
                return self.refuse(slot, Violation::TooBig, length);
            }
            Some(Frame::Message { payload, binary: false, .. }) if payload.len() > max_text => {
                match checked_text(payload, max_text) {
                    Ok(payload) => Event::Message { behavior, id, payload, binary: false },
                    Err(violation) => return self.refuse(slot, violation, length),
                }
            }
            Some(Frame::Message { payload, binary, .. }) => Event::Message { behavior, id, payload, binary },
            Some(Frame::Ping(mut payload)) => {
                self.behaviors.get(behavior).meter.count(Cell::PingsReceived);
                self.write_pong(slot, payload.bytes());
                Event::Ping { behavior, id, payload }
            }
            Some(Frame::Pong(payload)) => {
                self.behaviors.get(behavior).meter.count(Cell::PongsReceived);
                Event::Pong { behavior, id, payload }
            }
            Some(Frame::Close(mut payload)) => {
                let frame = CloseFrame::parse(payload.bytes()).expect("the receiver has parsed it");
                self.end(slot, End::PeerClosed(frame));
                return (consumed, None);
            }
        };
        if let Event::Message { payload, .. } = &event {
            let meter = &self.behaviors.get(behavior).meter;
            meter.count(Cell::MessagesReceived);
            meter.add(Cell::BytesReceived, payload.len() as u64);
        }
        (consumed, Some(event))
    }

    /// Takes back the memory of a decompressed message.
    pub(crate) fn recycle(&mut self, message: Vec<u8>) {
        self.codecs.recycle(message);
    }

    fn refuse<'b>(&mut self, slot: Slot, violation: Violation, length: usize) -> (usize, Option<Event<'b>>) {
        self.end(slot, End::Violation(violation));
        (length, None)
    }

    /// Handles frames received after our Close frame, to find the peer's Close frame. Returns the number of bytes that
    /// were consumed.
    pub(crate) fn handle_last_frames(&mut self, slot: Slot, bytes: &mut [u8]) -> usize {
        let Talk::Closing { closing, .. } = self.table[slot].talk else { return bytes.len() };
        if !closing.awaits_close() {
            return bytes.len();
        }
        let length = bytes.len();
        let mut receiver = self.take_receiver(slot);
        if let Ok(Step { consumed, event }) = receiver.handle(bytes, LAST_LIMITS)
            && !matches!(event, Some(Frame::Close(_)))
        {
            self.keep_receiver(slot, receiver);
            // A peer that is still receiving earlier output may ping to find out whether we are there. Nothing may
            // follow our Close frame, so the Pong is sent only if it can go ahead of waiting output.
            if let Some(Frame::Ping(mut payload)) = event {
                self.transport.expedite_if_blocked(slot, Lane::Second, |output| {
                    write_frame(output, Opcode::Pong, true, payload.bytes());
                });
            }
            return consumed;
        }
        // The peer has sent its Close frame, or has violated the protocol and is not expected to send one.
        if let Talk::Closing { closing, .. } = &mut self.table[slot].talk {
            closing.handle_close_frame();
        }
        self.transport.touch(slot);
        length
    }

    /// Takes the receiver of a WebSocket, which has to be put back with [`Server::keep_receiver`].
    fn take_receiver(&mut self, slot: Slot) -> Receiver {
        let side = self.sides.get_mut(self.table[slot].side);
        side.map(|side| std::mem::take(&mut side.frames)).unwrap_or_default()
    }

    /// Puts the receiver of a WebSocket back. Between two messages it has no state and takes no memory.
    #[inline]
    fn keep_receiver(&mut self, slot: Slot, receiver: Receiver) {
        if !receiver.is_idle() {
            self.sides.of(&mut self.table[slot].side).frames = receiver;
        }
    }

    /// Offers waiting output to the socket of a WebSocket. If the socket takes some, queues [`Event::Drain`] and
    /// returns true. `is_heard`: whether that counts as a sign of life. (It does because a long message may keep our
    /// Ping from reaching the peer in time.)
    pub(super) fn offer_waiting(&mut self, slot: Slot, is_heard: bool) -> bool {
        let before = self.transport.backpressure(slot);
        if before == 0 {
            return false;
        }
        self.transport.flush_writable(slot);
        if self.transport.is_broken(slot) || self.transport.backpressure(slot) == before {
            return false;
        }
        let now = self.clock.active();
        let id = self.table.id(slot);
        let conversation = &mut self.table[slot];
        if is_heard {
            conversation.last_active = now;
            conversation.websocket().take(WebSocketFlag::Pinged);
        }
        let behavior = conversation.behavior();
        self.events.push(Event::Drain { behavior, id });
        true
    }
}

/// Sent frames.
impl Server {
    /// Decides whether a frame is sent or dropped. Earlier publications to the WebSocket's topics are delivered first.
    ///
    /// Returns the behavior as well, since it has been looked up.
    fn admit(&mut self, id: ConnectionId, opcode: Opcode, fin: bool) -> Result<(Admission, BehaviorId), SendError> {
        if self.has_published() {
            self.check_websocket(id)?;
            self.deliver_before(id.slot);
        }
        let Self { table, sides, transport, behaviors, doomed, .. } = self;
        let conversation = table.get(id)?;
        let (behavior, side) = (conversation.open_behavior().ok_or(Stale)?, conversation.side);
        let Talk::WebSocket { sender, flags, .. } = &mut conversation.talk else { return Err(SendError::Closed) };
        let admission = sender.admit(opcode, fin, || {
            let held = sides.get(side).map_or(0, |side| side.held.len());
            let waiting = transport.unsent(id.slot) + held;
            waiting > 0 && is_over_limit(behaviors.get(behavior), id.slot, waiting, flags, || doomed.push(id))
        })?;
        Ok((admission, behavior))
    }

    /// Completes the sending of a frame. The last fragment of a message is followed by what was held back for it.
    fn finish_sending(&mut self, slot: Slot, admission: Admission) -> SendStatus {
        if admission == Admission::SendLast
            && let Some(side) = self.sides.get_mut(self.table[slot].side)
        {
            let held = std::mem::take(&mut side.held);
            self.transport.write(slot, |output| output.extend_from_slice(&held));
            self.sides.reclaim(&mut self.table[slot].side);
        }
        if self.transport.keeps_up(slot) { SendStatus::Sent } else { SendStatus::Backpressure }
    }

    /// Counts a message or fragment that is not sent, and queues [`Event::Dropped`] if that event is wanted.
    fn note_dropped(
        &mut self,
        id: ConnectionId,
        opcode: Opcode,
        message: impl FnOnce() -> std::sync::Arc<[u8]>,
    ) -> SendStatus {
        let behavior = self.table[id.slot].behavior();
        let Behavior { meter, settings, .. } = self.behaviors.get(behavior);
        count_dropped(meter, Some(id.slot), 1);
        let is_told = !opcode.is_control() && settings.tells_dropped;
        if is_told && self.events.tells_dropped() {
            let binary = opcode == Opcode::Binary;
            self.events.push(Event::Dropped { behavior, id, message: message(), binary });
        }
        SendStatus::Dropped
    }

    /// Returns whether a message to a WebSocket has to be dropped, because too much is waiting already.
    pub(super) fn is_over_limit(&mut self, id: ConnectionId, behavior: BehaviorId) -> bool {
        let Self { table, sides, transport, behaviors, doomed, .. } = self;
        let conversation = &mut table[id.slot];
        let held = sides.get(conversation.side).map_or(0, |side| side.held.len());
        let waiting = transport.unsent(id.slot) + held;
        is_over_limit(behaviors.get(behavior), id.slot, waiting, conversation.websocket(), || doomed.push(id))
    }

    /// Returns whether a message of this length is compressed.
    pub(super) fn is_compressed(&mut self, slot: Slot, length: usize) -> bool {
        let sender = *self.table[slot].sender();
        let behavior = self.table[slot].behavior();
        sender.compresses(length, self.behaviors.get(behavior).settings.compression_threshold)
    }

    /// Compresses a message for a connection and returns its frame, which has to be sent: the connection's context
    /// contains the message from now on.
    pub(super) fn compress(&mut self, slot: Slot, opcode: Opcode, message: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let sender = *self.table[slot].sender();
        let side = self.sides.get_mut(self.table[slot].side);
        let contexts = side.and_then(|side| side.contexts.as_deref_mut());
        sender.write_compressed(&mut self.codecs, contexts, opcode, message, &mut frame);
        frame
    }

    /// Answers a Ping ahead of waiting output, so that a peer that is still receiving a long message does not consider
    /// us gone. Only the latest of several Pings has to be answered (RFC 6455 section 5.5.3).
    fn write_pong(&mut self, slot: Slot, payload: &[u8]) {
        self.transport.expedite(slot, Lane::Second, |output| write_frame(output, Opcode::Pong, true, payload));
    }
}

/// Counts a frame that is sent. A message counts once, with its last fragment.
#[inline]
fn count_sent(meter: &Meter, opcode: Opcode, fin: bool, length: usize) {
    if opcode.is_control() {
        return meter.count(Cell::PingsSent);
    }
    meter.add(Cell::MessagesSent, fin.into());
    meter.add(Cell::BytesSent, length as u64);
}

/// Counts messages or fragments that are not sent, because too much is waiting, to a connection if it is only one.
pub(super) fn count_dropped(meter: &Meter, slot: Option<Slot>, count: u64) {
    match slot {
        Some(slot) => meter.add_of(slot, Limit::Backpressure, count),
        None => meter.add(Limit::Backpressure, count),
    }
    meter.add(Cell::MessagesDropped, count);
}

/// Returns whether a message has to be dropped: if *more* than the limit is waiting already, so that one message of any
/// size can always be sent. `doom` is called once, for a WebSocket that has to be closed for that.
fn is_over_limit(
    Behavior { settings, meter, .. }: &Behavior,
    slot: Slot,
    waiting: usize,
    flags: &mut WebSocketFlags,
    doom: impl FnOnce(),
) -> bool {
    let is_over = settings.max_backpressure > 0 && waiting > settings.max_backpressure;
    if is_over && settings.close_on_backpressure_limit && !flags.has(WebSocketFlag::Doomed) {
        flags.add(WebSocketFlag::Doomed);
        meter.count_of(slot, Limit::CloseOnBackpressure);
        doom();
    }
    is_over
}

/// Returns the limits of the receiver. They leave room for a message that compression makes longer; zlib with the least
/// memory adds 4 %.
fn limits(&WebSocketSettings { max_payload, max_fragments, .. }: &WebSocketSettings, compression: bool) -> Limits {
    let slack = if compression { max_payload / 16 + 64 } else { 0 };
    Limits { max_payload: max_payload.saturating_add(slack), max_fragments, compression }
}

/// Returns text again unless it has more than `max` UTF-16 code units. It never has more of them than bytes.
#[inline(never)]
fn checked_text(mut text: Payload<'_>, max: usize) -> Result<Payload<'_>, Violation> {
    // Each character has one byte that is not a continuation byte (10xxxxxx). One that begins with 11110xxx takes two
    // units.
    let units = |bytes: &[u8]| {
        bytes.iter().map(|byte| usize::from(byte & 0xC0 != 0x80) + usize::from(*byte >= 0xF0)).sum::<usize>()
    };
    if text.len() > max && units(text.bytes()) > max { Err(Violation::TextTooLong) } else { Ok(text) }
}
