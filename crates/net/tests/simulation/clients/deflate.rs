//! Compression of messages as a client does it (RFC 7692).

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// What a client offers.
pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// What a flush ends with, and a message goes without (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

const LEVEL: i32 = 6;
const MAX_WINDOW: u8 = 15;

/// The contexts of a client.
pub(super) struct Contexts {
    inflate: Inflate,
    deflate: Deflate,
    /// The server compresses each message independently.
    server_forgets: bool,
    /// The client has to.
    client_forgets: bool,
}

impl Contexts {
    /// Creates what the server has agreed on; `None` if it has not.
    pub(super) fn new(extensions: &str) -> Option<Self> {
        let mut parameters = extensions.split("; ");
        if parameters.next() != Some("permessage-deflate") {
            return None;
        }
        let (mut server_forgets, mut client_forgets, mut window) = (false, false, MAX_WINDOW);
        for parameter in parameters {
            match parameter.split_once('=').unwrap_or((parameter, "")) {
                ("server_no_context_takeover", _) => server_forgets = true,
                ("client_no_context_takeover", _) => client_forgets = true,
                ("client_max_window_bits", bits) => window = bits.parse().unwrap_or(MAX_WINDOW),
                _ => {}
            }
        }
        let (inflate, deflate) = (Inflate::new(false, MAX_WINDOW), Deflate::new(LEVEL, false, window));
        Some(Self { inflate, deflate, server_forgets, client_forgets })
    }

    /// Decompresses a message. Returns `None` if that is not possible.
    pub(super) fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.server_forgets {
            self.inflate.reset(false);
        }
        let input = [payload, &TAIL].concat();
        let (mut read, mut message) = (0, Vec::new());
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (taken, made) = (self.inflate.total_in(), self.inflate.total_out());
            self.inflate.decompress(&input[read..], &mut buffer, InflateFlush::SyncFlush).ok()?;
            read += (self.inflate.total_in() - taken) as usize;
            let made = (self.inflate.total_out() - made) as usize;
            message.extend_from_slice(&buffer[..made]);
            if read == input.len() && made < buffer.len() {
                return Some(message);
            }
        }
    }

    /// Compresses a message, which is not empty.
    pub(super) fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        if self.client_forgets {
            self.deflate.reset();
        }
        let (mut read, mut payload) = (0, Vec::new());
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (taken, made) = (self.deflate.total_in(), self.deflate.total_out());
            let compressed = self.deflate.compress(&message[read..], &mut buffer, DeflateFlush::SyncFlush);
            compressed.expect("a valid state");
            read += (self.deflate.total_in() - taken) as usize;
            let made = (self.deflate.total_out() - made) as usize;
            payload.extend_from_slice(&buffer[..made]);
            if read == message.len() && made < buffer.len() {
                payload.truncate(payload.len() - TAIL.len());
                return payload;
            }
        }
    }
}
