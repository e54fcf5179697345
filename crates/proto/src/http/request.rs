//! Request heads, parsed by httparse and then held to what RFC 9112 asks where a lenient reading would be dangerous.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::{Body, HttpError, Method};

/// Bytes a request head may have unless the server is told otherwise; uWebSockets.js has the same default.
pub const DEFAULT_MAX_HEAD_SIZE: usize = 4096;

/// How many header fields a request may have.
pub const MAX_HEADERS: usize = 100;

/// Room for the header fields of one request, on the caller's stack.
pub type HeaderSlots<'b> = [MaybeUninit<httparse::Header<'b>>; MAX_HEADERS];

/// Empty room for [`Request::parse`].
pub const fn header_slots<'b>() -> HeaderSlots<'b> {
    [const { MaybeUninit::uninit() }; MAX_HEADERS]
}

/// A complete request head. It borrows the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'b> {
    method: &'b str,
    path: &'b str,
    query: Option<&'b str>,
    headers: &'b [httparse::Header<'b>],
    /// The body that follows, `None` when there is none.
    body: Option<Body>,
    asks_to_close: bool,
}

impl<'b> Request<'b> {
    /// Parses the head at the start of `input`: the request and the length of its head, or `None` while the head is
    /// incomplete, when the same bytes and more are to be given again.
    pub fn parse(
        input: &'b [u8],
        slots: &'b mut HeaderSlots<'b>,
        max_head_size: usize,
    ) -> Result<Option<(Self, usize)>, HttpError> {
        // What is beyond the limit is not looked at, so that it does not matter whether it is there yet.
        let input = &input[..input.len().min(max_head_size)];
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(input, slots) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if input.len() < max_head_size => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(HttpError::HeadTooLarge);
            }
            Err(httparse::Error::Version | httparse::Error::Token) => return Err(HttpError::Version),
            Err(_) => return Err(malformed(input)),
        };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(HttpError::Syntax) };
        // HTTP-name "/" "1.1": httparse also takes 1.0. Other targets than the origin-form (RFC 9112 section 3.2) are
        // for proxies, and have no route.
        if parsed.version != Some(1) || !target.starts_with('/') {
            return Err(HttpError::Version);
        }
        let headers: &'b [httparse::Header<'b>] = parsed.headers;
        // RFC 9112 section 2.2 lets a recipient take a bare LF for a line end; a proxy in front may not have.
        if has_bare_line_feed(&input[..length], method, headers) {
            return Err(malformed(input));
        }
        let (path, query) = match target.bytes().position(|byte| byte == b'?') {
            Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
            None => (target, None),
        };
        let mut request = Self { method, path, query, headers, body: None, asks_to_close: false };
        request.read_headers()?;
        Ok(Some((request, length)))
    }

    /// The method as it was sent.
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// The method, when it is one that routes can name.
    pub fn known_method(&self) -> Option<Method> {
        Method::parse(self.method)
    }

    /// The target up to the question mark, not decoded.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What follows the first question mark of the target, not decoded; `None` when there is no question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The value of the first header with this name, trimmed. `lower_name` must be in lower case: a name with a capital
    /// letter finds nothing.
    pub fn header(&self, lower_name: &[u8]) -> Option<&'b [u8]> {
        self.values(lower_name).next()
    }

    /// The value of a header that is a comma-separated list, all lines of it put together (RFC 9110 section 5.3); empty
    /// when there is none.
    pub fn list(&self, lower_name: &[u8]) -> Cow<'b, [u8]> {
        let mut values = self.values(lower_name);
        let mut list = Cow::Borrowed(values.next().unwrap_or_default());
        for value in values {
            let list = list.to_mut();
            list.extend_from_slice(b", ");
            list.extend_from_slice(value);
        }
        list
    }

    /// Names as they were sent and trimmed values, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// Whether a header that is a comma-separated list (RFC 9110 section 5.6.1) has this token, in any letter case.
    pub fn header_has_token(&self, lower_name: &[u8], token: &[u8]) -> bool {
        self.values(lower_name).any(|value| has_token(value, token))
    }

    /// Whether the peer asked for the connection to be closed after the response (RFC 9112 section 9.6).
    pub fn asks_to_close(&self) -> bool {
        self.asks_to_close
    }

    /// The framing of the body that follows this head, `None` when there is no body.
    pub fn body(&self) -> Option<Body> {
        self.body.clone()
    }

    /// The trimmed values of all headers with this name, in order.
    pub(crate) fn values(&self, lower_name: &[u8]) -> impl Iterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |header| {
                header.name.len() == lower_name.len()
                    && header.name.bytes().zip(lower_name).all(|(sent, asked)| sent.to_ascii_lowercase() == *asked)
            })
            .map(|header| header.value)
    }

    /// Looks at the headers that say how the connection goes on, in one pass. RFC 9112 sections 3.2 and 6.3: exactly one
    /// Host, and one way to tell where the body ends.
    fn read_headers(&mut self) -> Result<(), HttpError> {
        let (mut host, mut framing) = (None, None);
        for header in self.headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                4 if is("host") && host.replace(header.value).is_some() => return Err(HttpError::Syntax),
                10 if is("connection") => self.asks_to_close |= has_token(header.value, b"close"),
                14 if is("content-length") => {
                    // Content-Length = 1*DIGIT
                    let length = parse_digits(header.value).ok_or(HttpError::Syntax)?;
                    if framing.replace((length > 0).then(|| Body::with_length(length))).is_some() {
                        return Err(HttpError::Syntax);
                    }
                }
                17 if is("transfer-encoding") => {
                    let is_chunked = header.value.eq_ignore_ascii_case(b"chunked");
                    if !is_chunked || framing.replace(Some(Body::chunked())).is_some() {
                        return Err(HttpError::Syntax);
                    }
                }
                _ => {}
            }
        }
        if host.is_none_or(<[u8]>::is_empty) {
            return Err(HttpError::Syntax);
        }
        self.body = framing.flatten();
        Ok(())
    }
}

/// Whether a comma-separated list (RFC 9110 section 5.6.1) has this token, in any letter case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

/// A number of at most 18 digits, as many as uWebSockets.js takes: it never overflows.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| 10 * value + u64::from(digit - b'0')))
}

/// What is wrong with a head that cannot be read: its first line is that of no HTTP/1.1 request, or what follows is bad.
fn malformed(input: &[u8]) -> HttpError {
    let mut rest = input;
    while let Some(behind) = rest.strip_prefix(b"\r\n") {
        rest = behind;
    }
    let line = rest.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    let is_request_line = parts.next() == Some(b"HTTP/1.1") && parts.next().is_none();
    if is_request_line && rest[line.len()..].starts_with(b"\r\n") { HttpError::Syntax } else { HttpError::Version }
}

/// Whether a line of the head ends without CR. Nothing but the ends of lines has an LF in it, so that is where to look.
fn has_bare_line_feed(head: &[u8], method: &str, headers: &[httparse::Header<'_>]) -> bool {
    let start_of = |part: &str| part.as_ptr().addr() - head.as_ptr().addr();
    // Empty lines in front of the request (RFC 9112 section 2.2).
    let is_bare = !head[..start_of(method)].chunks(2).all(|line| line == b"\r\n")
        || !headers.iter().all(|header| head[..start_of(header.name)].ends_with(b"\r\n"))
        || !head.ends_with(b"\r\n\r\n");
    debug_assert_eq!(is_bare, head.split(|byte| *byte == b'\n').rev().skip(1).any(|line| !line.ends_with(b"\r")));
    is_bare
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses whole input and every prefix of it: a prefix of good input is incomplete, never an error, and a prefix
    /// of bad input is incomplete or the same error.
    fn parse(input: &[u8]) -> Result<(String, Option<Body>, usize), HttpError> {
        let once = |input: &[u8]| {
            let mut slots = header_slots();
            Request::parse(input, &mut slots, DEFAULT_MAX_HEAD_SIZE).map(|parsed| {
                parsed.map(|(request, length)| {
                    let line = format!("{} {} {:?}", request.method, request.path, request.query);
                    (line, request.body(), length)
                })
            })
        };
        let whole = once(input);
        for end in 0..input.len() {
            match (once(&input[..end]), &whole) {
                (Ok(None), _) => {}
                (Ok(Some(early)), Ok(Some(whole))) => assert_eq!(early, *whole),
                (Err(early), Err(whole)) => assert_eq!(early, *whole),
                (early, whole) => panic!("prefix of {end} bytes gave {early:?}, all of it {whole:?}"),
            }
        }
        whole.map(|parsed| parsed.expect("a complete head"))
    }

    #[test]
    fn a_plain_request() {
        let (line, body, length) = parse(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nrest").expect("good");
        assert_eq!((line.as_str(), body.is_none(), length), ("GET /a Some(\"b=c\")", true, 32));
    }

    #[test]
    fn path_query_and_headers() {
        let input = b"GET /a%20b?x=1?y HTTP/1.1\r\nHost: h\r\nX-Y:  v \r\nx-y: second\r\nConnection: a , CLOSE\r\n\r\n";
        let mut slots = header_slots();
        let (request, _) = Request::parse(input, &mut slots, 4096).expect("good").expect("complete");
        assert_eq!((request.path(), request.query()), ("/a%20b", Some("x=1?y")));
        assert_eq!(request.header(b"x-y"), Some(&b"v"[..]));
        assert_eq!(request.header(b"X-Y"), None);
        assert_eq!(request.header(b"missing"), None);
        assert!(request.asks_to_close());
        assert_eq!(request.headers().count(), 4);
    }

    #[test]
    fn a_bare_question_mark_is_an_empty_query() {
        let mut slots = header_slots();
        let (request, _) =
            Request::parse(b"GET /? HTTP/1.1\r\nHost: h\r\n\r\n", &mut slots, 4096).expect("good").expect("complete");
        assert_eq!((request.path(), request.query()), ("/", Some("")));
    }

    #[test]
    fn bodies_by_length_and_chunked() {
        let length = |input: &[u8]| parse(input).expect("good").1;
        assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), None);
        assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n"), Some(Body::with_length(12)));
        assert_eq!(length(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"), Some(Body::chunked()));
    }

    #[test]
    fn ambiguous_or_malformed_requests_are_refused() {
        for headers in [
            "",
            "Host:\r\n",
            "Host: a\r\nHost: b\r\n",
            "Host: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Host: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            "Host: h\r\nContent-Length: 1, 1\r\n",
            "Host: h\r\nContent-Length: +1\r\n",
            "Host: h\r\nContent-Length: \r\n",
            "Host: h\r\nContent-Length: 1000000000000000000\r\n",
            "Host: h\r\nContent-Length: 0000000000000000001\r\n",
            "Host: h\r\nContent-Length: 18446744073709551617\r\n",
            "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n",
            "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: h\r\nTransfer-Encoding: xchunked\r\n",
            "Host : h\r\n",
            "Host: h\r\n folded\r\n",
            "Host: h\r\n: empty\r\n",
            "Host: h\nX: y\r\n",
            "Host: h\r\nX: a\0b\r\n",
        ] {
            let input = format!("GET / HTTP/1.1\r\n{headers}\r\n");
            assert_eq!(parse(input.as_bytes()).err(), Some(HttpError::Syntax), "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_request_line_of_this_version_is_refused() {
        for line in [
            "GET / HTTP/1.0",
            "GET / HTTP/2.0",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1 GET / HTTP/1.1",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\rX",
            "GET / HTTP/1.1\nX: HTTP/1.1",
            "GET / HTTP/1.1\rX HTTP/1.1",
            "G=T\x01 / HTTP/1.1",
            "GET /\x01 HTTP/1.1",
            "GET /\0 HTTP/1.1",
            " GET / HTTP/1.1",
            "\nGET / HTTP/1.1",
            "GET * HTTP/1.1",
            "GET x HTTP/1.1",
            "GET http://h/ HTTP/1.1",
            "GET",
        ] {
            let input = format!("{line}\r\nHost: h\r\n\r\n");
            assert_eq!(parse(input.as_bytes()).err(), Some(HttpError::Version), "{line:?}");
        }
    }

    #[test]
    fn empty_lines_before_a_request_are_skipped() {
        let (line, _, length) = parse(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").expect("good");
        assert_eq!((line.as_str(), length), ("GET / None", 31));
    }

    #[test]
    fn limits_on_size_and_number_of_headers() {
        let with_filler = |size: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "y".repeat(size));
        let frame = with_filler(0).len();
        let mut slots = header_slots();
        let fits = with_filler(DEFAULT_MAX_HEAD_SIZE - frame);
        assert!(matches!(Request::parse(fits.as_bytes(), &mut slots, DEFAULT_MAX_HEAD_SIZE), Ok(Some(_))));
        let over = with_filler(DEFAULT_MAX_HEAD_SIZE - frame + 1);
        for end in [DEFAULT_MAX_HEAD_SIZE, over.len()] {
            let mut slots = header_slots();
            let refused = Request::parse(&over.as_bytes()[..end], &mut slots, DEFAULT_MAX_HEAD_SIZE);
            assert_eq!(refused.err(), Some(HttpError::HeadTooLarge));
        }
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
        let mut slots = header_slots();
        let refused = Request::parse(many.as_bytes(), &mut slots, DEFAULT_MAX_HEAD_SIZE);
        assert_eq!(refused.err(), Some(HttpError::HeadTooLarge));
    }
}
