//! The Node.js addon: libuv and JavaScript on top of milliways-net. There are no protocols and no sockets here.
//!
//! JavaScript sees plain functions that take slots and generations; `js/` makes of them the classes that programs use.
//! Each Node environment (the main thread, every worker) that loads the addon has an `environment::Environment` of its
//! own, which ends with it.

mod call;
mod classes;
mod current_request;
mod descriptors;
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
mod trap;
mod uv;

use napi::bindgen_prelude::{Env, Object};
use napi_derive::napi;

use node::{Js, Value};

/// Fills the module's exports; called by Node once for each environment that loads it.
#[napi(module_exports)]
pub fn register(exports: Object<'_>, env: Env) -> napi::Result<()> {
    // SAFETY: Node calls this on the environment's thread and in a handle scope, which ends after this returns.
    let js = unsafe { Js::from_raw(env.raw()) };
    // SAFETY: the exports object belongs to that scope.
    let exports = unsafe { Value::from_raw(napi::JsValue::raw(&exports)) };
    exports::register(js, exports)
        .map_err(|reason| napi::Error::from_reason(format!("milliways could not start: {reason}")))
}
