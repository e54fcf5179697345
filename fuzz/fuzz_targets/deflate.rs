//! Messages that are compressed, for several connections in any order, are what another library makes of them; and what
//! is no compressed message is refused without more memory than allowed, whatever was decompressed before.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::ws::{Agreement, Codecs, Contexts, Opcode};
use miniz_oxide::DataFormat;
use miniz_oxide::MZFlush;
use miniz_oxide::inflate::stream::{InflateState, inflate};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// What the connections have agreed on.
    agreements: [(Window, Window); 3],
    steps: Vec<(u8, Step<'a>)>,
}

/// 9 to 15, or none.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Window(u8);

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Send {
        message: &'a [u8],
        count: u8,
    },
    SendText(&'a str),
    /// What a client might send.
    Receive {
        bytes: &'a [u8],
        max: u16,
    },
    /// What a good client sends: what it was sent last.
    Return {
        max: u8,
    },
}

impl Window {
    fn bits(self) -> Option<u8> {
        (9..=15).nth((self.0 % 8).into())
    }
}

struct Connection {
    contexts: Option<Contexts>,
    /// The same, without the window of what it sends: it gives back only what is for itself.
    is_for_itself: bool,
    client: Box<InflateState>,
    last: Option<(Vec<u8>, Vec<u8>)>,
}

fuzz_target!(|input: Input<'_>| {
    let mut codecs = Codecs::default();
    let mut connections = input.agreements.map(|(server, client)| {
        let (server_context, client_context) = (server.bits(), client.bits());
        Connection {
            contexts: codecs.contexts(Agreement {
                server_context,
                server_window: server_context.unwrap_or(9 + server.0 % 7),
                names_server_window: true,
                client_context,
            }),
            is_for_itself: server_context.is_none() && client_context.is_none(),
            client: InflateState::new_boxed(DataFormat::Raw),
            last: None,
        }
    });
    for (connection, step) in &input.steps {
        let connection = &mut connections[usize::from(connection % 3)];
        match step {
            Step::Send { message, count } => connection.send(&mut codecs, &message.repeat((*count).into())),
            Step::SendText(message) => connection.send(&mut codecs, message.as_bytes()),
            Step::Receive { bytes, max } => connection.receive(&mut codecs, bytes, (*max).into()),
            Step::Return { max } => connection.give_back(&mut codecs, (*max).into()),
        }
    }
});

impl Connection {
    fn send(&mut self, codecs: &mut Codecs, message: &[u8]) {
        if message.is_empty() {
            return;
        }
        let mut frame = Vec::new();
        codecs.write_frame(self.contexts.as_mut(), Opcode::Binary, message, &mut frame);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        assert_eq!(frame[0], 0xC2);
        let payload = &frame[header..];
        if self.is_for_itself {
            self.client.reset(DataFormat::Raw);
        }
        let mut rest = &[payload, &[0x00, 0x00, 0xFF, 0xFF]].concat()[..];
        let mut received = vec![0; message.len() + 1];
        let mut length = 0;
        while !rest.is_empty() {
            let result = inflate(&mut self.client, rest, &mut received[length..], MZFlush::Sync);
            result.status.expect("what the other library can read");
            assert!(result.bytes_consumed + result.bytes_written > 0);
            rest = &rest[result.bytes_consumed..];
            length += result.bytes_written;
        }
        assert_eq!(&received[..length], message);
        self.last = Some((payload.to_vec(), message.to_vec()));
    }

    fn receive(&mut self, codecs: &mut Codecs, bytes: &[u8], max: usize) {
        let before = Codecs::default().inflate(None, bytes, max, true);
        let message = codecs.inflate(self.contexts.as_mut(), bytes, max, true);
        if let Ok(message) = &message {
            assert!(message.len() <= max);
        }
        // Without a context nothing that came before counts; with one it can only help.
        if self.contexts.is_none() || before.is_ok() {
            assert_eq!(before, message);
        }
        if let Ok(message) = message {
            codecs.recycle(message);
        }
    }

    fn give_back(&mut self, codecs: &mut Codecs, max: usize) {
        if let Some((payload, message)) = self.last.as_ref().filter(|_| self.is_for_itself) {
            match codecs.inflate(None, payload, max, true) {
                Ok(back) => assert_eq!(&back, message),
                Err(_) => assert!(message.len() > max),
            }
        }
    }
}
