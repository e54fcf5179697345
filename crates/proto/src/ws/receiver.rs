//! The receiving machine, beside [`Sender`](super::Sender): frames in, messages and control frames out.
//!
//! A connection between two messages has no state here: `Receiver` is one null pointer. An incomplete frame or message is
//! kept in a box, which exists only as long as there is something to keep.

use super::close::{CloseFrame, Violation};
use super::frame::{FrameHeader, MAX_FRAME_HEADER, Opcode};
use super::mask::{advance, unmask, unmask_into};
use super::utf8::{self, Utf8Stream};

/// What the peer sent.
#[derive(Debug)]
pub enum Event<'b> {
    /// A whole message. Text is valid UTF-8 unless it is compressed.
    Message {
        /// The message's bytes.
        payload: Payload<'b>,
        /// Whether the message is binary; otherwise it is text.
        binary: bool,
        /// Whether the message has to be decompressed (RFC 7692 section 6.2).
        compressed: bool,
    },
    /// A Ping, which has to be answered with a Pong that has the same payload (section 5.5.3).
    Ping(Payload<'b>),
    /// A Pong, solicited or not (section 5.5.3).
    Pong(Payload<'b>),
    /// A Close frame, after which nothing from the peer is to be read. [`CloseFrame::parse`] accepts its payload.
    Close(Payload<'b>),
}

/// The bytes of a message or control frame. They are unmasked when they are first looked at.
#[derive(Debug)]
pub enum Payload<'b> {
    /// Part of the input, still masked unless the key is zero.
    Borrowed {
        /// The bytes as they were received.
        bytes: &'b mut [u8],
        /// The masking key, in the order of its bytes in memory. As a number it is aligned, so that a payload can be moved word
        /// by word.
        mask: u32,
    },
    /// Bytes assembled from several reads or frames.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed { bytes, .. } => bytes.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Unmasks the bytes in place, unless that has been done, and returns them.
    pub fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Borrowed { bytes, mask } => {
                if *mask != 0 {
                    unmask(bytes, mask.to_ne_bytes());
                    *mask = 0;
                }
                bytes
            }
            Self::Owned(bytes) => bytes,
        }
    }

    /// Copies the bytes into `output`, which must have the same length, and unmasks them on the way.
    pub fn copy_into(&self, output: &mut [u8]) {
        match self {
            Self::Borrowed { bytes, mask: 0 } => output.copy_from_slice(bytes),
            Self::Borrowed { bytes, mask } => unmask_into(output, bytes, mask.to_ne_bytes()),
            Self::Owned(bytes) => output.copy_from_slice(bytes),
        }
    }
}

/// One step of the machine.
#[derive(Debug)]
pub struct Step<'b> {
    /// The number of input bytes that were used; they must not be passed again.
    pub consumed: usize,
    /// The event that those bytes completed. `None` means that all of the input was consumed and more is needed.
    pub event: Option<Event<'b>>,
}

/// What a connection accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The length in bytes of the longest message, as frames carry it: compressed, if it is.
    pub max_payload: usize,
    /// The number of fragments that a message may have. Each takes time, even if it is empty.
    pub max_fragments: u32,
    /// Whether messages may be compressed (RFC 7692).
    pub compression: bool,
}

/// What is kept for a connection between two reads.
#[derive(Debug, Default)]
pub struct Receiver {
    partial: Option<Box<Partial>>,
}

#[derive(Debug, Default)]
struct Partial {
    /// The beginning of an incomplete header.
    header: [u8; MAX_FRAME_HEADER],
    header_len: usize,
    /// The frame whose payload is incomplete. There is no incomplete header at the same time.
    frame: Option<Frame>,
    /// The message whose first frame has at least begun.
    message: Option<Message>,
    /// The payload of an incomplete control frame.
    control: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    compressed: bool,
    opcode: Opcode,
    /// The masking key, rotated to the next byte.
    mask: [u8; 4],
    /// The number of payload bytes to come; not zero for a frame that is kept.
    left: usize,
}

#[derive(Debug)]
struct Message {
    binary: bool,
    compressed: bool,
    bytes: Vec<u8>,
    /// The number of its frames whose header has been received.
    fragments: u32,
    /// Has validated all of `bytes` if the message is text and not compressed.
    text: Utf8Stream,
}

impl Receiver {
    /// Returns whether the connection is between two messages and nothing is kept.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Returns the number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = partial.message.as_ref().map_or(0, |message| message.bytes.capacity());
            size_of::<Partial>() + partial.control.capacity() + message
        })
    }

    /// Reads `input`, which continues the input before it, up to the end of an event or of the input. Bytes of the input are
    /// changed (unmasked).
    ///
    /// A message that is too long is refused as soon as a header announces it. The machine must not be used again after an
    /// error.
    pub fn handle<'b>(&mut self, input: &'b mut [u8], limits: Limits) -> Result<Step<'b>, Violation> {
        let mut position = 0;
        while position < input.len() {
            let frame = match self.partial.as_ref().and_then(|partial| partial.frame) {
                Some(frame) => frame,
                None => match self.handle_header(&input[position..], limits)? {
                    (used, None) => {
                        debug_assert_eq!(position + used, input.len());
                        break;
                    }
                    (used, Some(header)) => {
                        position += used;
                        self.check(&header, limits)?
                    }
                },
            };
            let available = frame.left.min(input.len() - position);
            let ends = available == frame.left;
            let stands_alone = self.partial.as_ref().is_none_or(|partial| {
                partial.frame.is_none() && (frame.opcode.is_control() || partial.message.is_none())
            });
            let start = position;
            position += available;
            if ends && stands_alone && (frame.fin || frame.opcode.is_control()) {
                let mask = u32::from_ne_bytes(frame.mask);
                let payload = Payload::Borrowed { bytes: &mut input[start..position], mask };
                return Ok(Step { consumed: position, event: Some(Event::new(frame, payload)?) });
            }
            if let Some(event) = self.handle_part(frame, &mut input[start..position])? {
                return Ok(Step { consumed: position, event: Some(event) });
            }
        }
        Ok(Step { consumed: input.len(), event: None })
    }

    /// Reads a header that may have begun in earlier input. Returns how many bytes of this input were used, and the header if
    /// it is complete.
    fn handle_header(&mut self, input: &[u8], limits: Limits) -> Result<(usize, Option<FrameHeader>), Violation> {
        let known = self.partial.as_ref().map_or(0, |partial| partial.header_len);
        if known == 0 {
            let header = FrameHeader::parse(input, limits.compression)?;
            if header.is_none() {
                let partial = self.partial.get_or_insert_default();
                partial.header[..input.len()].copy_from_slice(input);
                partial.header_len = input.len();
            }
            return Ok((header.map_or(input.len(), |header| header.header_len), header));
        }
        let partial = self.partial.as_mut().expect("it keeps the header");
        let more = input.len().min(MAX_FRAME_HEADER - known);
        partial.header[known..known + more].copy_from_slice(&input[..more]);
        let header = FrameHeader::parse(&partial.header[..known + more], limits.compression)?;
        let Some(header) = header else {
            partial.header_len = known + more;
            return Ok((more, None));
        };
        partial.header_len = 0;
        self.drop_partial_if_empty();
        Ok((header.header_len - known, Some(header)))
    }

    /// Checks a frame against the sequences that section 5.4 allows, and against the limit.
    fn check(&mut self, header: &FrameHeader, limits: Limits) -> Result<Frame, Violation> {
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        if !header.opcode.is_control() {
            match (&message, header.opcode) {
                (Some(message), Opcode::Continuation) if message.fragments >= limits.max_fragments => {
                    return Err(Violation::TooManyFragments);
                }
                (Some(_), Opcode::Continuation) => {}
                (Some(_), _) => return Err(Violation::Interrupts),
                (None, Opcode::Continuation) => return Err(Violation::NothingToContinue),
                (None, _) => {}
            }
            let so_far = message.as_ref().map_or(0, |message| message.bytes.len()) as u64;
            if so_far + header.payload_len > limits.max_payload as u64 {
                return Err(Violation::TooBig);
            }
            if let Some(message) = message {
                message.fragments += 1;
            }
        }
        let left = usize::try_from(header.payload_len).map_err(|_| Violation::TooBig)?;
        let FrameHeader { fin, compressed, opcode, mask, .. } = *header;
        Ok(Frame { fin, compressed, opcode, mask, left })
    }

    /// Handles the next bytes of a frame that is not a whole message in one piece of input.
    fn handle_part<'b>(&mut self, frame: Frame, bytes: &mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        let partial = self.partial.get_or_insert_default();
        unmask(bytes, frame.mask);
        if frame.opcode.is_control() {
            partial.control.extend_from_slice(bytes);
        } else {
            let message = partial.message.get_or_insert_with(|| Message {
                binary: frame.opcode == Opcode::Binary,
                compressed: frame.compressed,
                bytes: Vec::new(),
                fragments: 1,
                text: Utf8Stream::default(),
            });
            if !message.binary && !message.compressed {
                message.text.feed(bytes).map_err(|_| Violation::InvalidUtf8)?;
            }
            message.bytes.extend_from_slice(bytes);
        }
        let left = frame.left - bytes.len();
        if left > 0 {
            partial.frame = Some(Frame { mask: advance(frame.mask, bytes.len()), left, ..frame });
            return Ok(None);
        }
        partial.frame = None;
        if !frame.opcode.is_control() && !frame.fin {
            return Ok(None);
        }
        let event = if frame.opcode.is_control() {
            Event::new(frame, Payload::Owned(std::mem::take(&mut partial.control)))?
        } else {
            let mut message = partial.message.take().expect("it has just been added to");
            message.text.finish().map_err(|_| Violation::InvalidUtf8)?;
            Event::Message {
                payload: Payload::Owned(message.bytes),
                binary: message.binary,
                compressed: message.compressed,
            }
        };
        self.drop_partial_if_empty();
        Ok(Some(event))
    }

    fn drop_partial_if_empty(&mut self) {
        self.partial = self
            .partial
            .take()
            .filter(|partial| partial.header_len > 0 || partial.frame.is_some() || partial.message.is_some());
    }
}

impl<'b> Event<'b> {
    /// Returns the event for a frame that is a whole message, or for a control frame.
    fn new(frame: Frame, mut payload: Payload<'b>) -> Result<Self, Violation> {
        let compressed = frame.compressed;
        Ok(match frame.opcode {
            Opcode::Binary => Self::Message { payload, binary: true, compressed },
            Opcode::Text | Opcode::Continuation => {
                if !compressed && !utf8::is_valid(payload.bytes()) {
                    return Err(Violation::InvalidUtf8);
                }
                Self::Message { payload, binary: false, compressed }
            }
            Opcode::Ping => Self::Ping(payload),
            Opcode::Pong => Self::Pong(payload),
            Opcode::Close => {
                CloseFrame::parse(payload.bytes())?;
                Self::Close(payload)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::write_frame_header;

    const MAX: usize = 1000;
    const FRAGMENTS: u32 = 5;
    const LIMITS: Limits = Limits { max_payload: MAX, max_fragments: FRAGMENTS, compression: false };
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame_header(&mut bytes, Opcode::Binary, true, payload.len());
        // Set any opcode, and the MASK bit.
        bytes[0] = first;
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&MASK);
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], MASK);
        bytes
    }

    fn describe(event: Event<'_>) -> String {
        let (name, mut payload) = match event {
            Event::Message { payload, binary: true, compressed: false } => ("binary", payload),
            Event::Message { payload, binary: false, compressed: false } => ("text", payload),
            Event::Message { payload, binary, compressed: true } => {
                (if binary { "compressed binary" } else { "compressed text" }, payload)
            }
            Event::Ping(payload) => ("ping", payload),
            Event::Pong(payload) => ("pong", payload),
            Event::Close(payload) => ("close", payload),
        };
        let mut copy = vec![0; payload.len()];
        payload.copy_into(&mut copy);
        assert_eq!(copy, payload.bytes());
        format!("{name} {}", copy.escape_ascii())
    }

    fn feed(pieces: &[&[u8]]) -> Vec<String> {
        feed_with(LIMITS, pieces)
    }

    fn feed_with(limits: Limits, pieces: &[&[u8]]) -> Vec<String> {
        let mut receiver = Receiver::default();
        let mut seen = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            let mut position = 0;
            while position < piece.len() {
                match receiver.handle(&mut piece[position..], limits) {
                    Ok(step) => {
                        position += step.consumed;
                        assert!(step.event.is_some() || step.consumed > 0);
                        seen.extend(step.event.map(describe));
                    }
                    Err(violation) => {
                        seen.push(format!("{violation:?}"));
                        return seen;
                    }
                }
            }
        }
        seen.push(if receiver.is_idle() { "idle" } else { "partial" }.to_owned());
        seen
    }

    /// Returns the events of `input`, which must be the same whole, at every split in two, and byte by byte.
    fn events(input: &[u8]) -> Vec<String> {
        let whole = feed(&[input]);
        for split in 0..=input.len() {
            assert_eq!(feed(&[&input[..split], &input[split..]]), whole, "split at {split}");
        }
        assert_eq!(feed(&input.chunks(1).collect::<Vec<_>>()), whole);
        assert_eq!(feed(&input.chunks(3).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn messages_of_every_length_form() {
        for length in [0, 1, 125, 126, 127, 500] {
            let payload = vec![b'x'; length];
            let input = [frame(0x81, &payload), frame(0x82, &payload)].concat();
            let text = String::from_utf8(payload).expect("ASCII");
            assert_eq!(events(&input), [format!("text {text}"), format!("binary {text}"), "idle".into()]);
        }
    }

    #[test]
    fn fragments_with_control_frames_between_them() {
        let input = [
            frame(0x01, "aé".as_bytes()),
            frame(0x89, b"p1"),
            frame(0x00, b""),
            frame(0x8A, b""),
            frame(0x80, b"z"),
            frame(0x82, b"next"),
        ]
        .concat();
        assert_eq!(events(&input), ["ping p1", "pong ", "text a\\xc3\\xa9z", "binary next", "idle"]);
    }

    #[test]
    fn text_may_be_cut_inside_a_character_but_not_end_there() {
        let good = [frame(0x01, b"\xE2\x82"), frame(0x80, b"\xAC")].concat();
        assert_eq!(events(&good), ["text \\xe2\\x82\\xac", "idle"]);
        let bad = [frame(0x01, b"\xE2\x82"), frame(0x80, b"")].concat();
        assert_eq!(events(&bad), ["InvalidUtf8"]);
        assert_eq!(events(&frame(0x81, b"\xE2\x82")), ["InvalidUtf8"]);
        assert_eq!(events(&frame(0x82, b"\xE2\x82")), ["binary \\xe2\\x82", "idle"]);
    }

    #[test]
    fn bad_text_is_refused_before_its_message_ends() {
        assert_eq!(events(&frame(0x01, b"a\xFF")), ["InvalidUtf8"]);
        let input = frame(0x81, b"a\xFFbc");
        assert_eq!(feed(&[&input[..input.len() - 1]]), ["InvalidUtf8"]);
    }

    #[test]
    fn compressed_messages_where_that_was_agreed_on() {
        // These are not UTF-8: only what comes out of decompression has to be.
        let input =
            [frame(0xC1, b"\xFF1"), frame(0x41, b"\xFF"), frame(0x89, b"p"), frame(0x80, b"2"), frame(0xC2, b"3")];
        let input = input.concat();
        let limits = Limits { compression: true, ..LIMITS };
        let expected = ["compressed text \\xff1", "ping p", "compressed text \\xff2", "compressed binary 3", "idle"];
        assert_eq!(feed_with(limits, &[&input]), expected);
        for split in 0..=input.len() {
            assert_eq!(feed_with(limits, &[&input[..split], &input[split..]]), expected, "split at {split}");
        }
        assert_eq!(events(&frame(0xC1, b"x")), ["Compressed"]);
        let later = [frame(0x01, b"a"), frame(0xC0, b"b")].concat();
        assert_eq!(feed_with(limits, &[&later]), ["Compressed"]);
        assert_eq!(feed_with(limits, &[&frame(0xC9, b"")]), ["Compressed"]);
    }

    #[test]
    fn closing() {
        assert_eq!(events(&frame(0x88, b"")), ["close ", "idle"]);
        assert_eq!(events(&frame(0x88, b"\x03\xe8bye")), ["close \\x03\\xe8bye", "idle"]);
        assert_eq!(events(&frame(0x88, b"\x03\xee")), ["CloseCode(1006)"]);
    }

    #[test]
    fn sequences_that_are_forbidden() {
        assert_eq!(events(&frame(0x80, b"a")), ["NothingToContinue"]);
        assert_eq!(events(&[frame(0x01, b"a"), frame(0x81, b"b")].concat()), ["Interrupts"]);
        assert_eq!(events(&[frame(0x81, b"a"), frame(0x83, b"b")].concat()), ["text a", "ReservedOpcode(3)"]);
        assert_eq!(events(b"\x81\x01a"), ["Unmasked"]);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_header() {
        assert_eq!(events(&frame(0x82, &[0; MAX])).len(), 2);
        let over = frame(0x82, &[0; MAX + 1]);
        assert_eq!(feed(&[&over[..8]]), ["TooBig"]);
        let fragments = [frame(0x02, &[0; MAX - 1]), frame(0x00, b"a"), frame(0x80, b"b")].concat();
        assert_eq!(feed(&[&fragments]), ["TooBig"]);
        assert_eq!(feed(&[b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff1234"]), ["TooBig"]);
    }

    #[test]
    fn a_message_has_as_many_fragments_as_the_limit_allows() {
        let message = |fragments: u32| {
            let more = |number| frame(if number == fragments { 0x80 } else { 0x00 }, b"");
            [frame(0x02, b"")].into_iter().chain((2..=fragments).map(more)).collect::<Vec<_>>().concat()
        };
        let (most, over) = (message(FRAGMENTS), message(FRAGMENTS + 1));
        // Each message has the whole number, and control frames are none.
        let good = [&most[..], &frame(0x89, b"p"), &most[..]].concat();
        for split in 0..=good.len() {
            assert_eq!(feed(&[&good[..split], &good[split..]]), ["binary ", "ping p", "binary ", "idle"], "{split}");
        }
        for split in 0..=over.len() {
            assert_eq!(feed(&[&over[..split], &over[split..]]), ["TooManyFragments"], "{split}");
        }
    }

    #[test]
    fn an_announced_length_takes_no_memory_before_its_bytes_come() {
        let mut receiver = Receiver::default();
        let mut start = b"\x82\xff\x00\x00\x00\x00\x40\x00\x00\x001234abc".to_vec();
        let step = receiver.handle(&mut start, Limits { max_payload: 1 << 30, ..LIMITS }).expect("within the limit");
        assert!(step.event.is_none());
        let message = receiver.partial.expect("kept").message.expect("begun");
        assert!(message.bytes.capacity() < 100);
    }
}
