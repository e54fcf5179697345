//! `HttpResponse`.

use milliways_net::Stale;

use crate::call::{Call, Returned};
use crate::error::Error;
use crate::websocket::NO_SLOT;

fn done(Stale: Stale) -> Error {
    Error::ResponseDone
}

/// `responseCork(slot, generation): outer`, to be given to `uncork`.
pub(crate) fn cork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let outer = call.environment.reactor.cork(call.id()?).map_err(done)?;
    Ok(Some(call.js.number(outer.unwrap_or(NO_SLOT))?))
}

/// `responseAwait(slot, generation)`: it will be answered later, or aborted.
pub(crate) fn await_response<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.await_response(call.id()?).map_err(done)?;
    Ok(None)
}

// Functions that write tell whether they did so outside of a cork.

/// `responseStatus(slot, generation, status): isUncorked`
pub(crate) fn write_status<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    call.with_bytes(2, |status| reactor.write_status(id, status))??;
    Ok(Some(call.js.boolean(!reactor.is_corked(id))?))
}

/// `responseHeader(slot, generation, name, value): isUncorked`
pub(crate) fn write_header<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let name = call.with_bytes(2, <[u8]>::to_vec)?;
    call.with_bytes(3, |value| reactor.write_header(id, &name, value))??;
    Ok(Some(call.js.boolean(!reactor.is_corked(id))?))
}

/// `responseEnd(slot, generation, body, close): isUncorked`
pub(crate) fn end<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, close, reactor) = (call.id()?, call.bool(3)?, &call.environment.reactor);
    call.with_bytes(2, |body| reactor.respond(id, body, close))?.map_err(done)?;
    Ok(Some(call.js.boolean(!reactor.is_corked(id))?))
}

/// `responseClose(slot, generation)`
pub(crate) fn close<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let environment = call.environment;
    environment.reactor.close_response(call.id()?, environment).map_err(done)?;
    Ok(None)
}
