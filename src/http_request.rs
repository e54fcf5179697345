//! `HttpRequest`: what a handler may ask of its request while it runs.

use std::cell::Cell;
use std::ptr::NonNull;

use milliways_net::RoutedRequest;
use milliways_proto::http::query_value as value_in;

use crate::call::{Call, Returned};
use crate::error::Error;

/// The request whose handler is running, to be found by the number that its JavaScript object has.
#[derive(Default)]
pub(crate) struct CurrentRequest {
    /// Valid from `set` to `clear`, between which the request is borrowed by the caller of both. (The lifetime is not
    /// the true one.)
    request: Cell<Option<NonNull<RoutedRequest<'static>>>>,
    serial: Cell<u32>,
}

impl CurrentRequest {
    /// Lends the request to JavaScript until [`CurrentRequest::clear`], which must come before the borrow ends. Gives
    /// its number.
    pub(crate) fn set(&self, request: &RoutedRequest<'_>) -> u32 {
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
fn current<'s, const N: usize>(call: &Call<'s, N>) -> Result<&'s RoutedRequest<'s>, Error> {
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
    Ok(Some(call.js.string(current(call)?.request.path())?))
}

/// `requestQuery(serial): string | undefined`
pub(crate) fn query<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let query = current(call)?.request.query();
    Ok(query.map(|query| call.js.string(query)).transpose()?)
}

/// `requestMethod(serial): string`, in lower case.
pub(crate) fn method<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    Ok(Some(call.js.string(&current(call)?.request.method().to_ascii_lowercase())?))
}

/// `requestCaseSensitiveMethod(serial): string`
pub(crate) fn case_sensitive_method<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    Ok(Some(call.js.string(current(call)?.request.method())?))
}

/// `requestHeader(serial, lowerName): string`
pub(crate) fn header<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let request = current(call)?.request;
    let value = call.with_bytes(1, |name| match name {
        // What a client offers in several lines is one list to `upgrade`, too (RFC 6455 section 11.3).
        b"sec-websocket-protocol" | b"sec-websocket-extensions" => request.list(name),
        _ => request.header(name).unwrap_or_default().into(),
    })?;
    Ok(Some(call.js.latin1_string(&value)?))
}

/// `requestHeaders(serial): [name, value, name, value, ...]`, names in lower case. Values are taken for UTF-8 here, as
/// uWebSockets.js does, and for Latin-1 by `requestHeader`.
pub(crate) fn headers<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (js, request) = (call.js, current(call)?.request);
    let array = js.array(0)?;
    for (index, (name, value)) in request.headers().enumerate() {
        js.set_element(array, 2 * index, js.string(&name.to_ascii_lowercase())?)?;
        js.set_element(array, 2 * index + 1, js.string(&String::from_utf8_lossy(value))?)?;
    }
    Ok(Some(array))
}

/// `requestParameterAt(serial, index): string | undefined`
pub(crate) fn parameter_at<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let routed = current(call)?;
    let index = usize::try_from(call.js.to_i32(call.arguments[1])?).ok();
    // What runs in between (`valueOf`) may not outlive the request.
    let value = index.and_then(|index| routed.parameter_at(index));
    Ok(value.map(|value| call.js.string(value)).transpose()?)
}

/// `requestParameter(serial, name): string | undefined`
pub(crate) fn parameter<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let name = call.with_bytes(1, |name| String::from_utf8_lossy(name).into_owned())?;
    let value = current(call)?.parameter(&name);
    Ok(value.map(|value| call.js.string(value)).transpose()?)
}

/// `requestQueryValue(serial, key): string | undefined`
pub(crate) fn query_value<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let query = current(call)?.request.query().unwrap_or_default();
    let value = call.with_bytes(1, |key| value_in(query.as_bytes(), key))?;
    Ok(value.map(|value| call.js.string(&String::from_utf8_lossy(&value))).transpose()?)
}

/// `requestYield(serial, yields)`
pub(crate) fn set_yield<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let yields = call.bool(1)?;
    current(call)?.set_yield(yields);
    Ok(None)
}
