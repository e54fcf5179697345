//! The WebSocket protocol (RFC 6455): the opening handshake, frames, the machines that receive and send, permessage-deflate
//! (RFC 7692), and close codes.

mod close;
mod compression;
mod deflate;
mod frame;
mod handshake;
mod mask;
mod receiver;
mod sender;
mod utf8;

pub use close::{CloseFrame, Violation, truncate_reason};
pub use compression::{Codecs, Contexts};
pub use deflate::{Agreement, DeflateSettings, breaks_on_deflate};
pub use frame::{
    FrameHeader, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, Opcode, encode_frame_header, frame_len, mark_compressed,
    write_frame, write_frame_header, write_frame_with,
};
pub use handshake::{Acceptance, Handshake, InvalidAcceptance, write_accept};
pub use mask::{unmask, unmask_into};
pub use receiver::{Event, Limits, Payload, Receiver, Step};
pub use sender::{Admission, SendError, Sender};
pub use utf8::is_valid as is_valid_utf8;
