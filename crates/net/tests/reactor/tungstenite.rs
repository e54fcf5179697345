//! The WebSocket client tungstenite, which supports no extensions.

use std::net::TcpStream;
use std::thread;

use milliways_net::WebSocketSettings;
use milliways_proto::ws::DeflateSettings;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket, client};

use crate::support::{Event, Server, bytes_of};

/// Sizes on both sides of each change in how a frame encodes its length, and sizes that no single read takes.
const SIZES: [usize; 8] = [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20];

#[test]
fn every_message_comes_back_and_closing_is_told() {
    let deflate = Some(DeflateSettings { compressor: Some(15), decompressor: Some(15) });
    for deflate in [None, deflate] {
        let settings = WebSocketSettings { max_payload: 16 << 20, max_backpressure: 0, deflate, ..Default::default() };
        let server = Server::echo(settings);
        with_client(&server, |socket| {
            for size in SIZES {
                for message in [text(size), binary(size)] {
                    socket.send(message.clone()).expect("sent");
                    assert!(socket.read().expect("a message") == message, "{size}");
                }
            }
            socket.send(Message::Ping(b"still there?"[..].into())).expect("sent");
            assert_eq!(socket.read().expect("a pong"), Message::Pong(b"still there?"[..].into()));
            let frame = CloseFrame { code: CloseCode::Library(4001), reason: "enough \u{2713}".into() };
            socket.close(Some(frame.clone())).expect("sent");
            assert_eq!(socket.read().expect("a Close frame"), Message::Close(Some(frame)));
            assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
        });
        server.expect_empty();
        assert_eq!(server.take_log().last().map(String::as_str), Some(r"close 4001 enough \xe2\x9c\x93"));
    }
}

#[test]
fn a_close_frame_of_the_server_is_told() {
    let server = Server::websocket(WebSocketSettings::default(), |server, event| {
        if let Event::Message { id, payload, .. } = event {
            server.send(*id, milliways_proto::ws::Opcode::Text, bytes_of(payload));
            server.end(*id, 4002, "h\u{e9} said so");
        }
    });
    with_client(&server, |socket| {
        socket.send(Message::text("go")).expect("sent");
        assert_eq!(socket.read().expect("a message"), Message::text("go"));
        let frame = CloseFrame { code: CloseCode::Library(4002), reason: "h\u{e9} said so".into() };
        assert_eq!(socket.read().expect("a Close frame"), Message::Close(Some(frame)));
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    });
    server.expect_empty();
}

/// Turns the server while a client that blocks runs in another thread.
fn with_client(server: &Server, converse: impl FnOnce(&mut WebSocket<TcpStream>) + Send) {
    let address = server.address();
    thread::scope(|scope| {
        let client = scope.spawn(move || {
            let stream = TcpStream::connect(address).expect("a connection");
            let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
            let uri = format!("ws://{address}/");
            let (mut socket, response) = client::client_with_config(uri, stream, Some(config)).expect("an upgrade");
            assert!(!response.headers().contains_key("sec-websocket-extensions"));
            converse(&mut socket);
        });
        server.until("the end of the client", || client.is_finished());
    });
}

/// Returns a text message with characters of one to four bytes.
fn text(size: usize) -> Message {
    let mut text = "a\u{e9}\u{20ac}\u{1f600}".repeat(size / 10);
    text.extend(std::iter::repeat_n('x', size % 10));
    Message::text(text)
}

fn binary(size: usize) -> Message {
    Message::binary((0..size).map(|i| ((i * 2_654_435_761) >> 16) as u8).collect::<Vec<_>>())
}
