//! `WebSocket`.

use milliways_net::SendStatus;
use milliways_proto::ws::Opcode;

use crate::call::{Call, Returned};

/// `webSocketCheck(slot, generation)`: throws if it is closed.
pub(crate) fn check<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.check_websocket(call.id()?)?;
    Ok(None)
}

/// `webSocketSend(slot, generation, message, isBinary): status`
pub(crate) fn send<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    let is_binary = call.bool(3)?;
    let opcode = if is_binary { Opcode::Binary } else { Opcode::Text };
    let status = if call.is_string(2)? {
        let (js, message) = (call.js, call.arguments[2]);
        let mut appended = Ok(());
        let status =
            environment.reactor.send_with(id, opcode, |output| appended = js.append_string(message, output))?;
        appended?;
        status
    } else {
        call.with_bytes(2, |message| environment.reactor.send(id, opcode, true, message))??
    };
    if status == SendStatus::Dropped {
        let behavior = environment.reactor.check_websocket(id)?;
        let message = call.with_bytes(2, <[u8]>::to_vec)?;
        environment.dropped(behavior, id, &message, is_binary);
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
    let code = if call.js.is_undefined(call.arguments[2])? { 0 } else { call.js.to_i32(call.arguments[2])? as u16 };
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

/// `flush(slot)`: sends what a corked function has written, if the slot still has a connection.
pub(crate) fn flush<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.reactor.flush_slot(call.u32(0)?);
    Ok(None)
}
