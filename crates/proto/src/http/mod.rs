//! HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112): [`Receiver`], the machine that receives requests, [`Responder`], the
//! machine that sends responses, what both are made of, and the errors that a server answers by itself.

mod body;
mod declared;
mod error;
mod head;
mod method;
mod multipart;
mod query;
mod receiver;
mod request;
mod responder;
mod response;
mod status;

pub use body::{Body, BodyChunk};
pub use declared::{Declared, Instruction, InvalidDeclaration};
pub use error::HttpError;
pub use head::{Framing, HeaderError, Persistence, ResponseHead, StatusError};
pub use method::Method;
pub use multipart::{Part, Parts};
pub use query::query_value;
pub use receiver::{Event, Receiver, Step};
pub use request::{DEFAULT_MAX_HEAD_SIZE, MAX_HEADERS, Request, RequestRoom, lower_minor_version};
pub use responder::{Draft, InvalidUpgrade, Outgoing, Responder, ResponseError};
pub use response::{
    InvalidHeader, Marks, NOT_FOUND_BODY, NOT_FOUND_STATUS, check_header, write_chunk, write_last_chunk,
};
pub use status::{InvalidStatus, Status};
