//! Receiving the body of a request.
//!
//! The beginning of a body that no handler has asked for is read and kept. The rest stays in the kernel's buffer and
//! slows the client down until a handler asks for it, or the response is complete. What is left then is discarded,
//! because the next request follows it. The whole body is discarded if no handler asks for it during an idle timeout.

use std::fmt;

use milliways_proto::http::HttpError;

use crate::counters::Cell;
use crate::event::Event;
use crate::ids::{ConnectionId, Slot, Stale};
use crate::server::Server;
use crate::server::conversation::{HttpFlag, Talk};
use crate::server::upload::{Part, Taker, Upload};

/// The average rate in bytes a second, over an idle timeout, that a client sending a body must reach. A slower client
/// is considered to hold the connection on purpose.
const MIN_RATE: u64 = 16 * 1024;

/// Why a request's body cannot be received. This is an error of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The response is complete, the request has been aborted, or the body has been discarded.
    Stale,
    /// Some of the body has been delivered, or another handler has asked for it in another way.
    Taken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stale => "the response is complete, or its request was aborted",
            Self::Taken => "another handler has begun to receive the request's body",
        })
    }
}

impl std::error::Error for BodyError {}

impl From<Stale> for BodyError {
    fn from(Stale: Stale) -> Self {
        Self::Stale
    }
}

impl<'b> Part<'b> {
    fn into_event(self, id: ConnectionId, remaining: Option<u64>) -> Option<Event<'b>> {
        match self {
            Self::Nothing => None,
            Self::Chunk(data) => Some(Event::Data { id, data, remaining }),
            Self::Whole(body) => Some(Event::Collected { id, body }),
        }
    }
}

/// The methods behind those of [`crate::Reactor`], which documents them.
impl Server {
    pub(crate) fn receive_body(&mut self, id: ConnectionId) -> Result<(), BodyError> {
        self.claim_body(id, Taker::chunks())
    }

    pub(crate) fn collect_body(&mut self, id: ConnectionId, max: usize) -> Result<(), BodyError> {
        self.claim_body(id, Taker::whole(max))
    }

    pub(crate) fn pause_body(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_response(id)?;
        self.table[id.slot].http().add(HttpFlag::Paused);
        Ok(())
    }

    pub(crate) fn resume_body(&mut self, id: ConnectionId) -> Result<(), Stale> {
        self.check_response(id)?;
        if self.table[id.slot].http().take(HttpFlag::Paused) {
            self.go_on_reading(id.slot);
        }
        Ok(())
    }
}

impl Server {
    fn claim_body(&mut self, id: ConnectionId, taker: Taker) -> Result<(), BodyError> {
        self.check_response(id)?;
        let conversation = &mut self.table[id.slot];
        let flags = conversation.http();
        if flags.has(HttpFlag::BodyAbandoned) {
            return Err(BodyError::Stale);
        }
        flags.add(HttpFlag::Attached);
        if flags.has(HttpFlag::BodyTold) {
            return Err(BodyError::Taken);
        }
        let upload = self.sides.of(&mut conversation.side).upload.get_or_insert_with(Upload::empty);
        if !upload.claim(taker) {
            return Err(BodyError::Taken);
        }
        if upload.has_arrived() {
            conversation.http().add(HttpFlag::OwesBody);
        }
        self.go_on_reading(id.slot);
        Ok(())
    }

    /// Discards a body that no handler has asked for in time. The client may have gone, which is only seen after the
    /// body.
    pub(in crate::server) fn abandon_body(&mut self, slot: Slot) {
        let conversation = &mut self.table[slot];
        conversation.http().add(HttpFlag::BodyAbandoned);
        if let Some(upload) = self.sides.get_mut(conversation.side).and_then(|side| side.upload.as_mut()) {
            upload.discard();
        }
        self.go_on_reading(slot);
    }

    /// Passes a piece of a body, which took `consumed` bytes on the wire, to the handler that has asked for it.
    pub(super) fn take_data<'b>(
        &mut self,
        slot: Slot,
        data: &'b [u8],
        is_last: bool,
        remaining: Option<u64>,
        consumed: usize,
    ) -> Result<Option<Event<'b>>, HttpError> {
        let (id, now) = (self.table.id(slot), self.clock.active());
        let conversation = &mut self.table[slot];
        let app = self.apps.of(conversation.app());
        app.meter.add(Cell::RequestBytes, data.len() as u64);
        let settings = &app.settings;
        let Some(upload) = self.sides.get_mut(conversation.side).and_then(|side| side.upload.as_mut()) else {
            return Ok(None);
        };
        if !upload.count(data.len(), is_last, settings.max_body_size) {
            return Err(HttpError::BodyTooLarge);
        }
        if upload.keep_pace(consumed, MIN_RATE * u64::from(settings.idle_timeout)) {
            conversation.last_active = now;
        }
        let part = upload.take(data);
        self.release_body(slot);
        Ok(part.into_event(id, remaining))
    }

    /// Queues the part of a body that arrived before a handler asked for it, or its end. Returns whether there was
    /// something to deliver.
    #[inline]
    pub(crate) fn deliver_owed(&mut self, slot: Slot) -> bool {
        let Talk::Http { responder: Some(_), flags } = self.table[slot].talk else { return false };
        flags.has(HttpFlag::OwesBody) && !flags.has(HttpFlag::Paused) && self.deliver_kept(slot)
    }

    #[inline(never)]
    fn deliver_kept(&mut self, slot: Slot) -> bool {
        let id = self.table.id(slot);
        let conversation = &mut self.table[slot];
        conversation.http().take(HttpFlag::OwesBody);
        let Some(side) = self.sides.get_mut(conversation.side) else { return false };
        let Some(upload) = &mut side.upload else { return false };
        let remaining = if upload.is_complete() { Some(0) } else { side.requests.remaining() };
        let part = upload.take_kept();
        self.release_body(slot);
        let Some(event) = part.into_event(id, remaining) else { return false };
        self.events.push(event);
        true
    }

    /// Releases a body that has a taker, or is discarded, and is complete.
    fn release_body(&mut self, slot: Slot) {
        let conversation = &mut self.table[slot];
        let Some(side) = self.sides.get_mut(conversation.side) else { return };
        if side.upload.take_if(|upload| upload.is_done()).is_none() {
            return;
        }
        // A flag must not outlive its response.
        if conversation.is_answering() {
            conversation.http().add(HttpFlag::BodyTold);
        }
        self.sides.reclaim(&mut conversation.side);
    }

    fn upload(&self, slot: Slot) -> Option<&Upload> {
        self.sides.get(self.table[slot].side)?.upload.as_ref()
    }

    /// Returns whether a part of a request's body is still to be read.
    #[inline(never)]
    pub(in crate::server) fn has_body(&self, slot: Slot) -> bool {
        self.upload(slot).is_some_and(|upload| !upload.is_complete())
    }

    /// Returns whether more of a request's body may be read now.
    #[inline(never)]
    pub(in crate::server) fn has_room_for_body(&self, slot: Slot) -> bool {
        self.upload(slot).is_some_and(Upload::has_room)
    }

    /// Returns whether the rest of a body stays with the client until a handler asks for it.
    pub(in crate::server) fn is_unclaimed(&self, slot: Slot) -> bool {
        matches!(self.table[slot].talk, Talk::Http { responder: Some(_), flags } if !flags.has(HttpFlag::Paused))
            && self.upload(slot).is_some_and(|upload| !upload.is_complete() && !upload.has_room())
    }
}
