//! The opening handshake, server side (RFC 6455 section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::http::{DATE_LEN, HttpError, Request, write_marks};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The base64 form of the 16 bytes that a key has.
const KEY_LEN: usize = 24;

/// A request to upgrade that can be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'b> {
    key: &'b [u8],
    /// The first subprotocol offered.
    protocol: Option<&'b [u8]>,
}

impl<'b> Handshake<'b> {
    /// Whether WebSocket routes are to be tried for this request: a GET with a key of 24 characters and an Upgrade
    /// header that names websocket.
    pub fn is_offered_by(request: &Request<'_>) -> bool {
        request.method() == "GET"
            && request.header(b"sec-websocket-key").is_some_and(|key| key.len() == KEY_LEN)
            && request.header_has_token(b"upgrade", b"websocket")
    }

    /// Reads an offer; an error for a version of the protocol that is not spoken here.
    pub fn parse(request: &Request<'b>) -> Result<Self, HttpError> {
        if request.header(b"sec-websocket-version") != Some(b"13") {
            return Err(HttpError::WebSocketVersion);
        }
        let protocol = request.header(b"sec-websocket-protocol").map(|offered| {
            let first = offered.split(|byte| *byte == b',').next().unwrap_or_default();
            first.trim_ascii()
        });
        Ok(Self {
            key: request.header(b"sec-websocket-key").unwrap_or_default(),
            protocol: protocol.filter(|protocol| !protocol.is_empty()),
        })
    }

    /// Appends the response that accepts the offer and its first subprotocol.
    pub fn write(&self, output: &mut Vec<u8>, date: &[u8; DATE_LEN]) {
        output.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        write_accept(output, self.key);
        output.extend_from_slice(b"\r\n");
        if let Some(protocol) = self.protocol {
            output.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            output.extend_from_slice(protocol);
            output.extend_from_slice(b"\r\n");
        }
        write_marks(output, date);
        output.extend_from_slice(b"\r\n");
    }
}

/// Appends the value of Sec-WebSocket-Accept: base64 of the SHA-1 of key and GUID (section 4.2.2).
pub fn write_accept(output: &mut Vec<u8>, key: &[u8]) {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept).expect("20 bytes are 28 in base64");
    output.extend_from_slice(&accept[..written]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header_slots;

    #[test]
    fn rfc_6455_section_1_3_accept() {
        let mut output = Vec::new();
        write_accept(&mut output, b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(output, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn with_request<R>(head: &str, test: impl FnOnce(&Request<'_>) -> R) -> R {
        let head = format!("{head}\r\n");
        let mut slots = header_slots();
        let (request, _) = Request::parse(head.as_bytes(), &mut slots, 4096).expect("good").expect("complete");
        test(&request)
    }

    const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn an_offer_is_accepted_with_its_first_protocol() {
        let head = format!("{OFFER}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat , superchat\r\n");
        let response = with_request(&head, |request| {
            assert!(Handshake::is_offered_by(request));
            let mut output = Vec::new();
            Handshake::parse(request).expect("version 13").write(&mut output, b"Sun, 06 Nov 1994 08:49:37 GMT");
            output
        });
        assert_eq!(
            String::from_utf8_lossy(&response),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nuWebSockets: 20\r\n\r\n"
        );
    }

    #[test]
    fn an_empty_protocol_is_none() {
        let head = format!("{OFFER}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ,a\r\n");
        let has_protocol =
            with_request(&head, |request| Handshake::parse(request).map(|offer| offer.protocol.is_some()));
        assert_eq!(has_protocol, Ok(false));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n"] {
            let head = format!("{OFFER}{version}");
            let refused = with_request(&head, |request| Handshake::parse(request).err());
            assert_eq!(refused, Some(HttpError::WebSocketVersion));
        }
    }

    #[test]
    fn what_is_no_offer() {
        for head in [
            OFFER.replace("GET", "POST"),
            OFFER.replace("h2c, WebSocket", "h2c"),
            OFFER.replace("nonce==", "nonce"),
            OFFER.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ="),
            OFFER.replace("Sec-WebSocket-Key", "X"),
        ] {
            let offered = with_request(&head, Handshake::is_offered_by);
            assert_eq!(offered, head == OFFER, "{head}");
        }
    }
}
