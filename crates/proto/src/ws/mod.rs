//! The WebSocket protocol (RFC 6455): the opening handshake, frames, the machine that receives, and close codes.

mod close;
mod compression;
mod deflate;
mod frame;
mod handshake;
mod mask;
mod receiver;
mod utf8;

pub use close::{CloseFrame, InvalidClose, InvalidFrame, Violation, truncate_reason};
pub use compression::{Codecs, Contexts};
pub use deflate::{Agreement, DeflateSettings, breaks_on_deflate};
pub use frame::{
    FrameHeader, MAX_CONTROL_PAYLOAD, MAX_FRAME_HEADER, Opcode, encode_frame_header, frame_len, mark_compressed,
    write_frame, write_frame_header,
};
pub use handshake::{Acceptance, Handshake, InvalidAcceptance, write_accept};
pub use mask::{unmask, unmask_into};
pub use receiver::{Event, Limits, Payload, Receiver, Step};
pub use utf8::is_valid as is_valid_utf8;
