//! `HttpRequest`: what a handler may ask of its request while it runs.

use std::cell::Cell;
use std::ptr::NonNull;

use milliways_proto::http::Request;

use crate::call::{Call, Returned};
use crate::error::Error;

/// The request whose handler is running, to be found by the number that its JavaScript object has.
#[derive(Default)]
pub(crate) struct CurrentRequest {
    /// Valid from `set` to `clear`, between which the request is borrowed by the caller of both. (The lifetime is not
    /// the true one.)
    request: Cell<Option<NonNull<Request<'static>>>>,
    serial: Cell<u32>,
}

impl CurrentRequest {
    /// Lends the request to JavaScript until [`CurrentRequest::clear`], which must come before the borrow ends. Gives
    /// its number.
    pub(crate) fn set(&self, request: &Request<'_>) -> u32 {
        self.request.set(Some(NonNull::from(request).cast()));
        // It stays a small integer, and an object would have to survive a billion requests to find another's.
        self.serial.set((self.serial.get() + 1) % (1 << 30));
        self.serial.get()
    }

    pub(crate) fn clear(&self) {
        self.request.set(None);
    }
}

/// The request that the first argument is the number of.
fn current<'s, const N: usize>(call: &Call<'s, N>) -> Result<&'s Request<'s>, Error> {
    let current = &call.environment.request;
    match current.request.get() {
        Some(request) if call.u32(0)? == current.serial.get() => {
            // SAFETY: between `set` and `clear` the request is alive and only read, and this call returns before
            // `clear`.
            Ok(unsafe { request.as_ref() })
        }
        _ => Err(Error::RequestExpired),
    }
}

/// `requestUrl(serial): string`
pub(crate) fn url<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    Ok(Some(call.js.string(current(call)?.path())?))
}

/// `requestQuery(serial): string | undefined`
pub(crate) fn query<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let query = current(call)?.query();
    Ok(query.map(|query| call.js.string(query)).transpose()?)
}

/// `requestMethod(serial): string`, in lower case.
pub(crate) fn method<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    Ok(Some(call.js.string(&current(call)?.method().to_ascii_lowercase())?))
}

/// `requestCaseSensitiveMethod(serial): string`
pub(crate) fn case_sensitive_method<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    Ok(Some(call.js.string(current(call)?.method())?))
}

/// `requestHeader(serial, lowerName): string`
pub(crate) fn header<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let request = current(call)?;
    let value = call.with_bytes(1, |name| request.header(name))?;
    Ok(Some(call.js.latin1_string(value.unwrap_or_default())?))
}
