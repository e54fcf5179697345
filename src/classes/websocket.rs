//! `WebSocket`, except for its topics.

use milliways_net::{ConnectionId, EndError, Reactor, SendStatus};
use milliways_proto::ws::{MAX_CONTROL_PAYLOAD, Opcode};

use super::address::{address_of, port_of};
use super::cork;
use super::number::{invalid_number, number_of};
use crate::call::{Call, Returned};
use crate::error::Error;
use crate::node::{Bytes, Js, Value};
use crate::registers::Register;

/// How a message is sent or published.
pub(super) struct Kind {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// Whether it is compressed for clients with which compression has been negotiated.
    pub(super) compress: bool,
}

impl Kind {
    /// The kind for a number from `js/WebSocket.js`.
    pub(super) fn of(number: u32) -> Self {
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

/// `webSocketSendText(message)` for a string; the registers hold the connection and the kind, and the status afterwards. A
/// message that is dropped is not encoded.
pub(crate) fn send_text<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (id, Kind { opcode, fin, compress }) = registered(call);
    let (js, message, environment) = (call.js, call.arguments[0], call.environment);
    let mut appended = Ok(true);
    let status = if compress {
        environment.scratch.with(|text| {
            environment.reactor.send_compressed(id, opcode, || {
                appended = js.append_string(message, text);
                text
            })
        })
    } else {
        let append = |output: &mut Vec<u8>| appended = js.append_string(message, output);
        environment.reactor.send_with(id, opcode, fin, append)
    }?;
    appended?;
    return_status(call, status);
    Ok(None)
}

/// `webSocketSend(message)` for anything else; the registers are used as by `webSocketSendText`.
pub(crate) fn send<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (id, Kind { opcode, fin, compress }) = registered(call);
    // Fragments are not compressed: the context that all connections share could not wait for the next one.
    let compress = compress && fin && opcode != Opcode::Continuation;
    let send = |reactor: &Reactor, message: Bytes<'_>| match message {
        Bytes::Own(message) if compress => reactor.send_compressed(id, opcode, || message),
        Bytes::Own(message) => reactor.send(id, opcode, fin, message),
        // Shared memory is copied only if the message is not dropped.
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
    return_status(call, status);
    Ok(None)
}

/// The connection and the kind of a message to be sent.
fn registered<const N: usize>(call: &Call<'_, N>) -> (ConnectionId, Kind) {
    let registers = &call.environment.registers;
    let id = ConnectionId::new(registers.get(Register::Slot), registers.get(Register::Generation));
    (id, Kind::of(registers.get(Register::Value)))
}

/// What becomes of a message goes into a register.
fn return_status(call: &Call<'_, 1>, status: SendStatus) {
    call.environment.registers.set(Register::Value, status as u32);
}

/// `webSocketPing(slot, generation, message): status`
pub(crate) fn ping<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    /// A ping carries no more of a string, however long that is. One byte is for the terminating NUL.
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
    // A copy, because the close handler, which runs inside of this call, may change the original.
    let reason = call.bytes(3)?;
    match environment.reactor.end(id, code, &reason) {
        Ok(()) => Ok(None),
        Err(EndError::Stale) => Err(Error::WebSocketClosed),
        Err(EndError::InvalidCode(_)) => Err(invalid_number(call.js, "code", CLOSE_CODES, call.arguments[2])?),
    }
}

/// The close codes that a program may send.
pub(super) const CLOSE_CODES: &str = "1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4)";

/// A number that fits into a Close frame; `None` for `undefined`.
pub(super) fn close_code(js: Js<'_>, value: Value<'_>) -> Result<Option<u16>, Error> {
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
    environment.reactor.close(call.id()?)?;
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

/// `webSocketCork(slot, generation): outer`, to be passed to `uncork`.
pub(crate) fn cork<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    cork::outer(call, call.environment.reactor.cork(call.id()?)?)
}

/// `webSocketAddress(slot, generation, proxied, asText): ArrayBuffer`
pub(crate) fn address<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    address_of(call, Error::from)
}

/// `webSocketPort(slot, generation, proxied): number`
pub(crate) fn port<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    port_of(call, Error::from)
}
