//! Whatever the order of calls, what is sent is one response with the framing that it announces and the body that was
//! passed. A small parser that knows only RFC 9112 reads it. A call that fails sends nothing, and none succeeds once the
//! response is complete.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::time::SystemTime;

use milliways_proto::http::{
    DEFAULT_MAX_HEAD_SIZE, Draft, HttpError, Marks, NOT_FOUND_BODY, Outgoing, Persistence, Request, RequestRoom,
    Responder, ResponseError,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    is_head: bool,
    is_http_1_0: bool,
    connection: Option<bool>,
    calls: Vec<Call<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    Continue,
    Status(u8),
    Header(u8),
    Length(u8),
    Begin,
    Write(&'a [u8]),
    TryEnd { piece: &'a [u8], total: u8, room: u8, close: bool },
    End { body: &'a [u8], close: bool },
    EndWithoutBody { length: Option<u8>, close: bool },
    NotFound,
    Refuse,
    Upgrade,
}

const STATUSES: [&str; 9] =
    ["200 OK", "204 No Content", "304", "404 Not Found", "101 Switching Protocols", "299 ", "100", "20", "200 \r\n"];

const HEADERS: [(&str, &str); 12] = [
    ("A", "b"),
    ("Connection", "close"),
    ("connection", "keep-alive"),
    ("Connection", "Upgrade, x"),
    ("Transfer-Encoding", "chunked"),
    ("Transfer-Encoding", "gzip"),
    ("Date", "today"),
    ("Upgrade", "h2c"),
    ("Content-Length", "x"),
    ("Content-Length ", "1"),
    ("B", "c\r\nContent-Length: 1"),
    ("Set-Cookie", ""),
];

/// How the body has been passed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Write,
    TryEnd {
        total: u64,
    },
    Whole,
    /// It has been announced, if at all, and not been passed.
    Announced,
}

struct Exchange {
    responder: Responder,
    draft: Draft,
    marks: Marks,
    output: Vec<u8>,
    /// What the client should get of a body.
    body: Vec<u8>,
    way: Option<Way>,
    end: Option<Persistence>,
}

fuzz_target!(|input: Input<'_>| {
    let mut exchange = Exchange::new(&input);
    for call in &input.calls {
        let (is_over, before) = (exchange.responder.is_complete(), exchange.output.len());
        let has_begun = exchange.responder.has_begun();
        if let Call::Refuse = call
            && !is_over
        {
            return exchange.refuse(input.is_head);
        }
        if let Call::Upgrade = call
            && exchange.responder.check_upgrade(&exchange.draft).is_ok()
        {
            assert!(!has_begun);
            exchange.responder.upgrade(&mut exchange.draft).expect("it was allowed");
            assert!(exchange.draft.is_empty() && exchange.responder.is_complete());
            return;
        }
        let result = exchange.call(call);
        assert!(!is_over || result == Err(ResponseError::Complete), "{call:?}");
        // Only the head of a body in pieces goes out even if the first piece is refused.
        let may_send = result.is_ok() || (!has_begun && matches!(call, Call::Write(_)));
        assert!(may_send || exchange.output.len() == before, "{call:?} has sent something and failed");
    }
    if !exchange.responder.is_complete() {
        exchange.finish();
    }
    exchange.check(&input);
});

impl Exchange {
    fn new(input: &Input<'_>) -> Self {
        let method = if input.is_head { "HEAD" } else { "GET" };
        let version = if input.is_http_1_0 { "HTTP/1.0" } else { "HTTP/1.1" };
        let connection = match input.connection {
            None => "",
            Some(false) => "Connection: close\r\n",
            Some(true) => "Connection: keep-alive\r\n",
        };
        let request = format!("{method} / {version}\r\nHost: h\r\n{connection}\r\n");
        let mut room = RequestRoom::default();
        let parsed = Request::parse(request.as_bytes(), &mut room, DEFAULT_MAX_HEAD_SIZE);
        let (request, _) = parsed.expect("valid").expect("complete");
        Self {
            responder: Responder::new(request),
            draft: Draft::default(),
            marks: Marks::new(SystemTime::UNIX_EPOCH, true),
            output: Vec::new(),
            body: Vec::new(),
            way: None,
            end: None,
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<(), ResponseError> {
        let Self { responder, draft, marks, output, .. } = self;
        match *call {
            Call::Status(index) => {
                responder.write_status(draft, STATUSES[usize::from(index) % STATUSES.len()].as_bytes())
            }
            Call::Header(index) => {
                let (name, value) = HEADERS[usize::from(index) % HEADERS.len()];
                responder.write_header(draft, name.as_bytes(), value.as_bytes())
            }
            Call::Length(length) => {
                responder.write_header(draft, b"Content-Length", (length % 8).to_string().as_bytes())
            }
            Call::Begin => {
                responder.begin(draft, marks, output)?;
                self.way = Some(Way::Write);
                Ok(())
            }
            Call::Write(piece) => {
                let result = responder.write(draft, piece, marks, output);
                if responder.has_begun() && self.way.is_none() {
                    self.way = Some(Way::Write);
                }
                let outgoing = result?;
                self.body.extend_from_slice(piece);
                self.send(outgoing);
                Ok(())
            }
            Call::TryEnd { piece, total, room, close } => self.try_end(piece, (total % 16).into(), room.into(), close),
            Call::End { body, close } => {
                let outgoing = responder.end(draft, body, close, marks, output)?;
                self.pass_rest(body);
                self.send(outgoing);
                Ok(())
            }
            Call::EndWithoutBody { length, close } => {
                let outgoing = responder.end_without_body(draft, length.map(u64::from), close, marks, output)?;
                self.way.get_or_insert(Way::Announced);
                self.send(outgoing);
                Ok(())
            }
            Call::NotFound => {
                let outgoing = responder.end_not_found(draft, marks, output)?;
                self.pass_rest(NOT_FOUND_BODY);
                self.send(outgoing);
                Ok(())
            }
            Call::Continue => {
                responder.write_continue(output);
                if responder.is_complete() { Err(ResponseError::Complete) } else { Ok(()) }
            }
            Call::Refuse | Call::Upgrade => {
                if responder.is_complete() {
                    Err(ResponseError::Complete)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn try_end(&mut self, piece: &[u8], total: u64, room: usize, close: bool) -> Result<(), ResponseError> {
        let Self { responder, draft, marks, output, .. } = self;
        let outgoing = responder.try_end(draft, piece, total, close, marks, output)?;
        let Way::TryEnd { total } = *self.way.get_or_insert(Way::TryEnd { total }) else { panic!("begun by write") };
        if outgoing.end.is_some() {
            assert!(outgoing.payload.is_empty());
            self.send(outgoing);
            return Ok(());
        }
        let left = usize::try_from(total).expect("small") - self.body.len();
        assert_eq!(outgoing.payload, &piece[..piece.len().min(left)]);
        let taken = &outgoing.payload[..outgoing.payload.len().min(room)];
        self.output.extend_from_slice(taken);
        self.body.extend_from_slice(taken);
        self.end = self.responder.advance(&mut self.draft, taken.len(), close);
        let expected = if self.end.is_some() { 0 } else { self.body.len() as u64 };
        assert_eq!(self.draft.offset(), expected);
        Ok(())
    }

    fn pass_rest(&mut self, body: &[u8]) {
        let way = *self.way.get_or_insert(Way::Whole);
        let length = match way {
            Way::TryEnd { total } => body.len().min(usize::try_from(total).expect("small") - self.body.len()),
            _ => body.len(),
        };
        self.body.extend_from_slice(&body[..length]);
    }

    fn send(&mut self, Outgoing { payload, tail, end }: Outgoing<'_>) {
        self.output.extend_from_slice(payload);
        self.output.extend_from_slice(tail);
        self.end = end;
        assert_eq!(end.is_some(), self.responder.is_complete());
    }

    fn refuse(mut self, is_head: bool) {
        let has_begun = self.responder.has_begun();
        let sent = self.responder.refuse(HttpError::NoResponse);
        let error = HttpError::NoResponse;
        assert_eq!(
            sent,
            if has_begun {
                ""
            } else if is_head {
                error.head()
            } else {
                error.response()
            }
        );
        assert!(self.responder.is_complete());
    }

    /// Completes a response with as much of a body as it takes.
    fn finish(&mut self) {
        let mut rest = Vec::new();
        loop {
            match self.call(&Call::End { body: &rest, close: false }) {
                Ok(()) => return,
                Err(ResponseError::LengthMismatch { announced, given }) => {
                    assert!(given < announced);
                    rest = vec![b'x'; usize::try_from(announced - given).expect("small")];
                }
                Err(ResponseError::Switching) => {
                    self.responder.upgrade(&mut self.draft).expect("nothing else completes it");
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads what was sent as a client does.
    fn check(&self, input: &Input<'_>) {
        assert!(self.responder.is_complete() && self.draft.is_empty());
        // An upgrade sends the rest by itself.
        let Some(end) = self.end else { return };
        let response = Response::parse(&self.output);
        assert!(response.continues == 0 || !input.is_http_1_0);
        let (lengths, codings) = (response.values("content-length"), response.values("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two framings");
        assert_eq!(response.values("date").len(), 1);
        assert_eq!(response.values("uwebsockets"), ["20"]);
        assert!(codings.is_empty() || (codings == ["chunked"] && !input.is_http_1_0));

        let connection = response.values("connection");
        assert!(connection.len() <= 1);
        let has = |option: &str| {
            connection.iter().any(|list| list.split(',').any(|sent| sent.trim().eq_ignore_ascii_case(option)))
        };
        assert!(!has("close") || (end == Persistence::Close && !has("keep-alive")));
        let asks_to_close = input.connection.map_or(input.is_http_1_0, |keeps| !keeps);
        assert!(!asks_to_close || has("close"));
        assert!(!input.is_http_1_0 || has("close") || has("keep-alive"));

        if response.code == 204 {
            assert!(lengths.is_empty() && codings.is_empty(), "RFC 9110 section 8.6");
        }
        if input.is_head || [204, 304].contains(&response.code) {
            assert!(response.rest.is_empty(), "a response without a body has one");
            return;
        }
        let is_announced_only = self.way == Some(Way::Announced);
        if !codings.is_empty() {
            assert_eq!(decode_chunks(response.rest), self.body);
        } else if let Some(length) = lengths.first() {
            let length: usize = length.parse().expect("digits");
            assert_eq!(response.rest, self.body);
            assert!(response.rest.len() <= length);
            assert!(response.rest.len() == length || end == Persistence::Close || is_announced_only);
        } else {
            assert_eq!(response.rest, self.body);
            assert!(has("close") || is_announced_only, "nothing tells where the body ends");
        }
    }
}

/// A response as a client reads it.
struct Response<'o> {
    continues: usize,
    code: u16,
    headers: Vec<(&'o str, &'o str)>,
    /// What follows the head.
    rest: &'o [u8],
}

impl<'o> Response<'o> {
    fn parse(output: &'o [u8]) -> Self {
        let (mut rest, mut continues) = (output, 0);
        while let Some(behind) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
            continues += 1;
            rest = behind;
        }
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an empty line ends a head");
        let head = std::str::from_utf8(&rest[..end]).expect("all that is passed is ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("a status line");
        assert!(status.as_bytes()[3] == b' ');
        let headers = lines.map(|line| line.split_once(": ").expect("a header")).collect::<Vec<_>>();
        assert!(headers.iter().all(|(name, _)| !name.is_empty() && !name.contains(' ')));
        Self { continues, code: status[..3].parse().expect("a code"), headers, rest: &rest[end + 4..] }
    }

    fn values(&self, name: &str) -> Vec<&'o str> {
        self.headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1).collect()
    }
}

/// The data of a chunked body, of which nothing is missing and which nothing follows (RFC 9112 section 7.1).
fn decode_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("the end of a chunk-size");
        let digits = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a chunk-size");
        rest = &rest[end + 2..];
        data.extend_from_slice(&rest[..size]);
        rest = rest[size..].strip_prefix(b"\r\n").expect("the end of a chunk");
        if size == 0 {
            assert!(rest.is_empty(), "the last chunk is the last");
            return data;
        }
    }
}
