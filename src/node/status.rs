//! Whether a Node-API call has succeeded.

use napi_sys as sys;

/// A Node-API call has failed: an exception is pending, or the environment is being torn down and runs no more JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

pub(super) fn check(status: sys::napi_status) -> Result<(), Failed> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Failed) }
}
