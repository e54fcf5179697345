//! A thin safe wrapper of Node-API, declared by napi-sys. Knows nothing of what the addon is for.
//!
//! Every status is checked. The calls here are on the hot path, where napi's own wrappers cost several times as much.

mod callback;
mod error;
mod function;
mod memory;
mod object;
mod reference;
mod scope;
mod status;
mod text;
mod value;

pub(crate) use callback::Callback;
pub(crate) use error::ErrorKind;
pub(crate) use memory::{Bytes, Detached, Memory};
pub(crate) use reference::Reference;
pub(crate) use scope::{AsyncContext, CallbackScope, HandleScope};
pub(crate) use status::Failed;
pub(crate) use value::{Js, Value};
