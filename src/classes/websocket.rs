//! `WebSocket`.

use milliways_net::{ConnectionId, EndError, Reactor, SendStatus, Stale};
use milliways_proto::ws::{MAX_CONTROL_PAYLOAD, Opcode};

use super::http_response::{address_of, port_of};
use super::options::{invalid_number, number_of};
use crate::call::{Call, Returned};
use crate::environment::Environment;
use crate::error::Error;
use crate::node::{Bytes, Js, Value};
use crate::registers::Register;

/// Says that nothing was corked before.
pub(crate) const NO_SLOT: u32 = u32::MAX;

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

/// `webSocketSubscribe(slot, generation, topic)`
pub(crate) fn subscribe<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    let behavior = environment.reactor.check_websocket(id)?;
    call.check_depth()?;
    let topic = call.bytes(2)?;
    if let Some(change) = environment.reactor.subscribe(id, &topic)? {
        environment.subscription(behavior, id, &topic, change);
    }
    Ok(None)
}

/// `webSocketUnsubscribe(slot, generation, topic): boolean`, whether there was a subscription.
pub(crate) fn unsubscribe<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let id = call.id()?;
    call.environment.reactor.check_websocket(id)?;
    call.check_depth()?;
    let topic = call.bytes(2)?;
    Ok(Some(call.js.boolean(end_subscription(call.environment, id, &topic)?)?))
}

/// `webSocketUnsubscribeAll(slot, generation)`
pub(crate) fn unsubscribe_all<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let id = call.id()?;
    call.check_depth()?;
    // The last one is found first.
    for topic in call.environment.reactor.topics(id)?.iter().rev() {
        end_subscription(call.environment, id, topic)?;
    }
    Ok(None)
}

fn end_subscription(environment: &Environment, id: ConnectionId, topic: &[u8]) -> Result<bool, Error> {
    let behavior = environment.reactor.check_websocket(id)?;
    let change = environment.reactor.unsubscribe(id, topic)?;
    environment.tell_dropped();
    if let Some(change) = change {
        environment.subscription(behavior, id, topic, change);
    }
    Ok(change.is_some())
}

/// `webSocketIsSubscribed(slot, generation, topic): boolean`
pub(crate) fn is_subscribed<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let id = call.id()?;
    let is_subscribed = call.with_bytes(2, |reactor, topic| reactor.is_subscribed(id, topic))??;
    Ok(Some(call.js.boolean(is_subscribed)?))
}

/// `webSocketTopics(slot, generation): (string | ArrayBuffer)[]`
pub(crate) fn topics<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (js, topics) = (call.js, call.environment.reactor.topics(call.id()?)?);
    let names: Result<Vec<_>, _> = topics.iter().map(|topic| js.text_or_bytes(topic)).collect();
    Ok(Some(js.array(&names?)?))
}

/// `webSocketPublish(slot, generation, topic, message, kind): boolean`; of kinds, there are those of whole messages.
pub(crate) fn publish<'s>(call: &Call<'s, 5>) -> Returned<'s> {
    let (id, environment) = (call.id()?, call.environment);
    environment.reactor.check_websocket(id)?;
    let topic = call.bytes(2)?;
    let Kind { opcode, compress, .. } = Kind::of(call.u32(4)?);
    let published = publish_unless_in_vain(
        call,
        3,
        |reactor| reactor.publish_in_vain_from(id, &topic),
        |reactor, message| reactor.publish_from(id, &topic, opcode, message, compress),
    )?;
    environment.tell_dropped();
    Ok(Some(call.js.boolean(published)?))
}

/// Publishes the argument number `index`, unless `in_vain` knows what comes of that: then a long text is not encoded, and shared
/// memory not copied.
pub(crate) fn publish_unless_in_vain<const N: usize>(
    call: &Call<'_, N>,
    index: usize,
    in_vain: impl Fn(&Reactor) -> Result<Option<bool>, Stale> + Copy + Send,
    publish: impl FnOnce(&Reactor, &[u8]) -> Result<bool, Stale> + Send,
) -> Result<bool, Error> {
    if call.is_long_text(index)?
        && let Some(published) = in_vain(&call.environment.reactor)?
    {
        return Ok(published);
    }
    let publish = move |reactor: &Reactor, message: Bytes<'_>| {
        if matches!(message, Bytes::Shared(_))
            && let Some(published) = in_vain(reactor)?
        {
            return Ok(published);
        }
        message.with(|message| publish(reactor, message))
    };
    Ok(call.with_any(index, publish)??)
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
