//! Close frames and status codes (RFC 6455 sections 5.5.1 and 7.4), and the ways in which a peer violates the protocol.

use std::fmt;

use super::frame::{MAX_CONTROL_PAYLOAD, Opcode, write_frame};
use super::utf8;
use crate::cause::causes;

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
                    Err(Violation::CloseCode(code))
                } else if !utf8::is_valid(reason) {
                    Err(Violation::CloseReason)
                } else {
                    Ok(Self { code, reason })
                }
            }
            [_] => Err(Violation::CloseOfOneByte),
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

causes! {
    /// How a peer violated the protocol or a limit, for which its connection is failed (section 7.1.7).
    pub enum Violation of Kind {
        /// Section 5.2.
        ReservedBits = Frame, "UNEXPECTED_RSV_2_3", "frame with RSV2 or RSV3 set";
        /// RFC 7692 section 6.1.
        Compressed = Frame, "UNEXPECTED_RSV_1",
            "RSV1 set without permessage-deflate, or not in a message's first frame";
        /// Section 5.2.
        ReservedOpcode(u8) = Frame, "INVALID_OPCODE", "frame with the reserved opcode";
        /// Section 5.1.
        Unmasked = Frame, "EXPECTED_MASK", "frame without a mask";
        /// Section 5.5.
        FragmentedControl = Frame, "FRAGMENTED_CONTROL_FRAME", "control frame in fragments";
        /// Section 5.5.
        LongControl = Frame, "INVALID_CONTROL_PAYLOAD_LENGTH", "control frame of more than 125 bytes";
        /// Section 5.2: "the minimal number of bytes MUST be used to encode the length".
        LengthNotMinimal = Frame, "PAYLOAD_LENGTH_NOT_MINIMAL",
            "payload length in more bytes than needed, or of more than 63 bits";
        /// Section 5.2: "the most significant bit MUST be 0".
        LengthOver63Bits = Frame, "PAYLOAD_LENGTH_OVER_63_BITS",
            "payload length in more bytes than needed, or of more than 63 bits";
        /// Section 5.4.
        NothingToContinue = Frame, "UNEXPECTED_CONTINUATION", "continuation frame without a message to continue";
        /// Section 5.4.
        Interrupts = Frame, "EXPECTED_CONTINUATION", "message between the fragments of another";
        /// Section 8.1.
        InvalidUtf8 = Utf8, "INVALID_UTF8", "text that is not UTF-8";
        /// Section 5.5.1.
        CloseOfOneByte = Close, "INVALID_CLOSE_PAYLOAD_LENGTH", "close frame with a payload of one byte";
        /// Section 7.4.
        CloseCode(u16) = Close, "INVALID_CLOSE_CODE", "close frame with the code";
        /// Section 5.5.1.
        CloseReason = Close, "INVALID_CLOSE_REASON", "close frame with a reason that is not UTF-8";
        /// RFC 7692 section 7.2.2.
        InvalidDeflate = Inflation, "INVALID_DEFLATE", "message that cannot be decompressed";
        TooBig = TooBig, "MESSAGE_TOO_BIG", "message over maxPayloadLength";
        TooManyFragments = Fragments, "TOO_MANY_FRAGMENTS", "message of more fragments than maxFragments";
        TextTooLong = TooBig, "TEXT_TOO_LONG", "text over the longest string";
        /// The message decompresses to more than the limit.
        InflatedTooBig = Bomb, "INFLATED_MESSAGE_TOO_BIG", "message over maxPayloadLength";
    }
}

/// The kinds of violations, which close codes and handlers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Frame,
    Close,
    Utf8,
    TooBig,
    Fragments,
    Inflation,
    Bomb,
}

impl Violation {
    /// Returns the code of the Close frame that the peer gets.
    pub fn close_code(self) -> u16 {
        match self.class() {
            Kind::Frame | Kind::Close => 1002,
            Kind::Utf8 | Kind::Inflation => 1007,
            Kind::Fragments => 1008,
            Kind::TooBig | Kind::Bomb => 1009,
        }
    }

    /// Returns the reason that the close handler is called with, together with the code 1006.
    pub fn reason(self) -> &'static str {
        match self.class() {
            Kind::Frame => "Received invalid WebSocket frame",
            Kind::TooBig => "Received too big message",
            Kind::Fragments => "Received too many fragments",
            Kind::Utf8 => "Received invalid UTF-8",
            Kind::Close => "Received invalid close payload",
            Kind::Bomb | Kind::Inflation => "Received too big message, or other inflation error",
        }
    }
}

/// The reason in the Close frame that the peer gets, for whoever looks for the mistake. It is short enough for one.
impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        match self {
            Self::ReservedOpcode(opcode) => write!(formatter, "{text} {opcode}"),
            Self::CloseCode(code) => write!(formatter, "{text} {code}"),
            _ => formatter.write_str(text),
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
            assert_eq!(CloseFrame::parse(&code.to_be_bytes()), Err(Violation::CloseCode(code)));
        }
        for (bad, what) in [(&b"\x03"[..], Violation::CloseOfOneByte), (b"\x03\xe8\xff", Violation::CloseReason)] {
            assert_eq!(CloseFrame::parse(bad), Err(what), "{}", bad.escape_ascii());
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
        use Violation::{
            CloseCode, CloseOfOneByte, CloseReason, Compressed, FragmentedControl, Interrupts, LengthNotMinimal,
            LengthOver63Bits, LongControl, NothingToContinue, ReservedBits, ReservedOpcode, Unmasked,
        };
        let all = [
            ReservedOpcode(15),
            ReservedBits,
            Compressed,
            Unmasked,
            FragmentedControl,
            LongControl,
            LengthNotMinimal,
            LengthOver63Bits,
            NothingToContinue,
            Interrupts,
            CloseOfOneByte,
            CloseCode(65535),
            CloseReason,
        ];
        for text in all.map(|violation| violation.to_string()) {
            assert!(text.len() <= MAX_CONTROL_PAYLOAD - 2, "{text}");
        }
    }

    #[test]
    fn violations_have_names_and_say_what_they_are_about() {
        assert_eq!(Violation::ReservedOpcode(15).to_string(), "frame with the reserved opcode 15");
        assert_eq!(Violation::CloseCode(1005).to_string(), "close frame with the code 1005");
        assert!(Violation::LongControl.to_string().contains(&MAX_CONTROL_PAYLOAD.to_string()));
        for violation in [Violation::ReservedBits, Violation::ReservedOpcode(3), Violation::InflatedTooBig] {
            assert_eq!(Violation::NAMES[violation.index()], violation.name());
        }
        assert_eq!(Violation::CloseCode(1).name(), "INVALID_CLOSE_CODE");
        assert_eq!(Violation::InflatedTooBig.index(), Violation::NAMES.len() - 1);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("{}é", "x".repeat(122));
        assert_eq!(truncate_reason(reason.as_bytes()), "x".repeat(122).as_bytes());
        assert_eq!(truncate_reason(&[b'x'; 123]).len(), 123);
        assert_eq!(truncate_reason(&[0x80; 500]).len(), 0);
    }
}
