//! What connections say: HTTP, WebSockets, publish and subscribe, and their timeouts.

pub(crate) mod conversation;
pub(crate) mod http;
pub(crate) mod input;
pub(crate) mod lifetime;
pub(crate) mod pubsub;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod timeouts;
pub(crate) mod websocket;
