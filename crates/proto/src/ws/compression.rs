//! Compression and decompression of messages with permessage-deflate (RFC 7692 section 7.2).
//!
//! Between two messages, a DEFLATE stream remembers the last bytes that went through it, its window (RFC 1951 section 2). A
//! connection keeps its windows and nothing else. The rest of a compressor and a decompressor, which is large, is shared by
//! all connections, and loads the window of the connection that uses it. bench/deflate measures what that costs and saves.

use std::collections::VecDeque;

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use super::{Agreement, Opcode, Violation, is_valid_utf8, mark_compressed, write_frame_header};

/// The bytes that a flush ends with and that are not sent (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// An empty block that is marked as the last one. A decompressor only takes it for one if it is between two blocks.
const LAST_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

/// How many blocks of a message may be marked as the last one and yet be followed by others (section 7.2.3.4 of RFC 7692 has
/// one).
const MAX_RESTARTS: usize = 16;

/// Messages of fewer bytes are compressed with [`LEVEL_SHORT`], whose code needs no tables and takes half of the time.
const SHORT: usize = 160;
const LEVEL_SHORT: i32 = 1;
/// The level of other messages. They are 3 % larger than with the usual 6, and take less than half of the time.
const LEVEL: i32 = 3;

/// How much of the window is loaded for a message, as a multiple of the message's length. Loading a large window for a short
/// message takes longer than compressing it.
const LOOK_BACK: usize = 16;
/// How many bytes of the window are loaded at least.
const MIN_LOOK_BACK: usize = 512;

const MIN_WINDOW: u8 = 9;
const MAX_WINDOW: u8 = 15;

/// The number of bytes by which the buffer of a message that is being decompressed grows at least.
const MIN_ROOM: usize = 256;

/// The number of bytes of a decompressor, which zconf.h of zlib states.
const INFLATE_MEMORY: usize = (1 << MAX_WINDOW) + 7 * 1024;

/// Returns the number of bytes of a compressor, which zconf.h of zlib states. The memory level is the default, 8.
fn deflate_memory(window_bits: u8) -> usize {
    const MEMORY_LEVEL: u8 = 8;

    (1 << (window_bits + 2)) + (1 << (MEMORY_LEVEL + 9)) + 6 * 1024
}

/// The number of bytes of scratch memory that are kept at most.
const KEPT: usize = 64 * 1024;

/// The compressors and the decompressor that all connections share.
#[derive(Default)]
pub struct Codecs {
    /// One for each number of window bits, the smallest first.
    deflaters: [Option<Deflater>; (MAX_WINDOW - MIN_WINDOW + 1) as usize],
    inflate: Option<Inflate>,
    /// The number of the next window.
    next_window: u64,
    /// Memory for one message while it is compressed or decompressed.
    scratch: Vec<u8>,
}

/// What a connection keeps. Most keep nothing.
pub struct Contexts {
    /// The window of messages to the peer; `None` if each is compressed independently.
    sent: Option<Window>,
    /// The window of messages from the peer; `None` if each is compressed independently.
    received: Option<Window>,
    /// How far back messages to the peer may refer: 2 to the power of this many bytes.
    window_bits: u8,
}

struct Deflater {
    deflate: Deflate,
    level: i32,
    /// The number of the window that is loaded.
    knows: Option<u64>,
}

/// The last bytes that were sent or received.
struct Window {
    number: u64,
    /// How many bytes are kept at most.
    size: usize,
    bytes: VecDeque<u8>,
}

impl Contexts {
    /// Returns whether messages have to be compressed for this connection alone, and in the order in which they are sent.
    pub fn compresses(&self) -> bool {
        self.sent.is_some() || self.window_bits != MAX_WINDOW
    }

    /// Returns the number of bytes that the windows have allocated.
    pub fn memory(&self) -> usize {
        self.sent.iter().chain(&self.received).map(|window| window.bytes.capacity()).sum()
    }
}

impl Codecs {
    /// Returns the number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        let deflaters = (MIN_WINDOW..=MAX_WINDOW).zip(&self.deflaters);
        let deflaters = deflaters.filter(|(_, deflater)| deflater.is_some()).map(|(bits, _)| deflate_memory(bits));
        let inflate = if self.inflate.is_some() { INFLATE_MEMORY } else { 0 };
        deflaters.sum::<usize>() + inflate + self.scratch.capacity()
    }

    /// Returns what a connection has to keep. `None` means nothing: every message is compressed independently, with the
    /// largest window.
    pub fn contexts(&mut self, agreement: Agreement) -> Option<Contexts> {
        let Agreement { server_context, server_window, client_context, .. } = agreement;
        if server_context.is_none() && client_context.is_none() && server_window == MAX_WINDOW {
            return None;
        }
        let mut window = |bits: u8| {
            self.next_window += 1;
            Window { number: self.next_window, size: 1 << bits, bytes: VecDeque::new() }
        };
        Some(Contexts {
            sent: server_context.map(&mut window),
            received: client_context.map(&mut window),
            window_bits: server_window,
        })
    }

    /// Appends a frame with the compressed message, which must not be empty.
    pub fn write_frame(
        &mut self,
        contexts: Option<&mut Contexts>,
        opcode: Opcode,
        message: &[u8],
        output: &mut Vec<u8>,
    ) {
        debug_assert!(!message.is_empty(), "an empty message is not compressed");
        let (window, bits) = match contexts {
            Some(contexts) => (contexts.sent.as_mut(), contexts.window_bits),
            None => (None, MAX_WINDOW),
        };
        let deflater = self.deflaters[usize::from(bits - MIN_WINDOW)].get_or_insert_with(|| Deflater::new(bits));
        self.scratch.clear();
        deflater.compress(window, message, &mut self.scratch);
        let start = output.len();
        write_frame_header(output, opcode, true, self.scratch.len());
        mark_compressed(&mut output[start..]);
        output.extend_from_slice(&self.scratch);
        self.scratch.clear();
        self.scratch.shrink_to(KEPT);
    }

    /// Decompresses a message. Returns an error if the result is longer than `max` bytes, and spends no memory on the rest of
    /// it. [`Codecs::recycle`] takes back the memory of the result.
    ///
    /// An empty payload, one that still has the bytes that its flush ended with, and one that ends with a block marked as the
    /// last one are not what RFC 7692 section 7.2.1 describes. They are accepted, as other implementations accept them,
    /// because they are unambiguous.
    pub fn inflate(
        &mut self,
        contexts: Option<&mut Contexts>,
        compressed: &[u8],
        max: usize,
        binary: bool,
    ) -> Result<Vec<u8>, Violation> {
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let window = contexts.and_then(|contexts| contexts.received.as_mut());
        let inflate = self.inflate.get_or_insert_with(|| Inflate::new(false, MAX_WINDOW));
        let mut inflating = Inflating { inflate, window: window.as_deref(), message: &mut message, max, restarts: 0 };
        if !compressed.is_empty() {
            inflating.restart()?;
            if !inflating.feed(compressed)? {
                // A flush without its tail ends with the first bits of an empty block, which are zeros. So a payload that ends
                // with 0xFF has kept the tail.
                if !compressed.ends_with(&TAIL) {
                    inflating.feed(&TAIL)?;
                }
                if !inflating.feed(&LAST_BLOCK)? {
                    return Err(Violation::InvalidDeflate);
                }
            }
        }
        if !binary && !is_valid_utf8(&message) {
            return Err(Violation::InvalidUtf8);
        }
        if let Some(window) = window {
            window.push(&message);
        }
        Ok(message)
    }

    /// Takes back the memory of a message, to be used again.
    pub fn recycle(&mut self, mut message: Vec<u8>) {
        message.clear();
        message.shrink_to(KEPT);
        self.scratch = message;
    }
}

impl Deflater {
    fn new(window_bits: u8) -> Self {
        Self { deflate: Deflate::new(LEVEL, false, window_bits), level: LEVEL, knows: None }
    }

    /// Appends the compressed message, without the tail that all would have in common.
    fn compress(&mut self, window: Option<&mut Window>, message: &[u8], output: &mut Vec<u8>) {
        // The window is only loaded for the first of several messages in a row to the same connection.
        let number = window.as_ref().map(|window| window.number);
        if number.is_none() || self.knows != number {
            self.deflate.reset();
            self.set_level(message);
            if let Some(window) = &window {
                for part in window.last(MIN_LOOK_BACK.max(LOOK_BACK * message.len())) {
                    self.deflate.set_dictionary(part).expect("between two messages");
                }
            }
        } else {
            self.set_level(message);
        }
        self.knows = number;
        self.append(message, output);
        if let Some(window) = window {
            window.push(message);
        }
    }

    fn set_level(&mut self, message: &[u8]) {
        let level = if message.len() < SHORT { LEVEL_SHORT } else { LEVEL };
        if level != self.level && self.deflate.set_level(level) == Ok(Status::Ok) {
            self.level = level;
        }
    }

    fn append(&mut self, message: &[u8], output: &mut Vec<u8>) {
        let mut rest = message;
        // An incompressible message grows by less than this.
        let mut room = message.len() + message.len() / 8 + 64;
        loop {
            let start = output.len();
            output.resize(start + room, 0);
            let before = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(rest, &mut output[start..], DeflateFlush::SyncFlush);
            debug_assert!(matches!(status, Ok(Status::Ok | Status::BufError)), "{status:?}");
            let written = (self.deflate.total_out() - before.1) as usize;
            rest = &rest[(self.deflate.total_in() - before.0) as usize..];
            output.truncate(start + written);
            // Everything has been written if there was more room than needed.
            if rest.is_empty() && written < room {
                break;
            }
            room = MIN_ROOM + rest.len();
        }
        debug_assert!(output.ends_with(&TAIL));
        output.truncate(output.len() - TAIL.len());
    }
}

/// A message that is being decompressed.
struct Inflating<'a> {
    inflate: &'a mut Inflate,
    window: Option<&'a Window>,
    message: &'a mut Vec<u8>,
    max: usize,
    restarts: usize,
}

impl Inflating<'_> {
    /// Begins a new stream that may refer to everything that came before.
    fn restart(&mut self) -> Result<(), Violation> {
        self.inflate.reset(false);
        let before = self.window.map(|window| window.last(window.size)).into_iter().flatten();
        for part in before.chain([self.message.as_slice()]) {
            self.inflate.set_dictionary(part).map_err(|_| Violation::InvalidDeflate)?;
        }
        Ok(())
    }

    /// Decompresses all of `rest`. Returns whether it ends with a block that is marked as the last one.
    fn feed(&mut self, mut rest: &[u8]) -> Result<bool, Violation> {
        let mut room = (4 * rest.len()).max(MIN_ROOM);
        loop {
            let start = self.message.len();
            // Room for one byte more than allowed shows whether the message is too long.
            let given = room.min(self.max + 1 - start);
            self.message.resize(start + given, 0);
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(rest, &mut self.message[start..], InflateFlush::SyncFlush);
            let used = (self.inflate.total_in() - before.0) as usize;
            let written = (self.inflate.total_out() - before.1) as usize;
            self.message.truncate(start + written);
            rest = &rest[used..];
            if self.message.len() > self.max {
                return Err(Violation::InflatedTooBig);
            }
            match status {
                Ok(Status::StreamEnd) if rest.is_empty() => return Ok(true),
                Ok(Status::StreamEnd) => {
                    self.restarts += 1;
                    if self.restarts > MAX_RESTARTS {
                        return Err(Violation::InvalidDeflate);
                    }
                    self.restart()?;
                }
                Ok(_) if rest.is_empty() && written < given => return Ok(false),
                // There is both input and room, and it makes no progress.
                Ok(_) if used == 0 && written == 0 => return Err(Violation::InvalidDeflate),
                Ok(_) => room *= 2,
                Err(_) => return Err(Violation::InvalidDeflate),
            }
        }
    }
}

impl Window {
    fn push(&mut self, message: &[u8]) {
        let message = &message[message.len().saturating_sub(self.size)..];
        let length = self.bytes.len() + message.len();
        self.bytes.drain(..length.saturating_sub(self.size));
        let length = length.min(self.size);
        if length > self.bytes.capacity() {
            self.bytes.reserve_exact(length.next_power_of_two() - self.bytes.len());
        }
        self.bytes.extend(message);
    }

    /// Returns the last bytes, `length` at most, in two parts.
    fn last(&self, length: usize) -> [&[u8]; 2] {
        let (first, second) = self.bytes.as_slices();
        let over = self.bytes.len().saturating_sub(length);
        [&first[over.min(first.len())..], &second[over.saturating_sub(first.len())..]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(length)
        .collect()
    }

    fn messages() -> Vec<Vec<u8>> {
        vec![
            b"x".to_vec(),
            b"Hello, Hello, Hello".to_vec(),
            vec![0; 100_000],
            noise(1),
            noise(100_000),
            br#"{"type":"quote","symbol":"ABC","bid":1.2345,"ask":1.2346}"#.repeat(100),
            br#"{"type":"quote","symbol":"ABC","bid":1.2345,"ask":1.2346}"#.to_vec(),
        ]
    }

    fn agreement(server: Option<u8>, client: Option<u8>) -> Agreement {
        let server_window = server.unwrap_or(MAX_WINDOW);
        let names_server_window = server_window < MAX_WINDOW;
        Agreement { server_context: server, server_window, names_server_window, client_context: client }
    }

    fn payload_of(frame: &[u8]) -> &[u8] {
        assert_eq!(frame[0], 0xC2);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        &frame[header..]
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut codecs = Codecs::default();
        for bits in [None].into_iter().chain((MIN_WINDOW..=MAX_WINDOW).map(Some)) {
            // Two connections take turns: what the shared parts know about one must not show in the other.
            let mut sides = [(); 2].map(|()| codecs.contexts(agreement(bits, None)));
            let mut peers = [(); 2].map(|()| codecs.contexts(agreement(None, bits)));
            for message in messages().iter().chain(&messages()) {
                for (side, peer) in sides.iter_mut().zip(&mut peers) {
                    for _ in 0..2 {
                        let mut frame = Vec::new();
                        codecs.write_frame(side.as_mut(), Opcode::Binary, message, &mut frame);
                        let back = codecs.inflate(peer.as_mut(), payload_of(&frame), message.len(), true);
                        assert!(back.as_ref() == Ok(message), "{bits:?} {}", message.len());
                    }
                }
            }
        }
    }

    #[test]
    fn what_came_before_makes_a_message_short_and_nothing_is_kept_beyond_the_window() {
        let mut codecs = Codecs::default();
        let message = &noise(200)[..];
        let mut length = |contexts: Option<&mut Contexts>| {
            let mut frame = Vec::new();
            codecs.write_frame(contexts, Opcode::Binary, message, &mut frame);
            frame.len()
        };
        assert!(length(None) > 200 && length(None) > 200);
        for bits in MIN_WINDOW..=MAX_WINDOW {
            let mut contexts = Codecs::default().contexts(agreement(Some(bits), None)).expect("contexts");
            assert!(length(Some(&mut contexts)) > 200);
            assert!(
                contexts.sent.as_ref().is_some_and(|window| window.bytes.capacity() <= 256),
                "no more than is there"
            );
            // A message to another connection comes in between.
            assert!(length(None) > 200);
            assert!(length(Some(&mut contexts)) < 20);
            assert!(length(Some(&mut contexts)) < 20);
            let window = contexts.sent.as_mut().expect("a window");
            for _ in 0..500 {
                window.push(message);
            }
            window.push(&noise(100_000));
            assert_eq!((window.bytes.len(), window.bytes.capacity()), (1 << bits, 1 << bits));
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit_and_takes_no_more_memory() {
        let mut codecs = Codecs::default();
        let mut frame = Vec::new();
        codecs.write_frame(None, Opcode::Binary, &vec![0; 10_000_000], &mut frame);
        let payload = payload_of(&frame);
        for max in [0, 1, 1000, 100_000] {
            codecs.scratch = Vec::new();
            let mut message = Vec::new();
            let mut inflate = Inflate::new(false, MAX_WINDOW);
            let mut inflating =
                Inflating { inflate: &mut inflate, window: None, message: &mut message, max, restarts: 0 };
            assert_eq!(inflating.feed(payload), Err(Violation::InflatedTooBig));
            assert!(message.len() == max + 1 && message.capacity() <= 4 * max + 4 * payload.len() + MIN_ROOM);
            assert_eq!(codecs.inflate(None, payload, max, true), Err(Violation::InflatedTooBig));
        }
    }

    #[test]
    fn what_is_no_deflate_data_is_an_error() {
        let mut codecs = Codecs::default();
        let text = b"some text that is long enough, is it".repeat(10);
        let mut frame = Vec::new();
        codecs.write_frame(None, Opcode::Binary, &text, &mut frame);
        let payload = payload_of(&frame).to_vec();
        let mut inflate = |bytes: &[u8]| codecs.inflate(None, bytes, 1000, true);
        assert_eq!(inflate(&payload).as_ref(), Ok(&text));
        for length in 1..payload.len() {
            assert_eq!(inflate(&payload[..length]), Err(Violation::InvalidDeflate), "{length}");
        }
        assert_eq!(inflate(&[0xFF; 10]), Err(Violation::InvalidDeflate));
        // The second message refers to the first one, which is not in this context.
        let mut contexts = Codecs::default().contexts(agreement(Some(15), None)).expect("contexts");
        let mut frames = [Vec::new(), Vec::new()];
        for frame in &mut frames {
            Codecs::default().write_frame(Some(&mut contexts), Opcode::Binary, &text, frame);
        }
        assert_eq!(inflate(payload_of(&frames[1])), Err(Violation::InvalidDeflate));
    }

    #[test]
    fn a_message_may_end_with_a_block_that_is_the_last_and_others_may_follow() {
        // RFC 7692 section 7.2.3.4.
        let hello = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
        let mut codecs = Codecs::default();
        assert_eq!(codecs.inflate(None, &hello, 5, false), Ok(b"Hello".to_vec()));
        let mut contexts = codecs.contexts(agreement(None, Some(15)));
        assert_eq!(codecs.inflate(contexts.as_mut(), &hello, 5, false), Ok(b"Hello".to_vec()));
        // Section 7.2.3.2: the second message refers to the first one.
        let again = [0xF2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(codecs.inflate(contexts.as_mut(), &again, 5, false), Ok(b"Hello".to_vec()));
        assert_eq!(codecs.inflate(None, &again, 5, false), Err(Violation::InvalidDeflate));
        // Blocks marked as the last one follow each other, and two in the third refer back.
        let last = [&hello[..7], &hello[..7], &again[..]].concat();
        assert_eq!(codecs.inflate(contexts.as_mut(), &last, 100, false), Ok(b"HelloHelloHello".to_vec()));
        // Each of them takes more time than its length suggests.
        let many = [&hello[..7].repeat(MAX_RESTARTS), &hello[..]].concat();
        assert_eq!(codecs.inflate(None, &many, 1000, false), Err(Violation::InvalidDeflate));
    }

    #[test]
    fn what_has_kept_the_end_of_its_flush_is_taken_and_so_is_nothing() {
        for context in [None, Some(9), Some(15)] {
            for max in [0, 200_000] {
                let mut contexts = Codecs::default().contexts(agreement(None, context));
                assert_eq!(Codecs::default().inflate(contexts.as_mut(), b"", max, false), Ok(Vec::new()));
            }
            let (mut server, mut client) = (Codecs::default(), Codecs::default());
            let mut sent = server.contexts(agreement(context, None));
            let mut received = client.contexts(agreement(None, context));
            for message in messages().iter().chain(&messages()) {
                for kept in [true, false] {
                    let mut frame = Vec::new();
                    server.write_frame(sent.as_mut(), Opcode::Binary, message, &mut frame);
                    let mut payload = payload_of(&frame).to_vec();
                    if kept {
                        payload.extend(TAIL);
                    }
                    let back = client.inflate(received.as_mut(), &payload, message.len(), true);
                    assert!(back.as_ref() == Ok(message), "{context:?} {kept} {}", message.len());
                    assert_eq!(client.inflate(received.as_mut(), b"", 0, true), Ok(Vec::new()));
                }
                if message.len() > 1 {
                    let mut frame = Vec::new();
                    Codecs::default().write_frame(None, Opcode::Binary, message, &mut frame);
                    let cut = &[payload_of(&frame), &TAIL[..]].concat()[..payload_of(&frame).len() + 3];
                    let max = message.len();
                    assert_eq!(Codecs::default().inflate(None, cut, max, true), Err(Violation::InvalidDeflate));
                }
            }
        }
        // An empty message that has kept all of its flush, and one whose stored bytes look like the tail of a flush.
        let mut codecs = Codecs::default();
        assert_eq!(codecs.inflate(None, b"\0\0\0\xff\xff", 10, false), Ok(Vec::new()));
        assert_eq!(codecs.inflate(None, b"\0", 10, false), Ok(Vec::new()));
        let stored = b"\x01\x04\0\xfb\xff\0\0\xff\xff";
        assert_eq!(codecs.inflate(None, stored, 10, true), Ok(TAIL.to_vec()));
        assert_eq!(codecs.inflate(None, &[&stored[..], b"\0"].concat(), 10, true), Ok(TAIL.to_vec()));
    }

    #[test]
    fn text_is_checked_once_it_is_decompressed() {
        let mut codecs = Codecs::default();
        let mut frame = Vec::new();
        codecs.write_frame(None, Opcode::Binary, &[0xFF; 100], &mut frame);
        let payload = payload_of(&frame).to_vec();
        assert_eq!(codecs.inflate(None, &payload, 100, true), Ok(vec![0xFF; 100]));
        assert_eq!(codecs.inflate(None, &payload, 100, false), Err(Violation::InvalidUtf8));
    }
}
