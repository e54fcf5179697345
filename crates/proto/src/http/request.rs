//! Request heads: parsed by httparse, then checked against RFC 9112 where lenient parsing would be dangerous.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::{Body, HttpError, Method};

/// The default maximum size of a request head, in bytes. uWebSockets.js has the same.
pub const DEFAULT_MAX_HEAD_SIZE: usize = 4096;

/// The maximum number of header fields in a request.
pub const MAX_HEADERS: usize = 100;

/// Room for one request and its header fields, on the caller's stack.
pub struct RequestRoom<'b> {
    headers: [MaybeUninit<httparse::Header<'b>>; MAX_HEADERS],
    request: Option<Request<'b>>,
}

impl Default for RequestRoom<'_> {
    /// Creates empty room.
    #[inline]
    fn default() -> Self {
        Self { headers: [const { MaybeUninit::uninit() }; MAX_HEADERS], request: None }
    }
}

/// A complete request head. It borrows the bytes it was parsed from.
#[derive(Debug)]
pub struct Request<'b> {
    method: &'b str,
    path: &'b str,
    query: Option<&'b str>,
    headers: &'b [httparse::Header<'b>],
    /// The host that the target names, if there is no Host header whose value it replaces.
    target_host: Option<&'b [u8]>,
    /// The body that follows, if there is one.
    body: Option<Body>,
    is_http_1_0: bool,
    asks_to_close: bool,
}

impl<'b> Request<'b> {
    /// Parses the head at the start of `input`. Returns the request, which is put into `room`, and the length of its
    /// head; `None` if the head is incomplete. Then pass the same bytes again, together with more.
    ///
    /// A version other than HTTP/1.0 and HTTP/1.1 is an [`HttpError::UnsupportedVersion`]. [`lower_minor_version`] makes
    /// these versions acceptable.
    pub fn parse(
        input: &'b [u8],
        room: &'b mut RequestRoom<'b>,
        max_head_size: usize,
    ) -> Result<Option<(&'b Self, usize)>, HttpError> {
        // Bytes beyond the limit are ignored, so that the result does not depend on whether they have arrived.
        let input = &input[..input.len().min(max_head_size)];
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(input, &mut room.headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if input.len() < max_head_size => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(HttpError::HeadTooLarge),
            Err(httparse::Error::Version) => {
                return match version_error(input) {
                    Some(error) => Err(error),
                    None if input.len() < max_head_size => Ok(None),
                    None => Err(HttpError::HeadTooLarge),
                };
            }
            Err(error) => return Err(error_of(error)),
        };
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(HttpError::InvalidRequestLine);
        };
        let headers: &'b mut [httparse::Header<'b>] = parsed.headers;
        let Target { path, query, host: target_host } = if target.starts_with('/') {
            let (path, query) = split_query(target);
            Target { path, query, host: None }
        } else {
            Target::other(method, target, headers).ok_or(HttpError::InvalidTarget)?
        };
        let is_http_1_0 = parsed.version == Some(0);
        let request = Self { method, path, query, headers, target_host, body: None, is_http_1_0, asks_to_close: false };
        let request = room.request.insert(request);
        request.read_lines(&input[..length])?;
        Ok(Some((request, length)))
    }

    /// Returns the method as it was sent.
    pub fn method(&self) -> &'b str {
        self.method
    }

    /// Returns the method if routes can name it.
    pub fn known_method(&self) -> Option<Method> {
        Method::parse(self.method)
    }

    /// Returns whether the version is HTTP/1.0. Clients of this version know neither chunks nor interim responses nor
    /// upgrades.
    pub fn is_http_1_0(&self) -> bool {
        self.is_http_1_0
    }

    /// Returns the path of the target, not decoded. It starts with `/`, or is the `*` of OPTIONS (RFC 9112 section
    /// 3.2.4).
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// Returns the query of the target, which follows the first question mark, not decoded; `None` if there is no
    /// question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// Returns the trimmed value of the first header with this name. `lower_name` must be in lower case; a name with a
    /// capital letter finds nothing. The value of `host` is the host of the target, if it has one (RFC 9112 section
    /// 3.2.2).
    pub fn header(&self, lower_name: &[u8]) -> Option<&'b [u8]> {
        self.values(lower_name).next().or_else(|| self.target_host.filter(|_| lower_name == b"host"))
    }

    /// Returns the value of a header that is a comma-separated list, with all its lines combined (RFC 9110 section
    /// 5.3); empty if there is no such header.
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

    /// Iterates over the headers in order: names as they were sent, and trimmed values. Host is as in
    /// [`Request::header`].
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        let sent = self.headers.iter().map(|header| (header.name, header.value));
        sent.chain(self.target_host.map(|host| ("Host", host)))
    }

    /// Returns whether a header that is a comma-separated list (RFC 9110 section 5.6.1) contains this token, in any
    /// letter case.
    pub fn header_has_token(&self, lower_name: &[u8], token: &[u8]) -> bool {
        self.values(lower_name).any(|value| has_token(value, token))
    }

    /// Returns whether the connection must close after the response (RFC 9112 section 9.3): the client has asked for
    /// this, or it speaks HTTP/1.0 and has not asked for the connection to be kept alive.
    pub fn asks_to_close(&self) -> bool {
        self.asks_to_close
    }

    /// Returns whether the client waits for a `100 Continue` before it sends the body (RFC 9110 section 10.1.1). A
    /// client of HTTP/1.0 never does.
    pub fn expects_continue(&self) -> bool {
        self.body.is_some() && !self.is_http_1_0 && self.header_has_token(b"expect", b"100-continue")
    }

    /// Returns the body that follows this head; `None` if there is none.
    pub fn body(&self) -> Option<Body> {
        self.body.clone()
    }

    /// Iterates over the trimmed values of all headers with this name, in order.
    pub(crate) fn values(&self, lower_name: &[u8]) -> impl Iterator<Item = &'b [u8]> {
        self.headers
            .iter()
            .filter(move |header| {
                header.name.len() == lower_name.len()
                    && header.name.bytes().zip(lower_name).all(|(sent, asked)| sent.to_ascii_lowercase() == *asked)
            })
            .map(|header| header.value)
    }

    /// Checks the line ends of the head, and reads the headers that frame the body or manage the connection, in one
    /// pass.
    ///
    /// RFC 9112 section 2.2 lets a recipient accept a bare LF as a line end, but a proxy in front may not have done so.
    /// Sections 3.2 and 6.3 require exactly one Host, which only HTTP/1.0 may omit, and one way to tell where the body
    /// ends.
    fn read_lines(&mut self, head: &[u8]) -> Result<(), HttpError> {
        let start_of = |part: &str| part.as_ptr().addr() - head.as_ptr().addr();
        // Empty lines may precede the request (section 2.2).
        if !head[..start_of(self.method)].chunks(2).all(|line| line == b"\r\n") || !head.ends_with(b"\r\n\r\n") {
            return Err(HttpError::InvalidLineEnd);
        }
        let (mut host, mut framing) = (None, None);
        for header in self.headers {
            // Only line ends contain an LF, so it is enough to look before each name.
            if !head[..start_of(header.name)].ends_with(b"\r\n") {
                return Err(HttpError::InvalidLineEnd);
            }
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                4 if is("host") && host.replace(header.value).is_some() => return Err(HttpError::RepeatedHost),
                10 if is("connection") => self.asks_to_close |= has_token(header.value, b"close"),
                14 if is("content-length") => {
                    // Content-Length = 1*DIGIT
                    let length = parse_digits(header.value).ok_or(HttpError::InvalidContentLength)?;
                    if framing.replace((length > 0).then(|| Body::with_length(length))).is_some() {
                        return Err(HttpError::AmbiguousLength);
                    }
                }
                17 if is("transfer-encoding") => {
                    // RFC 9112 section 6.1: in HTTP/1.0, "the framing is faulty".
                    let is_chunked = header.value.eq_ignore_ascii_case(b"chunked") && !self.is_http_1_0;
                    if !is_chunked {
                        return Err(HttpError::InvalidTransferEncoding);
                    }
                    if framing.replace(Some(Body::chunked())).is_some() {
                        return Err(HttpError::AmbiguousLength);
                    }
                }
                _ => {}
            }
        }
        debug_assert!(head.split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")));
        if host.map_or(!self.is_http_1_0, <[u8]>::is_empty) {
            return Err(HttpError::MissingHost);
        }
        if self.is_http_1_0 {
            self.asks_to_close |= !self.header_has_token(b"connection", b"keep-alive");
        }
        self.body = framing.flatten();
        Ok(())
    }
}

/// Returns whether a comma-separated list (RFC 9110 section 5.6.1) contains this token, in any letter case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

/// Parses a number of at most 18 digits, which cannot overflow. uWebSockets.js has the same limit.
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

/// The meaning of a target.
struct Target<'b> {
    path: &'b str,
    query: Option<&'b str>,
    /// The host that it names, unless that has replaced the value of a Host header.
    host: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Parses a target that is not in origin-form (RFC 9112 section 3.2): `absolute-form = absolute-URI` with a scheme
    /// that is served, or `asterisk-form = "*"`. Returns `None` if the target is malformed or in authority-form, since
    /// only a proxy can serve CONNECT.
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
            // This is how a client sends the asterisk-form to a proxy (section 3.2.4).
            "" if is_options && query.is_none() => "*",
            "" => "/",
            path => path,
        };
        // Section 3.2.2: the host of the target replaces that of the Host header.
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

/// `authority = uri-host [ ":" port ]` with a host that is not empty. Userinfo is an error (RFC 9110 section 4.2.4).
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

/// Returns what is wrong with a head that httparse has refused for another reason than its version.
#[cold]
fn error_of(error: httparse::Error) -> HttpError {
    match error {
        httparse::Error::HeaderName => HttpError::InvalidHeaderName,
        httparse::Error::HeaderValue => HttpError::InvalidHeaderValue,
        httparse::Error::NewLine => HttpError::InvalidLineEnd,
        httparse::Error::TooManyHeaders => HttpError::TooManyHeaders,
        httparse::Error::Token | httparse::Error::Status | httparse::Error::Version => HttpError::InvalidRequestLine,
    }
}

/// Returns the index of `HTTP-version = "HTTP/" DIGIT "." DIGIT`, which follows a valid method and a valid target.
fn version_start(input: &[u8]) -> Option<usize> {
    let mut spaces = input.iter().enumerate().filter(|(_, byte)| **byte == b' ');
    spaces.nth(1).map(|(position, _)| position + 1)
}

/// Returns the error of a request line whose version is not HTTP/1.0 or HTTP/1.1, which depends on whether it is a
/// version at all; `None` until that is known.
#[cold]
fn version_error(input: &[u8]) -> Option<HttpError> {
    const FORM: &[u8] = b"HTTP/d.d\r\n";

    let version = &input[version_start(input)?..];
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    if !version.iter().zip(FORM).all(fits) {
        return Some(HttpError::InvalidVersion);
    }
    (version.len() >= FORM.len()).then_some(HttpError::UnsupportedVersion)
}

/// Turns a request of HTTP/1.2 or a later HTTP/1, which [`Request::parse`] has refused, into one of HTTP/1.1, with
/// which it is compatible by definition (RFC 9110 section 2.5). Returns whether it was one, and so must be parsed
/// again.
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
mod tests;
