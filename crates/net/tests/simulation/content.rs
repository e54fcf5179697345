//! The content of messages and bodies. It follows from who says what, so neither side has to keep it.

use std::fmt::Write as _;

/// The distance in bytes between two characters of a text that take two bytes.
const ACCENTS: usize = 50;

/// Who says something, and which of the things that it says this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// What it is, as a letter.
    pub(crate) kind: char,
    /// Who says it: a client, a topic.
    pub(crate) who: usize,
    pub(crate) number: u32,
}

impl Content {
    pub(crate) fn new(kind: char, who: usize, number: u32) -> Self {
        Self { kind, who, number }
    }

    /// Returns a length with which a text does not end in the middle of a character.
    pub(crate) fn whole(length: usize) -> usize {
        if length > 0 && length.is_multiple_of(ACCENTS) { length + 1 } else { length }
    }

    /// Returns the bytes from `start` on. They are valid UTF-8 from the beginning to a [`Content::whole`] length.
    pub(crate) fn bytes(self, start: usize, length: usize) -> Vec<u8> {
        let mut label = String::new();
        let _ = write!(label, "{}{}.{};", self.kind, self.who, self.number);
        debug_assert!(label.len() < ACCENTS - 2);
        let shift = self.who * 7 + self.number as usize * 13;
        let byte = |index: usize| match index % ACCENTS {
            _ if index < label.len() => label.as_bytes()[index],
            0 if index > 0 => 0xA9,
            last if last == ACCENTS - 1 => 0xC3,
            // The period is a prime, so that bytes that are lost or doubled show.
            _ => b' ' + ((index + shift) % 89) as u8,
        };
        // The first byte of an accent is at the end of one line, the second one at the beginning of the next.
        (start..start + length).map(byte).collect()
    }

    /// Returns whether these are the bytes from `start` on.
    pub(crate) fn is_at(self, start: usize, bytes: &[u8]) -> bool {
        self.bytes(start, bytes.len()) == bytes
    }
}
