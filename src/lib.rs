//! The Node.js addon: libuv and JavaScript on top of milliways-net. No protocol and no sockets here.
//!
//! JavaScript sees plain functions that take slots and generations; the classes people use are made of them in `js/`.
//! Each Node environment (the main thread, every worker) that loads the addon has an [`environment::Environment`] of
//! its own, which ends with it.

mod app;
mod call;
mod callback;
mod driver;
mod environment;
mod error;
mod events;
mod http_request;
mod http_response;
mod lifetime;
mod options;
mod parts;
mod registers;
mod restored;
mod store;
mod tls;
mod uv;
mod value;
mod websocket;

use napi::bindgen_prelude::{Env, Object};
use napi_derive::napi;

/// Fills the module's exports; called by Node once for each environment that loads it.
#[napi(module_exports)]
pub fn register(exports: Object<'_>, env: Env) -> napi::Result<()> {
    environment::register(env.raw(), napi::JsValue::raw(&exports))
        .map_err(|reason| napi::Error::from_reason(format!("milliways could not start: {reason}")))
}
