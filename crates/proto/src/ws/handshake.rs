//! The opening handshake, server side (RFC 6455 section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::Agreement;
use crate::http::{HttpError, InvalidHeader, Marks, Request, check_header};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The base64 form of the 16 bytes that a key has.
const KEY_LEN: usize = 24;

/// A request to upgrade that can be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'b> {
    key: &'b [u8],
    protocols: &'b [u8],
    extensions: &'b [u8],
}

impl<'b> Handshake<'b> {
    /// Whether WebSocket routes are to be tried for this request: a GET with a key of 24 ASCII characters and an Upgrade
    /// header that names websocket.
    pub fn is_offered_by(request: &Request<'_>) -> bool {
        request.method() == "GET"
            && request.header(b"sec-websocket-key").is_some_and(|key| key.len() == KEY_LEN && key.is_ascii())
            && request.header_has_token(b"upgrade", b"websocket")
    }

    /// Reads an offer; an error for a version of the protocol that is not spoken here.
    pub fn parse(request: &Request<'b>) -> Result<Self, HttpError> {
        if request.header(b"sec-websocket-version") != Some(b"13") {
            return Err(HttpError::WebSocketVersion);
        }
        Ok(Self {
            key: request.header(b"sec-websocket-key").unwrap_or_default(),
            protocols: request.header(b"sec-websocket-protocol").unwrap_or_default(),
            extensions: request.header(b"sec-websocket-extensions").unwrap_or_default(),
        })
    }

    /// The value of Sec-WebSocket-Key.
    pub fn key(&self) -> &'b [u8] {
        self.key
    }

    /// The value of Sec-WebSocket-Protocol, empty when there is none.
    pub fn protocols(&self) -> &'b [u8] {
        self.protocols
    }

    /// The value of Sec-WebSocket-Extensions, empty when there is none.
    pub fn extensions(&self) -> &'b [u8] {
        self.extensions
    }
}

/// The answer that makes a connection a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance<'b> {
    key: &'b [u8],
    protocol: Option<&'b [u8]>,
    deflate: Option<Agreement>,
}

impl<'b> Acceptance<'b> {
    /// An answer to whoever sent this key, and chooses the first of these subprotocols, if there is one. Fails for one
    /// that could end the head.
    pub fn new(key: &'b [u8], protocols: &'b [u8]) -> Result<Self, InvalidHeader> {
        let first = protocols.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        if first.is_empty() {
            return Ok(Self { key, protocol: None, deflate: None });
        }
        check_header(b"Sec-WebSocket-Protocol", first)?;
        Ok(Self { key, protocol: Some(first), deflate: None })
    }

    /// The same with permessage-deflate, as agreed on.
    #[must_use]
    pub fn with_deflate(self, deflate: Option<Agreement>) -> Self {
        Self { deflate, ..self }
    }

    /// Appends the response, its status line unless that has been written.
    pub fn write(&self, output: &mut Vec<u8>, with_status: bool, marks: &Marks) {
        if with_status {
            output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        }
        output.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
        write_accept(output, self.key);
        output.extend_from_slice(b"\r\n");
        if let Some(protocol) = self.protocol {
            output.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            output.extend_from_slice(protocol);
            output.extend_from_slice(b"\r\n");
        }
        if let Some(deflate) = &self.deflate {
            output.extend_from_slice(b"Sec-WebSocket-Extensions: ");
            deflate.write(output);
            output.extend_from_slice(b"\r\n");
        }
        marks.write(output);
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
    use std::time::SystemTime;

    const SOME_TIME: SystemTime = SystemTime::UNIX_EPOCH;

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
            let handshake = Handshake::parse(request).expect("version 13");
            let acceptance = Acceptance::new(handshake.key(), handshake.protocols()).expect("a good protocol");
            let mut output = Vec::new();
            acceptance.write(&mut output, true, &Marks::new(SOME_TIME, true));
            output
        });
        assert_eq!(
            String::from_utf8_lossy(&response),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nuWebSockets: 20\r\n\r\n"
        );
    }

    #[test]
    fn the_first_protocol_is_chosen_and_an_empty_one_is_none() {
        let chosen = |offered: &'static [u8]| Acceptance::new(b"key", offered).map(|acceptance| acceptance.protocol);
        assert_eq!(chosen(b""), Ok(None));
        assert_eq!(chosen(b" ,a"), Ok(None));
        assert_eq!(chosen(b" a b , c"), Ok(Some(&b"a b"[..])));
        assert_eq!(chosen(b"a\r\nX: y"), Err(InvalidHeader));
    }

    #[test]
    fn headers_of_the_users_go_before_those_of_the_handshake() {
        let mut output = b"HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=b\r\n".to_vec();
        let acceptance = Acceptance::new(b"dGhlIHNhbXBsZSBub25jZQ==", b"").expect("none is good");
        acceptance.write(&mut output, false, &Marks::new(SOME_TIME, false));
        assert_eq!(
            String::from_utf8_lossy(&output),
            "HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        );
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
