//! The head of a response while a handler writes it.

use std::fmt;

use super::response::{DEFAULT_STATUS_LINE, Marks, check_header, write_chunked_ending, write_ending, write_line};
use super::{InvalidHeader, InvalidStatus, Status};

/// The head of a response, kept apart from the output until it is complete. So it can be discarded, and the headers
/// that frame the body and that manage the connection are sent once, whoever asks for them.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status line, if a status was written, and headers.
    text: Vec<u8>,
    /// Something was written, so that a status comes too late.
    has_begun: bool,
    status: Option<Status>,
    /// The Content-Length that the handler has written.
    length: Option<u64>,
    has_date: bool,
    /// The persistence that the handler's Connection headers ask for.
    persistence: Option<Persistence>,
    /// The other options of these headers, separated by commas.
    options: Vec<u8>,
    /// The protocols of the handler's Upgrade headers, separated by commas.
    upgrade: Vec<u8>,
}

/// What becomes of a connection after a response (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open for the next request.
    KeepAlive,
    /// It closes.
    Close,
}

/// How the head says that the body is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By a Content-Length.
    Length(u64),
    /// By the chunked transfer coding.
    Chunks,
    /// It does not say.
    Unsaid,
}

/// Why a status was not written. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusError {
    /// The status has a CR, LF or NUL and could end the head and begin another (response splitting).
    Splits,
    /// The status is not valid.
    Invalid,
}

/// Why a header was not written. The API's user is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The name is not a token, or the value could end the head and begin another (response splitting).
    Splits,
    /// A Content-Length is not a number, or differs from an earlier one.
    Length,
    /// A Transfer-Encoding is not `chunked`.
    Coding,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Splits => {
                "CR, LF and NUL are not allowed in a status or header, and a header name must be a token (RFC 9110 \
                 section 5.6.2)"
            }
            Self::Length => "a Content-Length must be one whole number of bytes, and the same one each time",
            Self::Coding => "the only Transfer-Encoding that is written here is chunked",
        })
    }
}

impl From<InvalidHeader> for HeaderError {
    fn from(InvalidHeader: InvalidHeader) -> Self {
        Self::Splits
    }
}

impl From<InvalidStatus> for StatusError {
    fn from(InvalidStatus: InvalidStatus) -> Self {
        Self::Invalid
    }
}

/// Bytes of memory that a head keeps for the next one. Most heads are shorter.
const KEEP_CAPACITY: usize = 4 * 1024;

impl ResponseHead {
    /// Sets the status, such as `200 OK`, unless something was written before.
    pub fn write_status(&mut self, text: &[u8]) -> Result<(), StatusError> {
        check_header(b"status", text).map_err(|InvalidHeader| StatusError::Splits)?;
        let (status, reason) = Status::parse(text)?;
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        self.status = Some(status);
        self.text.extend_from_slice(b"HTTP/1.1 ");
        self.text.extend_from_slice(&text[..3]);
        self.text.push(b' ');
        self.text.extend_from_slice(reason);
        self.text.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Adds a header. Headers that frame the body or manage the connection are only noted, and sent once at the end.
    pub fn write_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        check_header(name, value)?;
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"date") => {
                // The first one counts.
                if !self.has_date {
                    write_line(&mut self.text, name, value);
                }
                self.has_date = true;
            }
            7 if is(b"upgrade") => options_of(value).for_each(|protocol| add_option(&mut self.upgrade, protocol)),
            10 if is(b"connection") => self.note_connection(value),
            14 if is(b"content-length") => {
                let length = parse_length(value).ok_or(HeaderError::Length)?;
                if *self.length.get_or_insert(length) != length {
                    return Err(HeaderError::Length);
                }
            }
            // How the body is written decides whether it is chunked.
            17 if is(b"transfer-encoding") => {
                if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(HeaderError::Coding);
                }
            }
            _ => write_line(&mut self.text, name, value),
        }
        self.has_begun = true;
        Ok(())
    }

    /// The number of bytes that are allocated.
    pub fn memory(&self) -> usize {
        self.text.capacity() + self.options.capacity() + self.upgrade.capacity()
    }

    /// The status of the response: 200 unless another was written.
    pub fn status(&self) -> Status {
        self.status.unwrap_or(Status::OK)
    }

    /// The status that was written, if any.
    pub fn own_status(&self) -> Option<Status> {
        self.status
    }

    /// The Content-Length that was written, if any.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a header asks for the connection to close after the response.
    pub fn closes(&self) -> bool {
        self.persistence == Some(Persistence::Close)
    }

    /// Has the head say that the connection stays open, unless it closes. A client of HTTP/1.0 that has asked for this
    /// does not know otherwise (RFC 9112 section 9.3).
    pub fn keep_alive(&mut self) {
        self.has_begun = true;
        self.persistence.get_or_insert(Persistence::KeepAlive);
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        !self.has_begun
    }

    /// Appends the whole head, and empties it. `closes`: the connection closes after the response, for whatever reason.
    pub fn finish(&mut self, output: &mut Vec<u8>, framing: Framing, closes: bool, marks: &Marks) {
        if self.status.is_none() {
            output.extend_from_slice(DEFAULT_STATUS_LINE);
        }
        output.extend_from_slice(&self.text);
        if closes {
            self.write_connection(output, b"close");
        } else if self.persistence == Some(Persistence::KeepAlive) {
            self.write_connection(output, b"keep-alive");
        } else if !self.options.is_empty() {
            self.write_connection(output, b"");
        }
        if !self.upgrade.is_empty() {
            write_line(output, b"Upgrade", &self.upgrade);
        }
        self.write_marks(output, marks);
        match framing {
            Framing::Chunks if self.status().has_body() => write_chunked_ending(output),
            Framing::Length(length) if self.status().may_have_length() => write_ending(output, Some(length)),
            _ => write_ending(output, None),
        }
        self.clear();
    }

    /// Appends the part of an upgrade's head that is not the handshake's: the status line and the handler's headers.
    /// Returns whether the handler has chosen a subprotocol.
    pub(crate) fn write_upgrade(&self, output: &mut Vec<u8>) -> bool {
        if self.status.is_none() {
            output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        }
        let mut has_protocol = false;
        for line in self.text.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            // Only the handshake knows their values.
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"sec-websocket-accept") || is(b"sec-websocket-extensions") {
                continue;
            }
            if is(b"sec-websocket-protocol") {
                if has_protocol {
                    continue;
                }
                has_protocol = true;
            }
            output.extend_from_slice(line);
        }
        has_protocol
    }

    /// Appends the headers that every response has.
    pub(crate) fn write_marks(&self, output: &mut Vec<u8>, marks: &Marks) {
        if self.has_date { marks.write_without_date(output) } else { marks.write(output) }
    }

    /// Discards what was written. Keeps some of the memory for another head.
    pub fn clear(&mut self) {
        if !self.has_begun {
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if text.capacity() > KEEP_CAPACITY {
            text = Vec::new();
        }
        *self = Self { text, ..Self::default() };
    }

    /// Frees the memory that is kept, if nothing has been written.
    pub fn release(&mut self) {
        if !self.has_begun {
            self.text = Vec::new();
        }
    }

    /// `Connection = #connection-option` (RFC 9110 section 7.6.1)
    fn note_connection(&mut self, value: &[u8]) {
        for option in options_of(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.persistence = Some(Persistence::Close);
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.persistence.get_or_insert(Persistence::KeepAlive);
            } else {
                add_option(&mut self.options, option);
            }
        }
    }

    fn write_connection(&self, output: &mut Vec<u8>, option: &[u8]) {
        output.extend_from_slice(b"Connection: ");
        output.extend_from_slice(option);
        if !option.is_empty() && !self.options.is_empty() {
            output.extend_from_slice(b", ");
        }
        output.extend_from_slice(&self.options);
        output.extend_from_slice(b"\r\n");
    }
}

/// `Content-Length = 1*DIGIT`
fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(value)
    })
}

/// Returns the elements of a comma-separated list (RFC 9110 section 5.6.1).
fn options_of(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Adds an element to a list, unless it is there.
fn add_option(list: &mut Vec<u8>, option: &[u8]) {
    if option.is_empty() || options_of(list).any(|known| known.eq_ignore_ascii_case(option)) {
        return;
    }
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(option);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// Returns the head with these headers, without its status line and Date.
    fn finished(headers: &[(&str, &str)], framing: Framing, closes: bool) -> String {
        let mut head = ResponseHead::default();
        for (name, value) in headers {
            head.write_header(name.as_bytes(), value.as_bytes()).expect("good");
        }
        let mut output = Vec::new();
        head.finish(&mut output, framing, closes, &Marks::new(SystemTime::UNIX_EPOCH, false));
        assert!(head.is_empty());
        let text = String::from_utf8(output).expect("text");
        text.strip_prefix("HTTP/1.1 200 OK\r\n")
            .expect("the status")
            .replace("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "")
    }

    #[test]
    fn a_head_has_one_line_that_frames_its_body() {
        let length = Framing::Length(5);
        assert_eq!(finished(&[], length, false), "Content-Length: 5\r\n\r\n");
        assert_eq!(finished(&[("content-LENGTH", " 5 ")], length, false), "Content-Length: 5\r\n\r\n");
        assert_eq!(
            finished(&[("Content-Length", "5"), ("Content-Length", "05")], length, false),
            "Content-Length: 5\r\n\r\n"
        );
        assert_eq!(finished(&[("transfer-encoding", "Chunked")], length, false), "Content-Length: 5\r\n\r\n");
        let chunks = "Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(finished(&[("Transfer-Encoding", "chunked")], Framing::Chunks, false), chunks);
        assert_eq!(finished(&[("A", "b")], Framing::Unsaid, false), "A: b\r\n\r\n");
    }

    #[test]
    fn a_connection_header_is_said_once_and_so_is_upgrade() {
        for (headers, closes, expected) in [
            (&[][..], true, "Connection: close\r\n\r\n"),
            (&[("Connection", "close")], true, "Connection: close\r\n\r\n"),
            (&[("connection", "keep-alive")], true, "Connection: close\r\n\r\n"),
            (&[("CONNECTION", "Keep-Alive")], false, "Connection: keep-alive\r\n\r\n"),
            (&[("Connection", "upgrade, x"), ("Connection", "X,, y")], false, "Connection: upgrade, x, y\r\n\r\n"),
            (
                &[("Connection", "Upgrade"), ("Upgrade", "h2c")],
                true,
                "Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n",
            ),
            (&[("Connection", "")], false, "\r\n"),
            (&[("Upgrade", "h2c, X"), ("upgrade", "x,,H2C"), ("UPGRADE", "y")], false, "Upgrade: h2c, X, y\r\n\r\n"),
        ] {
            assert_eq!(finished(headers, Framing::Unsaid, closes), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_date_of_the_handlers_stands_for_ours() {
        let mut head = ResponseHead::default();
        head.write_header(b"date", b"today").expect("good");
        head.write_header(b"Date", b"tomorrow").expect("good");
        let mut output = Vec::new();
        head.finish(&mut output, Framing::Unsaid, false, &Marks::new(SystemTime::UNIX_EPOCH, true));
        assert_eq!(String::from_utf8_lossy(&output), "HTTP/1.1 200 OK\r\ndate: today\r\nuWebSockets: 20\r\n\r\n");
    }

    #[test]
    fn a_304_may_have_a_length_and_a_204_none() {
        for (status, expected) in [("304 Not Modified", "Content-Length: 100\r\n\r\n"), ("204 No Content", "\r\n")] {
            let (mut head, mut output) = (ResponseHead::default(), Vec::new());
            head.write_status(status.as_bytes()).expect("good");
            let marks = Marks::new(SystemTime::UNIX_EPOCH, false);
            head.finish(&mut output, Framing::Length(100), false, &marks);
            let text = String::from_utf8_lossy(&output);
            assert!(text.ends_with(&format!("GMT\r\n{expected}")), "{text}");
        }
    }

    #[test]
    fn what_would_frame_a_body_wrongly_is_refused() {
        for value in ["", "abc", "-1", "+1", "1.5", "0x10", "5, 5", "18446744073709551616", "1 2"] {
            let mut head = ResponseHead::default();
            assert_eq!(head.write_header(b"Content-Length", value.as_bytes()), Err(HeaderError::Length), "{value}");
            assert_eq!(head.length(), None);
        }
        let mut head = ResponseHead::default();
        head.write_header(b"Content-Length", b"5").expect("good");
        assert_eq!(head.write_header(b"content-length", b"6"), Err(HeaderError::Length));
        assert_eq!(head.length(), Some(5));
        for value in ["gzip", "gzip, chunked", "identity", ""] {
            assert_eq!(head.write_header(b"Transfer-Encoding", value.as_bytes()), Err(HeaderError::Coding), "{value}");
        }
        for name in ["Content-Length ", "Content-Length:", " Content-Length", "a b", "a\tb", "\u{e4}", ""] {
            assert_eq!(head.write_header(name.as_bytes(), b"5"), Err(HeaderError::Splits), "{name}");
        }
    }
}
