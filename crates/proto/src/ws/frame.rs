//! Frame headers (RFC 6455 section 5.2).

use super::Violation;

/// The longest header a peer may send: 2 bytes, 8 of extended length, 4 of masking key.
pub const MAX_FRAME_HEADER: usize = 14;

/// The longest payload of a control frame, in bytes (section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 5.2")]
pub enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    /// Returns whether the frame is a control frame: those opcodes have the most significant bit set (section 5.5).
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }
}

/// The header of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// FIN: whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1: whether the frame begins a compressed message (RFC 7692 section 6).
    pub compressed: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The masking key.
    pub mask: [u8; 4],
    /// The length of the payload in bytes; less than 2^63.
    pub payload_len: u64,
    /// The length of this header in bytes.
    pub header_len: usize,
}

impl FrameHeader {
    /// Reads the header at the start of `input`. Returns `None` while it is incomplete. `compression`: whether messages may be
    /// compressed.
    pub fn parse(input: &[u8], compression: bool) -> Result<Option<Self>, Violation> {
        let [first, second, ..] = *input else { return Ok(None) };
        // RSV2 and RSV3 MUST be 0, and all frames from a client have MASK set (section 5.1).
        let (Some(opcode), 0, 0x80) = (Opcode::parse(first & 0x0F), first & 0x30, second & 0x80) else {
            return Err(if first & 0x30 != 0 {
                Violation::ReservedBits
            } else if Opcode::parse(first & 0x0F).is_none() {
                Violation::ReservedOpcode(first & 0x0F)
            } else {
                Violation::Unmasked
            });
        };
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        // RSV1 is only allowed if the extension was negotiated, and in the first frame of a message (RFC 7692 section 6.1).
        if compressed && !(compression && matches!(opcode, Opcode::Text | Opcode::Binary)) {
            return Err(Violation::Compressed);
        }
        let short = second & 0x7F;
        // Section 5.5: control frames have a payload of 125 bytes or less and must not be fragmented.
        if opcode.is_control() && (!fin || usize::from(short) > MAX_CONTROL_PAYLOAD) {
            return Err(if fin { Violation::LongControl } else { Violation::FragmentedControl });
        }
        let (payload_len, rest) = match short {
            126 => match input[2..].split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match input[2..].split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), &input[2..]),
        };
        // "the most significant bit MUST be 0" and "the minimal number of bytes MUST be used"
        if payload_len >> 63 != 0 || short == 126 && payload_len < 126 || short == 127 && payload_len <= 0xFFFF {
            let is_over = payload_len >> 63 != 0;
            return Err(if is_over { Violation::LengthOver63Bits } else { Violation::LengthNotMinimal });
        }
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some(Self { fin, compressed, opcode, mask: *mask, payload_len, header_len: input.len() - rest.len() }))
    }
}

/// Sets RSV1 in a frame or its header, which says that the message is compressed (RFC 7692 section 6).
pub fn mark_compressed(header: &mut [u8]) {
    header[0] |= 0x40;
}

/// Returns the header of an unmasked frame, as a server sends it, in the first bytes of an array, and their number.
pub fn encode_frame_header(opcode: Opcode, fin: bool, payload_len: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = u8::from(fin) << 7 | opcode as u8;
    let header_len = match payload_len {
        0..126 => {
            header[1] = payload_len as u8;
            2
        }
        126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    (header, header_len)
}

/// Returns the length in bytes, header included, of the frame whose header is at the start of `bytes`. A server must have
/// written it. The payload need not be there.
pub fn frame_len(bytes: &[u8]) -> usize {
    match bytes[1] & 0x7F {
        126 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        127 => {
            let length: [u8; 8] = bytes[2..10].try_into().expect("eight bytes");
            10 + u64::from_be_bytes(length) as usize
        }
        length => 2 + usize::from(length),
    }
}

/// Appends the header of an unmasked frame; see [`encode_frame_header`].
pub fn write_frame_header(output: &mut Vec<u8>, opcode: Opcode, fin: bool, payload_len: usize) {
    let (header, header_len) = encode_frame_header(opcode, fin, payload_len);
    output.extend_from_slice(&header[..header_len]);
}

/// Appends an unmasked frame, header and payload.
pub fn write_frame(output: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8]) {
    write_frame_header(output, opcode, fin, payload.len());
    output.extend_from_slice(payload);
}

/// The header of a frame with 126 to 65,535 bytes of payload.
const MEDIUM_HEADER: usize = 4;

/// Appends a whole frame whose payload `append` appends, for callers that can write the payload only once and do not know
/// its length before. `append` must not change what is there already. Returns the length of the payload in bytes.
pub fn write_frame_with(output: &mut Vec<u8>, opcode: Opcode, fin: bool, append: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = output.len();
    output.extend_from_slice(&[0; MEDIUM_HEADER]);
    append(output);
    let payload_len = output.len() - start - MEDIUM_HEADER;
    let (header, header_len) = encode_frame_header(opcode, fin, payload_len);
    let header = &header[..header_len];
    if header_len > MEDIUM_HEADER {
        output.splice(start..start + MEDIUM_HEADER, header.iter().copied());
        return payload_len;
    }
    // Almost every message is short, and moving a short one is cheaper than finding out its length first.
    output.copy_within(start + MEDIUM_HEADER.., start + header_len);
    output.truncate(start + header_len + payload_len);
    output[start..start + header_len].copy_from_slice(header);
    payload_len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_three_length_forms() {
        for (input, payload_len) in [
            (&b"\x81\x85\x37\xfa\x21\x3d"[..], 5),
            (b"\x81\xfe\x01\x00\x37\xfa\x21\x3d", 256),
            (b"\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00\x37\xfa\x21\x3d", 65536),
        ] {
            let expected = FrameHeader {
                compressed: false,
                fin: true,
                opcode: Opcode::Text,
                mask: [0x37, 0xfa, 0x21, 0x3d],
                payload_len,
                header_len: input.len(),
            };
            assert_eq!(FrameHeader::parse(input, false), Ok(Some(expected)));
            for end in 0..input.len() {
                assert_eq!(FrameHeader::parse(&input[..end], false), Ok(None));
            }
        }
    }

    #[test]
    fn forbidden_headers() {
        for (input, what) in [
            (&b"\xc1\x80"[..], Violation::Compressed),
            (b"\xa1\x80", Violation::ReservedBits),
            (b"\x91\x80", Violation::ReservedBits),
            (b"\x83\x80", Violation::ReservedOpcode(3)),
            (b"\x8b\x80", Violation::ReservedOpcode(11)),
            (b"\x81\x00", Violation::Unmasked),
            (b"\x09\x80", Violation::FragmentedControl),
            (b"\x89\xfe", Violation::LongControl),
            (b"\x88\xff", Violation::LongControl),
            (b"\x82\xfe\x00\x7d", Violation::LengthNotMinimal),
            (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", Violation::LengthNotMinimal),
            (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", Violation::LengthOver63Bits),
        ] {
            assert_eq!(FrameHeader::parse(input, false), Err(what), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn written_headers() {
        for (length, expected) in [
            (0, &b"\x82\x00"[..]),
            (125, b"\x82\x7d"),
            (126, b"\x82\x7e\x00\x7e"),
            (65535, b"\x82\x7e\xff\xff"),
            (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let mut output = Vec::new();
            write_frame_header(&mut output, Opcode::Binary, true, length);
            assert_eq!(output, expected);
            assert_eq!(frame_len(&output), output.len() + length);
        }
        let mut output = Vec::new();
        write_frame(&mut output, Opcode::Text, false, b"Hel");
        assert_eq!(output, b"\x01\x03Hel");
    }

    #[test]
    fn a_frame_whose_length_is_known_last_is_the_same_as_one_whose_length_is_known_first() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
            for (opcode, fin) in [(Opcode::Text, true), (Opcode::Binary, false), (Opcode::Continuation, true)] {
                let (mut output, mut expected) = (b"before".to_vec(), b"before".to_vec());
                write_frame_with(&mut output, opcode, fin, |output| {
                    payload.chunks(1000).for_each(|part| output.extend_from_slice(part));
                });
                write_frame(&mut expected, opcode, fin, &payload);
                assert!(output == expected, "{opcode:?} {length}");
            }
        }
        let mut output = Vec::new();
        write_frame_with(&mut output, Opcode::Text, true, |output| output.extend_from_slice(b"Hello"));
        assert_eq!(output, b"\x81\x05Hello");
    }
}
