//! `HttpResponse`.

use milliways_net::Stale;

use crate::call::{Call, Returned};
use crate::error::Error;

fn done(Stale: Stale) -> Error {
    Error::ResponseDone
}

/// `responseCheck(slot, generation)`: throws unless it can still be answered.
pub(crate) fn check<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.check_response(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseAwait(slot, generation)`: it will be answered later, or aborted.
pub(crate) fn await_response<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.await_response(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseStatus(slot, generation, status)`
pub(crate) fn write_status<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    call.with_bytes(2, |status| reactor.write_status(id, status))??;
    Ok(None)
}

/// `responseHeader(slot, generation, name, value)`
pub(crate) fn write_header<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let name = call.with_bytes(2, <[u8]>::to_vec)?;
    call.with_bytes(3, |value| reactor.write_header(id, &name, value))??;
    Ok(None)
}

/// `responseEnd(slot, generation, body, close)`
pub(crate) fn end<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, close, reactor) = (call.id()?, call.bool(3)?, &call.environment.reactor);
    call.with_bytes(2, |body| reactor.respond(id, body, close))?.map_err(done)?;
    Ok(None)
}

/// `responseClose(slot, generation)`
pub(crate) fn close<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let environment = call.environment;
    environment.reactor.close_response(call.id()?, environment).map_err(done)?;
    Ok(None)
}
