//! What a handler answers.

use std::fmt;

use milliways_proto::http::{
    Declared, Framing, HeaderError, Instruction, NOT_FOUND_BODY, NOT_FOUND_STATUS, ResponseHead, Status, StatusError,
    query_value, write_chunk, write_last_chunk,
};

use super::{RoutedRequest, Upload};
use crate::server::conversation::{Connection, Flags, Phase, Progress, Way};
use crate::server::state::State;
use crate::{ConnectionId, Reactor, Stale};

/// Why a part of a response was not written. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The response is complete already, or the request was aborted.
    Stale,
    /// A status or header is not one that can be sent.
    InvalidHeader(HeaderError),
    /// A status is not one that completes a response.
    InvalidStatus,
    /// The status is 101, which only an upgrade can complete.
    Switching,
    /// The head is complete, because a part of the body has been written.
    HeadEnded,
    /// The body was begun in another way: in chunks, or with its length announced.
    Mixed,
    /// The body has another length than the handler's own Content-Length says.
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
            Self::Stale => "the response is complete, or its request was aborted",
            Self::InvalidStatus => "a status is a number from 200 to 999 and, after a space, a reason phrase",
            Self::Switching => "a response with the status 101 is completed by upgrade, and by nothing else",
            Self::HeadEnded => "headers must be written before the body",
            Self::Mixed => "a body begun with write cannot go on with tryEnd, nor the other way round",
        })
    }
}

impl std::error::Error for ResponseError {}

impl From<Stale> for ResponseError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

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

/// What became of a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryEnd {
    /// The socket took all of it; [`Reactor::write_offset`] tells how much.
    pub is_taken: bool,
    /// The response is complete.
    pub is_complete: bool,
}

impl Reactor {
    /// Writes the status, such as `200 OK` or `200`; the first one counts, and later ones are ignored.
    pub fn write_status(&self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        if state.response(id)?.flags.has(Flags::HEAD_ENDED) {
            // It is ignored, if it is one.
            ResponseHead::default().write_status(status)?;
        } else {
            state.head_of(id)?.write_status(status)?;
        }
        Ok(())
    }

    /// Writes a header. A Content-Length must be that of the body, which completing the response checks; a Connection header
    /// with `close` closes the connection after the response.
    pub fn write_header(&self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        if state.response(id)?.flags.has(Flags::HEAD_ENDED) {
            return Err(ResponseError::HeadEnded);
        }
        state.head_of(id)?.write_header(name, value)?;
        Ok(())
    }

    /// Completes the response with the rest of its body. `close`: the connection ends after it.
    pub fn respond(&self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), ResponseError> {
        let mut state = self.state();
        state.response(id)?;
        state.complete_response(id.slot, body, Announced::Body, close)
    }

    /// Completes the response without a body; `content_length` is what its head announces nevertheless, as the answer to
    /// a HEAD, or a 304, does.
    pub fn respond_without_body(
        &self,
        id: ConnectionId,
        content_length: Option<u64>,
        close: bool,
    ) -> Result<(), ResponseError> {
        let mut state = self.state();
        state.response(id)?;
        state.complete_response(id.slot, &[], Announced::Length(content_length), close)
    }

    /// Ends the head of a response whose body comes in chunks (RFC 9112 section 7.1), or as long as its own Content-Length
    /// says, unless that has been done. To a client of HTTP/1.0 the end of the connection says where the body ends.
    pub fn begin_chunks(&self, id: ConnectionId) -> Result<(), ResponseError> {
        self.state().begin_write(id)
    }

    /// Writes a part of the body. Tells whether the client keeps up: false when it waits for the socket, or is gone.
    pub fn write_chunk(&self, id: ConnectionId, chunk: &[u8]) -> Result<bool, ResponseError> {
        let mut state = self.state();
        state.begin_write(id)?;
        let now = state.active_now();
        let connection = state.response(id)?;
        let progress = connection.progress().copied();
        if !connection.flags.has(Flags::BODILESS | Flags::HEAD) {
            if !chunk.is_empty() {
                connection.note_progress(now);
            }
            if let Some(Progress { offset, total: Some(announced), .. }) = progress {
                let given = offset + chunk.len() as u64;
                if given > announced {
                    return Err(ResponseError::LengthMismatch { announced, given });
                }
                state.write_payload(id.slot, chunk, |_| {}, b"");
                state.advance(id.slot, chunk.len());
            } else {
                state.write_piece(id.slot, chunk);
            }
        }
        Ok(state.response(id)?.keeps_up())
    }

    /// Writes the next piece of a body of `total` bytes as far as the socket takes it; what it does not take is to be
    /// given again when [`Handler::writable`](crate::Handler::writable) says so.
    pub fn try_end(&self, id: ConnectionId, piece: &[u8], total: u64, close: bool) -> Result<TryEnd, ResponseError> {
        let mut state = self.state();
        let (offset, total) = state.begin_length(id, total, close)?;
        let flags = state.response(id)?.flags;
        let left = total - offset;
        if left == 0 || flags.has(Flags::BODILESS | Flags::HEAD) {
            state.finish_response(id.slot, close);
            return Ok(TryEnd { is_taken: true, is_complete: true });
        }
        let piece = usize::try_from(left).ok().and_then(|left| piece.get(..left)).unwrap_or(piece);
        let taken = state.offer(id.slot, piece);
        state.advance(id.slot, taken);
        if taken as u64 == left {
            state.finish_response(id.slot, close);
            return Ok(TryEnd { is_taken: true, is_complete: true });
        }
        let is_taken = taken == piece.len();
        let now = state.active_now();
        let connection = state.response(id)?;
        if taken > 0 {
            connection.flags.take(Flags::LEAVING);
            connection.last_active = now;
        }
        if !is_taken {
            connection.flags.add(Flags::STALLED);
            state.arm(id.slot);
        }
        Ok(TryEnd { is_taken, is_complete: false })
    }

    /// How many bytes of a body whose length was announced have been written; 0 for one in chunks.
    pub fn write_offset(&self, id: ConnectionId) -> Result<u64, Stale> {
        Ok(self.state().response(id)?.progress().map_or(0, |progress| progress.offset))
    }

    /// Asks to be told by [`Handler::writable`](crate::Handler::writable).
    pub fn want_writable(&self, id: ConnectionId) -> Result<(), Stale> {
        self.state().response(id)?.flags.add(Flags::WANTS_WRITABLE | Flags::ATTACHED);
        Ok(())
    }
}

impl Reactor {
    /// Answers with what was declared.
    pub(super) fn declare(&self, id: ConnectionId, declared: &Declared, routed: &RoutedRequest<'_>) {
        let request = routed.request;
        for instruction in declared.instructions() {
            let written = match instruction {
                Instruction::Status(status) => self.write_status(id, status),
                Instruction::Header(name, value) => self.write_header(id, name, value),
                Instruction::Write(bytes) => self.write_chunk(id, bytes).map(|_| ()),
                Instruction::QueryValue(key) => {
                    let value = query_value(request.query().unwrap_or_default().as_bytes(), key);
                    self.write_chunk(id, &value.unwrap_or_default()).map(|_| ())
                }
                Instruction::HeaderValue(name) => {
                    self.write_chunk(id, request.header(name).unwrap_or_default()).map(|_| ())
                }
                Instruction::ParameterValue(name) => {
                    self.write_chunk(id, routed.parameter(name).unwrap_or_default().as_bytes()).map(|_| ())
                }
                Instruction::Body => Ok(()),
                Instruction::End(bytes) => self.respond(id, bytes, false),
            };
            if written.is_err() {
                // The request goes unanswered, which has an answer of its own.
                return;
            }
        }
    }
}

/// What a response says of its length.
#[derive(Clone, Copy)]
pub(super) enum Announced {
    /// That of the body, all of which is there.
    Body,
    /// This one, or nothing.
    Length(Option<u64>),
}

impl State {
    pub(crate) fn response(&mut self, id: ConnectionId) -> Result<&mut Connection, Stale> {
        self.table.get(id).and_then(|connection| match connection.phase {
            Phase::Response => Ok(connection),
            _ => Err(Stale),
        })
    }

    /// What has been written of the head of a response.
    fn head_of(&mut self, id: ConnectionId) -> Result<&mut ResponseHead, Stale> {
        let Self { table, pool, .. } = self;
        Ok(&mut pool.side_of(table.get(id)?).head)
    }

    /// Takes what has been written of the head of a response.
    pub(super) fn take_head(&mut self, slot: u32) -> ResponseHead {
        let side = self.table.at(slot).and_then(|connection| connection.side.as_mut());
        side.map(|side| std::mem::take(&mut side.head)).unwrap_or_default()
    }

    /// Writes the head, which is complete with that, and `payload` behind it unless the response has no body.
    fn end_head(&mut self, slot: u32, framing: Framing, close: bool, payload: &[u8]) {
        let (marks, mut head) = (*self.marks(), self.take_head(slot));
        let is_begun = !head.is_empty();
        let Some(connection) = self.table.at(slot) else { return };
        if !head.status().has_body() {
            connection.flags.add(Flags::BODILESS);
        }
        let mut framing = framing;
        let mut closes = close || head.closes();
        if connection.flags.has(Flags::HTTP_1_0) {
            // RFC 9112 section 6.3: where nothing else says where a body ends, the end of the connection does.
            if framing == Framing::Chunks {
                framing = Framing::Unsaid;
            }
            closes |= framing == Framing::Unsaid && !connection.flags.has(Flags::BODILESS | Flags::HEAD);
            head.keep_alive();
        }
        if closes {
            connection.flags.add(Flags::CLOSE_AFTER);
        }
        connection.flags.add(Flags::HEAD_ENDED);
        let closes = connection.flags.has(Flags::CLOSE_AFTER);
        let payload = if connection.flags.has(Flags::BODILESS | Flags::HEAD) { &[] } else { payload };
        self.write_payload(slot, payload, |output| head.finish(output, framing, closes, &marks), b"");
        // Its memory is for the next one.
        if is_begun && let Some(side) = self.table.at(slot).and_then(|connection| connection.side.as_mut()) {
            side.head = head;
        }
    }

    /// The length that a response announces whose handler says that it has `given` bytes, or nothing; an error when the
    /// handler has written a Content-Length that says otherwise.
    fn agree_on_length(&mut self, id: ConnectionId, given: Option<u64>) -> Result<Option<u64>, ResponseError> {
        let connection = self.response(id)?;
        let is_head = connection.flags.has(Flags::HEAD);
        let Some(head) = connection.head() else { return Ok(given) };
        let status = head.status();
        if status == Status::SWITCHING_PROTOCOLS {
            return Err(ResponseError::Switching);
        }
        match (head.length(), given) {
            // Of a response without a body the handler knows best how long that would have been.
            (Some(own), _) if is_head || !status.has_body() => Ok(Some(own)),
            (Some(announced), Some(given)) if announced != given => {
                Err(ResponseError::LengthMismatch { announced, given })
            }
            (Some(own), _) => Ok(Some(own)),
            (None, given) => Ok(given),
        }
    }

    fn begin_write(&mut self, id: ConnectionId) -> Result<(), ResponseError> {
        match self.response(id)?.progress() {
            Some(progress) if progress.way != Way::Write => return Err(ResponseError::Mixed),
            Some(_) => return Ok(()),
            None => {}
        }
        let total = self.agree_on_length(id, None)?;
        self.end_head(id.slot, total.map_or(Framing::Chunks, Framing::Length), false, &[]);
        let now = self.active_now();
        self.response(id)?.note_progress(now);
        self.begin_progress(id.slot, Progress { offset: 0, total, way: Way::Write });
        Ok(())
    }

    /// Writes a part of a body of which nobody has said how long it is.
    fn write_piece(&mut self, slot: u32, piece: &[u8]) {
        let Some(connection) = self.table.at(slot) else { return };
        if connection.flags.has(Flags::HTTP_1_0) {
            self.write_payload(slot, piece, |_| {}, b"");
        } else if !piece.is_empty() {
            // An empty chunk would be the last.
            self.write_payload(slot, piece, |output| write_chunk(output, piece.len()), b"\r\n");
        }
    }

    /// Gives how much of the body has been written and how long it is.
    fn begin_length(&mut self, id: ConnectionId, total: u64, close: bool) -> Result<(u64, u64), ResponseError> {
        match self.response(id)?.progress() {
            // What was announced first is what the client counts on.
            Some(Progress { offset, total: Some(total), way: Way::TryEnd }) => return Ok((*offset, *total)),
            Some(_) => return Err(ResponseError::Mixed),
            None => {}
        }
        let framing = self.framing_of_body(id, total)?;
        self.end_head(id.slot, framing, close, &[]);
        self.begin_progress(id.slot, Progress { offset: 0, total: Some(total), way: Way::TryEnd });
        Ok((0, total))
    }

    /// How a body of that length is framed.
    fn framing_of_body(&mut self, id: ConnectionId, length: u64) -> Result<Framing, ResponseError> {
        // The body that a handler gives with a 304 is seldom the one that a 200 would have had (RFC 9110 section 8.6).
        let has_body = self.response(id)?.head().is_none_or(|head| head.status().has_body());
        let length = self.agree_on_length(id, has_body.then_some(length))?;
        Ok(length.map_or(Framing::Unsaid, Framing::Length))
    }

    fn begin_progress(&mut self, slot: u32, progress: Progress) {
        if let Some(connection) = self.table.at(slot) {
            self.pool.side_of(connection).progress = Some(progress);
        }
    }

    fn advance(&mut self, slot: u32, bytes: usize) {
        let side = self.table.at(slot).and_then(|connection| connection.side.as_mut());
        if let Some(progress) = side.and_then(|side| side.progress.as_mut()) {
            progress.offset += bytes as u64;
        }
    }

    /// Whether a handler has attached something to a response that is not complete.
    pub(super) fn is_heard(&mut self, id: ConnectionId) -> bool {
        self.response(id).is_ok_and(|connection| connection.flags.has(Flags::AWAITED | Flags::ATTACHED))
    }

    /// Answers a request that no route has answered. What those that yielded have written of a head stays, unless it says
    /// something of another body.
    pub(super) fn respond_not_found(&mut self, slot: u32) {
        let id = self.table.id(slot);
        for _ in 0..2 {
            if let Ok(head) = self.head_of(id) {
                head.write_status(NOT_FOUND_STATUS).expect("a constant");
            }
            if self.complete_response(slot, NOT_FOUND_BODY, Announced::Body, false).is_ok() {
                return;
            }
            drop(self.take_head(slot));
        }
    }

    /// Completes the response with what is left of its body; what it announces counts if the head is not complete yet.
    pub(super) fn complete_response(
        &mut self,
        slot: u32,
        body: &[u8],
        announced: Announced,
        close: bool,
    ) -> Result<(), ResponseError> {
        let id = self.table.id(slot);
        let connection = self.response(id)?;
        let has_body = !connection.flags.has(Flags::BODILESS | Flags::HEAD);
        match connection.progress().copied() {
            None => {
                let framing = match announced {
                    Announced::Body => self.framing_of_body(id, body.len() as u64)?,
                    Announced::Length(length) => {
                        self.agree_on_length(id, length)?.map_or(Framing::Unsaid, Framing::Length)
                    }
                };
                self.end_head(slot, framing, close, body);
                self.finish_response(slot, close);
            }
            Some(Progress { total: None, .. }) => {
                if has_body {
                    let has_chunks = !connection.flags.has(Flags::HTTP_1_0);
                    self.write_piece(slot, body);
                    if has_chunks {
                        self.write(slot, write_last_chunk);
                    }
                }
                self.finish_response(slot, close);
            }
            Some(Progress { offset, total: Some(total), way }) => {
                let given = offset + body.len() as u64;
                if way == Way::Write && has_body && given != total {
                    return Err(ResponseError::LengthMismatch { announced: total, given });
                }
                let left = usize::try_from(total - offset).unwrap_or(usize::MAX);
                let body = &body[..body.len().min(left)];
                let is_short = body.len() < left && has_body;
                if has_body {
                    self.write_payload(slot, body, |_| {}, b"");
                }
                // The client waits for more than there will be; the end of the connection tells it.
                self.finish_response(slot, close || is_short);
            }
        }
        Ok(())
    }

    /// After the last byte of a response: the next request's turn, or the end.
    fn finish_response(&mut self, slot: u32, close: bool) {
        let now = self.active_now();
        let Some(connection) = self.table.at(slot) else { return };
        let closes = close || connection.flags.has(Flags::CLOSE_AFTER);
        if let Some(side) = &mut connection.side {
            side.progress = None;
            side.upload.take_if(Upload::discard);
        }
        if closes {
            self.begin_closing(slot);
            return;
        }
        connection.phase = Phase::Request;
        connection.flags.forget_response();
        connection.last_active = now;
        let has_input = connection.side.as_ref().is_some_and(|side| !side.input.is_empty());
        if has_input || connection.flags.has(Flags::UNREAD) {
            self.resumed.push(slot);
        }
        if !self.wheel.is_scheduled(slot) {
            self.arm(slot);
        }
        self.table.renew(slot);
    }
}
