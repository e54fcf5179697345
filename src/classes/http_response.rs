//! `HttpResponse`.

use milliways_net::{BehaviorId, ConnectionId, Reactor, ResponseError, Stale, UpgradeError};

use super::address::{address_of, port_of};
use super::cork;
use super::number::size;
use crate::call::{Call, Returned};
use crate::error::Error;

fn done(Stale: Stale) -> Error {
    Error::ResponseDone
}

/// `responseCork(slot, generation): outer`, to be passed to `uncork`.
pub(crate) fn cork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    cork::outer(call, call.environment.reactor.cork(call.id()?).map_err(done)?)
}

/// `responseAwait(slot, generation)`: the request will be answered later, or aborted.
pub(crate) fn await_response<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.await_response(call.id()?).map_err(done)?;
    Ok(None)
}

// Functions that write return whether they did so outside of a cork.

/// No cork is active, so output is not gathered. Checked before writing, which may end the response.
const UNCORKED: u32 = 1;
/// Returned by `responseWrite` if the client keeps up, by `responseTryEnd` if the socket has taken the whole piece.
const IS_TAKEN: u32 = 2;
/// Returned by `responseTryEnd` if the response is complete.
const IS_COMPLETE: u32 = 4;

/// Returns these bits. No bits are `undefined`, which costs nothing.
fn flags<'s, const N: usize>(call: &Call<'s, N>, flags: u32) -> Returned<'s> {
    Ok(if flags == 0 { None } else { Some(call.js.number(flags)?) })
}

fn uncorked(reactor: &Reactor, id: ConnectionId) -> u32 {
    if reactor.is_corked(id) { 0 } else { UNCORKED }
}

/// `responseStatus(slot, generation, status): isUncorked`
pub(crate) fn write_status<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    call.with_bytes(2, |reactor, status| {
        reactor.write_status(id, status).map_err(|error| match error {
            ResponseError::InvalidStatus => Error::invalid_status(status),
            other => other.into(),
        })
    })??;
    flags(call, uncorked(reactor, id))
}

/// `responseHeader(slot, generation, name, value): isUncorked`
pub(crate) fn write_header<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let name = call.bytes(2)?;
    call.with_bytes(3, |reactor, value| reactor.write_header(id, &name, value))??;
    flags(call, uncorked(reactor, id))
}

/// `responseEnd(slot, generation, body, close): isUncorked`
pub(crate) fn end<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, close, reactor) = (call.id()?, call.bool(3)?, &call.environment.reactor);
    let uncorked = uncorked(reactor, id);
    call.with_bytes(2, |reactor, body| reactor.respond(id, body, close))??;
    flags(call, uncorked)
}

/// `responseEndWithoutBody(slot, generation, contentLength | undefined, close): isUncorked`
pub(crate) fn end_without_body<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, close, reactor) = (call.id()?, call.bool(3)?, &call.environment.reactor);
    let is_given = !call.js.is_undefined(call.arguments[2])?;
    let length = is_given.then(|| size(call.js, call.arguments[2], "reportedContentLength")).transpose()?;
    let uncorked = uncorked(reactor, id);
    reactor.respond_without_body(id, length, close)?;
    flags(call, uncorked)
}

/// `responseBeginWrite(slot, generation): isUncorked`
pub(crate) fn begin_write<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    reactor.begin_chunks(id)?;
    flags(call, uncorked(reactor, id))
}

/// `responseWrite(slot, generation, chunk): UNCORKED | IS_TAKEN`
pub(crate) fn write<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let keeps_up = call.with_bytes(2, |reactor, chunk| reactor.write_chunk(id, chunk))??;
    flags(call, uncorked(reactor, id) | if keeps_up { IS_TAKEN } else { 0 })
}

/// `responseTryEnd(slot, generation, piece, total | undefined, close): UNCORKED | IS_TAKEN | IS_COMPLETE`. Without a total the
/// piece is the whole body.
pub(crate) fn try_end<'s>(call: &Call<'s, 5>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let is_given = !call.js.is_undefined(call.arguments[3])?;
    let total = if is_given { size(call.js, call.arguments[3], "totalSize")? } else { 0 };
    let close = call.bool(4)?;
    let mut said = uncorked(reactor, id);
    let ended = call.with_bytes(2, |reactor, piece| {
        let total = if total == 0 { piece.len() as u64 } else { total };
        reactor.try_end(id, piece, total, close)
    })??;
    if ended.is_taken {
        said |= IS_TAKEN;
    }
    if ended.is_complete {
        said |= IS_COMPLETE;
    }
    flags(call, said)
}

/// `responseWriteOffset(slot, generation): bytes`
pub(crate) fn write_offset<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let offset = call.environment.reactor.write_offset(call.id()?).map_err(done)?;
    Ok(Some(call.js.size(usize::try_from(offset).unwrap_or(usize::MAX))?))
}

/// `responseWantWritable(slot, generation)`
pub(crate) fn want_writable<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.want_writable(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseReceive(slot, generation)`
pub(crate) fn receive<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.receive_body(call.id()?)?;
    Ok(None)
}

/// `responseCollect(slot, generation, max)`
pub(crate) fn collect<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let max = usize::try_from(size(call.js, call.arguments[2], "maxSize")?).unwrap_or(usize::MAX);
    call.environment.reactor.collect_body(call.id()?, max)?;
    Ok(None)
}

/// `responsePause(slot, generation)`
pub(crate) fn pause<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.pause_body(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseResume(slot, generation)`
pub(crate) fn resume<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.resume_body(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseUpgrade(slot, generation, behavior, key, protocol, extensions, userData)`: the behavior's open handler runs inside
/// of the call.
pub(crate) fn upgrade<'s>(call: &Call<'s, 7>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    call.check_depth()?;
    let behavior = BehaviorId(call.u32(2)?);
    // A context may be one of another app, which has neither a listening socket nor a connection so far.
    let app = environment.reactor.app_of_behavior(behavior);
    if environment.reactor.is_quiet(app) {
        environment.hold(call.js, app)?;
        environment.reactor.note_quiet(app);
    }
    let key = call.bytes(3)?;
    let protocol = call.bytes(4)?;
    let upgraded =
        call.with_bytes(5, |reactor, extensions| reactor.upgrade(id, behavior, &key, &protocol, extensions))?;
    let id = upgraded.map_err(|error| match error {
        UpgradeError::Stale => Error::ResponseDone,
        other => Error::InvalidUpgrade(other),
    })?;
    environment.opened(behavior, id, call.arguments[6]);
    Ok(None)
}

/// `responseClose(slot, generation)`
pub(crate) fn close<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let environment = call.environment;
    environment.reactor.close_response(call.id()?).map_err(done)?;
    Ok(None)
}

/// `responseAbandon(slot, generation)`: an asynchronous handler has failed. Does nothing but count that if the response is
/// complete.
pub(crate) fn abandon<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    reactor.note_handler_error(reactor.app_of(id.slot), Some(id.slot));
    reactor.abandon_response(id);
    Ok(None)
}

/// `responseAddress(slot, generation, proxied, asText): ArrayBuffer`
pub(crate) fn address<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    address_of(call, done)
}

/// `responsePort(slot, generation, proxied): number`
pub(crate) fn port<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    port_of(call, done)
}
