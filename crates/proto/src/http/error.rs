//! Requests that the server refuses by itself: what is wrong, who is at fault, and the response.

use std::fmt;

use crate::cause::causes;

causes! {
    /// Why a request was refused. The client is at fault unless stated otherwise. The connection closes after the
    /// response.
    ///
    /// A request that two recipients could read in two ways is refused as well (RFC 9112 section 11.2: request
    /// smuggling).
    pub enum HttpError of Refusal {
        InvalidRequestLine = BadRequest, "INVALID_REQUEST_LINE",
            "the method or the target has a byte that is not allowed, or more than one space follows";
        /// RFC 9112 section 3.2. Only a proxy can serve the authority-form.
        InvalidTarget = BadRequest, "INVALID_TARGET",
            "the target is neither a path, nor a URI of HTTP, nor the asterisk of OPTIONS";
        /// RFC 9112 section 2.3.
        InvalidVersion = BadRequest, "INVALID_VERSION", "what follows the target is not a version of HTTP";
        UnsupportedVersion = UnsupportedVersion, "UNSUPPORTED_VERSION",
            "the request's version of HTTP is neither 1.0 nor a later HTTP/1";
        /// RFC 9112 section 2.2.
        InvalidLineEnd = BadRequest, "INVALID_LINE_END", "a line of the head does not end with CR and LF";
        InvalidHeaderName = BadRequest, "INVALID_HEADER_NAME", "the name of a header field is not a token";
        InvalidHeaderValue = BadRequest, "INVALID_HEADER_VALUE",
            "the value of a header field has a control character";
        /// RFC 9112 section 3.2.
        MissingHost = BadRequest, "MISSING_HOST", "the header field Host is missing or empty";
        /// RFC 9112 section 3.2.
        RepeatedHost = BadRequest, "REPEATED_HOST", "the header field Host occurs more than once";
        /// RFC 9110 section 8.6. Numbers of more than 18 digits are refused, too.
        InvalidContentLength = BadRequest, "INVALID_CONTENT_LENGTH",
            "the value of Content-Length is not a number of at most 18 digits";
        /// RFC 9112 section 6.1.
        InvalidTransferEncoding = BadRequest, "INVALID_TRANSFER_ENCODING",
            "the transfer coding is not chunked, or the version is HTTP/1.0";
        /// RFC 9112 section 6.3.
        AmbiguousLength = BadRequest, "AMBIGUOUS_LENGTH",
            "more than one header field says where the body ends";
        /// RFC 9112 section 7.1.
        InvalidChunkSize = BadRequest, "INVALID_CHUNK_SIZE",
            "the size of a chunk is not a hexadecimal number of at most 60 bits";
        /// RFC 9112 section 7.1.1.
        InvalidChunkExtension = BadRequest, "INVALID_CHUNK_EXTENSION", "the extension of a chunk is malformed";
        /// RFC 9112 section 7.1.
        InvalidChunkEnd = BadRequest, "INVALID_CHUNK_END", "the data of a chunk is not followed by CR and LF";
        /// RFC 9112 section 7.1.2.
        InvalidTrailer = BadRequest, "INVALID_TRAILER", "a trailer field is malformed";
        InvalidProxyHeader = BadRequest, "INVALID_PROXY_HEADER",
            "the header of the PROXY protocol before the request is malformed";
        /// Client, proxy and server may disagree on whether its bytes are a body or frames.
        UpgradeWithBody = BadRequest, "UPGRADE_WITH_BODY", "a request to become a WebSocket has a body";
        /// RFC 6455 section 11.3.1.
        RepeatedWebSocketKey = BadRequest, "REPEATED_WEBSOCKET_KEY",
            "the header field Sec-WebSocket-Key occurs more than once";
        /// RFC 6455 section 11.3.5.
        RepeatedWebSocketVersion = BadRequest, "REPEATED_WEBSOCKET_VERSION",
            "the header field Sec-WebSocket-Version occurs more than once";
        /// The API's user is at fault.
        UnexpectedResponse = BadRequest, "UNEXPECTED_RESPONSE",
            "a handler has passed a request on that becomes a WebSocket, and has written a status other than 101";
        /// RFC 6455 section 4.4.
        UnsupportedWebSocketVersion = UpgradeRequired, "UNSUPPORTED_WEBSOCKET_VERSION",
            "the upgrade is for a WebSocket version other than 13";
        /// RFC 6585 section 5.
        HeadTooLarge = HeadTooLarge, "HEAD_TOO_LARGE", "the head of the request is over its limit in bytes";
        /// RFC 6585 section 5.
        TooManyHeaders = HeadTooLarge, "TOO_MANY_HEADERS", "the head has more header fields than are allowed";
        /// RFC 9112 section 7.1.1: "A server ought to limit the total length of chunk extensions".
        ChunkFramingTooLarge = HeadTooLarge, "CHUNK_FRAMING_TOO_LARGE",
            "the sizes, extensions and trailers of a chunked body are over their limit in bytes";
        /// RFC 9110 section 15.5.14.
        BodyTooLarge = BodyTooLarge, "BODY_TOO_LARGE", "the body of the request is over its limit in bytes";
        /// The API's user is at fault.
        NoResponse = NoResponse, "NO_RESPONSE", "no handler has answered the request";
    }
}

/// The kinds of responses with which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    BadRequest,
    UnsupportedVersion,
    HeadTooLarge,
    BodyTooLarge,
    UpgradeRequired,
    NoResponse,
}

impl HttpError {
    /// Returns the response to a HEAD request: the head alone.
    pub fn head(self) -> &'static str {
        let response = self.response();
        response.split_once("\r\n\r\n").map_or(response, |(head, _)| &response[..head.len() + 4])
    }

    /// Returns the status code of the response.
    pub fn status(self) -> u16 {
        match self.class() {
            Refusal::BadRequest => 400,
            Refusal::UnsupportedVersion => 505,
            Refusal::HeadTooLarge => 431,
            Refusal::BodyTooLarge => 413,
            Refusal::UpgradeRequired => 426,
            Refusal::NoResponse => 500,
        }
    }

    /// Returns the whole response.
    pub fn response(self) -> &'static str {
        match self.class() {
            Refusal::BadRequest => concat!(
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
                "<h1>Bad Request</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            // This is the text of uWebSockets.js, which clients may compare. HTTP/1.0 is in fact supported.
            Refusal::UnsupportedVersion => concat!(
                "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\r\n",
                "<h1>HTTP Version Not Supported</h1><p>This server does not support HTTP/1.0.</p>",
                "<hr><i>uWebSockets/20 Server</i>"
            ),
            Refusal::HeadTooLarge => concat!(
                "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n",
                "<h1>Request Header Fields Too Large</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Refusal::BodyTooLarge => concat!(
                "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n",
                "<h1>Content Too Large</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Refusal::UpgradeRequired => concat!(
                "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
                "Connection: close\r\n\r\n<h1>Upgrade Required</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Refusal::NoResponse => concat!(
                "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n",
                "<h1>Internal Server Error</h1><hr><i>uWebSockets/20 Server</i>"
            ),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for HttpError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_the_place_of_a_name() {
        for error in [HttpError::InvalidRequestLine, HttpError::BodyTooLarge, HttpError::NoResponse] {
            assert_eq!(HttpError::NAMES[error.index()], error.name());
        }
        assert_eq!(HttpError::InvalidRequestLine.index(), 0);
        assert_eq!(HttpError::NoResponse.index(), HttpError::NAMES.len() - 1);
        assert_eq!(HttpError::AmbiguousLength.name(), "AMBIGUOUS_LENGTH");
    }

    #[test]
    fn the_status_is_that_of_the_response() {
        let of_each_kind = [
            HttpError::MissingHost,
            HttpError::UnsupportedVersion,
            HttpError::HeadTooLarge,
            HttpError::BodyTooLarge,
            HttpError::UnsupportedWebSocketVersion,
            HttpError::NoResponse,
        ];
        for error in of_each_kind {
            assert!(error.response().starts_with(&format!("HTTP/1.1 {} ", error.status())), "{error:?}");
        }
    }
}
