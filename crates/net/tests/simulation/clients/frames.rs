//! Frames as a client sends and sees them (RFC 6455 section 5).

use super::{Client, View};
use crate::content::Content;
use crate::events::short;
use crate::model::{Connection, Phase, Reason};
use crate::sockets::content_of;
use crate::websocket::{Heard, Owed, Socket, What};
use crate::world::{World, ensure};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;
/// The message is compressed (RFC 7692 section 6).
const RSV1: u8 = 0x40;

/// Frames that a client receives.
pub(super) struct Frames {
    /// A frame that is not complete.
    partial: Vec<u8>,
    /// A message that is not complete.
    message: Option<Begun>,
    /// The Close frame has come.
    is_closed: bool,
}

/// The fragments of a message so far.
struct Begun {
    binary: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
}

/// A frame without a mask.
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { partial: Vec::new(), message: None, is_closed: false }
    }

    /// Takes the next frame that is complete.
    fn next(&mut self) -> Option<Frame> {
        let bytes = &self.partial;
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (header, length) = match second {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            length => (2, u64::from(length)),
        };
        let end = header + length as usize;
        if bytes.len() < end {
            return None;
        }
        let payload = bytes[header..end].to_vec();
        self.partial.drain(..end);
        Some(Frame { first, payload })
    }

    /// The connection has ended, with a FIN if it is `in_order`.
    pub(super) fn end(&self, world: &World, which: usize, in_order: bool) {
        world.check_end(which, in_order);
        let mut model = world.model();
        let it = &mut model.all[which];
        if world.may_lose(it) || matches!(it.ending, Some((Reason::Cut, _))) {
            return;
        }
        let Some(socket) = &it.socket else { return };
        if let Some(ended) = socket.ended.as_ref().filter(|ended| ended.is_in_order) {
            ensure!(world, self.is_closed, "client {which} was not sent {ended:?}");
        }
    }
}

/// What a client says.
impl Client {
    pub(super) fn speak_frames(&mut self, world: &World) {
        let what = world.below(30);
        let is_rude = !self.manner.is_faithful;
        match what {
            _ if self.is_in_message.is_some() => self.say_next_fragment(world),
            0..=17 => self.say_message(world),
            18..=20 => self.say_first_fragment(world),
            21..=24 => self.say_ping(world),
            25 if world.once_in(3) => self.say_close(world),
            26 if is_rude && world.once_in(3) => self.say_violation(world),
            27 if is_rude && world.once_in(6) => self.finish(),
            _ => {}
        }
    }

    fn say_frame(&mut self, world: &World, first: u8, payload: &[u8]) {
        let key = if world.once_in(10) { [0; 4] } else { (world.random().next() as u32).to_be_bytes() };
        let output = &mut self.said;
        output.push(first);
        match payload.len() {
            length @ 0..126 => output.push(0x80 | length as u8),
            length @ 126..65_536 => {
                output.push(0x80 | 0x7e);
                output.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                output.push(0x80 | 0x7f);
                output.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        output.extend_from_slice(&key);
        output.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    /// Returns the greatest length of a message that the server takes.
    fn max_payload(&self, world: &World) -> usize {
        world.model().all[self.which].socket.as_ref().map_or(0, |socket| socket.settings.max_payload)
    }

    fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn say_message(&mut self, world: &World) {
        let max = self.max_payload(world);
        let length = world.random().length().min(max);
        let length = Content::whole(length).min(max);
        let binary = world.once_in(2) || !length.is_multiple_of(2) || length == max;
        let number = self.next_number();
        let bytes = Content::new('m', self.which, number).bytes(0, length);
        let opcode = if binary { BINARY } else { TEXT };
        match &mut self.contexts {
            Some(contexts) if length > 0 && world.once_in(2) => {
                let compressed = contexts.deflate(&bytes);
                let first = world.below(compressed.len() + 1);
                if world.once_in(2) {
                    self.say_frame(world, RSV1 | opcode, &compressed[..first]);
                    self.say_frame(world, FIN | CONTINUATION, &compressed[first..]);
                } else {
                    self.say_frame(world, FIN | RSV1 | opcode, &compressed);
                }
            }
            _ => self.say_frame(world, FIN | opcode, &bytes),
        }
        self.hear_later(world, Heard::Message { number, length, binary });
    }

    fn say_first_fragment(&mut self, world: &World) {
        let number = self.next_number();
        let binary = world.once_in(2);
        let length = world.random().length().min(self.max_payload(world) / 4);
        let bytes = Content::new('m', self.which, number).bytes(0, length);
        self.say_frame(world, if binary { BINARY } else { TEXT }, &bytes);
        self.is_in_message = Some((number, length, binary));
    }

    pub(crate) fn say_next_fragment(&mut self, world: &World) {
        let Some((number, start, binary)) = self.is_in_message else { return };
        if world.once_in(4) {
            self.say_ping(world);
        }
        let max = self.max_payload(world);
        let mut end = start + world.random().length().min(max / 8);
        // One more fragment might be too much for the limit.
        let is_last = world.once_in(2) || world.is_quiet.get() || end + max / 8 >= max;
        if is_last {
            end = Content::whole(end);
        }
        let bytes = Content::new('m', self.which, number).bytes(start, end - start);
        self.say_frame(world, CONTINUATION | if is_last { FIN } else { 0 }, &bytes);
        self.is_in_message = (!is_last).then_some((number, end, binary));
        if is_last {
            self.hear_later(world, Heard::Message { number, length: end, binary });
        }
    }

    fn say_ping(&mut self, world: &World) {
        let number = self.next_number();
        // It has its whole label, so that its Pong is not mistaken for another one.
        let length = 16 + world.below(110);
        let bytes = Content::new('i', self.which, number).bytes(0, length);
        self.say_frame(world, FIN | PING, &bytes);
        self.hear_later(world, Heard::Ping { number, length });
    }

    /// Begins to end in order.
    pub(crate) fn say_close(&mut self, world: &World) {
        let code = [0, 1000, 1001, 4999][world.below(4)];
        let reason: &[u8] = if code > 0 && world.once_in(2) { b"as it likes" } else { b"" };
        self.hear_later(world, Heard::Close { code, reason: reason.to_vec() });
        self.send_close(world, code, reason);
    }

    fn send_close(&mut self, world: &World, code: u16, reason: &[u8]) {
        let mut payload = Vec::new();
        if code > 0 {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(reason);
        }
        self.say_frame(world, FIN | CLOSE, &payload);
        self.has_sent_close = true;
        self.is_done = true;
    }

    fn say_violation(&mut self, world: &World) {
        let code = match world.below(4) {
            0 => {
                self.say_frame(world, FIN | CONTINUATION, b"nothing to continue");
                1002
            }
            1 => {
                self.say_frame(world, FIN | TEXT, b"\xFF\xFE");
                1007
            }
            2 => {
                let length = self.max_payload(world) + 1;
                self.say_frame(world, FIN | BINARY, &vec![0; length]);
                1009
            }
            _ => {
                self.say_frame(world, FIN | 0x3, b"");
                1002
            }
        };
        self.hear_later(world, Heard::Violation(code));
        self.is_done = true;
        world.model().all[self.which].is_invalid = true;
    }
}

/// What a client sees.
impl Client {
    pub(super) fn see_frames(&mut self, world: &World, bytes: &[u8]) {
        let View::WebSocket(frames) = &mut self.view else { return };
        frames.partial.extend_from_slice(bytes);
        while let View::WebSocket(frames) = &mut self.view
            && let Some(frame) = frames.next()
        {
            self.see_frame(world, frame);
        }
    }

    fn see_frame(&mut self, world: &World, Frame { first, payload }: Frame) {
        let which = self.which;
        let View::WebSocket(frames) = &mut self.view else { return };
        ensure!(world, !frames.is_closed, "client {which} sees {first:#x} after the Close frame");
        let (fin, opcode) = (first & FIN != 0, first & !FIN & !RSV1);
        let is_compressed = first & RSV1 != 0;
        ensure!(world, !is_compressed || matches!(opcode, TEXT | BINARY), "client {which} sees {first:#x}");
        match opcode {
            PING => self.see_ping(world, &payload),
            PONG => see_pong(world, which, &payload),
            CLOSE => {
                frames.is_closed = true;
                self.see_close(world, &payload);
            }
            TEXT | BINARY | CONTINUATION => {
                let mut message = match (opcode, frames.message.take()) {
                    (CONTINUATION, Some(begun)) => begun,
                    (TEXT | BINARY, None) => Begun { binary: opcode == BINARY, is_compressed, bytes: Vec::new() },
                    _ => world.fail(&format!("client {which} sees {first:#x} at the wrong place")),
                };
                message.bytes.extend_from_slice(&payload);
                if fin {
                    self.see_message(world, message);
                } else {
                    frames.message = Some(message);
                }
            }
            _ => world.fail(&format!("client {which} sees {first:#x}")),
        }
    }

    fn see_message(&mut self, world: &World, Begun { binary, is_compressed, mut bytes }: Begun) {
        if is_compressed {
            let inflated = self.contexts.as_mut().and_then(|contexts| contexts.inflate(&bytes));
            bytes = inflated.unwrap_or_else(|| world.fail(&format!("client {} cannot decompress", self.which)));
        }
        see_owed(world, self.which, &bytes, What::Message { binary });
    }

    fn see_ping(&mut self, world: &World, payload: &[u8]) {
        // The reactor's own Pings are empty, and come between any two frames.
        if !payload.is_empty() {
            see_owed(world, self.which, payload, What::Ping);
        }
        if self.manner.answers_pings && !self.has_sent_close && !self.wants_to_finish && !self.is_over() {
            self.say_frame(world, FIN | PONG, payload);
            self.hear_later(world, Heard::Pong(payload.to_vec()));
        }
    }

    fn see_close(&mut self, world: &World, payload: &[u8]) {
        let which = self.which;
        let (code, reason) = match payload {
            [] => (0, &[][..]),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
            [_] => world.fail("a Close frame of one byte"),
        };
        world.log(|| format!("client {which} sees the Close frame {code} {}", reason.escape_ascii()));
        let mut model = world.model();
        let socket = socket_of(world, &mut model.all[which]);
        let expected = socket.ended.as_ref().and_then(|ended| ended.frame.clone());
        let is_in_order = socket.ended.as_ref().is_some_and(|ended| ended.is_in_order);
        let Some((expected, why)) = expected else { world.fail(&format!("client {which} sees {code}")) };
        ensure!(world, code == expected, "client {which} sees the code {code}, not {expected}");
        ensure!(world, !is_in_order || reason == why, "client {which} sees {}", reason.escape_ascii());
        // No handler is called for a publication that was dropped just before the end.
        let drops = socket.settings.max_backpressure > 0;
        let must_come = |owed: &&Owed| owed.is_complete && !(drops && matches!(owed.what, What::Publication { .. }));
        let left = socket.to_client.iter().chain(&socket.missing).find(must_come);
        ensure!(world, left.is_none() || !is_in_order, "client {which} was not sent {left:?}");
        drop(model);
        if !self.has_sent_close && !self.wants_to_finish && self.manner.answers_close {
            self.send_close(world, code, b"");
            self.finish();
        }
        self.is_done = true;
    }
}

fn socket_of<'s>(world: &World, it: &'s mut Connection) -> &'s mut Socket {
    it.socket.as_mut().unwrap_or_else(|| world.fail("frames before the WebSocket was opened"))
}

fn see_pong(world: &World, which: usize, payload: &[u8]) {
    let mut model = world.model();
    // If several wait, only the last one has to be answered, and it may overtake the others.
    let unanswered = &mut model.all[which].unanswered;
    let is_it = |(number, length): &(u32, usize)| Content::new('i', which, *number).bytes(0, *length) == payload;
    if let Some(index) = unanswered.iter().position(is_it) {
        unanswered.remove(index);
        return;
    }
    // Pings that come after our Close frame are answered as well, and no handler hears them.
    let it = &model.all[which];
    let is_it = |heard: &Heard| matches!(heard, Heard::Ping { number, length } if Content::new('i', which, *number).bytes(0, *length) == payload);
    let is_late = matches!(it.phase, Phase::Ending | Phase::Gone) && it.from_client.iter().any(is_it);
    ensure!(world, is_late, "client {which} sees the Pong {}", short(payload));
}

/// Compares what a client sees with what comes next.
fn see_owed(world: &World, which: usize, bytes: &[u8], seen: What) {
    world.log(|| format!("client {which} sees {}", short(bytes)));
    let mut model = world.model();
    let socket = socket_of(world, &mut model.all[which]);
    let is_it = |owed: &Owed| {
        let is_same = owed.what == seen
            || matches!((owed.what, seen), (What::Publication { binary: a }, What::Message { binary: b }) if a == b);
        is_same && owed.length == bytes.len() && owed.is_complete && owed.content.is_at(0, bytes)
    };
    if let Some(content) = content_of(bytes).filter(|content| content.kind == 'q') {
        let is_owed = socket.take_from_afar(content, bytes.len());
        ensure!(world, is_owed, "client {which} sees {} again, or at the wrong time", short(bytes));
        return;
    }
    while let Some(owed) = socket.to_client.pop_front() {
        if is_it(&owed) {
            return;
        }
        // It may have been dropped, and the handler of that may be called later.
        let may_miss = matches!(owed.what, What::Publication { .. });
        ensure!(world, may_miss, "client {which} sees {} instead of {owed:?}", short(bytes));
        socket.missing.push(owed);
    }
    world.fail(&format!("client {which} sees {}, which nobody has sent", short(bytes)));
}
