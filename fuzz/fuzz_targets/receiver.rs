//! Requests and their bodies are the same however the bytes of a connection are split. A head that is accepted says what a
//! plain reading of its lines finds, and a chunked body ends where a plain reading of RFC 9112 section 7.1 says.

#![no_main]

mod pieces;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::time::SystemTime;

use milliways_proto::http::{Body, Event, HttpError, MAX_HEADERS, Marks, Receiver, Request, RequestRoom, ResponseHead};
use milliways_proto::ws::{Acceptance, Handshake};

use self::pieces::pieces;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    max_head_size: u8,
    /// Lengths of the pieces, over and over again.
    pieces: [u8; 4],
    parts: Vec<Part<'a>>,
}

/// Random bytes alone hardly ever make a request.
#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Word(u8),
    /// Words without the empty line that would end the head.
    Headers([u8; 4]),
    /// The head of a request with a body of so many bytes, or, if that is 0, a chunked one.
    BodyHead(u16),
    Chunk {
        data: &'a [u8],
        extension: Option<&'a str>,
    },
    Raw(&'a [u8]),
}

const WORDS: [&str; 53] = [
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n",
    "POST /a?b=c HTTP/1.1\r\nHost: h\r\n",
    "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Protocol: a, b\r\n",
    "Sec-WebSocket-Protocol:",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Host: h\r\n",
    "Host:\r\n",
    "X:  y \r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "?",
    "HTTP/1.1",
    "HTTP/1.0\r\n",
    "HTTP/1.2\r\n",
    "GET /a HTTP/1.0\r\n",
    "GET http://u:80/a?b HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "0\r\n\r\n",
    "0\r\nTrailer: t\r\n\r\n",
    "5;a=b\r\nhello\r\n",
    "a\r\n",
    "é",
    "0\r\n",
    "000;x\r\n",
    "3 ; a = \"b;\\\"c\"\r\nabc\r\n",
    "1;a=b;c\r\nx\r\n",
    ";a=\"",
    "T:\r\n",
    "Trailer: t\r\n",
    ";",
    "5\r\nhello\r\n",
    "0005\r\n",
    "F",
    "ffffffffffffffff\r\n",
    "1000000000000000\r\n",
    "10000000000000000\r\n",
    "-1\r\n",
    "HTTP/1.9\r\n",
    "HTTP/2.0\r\n",
];

fn bytes_of(parts: &[Part<'_>]) -> Vec<u8> {
    let word = |index: u8| WORDS[usize::from(index) % WORDS.len()].as_bytes();
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Word(index) => bytes.extend_from_slice(word(*index)),
            Part::Headers(indices) => {
                for index in indices {
                    bytes.extend_from_slice(word(6 + index % 11));
                }
            }
            Part::BodyHead(length) => {
                let framing = match length {
                    0 => "Transfer-Encoding: chunked".to_owned(),
                    length => format!("Content-Length: {length}"),
                };
                bytes.extend_from_slice(format!("PUT / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes());
            }
            Part::Chunk { data, extension } => {
                bytes.extend_from_slice(format!("{:X}", data.len()).as_bytes());
                if let Some(extension) = extension {
                    bytes.extend_from_slice(format!(";{extension}").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(data);
                bytes.extend_from_slice(b"\r\n");
            }
            Part::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

#[derive(Debug, PartialEq)]
enum Seen {
    Head(Head),
    Data(Vec<u8>),
    End,
}

#[derive(Debug, PartialEq)]
struct Head {
    method: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Body>,
    closes: bool,
}

fuzz_target!(|input: Input<'_>| {
    // Small, so that the limit is met, or far away.
    let max_head_size = if input.max_head_size < 100 { 40 + usize::from(input.max_head_size) } else { 1 << 20 };
    let bytes = bytes_of(&input.parts);
    let (whole, whole_outcome) = read(max_head_size, [&bytes[..]]);

    compare(read(max_head_size, pieces(&bytes, &input.pieces)), &whole, whole_outcome);
    // Longer heads would be parsed too often.
    if bytes.len() <= 300 {
        compare(read(max_head_size, bytes.chunks(1)), &whole, whole_outcome);
    }
});

/// What was read of a connection, and the error that ended it.
fn read<'i>(max_head_size: usize, pieces: impl IntoIterator<Item = &'i [u8]>) -> (Vec<Seen>, Result<(), HttpError>) {
    let mut connection =
        Connection { max_head_size, receiver: Receiver::default(), fed: Vec::new(), seen: Vec::new(), body: None };
    let outcome = pieces.into_iter().try_for_each(|piece| connection.feed(piece));
    (connection.seen, outcome)
}

fn compare((seen, outcome): (Vec<Seen>, Result<(), HttpError>), whole: &[Seen], whole_outcome: Result<(), HttpError>) {
    assert_eq!(seen, whole);
    // An error may be found earlier, and then be another one of those that the bytes have. There is never one where the
    // whole has none.
    assert_eq!(outcome.is_err(), whole_outcome.is_err(), "{outcome:?} {whole_outcome:?}");
}

/// A connection, read as a server reads it.
struct Connection {
    max_head_size: usize,
    receiver: Receiver,
    /// All bytes that have come.
    fed: Vec<u8>,
    seen: Vec<Seen>,
    /// The body that is being read, and where it began.
    body: Option<(Body, usize)>,
}

impl Connection {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.fed.extend_from_slice(bytes);
        let joined = self.receiver.join(bytes);
        let mut input = joined.unwrap_or_else(|| bytes.to_vec());
        assert!(input.len() - bytes.len() < self.max_head_size, "more is kept than a head may have");
        let mut rest = &mut input[..];
        let mut has_idled = false;
        while !rest.is_empty() {
            let mut room = RequestRoom::default();
            let had_body = self.receiver.has_body();
            let left = rest.len();
            let step = self.receiver.handle(rest, &mut room, self.max_head_size)?;
            assert!(step.consumed <= left);
            assert!(step.consumed > 0 || (step.event.is_none() && !has_idled), "no progress");
            has_idled = step.consumed == 0;
            let consumed = step.consumed;
            let end = self.fed.len() - left + consumed;
            match step.event {
                None => assert!(consumed == 0 || consumed == left),
                Some(Event::Request(request)) => {
                    assert!(!had_body && consumed <= self.max_head_size);
                    self.note_request(request, end, consumed);
                }
                Some(Event::Data { data, is_last, remaining }) => {
                    assert!(had_body && data.len() <= consumed);
                    assert_eq!(remaining, self.receiver.remaining());
                    self.note_data(data, is_last, end);
                }
            }
            assert_eq!(self.receiver.has_body(), self.body.is_some());
            rest = &mut rest[consumed..];
        }
        Ok(())
    }

    fn note_request(&mut self, request: &Request<'_>, end: usize, length: usize) {
        check(request, &self.fed[end - length..end]);
        self.body = request.body().map(|body| (body, end));
        self.seen.push(Seen::Head(Head {
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            headers: request.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            body: request.body(),
            closes: request.asks_to_close(),
        }));
    }

    fn note_data(&mut self, data: &[u8], is_last: bool, end: usize) {
        match self.seen.last_mut() {
            Some(Seen::Data(seen)) => seen.extend_from_slice(data),
            _ => self.seen.push(Seen::Data(data.to_vec())),
        }
        if !is_last {
            return;
        }
        let Some(Seen::Data(data)) = self.seen.last() else { panic!("the data of a body") };
        let (body, start) = self.body.take().expect("a body has begun");
        match body.remaining() {
            None => assert_eq!(plain_reading(&self.fed[start..]), Some((data.clone(), end - start))),
            Some(length) => {
                assert_eq!((end - start) as u64, length);
                assert_eq!(data[..], self.fed[start..end]);
            }
        }
        self.seen.push(Seen::End);
    }
}

/// An accepted head says what its lines say, to any reader.
fn check(request: &Request<'_>, head: &[u8]) {
    let mut start = 0;
    while head[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let head = head[start..].strip_suffix(b"\r\n\r\n").expect("an empty line ends a head");
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    for line in &lines {
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{}", line.escape_ascii());
        assert!(!line.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t"), "{}", line.escape_ascii());
    }

    let line = std::str::from_utf8(lines[0]).expect("UTF-8");
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = words[..] else { panic!("{line:?}") };
    assert_eq!(method, request.method());
    // The later versions of HTTP/1 are read as HTTP/1.1.
    match version.strip_prefix("HTTP/1.") {
        Some("0") => assert!(request.is_http_1_0()),
        Some(minor) => assert!(!request.is_http_1_0() && minor.parse::<u8>().is_ok_and(|minor| minor < 10)),
        None => panic!("{line:?}"),
    }
    let origin = request.query().map_or(request.path().to_owned(), |query| format!("{}?{query}", request.path()));
    let host = check_target(method, target, &origin);
    assert!(!request.path().contains('?') && !request.method().is_empty());

    let headers: Vec<(&str, &[u8])> = request.headers().collect();
    assert!(headers.len() <= MAX_HEADERS + 1);
    // The host of a target stands for a header that HTTP/1.0 may leave out.
    assert!(headers.len() == lines.len() - 1 || (headers.len() == lines.len() && host.is_some()));
    for ((name, value), line) in headers.iter().zip(&lines[1..]) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        assert_eq!(name.as_bytes(), &line[..colon]);
        assert!(!name.is_empty() && !name.contains([' ', '\t']));
        let expected = match host {
            Some(host) if name.eq_ignore_ascii_case("host") => host.as_bytes(),
            _ => trim(&line[colon + 1..]),
        };
        assert_eq!(value.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert!(request.header(name.to_ascii_lowercase().as_bytes()).is_some());
    }

    let values = |name: &str| -> Vec<&[u8]> {
        headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1).collect()
    };
    assert!(values("host").len() == 1 || (request.is_http_1_0() && values("host").is_empty()));
    assert_eq!(request.header(b"host"), values("host").first().copied());
    assert!(host.is_none() || request.header(b"host") == host.map(str::as_bytes));
    let options: Vec<String> = values("connection")
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|option| String::from_utf8_lossy(option).trim_ascii().to_ascii_lowercase())
        .collect();
    let has = |option: &str| options.iter().any(|sent| sent == option);
    assert_eq!(request.asks_to_close(), has("close") || (request.is_http_1_0() && !has("keep-alive")));
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two ways to tell where the body ends");
    let length = lengths.first().map(|length| {
        assert!(length.iter().all(u8::is_ascii_digit));
        std::str::from_utf8(length).expect("digits").parse::<u64>().expect("a number")
    });
    let expected = match (length, codings.first()) {
        (None | Some(0), None) => None,
        (Some(length), _) => Some(Body::with_length(length)),
        (None, Some(coding)) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && !request.is_http_1_0());
            Some(Body::chunked())
        }
    };
    assert_eq!(request.body(), expected);

    if Handshake::is_offered_by(request)
        && let Ok(handshake) = Handshake::parse(request)
    {
        let mut response = Vec::new();
        let acceptance = Acceptance::new(handshake.key(), handshake.protocols()).expect("the parser lets none through");
        acceptance.write(&mut response, &ResponseHead::default(), &Marks::new(SystemTime::UNIX_EPOCH, true));
        // Whatever the client put in: one head, and nothing behind it.
        assert_eq!(response.windows(4).position(|bytes| bytes == b"\r\n\r\n"), Some(response.len() - 4));
        assert!(response.starts_with(b"HTTP/1.1 101 "));
    }
}

/// What the target comes to is `origin`; gives the host it names.
fn check_target<'t>(method: &str, target: &'t str, origin: &str) -> Option<&'t str> {
    assert!(!target.contains(' '));
    let Some((scheme, rest)) = target.split_once("://").filter(|_| !target.starts_with('/')) else {
        assert_eq!(origin, target);
        assert!(target.starts_with('/') || (target == "*" && method == "OPTIONS"));
        return None;
    };
    assert!(["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()));
    let host = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    assert!(!host.is_empty() && !host.contains(['@', '#']));
    match &rest[host.len()..] {
        "" if method == "OPTIONS" => assert_eq!(origin, "*"),
        rest if rest.starts_with('/') => assert_eq!(origin, rest),
        rest => assert_eq!(origin, format!("/{rest}")),
    }
    Some(host)
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The data of a chunked body at the start of `bytes` and the body's length, `None` when there is no whole one.
fn plain_reading(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut position) = (Vec::new(), 0);
    let line = |position: &mut usize| {
        let rest = &bytes[*position..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        *position += end + 2;
        Some(&rest[..end])
    };
    loop {
        let size = line(&mut position)?;
        let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(std::str::from_utf8(&size[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = position.checked_add(usize::try_from(size).ok()?)?;
        data.extend_from_slice(bytes.get(position..end)?);
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        position = end + 2;
    }
    while !line(&mut position)?.is_empty() {}
    Some((data, position))
}
