//! UTF-8 validation of text that arrives in pieces: an invalid byte is found in the piece that contains it.

use simdutf8::compat::from_utf8;

/// The state of text that has been valid UTF-8 so far, apart from a character that may be incomplete.
#[derive(Debug, Default)]
pub(super) struct Utf8Stream {
    /// The beginning of the character in which the last piece ended.
    pending: [u8; 4],
    pending_len: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidUtf8;

impl Utf8Stream {
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), InvalidUtf8> {
        while self.pending_len > 0 {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            self.pending[self.pending_len] = *byte;
            self.pending_len += 1;
            bytes = rest;
            match std::str::from_utf8(&self.pending[..self.pending_len]) {
                Ok(_) => self.pending_len = 0,
                // Four bytes are either a character or an error, so there is room for one more.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(InvalidUtf8),
            }
        }
        match from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let tail = &bytes[error.valid_up_to()..];
                self.pending[..tail.len()].copy_from_slice(tail);
                self.pending_len = tail.len();
                Ok(())
            }
            Err(_) => Err(InvalidUtf8),
        }
    }

    /// Ends the text. Returns an error if its last character is incomplete.
    pub(super) fn finish(&mut self) -> Result<(), InvalidUtf8> {
        if std::mem::take(&mut self.pending_len) == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }
}

/// Returns whether `bytes` are valid UTF-8.
pub fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut stream = Utf8Stream::default();
        for piece in pieces {
            stream.feed(piece)?;
        }
        stream.finish()
    }

    #[test]
    fn agrees_with_the_whole_at_every_pair_of_splits() {
        let good = "aé€😀z".as_bytes();
        let mut samples = vec![good.to_vec()];
        for index in 0..good.len() {
            for byte in [0x00, 0x80, 0xC0, 0xED, 0xF5, 0xFF] {
                let mut bad = good.to_vec();
                bad[index] = byte;
                samples.push(bad);
            }
            samples.push(good[..index].to_vec());
        }
        for sample in samples {
            for first in 0..=sample.len() {
                for second in first..=sample.len() {
                    let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                    assert_eq!(in_pieces(&pieces).is_ok(), is_valid(&sample), "{}", sample.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn a_bad_byte_is_found_in_its_piece() {
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.feed(b"\xE2\x82"), Ok(()));
        assert_eq!(stream.feed(b"\x41"), Err(InvalidUtf8));
        // A surrogate is invalid from its second byte on.
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.feed(b"\xED"), Ok(()));
        assert_eq!(stream.feed(b"\xA0"), Err(InvalidUtf8));
    }
}
