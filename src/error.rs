//! The errors that JavaScript sees. Each has a stable code; docs/ERRORS.md lists them.

use std::any::Any;

use milliways_net::{
    BodyError, InvalidServerName, ResponseError, RouteError, SendError, SettingsError, Stale, TlsError, UpgradeError,
    panic_message,
};
use milliways_proto::http::InvalidDeclaration;
use milliways_proto::router::MAX_SEGMENTS;

use crate::node::{DataError, ErrorKind, Exception, Failed};
use crate::scopes::MAX_CALLS;

/// The reason for which a function throws.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Error {
    /// A Node-API call has failed: an exception is pending already, or JavaScript has ended.
    Pending,
    WebSocketClosed,
    ResponseDone,
    RequestExpired,
    InvalidData,
    DetachedBuffer,
    InvalidPattern,
    /// A server name that no client asks for, or that has been removed; the text says which.
    InvalidServerName(String),
    InvalidHeader(ResponseError),
    /// The status is not one that a response can have.
    InvalidStatus(String),
    /// The status can only be completed by an upgrade.
    Switching(ResponseError),
    /// Another handler has the body.
    BodyTaken(BodyError),
    /// The length of the body is not its Content-Length.
    ContentLength(ResponseError),
    /// Parts of a response came in an order in which they cannot be sent.
    ResponseOrder(ResponseError),
    InvalidUpgrade(UpgradeError),
    /// A message came between the fragments of another one, or a fragment without a first one.
    FragmentOrder(SendError),
    InvalidDeclaration(InvalidDeclaration),
    OutOfRange(SettingsError),
    /// A value is not a number, or not an allowed one.
    InvalidNumber {
        name: String,
        allowed: &'static str,
        value: String,
    },
    /// The call would call a handler too deep inside of others.
    TooDeep,
    /// Certificates, keys or ciphers that cannot be used; the text says why.
    Tls(String),
    /// The value is not the descriptor of any app.
    InvalidDescriptor(String),
    /// The reactor has no descriptor by which another thread could wake it; the text says why.
    NoDescriptor(String),
    /// The number is not that of a socket that an app can adopt; the text says why.
    InvalidSocket(String),
    /// The value is not the address of a client.
    InvalidAddress(String),
    /// A bug of ours: the message of the panic.
    Internal(String),
    /// A handler returned without a response to a request with this method and URL.
    NoResponse(String, String),
}

impl Exception for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Pending | Self::Internal(_) => "ERR_MILLIWAYS_INTERNAL",
            Self::WebSocketClosed => "ERR_MILLIWAYS_WEBSOCKET_CLOSED",
            Self::ResponseDone => "ERR_MILLIWAYS_RESPONSE_DONE",
            Self::RequestExpired => "ERR_MILLIWAYS_REQUEST_EXPIRED",
            Self::InvalidData => "ERR_MILLIWAYS_INVALID_DATA",
            Self::DetachedBuffer => "ERR_MILLIWAYS_DETACHED_BUFFER",
            Self::InvalidPattern => "ERR_MILLIWAYS_INVALID_PATTERN",
            Self::InvalidServerName(_) => "ERR_MILLIWAYS_INVALID_SERVER_NAME",
            Self::InvalidHeader(_) => "ERR_MILLIWAYS_INVALID_HEADER",
            Self::BodyTaken(_) => "ERR_MILLIWAYS_BODY_TAKEN",
            Self::ContentLength(_) => "ERR_MILLIWAYS_CONTENT_LENGTH",
            Self::ResponseOrder(_) => "ERR_MILLIWAYS_RESPONSE_ORDER",
            Self::InvalidUpgrade(_) => "ERR_MILLIWAYS_INVALID_UPGRADE",
            Self::FragmentOrder(_) => "ERR_MILLIWAYS_FRAGMENT_ORDER",
            Self::InvalidDeclaration(_) => "ERR_MILLIWAYS_INVALID_DECLARATION",
            Self::OutOfRange(_) | Self::InvalidNumber { .. } | Self::InvalidStatus(_) | Self::Switching(_) => {
                "ERR_MILLIWAYS_OUT_OF_RANGE"
            }
            Self::NoResponse(..) => "ERR_MILLIWAYS_NO_RESPONSE",
            Self::TooDeep => "ERR_MILLIWAYS_TOO_DEEP",
            Self::Tls(_) => "ERR_MILLIWAYS_TLS",
            Self::InvalidDescriptor(_) | Self::NoDescriptor(_) => "ERR_MILLIWAYS_INVALID_DESCRIPTOR",
            Self::InvalidSocket(_) => "ERR_MILLIWAYS_INVALID_SOCKET",
            Self::InvalidAddress(_) => "ERR_MILLIWAYS_INVALID_ADDRESS",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Pending => "a Node-API call failed".to_owned(),
            Self::WebSocketClosed => "Invalid access of closed uWS.WebSocket/SSLWebSocket.".to_owned(),
            Self::ResponseDone => {
                "uWS.HttpResponse must not be accessed after uWS.HttpResponse.onAborted callback, or \
                                   after a successful response. See documentation for uWS.HttpResponse and consult the \
                                   user manual."
                    .to_owned()
            }
            Self::RequestExpired => "uWS.HttpRequest must not be accessed after await or route handler return. See \
                                     documentation for uWS.HttpRequest and consult the user manual."
                .to_owned(),
            Self::InvalidData => "Text and data can only be passed by String, ArrayBuffer or TypedArray.".to_owned(),
            Self::DetachedBuffer => {
                "The ArrayBuffer is detached: its bytes were transferred, by postMessage, structuredClone or \
                                     transfer, and are not there any more. Pass them on before, or transfer a copy: \
                                     buffer.slice(0)."
                    .to_owned()
            }
            Self::InvalidPattern => format!("A pattern must not have more than {MAX_SEGMENTS} segments."),
            Self::InvalidServerName(reason) => capitalized(reason),
            Self::InvalidHeader(error)
            | Self::ResponseOrder(error)
            | Self::Switching(error)
            | Self::ContentLength(error) => capitalized(&error.to_string()),
            Self::InvalidStatus(status) => format!(
                "A status must be a number from 200 to 999 and, after a space, a reason phrase, such as '404 Not Found', \
                 and is '{status}'."
            ),
            Self::BodyTaken(error) => capitalized(&error.to_string()),
            Self::InvalidUpgrade(error) => capitalized(&error.to_string()),
            Self::FragmentOrder(error) => capitalized(&error.to_string()),
            Self::InvalidDeclaration(error) => capitalized(&error.to_string()),
            Self::InvalidNumber { name, allowed, value } => format!("{name} must be {allowed}, and is {value}."),
            Self::OutOfRange(error) => error.to_string(),
            Self::TooDeep => format!(
                "More than {MAX_CALLS} handlers have called each other. Make this call later, for example by setImmediate."
            ),
            Self::Tls(reason) => reason.clone(),
            Self::InvalidDescriptor(value) => format!(
                "A descriptor of an app must be a number that getDescriptor has returned in this process, and is {value}."
            ),
            Self::NoDescriptor(reason) => format!("Other threads could not wake this one: {reason}."),
            Self::InvalidSocket(reason) => {
                format!("adoptSocket takes the file descriptor of a connected stream socket: {reason}.")
            }
            Self::InvalidAddress(value) => {
                format!("ip must be the text or the bytes of an IPv4 or IPv6 address, and is {value}.")
            }
            Self::Internal(panic) => {
                format!("milliways has a bug, please report it: {panic}. The connection it happened on was closed.")
            }
            Self::NoResponse(method, url) => format!(
                "Returning from a request handler without responding or attaching an abort handler is forbidden! \
                 ({method} {url})"
            ),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange(_)
            | Self::InvalidNumber { .. }
            | Self::InvalidStatus(_)
            | Self::Switching(_)
            | Self::TooDeep => ErrorKind::RangeError,
            _ => ErrorKind::Error,
        }
    }

    fn is_failed_call(&self) -> bool {
        *self == Self::Pending
    }

    fn from_panic(panic: &(dyn Any + Send)) -> Self {
        Self::Internal(panic_message(panic))
    }
}

impl Error {
    /// The error for a status of these bytes.
    pub(crate) fn invalid_status(status: &[u8]) -> Self {
        /// The number of bytes that are shown.
        const SHOWN: usize = 64;

        Self::InvalidStatus(String::from_utf8_lossy(&status[..status.len().min(SHOWN)]).into_owned())
    }
}

impl From<Failed> for Error {
    fn from(Failed: Failed) -> Self {
        Self::Pending
    }
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Failed => Self::Pending,
            DataError::Invalid => Self::InvalidData,
            DataError::Detached => Self::DetachedBuffer,
        }
    }
}

impl From<Stale> for Error {
    /// The error of a WebSocket. Responses convert it by themselves.
    fn from(Stale: Stale) -> Self {
        Self::WebSocketClosed
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::WebSocketClosed,
            other => Self::FragmentOrder(other),
        }
    }
}

impl From<ResponseError> for Error {
    fn from(error: ResponseError) -> Self {
        match error {
            ResponseError::Complete => Self::ResponseDone,
            ResponseError::InvalidHeader(_) => Self::InvalidHeader(error),
            ResponseError::InvalidStatus => Self::InvalidStatus(String::new()),
            ResponseError::Switching => Self::Switching(error),
            ResponseError::LengthMismatch { .. } => Self::ContentLength(error),
            ResponseError::HeadEnded | ResponseError::Mixed => Self::ResponseOrder(error),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Stale => Self::ResponseDone,
            BodyError::Taken => Self::BodyTaken(error),
        }
    }
}

impl From<InvalidDeclaration> for Error {
    fn from(error: InvalidDeclaration) -> Self {
        match error {
            InvalidDeclaration::Status(status) => Self::invalid_status(&status),
            InvalidDeclaration::Header(error) => ResponseError::InvalidHeader(error).into(),
            InvalidDeclaration::HeadEnded => ResponseError::HeadEnded.into(),
            malformed @ InvalidDeclaration::Malformed { .. } => Self::InvalidDeclaration(malformed),
        }
    }
}

impl From<SettingsError> for Error {
    fn from(error: SettingsError) -> Self {
        Self::OutOfRange(error)
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error.to_string())
    }
}

impl From<RouteError> for Error {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::PatternTooDeep => Self::InvalidPattern,
            RouteError::DomainRemoved => Self::InvalidServerName(
                "the server name whose routes these are has been removed: call domain() before you add more".to_owned(),
            ),
        }
    }
}

impl From<InvalidServerName> for Error {
    fn from(error: InvalidServerName) -> Self {
        Self::InvalidServerName(error.to_string())
    }
}

/// Makes a sentence of the text of an error of the layers below.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
