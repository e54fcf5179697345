//! The parts of responses, appended to a buffer of the caller's.

use std::time::SystemTime;

/// The status for a request that no route matches.
pub const NOT_FOUND_STATUS: &[u8] = b"404 File Not Found";

/// The body that goes with [`NOT_FOUND_STATUS`].
pub const NOT_FOUND_BODY: &[u8] = b"<html><body><h1>File Not Found</h1><hr><i>uWebSockets/20 Server</i></body></html>";

/// A header's value has a CR, LF or NUL, or its name is not a token. The header could end the head and begin another
/// (response splitting), or be read in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHeader;

/// The status line of a response whose handler has set no status.
pub(super) const DEFAULT_STATUS_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// The headers that every response has: Date, and one that names the interface.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    text: [u8; MARKS.len()],
    /// The number of bytes in use, which depends on whether the interface is named.
    length: usize,
}

/// The date is an example. All have the same length (IMF-fixdate, RFC 9110 section 5.6.7).
const MARKS: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nuWebSockets: 20\r\n";
const NAME: &[u8] = b"uWebSockets: 20\r\n";

impl Marks {
    /// Returns the headers of responses at this time, which are valid for one second. `is_named`: they name the
    /// interface.
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

    /// Appends the headers other than Date, for a response with its own.
    pub fn write_without_date(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.text[MARKS.len() - NAME.len()..self.length]);
    }
}

/// Checks whether a header with this name and value can be sent.
pub fn check_header(name: &[u8], value: &[u8]) -> Result<(), InvalidHeader> {
    // `field-name = token` (RFC 9110 section 5.1)
    let is_token = !name.is_empty() && name.iter().all(|byte| is_token_character(*byte));
    let is_one_line = !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if is_token && is_one_line { Ok(()) } else { Err(InvalidHeader) }
}

/// Appends the line of a header that [`check_header`] has accepted.
pub(super) fn write_line(output: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    output.extend_from_slice(name);
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// Appends the end of a head whose body is chunked (RFC 9112 section 7.1).
pub(super) fn write_chunked_ending(output: &mut Vec<u8>) {
    output.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
}

/// Appends what precedes the data of a chunk of `length` bytes; a CRLF must follow the data. `length` must not be 0,
/// since an empty chunk ends the body.
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

/// Appends the end of a chunked body.
pub fn write_last_chunk(output: &mut Vec<u8>) {
    output.extend_from_slice(b"0\r\n\r\n");
}

/// Appends the end of a head, with a Content-Length if there is one.
pub(super) fn write_ending(output: &mut Vec<u8>, content_length: Option<u64>) {
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

/// `tchar` (RFC 9110 section 5.6.2)
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_whole_head() {
        let mut output = Vec::new();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        output.extend_from_slice(DEFAULT_STATUS_LINE);
        write_line(&mut output, b"A", b"b");
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
    fn nothing_that_could_split_a_response_is_good() {
        for bad in [&b"a\rb"[..], b"a\nb", b"a\0b"] {
            assert_eq!(check_header(bad, b"v"), Err(InvalidHeader));
            assert_eq!(check_header(b"n", bad), Err(InvalidHeader));
        }
        for bad in ["", " ", "a ", "a:", "a b", "a\tb", "\u{e4}", "(a)"] {
            assert_eq!(check_header(bad.as_bytes(), b"v"), Err(InvalidHeader), "{bad}");
        }
        assert_eq!(check_header(b"x-A_1!#$%&'*+.^`|~", b" \tany \xe4\x7f"), Ok(()));
    }
}
