//! Close frames and status codes (RFC 6455 sections 5.5.1 and 7.4), and the ways in which a peer violates the protocol.

use std::fmt;

use super::frame::{MAX_CONTROL_PAYLOAD, Opcode, write_frame};
use super::utf8;

/// The body of a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'b> {
    /// The status code; 0 for a frame without one.
    pub code: u16,
    /// The reason, UTF-8 text.
    pub reason: &'b [u8],
}

impl<'b> CloseFrame<'b> {
    /// The code for a Close frame without a status code (section 7.4.1); never on the wire.
    pub const NO_STATUS: u16 = 1005;

    /// The code for a connection that ended without a Close frame (section 7.4.1); never on the wire.
    pub const ABNORMAL: u16 = 1006;

    /// Returns whether a code may be sent in a frame (sections 7.4.1 and 7.4.2). 1004, 1005, 1006 and 1015 must not be; other
    /// codes below 3000 must be defined (1012 to 1014 are in IANA's registry); 3000 to 4999 are for libraries and applications.
    pub fn allows(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Reads the payload of a Close frame. The code is 0 if the payload is empty.
    pub fn parse(payload: &'b [u8]) -> Result<Self, Violation> {
        match payload {
            [] => Ok(Self { code: 0, reason: &[] }),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !Self::allows(code) {
                    Err(Violation::InvalidClosePayload(InvalidClose::Code(code)))
                } else if !utf8::is_valid(reason) {
                    Err(Violation::InvalidClosePayload(InvalidClose::Reason))
                } else {
                    Ok(Self { code, reason })
                }
            }
            [_] => Err(Violation::InvalidClosePayload(InvalidClose::OneByte)),
        }
    }

    /// Appends the frame. A reason cannot be sent without a code, so the code 0 sends neither.
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

/// Returns as much of a reason as a Close frame can carry (125 bytes with the code, section 5.5), cut between two characters.
pub fn truncate_reason(reason: &[u8]) -> &[u8] {
    let mut end = MAX_CONTROL_PAYLOAD - 2;
    if reason.len() <= end {
        return reason;
    }
    // Go back over continuation bytes, 10xxxxxx.
    while end > 0 && reason[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &reason[..end]
}

/// Why a frame is invalid (sections 5.2, 5.4 and 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it all")]
pub enum InvalidFrame {
    Opcode(u8),
    ReservedBits,
    /// RSV1 is set where it must not be (RFC 7692 section 6.1).
    Compressed,
    Unmasked,
    FragmentedControl,
    LongControl,
    Length,
    NothingToContinue,
    Interrupts,
}

impl fmt::Display for InvalidFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opcode(opcode) => write!(formatter, "frame with the reserved opcode {opcode}"),
            Self::ReservedBits => formatter.write_str("frame with RSV2 or RSV3 set"),
            Self::Compressed => {
                formatter.write_str("RSV1 set without permessage-deflate, or not in a message's first frame")
            }
            Self::Unmasked => formatter.write_str("frame without a mask"),
            Self::FragmentedControl => formatter.write_str("control frame in fragments"),
            Self::LongControl => write!(formatter, "control frame of more than {MAX_CONTROL_PAYLOAD} bytes"),
            Self::Length => formatter.write_str("payload length in more bytes than needed, or of more than 63 bits"),
            Self::NothingToContinue => formatter.write_str("continuation frame without a message to continue"),
            Self::Interrupts => formatter.write_str("message between the fragments of another"),
        }
    }
}

/// Why the payload of a Close frame is invalid (section 5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it all")]
pub enum InvalidClose {
    OneByte,
    Code(u16),
    Reason,
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneByte => formatter.write_str("close frame with a payload of one byte"),
            Self::Code(code) => write!(formatter, "close frame with the code {code}"),
            Self::Reason => formatter.write_str("close frame with a reason that is not UTF-8"),
        }
    }
}

/// How a peer violated the protocol or a limit, for which its connection is failed (section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame that the RFC forbids.
    InvalidFrame(InvalidFrame),
    /// A message longer than the limit.
    TooBig,
    /// A text message longer than the longest string.
    TextTooLong,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// A Close frame that the RFC forbids.
    InvalidClosePayload(InvalidClose),
    /// A compressed message that decompresses to more than the limit.
    InflatedTooBig,
    /// A message that cannot be decompressed (RFC 7692 section 7.2.2).
    InvalidDeflate,
}

impl Violation {
    /// Returns the code of the Close frame that the peer gets.
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidFrame(_) | Self::InvalidClosePayload(_) => 1002,
            Self::InvalidUtf8 | Self::InvalidDeflate => 1007,
            Self::TooBig | Self::TextTooLong | Self::InflatedTooBig => 1009,
        }
    }

    /// Returns the reason that the close handler is called with, together with the code 1006.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidFrame(_) => "Received invalid WebSocket frame",
            Self::TooBig | Self::TextTooLong => "Received too big message",
            Self::InvalidUtf8 => "Received invalid UTF-8",
            Self::InvalidClosePayload(_) => "Received invalid close payload",
            Self::InflatedTooBig | Self::InvalidDeflate => "Received too big message, or other inflation error",
        }
    }
}

/// The reason in the Close frame that the peer gets, for whoever looks for the mistake. It is short enough for one.
impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidFrame(what) => what.fmt(formatter),
            Self::InvalidClosePayload(what) => what.fmt(formatter),
            Self::TooBig | Self::InflatedTooBig => formatter.write_str("message over maxPayloadLength"),
            Self::TextTooLong => formatter.write_str("text over the longest string"),
            Self::InvalidUtf8 => formatter.write_str("text that is not UTF-8"),
            Self::InvalidDeflate => formatter.write_str("message that cannot be decompressed"),
        }
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
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            let invalid = Violation::InvalidClosePayload(InvalidClose::Code(code));
            assert_eq!(CloseFrame::parse(&code.to_be_bytes()), Err(invalid));
        }
        for (bad, what) in [(&b"\x03"[..], InvalidClose::OneByte), (b"\x03\xe8\xff", InvalidClose::Reason)] {
            assert_eq!(CloseFrame::parse(bad), Err(Violation::InvalidClosePayload(what)), "{}", bad.escape_ascii());
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
    fn what_is_wrong_fits_into_a_close_frame() {
        use InvalidFrame::{
            Compressed, FragmentedControl, Interrupts, Length, LongControl, NothingToContinue, ReservedBits, Unmasked,
        };
        let frames = [
            InvalidFrame::Opcode(15),
            ReservedBits,
            Compressed,
            Unmasked,
            FragmentedControl,
            LongControl,
            Length,
            NothingToContinue,
            Interrupts,
        ];
        let closes = [InvalidClose::OneByte, InvalidClose::Code(65535), InvalidClose::Reason];
        let texts = frames.map(|what| what.to_string()).into_iter().chain(closes.map(|what| what.to_string()));
        for text in texts {
            assert!(text.len() <= MAX_CONTROL_PAYLOAD - 2, "{text}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("{}é", "x".repeat(122));
        assert_eq!(truncate_reason(reason.as_bytes()), "x".repeat(122).as_bytes());
        assert_eq!(truncate_reason(&[b'x'; 123]).len(), 123);
        assert_eq!(truncate_reason(&[0x80; 500]).len(), 0);
    }
}
