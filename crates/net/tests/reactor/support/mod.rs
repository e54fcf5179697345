//! What the tests share: a server, its clients, and the bytes that they exchange.

mod client;
mod server;

use std::time::Duration;

use milliways_net::Command;
use milliways_proto::ws::Opcode;

pub(crate) use client::Client;
pub(crate) use milliways_net::Event;
pub(crate) use server::{Server, bytes_of, target};

/// The time after which a test that hangs is ended. No test waits nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first bytes of frames: whole messages and control frames.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

/// A request to upgrade, with the key of the example in RFC 6455 section 1.3.
pub(crate) const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The response to [`UPGRADE`].
pub(crate) const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: *\r\nuWebSockets: 20\r\n\r\n";

pub(crate) const GET_WAIT: &str = "GET /http/wait HTTP/1.1\r\nHost: h\r\n\r\n";
pub(crate) const NOTHING: milliways_net::Stats = milliways_net::Stats { connections: 0, websockets: 0, listeners: 0 };
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Returns a response with a body and without headers of the handler's.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nDate: *\r\nuWebSockets: 20\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Returns a frame as a server sends it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, 0, payload.len()), payload].concat()
}

/// Returns a frame as a client sends it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first, 0x80, payload.len());
    bytes.extend_from_slice(&KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Splits bytes from a server into frames. Returns the first byte and the payload of each.
pub(crate) fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let [first, length, ..] = *rest {
        let (header, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => (10, u64::from_be_bytes(rest[2..10].try_into().expect("eight bytes")) as usize),
            length => (2, usize::from(length)),
        };
        all.push((first, rest[header..header + length].to_vec()));
        rest = &rest[header + length..];
    }
    assert_eq!(rest, b"", "half a header");
    all
}

fn header(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    if length < 126 {
        bytes.push(mask | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(mask | 0x7E);
        bytes.extend_from_slice(&length.to_be_bytes());
    } else {
        bytes.push(mask | 0x7F);
        bytes.extend_from_slice(&(length as u64).to_be_bytes());
    }
    bytes
}

/// What another thread sends to publish a message that is not compressed.
pub(crate) fn publication(topic: &str, opcode: Opcode, message: impl AsRef<[u8]>) -> Command {
    let (topic, message) = (topic.as_bytes().into(), message.as_ref().into());
    Command::Publish { topic, opcode, message, compress: false }
}

pub(crate) fn opcode(binary: bool) -> Opcode {
    if binary { Opcode::Binary } else { Opcode::Text }
}

/// Returns bytes without a pattern that might hide a mix-up.
pub(crate) fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    seed |= 1;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Returns the text with dates replaced by `*`, if they look like dates.
fn without_dates(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("Date: ");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (date, rest) = part.split_at_checked(DATE.len()).unwrap_or((part, ""));
        let is_date = date.len() == DATE.len()
            && date.bytes().zip(DATE.bytes()).all(|(byte, example)| match example {
                b'0'..=b'9' => byte.is_ascii_digit(),
                b'A'..=b'Z' => byte.is_ascii_uppercase(),
                b'a'..=b'z' => byte.is_ascii_lowercase(),
                _ => byte == example,
            });
        result.push_str("Date: ");
        result.push_str(if is_date { "*" } else { date });
        result.push_str(rest);
    }
    result
}

fn shown(payload: &[u8]) -> String {
    if payload.len() > 1000 { format!("({} bytes)", payload.len()) } else { payload.escape_ascii().to_string() }
}
