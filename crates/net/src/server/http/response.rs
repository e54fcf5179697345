//! Responses, as handlers write them.

use milliways_proto::http::{
    Declared, Draft, Instruction, Marks, Outgoing, Persistence, Request, Responder, query_value,
};
use milliways_proto::router::Parameters;

use crate::counters::Cell;
use crate::ids::{ConnectionId, Slot, Stale};
use crate::server::Server;
use crate::server::closing::End;
use crate::server::conversation::{HttpFlag, HttpFlags, Talk};
use crate::server::counting::{active_gauge, count_response};
use crate::server::trap::Layer;
use crate::server::upload::Upload;
use crate::transport::output::DIRECT_FROM;

pub use milliways_proto::http::ResponseError;

impl From<Stale> for ResponseError {
    fn from(Stale: Stale) -> Self {
        Self::Complete
    }
}

/// The result of [`Reactor::try_end`](crate::Reactor::try_end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryEnd {
    /// The whole piece has been taken. If not, [`Reactor::write_offset`](crate::Reactor::write_offset) returns how far
    /// the body has been written.
    pub is_taken: bool,
    /// The response is complete.
    pub is_complete: bool,
}

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn write_status(&mut self, id: ConnectionId, status: &[u8]) -> Result<(), ResponseError> {
        let (responder, draft) = self.responder(id)?;
        responder.write_status(draft, status)
    }

    pub(crate) fn write_header(&mut self, id: ConnectionId, name: &[u8], value: &[u8]) -> Result<(), ResponseError> {
        let (responder, draft) = self.responder(id)?;
        responder.write_header(draft, name, value)
    }

    pub(crate) fn respond(&mut self, id: ConnectionId, body: &[u8], close: bool) -> Result<(), ResponseError> {
        self.respond_by(id, |responder, draft, marks, output| responder.end(draft, body, close, marks, output))
    }

    pub(crate) fn respond_without_body(
        &mut self,
        id: ConnectionId,
        content_length: Option<u64>,
        close: bool,
    ) -> Result<(), ResponseError> {
        self.respond_by(id, |responder, draft, marks, output| {
            responder.end_without_body(draft, content_length, close, marks, output)
        })
    }

    pub(crate) fn begin_chunks(&mut self, id: ConnectionId) -> Result<(), ResponseError> {
        let had_begun = self.has_begun(id)?;
        self.append(id, Responder::begin)?;
        if !had_begun {
            self.note_progress(id.slot);
        }
        Ok(())
    }

    pub(crate) fn write_chunk(&mut self, id: ConnectionId, chunk: &[u8]) -> Result<bool, ResponseError> {
        self.begin_chunks(id)?;
        let outgoing =
            self.append(id, |responder, draft, marks, output| responder.write(draft, chunk, marks, output))?;
        if !outgoing.payload.is_empty() {
            self.note_progress(id.slot);
            self.note_body(id.slot, outgoing.payload.len());
        }
        self.send_outgoing(id.slot, outgoing);
        Ok(self.transport.keeps_up(id.slot))
    }

    pub(crate) fn try_end(
        &mut self,
        id: ConnectionId,
        piece: &[u8],
        total: u64,
        close: bool,
    ) -> Result<TryEnd, ResponseError> {
        let slot = id.slot;
        let Outgoing { payload, end, .. } = self.append(id, |responder, draft, marks, output| {
            responder.try_end(draft, piece, total, close, marks, output)
        })?;
        if let Some(persistence) = end {
            self.finish_response(slot, persistence);
            return Ok(TryEnd { is_taken: true, is_complete: true });
        }
        let taken = self.transport.offer(slot, payload);
        self.note_body(slot, taken);
        let (responder, draft) = self.responder(id)?;
        if let Some(persistence) = responder.advance(draft, taken, close) {
            self.finish_response(slot, persistence);
            return Ok(TryEnd { is_taken: true, is_complete: true });
        }
        let is_taken = taken == payload.len();
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        if taken > 0 {
            conversation.http().take(HttpFlag::Leaving);
            conversation.last_active = now;
        }
        if !is_taken {
            conversation.http().add(HttpFlag::Stalled);
            self.arm(slot);
        }
        Ok(TryEnd { is_taken, is_complete: false })
    }

    pub(crate) fn write_offset(&mut self, id: ConnectionId) -> Result<u64, Stale> {
        self.check_response(id)?;
        Ok(self.offset(id.slot))
    }

    pub(crate) fn want_writable(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_response(id)?;
        let flags = self.table[id.slot].http();
        flags.add(HttpFlag::WantsWritable);
        flags.add(HttpFlag::Attached);
        Ok(())
    }
}

impl Server {
    /// Writes a declared response.
    pub(super) fn declare(
        &mut self,
        id: ConnectionId,
        declared: &Declared,
        request: &Request<'_>,
        parameters: &Parameters,
    ) {
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
                    let value = parameters.value_of(name, request.path());
                    self.write_chunk(id, value.unwrap_or_default().as_bytes()).map(|_| ())
                }
                Instruction::Body => Ok(()),
                Instruction::End(bytes) => self.respond(id, bytes, false),
            };
            if written.is_err() {
                // `Server::conclude` fails the request.
                return;
            }
        }
    }

    /// Responds with 404 to a request that no route has answered.
    pub(super) fn respond_not_found(&mut self, id: ConnectionId) {
        // If this fails, the response is not complete, and `Server::conclude` fails the request.
        let _ = self.respond_by(id, Responder::end_not_found);
    }

    pub(super) fn write_continue(&mut self, slot: Slot) {
        if let Talk::Http { responder: Some(responder), .. } = self.table[slot].talk {
            self.transport.write(slot, |output| responder.write_continue(output));
            count_response(self.meter(slot), slot, 1);
        }
    }

    /// Returns the response that a handle refers to, and its draft.
    fn responder(&mut self, id: ConnectionId) -> Result<(&mut Responder, &mut Draft), Stale> {
        let conversation = self.table.get(id)?;
        let Talk::Http { responder: Some(responder), .. } = &mut conversation.talk else { return Err(Stale) };
        Ok((responder, &mut self.sides.of(&mut conversation.side).draft))
    }

    fn has_begun(&mut self, id: ConnectionId) -> Result<bool, Stale> {
        match self.table.get(id)?.talk {
            Talk::Http { responder: Some(responder), .. } => Ok(responder.has_begun()),
            _ => Err(Stale),
        }
    }

    /// Calls a method of the response with the output to append to.
    fn append<T>(
        &mut self,
        id: ConnectionId,
        call: impl FnOnce(&mut Responder, &mut Draft, &Marks, &mut Vec<u8>) -> Result<T, ResponseError>,
    ) -> Result<T, ResponseError> {
        if self.is_shutting_any_down() {
            self.close_after_response(id);
        }
        let Self { table, sides, transport, greeting, clock, apps, .. } = self;
        let marks = greeting.marks(clock.tick);
        let conversation = table.get(id)?;
        let Talk::Http { responder: Some(responder), .. } = &mut conversation.talk else { return Err(Stale.into()) };
        let had_begun = responder.has_begun();
        let mut new = Draft::default();
        let draft = sides.get_mut(conversation.side).map_or(&mut new, |side| &mut side.draft);
        let result = transport.write(id.slot, |output| call(responder, draft, marks, output));
        if !had_begun && responder.has_begun() {
            let class = responder.status_class();
            count_response(&apps.of(conversation.app()).meter, id.slot, class);
        }
        if !new.is_empty() {
            sides.of(&mut conversation.side).draft = new;
        }
        result
    }

    /// Completes a response.
    fn respond_by<'p>(
        &mut self,
        id: ConnectionId,
        call: impl FnOnce(&mut Responder, &mut Draft, &Marks, &mut Vec<u8>) -> Result<Outgoing<'p>, ResponseError>,
    ) -> Result<(), ResponseError> {
        let mut length = 0;
        let outgoing = self.append(id, |responder, draft, marks, output| {
            let outgoing = call(responder, draft, marks, output)?;
            length = outgoing.payload.len();
            // A short body is appended right after the head.
            let is_short = outgoing.payload.len() < DIRECT_FROM;
            if is_short {
                output.extend_from_slice(outgoing.payload);
                output.extend_from_slice(outgoing.tail);
            }
            Ok(if is_short { Outgoing { payload: &[], tail: &[], ..outgoing } } else { outgoing })
        })?;
        self.send_outgoing(id.slot, outgoing);
        self.note_body(id.slot, length);
        self.trap.pass(Layer::Response);
        if let Some(persistence) = outgoing.end {
            self.finish_response(id.slot, persistence);
        }
        Ok(())
    }

    fn send_outgoing(&mut self, slot: Slot, outgoing: Outgoing<'_>) {
        if !(outgoing.payload.is_empty() && outgoing.tail.is_empty()) {
            self.transport.write_payload(slot, outgoing.payload, |_| {}, outgoing.tail);
        }
    }

    /// Counts bytes of a response's body.
    fn note_body(&self, slot: Slot, length: usize) {
        let app = self.table[slot].app();
        self.apps.of(app).meter.add(Cell::ResponseBytes, length as u64);
    }

    fn note_progress(&mut self, slot: Slot) {
        let now = self.clock.active();
        self.table[slot].note_progress(now);
    }

    /// Returns the number of bytes of the response's body that have been written.
    pub(super) fn offset(&self, slot: Slot) -> u64 {
        self.sides.get(self.table[slot].side).map_or(0, |side| side.draft.offset())
    }

    /// Ends a response that is complete: begins to wait for the next request, or to close the connection.
    fn finish_response(&mut self, slot: Slot, persistence: Persistence) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        let mut has_input = false;
        if let Some(side) = self.sides.get_mut(conversation.side) {
            side.upload.take_if(Upload::discard);
            has_input = !side.input.is_empty();
        }
        if persistence == Persistence::Close {
            return self.end(slot, End::Answered);
        }
        let is_secure = self.transport.is_secure(slot);
        self.apps.of(conversation.app()).meter.subtract(active_gauge(is_secure), 1);
        let mut flags: HttpFlags = *conversation.http();
        flags.forget_response();
        flags.add(HttpFlag::Served);
        conversation.talk = Talk::Http { responder: None, flags };
        conversation.last_active = now;
        if has_input || flags.has(HttpFlag::Unread) {
            self.resumed.push(slot);
        }
        if !self.is_armed(slot) {
            self.arm(slot);
        }
        self.table.renew(slot);
    }
}
