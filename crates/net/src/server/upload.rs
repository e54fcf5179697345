//! The body of a request on its way to the handler that has asked for it.

use std::borrow::Cow;

/// The bytes of a body that are read before a handler has asked for it. Most bodies are shorter, and a body that has
/// been read does not hide the end of its connection.
const KEPT: usize = 64 * 1024;

/// The body of a request, until it has been received and delivered.
#[derive(Default)]
pub(super) struct Upload {
    taker: Taker,
    /// Bytes that have arrived before a handler has asked for the body.
    kept: Vec<u8>,
    is_complete: bool,
    /// The length of the data so far, in bytes.
    received: u64,
    /// Bytes on the wire since the connection last counted as active.
    paced: u64,
}

/// Who gets a body.
#[derive(Default)]
pub(super) enum Taker {
    /// No handler has asked for it so far.
    #[default]
    Nobody,
    /// The handler gets each piece as it arrives.
    Chunks {
        /// Whether a piece has been delivered, or the end.
        is_told: bool,
    },
    /// The handler gets the body as a whole.
    Whole {
        /// What has arrived.
        bytes: Vec<u8>,
        /// The greatest length, in bytes.
        max: usize,
    },
    /// The body is discarded.
    Discarded,
}

impl Taker {
    pub(super) fn chunks() -> Self {
        Self::Chunks { is_told: false }
    }

    /// `max` is in bytes.
    pub(super) fn whole(max: usize) -> Self {
        Self::Whole { bytes: Vec::new(), max }
    }
}

/// What a handler gets of a body.
pub(super) enum Part<'b> {
    Nothing,
    Chunk(Cow<'b, [u8]>),
    /// The whole body; `None` if it is too long.
    Whole(Option<Vec<u8>>),
}

impl Upload {
    /// The body of a request that has none.
    pub(super) fn empty() -> Self {
        Self { is_complete: true, ..Self::default() }
    }

    /// Promises the body to `taker`. Returns false if it has been promised to another one.
    pub(super) fn claim(&mut self, taker: Taker) -> bool {
        // A handler that has got nothing so far may be replaced by another of its kind, as ultimate-express does it.
        let is_free = matches!(
            (&self.taker, &taker),
            (Taker::Nobody, _) | (Taker::Chunks { is_told: false }, Taker::Chunks { .. })
        );
        if is_free {
            self.taker = taker;
        }
        is_free
    }

    /// Discards what has arrived and what will; returns whether the body is complete.
    pub(super) fn discard(&mut self) -> bool {
        self.taker = Taker::Discarded;
        self.kept = Vec::new();
        self.is_complete
    }

    /// Counts a piece of `length` bytes, the last one if `is_last`; returns false if the body is longer than `max`
    /// bytes. A body that is discarded may have any length.
    pub(super) fn count(&mut self, length: usize, is_last: bool, max: u64) -> bool {
        self.received += length as u64;
        if self.received > max && !matches!(self.taker, Taker::Discarded) {
            return false;
        }
        self.is_complete = is_last;
        true
    }

    /// Counts bytes on the wire; returns whether there have been `enough` since this last returned true.
    pub(super) fn keep_pace(&mut self, bytes: usize, enough: u64) -> bool {
        self.paced += bytes as u64;
        let is_enough = self.paced >= enough || self.is_complete;
        if is_enough {
            self.paced = 0;
        }
        is_enough
    }

    /// Passes a piece that has been counted to the taker, or keeps it if there is none.
    pub(super) fn take<'b>(&mut self, piece: &'b [u8]) -> Part<'b> {
        match &mut self.taker {
            Taker::Nobody => self.kept.extend_from_slice(piece),
            Taker::Chunks { is_told } if self.is_complete || !piece.is_empty() => {
                *is_told = true;
                return Part::Chunk(Cow::Borrowed(piece));
            }
            Taker::Whole { bytes, max } if piece.len() <= *max - bytes.len() => {
                bytes.extend_from_slice(piece);
                if self.is_complete {
                    return Part::Whole(Some(std::mem::take(bytes)));
                }
            }
            Taker::Whole { .. } => {
                self.taker = Taker::Discarded;
                return Part::Whole(None);
            }
            Taker::Chunks { .. } | Taker::Discarded => {}
        }
        Part::Nothing
    }

    /// Passes what has been kept to the taker.
    pub(super) fn take_kept(&mut self) -> Part<'static> {
        let kept = std::mem::take(&mut self.kept);
        match self.take(&kept) {
            Part::Nothing => Part::Nothing,
            Part::Chunk(_) => Part::Chunk(Cow::Owned(kept)),
            Part::Whole(body) => Part::Whole(body),
        }
    }

    /// Returns the number of bytes that have been allocated.
    pub(super) fn memory(&self) -> usize {
        let taken = if let Taker::Whole { bytes, .. } = &self.taker { bytes.capacity() } else { 0 };
        self.kept.capacity() + taken
    }

    /// Returns whether bytes have been kept, or the body is complete, so that a handler has something to get at once.
    pub(super) fn has_arrived(&self) -> bool {
        self.is_complete || !self.kept.is_empty()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns whether the body is complete and nothing of it is kept for a handler that may still ask for it.
    pub(super) fn is_done(&self) -> bool {
        self.is_complete && !matches!(self.taker, Taker::Nobody)
    }

    /// Returns whether more of the body may be read now.
    pub(super) fn has_room(&self) -> bool {
        !self.is_complete && (!matches!(self.taker, Taker::Nobody) || self.kept.len() < KEPT)
    }
}
