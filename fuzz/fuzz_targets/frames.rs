//! The receiving machine tells the same events however its input is split, and the ones that a plain reading of
//! RFC 6455 section 5 finds in all of it.

#![no_main]

mod pieces;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::ws::{CloseFrame, Event, Limits, Receiver, Violation};

use self::pieces::pieces;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max_payload: u8,
    compression: bool,
    /// Lengths of the pieces, over and over again.
    pieces: [u8; 4],
    parts: Vec<Part<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    /// A frame that is well formed but for its first byte.
    Frame {
        first: u8,
        mask: [u8; 4],
        payload: &'a [u8],
    },
    /// A frame of the kinds that good clients send.
    Good {
        kind: Kind,
        fin: bool,
        mask: [u8; 4],
        payload: &'a str,
    },
    Close {
        code: u16,
        mask: [u8; 4],
        reason: &'a str,
    },
    /// Random bytes seldom are long.
    Long {
        kind: Kind,
        fin: bool,
        mask: [u8; 4],
        character: char,
        count: u8,
    },
    /// Whatever it is.
    Raw(&'a [u8]),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Ping = 0x9,
    Pong = 0xA,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    CompressedText(Vec<u8>),
    CompressedBinary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
    /// What the close handler is told, which says what kind it is.
    Violation(&'static str),
    /// The end of the input, between two messages.
    Idle,
    /// The end of the input, anywhere else.
    Partial,
}

/// Few, so that messages often have more.
const MAX_FRAGMENTS: u32 = 3;

/// A message that has begun, at leisure.
struct Message {
    binary: bool,
    compressed: bool,
    bytes: Vec<u8>,
    fragments: u32,
}

fuzz_target!(|input: Input<'_>| {
    let max_payload = usize::from(input.max_payload) * 4;
    let limits = Limits { max_payload, max_fragments: MAX_FRAGMENTS, compression: input.compression };
    let bytes = input.parts.iter().map(bytes_of).collect::<Vec<_>>().concat();
    let expected = plain_reading(&bytes, limits);
    assert_eq!(feed([&bytes[..]].into_iter(), limits), expected);
    assert_eq!(feed(bytes.chunks(1), limits), expected);
    assert_eq!(feed(pieces(&bytes, &input.pieces), limits), expected);
});

fn bytes_of(part: &Part<'_>) -> Vec<u8> {
    match part {
        Part::Frame { first, mask, payload } => frame(*first, *mask, payload),
        Part::Good { kind, fin, mask, payload } => good_frame(*kind, *fin, *mask, payload.as_bytes()),
        Part::Close { code, mask, reason } => {
            // Codes near to those that are defined.
            let payload = [&(990 + code % 4100).to_be_bytes(), reason.as_bytes()].concat();
            frame(0x88, *mask, &payload[..payload.len().min(125)])
        }
        Part::Long { kind, fin, mask, character, count } => {
            good_frame(*kind, *fin, *mask, character.to_string().repeat((*count).into()).as_bytes())
        }
        Part::Raw(bytes) => bytes.to_vec(),
    }
}

fn good_frame(kind: Kind, fin: bool, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let is_control = kind as u8 & 0x8 != 0;
    let length = if is_control { payload.len().min(125) } else { payload.len() };
    frame(u8::from(fin || is_control) << 7 | kind as u8, mask, &payload[..length])
}

fn frame(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0xFE);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0xFF);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>, limits: Limits) -> Vec<Seen> {
    let mut receiver = Receiver::default();
    let mut seen = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let length = rest.len();
            let step = match receiver.handle(rest, limits) {
                Ok(step) => step,
                Err(violation) => {
                    seen.push(Seen::Violation(violation.reason()));
                    return seen;
                }
            };
            assert!(step.consumed > 0 && step.consumed <= length, "progress");
            assert!(step.event.is_some() || step.consumed == length, "no event, and input left");
            let consumed = step.consumed;
            if let Some(event) = step.event {
                seen.push(told(event));
                if let Some(Seen::Close(_)) = seen.last() {
                    return seen;
                }
            }
            rest = &mut rest[consumed..];
        }
    }
    seen.push(if receiver.is_idle() { Seen::Idle } else { Seen::Partial });
    seen
}

fn told(event: Event<'_>) -> Seen {
    let (make, mut payload): (fn(Vec<u8>) -> Seen, _) = match event {
        Event::Message { payload, binary: true, compressed: false } => (Seen::Binary, payload),
        Event::Message { payload, binary: false, compressed: false } => (Seen::Text, payload),
        Event::Message { payload, binary: true, compressed: true } => (Seen::CompressedBinary, payload),
        Event::Message { payload, binary: false, compressed: true } => (Seen::CompressedText, payload),
        Event::Ping(payload) => (Seen::Ping, payload),
        Event::Pong(payload) => (Seen::Pong, payload),
        Event::Close(payload) => (Seen::Close, payload),
    };
    assert_eq!(payload.is_empty(), payload.bytes().is_empty());
    let mut copy = vec![0; payload.len()];
    payload.copy_into(&mut copy);
    assert_eq!(copy, payload.bytes());
    // Once unmasked in place it stays so.
    assert_eq!(copy, payload.bytes());
    payload.copy_into(&mut copy);
    assert_eq!(copy, payload.bytes());
    make(copy)
}

/// The events in `bytes`, read at leisure.
fn plain_reading(bytes: &[u8], limits: Limits) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut message = None;
    let mut rest = bytes;
    loop {
        match next_frame(&mut rest, &mut message, limits) {
            Ok(Some(event)) => {
                let is_last = matches!(event, Seen::Close(_) | Seen::Idle | Seen::Partial);
                seen.push(event);
                if is_last {
                    return seen;
                }
            }
            Ok(None) => {}
            Err(violation) => {
                seen.push(Seen::Violation(violation.reason()));
                return seen;
            }
        }
    }
}

fn next_frame(rest: &mut &[u8], message: &mut Option<Message>, limits: Limits) -> Result<Option<Seen>, Violation> {
    if rest.is_empty() {
        return Ok(Some(if message.is_none() { Seen::Idle } else { Seen::Partial }));
    }
    let [first, second, after @ ..] = *rest else { return Ok(Some(Seen::Partial)) };
    let (fin, opcode, short) = (first & 0x80 != 0, first & 0x0F, usize::from(second & 0x7F));
    let is_control = opcode & 0x8 != 0;
    let compressed = first & 0x40 != 0;
    if first & 0x30 != 0
        || compressed && !(limits.compression && matches!(opcode, 0x1 | 0x2))
        || second & 0x80 == 0
        || !matches!(opcode, 0x0..=0x2 | 0x8..=0xA)
        || is_control && (!fin || short > 125)
    {
        return Err(Violation::ReservedBits);
    }
    let length_bytes = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if after.len() < length_bytes {
        return Ok(Some(Seen::Partial));
    }
    let (extended, after) = after.split_at(length_bytes);
    let length = match short {
        126 | 127 => extended.iter().fold(0_u128, |length, byte| length << 8 | u128::from(*byte)),
        _ => short as u128,
    };
    if length >= 1 << 63 || short == 126 && length < 126 || short == 127 && length < 1 << 16 {
        return Err(Violation::LengthNotMinimal);
    }
    let Some((mask, after)) = after.split_first_chunk::<4>() else { return Ok(Some(Seen::Partial)) };
    if !is_control {
        if message.is_some() != (opcode == 0) {
            return Err(Violation::Interrupts);
        }
        if message.as_ref().is_some_and(|message| message.fragments == limits.max_fragments) {
            return Err(Violation::TooManyFragments);
        }
        if message.as_ref().map_or(0, |message| message.bytes.len()) as u128 + length > limits.max_payload as u128 {
            return Err(Violation::TooBig);
        }
    }
    let available = usize::try_from(length).unwrap_or(usize::MAX).min(after.len());
    let is_complete = available as u128 == length;
    let payload: Vec<u8> = after[..available].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    *rest = &after[available..];
    if is_control {
        if !is_complete {
            return Ok(Some(Seen::Partial));
        }
        return Ok(Some(match opcode {
            0x9 => Seen::Ping(payload),
            0xA => Seen::Pong(payload),
            _ => {
                check_close(&payload)?;
                Seen::Close(payload)
            }
        }));
    }
    let new = || Message { binary: opcode == 0x2, compressed, bytes: Vec::new(), fragments: 0 };
    let so_far = message.get_or_insert_with(new);
    so_far.fragments += 1;
    so_far.bytes.extend(payload);
    let is_end = is_complete && fin;
    if !so_far.binary && !so_far.compressed {
        match std::str::from_utf8(&so_far.bytes) {
            Err(error) if is_end || error.error_len().is_some() => return Err(Violation::InvalidUtf8),
            _ => {}
        }
    }
    if !is_complete {
        return Ok(Some(Seen::Partial));
    }
    if !fin {
        return Ok(None);
    }
    Ok(message.take().map(|Message { binary, compressed, bytes, .. }| match (binary, compressed) {
        (true, false) => Seen::Binary(bytes),
        (false, false) => Seen::Text(bytes),
        (true, true) => Seen::CompressedBinary(bytes),
        (false, true) => Seen::CompressedText(bytes),
    }))
}

fn check_close(payload: &[u8]) -> Result<(), Violation> {
    let is_good = match payload {
        [] => true,
        [_] => false,
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let is_defined = (1000..=1014).contains(&code) && !matches!(code, 1004..=1006);
            (is_defined || (3000..5000).contains(&code)) && std::str::from_utf8(reason).is_ok()
        }
    };
    if !is_good {
        return Err(Violation::CloseOfOneByte);
    }
    // What was received can be sent back as it is.
    let frame = CloseFrame::parse(payload).expect("a good payload");
    let mut echo = Vec::new();
    frame.write(&mut echo);
    assert_eq!(echo[..2], [0x88, payload.len() as u8]);
    assert_eq!(&echo[2..], payload);
    Ok(())
}
