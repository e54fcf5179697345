//! Frames as a client sends them, made before they are needed.

use milliways_proto::ws::{Opcode, mark_compressed, unmask, write_frame_header};

use crate::args::Masks;

/// Bytes of frames, one behind the other, to be sent round and round.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Bytes of each frame, until they begin anew.
    lengths: Vec<usize>,
}

/// How many frames have masking keys of their own.
pub(crate) const KEYS: usize = 61;

impl Frames {
    /// Frames that carry `payloads`, each in turn, which are messages or (`compressed`) what deflating them gave.
    pub(crate) fn new(payloads: &[Vec<u8>], opcode: Opcode, compressed: bool, masks: Masks) -> Self {
        let mut bytes = Vec::new();
        let mut lengths = Vec::new();
        let mut seed = 0x9E37_79B9_u32;
        for payload in payloads.iter().cycle().take(payloads.len().max(if masks == Masks::Random { KEYS } else { 1 })) {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = match masks {
                Masks::Zero => [0; 4],
                Masks::Fixed => [0x37, 0xfa, 0x21, 0x3d],
                Masks::Random => seed.to_be_bytes(),
            };
            let start = bytes.len();
            append_masked(&mut bytes, opcode, payload, key);
            if compressed {
                mark_compressed(&mut bytes[start..]);
            }
            lengths.push(bytes.len() - start);
        }
        if payloads.len() == 1 {
            // Then all are as long.
            lengths.truncate(1);
        }
        // Long enough that one write sends many frames.
        let round = bytes.clone();
        while bytes.len() < 64 * 1024 {
            bytes.extend_from_slice(&round);
        }
        Self { bytes, lengths }
    }

    /// Bytes of `count` frames after the first `before`.
    pub(crate) fn length(&self, before: u64, count: usize) -> usize {
        let first = (before % self.lengths.len() as u64) as usize;
        self.lengths.iter().cycle().skip(first).take(count).sum()
    }

    /// The bytes from `position` of the endless row of frames, at most `most`.
    pub(crate) fn from(&self, position: usize, most: usize) -> &[u8] {
        let start = position % self.bytes.len();
        let end = self.bytes.len().min(start + most);
        &self.bytes[start..end]
    }
}

/// Appends a frame with the FIN bit.
pub(crate) fn append_masked(bytes: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    let second = bytes.len() + 1;
    write_frame_header(bytes, opcode, true, payload.len());
    // MASK
    bytes[second] |= 0x80;
    bytes.extend_from_slice(&key);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[start..], key);
}

/// The header of a frame from a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerHeader {
    pub(crate) first: u8,
    pub(crate) payload_len: usize,
    pub(crate) header_len: usize,
}

impl ServerHeader {
    /// Reads the header at the start of `input`, `None` while it is incomplete.
    pub(crate) fn parse(input: &[u8]) -> Option<Self> {
        let [first, second, ..] = *input else { return None };
        let (payload_len, header_len) = match second {
            126 => (u16::from_be_bytes(*input[2..].first_chunk()?).into(), 4),
            127 => (usize::try_from(u64::from_be_bytes(*input[2..].first_chunk()?)).ok()?, 10),
            length => (usize::from(length), 2),
        };
        Some(Self { first, payload_len, header_len })
    }
}
