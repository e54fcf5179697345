//! What a handler answers.

use std::fmt;

use milliways_proto::http::{
    DEFAULT_STATUS_LINE, Declared, Instruction, InvalidHeader, Marks, StatusLine, query_value, write_chunk,
    write_chunked_ending, write_ending, write_header, write_last_chunk, write_status,
};

use super::{RoutedRequest, Upload};
use crate::connection::{Connection, Flags, Phase, Progress};
use crate::state::State;
use crate::{ConnectionId, Reactor, Stale};

/// Why a part of a response was not written. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The response is complete already, or the request was aborted.
    Stale,
    /// A status or header has a CR, LF or NUL, or a header's name is empty.
    InvalidHeader,
    /// The head is complete, because a part of the body has been written.
    HeadEnded,
    /// The body was begun in another way: in chunks, or with its length announced.
    Mixed,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stale => "the response is complete, or its request was aborted",
            Self::InvalidHeader => "CR, LF and NUL are not allowed in a status or header, nor an empty header name",
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

impl From<InvalidHeader> for ResponseError {
    fn from(InvalidHeader: InvalidHeader) -> Self {
        Self::InvalidHeader
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
    /// Writes the status line, such as `200 OK`; the first one counts, and later ones are ignored.
    pub fn write_status(&self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        let connection = state.response(id)?;
        // A header has made it 200.
        let has_headers = connection.side.as_ref().is_some_and(|side| !side.head.is_empty());
        if connection.flags.has(Flags::STATUS_WRITTEN) || has_headers {
            return Ok(());
        }
        state.write_status_line(id.slot, status)
    }

    /// Writes a header. Without a status before it the response is one of 200, or of 101 should the request be upgraded:
    /// nothing of it goes out before that is decided.
    pub fn write_header(&self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let mut state = self.state();
        if state.response(id)?.flags.has(Flags::HEAD_ENDED) {
            return Err(ResponseError::HeadEnded);
        }
        let State { table, pool, .. } = &mut *state;
        let connection = table.get(id)?;
        if !connection.flags.has(Flags::STATUS_WRITTEN) {
            return Ok(write_header(&mut pool.side_of(connection).head, name, value)?);
        }
        let mut written = Ok(());
        state.write(id.slot, |output| written = write_header(output, name, value));
        Ok(written?)
    }

    /// Completes the response with the rest of its body. `close`: the connection ends after it.
    pub fn respond(&self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), Stale> {
        let mut state = self.state();
        state.response(id)?;
        state.complete_response(id.slot, body, Some(body.len() as u64), close);
        Ok(())
    }

    /// Completes the response without a body; `content_length` is what its head announces nevertheless, as the answer to
    /// a HEAD does.
    pub fn respond_without_body(
        &self,
        id: ConnectionId,
        content_length: Option<u64>,
        close: bool,
    ) -> Result<(), Stale> {
        let mut state = self.state();
        state.response(id)?;
        state.complete_response(id.slot, &[], content_length, close);
        Ok(())
    }

    /// Ends the head of a response whose body comes in chunks (RFC 9112 section 7.1), unless that has been done.
    pub fn begin_chunks(&self, id: ConnectionId) -> Result<(), ResponseError> {
        self.state().begin_chunks(id)
    }

    /// Writes a chunk of the body. Tells whether the client keeps up: false when it waits for the socket, or is gone.
    pub fn write_chunk(&self, id: ConnectionId, chunk: &[u8]) -> Result<bool, ResponseError> {
        let mut state = self.state();
        state.begin_chunks(id)?;
        let flags = state.response(id)?.flags;
        // An empty chunk would be the last.
        if !chunk.is_empty() && !flags.has(Flags::BODILESS | Flags::HEAD) {
            state.write_payload(id.slot, chunk, |output| write_chunk(output, chunk.len()), b"\r\n");
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
        self.state().response(id)?.flags.add(Flags::WANTS_WRITABLE);
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
                Instruction::End(bytes) => self.respond(id, bytes, false).map_err(ResponseError::from),
            };
            if written.is_err() {
                // The request goes unanswered, which has an answer of its own.
                return;
            }
        }
    }
}

/// The end of a response's head: what every response has, and what is said of its body.
struct HeadEnd {
    marks: Marks,
    /// From before.
    flags: Flags,
    close: bool,
}

impl HeadEnd {
    /// Before a body of that length, or of one of which nothing is said.
    fn write(&self, output: &mut Vec<u8>, content_length: Option<u64>) {
        self.write_marks(output);
        write_ending(output, content_length.filter(|_| !self.flags.has(Flags::BODILESS)));
    }

    /// Before a body in chunks.
    fn write_chunked(&self, output: &mut Vec<u8>) {
        self.write_marks(output);
        if self.flags.has(Flags::BODILESS) { write_ending(output, None) } else { write_chunked_ending(output) }
    }

    fn write_marks(&self, output: &mut Vec<u8>) {
        if !self.flags.has(Flags::STATUS_WRITTEN) {
            output.extend_from_slice(DEFAULT_STATUS_LINE);
        }
        if self.close && !self.flags.has(Flags::CLOSE_ASKED) {
            write_header(output, b"Connection", b"close").expect("a constant");
        }
        self.marks.write(output);
    }
}

impl State {
    pub(crate) fn response(&mut self, id: ConnectionId) -> Result<&mut Connection, Stale> {
        self.table.get(id).and_then(|connection| match connection.phase {
            Phase::Response => Ok(connection),
            _ => Err(Stale),
        })
    }

    pub(super) fn write_status_line(&mut self, slot: u32, status: &[u8]) -> Result<(), ResponseError> {
        let mut written = Ok(StatusLine::WithBody);
        self.write(slot, |output| written = write_status(output, status));
        let status_line = written?;
        if let Some(connection) = self.table.at(slot) {
            connection.flags.add(Flags::STATUS_WRITTEN);
            if status_line == StatusLine::WithoutBody {
                connection.flags.add(Flags::BODILESS);
            }
        }
        Ok(())
    }

    /// What is still to be written of the head, which counts as complete from now on. To be written next.
    fn end_head(&mut self, slot: u32, close: bool) -> HeadEnd {
        let marks = *self.marks();
        let flags = self.table.at(slot).map_or(Flags::default(), |connection| {
            if let Some(side) = &mut connection.side
                && !side.head.is_empty()
            {
                let output = side.output.bytes();
                output.extend_from_slice(DEFAULT_STATUS_LINE);
                output.extend_from_slice(&side.head);
                side.head.clear();
                connection.flags.add(Flags::STATUS_WRITTEN);
            }
            let before = connection.flags;
            connection.flags.add(Flags::STATUS_WRITTEN | Flags::HEAD_ENDED);
            before
        });
        HeadEnd { marks, flags, close }
    }

    fn begin_chunks(&mut self, id: ConnectionId) -> Result<(), ResponseError> {
        let connection = self.response(id)?;
        match connection.progress() {
            Some(progress) if progress.total.is_some() => return Err(ResponseError::Mixed),
            Some(_) => return Ok(()),
            None => {}
        }
        let head = self.end_head(id.slot, false);
        self.write(id.slot, |output| head.write_chunked(output));
        self.begin_progress(id.slot, None);
        Ok(())
    }

    /// Gives how much of the body has been written and how long it is.
    fn begin_length(&mut self, id: ConnectionId, total: u64, close: bool) -> Result<(u64, u64), ResponseError> {
        match self.response(id)?.progress() {
            // What was announced first is what the client counts on.
            Some(Progress { offset, total: Some(total) }) => return Ok((*offset, *total)),
            Some(_) => return Err(ResponseError::Mixed),
            None => {}
        }
        let head = self.end_head(id.slot, close);
        self.write(id.slot, |output| head.write(output, Some(total)));
        self.begin_progress(id.slot, Some(total));
        Ok((0, total))
    }

    fn begin_progress(&mut self, slot: u32, total: Option<u64>) {
        if let Some(connection) = self.table.at(slot) {
            self.pool.side_of(connection).progress = Some(Progress { offset: 0, total });
        }
    }

    fn advance(&mut self, slot: u32, bytes: usize) {
        let side = self.table.at(slot).and_then(|connection| connection.side.as_mut());
        if let Some(progress) = side.and_then(|side| side.progress.as_mut()) {
            progress.offset += bytes as u64;
        }
    }

    /// Completes the response with what is left of its body; `content_length` counts if the head is not complete yet.
    pub(super) fn complete_response(&mut self, slot: u32, body: &[u8], content_length: Option<u64>, close: bool) {
        let Some(connection) = self.table.at(slot) else { return };
        let has_body = |flags: Flags| !flags.has(Flags::BODILESS | Flags::HEAD);
        match connection.progress().copied() {
            None => {
                let head = self.end_head(slot, close);
                let body = if has_body(head.flags) { body } else { &[] };
                self.write_payload(slot, body, |output| head.write(output, content_length), b"");
                self.finish_response(slot, close);
            }
            Some(Progress { total: None, .. }) => {
                if has_body(connection.flags) {
                    if !body.is_empty() {
                        self.write_payload(slot, body, |output| write_chunk(output, body.len()), b"\r\n");
                    }
                    self.write(slot, write_last_chunk);
                }
                self.finish_response(slot, close);
            }
            Some(Progress { offset, total: Some(total) }) => {
                let left = usize::try_from(total - offset).unwrap_or(usize::MAX);
                let body = &body[..body.len().min(left)];
                let is_short = body.len() < left && has_body(connection.flags);
                if has_body(connection.flags) {
                    self.write_payload(slot, body, |_| {}, b"");
                }
                // The client waits for more than there will be; the end of the connection tells it.
                self.finish_response(slot, close || is_short);
            }
        }
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
