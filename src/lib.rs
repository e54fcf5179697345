//! The Node.js addon: libuv and JavaScript on top of milliways-net. No protocol and no sockets here.
//!
//! JavaScript sees plain functions that take slots and generations; the classes people use are made of them in `js/`.
//! Each Node environment (the main thread, every worker) that loads the addon has an [`environment::Environment`] of
//! its own, which ends with it.

mod call;
mod classes;
mod current_request;
mod driver;
mod environment;
mod error;
mod events;
mod exports;
mod handlers;
mod lifetime;
mod node;
mod registers;
mod restored;
mod scopes;
mod store;
mod uv;

use napi::bindgen_prelude::{Env, Object};
use napi_derive::napi;

/// Fills the module's exports; called by Node once for each environment that loads it.
#[napi(module_exports)]
pub fn register(exports: Object<'_>, env: Env) -> napi::Result<()> {
    exports::register(env.raw(), napi::JsValue::raw(&exports))
        .map_err(|reason| napi::Error::from_reason(format!("milliways could not start: {reason}")))
}
