//! Work of the protocol core to count the instructions of, under callgrind: `instructions NAME TIMES`. Without
//! arguments it lists the names.
//!
//! Not to be timed. bench/instructions.mjs runs each with two numbers of times, and the difference is what the work
//! itself takes, without setting it up.

use std::hint::black_box;
use std::time::SystemTime;

use milliways_proto::http::{
    self, DEFAULT_MAX_HEAD_SIZE, Draft, Marks, Method, Request, RequestRoom, Responder, ResponseHead,
};
use milliways_proto::router::{RouteKind, Router};
use milliways_proto::timer::TimerWheel;
use milliways_proto::topics::Topics;
use milliways_proto::ws::{
    Acceptance, Event, FrameHeader, Handshake, Limits, Opcode, Receiver, unmask, write_frame, write_frame_header,
};

/// A name, and what does its work so many times.
type Benchmark = (&'static str, fn(u32));

const BENCHMARKS: [Benchmark; 18] = [
    ("frame_header", frame_header),
    ("receive_binary_20", |times| receive(times, Opcode::Binary, 20)),
    ("receive_text_20", |times| receive(times, Opcode::Text, 20)),
    ("receive_binary_1024", |times| receive(times, Opcode::Binary, 1024)),
    ("write_frame_20", write_frame_20),
    ("unmask_16384", unmask_16384),
    ("request", request),
    ("receive_request", receive_request),
    ("respond_20", respond_20),
    ("router_10", |times| router(times, 10)),
    ("router_1000", |times| router(times, 1000)),
    ("router_10000", |times| router(times, 10_000)),
    ("handshake", handshake),
    ("timer_reschedule", timer_reschedule),
    ("timer_tick", timer_tick),
    ("topics_1", |times| topics(times, 1)),
    ("topics_10", |times| topics(times, 10)),
    ("topics_1000", |times| topics(times, 1000)),
];

/// What Chromium sends.
const UPGRADE: &[u8] = b"GET /chat/lobby?token=abc HTTP/1.1\r\n\
    Host: chat.example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const GET: &[u8] =
    b"GET /users/42/posts HTTP/1.1\r\nHost: localhost:3000\r\nAccept: */*\r\nUser-Agent: curl/8.14\r\n\r\n";

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program, not the core")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = &arguments[..] else {
        for (name, _) in BENCHMARKS {
            println!("{name}");
        }
        return;
    };
    let (_, run) = BENCHMARKS.iter().find(|(known, _)| known == name).expect("one of the names");
    run(times.parse().expect("a number"));
}

fn frame_header(times: u32) {
    let headers = [20, 1024, 65_536].map(|payload_len| {
        let mut header = Vec::new();
        write_frame_header(&mut header, Opcode::Binary, true, payload_len);
        header[1] |= 0x80;
        header.extend_from_slice(&KEY);
        header
    });
    for _ in 0..times {
        for header in &headers {
            black_box(FrameHeader::parse(black_box(header), false).expect("valid"));
        }
    }
}

/// As the reactor receives echo: 16 frames that were read at once, each copied to where JavaScript sees it.
fn receive(times: u32, opcode: Opcode, payload_len: usize) {
    let mut frame = Vec::new();
    write_frame(&mut frame, opcode, true, &vec![b'a'; payload_len]);
    let header_len = frame.len() - payload_len;
    frame[1] |= 0x80;
    frame.splice(header_len..header_len, KEY);
    unmask(&mut frame[header_len + 4..], KEY);
    let frames = frame.repeat(16);
    let mut input = frames.clone();
    let mut output = vec![0; payload_len];
    let mut receiver = Receiver::default();
    let limits = Limits { max_payload: 16 * 1024, max_fragments: 16 * 1024, compression: false };
    for _ in 0..times {
        // Text is unmasked where it lies.
        input.copy_from_slice(&frames);
        let mut rest = black_box(&mut input[..]);
        while !rest.is_empty() {
            let step = receiver.handle(rest, limits).expect("valid");
            let consumed = step.consumed;
            if let Some(Event::Message { payload, .. }) = step.event {
                payload.copy_into(&mut output);
            }
            black_box(&mut output);
            rest = &mut rest[consumed..];
        }
    }
}

fn write_frame_20(times: u32) {
    let mut output = Vec::with_capacity(64);
    for _ in 0..times {
        output.clear();
        write_frame(&mut output, Opcode::Binary, true, black_box(&[7; 20]));
        black_box(&mut output);
    }
}

fn unmask_16384(times: u32) {
    let mut bytes = vec![7; 16_384];
    for _ in 0..times {
        unmask(black_box(&mut bytes), KEY);
    }
}

/// A request, and its route among others.
fn request(times: u32) {
    let mut router = Router::default();
    let get = RouteKind::Method(Method::Get);
    for (value, pattern) in ["/", "/users", "/users/:id", "/users/:id/posts", "/*"].into_iter().enumerate() {
        router.insert(get, pattern, value).expect("short");
    }
    for _ in 0..times {
        let mut room = RequestRoom::default();
        let parsed = Request::parse(black_box(GET), &mut room, DEFAULT_MAX_HEAD_SIZE);
        let (request, _) = parsed.expect("valid").expect("complete");
        black_box(router.find(false, request.known_method(), request.path(), 0));
    }
}

/// As the reactor receives requests: two that were read at once.
fn receive_request(times: u32) {
    let mut input = GET.repeat(2);
    for _ in 0..times {
        let mut receiver = http::Receiver::default();
        assert!(receiver.join(&input).is_none());
        let mut rest = black_box(&mut input[..]);
        while !rest.is_empty() {
            let mut room = RequestRoom::default();
            let step = receiver.handle(rest, &mut room, DEFAULT_MAX_HEAD_SIZE).expect("valid");
            let consumed = step.consumed;
            if let Some(http::Event::Request(request)) = step.event {
                black_box((request.known_method(), request.path()));
            }
            rest = &mut rest[consumed..];
        }
        assert!(receiver.is_idle());
    }
}

/// A response with a header and a short body.
fn respond_20(times: u32) {
    let mut room = RequestRoom::default();
    let parsed = Request::parse(GET, &mut room, DEFAULT_MAX_HEAD_SIZE);
    let (request, _) = parsed.expect("valid").expect("complete");
    let marks = Marks::new(SystemTime::UNIX_EPOCH, true);
    let (mut draft, mut output) = (Draft::default(), Vec::with_capacity(512));
    for _ in 0..times {
        output.clear();
        let mut responder = Responder::new(black_box(request));
        responder.write_header(&mut draft, b"Content-Type", b"text/plain").expect("valid");
        let outgoing = responder.end(&mut draft, black_box(&[7; 20]), false, &marks, &mut output).expect("valid");
        output.extend_from_slice(outgoing.payload);
        output.extend_from_slice(outgoing.tail);
        black_box((&mut output, outgoing.end));
    }
}

/// A match among so many routes: what it takes must not depend on their number. (That the router is built once is taken
/// out, as for all.)
fn router(times: u32, count: usize) {
    let mut router = Router::default();
    let get = RouteKind::Method(Method::Get);
    for value in 0..count {
        router.insert(get, &format!("/api/resource{value}/:id/part"), value).expect("short");
    }
    let paths: Vec<String> =
        (0..count).step_by(count / 10).map(|value| format!("/api/resource{value}/42/part")).collect();
    for time in 0..times as usize {
        let path = black_box(paths[time % paths.len()].as_str());
        let found = router.find(false, Some(Method::Get), path, 0).expect("it matches");
        black_box(found.parameters.value_of("id", path));
    }
}

fn handshake(times: u32) {
    let mut output = Vec::with_capacity(512);
    let marks = Marks::new(SystemTime::UNIX_EPOCH, true);
    for _ in 0..times {
        output.clear();
        let mut room = RequestRoom::default();
        let parsed = Request::parse(black_box(UPGRADE), &mut room, DEFAULT_MAX_HEAD_SIZE);
        let (request, _) = parsed.expect("valid").expect("complete");
        assert!(Handshake::is_offered_by(request));
        let handshake = Handshake::parse(request).expect("valid");
        let acceptance = Acceptance::new(handshake.key(), handshake.protocols()).expect("valid");
        acceptance.write(&mut output, &ResponseHead::default(), &marks);
        black_box(&mut output);
    }
}

/// What a message costs when its connection's timeout begins anew.
fn timer_reschedule(times: u32) {
    let mut wheel = TimerWheel::new(0);
    for key in 0..1000 {
        wheel.schedule(key, 120);
    }
    for time in 0..times {
        wheel.schedule(black_box(time % 1000), 120 + time % 2);
    }
}

/// A tick of 10,000 connections, ten of which are looked at and have time left.
fn timer_tick(times: u32) {
    const PERIOD: u32 = 1000;
    let mut wheel = TimerWheel::new(0);
    for key in 0..10 * PERIOD {
        wheel.schedule(key, 1 + key % PERIOD);
    }
    for now in 1..=times {
        let mut due = 0;
        while let Some(key) = wheel.poll_expired(now) {
            wheel.schedule(key, now + PERIOD);
            due += 1;
        }
        assert_eq!(due, 10);
        black_box(wheel.next_expiry());
    }
}

/// A socket of so many topics, which others have as well, leaves one, is asked whether it has, and joins it again.
fn topics(times: u32, count: usize) {
    /// A prime, so that all have their turn.
    const STEP: usize = 7919;

    let names: Vec<_> = (0..count).map(|number| format!("rooms/{number}").into_bytes()).collect();
    let mut topics: Topics<()> = Topics::default();
    for name in &names {
        topics.subscribe(1, name);
        topics.subscribe(2, name);
    }
    for time in 0..times as usize {
        let name = black_box(&names[time * STEP % count]);
        assert!(topics.unsubscribe(1, name).is_some());
        assert!(!topics.is_subscribed(1, name));
        assert!(topics.subscribe(1, name).is_some());
    }
}
