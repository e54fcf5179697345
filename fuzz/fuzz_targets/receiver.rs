//! Requests and their bodies are the same however the bytes of a connection are split, and what is accepted is what a
//! plain reading of the head finds in it.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::time::SystemTime;

use milliways_proto::http::{
    Body, HttpError, MAX_HEADERS, Marks, Request, ResponseHead, header_slots, lower_minor_version,
};
use milliways_proto::ws::{Acceptance, Handshake};

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
    Chunk(&'a [u8]),
    Raw(&'a [u8]),
}

const WORDS: [&str; 36] = [
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
            Part::Chunk(data) => {
                bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
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
    let mut whole = Connection::new(max_head_size);
    let whole_outcome = whole.feed(&bytes);

    let mut split = Connection::new(max_head_size);
    let mut split_outcome = Ok(());
    let mut rest = &bytes[..];
    for length in input.pieces.iter().cycle() {
        let piece;
        (piece, rest) = rest.split_at(usize::from(*length).max(1).min(rest.len()));
        split_outcome = split.feed(piece);
        if rest.is_empty() || split_outcome.is_err() {
            break;
        }
    }

    assert_eq!(split.seen, whole.seen);
    // An error may be found earlier, and then be another one of those that the bytes have; never is there one where the
    // whole has none.
    assert_eq!(split_outcome.is_err(), whole_outcome.is_err(), "{split_outcome:?} {whole_outcome:?}");
});

/// What is kept of a connection, as a server keeps it.
struct Connection {
    max_head_size: usize,
    kept: Vec<u8>,
    body: Option<Body>,
    seen: Vec<Seen>,
}

impl Connection {
    fn new(max_head_size: usize) -> Self {
        Self { max_head_size, kept: Vec::new(), body: None, seen: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        let mut all = std::mem::take(&mut self.kept);
        all.extend_from_slice(bytes);
        let mut rest = &mut all[..];
        while !rest.is_empty() {
            if let Some(body) = &mut self.body {
                let chunk = body.handle(rest)?;
                match self.seen.last_mut() {
                    _ if chunk.data.is_empty() => {}
                    Some(Seen::Data(data)) => data.extend_from_slice(chunk.data),
                    _ => self.seen.push(Seen::Data(chunk.data.to_vec())),
                }
                if chunk.is_last {
                    self.body = None;
                    self.seen.push(Seen::End);
                }
                let consumed = chunk.consumed;
                rest = &mut rest[consumed..];
                continue;
            }
            let mut slots = header_slots();
            let parsed = Request::parse(rest, &mut slots, self.max_head_size);
            if parsed.as_ref().err() == Some(&HttpError::Version) && lower_minor_version(rest) {
                continue;
            }
            let mut slots = header_slots();
            let Some((request, length)) = Request::parse(rest, &mut slots, self.max_head_size)? else {
                assert!(rest.len() < self.max_head_size, "more is kept than a head may have");
                self.kept = rest.to_vec();
                break;
            };
            assert!(length <= self.max_head_size);
            check(&request, &rest[..length]);
            self.body = request.body();
            self.seen.push(Seen::Head(Head {
                method: request.method().to_owned(),
                path: request.path().to_owned(),
                query: request.query().map(str::to_owned),
                headers: request.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
                body: request.body(),
                closes: request.asks_to_close(),
            }));
            rest = &mut rest[length..];
        }
        Ok(())
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
    assert_eq!(version, if request.is_http_1_0() { "HTTP/1.0" } else { "HTTP/1.1" });
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
