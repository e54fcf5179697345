//! Where a request's body ends: by Content-Length, or by the chunked transfer coding (RFC 9112 sections 6 and 7.1).

use super::HttpError;

/// Bytes that size lines, extensions and trailers of one chunked body may have between two pieces of data: enough for
/// anything real, too few to keep a connection busy with nothing.
const MAX_CHUNK_OVERHEAD: u32 = 4096;

/// A body that has not ended yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// Bytes of size lines and trailers since the last data.
    overhead: u32,
}

/// What [`Body::handle`] found at the start of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyChunk<'b> {
    /// Bytes of the input that were used.
    pub consumed: usize,
    /// The bytes among them that belong to the body; may be empty.
    pub data: &'b [u8],
    /// Whether the body has ended. What follows is the next request.
    pub is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This many bytes are left.
    Length(u64),
    /// chunk-size = 1*HEXDIG; the flag: whether a digit has been seen.
    Size(u64, bool),
    /// BWS before chunk-ext: nothing but a semicolon may come, or one of us reads `0 4` as 0 and the other as 4.
    ExtensionStart(u64),
    /// chunk-ext, which is read and ignored.
    Extension(u64),
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    /// At the start of a line of the trailer section.
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
    Ended,
}

impl Body {
    /// A body of this many bytes, at least one.
    pub fn with_length(length: u64) -> Self {
        debug_assert!(length > 0, "no body is no Body");
        Self { state: State::Length(length), overhead: 0 }
    }

    /// A body in the chunked transfer coding.
    pub fn chunked() -> Self {
        Self { state: State::Size(0, false), overhead: 0 }
    }

    /// Bytes of data to come; `None` when only the end of the body will tell.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            _ => None,
        }
    }

    /// Reads on: to the end of a piece of data, of the body, or of the input. To be called until the input is used up
    /// or the body has ended.
    pub fn handle<'b>(&mut self, input: &'b [u8]) -> Result<BodyChunk<'b>, HttpError> {
        let mut position = 0;
        while position < input.len() {
            if let State::Length(left) | State::Data(left) = self.state {
                let rest = &input[position..];
                let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let left = left - length as u64;
                self.state = match self.state {
                    State::Length(_) if left == 0 => State::Ended,
                    State::Length(_) => State::Length(left),
                    _ if left == 0 => State::DataReturn,
                    _ => State::Data(left),
                };
                self.overhead = 0;
                let is_last = self.state == State::Ended;
                return Ok(BodyChunk { consumed: position + length, data: &rest[..length], is_last });
            }
            self.state = self.state.after(input[position])?;
            position += 1;
            self.overhead += 1;
            if self.overhead > MAX_CHUNK_OVERHEAD {
                return Err(HttpError::HeadTooLarge);
            }
            if self.state == State::Ended {
                return Ok(BodyChunk { consumed: position, data: &[], is_last: true });
            }
        }
        Ok(BodyChunk { consumed: position, data: &[], is_last: false })
    }
}

impl State {
    /// The state behind one byte of framing.
    fn after(self, byte: u8) -> Result<Self, HttpError> {
        Ok(match (self, byte) {
            (Self::Size(size, _), _) if byte.is_ascii_hexdigit() => {
                // A size that wraps smuggles. uWebSockets.js takes 60 bits as well.
                if size >> 56 != 0 {
                    return Err(HttpError::Syntax);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size(size << 4 | u64::from(digit), true)
            }
            (Self::Size(size, true) | Self::Extension(size), b'\r') => Self::SizeLineFeed(size),
            (Self::Size(size, true) | Self::ExtensionStart(size), b' ' | b'\t') => Self::ExtensionStart(size),
            (Self::Size(size, true) | Self::ExtensionStart(size), b';') => Self::Extension(size),
            (Self::Extension(size), _) if is_field_byte(byte) => Self::Extension(size),
            // last-chunk = 1*"0"
            (Self::SizeLineFeed(0) | Self::TrailerLineFeed, b'\n') => Self::TrailerStart,
            (Self::SizeLineFeed(size), b'\n') => Self::Data(size),
            (Self::DataReturn, b'\r') => Self::DataLineFeed,
            (Self::DataLineFeed, b'\n') => Self::Size(0, false),
            (Self::TrailerStart, b'\r') => Self::LastLineFeed,
            (Self::TrailerStart, _) if is_field_byte(byte) && byte != b' ' && byte != b'\t' => Self::Trailer,
            (Self::Trailer, b'\r') => Self::TrailerLineFeed,
            (Self::Trailer, _) if is_field_byte(byte) => Self::Trailer,
            (Self::LastLineFeed, b'\n') => Self::Ended,
            _ => return Err(HttpError::Syntax),
        })
    }
}

/// HTAB, SP, VCHAR and obs-text: no control character, so no bare CR or LF.
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in two pieces at every split and byte by byte; the data and the length of the body must not
    /// depend on it.
    fn read(body: &Body, input: &[u8]) -> Result<(Vec<u8>, usize), HttpError> {
        let feed = |pieces: &[&[u8]]| {
            let (mut body, mut data, mut used) = (body.clone(), Vec::new(), 0);
            for piece in pieces {
                let mut rest = *piece;
                while !rest.is_empty() {
                    let chunk = body.handle(rest)?;
                    data.extend_from_slice(chunk.data);
                    used += chunk.consumed;
                    rest = &rest[chunk.consumed..];
                    if chunk.is_last {
                        return Ok((data, used));
                    }
                }
            }
            Ok((data, usize::MAX))
        };
        let whole = feed(&[input]);
        for split in 0..=input.len() {
            assert_eq!(feed(&[&input[..split], &input[split..]]), whole, "split at {split}");
        }
        assert_eq!(feed(&input.chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn a_length_ends_where_it_says() {
        assert_eq!(read(&Body::with_length(5), b"helloGET"), Ok((b"hello".to_vec(), 5)));
    }

    #[test]
    fn only_a_length_tells_how_much_is_to_come() {
        let mut body = Body::with_length(5);
        assert_eq!(body.remaining(), Some(5));
        body.handle(b"hel").expect("good");
        assert_eq!(body.remaining(), Some(2));
        body.handle(b"lo").expect("good");
        assert_eq!(body.remaining(), Some(0));
        let mut body = Body::chunked();
        assert_eq!(body.remaining(), None);
        body.handle(b"5\r\nhe").expect("good");
        assert_eq!(body.remaining(), None);
    }

    #[test]
    fn chunks_extensions_and_trailers() {
        let input = b"3 \t;x\r\nabc\r\n0a;name=\"v\"\r\n0123456789\r\n000\r\nTrailer: x\r\nB: y\r\n\r\nGET";
        assert_eq!(read(&Body::chunked(), input), Ok((b"abc0123456789".to_vec(), input.len() - 3)));
        assert_eq!(read(&Body::chunked(), b"0\r\n\r\n"), Ok((Vec::new(), 5)));
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
        for input in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x3\r\nabc\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n",
            b"0 3\r\nabc\r\n",
            b"3 x;y\r\nabc\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3;a\nb\r\nabc\r\n",
            b"3;\0\r\nabc\r\n",
            b"1000000000000000\r\n",
            b"10000000000000001\r\n",
            b"0\r\n\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\n folded\r\n\r\n",
        ] {
            assert_eq!(read(&Body::chunked(), input), Err(HttpError::Syntax), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        for start in ["1;", "0\r\nA:"] {
            let input = format!("{start}{}", "x".repeat(MAX_CHUNK_OVERHEAD as usize + 1));
            let mut body = Body::chunked();
            assert_eq!(body.handle(input.as_bytes()), Err(HttpError::HeadTooLarge));
        }
    }
}
