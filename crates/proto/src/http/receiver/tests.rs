use super::*;
use crate::http::{DEFAULT_MAX_HEAD_SIZE, RequestRoom};

/// What was read of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    /// Request lines, and the bodies that followed.
    requests: Vec<(String, Vec<u8>)>,
    error: Option<HttpError>,
    receiver: Receiver,
}

impl Reading {
    /// Handles one input as a server does.
    fn feed(&mut self, input: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let mut input = self.receiver.join(input).unwrap_or_else(|| input.to_vec());
        let mut rest = &mut input[..];
        while !rest.is_empty() {
            let mut room = RequestRoom::default();
            let had = self.receiver.remaining();
            match self.receiver.handle(rest, &mut room, DEFAULT_MAX_HEAD_SIZE) {
                Ok(Step { consumed, event }) => {
                    if let Some(event) = event {
                        self.note(event, had);
                    }
                    rest = &mut rest[consumed..];
                }
                Err(error) => {
                    self.error = Some(error);
                    // It must not be used again.
                    self.receiver = Receiver::default();
                    return;
                }
            }
        }
    }

    fn note(&mut self, event: Event<'_>, had: Option<u64>) {
        match event {
            Event::Request(request) => {
                let query = request.query().unwrap_or("-");
                let version = if request.is_http_1_0() { "1.0" } else { "1.1" };
                let line = format!("{} {} {query} {version}", request.method(), request.path());
                assert_eq!(self.receiver.has_body(), request.body().is_some());
                assert_eq!(self.receiver.remaining(), request.body().map_or(Some(0), |body| body.remaining()));
                self.requests.push((line, Vec::new()));
            }
            Event::Data { data, is_last, remaining } => {
                assert!(is_last || !data.is_empty());
                assert_eq!(self.receiver.has_body(), !is_last);
                assert_eq!(remaining, self.receiver.remaining());
                assert!(!is_last || remaining == Some(0));
                if let (Some(had), Some(left)) = (had, remaining) {
                    assert_eq!(had - left, data.len() as u64);
                }
                let (_, body) = self.requests.last_mut().expect("a body has a head");
                body.extend_from_slice(data);
            }
        }
    }
}

fn read<'i>(inputs: impl IntoIterator<Item = &'i [u8]>) -> Reading {
    let mut reading = Reading::default();
    inputs.into_iter().for_each(|input| reading.feed(input));
    reading
}

/// Reads `input` at once, in two pieces at every split, and byte by byte, which must all come to the same.
fn read_split(input: &[u8]) -> Reading {
    let whole = read([input]);
    for split in 0..=input.len() {
        let (first, second) = input.split_at(split);
        assert_eq!(read([first, second]), whole, "split at {split}: {}", input.escape_ascii());
    }
    assert_eq!(read(input.chunks(1)), whole, "{}", input.escape_ascii());
    whole
}

/// Requests, their lines as [`Reading`] has them, and their bodies.
const REQUESTS: [(&str, &str, &str); 9] = [
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / - 1.1", ""),
    ("GET /a?b=c HTTP/1.0\r\n\r\n", "GET /a b=c 1.0", ""),
    ("\r\n\r\nHEAD /lines HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD /lines - 1.1", ""),
    ("GET /later HTTP/1.7\r\nHost: h\r\n\r\n", "GET /later - 1.1", ""),
    ("PUT /length HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", "PUT /length - 1.1", "hello"),
    ("PUT /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "PUT /none - 1.1", ""),
    ("PUT /old HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "PUT /old - 1.0", "abc"),
    (
        "POST /chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: t\r\n\r\n",
        "POST /chunks - 1.1",
        "abc0123456789",
    ),
    ("POST /empty HTTP/1.2\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST /empty - 1.1", ""),
];

#[test]
fn requests_and_bodies_are_the_same_at_every_split() {
    for (first, first_line, first_body) in REQUESTS {
        for (second, second_line, second_body) in REQUESTS {
            let reading = read_split([first, second].concat().as_bytes());
            let expected = [(first_line, first_body), (second_line, second_body)];
            let expected = expected.map(|(line, body)| (line.to_owned(), body.as_bytes().to_vec()));
            assert_eq!(reading.requests, expected);
            assert_eq!((reading.error, reading.receiver), (None, Receiver::default()));
        }
    }
    let all: String = REQUESTS.iter().map(|(request, ..)| *request).collect();
    assert_eq!(read_split(all.as_bytes()).requests.len(), REQUESTS.len());
}

#[test]
fn a_request_is_refused_alike_at_every_split_and_those_before_it_are_read() {
    for (refused, error) in [
        ("GET /\r\n\r\n", HttpError::InvalidRequestLine),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", HttpError::UnsupportedVersion),
        ("GET / HTTP/1.20\r\nHost: h\r\n\r\n", HttpError::InvalidVersion),
        ("GET / HTTP/1.2\r\n\r\n", HttpError::MissingHost),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", HttpError::InvalidChunkEnd),
    ] {
        for (before, line, body) in REQUESTS {
            let reading = read_split([before, refused].concat().as_bytes());
            assert_eq!(reading.error, Some(error), "{refused}");
            assert_eq!(reading.requests[0], (line.to_owned(), body.as_bytes().to_vec()));
        }
    }
}

#[test]
fn a_head_over_the_limit_is_refused_however_it_comes() {
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "a".repeat(DEFAULT_MAX_HEAD_SIZE));
    for length in [1, 7, 1000, DEFAULT_MAX_HEAD_SIZE] {
        let reading = read(head.as_bytes().chunks(length));
        assert_eq!(reading.error, Some(HttpError::HeadTooLarge));
    }
}

#[test]
fn only_the_beginning_of_a_head_is_kept() {
    let mut receiver = Receiver::default();
    assert_eq!(receiver.join(b"GET"), None);
    let mut input = *b"GET / HTT";
    let mut room = RequestRoom::default();
    let step = receiver.handle(&mut input, &mut room, DEFAULT_MAX_HEAD_SIZE).expect("a good beginning");
    assert!(step.consumed == 9 && step.event.is_none());
    assert!(!receiver.is_idle() && !receiver.has_body());
    assert_eq!(receiver.join(b"P/1.1\r\n").as_deref(), Some(&b"GET / HTTP/1.1\r\n"[..]));
    assert_eq!(receiver, Receiver::default());

    let mut input = *b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel";
    let mut room = RequestRoom::default();
    let step = receiver.handle(&mut input, &mut room, DEFAULT_MAX_HEAD_SIZE).expect("good");
    assert!(matches!(step.event, Some(Event::Request(_))));
    assert_eq!(receiver.remaining(), Some(5));
    assert_eq!(receiver.join(b"lo"), None);
}

#[test]
fn data_is_reported_where_it_lies_with_what_remains() {
    let mut receiver = Receiver { state: State::Body(Body::with_length(5)) };
    for (input, is_last, left) in [("he", false, 3), ("l", false, 2), ("loGET", true, 0)] {
        let mut bytes = input.as_bytes().to_vec();
        let mut room = RequestRoom::default();
        let step = receiver.handle(&mut bytes, &mut room, DEFAULT_MAX_HEAD_SIZE).expect("data");
        let expected = &input[..step.consumed];
        let Some(Event::Data { data, is_last: ends, remaining }) = step.event else { panic!("no data of {input}") };
        assert_eq!((data, ends, remaining), (expected.as_bytes(), is_last, Some(left)));
    }
    assert!(receiver.is_idle());

    let mut receiver = Receiver { state: State::Body(Body::chunked()) };
    let (mut input, mut room) = (*b"5\r\n", RequestRoom::default());
    let step = receiver.handle(&mut input, &mut room, DEFAULT_MAX_HEAD_SIZE).expect("a size");
    assert!(step.consumed == 3 && step.event.is_none(), "framing alone is no event");
    assert_eq!(receiver.remaining(), None);
}

#[test]
fn what_a_busy_connection_keeps_is_small() {
    assert!(size_of::<Receiver>() <= 32, "{} bytes", size_of::<Receiver>());
}
