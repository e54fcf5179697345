//! Response heads, appended to the caller's buffer.

use std::time::SystemTime;

/// The status for a request that no route matches.
pub const NOT_FOUND_STATUS: &[u8] = b"404 File Not Found";

/// The body that goes with [`NOT_FOUND_STATUS`].
pub const NOT_FOUND_BODY: &[u8] = b"<html><body><h1>File Not Found</h1><hr><i>uWebSockets/20 Server</i></body></html>";

/// A status line, a header name or a header value has a CR, LF or NUL, or the name is empty: it could end the head and
/// begin another (response splitting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHeader;

/// What decides whether a response has a body and how its head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// The body is sent, with its Content-Length.
    WithBody,
    /// 1xx, 204 and 304 (RFC 9110 section 6.4.1): neither body nor Content-Length.
    WithoutBody,
}

/// The status line of a response whose handler gave none.
pub const DEFAULT_STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// The headers that every response has: Date and the one by which clients know the interface.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    text: [u8; MARKS.len()],
    /// Without the latter there are less.
    length: usize,
}

/// With any date: all are of the same length (IMF-fixdate, RFC 9110 section 5.6.7).
const MARKS: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nuWebSockets: 20\r\n";
const NAME: &[u8] = b"uWebSockets: 20\r\n";

impl Marks {
    /// What responses have at that time; a second later they are others.
    pub fn new(now: SystemTime, is_named: bool) -> Self {
        let mut text = [0; MARKS.len()];
        text.copy_from_slice(MARKS);
        let date = httpdate::fmt_http_date(now);
        text[b"Date: ".len()..][..date.len()].copy_from_slice(date.as_bytes());
        Self { text, length: if is_named { MARKS.len() } else { MARKS.len() - NAME.len() } }
    }

    /// Appends the headers.
    pub fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.text[..self.length]);
    }
}

/// Appends `HTTP/1.1 200 OK` and the like.
pub fn write_status(output: &mut Vec<u8>, status: &[u8]) -> Result<StatusLine, InvalidHeader> {
    check(status)?;
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status);
    output.extend_from_slice(b"\r\n");
    Ok(match status {
        [b'1', ..] | [b'2' | b'3', b'0', b'4', ..] => StatusLine::WithoutBody,
        _ => StatusLine::WithBody,
    })
}

/// Whether [`write_header`] takes this header.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<(), InvalidHeader> {
    check(name)?;
    check(value)?;
    if name.is_empty() { Err(InvalidHeader) } else { Ok(()) }
}

/// Appends one header line.
pub fn write_header(output: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), InvalidHeader> {
    check_header(name, value)?;
    output.extend_from_slice(name);
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends the end of a head whose body comes in chunks (RFC 9112 section 7.1).
pub fn write_chunked_ending(output: &mut Vec<u8>) {
    output.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
}

/// Appends what goes before the data of a chunk; CRLF goes behind it. Not for an empty one, which would be the last.
pub fn write_chunk(output: &mut Vec<u8>, length: usize) {
    debug_assert!(length > 0, "an empty chunk ends the body");
    // `chunk-size = 1*HEXDIG`
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let value = (length >> (4 * digit)) & 0xF;
        output.push(b"0123456789abcdef"[value]);
    }
    output.extend_from_slice(b"\r\n");
}

/// Appends the end of a body in chunks.
pub fn write_last_chunk(output: &mut Vec<u8>) {
    output.extend_from_slice(b"0\r\n\r\n");
}

/// Appends the end of a head whose body's length is known.
pub fn write_ending(output: &mut Vec<u8>, content_length: Option<u64>) {
    if let Some(length) = content_length {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut left = length;
        loop {
            start -= 1;
            digits[start] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        output.extend_from_slice(b"Content-Length: ");
        output.extend_from_slice(&digits[start..]);
        output.extend_from_slice(b"\r\n");
    }
    output.extend_from_slice(b"\r\n");
}

fn check(text: &[u8]) -> Result<(), InvalidHeader> {
    if text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) { Err(InvalidHeader) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_whole_head() {
        let mut output = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(write_status(&mut output, b"200 OK"), Ok(StatusLine::WithBody));
        write_header(&mut output, b"A", b"b").expect("good");
        Marks::new(now, true).write(&mut output);
        write_ending(&mut output, Some(1203));
        assert_eq!(
            String::from_utf8_lossy(&output),
            "HTTP/1.1 200 OK\r\nA: b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nuWebSockets: 20\r\n\
             Content-Length: 1203\r\n\r\n"
        );
    }

    #[test]
    fn lengths_are_decimal() {
        for length in [0, 9, 10, 99, 100, u64::MAX] {
            let mut output = Vec::new();
            write_ending(&mut output, Some(length));
            assert_eq!(output, format!("Content-Length: {length}\r\n\r\n").as_bytes());
        }
    }

    #[test]
    fn chunks() {
        for (length, expected) in
            [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0x00ab_cdef, "abcdef\r\n"), (0x10_0000, "100000\r\n")]
        {
            let mut output = Vec::new();
            write_chunk(&mut output, length);
            assert_eq!(String::from_utf8_lossy(&output), expected);
        }
    }

    #[test]
    fn statuses_without_a_body() {
        for (status, expected) in [
            ("204 No Content", StatusLine::WithoutBody),
            ("304 Not Modified", StatusLine::WithoutBody),
            ("101 Switching Protocols", StatusLine::WithoutBody),
            ("205 Reset Content", StatusLine::WithBody),
            ("404", StatusLine::WithBody),
            ("", StatusLine::WithBody),
        ] {
            assert_eq!(write_status(&mut Vec::new(), status.as_bytes()), Ok(expected), "{status}");
        }
    }

    #[test]
    fn nothing_that_could_split_a_response_is_written() {
        let mut output = Vec::new();
        for bad in [&b"a\rb"[..], b"a\nb", b"a\0b"] {
            assert_eq!(write_status(&mut output, bad), Err(InvalidHeader));
            assert_eq!(write_header(&mut output, bad, b"v"), Err(InvalidHeader));
            assert_eq!(write_header(&mut output, b"n", bad), Err(InvalidHeader));
        }
        assert_eq!(write_header(&mut output, b"", b"v"), Err(InvalidHeader));
        assert!(output.is_empty());
    }
}
