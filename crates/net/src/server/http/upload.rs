//! The body of a request: who gets it, and when it is read at all.
//!
//! The beginning of a body that nobody has asked for is read and kept; the rest stays in the kernel's buffer and slows its
//! sender down, until somebody asks or the response is complete. Then what is left of it is thrown away, for the next
//! request stands behind it; so is all of it when nobody has asked for as long as a connection may stand still.

use std::borrow::Cow;
use std::fmt;

use milliways_proto::http::HttpError;

use crate::event::Event;
use crate::ids::{ConnectionId, Slot, Stale};
use crate::server::Server;
use crate::server::conversation::{HttpFlag, Talk, WebSocketFlag};

/// Bytes a second, on average over an idle timeout, below which a client that sends a body is taken for one that only
/// wants to hold a connection.
const MIN_RATE: u64 = 16 * 1024;

/// Bytes of a body that are read before anybody has asked for it. Most bodies are shorter, and one that has been read
/// does not hide the end of its connection.
const KEEP: usize = 64 * 1024;

/// The body of a request, on its way to whoever gets it.
#[derive(Default)]
pub(crate) struct Upload {
    taker: Taker,
    /// Bytes that came before anybody asked for them.
    kept: Vec<u8>,
    /// Nothing is to be read any more.
    is_complete: bool,
    /// Bytes of data so far.
    received: u64,
    /// Bytes since the connection last counted as active.
    paced: u64,
}

/// Who gets a body.
#[derive(Default)]
enum Taker {
    /// Nobody has asked so far.
    #[default]
    Nobody,
    /// The handler, as it comes.
    Chunks {
        /// Whether some of it, or its end, has been told.
        is_told: bool,
    },
    /// The handler, as a whole of at most `max` bytes.
    Whole {
        /// What has come.
        bytes: Vec<u8>,
        max: usize,
    },
    /// Nobody will.
    Bin,
}

impl Upload {
    /// That of a request without a body.
    fn empty() -> Self {
        Self { is_complete: true, ..Self::default() }
    }

    /// Whether more of it may be read now.
    fn has_room(&self) -> bool {
        !self.is_complete && (!matches!(self.taker, Taker::Nobody) || self.kept.len() < KEEP)
    }

    /// Whether nothing is left of it if nobody wants it any more.
    pub(crate) fn discard(&mut self) -> bool {
        self.taker = Taker::Bin;
        self.kept = Vec::new();
        self.is_complete
    }
}

/// Why a request's body is not told. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The response is complete already, or the request was aborted, or the body has been thrown away.
    Stale,
    /// It was asked for before, as a whole, or by somebody who has got some of it.
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

/// A part of a body, for its taker.
enum Part<'b> {
    Nothing,
    Chunk(Cow<'b, [u8]>),
    Whole(Option<Vec<u8>>),
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

/// What the reactor's owner asks for; [`crate::Reactor`] documents each.
impl Server {
    pub(crate) fn receive_body(&mut self, id: ConnectionId) -> Result<(), BodyError> {
        self.take_body(id, Taker::Chunks { is_told: false })
    }

    pub(crate) fn collect_body(&mut self, id: ConnectionId, max: usize) -> Result<(), BodyError> {
        self.take_body(id, Taker::Whole { bytes: Vec::new(), max })
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
    fn take_body(&mut self, id: ConnectionId, taker: Taker) -> Result<(), BodyError> {
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
        match (&upload.taker, &taker) {
            // What has heard nothing so far may give way to another of its kind: ultimate-express does that.
            (Taker::Nobody, _) | (Taker::Chunks { is_told: false }, Taker::Chunks { .. }) => {}
            _ => return Err(BodyError::Taken),
        }
        upload.taker = taker;
        if upload.is_complete || !upload.kept.is_empty() {
            conversation.http().add(HttpFlag::OwesBody);
        }
        self.go_on_reading(id.slot);
        Ok(())
    }

    /// Throws away a body for which nobody has asked in time: its sender may have gone long since, which shows behind it.
    pub(in crate::server) fn abandon_body(&mut self, slot: Slot) {
        let conversation = &mut self.table[slot];
        conversation.http().add(HttpFlag::BodyAbandoned);
        if let Some(upload) = self.sides.get_mut(conversation.side).and_then(|side| side.upload.as_mut()) {
            upload.discard();
        }
        self.go_on_reading(slot);
    }

    /// After a body, or a WebSocket, was held back.
    pub(in crate::server) fn go_on_reading(&mut self, slot: Slot) {
        let now = self.clock.active();
        let conversation = &mut self.table[slot];
        conversation.last_active = now;
        let owes_body = matches!(conversation.talk, Talk::Http { flags, .. } if flags.has(HttpFlag::OwesBody));
        if owes_body || conversation.is_unread() {
            self.resumed.push(slot);
        }
        self.arm(slot);
    }

    /// Takes a piece of a body to whoever gets it; `consumed` bytes have brought it.
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
        let settings = &self.apps.of(conversation.app()).settings;
        let Some(upload) = self.sides.get_mut(conversation.side).and_then(|side| side.upload.as_mut()) else {
            return Ok(None);
        };
        upload.received += data.len() as u64;
        // What is thrown away anyway may be as long as the client likes, at the pace that is asked for.
        if upload.received > settings.max_body_size && !matches!(upload.taker, Taker::Bin) {
            return Err(HttpError::BodyTooLarge);
        }
        upload.is_complete = is_last;
        upload.paced += consumed as u64;
        if upload.paced >= MIN_RATE * u64::from(settings.idle_timeout) || is_last {
            upload.paced = 0;
            conversation.last_active = now;
        }
        if let Taker::Nobody = upload.taker {
            upload.kept.extend_from_slice(data);
            return Ok(None);
        }
        let part = upload.taker.take(data, is_last);
        self.forget_told(slot);
        Ok(part.into_event(id, remaining))
    }

    /// Tells what of a body came before somebody asked for it, or that there is none; returns whether it did.
    pub(crate) fn deliver_owed(&mut self, slot: Slot) -> bool {
        let id = self.table.id(slot);
        let conversation = &mut self.table[slot];
        let Talk::Http { responder: Some(_), flags } = &mut conversation.talk else { return false };
        // A paused one waits.
        if flags.has(HttpFlag::Paused) || !flags.take(HttpFlag::OwesBody) {
            return false;
        }
        let Some(side) = self.sides.get_mut(conversation.side) else { return false };
        let rest = side.requests.remaining();
        let Some(upload) = &mut side.upload else { return false };
        let kept = std::mem::take(&mut upload.kept);
        let remaining = if upload.is_complete { Some(0) } else { rest };
        let part = match upload.taker.take(&kept, upload.is_complete) {
            Part::Nothing => Part::Nothing,
            Part::Chunk(_) => Part::Chunk(Cow::Owned(kept)),
            Part::Whole(body) => Part::Whole(body),
        };
        self.forget_told(slot);
        let Some(event) = part.into_event(id, remaining) else { return false };
        self.events.push(event);
        true
    }

    /// Lets go of a body that has been told, or thrown away, to its end.
    fn forget_told(&mut self, slot: Slot) {
        let conversation = &mut self.table[slot];
        let Some(side) = self.sides.get_mut(conversation.side) else { return };
        if side.upload.take_if(|upload| upload.is_complete).is_none() {
            return;
        }
        // Nothing must stay of a response that is complete already.
        if conversation.is_answering() {
            conversation.http().add(HttpFlag::BodyTold);
        }
        self.sides.reclaim(&mut conversation.side);
    }

    fn upload(&self, slot: Slot) -> Option<&Upload> {
        self.sides.get(self.table[slot].side)?.upload.as_ref()
    }

    /// Whether a part of a request's body is still to be read.
    pub(in crate::server) fn has_body(&self, slot: Slot) -> bool {
        self.upload(slot).is_some_and(|upload| !upload.is_complete)
    }

    /// Whether a body waits with its sender for somebody to ask for it.
    pub(in crate::server) fn is_unclaimed(&self, slot: Slot) -> bool {
        matches!(self.table[slot].talk, Talk::Http { responder: Some(_), flags } if !flags.has(HttpFlag::Paused))
            && self.upload(slot).is_some_and(|upload| !upload.is_complete && !upload.has_room())
    }

    /// Whether nothing is to be read. HTTP: the next request has to wait, because the last one's response is not complete
    /// or the peer does not take it; what the peer sends meanwhile is its own affair, but for the rest of a body that
    /// somebody wants.
    pub(crate) fn is_held_up(&self, slot: Slot) -> bool {
        match self.table[slot].talk {
            Talk::Http { responder: Some(_), flags } => {
                flags.has(HttpFlag::Paused) || !self.upload(slot).is_some_and(Upload::has_room)
            }
            Talk::Http { responder: None, .. } => self.transport.backpressure(slot) > 0 && !self.has_body(slot),
            Talk::WebSocket { flags, .. } => flags.has(WebSocketFlag::Paused),
            Talk::Closing { .. } | Talk::Vacant | Talk::Gone => false,
        }
    }

    /// Whether the client must have moved on when a while has passed.
    pub(in crate::server) fn is_clients_turn(&self, slot: Slot) -> bool {
        match self.table[slot].talk {
            Talk::Http { responder: None, .. } => true,
            // The handler may take its time; the client may not.
            Talk::Http { responder: Some(_), flags } => {
                (self.has_body(slot) && !self.is_held_up(slot))
                    || self.is_unclaimed(slot)
                    || flags.has(HttpFlag::Stalled)
                    || self.transport.backpressure(slot) > 0
            }
            _ => false,
        }
    }
}

impl Taker {
    fn take<'b>(&mut self, data: &'b [u8], is_last: bool) -> Part<'b> {
        match self {
            Self::Chunks { is_told } if is_last || !data.is_empty() => {
                *is_told = true;
                Part::Chunk(Cow::Borrowed(data))
            }
            Self::Whole { bytes, max } => {
                if data.len() > *max - bytes.len() {
                    *self = Self::Bin;
                    return Part::Whole(None);
                }
                bytes.extend_from_slice(data);
                if is_last { Part::Whole(Some(std::mem::take(bytes))) } else { Part::Nothing }
            }
            Self::Chunks { .. } | Self::Bin | Self::Nobody => Part::Nothing,
        }
    }
}
