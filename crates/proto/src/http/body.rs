//! Where a request's body ends: by Content-Length, or by the chunked transfer coding (RFC 9112 sections 6 and 7.1).

use super::HttpError;

/// Bytes of framing (size lines with their extensions, line ends, trailers) that a chunked body may have beyond the
/// allowances for its chunks and data: enough for any real client, too few to keep a connection busy with nothing.
const MAX_CHUNK_OVERHEAD: u32 = 4096;

/// The allowance of framing bytes for each chunk. A size of 64 bits and three line ends take fewer.
const OVERHEAD_PER_CHUNK: u32 = 24;

/// The allowance of framing bytes for each byte of data, so that a body of any length may have extensions such as a
/// signature in each chunk.
const OVERHEAD_PER_BYTE: u32 = 2;

/// A body that has not ended yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// Bytes of framing, less the allowances so far.
    overhead: u32,
}

/// What [`Body::handle`] has found at the start of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyChunk<'b> {
    /// The number of bytes of the input that were used.
    pub consumed: usize,
    /// The bytes among them that belong to the body; may be empty.
    pub data: &'b [u8],
    /// Whether the body has ended. What follows is the next request.
    pub is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The number of bytes that are left.
    Length(u64),
    /// In `chunk-size = 1*HEXDIG`: the size so far, and whether a digit has been read.
    Size(u64, bool),
    /// In chunk-ext, which is checked and ignored.
    Extension(u64, Extension),
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    /// At the start of a line of the trailer section, which is checked and ignored.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Ended,
}

/// A position in `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// In BWS after the size or a value. Only a semicolon may follow: one recipient could read `0 4` as 0, another as
    /// 4.
    Semicolon,
    /// Before a name.
    NameStart,
    Name,
    /// In BWS after a name.
    NameEnd,
    /// Before `chunk-ext-val = token / quoted-string`.
    ValueStart,
    Value,
    Quoted,
    /// After a backslash.
    QuotedPair,
    QuotedEnd,
}

impl Extension {
    /// Returns the position after one more byte, or `None` if this byte is not allowed here.
    fn after(self, byte: u8) -> Option<Self> {
        let is_space = byte == b' ' || byte == b'\t';
        Some(match self {
            Self::NameStart | Self::Name if is_token_byte(byte) => Self::Name,
            Self::ValueStart | Self::Value if is_token_byte(byte) => Self::Value,
            // quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
            Self::ValueStart if byte == b'"' => Self::Quoted,
            Self::Quoted if byte == b'"' => Self::QuotedEnd,
            Self::Quoted if byte == b'\\' => Self::QuotedPair,
            Self::Quoted | Self::QuotedPair if is_field_byte(byte) => Self::Quoted,
            Self::NameStart | Self::ValueStart if is_space => self,
            Self::Name | Self::NameEnd if is_space => Self::NameEnd,
            Self::Name | Self::NameEnd if byte == b'=' => Self::ValueStart,
            Self::Semicolon | Self::Value | Self::QuotedEnd if is_space => Self::Semicolon,
            Self::Semicolon | Self::Name | Self::NameEnd | Self::Value | Self::QuotedEnd if byte == b';' => {
                Self::NameStart
            }
            _ => return None,
        })
    }

    /// Whether the extension may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::QuotedEnd)
    }
}

impl Body {
    /// Returns a body of `length` bytes, which must not be 0.
    pub fn with_length(length: u64) -> Self {
        debug_assert!(length > 0, "no body is no Body");
        Self { state: State::Length(length), overhead: 0 }
    }

    /// Returns a body in the chunked transfer coding.
    pub fn chunked() -> Self {
        Self { state: State::Size(0, false), overhead: 0 }
    }

    /// The number of bytes of data to come; `None` if only the end of the body will tell.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            _ => None,
        }
    }

    /// Reads `input` up to the end of a piece of data, of the body, or of the input. Call this until the input is used
    /// up or the body has ended.
    ///
    /// After an error the body must not be used again.
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
                let paid = u64::from(OVERHEAD_PER_BYTE).saturating_mul(length as u64);
                self.overhead = self.overhead.saturating_sub(u32::try_from(paid).unwrap_or(u32::MAX));
                let is_last = self.state == State::Ended;
                return Ok(BodyChunk { consumed: position + length, data: &rest[..length], is_last });
            }
            let before = self.state;
            self.state = before.after(input[position])?;
            position += 1;
            self.overhead += 1;
            if before == State::DataLineFeed {
                self.overhead = self.overhead.saturating_sub(OVERHEAD_PER_CHUNK);
            }
            if self.overhead > MAX_CHUNK_OVERHEAD {
                return Err(HttpError::ChunkFramingTooLarge);
            }
            if self.state == State::Ended {
                return Ok(BodyChunk { consumed: position, data: &[], is_last: true });
            }
        }
        Ok(BodyChunk { consumed: position, data: &[], is_last: false })
    }
}

impl State {
    /// Returns the state after one byte of framing.
    fn after(self, byte: u8) -> Result<Self, HttpError> {
        Ok(match (self, byte) {
            (Self::Size(size, _), _) if byte.is_ascii_hexdigit() => {
                // A size that wraps around could smuggle a request. uWebSockets.js takes 60 bits, too.
                if size >> 56 != 0 {
                    return Err(HttpError::InvalidChunkSize);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size(size << 4 | u64::from(digit), true)
            }
            (Self::Size(size, true), b'\r') => Self::SizeLineFeed(size),
            (Self::Size(size, true), b' ' | b'\t') => Self::Extension(size, Extension::Semicolon),
            (Self::Size(size, true), b';') => Self::Extension(size, Extension::NameStart),
            (Self::Extension(size, extension), b'\r') if extension.may_end() => Self::SizeLineFeed(size),
            (Self::Extension(size, extension), _) => {
                Self::Extension(size, extension.after(byte).ok_or(HttpError::InvalidChunkExtension)?)
            }
            // last-chunk = 1*"0"
            (Self::SizeLineFeed(0) | Self::TrailerLineFeed, b'\n') => Self::TrailerStart,
            (Self::SizeLineFeed(size), b'\n') => Self::Data(size),
            (Self::DataReturn, b'\r') => Self::DataLineFeed,
            (Self::DataLineFeed, b'\n') => Self::Size(0, false),
            (Self::TrailerStart, b'\r') => Self::LastLineFeed,
            // trailer-section = *( field-line CRLF ), field-line = field-name ":" OWS field-value OWS
            (Self::TrailerStart | Self::TrailerName, _) if is_token_byte(byte) => Self::TrailerName,
            (Self::TrailerName, b':') => Self::TrailerValue,
            (Self::TrailerValue, b'\r') => Self::TrailerLineFeed,
            (Self::TrailerValue, _) if is_field_byte(byte) => Self::TrailerValue,
            (Self::LastLineFeed, b'\n') => Self::Ended,
            _ => return Err(self.error()),
        })
    }

    /// Returns the error for a byte of framing that is not allowed here.
    #[cold]
    fn error(self) -> HttpError {
        match self {
            // A semicolon without a size, or a CR without an LF behind the size, too.
            Self::Length(_) | Self::Data(_) | Self::Ended | Self::Size(..) | Self::SizeLineFeed(_) => {
                HttpError::InvalidChunkSize
            }
            Self::Extension(..) => HttpError::InvalidChunkExtension,
            Self::DataReturn | Self::DataLineFeed => HttpError::InvalidChunkEnd,
            Self::TrailerStart
            | Self::TrailerName
            | Self::TrailerValue
            | Self::TrailerLineFeed
            | Self::LastLineFeed => HttpError::InvalidTrailer,
        }
    }
}

/// HTAB, SP, VCHAR or obs-text: not a control character, and so not a bare CR or LF.
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// token = 1*tchar (RFC 9110 section 5.6.2)
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in two pieces at every split, and byte by byte. The data and the length of the body must be the
    /// same each time.
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
    fn extensions_have_their_grammar() {
        for extension in [
            "",
            ";a",
            ";a=b",
            "; a",
            " ;a",
            "\t ; \ta \t= \tb;c",
            ";a;b=c;d",
            ";a=b ;c",
            ";a ;b",
            ";!#$%&'*+-.^_`|~=!#$%&'*+-.^_`|~",
            ";a=\"\"",
            ";a=\"b;c=d, \te\u{e9}\" ; f=\"\\\"\\\\\\ \"",
        ] {
            let input = format!("3{extension}\r\nabc\r\n0{extension}\r\n\r\n");
            assert_eq!(read(&Body::chunked(), input.as_bytes()), Ok((b"abc".to_vec(), input.len())), "{extension}");
        }
        for extension in [
            ";",
            ";;a",
            ";a;",
            ";a;;b",
            ";a=",
            ";a=;b",
            ";=b",
            ";a==b",
            ";a=b=c",
            ";b/ad",
            ";a=b/c",
            ";a b",
            ";a=b c",
            ";a=\"open",
            ";a=\"b\"c",
            ";a=\"b\" c",
            ";a=b\"c\"",
            ";\"a\"",
            ";a=\"b\\",
            ";a=\"b\\\"",
            ";\u{e9}",
            ";a=\u{e9}",
            ";a\n",
            ";a=\"\n\"",
            ";a=\"\u{7f}\"",
            ";a=\"\\\0\"",
            " ",
            ";a ",
            ";a= ",
            ";a=b ",
            ";a=\"b\" ",
            "; ",
            ",a",
            "=a",
            " a",
            "\u{b};a",
        ] {
            for input in [format!("3{extension}\r\nabc\r\n0\r\n\r\n"), format!("3\r\nabc\r\n0{extension}\r\n\r\n")] {
                assert_eq!(
                    read(&Body::chunked(), input.as_bytes()).map_err(HttpError::status),
                    Err(400),
                    "{extension:?}"
                );
            }
        }
    }

    #[test]
    fn trailers_have_their_grammar() {
        for trailers in ["", "A:\r\n", "A: b\r\n", "A:b\r\nX-!#$:\t c: d \r\n", "A: \u{e9}\r\n", "A::\r\n"] {
            let input = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
            assert_eq!(read(&Body::chunked(), input.as_bytes()), Ok((b"abc".to_vec(), input.len())), "{trailers:?}");
        }
        for trailers in [
            "A\r\n",
            "A b\r\n",
            ": b\r\n",
            ":\r\n",
            "A : b\r\n",
            "A\t: b\r\n",
            " A: b\r\n",
            "\tA: b\r\n",
            "A: b\r\n c\r\n",
            "A: b\n",
            "A: b\r",
            "A: \0\r\n",
            "A: \u{7f}\r\n",
            "\u{e9}: b\r\n",
            "A(: b\r\n",
            "\"A\": b\r\n",
            "A\0: b\r\n",
        ] {
            let input = format!("3\r\nabc\r\n0\r\n{trailers}\r\n");
            assert_eq!(read(&Body::chunked(), input.as_bytes()), Err(HttpError::InvalidTrailer), "{trailers:?}");
        }
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
        for (input, error) in [
            (&b"\r\n"[..], HttpError::InvalidChunkSize),
            (b"g\r\n", HttpError::InvalidChunkSize),
            (b"-1\r\n", HttpError::InvalidChunkSize),
            (b"0x3\r\nabc\r\n", HttpError::InvalidChunkSize),
            (b"3\nabc\r\n0\r\n\r\n", HttpError::InvalidChunkSize),
            (b"3\rabc\r\n0\r\n\r\n", HttpError::InvalidChunkSize),
            (b"3 \r\nabc\r\n", HttpError::InvalidChunkExtension),
            (b"0 3\r\nabc\r\n", HttpError::InvalidChunkExtension),
            (b"3 x;y\r\nabc\r\n", HttpError::InvalidChunkExtension),
            (b"3\r\nabcd\r\n", HttpError::InvalidChunkEnd),
            (b"3\r\nabc\n0\r\n\r\n", HttpError::InvalidChunkEnd),
            (b"3\r\nabc\r0\r\n\r\n", HttpError::InvalidChunkEnd),
            (b"1000000000000000\r\n", HttpError::InvalidChunkSize),
            (b"10000000000000001\r\n", HttpError::InvalidChunkSize),
            (b"0\r\n\n", HttpError::InvalidTrailer),
        ] {
            assert_eq!(read(&Body::chunked(), input), Err(error), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_refused() {
        for start in ["1;", "1;a=", "1;a=\"", "1 ", "", "0\r\nA", "0\r\nA:", "0\r\n"] {
            let filler = match start {
                "" => "0",
                "1 " => " ",
                "0\r\n" => "A: b\r\n",
                _ => "x",
            };
            let input = format!("{start}{}", filler.repeat(MAX_CHUNK_OVERHEAD as usize + 1));
            assert_eq!(read(&Body::chunked(), input.as_bytes()), Err(HttpError::ChunkFramingTooLarge), "{start:?}");
        }
    }

    #[test]
    fn the_framing_of_a_whole_body_is_bounded_by_its_data() {
        let handle = |chunk: &str, times: usize| {
            let mut body = Body::chunked();
            let input = chunk.repeat(times);
            let mut rest = input.as_bytes();
            while !rest.is_empty() {
                rest = &rest[body.handle(rest)?.consumed..];
            }
            Ok(())
        };
        // Chunks of one byte, also with the longest size that is allowed, and signed chunks of 64 bytes.
        for chunk in ["1\r\nx\r\n", "0000000000000001\r\nx\r\n"] {
            assert_eq!(handle(chunk, 100_000), Ok(()));
        }
        let signed = format!("40;chunk-signature={}\r\n{}\r\n", "5".repeat(64), "x".repeat(64));
        assert_eq!(handle(&signed, 10_000), Ok(()));
        // Small chunks with much longer extensions.
        for extension in [100, 1000, 4000] {
            let chunk = format!("1;{}\r\nx\r\n", "a".repeat(extension));
            assert_eq!(handle(&chunk, 1), Ok(()));
            assert_eq!(handle(&chunk, 100), Err(HttpError::ChunkFramingTooLarge), "{extension}");
        }
    }
}
