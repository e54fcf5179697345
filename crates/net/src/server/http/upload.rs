//! The body of a request: who gets it, and when it is read at all.
//!
//! Of a body that nobody has asked for a beginning is read and kept; the rest stays in the kernel's buffer and slows its
//! sender down, until somebody asks or the response is complete. Then what is left of it is thrown away, for the next
//! request stands behind it; so is all of it when nobody has asked for as long as a connection may stand still.

use std::fmt;

use milliways_proto::http::{Body, HttpError};

use crate::server::conversation::{Connection, Flags, Phase};
use crate::server::state::State;
use crate::{ConnectionId, Handler, Reactor, Stale};

/// Bytes a second, on average over an idle timeout, below which a client that sends a body is taken for one that only
/// wants to hold a connection.
const MIN_RATE: u64 = 16 * 1024;

/// Bytes of a body that are read before anybody has asked for it. Most bodies are shorter, and one that has been read
/// does not hide the end of its connection.
const KEEP: usize = 64 * 1024;

/// The rest of a request's body, and what of it has not been told yet.
pub(crate) struct Upload {
    body: Body,
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
pub(crate) enum Taker {
    /// Nobody has asked so far.
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
    pub(crate) fn new(body: Body) -> Self {
        Self { body, taker: Taker::Nobody, kept: Vec::new(), is_complete: false, received: 0, paced: 0 }
    }

    /// Of a request without a body.
    fn empty() -> Self {
        Self { is_complete: true, ..Self::new(Body::chunked()) }
    }

    /// Whether all of it has been read.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether more of it may be read now.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_complete && (!matches!(self.taker, Taker::Nobody) || self.kept.len() < KEEP)
    }

    /// Whether nothing is left of it if nobody wants it any more.
    pub(crate) fn discard(&mut self) -> bool {
        self.taker = Taker::Bin;
        self.kept = Vec::new();
        self.is_complete
    }

    fn remaining(&self) -> Option<u64> {
        if self.is_complete { Some(0) } else { self.body.remaining() }
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
    Chunk(&'b [u8]),
    Whole(Option<Vec<u8>>),
}

impl Reactor {
    /// Has the request's body told by [`Handler::data`]; also the end of one that is empty. Too late for one that has
    /// waited for as long as a connection may stand still, and for one that is told already or is asked for as a whole.
    pub fn receive_body(&self, id: ConnectionId) -> Result<(), BodyError> {
        self.state().take_body(id, Taker::Chunks { is_told: false })
    }

    /// Has the request's body told by [`Handler::collected`] when it is complete, unless it is longer than `max` bytes.
    pub fn collect_body(&self, id: ConnectionId, max: usize) -> Result<(), BodyError> {
        self.state().take_body(id, Taker::Whole { bytes: Vec::new(), max })
    }

    /// Stops reading the request's body: its sender is slowed down when the buffers between him and us are full. No
    /// timeout runs, but for that of a sender who has finished.
    pub fn pause_body(&self, id: ConnectionId) -> Result<(), Stale> {
        self.state().response(id)?.flags.add(Flags::PAUSED);
        Ok(())
    }

    /// Goes on reading.
    pub fn resume_body(&self, id: ConnectionId) -> Result<(), Stale> {
        let mut state = self.state();
        if state.response(id)?.flags.take(Flags::PAUSED) {
            state.go_on_reading(id.slot);
        }
        Ok(())
    }

    /// Handles the next bytes of a body; gives the number used.
    pub(super) fn handle_upload(&self, slot: u32, bytes: &[u8], handler: &impl Handler) -> usize {
        let id = self.state().table.id(slot);
        self.deliver_owed(id, handler);
        let mut state = self.state();
        match state.read_upload(slot, bytes) {
            Ok((consumed, part, remaining)) => {
                drop(state);
                self.deliver(id, part, remaining, handler);
                consumed
            }
            Err(error) => {
                drop(state);
                self.refuse(slot, error, handler);
                bytes.len()
            }
        }
    }

    /// Tells what of a body came before somebody asked for it, or that there is none.
    pub(crate) fn deliver_owed(&self, id: ConnectionId, handler: &impl Handler) {
        let mut state = self.state();
        let Ok(connection) = state.response(id) else { return };
        // A paused one waits.
        if connection.flags.has(Flags::PAUSED) || !connection.flags.take(Flags::OWES_BODY) {
            return;
        }
        let Some(upload) = connection.side.as_mut().and_then(|side| side.upload.as_mut()) else { return };
        let kept = std::mem::take(&mut upload.kept);
        let part = upload.taker.take(&kept, upload.is_complete);
        let remaining = upload.remaining();
        state.forget_told(id.slot);
        drop(state);
        self.deliver(id, part, remaining, handler);
    }

    fn deliver(&self, id: ConnectionId, part: Part<'_>, remaining: Option<u64>, handler: &impl Handler) {
        match part {
            Part::Nothing => {}
            Part::Chunk(data) => handler.data(self, id, data, remaining),
            Part::Whole(body) => handler.collected(self, id, body),
        }
    }
}

impl State {
    fn take_body(&mut self, id: ConnectionId, taker: Taker) -> Result<(), BodyError> {
        let flags = self.response(id)?.flags;
        if flags.has(Flags::BODY_ABANDONED) {
            return Err(BodyError::Stale);
        }
        self.response(id)?.flags.add(Flags::ATTACHED);
        if flags.has(Flags::BODY_TOLD) {
            return Err(BodyError::Taken);
        }
        let Self { table, pool, .. } = self;
        let connection = table.get(id)?;
        let upload = pool.side_of(connection).upload.get_or_insert_with(Upload::empty);
        match (&upload.taker, &taker) {
            // What has heard nothing so far may give way to another of its kind: ultimate-express does that.
            (Taker::Nobody, _) | (Taker::Chunks { is_told: false }, Taker::Chunks { .. }) => {}
            _ => return Err(BodyError::Taken),
        }
        upload.taker = taker;
        if upload.is_complete || !upload.kept.is_empty() {
            connection.flags.add(Flags::OWES_BODY);
        }
        self.go_on_reading(id.slot);
        Ok(())
    }

    /// Throws away a body for which nobody has asked in time: its sender may have gone long since, which shows behind it.
    pub(crate) fn abandon_body(&mut self, slot: u32) {
        let Some(connection) = self.table.at(slot) else { return };
        connection.flags.add(Flags::BODY_ABANDONED);
        if let Some(side) = &mut connection.side
            && let Some(upload) = &mut side.upload
        {
            upload.discard();
        }
        self.go_on_reading(slot);
    }

    /// After a body, or a WebSocket, was held back.
    pub(crate) fn go_on_reading(&mut self, slot: u32) {
        let now = self.active_now();
        let Some(connection) = self.table.at(slot) else { return };
        connection.last_active = now;
        if connection.flags.has(Flags::UNREAD | Flags::OWES_BODY) {
            self.resumed.push(slot);
        }
        self.arm(slot);
    }

    fn read_upload<'b>(&mut self, slot: u32, bytes: &'b [u8]) -> Result<(usize, Part<'b>, Option<u64>), HttpError> {
        let now = self.active_now();
        let Self { table, apps, .. } = self;
        let nothing = Ok((bytes.len(), Part::Nothing, None));
        let Some(connection) = table.at(slot) else { return nothing };
        // What has become of it while something was told.
        if !matches!(connection.phase, Phase::Request | Phase::Response) || !connection.has_body() {
            return Ok((0, Part::Nothing, None));
        }
        let settings = &apps.of(connection.app()).settings;
        let Connection { side, last_active, .. } = connection;
        let Some(upload) = side.as_mut().and_then(|side| side.upload.as_mut()) else { return nothing };
        let chunk = upload.body.handle(bytes)?;
        upload.received += chunk.data.len() as u64;
        // Of what is thrown away anyway a client may send as much as he wants to, at the pace that is asked for.
        if upload.received > settings.max_body_size && !matches!(upload.taker, Taker::Bin) {
            return Err(HttpError::BodyTooLarge);
        }
        upload.is_complete = chunk.is_last;
        upload.paced += chunk.consumed as u64;
        if upload.paced >= MIN_RATE * u64::from(settings.idle_timeout) || chunk.is_last {
            upload.paced = 0;
            *last_active = now;
        }
        if let Taker::Nobody = upload.taker {
            upload.kept.extend_from_slice(chunk.data);
            return Ok((chunk.consumed, Part::Nothing, None));
        }
        let part = upload.taker.take(chunk.data, chunk.is_last);
        let remaining = upload.remaining();
        self.forget_told(slot);
        Ok((chunk.consumed, part, remaining))
    }

    /// Lets go of a body that has been told, or thrown away, to its end.
    fn forget_told(&mut self, slot: u32) {
        let Self { table, pool, .. } = self;
        let Some(connection) = table.at(slot) else { return };
        if let Some(side) = &mut connection.side
            && side.upload.take_if(|upload| upload.is_complete).is_some()
        {
            // Of a response that is complete already nothing must stay.
            if connection.phase == Phase::Response {
                connection.flags.add(Flags::BODY_TOLD);
            }
            pool.reclaim(connection);
        }
    }
}

impl Taker {
    fn take<'b>(&mut self, data: &'b [u8], is_last: bool) -> Part<'b> {
        match self {
            Self::Chunks { is_told } if is_last || !data.is_empty() => {
                *is_told = true;
                Part::Chunk(data)
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

/// When the client must have moved on, if it is its turn.
pub(crate) fn is_clients_turn(connection: &Connection) -> bool {
    match connection.phase {
        Phase::Request => true,
        // The handler may take its time; the client may not.
        Phase::Response => {
            (connection.has_body() && !connection.is_held_up())
                || connection.is_unclaimed()
                || connection.backpressure() > 0
                || connection.flags.has(Flags::STALLED)
        }
        Phase::WebSocket | Phase::Closing => false,
    }
}
