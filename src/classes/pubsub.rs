//! Publish and subscribe, for `App` and `WebSocket`.

use milliways_net::{AppId, Reactor, Stale, SubscribeError};

use super::websocket::Kind;
use crate::call::{Call, Returned};
use crate::error::Error;
use crate::node::Bytes;

/// The number of UTF-16 code units from which on encoding a string takes longer than finding out whether that is needed.
const LONG: usize = 16 * 1024;

/// `publish(app, topic, message, kind): boolean`, whether the topic has subscribers. The kind is a whole message's.
pub(crate) fn publish<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let app = AppId(call.u32(0)?);
    let topic = call.bytes(1)?;
    let Kind { opcode, compress, .. } = Kind::of(call.u32(3)?);
    let published = publish_unless_in_vain(
        call,
        2,
        |reactor| Ok(reactor.publish_in_vain(app, &topic)),
        |reactor, message| Ok(reactor.publish(app, &topic, opcode, message, compress)),
    )?;
    Ok(Some(call.js.boolean(published)?))
}

/// `webSocketPublish(slot, generation, topic, message, kind): boolean`, as `publish`.
pub(crate) fn publish_from<'s>(call: &Call<'s, 5>) -> Returned<'s> {
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
    Ok(Some(call.js.boolean(published)?))
}

/// Publishes the argument at `index` unless `in_vain` knows the result without it: then a long string is not encoded, and
/// shared memory not copied.
fn publish_unless_in_vain<const N: usize>(
    call: &Call<'_, N>,
    index: usize,
    in_vain: impl Fn(&Reactor) -> Result<Option<bool>, Stale> + Copy + Send,
    publish: impl FnOnce(&Reactor, &[u8]) -> Result<bool, Stale> + Send,
) -> Result<bool, Error> {
    if call.js.string_length(call.arguments[index])?.is_some_and(|length| length >= LONG)
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

/// `numSubscribers(app, topic): number`
pub(crate) fn num_subscribers<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let app = AppId(call.u32(0)?);
    let count = call.with_bytes(1, |reactor, topic| reactor.subscribers(app, topic))?;
    Ok(Some(call.js.size(count)?))
}

/// `webSocketSubscribe(slot, generation, topic): boolean`, whether the WebSocket may have the topic.
pub(crate) fn subscribe<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    reactor.check_websocket(id)?;
    call.check_depth()?;
    let is_subscribed = match reactor.subscribe(id, &call.bytes(2)?) {
        Ok(_) => true,
        Err(SubscribeError::TooManyTopics) => false,
        Err(SubscribeError::Stale) => return Err(Stale.into()),
    };
    Ok(Some(call.js.boolean(is_subscribed)?))
}

/// `webSocketUnsubscribe(slot, generation, topic): boolean`, whether there was a subscription.
pub(crate) fn unsubscribe<'s>(call: &Call<'s, 3>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    reactor.check_websocket(id)?;
    call.check_depth()?;
    let change = reactor.unsubscribe(id, &call.bytes(2)?)?;
    Ok(Some(call.js.boolean(change.is_some())?))
}

/// `webSocketUnsubscribeAll(slot, generation)`
pub(crate) fn unsubscribe_all<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (id, reactor) = (call.id()?, &call.environment.reactor);
    call.check_depth()?;
    // The last one is found first.
    for topic in reactor.topics(id)?.iter().rev() {
        // Its handler may end the others.
        let mark = reactor.mark();
        reactor.unsubscribe(id, topic)?;
        call.environment.handle_caused(mark);
    }
    Ok(None)
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
