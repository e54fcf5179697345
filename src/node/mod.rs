//! A thin safe wrapper of Node-API, as napi-sys declares it. It knows nothing of what the addon is for.
//!
//! Every status is checked. Many of these calls are on the path of every message, where napi's own wrappers cost several
//! times as much.

mod call;
mod callback;
mod cleanup;
mod error;
mod function;
mod memory;
mod object;
mod reference;
mod registers;
mod scope;
mod scratch;
mod shared;
mod status;
mod text;
mod value;

pub(crate) use call::{Call, InstanceData, Returned, enter};
pub(crate) use callback::Callback;
pub(crate) use cleanup::{Ending, TearDown};
pub(crate) use error::{ErrorKind, Exception};
pub(crate) use function::{export, export_function};
pub(crate) use memory::{Bytes, DataError};
pub(crate) use reference::Reference;
pub(crate) use registers::Registers;
pub(crate) use scope::{AsyncContext, CallbackScope, HandleScope};
pub(crate) use scratch::Scratch;
pub(crate) use shared::SharedView;
pub(crate) use status::Failed;
pub(crate) use value::{Env, Js, Value, ValueType};
