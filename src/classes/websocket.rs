//! `WebSocket`.

use milliways_net::{ConnectionId, EndError, Reactor, SendStatus};
use milliways_proto::ws::{MAX_CONTROL_PAYLOAD, Opcode};

use super::address::{address_of, port_of};
use super::cork::NO_SLOT;
use super::options::{invalid_number, number_of};
use crate::call::{Call, Returned};
use crate::error::Error;
use crate::node::{Bytes, Js, Value};
use crate::registers::Register;

/// What a message is sent or published as.
pub(crate) struct Kind {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// Where that was agreed on.
    pub(crate) compress: bool,
}

impl Kind {
    /// By the numbers that `js/WebSocket.js` gives.
    pub(crate) fn of(number: u32) -> Self {
        const COMPRESS: u32 = 8;

        let (opcode, fin) = match number & !COMPRESS {
            0 => (Opcode::Text, true),
            1 => (Opcode::Binary, true),
            2 => (Opcode::Text, false),
            3 => (Opcode::Binary, false),
            4 => (Opcode::Continuation, false),
            _ => (Opcode::Continuation, true),
        };
        Self { opcode, fin, compress: number & COMPRESS != 0 }
    }
}

/// `webSocketSendText(message)` with the kind in, and the status out, for strings. One that is dropped is not looked at.
pub(crate) fn send_text<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (id, Kind { opcode, fin, compress }) = registered(call);
    let (js, message, environment) = (call.js, call.arguments[0], call.environment);
    let mut appended = Ok(true);
    let status = if compress {
        let mut text = environment.scratch.take();
        text.clear();
        let status = environment.reactor.send_compressed(id, opcode, || {
            appended = js.append_string(message, &mut text);
            &text
        });
        environment.scratch.set(text);
        status
    } else {
        let append = |output: &mut Vec<u8>| appended = js.append_string(message, output);
        environment.reactor.send_with(id, opcode, fin, append)
    }?;
    appended?;
    finish_send(call, id, opcode, status)
}

/// `webSocketSend(message)`, for anything else.
pub(crate) fn send<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (id, Kind { opcode, fin, compress }) = registered(call);
    // Fragments are not compressed: the context that all share could not wait for the next one.
    let compress = compress && fin && opcode != Opcode::Continuation;
    let send = |reactor: &Reactor, message: Bytes<'_>| match message {
        Bytes::Own(message) if compress => reactor.send_compressed(id, opcode, || message),
        Bytes::Own(message) => reactor.send(id, opcode, fin, message),
        // One that is dropped is not copied.
        Bytes::Shared(_) if compress => {
            let mut copy = Vec::new();
            reactor.send_compressed(id, opcode, || {
                message.append_to(&mut copy);
                &copy
            })
        }
        Bytes::Shared(_) => reactor.send_with(id, opcode, fin, |output| message.append_to(output)),
    };
    let status = call.with_buffer(0, send)??;
    finish_send(call, id, opcode, status)
}

/// The connection and the kind of a message that is to be sent.
fn registered<const N: usize>(call: &Call<'_, N>) -> (ConnectionId, Kind) {
    let registers = &call.environment.registers;
    let id = ConnectionId { slot: registers.get(Register::Slot), generation: registers.get(Register::Generation) };
    (id, Kind::of(registers.get(Register::Value)))
}

fn finish_send<'s>(call: &Call<'s, 1>, id: ConnectionId, opcode: Opcode, status: SendStatus) -> Returned<'s> {
    let environment = call.environment;
    // What was published and is delivered first may have been too much already.
    environment.tell_dropped();
    // Nobody else wants to know what the message was.
    if status == SendStatus::Dropped
        && let Some(behavior) = environment.told_of_dropped(environment.reactor.check_websocket(id)?)
    {
        let message = call.bytes(0)?;
        environment.dropped(behavior, id, &message, opcode == Opcode::Binary);
    }
    environment.registers.set(Register::Value, status as u32);
    Ok(None)
}

/// `webSocketPing(slot, generation, message): status`
pub(crate) fn ping<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    /// A ping carries no more of a string, however long that is.
    const ROOM: usize = MAX_CONTROL_PAYLOAD + 1;

    let (id, reactor) = (call.id()?, &call.environment.reactor);
    let (js, message) = (call.js, call.arguments[2]);
    let status = if js.string_length(message)?.is_some() {
        let mut appended = Ok(());
        let append = |output: &mut Vec<u8>| appended = js.append_prefix::<ROOM>(message, output);
        let status = reactor.send_with(id, Opcode::Ping, true, append)?;
        appended?;
        status
    } else {
        let send = |reactor: &Reactor, message: Bytes<'_>| {
            message.first(MAX_CONTROL_PAYLOAD).with(|message| reactor.ping(id, message))
        };
        call.with_buffer(2, send)??
    };
    Ok(Some(call.js.number(status as u32)?))
}

/// `webSocketEnd(slot, generation, code, reason)`
pub(crate) fn end<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    environment.reactor.check_websocket(id)?;
    let code = close_code(call.js, call.arguments[2])?;
    // Copied: the close handler runs inside and is given its own.
    let reason = call.bytes(3)?;
    match environment.reactor.end(id, code, &reason, environment) {
        Ok(()) => Ok(None),
        Err(EndError::Stale) => Err(Error::WebSocketClosed),
        Err(EndError::InvalidCode(_)) => Err(invalid_number(call.js, "code", CLOSE_CODES, call.arguments[2])?),
    }
}

/// What a close code must be.
const CLOSE_CODES: &str = "1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4)";

/// A number that a Close frame has room for; `None` for `undefined`.
fn close_code(js: Js<'_>, value: Value<'_>) -> Result<Option<u16>, Error> {
    if js.is_undefined(value)? {
        return Ok(None);
    }
    let number = number_of(js, value)?;
    if !(number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number)) {
        return Err(invalid_number(js, "code", CLOSE_CODES, value)?);
    }
    #[expect(clippy::cast_sign_loss, reason = "checked not to be below 0")]
    Ok(Some(number as u16))
}

/// `webSocketClose(slot, generation)`
pub(crate) fn close<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let environment = call.environment;
    environment.reactor.close(call.id()?, environment)?;
    Ok(None)
}

/// `webSocketPause(slot, generation)`
pub(crate) fn pause<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.pause_websocket(call.id()?)?;
    Ok(None)
}

/// `webSocketResume(slot, generation)`
pub(crate) fn resume<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    call.environment.reactor.resume_websocket(call.id()?)?;
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

/// `webSocketAddress(slot, generation, proxied, asText): ArrayBuffer`
pub(crate) fn address<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    address_of(call, Error::from)
}

/// `webSocketPort(slot, generation, proxied): number`
pub(crate) fn port<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    port_of(call, Error::from)
}
