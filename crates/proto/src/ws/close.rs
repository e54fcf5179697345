//! Close frames and status codes (RFC 6455 sections 5.5.1 and 7.4), and what a peer does wrong.

use std::fmt;

use super::frame::{MAX_CONTROL_PAYLOAD, Opcode, write_frame};
use super::utf8;

/// The body of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// The status code, 0 for a frame without one.
    pub code: u16,
    /// UTF-8 text.
    pub reason: &'b [u8],
}

impl<'b> CloseFrame<'b> {
    /// No status was received (section 7.4.1); never on the wire.
    pub const NO_STATUS: u16 = 1005;

    /// The connection ended without a Close frame (section 7.4.1); never on the wire.
    pub const ABNORMAL: u16 = 1006;

    /// Reads the payload of a Close frame; its code is 0 when the payload is empty.
    pub fn parse(payload: &'b [u8]) -> Result<Self, Violation> {
        match payload {
            [] => Ok(Self { code: 0, reason: &[] }),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if is_valid_on_wire(code) && utf8::is_valid(reason) {
                    Ok(Self { code, reason })
                } else {
                    Err(Violation::InvalidClosePayload)
                }
            }
            [_] => Err(Violation::InvalidClosePayload),
        }
    }

    /// Appends the frame. A reason without a code cannot be sent; the code 0 sends neither.
    pub fn write(self, output: &mut Vec<u8>) {
        let mut payload = [0; MAX_CONTROL_PAYLOAD];
        let mut length = 0;
        if self.code != 0 {
            let reason = truncate_reason(self.reason);
            payload[..2].copy_from_slice(&self.code.to_be_bytes());
            payload[2..2 + reason.len()].copy_from_slice(reason);
            length = 2 + reason.len();
        }
        write_frame(output, Opcode::Close, true, &payload[..length]);
    }
}

/// As much of a reason as a Close frame can carry (section 5.5: 125 bytes with the code), cut between two characters.
pub fn truncate_reason(reason: &[u8]) -> &[u8] {
    let mut end = MAX_CONTROL_PAYLOAD - 2;
    if reason.len() <= end {
        return reason;
    }
    // Back over continuation bytes, 10xxxxxx.
    while end > 0 && reason[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &reason[..end]
}

/// Sections 7.4.1 and 7.4.2: 1004, 1005, 1006 and 1015 never stand in a frame, what else is below 3000 must be defined
/// (1012 to 1014: IANA's registry), and the rest is for libraries and applications.
fn is_valid_on_wire(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// How a peer broke the protocol or a limit; its connection is failed (section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame the RFC forbids: opcode, reserved bits, mask, length, fragmentation.
    InvalidFrame,
    /// A message longer than the limit.
    TooBig,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// A Close frame with a code that must not be sent, half a code, or a reason that is not UTF-8.
    InvalidClosePayload,
    /// A compressed message that is longer than the limit.
    InflatedTooBig,
    /// A message that cannot be decompressed (RFC 7692 section 7.2.2).
    InvalidDeflate,
}

impl Violation {
    /// The code of the Close frame the peer gets.
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidFrame | Self::InvalidClosePayload => 1002,
            Self::InvalidUtf8 | Self::InvalidDeflate => 1007,
            Self::TooBig | Self::InflatedTooBig => 1009,
        }
    }

    /// What the close handler is told, with code 1006.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidFrame => "Received invalid WebSocket frame",
            Self::TooBig => "Received too big message",
            Self::InvalidUtf8 => "Received invalid UTF-8",
            Self::InvalidClosePayload => "Received invalid close payload",
            Self::InflatedTooBig | Self::InvalidDeflate => "Received too big message, or other inflation error",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        assert_eq!(CloseFrame::parse(b""), Ok(CloseFrame { code: 0, reason: b"" }));
        assert_eq!(CloseFrame::parse(b"\x03\xe8bye"), Ok(CloseFrame { code: 1000, reason: b"bye" }));
        for bad in [
            &b"\x03"[..],
            b"\x00\x00",
            b"\x03\xe7",
            b"\x03\xec",
            b"\x03\xed",
            b"\x03\xee",
            b"\x03\xf7",
            b"\x0b\xb7",
            b"\x13\x88",
            b"\xff\xff",
            b"\x03\xe8\xff",
        ] {
            assert_eq!(CloseFrame::parse(bad), Err(Violation::InvalidClosePayload), "{}", bad.escape_ascii());
        }
        for good in [1000_u16, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999] {
            assert!(CloseFrame::parse(&good.to_be_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn frames() {
        let bytes = |code, reason| {
            let mut output = Vec::new();
            CloseFrame { code, reason }.write(&mut output);
            output
        };
        assert_eq!(bytes(0, b"lost"), b"\x88\x00");
        assert_eq!(bytes(4001, b"bye"), b"\x88\x05\x0f\xa1bye");
        assert_eq!(bytes(1000, &[b'x'; 200])[..4], *b"\x88\x7d\x03\xe8");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("{}é", "x".repeat(122));
        assert_eq!(truncate_reason(reason.as_bytes()), "x".repeat(122).as_bytes());
        assert_eq!(truncate_reason(&[b'x'; 123]).len(), 123);
        assert_eq!(truncate_reason(&[0x80; 500]).len(), 0);
    }
}
