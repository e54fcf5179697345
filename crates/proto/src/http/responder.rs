//! The responding machine of HTTP: the calls that make up a response in, its bytes out.
//!
//! ```text
//!                  write_status, write_header
//!                          ┌──────┐
//!                          ▼      │
//!                       ┌──────────┐
//!      ┌────────────────│   Head   │───────────────────┐
//!      │                └──────────┘                   │
//!      │ begin, write     │      │                     │ try_end
//!      │                  │      │ end,                │
//!      ▼                  │      │ end_without_body,   ▼
//!    Chunks, UntilClose,  │      │ end_not_found,    TryEnd
//!    Length               │      │ refuse,             │
//!      │                  │      │ upgrade             │
//!      │ end, ...         ▼      ▼                     │ end, ..., or all is taken
//!      └──────────────► Complete ◄─────────────────────┘
//! ```
//!
//! | stage | the body is framed by (RFC 9112 section 6.3) | how it is written |
//! | --- | --- | --- |
//! | `Chunks` | the chunked transfer coding | `write`, `end` |
//! | `UntilClose` | the end of the connection, because the client speaks HTTP/1.0 | `write`, `end` |
//! | `Length` | the Content-Length that the program has written | `write`, `end` |
//! | `TryEnd` | the total that the first `try_end` was called with | `try_end`, `end` |
//!
//! A response to HEAD and one with the status 204 or 304 go through the same stages without a body: the same calls are
//! allowed, and the body that they pass is not sent.
//!
//! A pending request costs the two bytes of a [`Responder`]. What a program has written of its response is in a
//! [`Draft`], which the caller lends to each call and needs to keep only while it is not empty. Heads and chunk sizes
//! are appended to a buffer of the caller's. A payload is never copied: the call returns it as an [`Outgoing`], cut to
//! what is to be sent, so that the caller can hand it to the kernel where it lies.

use std::fmt;

use super::response::write_chunk;
use super::{Framing, HeaderError, HttpError, Marks, NOT_FOUND_BODY, NOT_FOUND_STATUS, Persistence, Request};
use super::{ResponseHead, Status, StatusError};

/// Where a response is, and what its request says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responder {
    stage: Stage,
    terms: Terms,
}

/// How far a response has come; see the module's diagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has been sent. Status and headers are gathered in the draft.
    Head,
    Chunks,
    UntilClose,
    Length,
    TryEnd,
    Complete,
}

/// A fact about a response besides its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// The response has no body: the method is HEAD, or, from the end of the head on, the status allows none.
    NoBody = 1,
    /// The client speaks HTTP/1.0.
    Http10 = 1 << 1,
    /// The connection closes after the response, and the head says so if it has not been sent before that was known.
    Closes = 1 << 2,
}

/// The position of the class of the status among the bits of [`Terms`].
const CLASS: u32 = 5;

/// A set of [`Term`]s, and the class of the status that has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Terms(u8);

impl Terms {
    fn has(self, term: Term) -> bool {
        self.0 & term as u8 != 0
    }

    fn add_if(&mut self, applies: bool, term: Term) {
        if applies {
            self.0 |= term as u8;
        }
    }
}

/// The part of a response that a program has written and that is still needed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Empty once the head has been sent.
    head: ResponseHead,
    /// Bytes of a body of known length that have been sent.
    offset: u64,
    /// Bytes of that body. 0 if the length is not known.
    total: u64,
}

impl Draft {
    /// Whether the draft equals a new one and need not be kept.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.offset == 0 && self.total == 0
    }

    /// The number of bytes that have been sent of a body whose length was announced; 0 for any other body.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        self.head.memory()
    }

    /// Empties the draft for another response. Keeps some of its memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.offset = 0;
        self.total = 0;
    }

    /// Gives back memory that is not in use.
    pub fn release(&mut self) {
        self.head.release();
    }
}

/// What to send after the bytes that a call has appended to the output: `payload`, then `tail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'p> {
    /// The part of what the call was passed that belongs to the response; may be empty.
    pub payload: &'p [u8],
    /// What follows the payload; may be empty.
    pub tail: &'static [u8],
    /// What becomes of the connection, if this completes the response.
    pub end: Option<Persistence>,
}

impl<'p> Outgoing<'p> {
    /// A payload after which more is to come.
    fn of(payload: &'p [u8]) -> Self {
        Self { payload, tail: b"", end: None }
    }
}

/// Why a call has not changed a response. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The response is complete, or its request was aborted.
    Complete,
    /// A status or header contains bytes that must not be sent, or contradicts the framing of the response.
    InvalidHeader(HeaderError),
    /// The status is not one that completes a response.
    InvalidStatus,
    /// The status is 101, which only an upgrade can complete.
    Switching,
    /// The head has been sent.
    HeadEnded,
    /// The body was begun by the other of `write` and `try_end`.
    Mixed,
    /// The body has another length than the program's own Content-Length announces.
    LengthMismatch {
        /// Bytes that Content-Length announces.
        announced: u64,
        /// Bytes of the body, as far as they are known.
        given: u64,
    },
}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LengthMismatch { announced, given } => {
                return write!(
                    formatter,
                    "the Content-Length that was written announces {announced} bytes, and the body has {given}"
                );
            }
            Self::InvalidHeader(error) => return error.fmt(formatter),
            Self::Complete => "the response is complete, or its request was aborted",
            Self::InvalidStatus => "a status is a number from 200 to 999 and, after a space, a reason phrase",
            Self::Switching => "a response with the status 101 is completed by upgrade, and by nothing else",
            Self::HeadEnded => "headers must be written before the body",
            Self::Mixed => "a body begun with write cannot go on with tryEnd, nor the other way round",
        })
    }
}

impl std::error::Error for ResponseError {}

impl From<StatusError> for ResponseError {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Splits => Self::InvalidHeader(HeaderError::Splits),
            StatusError::Invalid => Self::InvalidStatus,
        }
    }
}

impl From<HeaderError> for ResponseError {
    fn from(error: HeaderError) -> Self {
        Self::InvalidHeader(error)
    }
}

/// Why a response cannot become an upgrade. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidUpgrade {
    /// The response is complete, or its request was aborted.
    Complete,
    /// A part of the response has been sent.
    HasBegun,
    /// The status that was written is not 101.
    OtherStatus,
}

impl fmt::Display for InvalidUpgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Complete => "the response is complete, or its request was aborted",
            Self::HasBegun => "a response whose body has begun cannot become a WebSocket any more",
            Self::OtherStatus => "a response becomes a WebSocket with the status 101 Switching Protocols, and no other",
        })
    }
}

impl std::error::Error for InvalidUpgrade {}

impl Responder {
    /// The response to `request`, of which nothing has been written.
    pub fn new(request: &Request<'_>) -> Self {
        let mut terms = Terms::default();
        terms.add_if(request.method() == "HEAD", Term::NoBody);
        terms.add_if(request.is_http_1_0(), Term::Http10);
        terms.add_if(request.asks_to_close(), Term::Closes);
        Self { stage: Stage::Head, terms }
    }

    /// Closes the connection after the response. The head says so, unless it has been sent.
    pub fn close(&mut self) {
        self.terms.add_if(true, Term::Closes);
    }

    /// Whether the head of the final response has been sent.
    pub fn has_begun(self) -> bool {
        self.stage != Stage::Head
    }

    /// The class of the status, which is its first digit, once the head has been sent; 0 before that, and for a status
    /// without a class (RFC 9110 section 15).
    pub fn status_class(self) -> u8 {
        self.terms.0 >> CLASS
    }

    /// Whether the response is complete.
    pub fn is_complete(self) -> bool {
        self.stage == Stage::Complete
    }

    /// Appends `100 Continue` (RFC 9110 section 10.1.1), unless the client would not understand it or it would come
    /// after the final response has begun. [`Request::expects_continue`] says whether the client expects it.
    pub fn write_continue(self, output: &mut Vec<u8>) {
        if self.stage == Stage::Head && !self.terms.has(Term::Http10) {
            output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Sets the status, such as `200 OK` or `200`. The first status counts, unless a header was written before it. Any
    /// other is checked and ignored, even after the head has been sent.
    pub fn write_status(&mut self, draft: &mut Draft, status: &[u8]) -> Result<(), ResponseError> {
        match self.stage {
            Stage::Complete => return Err(ResponseError::Complete),
            Stage::Head => draft.head.write_status(status)?,
            _ => ResponseHead::default().write_status(status)?,
        }
        Ok(())
    }

    /// Adds a header. A Content-Length must be that of the body, which completing the response checks. A Connection
    /// header with `close` closes the connection after the response.
    pub fn write_header(&mut self, draft: &mut Draft, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        match self.stage {
            Stage::Complete => return Err(ResponseError::Complete),
            Stage::Head => draft.head.write_header(name, value)?,
            _ => return Err(ResponseError::HeadEnded),
        }
        Ok(())
    }

    /// Sends the head of a response whose body is written in pieces: in chunks, by the Content-Length that was written,
    /// or, for a client of HTTP/1.0, until the connection ends. Does nothing if such a body has begun.
    pub fn begin(&mut self, draft: &mut Draft, marks: &Marks, output: &mut Vec<u8>) -> Result<(), ResponseError> {
        match self.stage {
            Stage::Head => {}
            Stage::Chunks | Stage::UntilClose | Stage::Length => return Ok(()),
            Stage::TryEnd => return Err(ResponseError::Mixed),
            Stage::Complete => return Err(ResponseError::Complete),
        }
        let length = self.agree_on_length(draft, None)?;
        self.end_head(draft, length.map_or(Framing::Chunks, Framing::Length), false, marks, output);
        self.stage = match length {
            Some(length) => {
                draft.total = length;
                Stage::Length
            }
            None if self.terms.has(Term::Http10) => Stage::UntilClose,
            None => Stage::Chunks,
        };
        Ok(())
    }

    /// Sends a piece of the body, after [`Responder::begin`] if that has not been called. An empty piece sends nothing.
    ///
    /// The head is sent, and so appended to `output`, even if the piece is refused because it is longer than what is
    /// left of the Content-Length.
    pub fn write<'p>(
        &mut self,
        draft: &mut Draft,
        piece: &'p [u8],
        marks: &Marks,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'p>, ResponseError> {
        self.begin(draft, marks, output)?;
        let mut outgoing = Outgoing::of(&[]);
        if piece.is_empty() || self.terms.has(Term::NoBody) {
            return Ok(outgoing);
        }
        match self.stage {
            Stage::Length => draft.offset = draft.offset_after(piece)?,
            Stage::Chunks => {
                write_chunk(output, piece.len());
                outgoing.tail = b"\r\n";
            }
            _ => {}
        }
        outgoing.payload = piece;
        Ok(outgoing)
    }

    /// Offers the next piece of a body of `total` bytes. The first call sends the head, and its total counts. The
    /// caller sends as much of the payload as the socket takes and passes the number of bytes to
    /// [`Responder::advance`], unless the response is complete.
    ///
    /// `close`: the connection closes after the response, if this call is the first or completes it.
    pub fn try_end<'p>(
        &mut self,
        draft: &mut Draft,
        piece: &'p [u8],
        total: u64,
        close: bool,
        marks: &Marks,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'p>, ResponseError> {
        match self.stage {
            Stage::Head => {
                let framing = self.framing_of_body(draft, total)?;
                self.end_head(draft, framing, close, marks, output);
                self.stage = Stage::TryEnd;
                draft.total = total;
            }
            Stage::TryEnd => {}
            Stage::Chunks | Stage::UntilClose | Stage::Length => return Err(ResponseError::Mixed),
            Stage::Complete => return Err(ResponseError::Complete),
        }
        if draft.left() == 0 || self.terms.has(Term::NoBody) {
            return Ok(Outgoing { end: Some(self.complete(draft, close)), ..Outgoing::of(&[]) });
        }
        Ok(Outgoing::of(draft.cut(piece)))
    }

    /// Notes that the socket has taken `count` bytes of the payload of [`Responder::try_end`]. Returns what becomes of
    /// the connection if that completes the response. `close` is that of the same [`Responder::try_end`].
    pub fn advance(&mut self, draft: &mut Draft, count: usize, close: bool) -> Option<Persistence> {
        debug_assert!(self.stage == Stage::TryEnd && count as u64 <= draft.left());
        draft.offset += count as u64;
        (draft.left() == 0).then(|| self.complete(draft, close))
    }

    /// Completes the response with `body`, or with the rest of it. `close`: the connection closes after it.
    ///
    /// A body begun by `try_end` is cut to what is left of its total; if it is shorter, the connection closes, which
    /// tells the client.
    pub fn end<'p>(
        &mut self,
        draft: &mut Draft,
        body: &'p [u8],
        close: bool,
        marks: &Marks,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'p>, ResponseError> {
        if self.stage != Stage::Head {
            return self.end_body(draft, body, close, output);
        }
        let framing = self.framing_of_body(draft, body.len() as u64)?;
        self.end_head(draft, framing, close, marks, output);
        let payload = if self.terms.has(Term::NoBody) { &[] } else { body };
        Ok(Outgoing { end: Some(self.complete(draft, close)), ..Outgoing::of(payload) })
    }

    /// Completes the response without a body, or without more of it. `content_length` is what the head announces
    /// nevertheless, as a response to HEAD and a 304 may; it is ignored if the head has been sent.
    pub fn end_without_body(
        &mut self,
        draft: &mut Draft,
        content_length: Option<u64>,
        close: bool,
        marks: &Marks,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'static>, ResponseError> {
        if self.stage != Stage::Head {
            return self.end_body(draft, &[], close, output);
        }
        let length = self.agree_on_length(draft, content_length)?;
        self.end_head(draft, length.map_or(Framing::Unsaid, Framing::Length), close, marks, output);
        Ok(Outgoing { end: Some(self.complete(draft, close)), ..Outgoing::of(&[]) })
    }

    /// Completes the response to a request that no route has answered. The headers that routes have written before they
    /// yielded are kept, unless they contradict this body.
    ///
    /// Fails if a body has begun that this one cannot complete; nobody else will complete it then.
    pub fn end_not_found(
        &mut self,
        draft: &mut Draft,
        marks: &Marks,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'static>, ResponseError> {
        self.write_status(draft, NOT_FOUND_STATUS)?;
        match self.end(draft, NOT_FOUND_BODY, false, marks, output) {
            Err(_) if self.stage == Stage::Head => {}
            result => return result,
        }
        draft.head.clear();
        self.write_status(draft, NOT_FOUND_STATUS)?;
        self.end(draft, NOT_FOUND_BODY, false, marks, output)
    }

    /// Completes the response with an error, after which the connection closes. Returns what to send, which is nothing
    /// once the head has been sent: the end of the connection tells the client. The draft is to be forgotten.
    pub fn refuse(&mut self, error: HttpError) -> &'static str {
        let response = match self.stage {
            Stage::Head if self.terms.has(Term::NoBody) => error.head(),
            Stage::Head => error.response(),
            _ => "",
        };
        self.stage = Stage::Complete;
        response
    }

    /// Whether [`Responder::upgrade`] is allowed.
    pub fn check_upgrade(self, draft: &Draft) -> Result<(), InvalidUpgrade> {
        match (self.stage, draft.head.own_status()) {
            (Stage::Complete, _) => Err(InvalidUpgrade::Complete),
            (Stage::Head, None | Some(Status::SWITCHING_PROTOCOLS)) => Ok(()),
            (Stage::Head, _) => Err(InvalidUpgrade::OtherStatus),
            _ => Err(InvalidUpgrade::HasBegun),
        }
    }

    /// Completes the response as an upgrade (RFC 9110 section 7.8): returns what the program has written of the head,
    /// to be sent with the handshake of the other protocol.
    pub fn upgrade(&mut self, draft: &mut Draft) -> Result<ResponseHead, InvalidUpgrade> {
        self.check_upgrade(draft)?;
        self.stage = Stage::Complete;
        Ok(std::mem::take(&mut draft.head))
    }

    /// The length that the head announces if the program passes a body of `given` bytes, or does not say. Fails if the
    /// program has written another Content-Length.
    fn agree_on_length(self, draft: &Draft, given: Option<u64>) -> Result<Option<u64>, ResponseError> {
        let status = draft.head.status();
        if status == Status::SWITCHING_PROTOCOLS {
            return Err(ResponseError::Switching);
        }
        match (draft.head.length(), given) {
            // Without a body, only the program knows how long that would have been.
            (Some(own), _) if self.terms.has(Term::NoBody) || !status.has_body() => Ok(Some(own)),
            (Some(announced), Some(given)) if announced != given => {
                Err(ResponseError::LengthMismatch { announced, given })
            }
            (Some(own), _) => Ok(Some(own)),
            (None, given) => Ok(given),
        }
    }

    /// How a body of `length` bytes is framed.
    fn framing_of_body(self, draft: &Draft, length: u64) -> Result<Framing, ResponseError> {
        // The body that a program passes with a 304 is seldom the one that a 200 would have had (RFC 9110 section 8.6).
        let length = draft.head.status().has_body().then_some(length);
        Ok(self.agree_on_length(draft, length)?.map_or(Framing::Unsaid, Framing::Length))
    }

    /// Appends the head.
    fn end_head(&mut self, draft: &mut Draft, framing: Framing, close: bool, marks: &Marks, output: &mut Vec<u8>) {
        let head = &mut draft.head;
        let mut framing = framing;
        self.terms.add_if(!head.status().has_body(), Term::NoBody);
        self.terms.add_if(close || head.closes(), Term::Closes);
        if self.terms.has(Term::Http10) {
            if framing == Framing::Chunks {
                framing = Framing::Unsaid;
            }
            // RFC 9112 section 6.3: where nothing else says where a body ends, the end of the connection does.
            self.terms.add_if(framing == Framing::Unsaid && !self.terms.has(Term::NoBody), Term::Closes);
            head.keep_alive();
        }
        self.terms.0 |= head.status().class() << CLASS;
        head.finish(output, framing, self.terms.has(Term::Closes), marks);
    }

    /// Completes a response whose head has been sent.
    fn end_body<'p>(
        &mut self,
        draft: &mut Draft,
        body: &'p [u8],
        close: bool,
        output: &mut Vec<u8>,
    ) -> Result<Outgoing<'p>, ResponseError> {
        let has_body = !self.terms.has(Term::NoBody);
        let mut outgoing = Outgoing::of(if has_body { body } else { &[] });
        let mut is_short = false;
        match self.stage {
            Stage::Head | Stage::Complete => return Err(ResponseError::Complete),
            Stage::Chunks if !has_body => {}
            Stage::Chunks if body.is_empty() => outgoing.tail = b"0\r\n\r\n",
            Stage::Chunks => {
                write_chunk(output, body.len());
                outgoing.tail = b"\r\n0\r\n\r\n";
            }
            Stage::UntilClose => {}
            Stage::Length => {
                let given = draft.offset + body.len() as u64;
                if has_body && given != draft.total {
                    return Err(ResponseError::LengthMismatch { announced: draft.total, given });
                }
            }
            Stage::TryEnd => {
                outgoing.payload = draft.cut(outgoing.payload);
                is_short = has_body && (outgoing.payload.len() as u64) < draft.left();
            }
        }
        outgoing.end = Some(self.complete(draft, close || is_short));
        Ok(outgoing)
    }

    /// Completes the response. Returns what becomes of the connection.
    fn complete(&mut self, draft: &mut Draft, close: bool) -> Persistence {
        self.stage = Stage::Complete;
        draft.offset = 0;
        draft.total = 0;
        if close || self.terms.has(Term::Closes) { Persistence::Close } else { Persistence::KeepAlive }
    }
}

impl Draft {
    /// Bytes of the body that are still to be sent.
    fn left(&self) -> u64 {
        self.total - self.offset
    }

    /// Cuts `piece` to what is left of the body.
    fn cut<'p>(&self, piece: &'p [u8]) -> &'p [u8] {
        usize::try_from(self.left()).ok().and_then(|left| piece.get(..left)).unwrap_or(piece)
    }

    /// The offset behind `piece`, if the body goes on for that long.
    fn offset_after(&self, piece: &[u8]) -> Result<u64, ResponseError> {
        let given = self.offset + piece.len() as u64;
        if given > self.total {
            return Err(ResponseError::LengthMismatch { announced: self.total, given });
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests;
