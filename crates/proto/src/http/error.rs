//! Requests that the server refuses by itself: who is at fault, and the response.

use std::fmt;

/// Why a request was refused. The client is at fault unless stated otherwise. The connection closes after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The request is not HTTP, or two recipients could read it in two ways (RFC 9112 section 11.2: request smuggling).
    Syntax,
    /// The version is not HTTP/1.0 or a later HTTP/1.
    Version,
    /// The head, or the framing of a chunked body, is over its limit (RFC 6585 section 5).
    HeadTooLarge,
    /// The body is over its limit (RFC 9110 section 15.5.14).
    BodyTooLarge,
    /// The upgrade is for a WebSocket version other than 13 (RFC 6455 section 4.4).
    WebSocketVersion,
    /// No handler has answered the request. The API's user is at fault.
    NoResponse,
}

impl HttpError {
    /// Returns the response to a HEAD request: the head alone.
    pub fn head(self) -> &'static str {
        let response = self.response();
        response.split_once("\r\n\r\n").map_or(response, |(head, _)| &response[..head.len() + 4])
    }

    /// Returns the whole response.
    pub fn response(self) -> &'static str {
        match self {
            Self::Syntax => concat!(
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
                "<h1>Bad Request</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            // This is the text of uWebSockets.js, which clients may compare. HTTP/1.0 is in fact supported.
            Self::Version => concat!(
                "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\r\n",
                "<h1>HTTP Version Not Supported</h1><p>This server does not support HTTP/1.0.</p>",
                "<hr><i>uWebSockets/20 Server</i>"
            ),
            Self::HeadTooLarge => concat!(
                "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n",
                "<h1>Request Header Fields Too Large</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Self::BodyTooLarge => concat!(
                "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n\r\n",
                "<h1>Content Too Large</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Self::WebSocketVersion => concat!(
                "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n",
                "Connection: close\r\n\r\n<h1>Upgrade Required</h1><hr><i>uWebSockets/20 Server</i>"
            ),
            Self::NoResponse => concat!(
                "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n",
                "<h1>Internal Server Error</h1><hr><i>uWebSockets/20 Server</i>"
            ),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Syntax => "the request is malformed or ambiguous",
            Self::Version => "the request's version of HTTP is not 1.0 or 1.1",
            Self::HeadTooLarge => "the request's header fields are over the limit",
            Self::BodyTooLarge => "the request's body is over the limit",
            Self::WebSocketVersion => "the upgrade is not for WebSocket version 13",
            Self::NoResponse => "no handler answered the request",
        })
    }
}

impl std::error::Error for HttpError {}
