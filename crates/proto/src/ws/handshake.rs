//! The server's side of the opening handshake (RFC 6455 section 4.2).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::Agreement;
use crate::http::{HttpError, Marks, Request, ResponseHead, check_header};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An upgrade request that can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<'b> {
    key: &'b [u8],
    protocols: Cow<'b, [u8]>,
    extensions: Cow<'b, [u8]>,
}

impl<'b> Handshake<'b> {
    /// Returns whether WebSocket routes should be tried for this request: whether it is a GET with a key, whose Upgrade names
    /// websocket and whose Connection names upgrade (section 4.2.1). [`Handshake::parse`] refuses several keys, valid or not.
    pub fn is_offered_by(request: &Request<'_>) -> bool {
        let mut keys = request.values(b"sec-websocket-key");
        request.method() == "GET"
            && keys.next().is_some_and(|first| is_key(first) || keys.next().is_some())
            && request.header_has_token(b"upgrade", b"websocket")
            && request.header_has_token(b"connection", b"upgrade")
    }

    /// Reads an offer. Returns an error for an unsupported version of the protocol, and for a key or a version that occurs more
    /// than once.
    pub fn parse(request: &Request<'b>) -> Result<Self, HttpError> {
        // Sections 11.3.1 and 11.3.5: each "MUST NOT appear more than once in an HTTP request".
        let key = only(request.values(b"sec-websocket-key")).ok_or(HttpError::RepeatedWebSocketKey)?;
        let version = only(request.values(b"sec-websocket-version")).ok_or(HttpError::RepeatedWebSocketVersion)?;
        if version != b"13" {
            return Err(HttpError::UnsupportedWebSocketVersion);
        }
        // Sections 11.3.2 and 11.3.4: several header lines make one list.
        let (protocols, extensions) =
            (request.list(b"sec-websocket-protocol"), request.list(b"sec-websocket-extensions"));
        Ok(Self { key, protocols, extensions })
    }

    /// Returns the value of Sec-WebSocket-Key.
    pub fn key(&self) -> &'b [u8] {
        self.key
    }

    /// Returns the values of Sec-WebSocket-Protocol as one list, which is empty if there are none.
    pub fn protocols(&self) -> &[u8] {
        &self.protocols
    }

    /// Returns the values of Sec-WebSocket-Extensions as one list, which is empty if there are none.
    pub fn extensions(&self) -> &[u8] {
        &self.extensions
    }
}

/// Returns the value of a header that must not occur twice, which is empty if there is none; `None` if it does.
fn only<'b>(mut values: impl Iterator<Item = &'b [u8]>) -> Option<&'b [u8]> {
    let first = values.next().unwrap_or_default();
    values.next().is_none().then_some(first)
}

/// Returns whether this is the base64 form of 16 bytes (section 4.1). The last character has four bits more than they need,
/// which may have any value.
fn is_key(text: &[u8]) -> bool {
    const DIGITS: usize = 22;

    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.split_at_checked(DIGITS).is_some_and(|(digits, padding)| digits.iter().all(is_digit) && padding == b"==")
}

/// The response that makes a connection a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance<'b> {
    key: &'b [u8],
    protocol: Option<&'b [u8]>,
    deflate: Option<Agreement>,
}

/// Why a request cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidAcceptance {
    /// The key is not the base64 form of 16 bytes.
    Key,
    /// The subprotocol has a CR, LF or NUL, which could end the head.
    Protocol,
}

impl fmt::Display for InvalidAcceptance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Key => "the key must be the request's header sec-websocket-key, which is the base64 form of 16 bytes",
            Self::Protocol => "CR, LF and NUL are not allowed in a subprotocol",
        })
    }
}

impl std::error::Error for InvalidAcceptance {}

impl<'b> Acceptance<'b> {
    /// Accepts the request with this key, and chooses the first of these subprotocols if there is one.
    pub fn new(key: &'b [u8], protocols: &'b [u8]) -> Result<Self, InvalidAcceptance> {
        if !is_key(key) {
            return Err(InvalidAcceptance::Key);
        }
        let first = protocols.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        if first.is_empty() {
            return Ok(Self { key, protocol: None, deflate: None });
        }
        check_header(b"Sec-WebSocket-Protocol", first).map_err(|_| InvalidAcceptance::Protocol)?;
        Ok(Self { key, protocol: Some(first), deflate: None })
    }

    /// Adds permessage-deflate, as agreed on.
    #[must_use]
    pub fn with_deflate(self, deflate: Option<Agreement>) -> Self {
        Self { deflate, ..self }
    }

    /// Appends the response. `head` is what a handler has written, which comes first. Its subprotocol overrides the chosen one;
    /// other headers that belong to the handshake are left out.
    pub fn write(&self, output: &mut Vec<u8>, head: &ResponseHead, marks: &Marks) {
        let has_protocol = head.write_upgrade(output);
        output.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
        write_accept(output, self.key);
        output.extend_from_slice(b"\r\n");
        if let Some(protocol) = self.protocol.filter(|_| !has_protocol) {
            output.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            output.extend_from_slice(protocol);
            output.extend_from_slice(b"\r\n");
        }
        if let Some(deflate) = &self.deflate {
            output.extend_from_slice(b"Sec-WebSocket-Extensions: ");
            deflate.write(output);
            output.extend_from_slice(b"\r\n");
        }
        head.write_marks(output, marks);
        output.extend_from_slice(b"\r\n");
    }
}

/// Appends the value of Sec-WebSocket-Accept: the base64 form of the SHA-1 of key and GUID (section 4.2.2).
pub fn write_accept(output: &mut Vec<u8>, key: &[u8]) {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut accept).expect("20 bytes are 28 in base64");
    output.extend_from_slice(&accept[..written]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::RequestRoom;
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
        let mut room = RequestRoom::default();
        let (request, _) = Request::parse(head.as_bytes(), &mut room, 4096).expect("good").expect("complete");
        test(request)
    }

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
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
            acceptance.write(&mut output, &ResponseHead::default(), &Marks::new(SOME_TIME, true));
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
        let chosen = |offered: &'static [u8]| Acceptance::new(KEY, offered).map(|acceptance| acceptance.protocol);
        assert_eq!(chosen(b""), Ok(None));
        assert_eq!(chosen(b" ,a"), Ok(None));
        assert_eq!(chosen(b" a b , c"), Ok(Some(&b"a b"[..])));
        assert_eq!(chosen(b"a\r\nX: y"), Err(InvalidAcceptance::Protocol));
    }

    #[test]
    fn headers_of_the_users_go_before_those_of_the_handshake() {
        let expected = "HTTP/1.1 101 Switching Protocols\r\nSet-Cookie: a=b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: p\r\n\
                        Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let acceptance = Acceptance::new(b"dGhlIHNhbXBsZSBub25jZQ==", b"p").expect("a good protocol");
        for has_status in [true, false] {
            let (mut head, mut output) = (ResponseHead::default(), Vec::new());
            if has_status {
                head.write_status(b"101 Switching Protocols").expect("good");
            }
            head.write_header(b"Set-Cookie", b"a=b").expect("good");
            acceptance.write(&mut output, &head, &Marks::new(SOME_TIME, false));
            assert_eq!(String::from_utf8_lossy(&output), expected);
        }
    }

    #[test]
    fn what_a_handler_says_of_the_handshake_is_said_once() {
        let mut head = ResponseHead::default();
        for (name, value) in [
            ("upgrade", "WebSocket"),
            ("connection", "upgrade, keep-alive"),
            ("Sec-WebSocket-Accept", "wrong"),
            ("sec-websocket-extensions", "x"),
            ("Sec-WebSocket-Protocol", "mine"),
            ("sec-websocket-protocol", "yours"),
            ("Content-Length", "0"),
            ("Transfer-Encoding", "chunked"),
            ("Date", "today"),
        ] {
            head.write_header(name.as_bytes(), value.as_bytes()).expect("good");
        }
        let mut output = Vec::new();
        let acceptance = Acceptance::new(b"dGhlIHNhbXBsZSBub25jZQ==", b"p").expect("a good protocol");
        acceptance.write(&mut output, &head, &Marks::new(SOME_TIME, false));
        assert_eq!(
            String::from_utf8_lossy(&output),
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: mine\r\nDate: today\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n"] {
            let head = format!("{OFFER}{version}");
            let refused = with_request(&head, |request| Handshake::parse(request).err());
            assert_eq!(refused, Some(HttpError::UnsupportedWebSocketVersion));
        }
    }

    #[test]
    fn keys_are_the_base64_form_of_16_bytes() {
        for key in [
            "dGhlIHNhbXBsZSBub25jZQ==",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "+/+/+/+/+/+/+/+/+/+/+w==",
            "zzzzzzzzzzzzzzzzzzzzzz==",
        ] {
            assert!(is_key(key.as_bytes()), "{key}");
        }
        for key in [
            "",
            "=",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZQQ=",
            "dGhlIHNhbXBsZSBub25jZQQQ",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25j-Q==",
            "dGhlIHNhbXBsZSBub25j_Q==",
            "dGhlIHNhbXBsZSBub25j Q==",
            "dGhlIHNhbXBsZSBub25j\u{e9}==",
            "========================",
        ] {
            assert!(!is_key(key.as_bytes()), "{key}");
            assert_eq!(Acceptance::new(key.as_bytes(), b""), Err(InvalidAcceptance::Key), "{key}");
        }
    }

    #[test]
    fn a_key_or_a_version_that_comes_twice_is_refused() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (more, expected) in [
            (format!("Sec-WebSocket-Version: 13\r\n{key}"), HttpError::RepeatedWebSocketKey),
            ("Sec-WebSocket-Version: 13\r\nsec-websocket-key: x\r\n".to_owned(), HttpError::RepeatedWebSocketKey),
            (
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n".to_owned(),
                HttpError::RepeatedWebSocketVersion,
            ),
            (
                "Sec-WebSocket-Version: 13\r\nsec-websocket-version: 8\r\n".to_owned(),
                HttpError::RepeatedWebSocketVersion,
            ),
            (
                "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version: 13\r\n".to_owned(),
                HttpError::RepeatedWebSocketVersion,
            ),
        ] {
            let refused = with_request(&format!("{OFFER}{more}"), |request| {
                assert!(Handshake::is_offered_by(request), "{more}");
                Handshake::parse(request).err()
            });
            assert_eq!(refused, Some(expected), "{more}");
        }
        // An invalid key comes before a valid one, or before another invalid one.
        for keys in [format!("Sec-WebSocket-Key: x\r\n{key}"), "Sec-WebSocket-Key: x\r\n".repeat(2)] {
            let head = OFFER.replace(key, &keys);
            assert!(with_request(&head, Handshake::is_offered_by), "{keys}");
            let refused = with_request(&head, |request| Handshake::parse(request).err());
            assert_eq!(refused, Some(HttpError::RepeatedWebSocketKey), "{keys}");
        }
    }

    #[test]
    fn several_lines_of_protocols_and_extensions_are_one_list() {
        let head = format!(
            "{OFFER}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: x; y\r\n\
             Sec-WebSocket-Protocol: b , c\r\nsec-websocket-extensions: permessage-deflate\r\n"
        );
        with_request(&head, |request| {
            let handshake = Handshake::parse(request).expect("an offer");
            assert_eq!(handshake.protocols(), b"a, b , c");
            assert_eq!(handshake.extensions(), b"x; y, permessage-deflate");
        });
    }

    #[test]
    fn what_is_no_offer() {
        for head in [
            OFFER.replace("GET", "POST"),
            OFFER.replace("h2c, WebSocket", "h2c"),
            OFFER.replace("Upgrade: h2c, WebSocket\r\n", ""),
            OFFER.replace("Connection: Upgrade\r\n", ""),
            OFFER.replace("Connection: Upgrade", "Connection: keep-alive"),
            OFFER.replace("Connection: Upgrade", "Connection: Upgraded, h2c"),
            OFFER.replace("nonce==", "nonce"),
            OFFER.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ="),
            OFFER.replace("Sec-WebSocket-Key", "X"),
        ] {
            let offered = with_request(&head, Handshake::is_offered_by);
            assert_eq!(offered, head == OFFER, "{head}");
        }
    }
}
