//! What the classes in `js/` are made of: plain functions that convert their arguments, call the reactor, and convert the result.

mod address;
pub(crate) mod app;
pub(crate) mod cork;
pub(crate) mod http_request;
pub(crate) mod http_response;
mod options;
pub(crate) mod parts;
pub(crate) mod pubsub;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod websocket;
