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
    /// The host that the target names, when there is no Host header that it could take the place of.
    target_host: Option<&'b [u8]>,
    /// The body that follows, `None` when there is none.
    body: Option<Body>,
    is_http_1_0: bool,
    asks_to_close: bool,
}

impl<'b> Request<'b> {
    /// Parses the head at the start of `input`: the request and the length of its head, or `None` while the head is
    /// incomplete, when the same bytes and more are to be given again.
    ///
    /// A version from HTTP/1.2 on is [`HttpError::Version`] too, and [`lower_minor_version`] is what to do about it.
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
            Err(httparse::Error::Version) => {
                return match version_error(input) {
                    Some(error) => Err(error),
                    None if input.len() < max_head_size => Ok(None),
                    None => Err(HttpError::HeadTooLarge),
                };
            }
            Err(_) => return Err(HttpError::Syntax),
        };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else { return Err(HttpError::Syntax) };
        let headers: &'b mut [httparse::Header<'b>] = parsed.headers;
        let Target { path, query, host: target_host } = if target.starts_with('/') {
            let (path, query) = split_query(target);
            Target { path, query, host: None }
        } else {
            Target::other(method, target, headers).ok_or(HttpError::Syntax)?
        };
        let is_http_1_0 = parsed.version == Some(0);
        let mut request =
            Self { method, path, query, headers, target_host, body: None, is_http_1_0, asks_to_close: false };
        request.read_lines(&input[..length])?;
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

    /// Whether the version is HTTP/1.0, whose clients know neither chunks nor interim responses nor upgrades.
    pub fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// The path of the target, not decoded: it starts with `/`, but for the `*` of OPTIONS (RFC 9112 section 3.2.4).
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What follows the first question mark of the target, not decoded; `None` when there is no question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The value of the first header with this name, trimmed. `lower_name` must be in lower case: a name with a capital
    /// letter finds nothing. `host` is that of the target, where the target has one (RFC 9112 section 3.2.2).
    pub fn header(&self, lower_name: &[u8]) -> Option<&'b [u8]> {
        self.values(lower_name).next().or_else(|| self.target_host.filter(|_| lower_name == b"host"))
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

    /// Names as they were sent and trimmed values, in order; Host as [`Request::header`] has it.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        let sent = self.headers.iter().map(|header| (header.name, header.value));
        sent.chain(self.target_host.map(|host| ("Host", host)))
    }

    /// Whether a header that is a comma-separated list (RFC 9110 section 5.6.1) has this token, in any letter case.
    pub fn header_has_token(&self, lower_name: &[u8], token: &[u8]) -> bool {
        self.values(lower_name).any(|value| has_token(value, token))
    }

    /// Whether the connection is to close after the response (RFC 9112 section 9.3): the peer asked for that, or its version
    /// is HTTP/1.0 and it did not ask for the connection to be kept alive.
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

    /// Looks at the ends of the lines of the head and at the headers that say how the connection goes on, in one pass.
    ///
    /// RFC 9112 section 2.2 lets a recipient take a bare LF for a line end; a proxy in front may not have. Sections 3.2 and
    /// 6.3: exactly one Host, which HTTP/1.0 may leave out, and one way to tell where the body ends.
    fn read_lines(&mut self, head: &[u8]) -> Result<(), HttpError> {
        let start_of = |part: &str| part.as_ptr().addr() - head.as_ptr().addr();
        // Empty lines in front of the request (section 2.2).
        if !head[..start_of(self.method)].chunks(2).all(|line| line == b"\r\n") || !head.ends_with(b"\r\n\r\n") {
            return Err(HttpError::Syntax);
        }
        let (mut host, mut framing) = (None, None);
        for header in self.headers {
            // Nothing but the ends of lines has an LF in it, so that in front of a name is where to look.
            if !head[..start_of(header.name)].ends_with(b"\r\n") {
                return Err(HttpError::Syntax);
            }
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
                    // RFC 9112 section 6.1: in HTTP/1.0 "the framing is faulty".
                    let is_chunked = header.value.eq_ignore_ascii_case(b"chunked") && !self.is_http_1_0;
                    if !is_chunked || framing.replace(Some(Body::chunked())).is_some() {
                        return Err(HttpError::Syntax);
                    }
                }
                _ => {}
            }
        }
        debug_assert!(head.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")));
        if host.map_or(!self.is_http_1_0, <[u8]>::is_empty) {
            return Err(HttpError::Syntax);
        }
        if self.is_http_1_0 {
            self.asks_to_close |= !self.header_has_token(b"connection", b"keep-alive");
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

/// `path [ "?" query ]`
fn split_query(target: &str) -> (&str, Option<&str>) {
    match memchr::memchr(b'?', target.as_bytes()) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// What a target comes to.
struct Target<'b> {
    path: &'b str,
    query: Option<&'b str>,
    /// The host it names, unless that stands in the Host header now.
    host: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Reads a target that is no origin-form (RFC 9112 section 3.2): `absolute-form = absolute-URI`, whose scheme is one of
    /// those that are served, or `asterisk-form = "*"`. `None` for what is malformed, and for the authority-form: only a
    /// proxy can do anything about CONNECT.
    #[cold]
    fn other(method: &str, target: &'b str, headers: &mut [httparse::Header<'b>]) -> Option<Self> {
        let is_options = method == "OPTIONS";
        if target == "*" && is_options {
            return Some(Self { path: target, query: None, host: None });
        }
        // "http" "://" authority path-abempty [ "?" query ], RFC 9110 section 4.2
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, origin) = rest.split_at(end);
        if !is_authority(authority) || origin.starts_with('#') {
            return None;
        }
        let (path, query) = split_query(origin);
        let path = match path {
            // The asterisk-form, as a client says it to a proxy (section 3.2.4).
            "" if is_options && query.is_none() => "*",
            "" => "/",
            path => path,
        };
        // Section 3.2.2: the Host header is ignored, and the host of the target counts instead.
        let host = match headers.iter_mut().find(|header| header.name.eq_ignore_ascii_case("host")) {
            Some(header) => {
                header.value = authority.as_bytes();
                None
            }
            None => Some(authority.as_bytes()),
        };
        Some(Self { path, query, host })
    }
}

/// `authority = uri-host [ ":" port ]` with a host that is not empty. One with userinfo is an error (RFC 9110 section 4.2.4).
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // IP-literal = "[" ( IPv6address / IPvFuture ) "]"
        Some((address, port)) if !address.is_empty() && !address.contains('[') => (address, port),
        Some(_) => return false,
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            if host.contains(['[', ']']) {
                return false;
            }
            (host, port)
        }
    };
    // reg-name = *( unreserved / pct-encoded / sub-delims )
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(&byte);
    let is_port =
        port.strip_prefix(':').map_or(port.is_empty(), |digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    !host.is_empty() && host.bytes().all(is_host_byte) && is_port
}

/// Where `HTTP-version = "HTTP/" DIGIT "." DIGIT` begins, behind a method and a target that are valid.
fn version_start(input: &[u8]) -> Option<usize> {
    let mut spaces = input.iter().enumerate().filter(|(_, byte)| **byte == b' ');
    spaces.nth(1).map(|(position, _)| position + 1)
}

/// What is wrong with a request line whose version is not one of HTTP/1.0 and HTTP/1.1: it is another one, or none. `None`
/// until that can be told.
#[cold]
fn version_error(input: &[u8]) -> Option<HttpError> {
    const FORM: &[u8] = b"HTTP/d.d\r\n";

    let version = &input[version_start(input)?..];
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if !version.iter().zip(FORM).all(fits) {
        return Some(HttpError::Syntax);
    }
    (version.len() >= FORM.len()).then_some(HttpError::Version)
}

/// Makes a request of HTTP/1.2 or a later HTTP/1 that [`Request::parse`] has refused one of HTTP/1.1, which it is compatible
/// with by definition (RFC 9110 section 2.5). Returns whether it was one; then it is to be parsed again.
pub fn lower_minor_version(input: &mut [u8]) -> bool {
    match version_start(input).and_then(|start| input[start..].first_chunk_mut()) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', b'\r', b'\n']) => {
            *minor = b'1';
            true
        }
        _ => false,
    }
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
    fn what_is_no_request_line_is_a_bad_request() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 GET / HTTP/1.1",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r",
            "GET / HTTP/1.1\rX",
            "GET / HTTP/1.1\nX: HTTP/1.1",
            "GET / HTTP/1.1\rX HTTP/1.1",
            "GET / HTTP/2",
            "GET / HTTP/2.0x",
            "GET / HTTP/2.0 ",
            "GET / HTTP/2.0\n",
            "GET / HTTP/2.0\rx",
            "GET / HTTP/1.10",
            "GET / HTTP/01.1",
            "GET / HTTP/1,1",
            "GET / HTTP/x.1",
            "GET / http/1.1",
            "GET / HTTPS/1.1",
            "GET / JUNK",
            "GET / ",
            "GET /",
            "G=T\x01 / HTTP/1.1",
            "GET /\x01 HTTP/1.1",
            "GET /\0 HTTP/1.1",
            " GET / HTTP/1.1",
            "\nGET / HTTP/1.1",
            "GET * HTTP/1.1",
            "OPTIONS *a HTTP/1.1",
            "GET x HTTP/1.1",
            "CONNECT h:443 HTTP/1.1",
            "GET",
        ] {
            let input = format!("{line}\r\nHost: h\r\n\r\n");
            assert_eq!(parse(input.as_bytes()).err(), Some(HttpError::Syntax), "{line:?}");
        }
    }

    #[test]
    fn another_version_is_refused_as_such_and_a_later_minor_one_is_read_as_1_1() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"] {
            let mut input = format!("PRI * {version}\r\nHost: h\r\n\r\n").into_bytes();
            assert_eq!(parse(&input).err(), Some(HttpError::Version), "{version}");
            assert!(!lower_minor_version(&mut input), "{version}");
        }
        for version in ["HTTP/1.2", "HTTP/1.9"] {
            let mut input = format!("\r\nGET /a {version}\r\nHost: h\r\n\r\n").into_bytes();
            assert_eq!(parse(&input).err(), Some(HttpError::Version), "{version}");
            assert!(lower_minor_version(&mut input));
            assert_eq!(parse(&input).expect("good").0, "GET /a None");
        }
        // What is not refused for its version is left as it is.
        for input in
            [&b"GET / HTTP/1.1\r\n"[..], b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.2\r", b"GET / HTTP/1.23\r\n", b"GET /"]
        {
            assert!(!lower_minor_version(&mut input.to_vec()), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn http_1_0_needs_no_host_and_closes_unless_it_asks_not_to() {
        for (headers, closes) in [
            ("", true),
            ("Host: h\r\n", true),
            ("Connection: keep-alive\r\n", false),
            ("Connection: x, Keep-Alive\r\n", false),
            ("Connection: x\r\nConnection: keep-alive\r\n", false),
            ("Connection: keep-alive, close\r\n", true),
            ("Connection: close\r\nConnection: keep-alive\r\n", true),
            ("Keep-Alive: timeout=5\r\n", true),
        ] {
            let input = format!("GET / HTTP/1.0\r\n{headers}\r\n");
            parse(input.as_bytes()).expect("good");
            let mut slots = header_slots();
            let (request, _) = Request::parse(input.as_bytes(), &mut slots, 4096).expect("good").expect("complete");
            assert_eq!((request.is_http_1_0(), request.asks_to_close()), (true, closes), "{headers:?}");
        }
        let length = parse(b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").expect("good").1;
        assert_eq!(length, Some(Body::with_length(3)));
        for headers in
            ["Host:\r\n", "Host: a\r\nHost: b\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n"]
        {
            let input = format!("POST / HTTP/1.0\r\n{headers}\r\n");
            assert_eq!(parse(input.as_bytes()).err(), Some(HttpError::Syntax), "{headers:?}");
        }
    }

    #[test]
    fn http_1_1_is_kept_alive_whatever_else_it_asks_for() {
        for (connection, closes) in [("keep-alive", false), ("close", true), ("keep-alive, close", true), ("x", false)]
        {
            let input = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n");
            let mut slots = header_slots();
            let (request, _) = Request::parse(input.as_bytes(), &mut slots, 4096).expect("good").expect("complete");
            assert_eq!((request.is_http_1_0(), request.asks_to_close()), (false, closes), "{connection}");
        }
    }

    /// Method and target, and what they come to: path, query and host.
    fn resolve(line: &str, version: &str, headers: &str) -> Option<(String, Option<String>, String)> {
        let input = format!("{line} {version}\r\n{headers}\r\n");
        parse(input.as_bytes()).ok()?;
        let mut slots = header_slots();
        let (request, _) = Request::parse(input.as_bytes(), &mut slots, 4096).ok()??;
        let host = String::from_utf8_lossy(request.header(b"host").unwrap_or_default()).into_owned();
        let hosts = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count();
        assert_eq!(hosts, usize::from(!host.is_empty()));
        Some((request.path().to_owned(), request.query().map(str::to_owned), host))
    }

    #[test]
    fn a_target_in_absolute_form_has_a_host_that_goes_before_the_header() {
        for (target, path, query, host) in [
            ("http://other/a/b?c=d?e", "/a/b", Some("c=d?e"), "other"),
            ("HTTP://Other:8080/", "/", None, "Other:8080"),
            ("https://other", "/", None, "other"),
            ("http://other?q", "/", Some("q"), "other"),
            ("http://other:/a:b@c", "/a:b@c", None, "other:"),
            ("http://[2001:db8::1]:80/a", "/a", None, "[2001:db8::1]:80"),
            ("http://[::1]", "/", None, "[::1]"),
            ("http://127.0.0.1:80/x", "/x", None, "127.0.0.1:80"),
            ("http://a%20b_c/x", "/x", None, "a%20b_c"),
            ("http://other//x", "//x", None, "other"),
        ] {
            let expected = Some((path.to_owned(), query.map(str::to_owned), host.to_owned()));
            let line = format!("GET {target}");
            for headers in ["Host: h\r\nX: y\r\n", "X: y\r\nhost:\r\n"] {
                assert_eq!(resolve(&line, "HTTP/1.1", headers), expected, "{target}");
            }
            for headers in ["Host: h\r\n", ""] {
                assert_eq!(resolve(&line, "HTTP/1.0", headers), expected, "{target}");
            }
            assert_eq!(resolve(&line, "HTTP/1.1", ""), None, "HTTP/1.1 has a Host all the same");
            assert_eq!(resolve(&line, "HTTP/1.1", "Host: a\r\nHost: b\r\n"), None);
        }
    }

    #[test]
    fn a_target_that_is_no_uri_of_ours_is_a_bad_request() {
        for target in [
            "http:///a",
            "http://:80/a",
            "http://u@h/a",
            "http://u:p@h/",
            "http://h:8o/",
            "http://h:80:80/",
            "http://",
            "http:/h/a",
            "http:h",
            "http",
            "ftp://h/a",
            "ws://h/a",
            "httpx://h/a",
            "://h/a",
            "http://h#a",
            "http://[::1/",
            "http://::1]/",
            "http://[]/",
            "http://[[::1]]/",
            "http://[::1]x/",
            "http://h\"/",
            "http://h\\/",
            "h",
            "h:80",
            "#",
            "?a",
        ] {
            for method in ["GET", "OPTIONS", "CONNECT"] {
                assert_eq!(
                    resolve(&format!("{method} {target}"), "HTTP/1.1", "Host: h\r\n"),
                    None,
                    "{method} {target}"
                );
            }
        }
    }

    #[test]
    fn options_for_the_server_as_a_whole() {
        let whole = Some(("*".to_owned(), None, "h".to_owned()));
        assert_eq!(resolve("OPTIONS *", "HTTP/1.1", "Host: h\r\n"), whole);
        assert_eq!(resolve("OPTIONS http://h", "HTTP/1.1", "Host: x\r\n"), whole);
        let path = Some(("/".to_owned(), None, "h".to_owned()));
        assert_eq!(resolve("OPTIONS http://h/", "HTTP/1.1", "Host: x\r\n"), path);
        assert_eq!(resolve("options *", "HTTP/1.1", "Host: h\r\n"), None);
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
