//! `WebSocket`.

use milliways_net::{ConnectionId, SendStatus};
use milliways_proto::ws::Opcode;

use crate::call::{Call, Returned};
use crate::error::Error;
use crate::http_response::{address_of, port_of};

/// Says that nothing was corked before.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// `webSocketSendText(slot, generation, message, isBinary): status`, for strings.
pub(crate) fn send_text<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, js, message) = (call.id()?, call.js, call.arguments[2]);
    let mut appended = Ok(false);
    let append = |output: &mut Vec<u8>| appended = js.append_string(message, output);
    let status = call.environment.reactor.send_with(id, opcode(call)?, append)?;
    appended?;
    finish_send(call, id, status)
}

/// `webSocketSend(slot, generation, message, isBinary): status`, for anything else.
pub(crate) fn send<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, opcode, reactor) = (call.id()?, opcode(call)?, &call.environment.reactor);
    let status = call.with_buffer(2, |message| reactor.send(id, opcode, true, message))??;
    finish_send(call, id, status)
}

fn opcode(call: &Call<'_, 4>) -> Result<Opcode, Error> {
    Ok(if call.u32(3)? == 0 { Opcode::Text } else { Opcode::Binary })
}

fn finish_send<'s>(call: &Call<'s, 4>, id: ConnectionId, status: SendStatus) -> Returned<'s> {
    if status == SendStatus::Dropped {
        let behavior = call.environment.reactor.check_websocket(id)?;
        let message = call.with_bytes(2, <[u8]>::to_vec)?;
        call.environment.dropped(behavior, id, &message, call.u32(3)? != 0);
    }
    Ok(Some(call.js.number(status as u32)?))
}

/// `webSocketPing(slot, generation, message): status`
pub(crate) fn ping<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let status = call.with_bytes(2, |message| reactor.ping(id, message))??;
    Ok(Some(call.js.number(status as u32)?))
}

/// `webSocketEnd(slot, generation, code, reason)`
pub(crate) fn end<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    environment.reactor.check_websocket(id)?;
    // The code is a number of 16 bits; what is above is cut off, as it would be on the wire.
    let code = if call.js.is_undefined(call.arguments[2])? {
        0
    } else {
        call.js.to_i32(call.arguments[2])?.cast_unsigned() as u16
    };
    // Copied: the close handler runs inside and is given its own.
    let reason = call.with_bytes(3, <[u8]>::to_vec)?;
    environment.reactor.end(id, code, &reason, environment)?;
    Ok(None)
}

/// `webSocketClose(slot, generation)`
pub(crate) fn close<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let environment = call.environment;
    environment.reactor.close(call.id()?, environment)?;
    Ok(None)
}

/// `webSocketBufferedAmount(slot, generation): bytes`
pub(crate) fn buffered_amount<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let amount = call.environment.reactor.buffered_amount(call.id()?)?;
    Ok(Some(call.js.size(amount)?))
}

/// `webSocketCork(slot, generation): outer`, to be given to `uncork`.
pub(crate) fn cork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let outer = call.environment.reactor.cork(call.id()?)?;
    Ok(Some(call.js.number(outer.unwrap_or(NO_SLOT))?))
}

/// `uncork(slot, outer)`, of a WebSocket or a response.
pub(crate) fn uncork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let outer = call.u32(1)?;
    call.environment.reactor.uncork(call.u32(0)?, (outer != NO_SLOT).then_some(outer));
    Ok(None)
}

/// `webSocketAddress(slot, generation, proxied, asText): ArrayBuffer`
pub(crate) fn address<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    address_of(call, Error::from)
}

/// `webSocketPort(slot, generation, proxied): number`
pub(crate) fn port<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    port_of(call, Error::from)
}
