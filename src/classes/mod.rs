//! What the classes in `js/` are made of: plain functions, each of which converts its arguments, calls the reactor, and
//! converts the result. The first two arguments of a function that is about a connection are its slot and generation.

mod address;
pub(crate) mod app;
pub(crate) mod cork;
pub(crate) mod diagnostics;
pub(crate) mod handover;
pub(crate) mod http_request;
pub(crate) mod http_response;
mod number;
mod options;
pub(crate) mod parts;
pub(crate) mod pubsub;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod websocket;
