//! HTTP/1.1 (RFC 9110, RFC 9112): request heads, body framing, response heads, and the errors a server answers itself.

mod body;
mod error;
mod method;
mod request;
mod response;

pub use body::{Body, BodyChunk};
pub use error::HttpError;
pub use method::Method;
pub use request::{DEFAULT_MAX_HEAD_SIZE, HeaderSlots, MAX_HEADERS, Request, header_slots};
pub use response::{
    DATE_LEN, InvalidHeader, NOT_FOUND_BODY, NOT_FOUND_STATUS, StatusLine, check_header, date, write_ending,
    write_header, write_marks, write_status,
};
