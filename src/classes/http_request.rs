//! `HttpRequest`: what a handler may ask of its request while it runs.

use milliways_net::RoutedRequest;
use milliways_proto::http::query_value as value_in;

use crate::call::{Call, Returned};
use crate::error::Error;

/// The request whose number the first argument is.
fn current<'s, const N: usize>(call: &Call<'s, N>) -> Result<&'s RoutedRequest<'s>, Error> {
    let serial = call.u32(0)?;
    // SAFETY: this call runs inside of the function that the request is lent to, and `'s` ends with the call.
    unsafe { call.environment.request.get(serial) }.ok_or(Error::RequestExpired)
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
    let value = call.with_bytes(1, |_, name| match name {
        // Header fields that a client has sent in several lines make one list, for `upgrade` as well (RFC 6455 section 11.3).
        b"sec-websocket-protocol" | b"sec-websocket-extensions" => request.list(name),
        _ => request.header(name).unwrap_or_default().into(),
    })?;
    Ok(Some(call.js.latin1_string(&value)?))
}

/// `requestHeaders(serial): [name, value, name, value, ...]`, names in lower case. As in uWebSockets.js, values are decoded
/// as UTF-8 here, and as Latin-1 by `requestHeader`.
pub(crate) fn headers<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (js, request) = (call.js, current(call)?.request);
    let mut items = Vec::new();
    for (name, value) in request.headers() {
        items.push(js.string(&name.to_ascii_lowercase())?);
        items.push(js.string(&String::from_utf8_lossy(value))?);
    }
    Ok(Some(js.array(&items)?))
}

/// `requestParameterAt(serial, index): string | undefined`
pub(crate) fn parameter_at<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let routed = current(call)?;
    // JavaScript that this calls (`valueOf`) cannot outlive the request.
    let index = usize::try_from(call.js.to_i32(call.arguments[1])?).ok();
    let value = index.and_then(|index| routed.parameter_at(index));
    Ok(value.map(|value| call.js.string(value)).transpose()?)
}

/// `requestParameter(serial, name): string | undefined`
pub(crate) fn parameter<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let name = call.with_bytes(1, |_, name| String::from_utf8_lossy(name).into_owned())?;
    let value = current(call)?.parameter(&name);
    Ok(value.map(|value| call.js.string(value)).transpose()?)
}

/// `requestQueryValue(serial, key): string | undefined`
pub(crate) fn query_value<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let query = current(call)?.request.query().unwrap_or_default();
    let value = call.with_bytes(1, |_, key| value_in(query.as_bytes(), key))?;
    Ok(value.map(|value| call.js.string(&String::from_utf8_lossy(&value))).transpose()?)
}

/// `requestYield(serial, yields)`
pub(crate) fn set_yield<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let yields = call.bool(1)?;
    current(call)?.set_yield(yields);
    Ok(None)
}
