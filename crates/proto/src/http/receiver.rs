//! The receiving machine of HTTP: bytes in, request heads and body data out, one request after the other.
//!
//! ```text
//! Head ───── join ─────► Between ──── a head with a body ────► Body
//!   ▲                     │   ▲                                  │
//!   └─ an incomplete head ┘   └──────── the end of the body ─────┘
//! ```
//!
//! The machine owns no input: a [`Request`] borrows its head from the caller, so the head must lie in one piece of
//! memory that stays untouched while handlers look at it. Only a head that is incomplete is kept here, and
//! [`Receiver::join`] hands it back together with the bytes that continue it.

use std::mem;

use super::{Body, BodyChunk, HttpError, Request, RequestRoom, lower_minor_version};

/// What a client has sent.
#[derive(Clone, Copy, Debug)]
pub enum Event<'b> {
    /// The head of a request. If [`Request::body`] returns a body, its data follows.
    Request(&'b Request<'b>),
    /// The next part of the body of the last request.
    Data {
        /// The decoded bytes. They are empty only at the end of a body whose end comes after its data.
        data: &'b [u8],
        /// Whether the body ends here. The next event is the next request.
        is_last: bool,
        /// The number of bytes of data that are still to come; `None` if the body is chunked and has not ended.
        remaining: Option<u64>,
    },
}

/// One step of the machine.
#[derive(Debug)]
pub struct Step<'b> {
    /// The number of bytes of the input that were used. They must not be passed again.
    pub consumed: usize,
    /// The event that they complete. `None` if the rest of the input, or more input, has to be passed next.
    pub event: Option<Event<'b>>,
}

/// The position of a client in its sequence of requests: between two of them, in a head, or in a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    /// The beginning of a head, at least one byte.
    Head(Vec<u8>),
    /// The next input begins with a request whose version is neither HTTP/1.0 nor HTTP/1.1.
    OtherVersion,
    /// The rest of a body.
    Body(Body),
}

impl Receiver {
    /// Returns whether the client is between two requests. The machine then equals a new one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// Returns whether a part of a body is still to come.
    pub fn has_body(&self) -> bool {
        matches!(self.state, State::Body(_))
    }

    /// Returns the number of bytes of the body's data that are still to come: 0 outside of a body, `None` in a chunked
    /// one.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Body(body) => body.remaining(),
            _ => Some(0),
        }
    }

    /// Returns the number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        if let State::Head(head) = &self.state { head.capacity() } else { 0 }
    }

    /// Returns the incomplete head that the machine has kept, followed by `input`; `None` if it has kept nothing and
    /// `input` can be handled where it lies.
    ///
    /// Must be called once for each input that was received, before [`Receiver::handle`]. The caller owns the returned
    /// bytes, so that they outlive whatever a handler does to the connection and its machine.
    pub fn join(&mut self, input: &[u8]) -> Option<Vec<u8>> {
        let State::Head(head) = &mut self.state else { return None };
        let mut joined = mem::take(head);
        self.state = State::Between;
        joined.extend_from_slice(input);
        Some(joined)
    }

    /// Reads `input`, which must not be empty, up to the end of a head, of a piece of body data, or of the input. An
    /// incomplete head is copied and counts as used; see [`Receiver::join`].
    ///
    /// A request of HTTP/1.2 or a later HTTP/1 is handled as one of HTTP/1.1 (RFC 9110 section 2.5): its version is
    /// changed in `input`, in a step of its own that uses no bytes.
    ///
    /// A head may have `max_head_size` bytes. After an error the machine must not be used again.
    #[inline]
    pub fn handle<'b>(
        &mut self,
        input: &'b mut [u8],
        room: &'b mut RequestRoom<'b>,
        max_head_size: usize,
    ) -> Result<Step<'b>, HttpError> {
        match &mut self.state {
            State::Between => {}
            State::Body(body) => {
                let BodyChunk { consumed, data, is_last } = body.handle(input)?;
                let remaining = body.remaining();
                if is_last {
                    self.state = State::Between;
                }
                let has_event = is_last || !data.is_empty();
                return Ok(Step { consumed, event: has_event.then_some(Event::Data { data, is_last, remaining }) });
            }
            State::OtherVersion => self.lower_version(input)?,
            State::Head(_) => debug_assert!(false, "join takes the kept bytes first"),
        }
        let input = &*input;
        match Request::parse(input, room, max_head_size) {
            Ok(Some((request, consumed))) => {
                if let Some(body) = request.body() {
                    self.state = State::Body(body);
                }
                Ok(Step { consumed, event: Some(Event::Request(request)) })
            }
            Ok(None) => {
                self.keep_head(input);
                Ok(Step { consumed: input.len(), event: None })
            }
            // A request borrows the input for as long as the caller lends it, so only the next step can change it.
            Err(HttpError::UnsupportedVersion) => {
                self.state = State::OtherVersion;
                Ok(Step { consumed: 0, event: None })
            }
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn lower_version(&mut self, input: &mut [u8]) -> Result<(), HttpError> {
        self.state = State::Between;
        if lower_minor_version(input) { Ok(()) } else { Err(HttpError::UnsupportedVersion) }
    }

    #[cold]
    fn keep_head(&mut self, input: &[u8]) {
        if !input.is_empty() {
            self.state = State::Head(input.to_vec());
        }
    }
}

#[cfg(test)]
mod tests;
