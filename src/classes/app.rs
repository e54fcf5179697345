//! `App`: routes, listening, closing.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use milliways_net::{AppId, BehaviorId, DomainId, ListenError, ListenerId, Route, RouteId};
use milliways_proto::http::{Declared, Method};
use milliways_proto::router::RouteKind;

use super::number::{invalid_number, number_of};
use super::options::{app_settings, websocket_settings};
use super::websocket::{CLOSE_CODES, close_code};
use crate::call::{Call, Returned};
use crate::error::Error;
use crate::handlers::{BehaviorCallbacks, Holder};
use crate::node::Callback;
use crate::scopes::Scope;

/// Methods by their numbers in `js/App.js`.
const METHODS: [Method; Method::COUNT] = [
    Method::Get,
    Method::Post,
    Method::Options,
    Method::Delete,
    Method::Patch,
    Method::Put,
    Method::Head,
    Method::Connect,
    Method::Trace,
];

/// `createApp(options, holder): app`; the holder is an object that only the app's object holds.
pub(crate) fn create<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let settings = app_settings(call.js, call.arguments[0])?;
    let holder = Holder::new(call.js, call.arguments[1])?;
    let app = call.environment.reactor.add_app(settings);
    call.environment.callbacks.borrow_mut().holders.insert(app.0, holder);
    Ok(Some(call.js.number(app.0)?))
}

/// `releaseApp(app)`: the app's object has been collected.
pub(crate) fn release_app<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    if let Some(holder) = environment.callbacks.borrow_mut().holders.get_mut(&app.0) {
        holder.release();
    }
    environment.reactor.note_quiet(app);
    Ok(None)
}

/// `releaseContexts(behavior)`: every context that could still upgrade a request to the route's WebSockets has been collected.
pub(crate) fn release_contexts<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (environment, behavior) = (call.environment, BehaviorId(call.u32(0)?));
    if let Some(callbacks) = environment.callbacks.borrow_mut().behaviors.get_mut(behavior) {
        callbacks.has_contexts.set(false);
        callbacks.app.into_iter().for_each(|app| environment.reactor.note_quiet(app));
    }
    environment.reactor.note_unused(behavior);
    Ok(None)
}

/// `closeApp(app)`
pub(crate) fn close<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let environment = call.environment;
    let mark = environment.reactor.mark();
    environment.reactor.close_app(AppId(call.u32(0)?), || environment.handle_caused(mark));
    environment.update_liveness();
    Ok(None)
}

/// `shutDownApp(app, code, reason, timeout, done)`; `timeout` is in milliseconds, and Infinity means none. `done` is called with
/// the numbers of connections that have ended in order and of those that have been cut.
pub(crate) fn shut_down<'s>(call: &Call<'s, 5>) -> Returned<'s> {
    const TIMEOUT: &str = "a number of milliseconds that is not below 0";

    let (environment, js, app) = (call.environment, call.js, AppId(call.u32(0)?));
    let refused = || invalid_number(js, "code", CLOSE_CODES, call.arguments[1]);
    let code = close_code(js, call.arguments[1])?;
    let reason = call.bytes(2)?;
    let timeout = number_of(js, call.arguments[3])?;
    if timeout.is_nan() || timeout < 0.0 {
        return Err(invalid_number(js, "timeout", TIMEOUT, call.arguments[3])?);
    }
    let Some(done) = Callback::new(js, call.arguments[4])? else {
        return Err(Error::Internal("no callback".to_owned()));
    };
    let deadline =
        Duration::try_from_secs_f64(timeout / 1000.0).ok().and_then(|after| Instant::now().checked_add(after));
    environment.callbacks.borrow_mut().shutdowns.insert(app.0, done);
    if environment.reactor.shut_down(app, code.unwrap_or_default(), &reason, deadline).is_err() {
        environment.callbacks.borrow_mut().shutdowns.remove(&app.0);
        return Err(refused()?);
    }
    environment.update_liveness();
    Ok(None)
}

/// `addRoute(app, domain, method, pattern, handler | declared | undefined)`: `undefined` removes the route; a number that no
/// method has means any. A declared response is an `ArrayBuffer`.
pub(crate) fn add_route<'s>(call: &Call<'s, 5>) -> Returned<'s> {
    let environment = call.environment;
    let (app, domain) = (AppId(call.u32(0)?), DomainId(call.u32(1)?));
    let (method, pattern) = (call.u32(2)?, call.text(3)?);
    let kind = METHODS.get(method as usize).map_or(RouteKind::Any, |method| RouteKind::Method(*method));
    let route = match Callback::new(call.js, call.arguments[4])? {
        Some(callback) => {
            let key = environment.callbacks.borrow_mut().routes.insert(callback);
            Some(Route::Http(RouteId(u32::try_from(key).expect("a route takes more than a byte"))))
        }
        None if call.js.is_undefined(call.arguments[4])? => None,
        None => Some(Route::Declared(Rc::new(call.with_bytes(4, |_, bytes| Declared::parse(bytes))??))),
    };
    environment.reactor.note_quiet(app);
    match environment.reactor.route(app, domain, kind, &pattern, route.clone()) {
        Ok(replaced) => environment.forget(replaced.as_ref()),
        Err(error) => {
            environment.forget(route.as_ref());
            return Err(error.into());
        }
    }
    Ok(None)
}

/// `setFilter(app, function)`: `function` is called with slot, generation, and 1 or -1.
pub(crate) fn set_filter<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    if let Some(callback) = Callback::new(call.js, call.arguments[1])? {
        environment.callbacks.borrow_mut().filters.insert(app.0, callback);
        environment.reactor.note_quiet(app);
        environment.reactor.count_connections(app);
    }
    Ok(None)
}

/// `leaveOutName()`: responses have no header that names the server.
#[expect(clippy::unnecessary_wraps, reason = "the form of an exported function")]
pub(crate) fn leave_out_name<'s>(call: &Call<'s, 0>) -> Returned<'s> {
    call.environment.reactor.leave_out_name();
    Ok(None)
}

/// `addWebSocketRoute(app, domain, pattern, options, open, message, dropped, drain, close, ping, pong, upgrade, subscription,
/// drains, longestString)`; `drains`: microtasks and nextTicks run before an event is over; `longestString`: the length of the
/// longest possible string in UTF-16 code units.
pub(crate) fn add_websocket_route<'s>(call: &Call<'s, 15>) -> Returned<'s> {
    let environment = call.environment;
    let (app, domain, pattern) = (AppId(call.u32(0)?), DomainId(call.u32(1)?), call.text(2)?);
    let mut settings = websocket_settings(call.js, call.arguments[3])?;
    let text_as_string = call.js.to_bool(call.js.get(call.arguments[3], c"textAsString")?)?;
    let callback = |index: usize| Callback::new(call.js, call.arguments[index]);
    let callbacks = BehaviorCallbacks {
        app: Some(app),
        has_contexts: Cell::new(false),
        open: callback(4)?,
        message: callback(5)?,
        dropped: callback(6)?,
        drain: callback(7)?,
        close: callback(8)?,
        ping: callback(9)?,
        pong: callback(10)?,
        upgrade: callback(11)?,
        subscription: callback(12)?,
        scope: if call.bool(13)? { Scope::Own } else { Scope::Batch },
        text_as_string,
    };
    settings.tells_dropped = callbacks.dropped.is_some();
    settings.tells_subscriptions = callbacks.subscription.is_some();
    if text_as_string {
        settings.max_text = call.u32(14)? as usize;
    }
    let behavior = environment.reactor.add_behavior(app, settings, callbacks.upgrade.is_some());
    environment.callbacks.borrow_mut().behaviors.insert(behavior, callbacks);
    environment.reactor.note_quiet(app);
    let route = Route::WebSocket(behavior);
    match environment.reactor.route(app, domain, RouteKind::Upgrade, &pattern, Some(route.clone())) {
        Ok(replaced) => environment.forget(replaced.as_ref()),
        Err(error) => {
            environment.forget(Some(&route));
            return Err(error.into());
        }
    }
    Ok(None)
}

/// `setResponseHandlers(aborted, data, collected, writable, answered)`: all are called with the slot of a response. `data` is
/// also called with the bytes and the number of those to come (-1 if it is unknown), `collected` with the bytes, or `null` if
/// there are too many, and `writable` with the number of bytes that have been written.
pub(crate) fn set_response_handlers<'s>(call: &Call<'s, 5>) -> Returned<'s> {
    let callback = |index: usize| Callback::new(call.js, call.arguments[index]);
    let (aborted, data, collected, writable) = (callback(0)?, callback(1)?, callback(2)?, callback(3)?);
    let answered = callback(4)?;
    let callbacks = &mut *call.environment.callbacks.borrow_mut();
    (callbacks.aborted, callbacks.data) = (aborted, data);
    (callbacks.collected, callbacks.writable, callbacks.answered) = (collected, writable, answered);
    Ok(None)
}

/// `listen(app, host | undefined, port, exclusive): listener`, or libuv's number of an error, which is below 0. An empty host
/// means all addresses, too.
pub(crate) fn listen<'s>(call: &Call<'s, 4>) -> Returned<'s> {
    let environment = call.environment;
    let (app, port, exclusive) = (AppId(call.u32(0)?), call.u32(2)?, call.bool(3)?);
    let host = if call.js.is_undefined(call.arguments[1])? { None } else { Some(call.text(1)?) };
    let host = host.as_deref().filter(|host| !host.is_empty());
    let port = u16::try_from(port).map_err(|_| Error::Internal(format!("a port of {port}")))?;
    environment.hold(call.js, app)?;
    let listening = environment.reactor.listen(app, host, port, exclusive);
    listened(call, app, listening)
}

/// `listenUnix(app, path): listener`, or the number of an error as by `listen`.
pub(crate) fn listen_unix<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let (app, path) = (AppId(call.u32(0)?), call.text(1)?);
    let environment = call.environment;
    environment.hold(call.js, app)?;
    let listening = environment.reactor.listen_unix(app, Path::new(&path));
    listened(call, app, listening)
}

fn listened<'s, const N: usize>(
    call: &Call<'s, N>,
    app: AppId,
    listening: Result<ListenerId, ListenError>,
) -> Returned<'s> {
    /// libuv's `UV_EAI_AGAIN` and `UV_EAI_NONAME`. Its other numbers are the system's, negated.
    const EAI_AGAIN: i32 = -3001;
    const EAI_NONAME: i32 = -3008;

    // If listening has failed the app is as quiet as before.
    call.environment.reactor.note_quiet(app);
    call.environment.update_liveness();
    Ok(Some(match listening {
        Ok(listener) => call.js.number(listener.0)?,
        Err(ListenError::HostNotFound) => call.js.double(EAI_NONAME.into())?,
        Err(ListenError::LookupFailed) => call.js.double(EAI_AGAIN.into())?,
        Err(ListenError::System(number)) => call.js.double((-number).into())?,
    }))
}

/// `closeListener(listener)`
pub(crate) fn close_listener<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.reactor.close_listener(ListenerId(call.u32(0)?));
    call.environment.update_liveness();
    Ok(None)
}

/// `localPort(listener): port`, 65,536 if the listener is closed.
pub(crate) fn local_port<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let port = call.environment.reactor.local_port(ListenerId(call.u32(0)?));
    Ok(Some(call.js.number(port.map_or(1 << 16, u32::from))?))
}

/// `localAddress(listener): string`, empty if the listener is closed or has no address.
pub(crate) fn local_address<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let address = call.environment.reactor.local_address(ListenerId(call.u32(0)?));
    Ok(Some(call.js.string(&address.map_or_else(String::new, |address| address.ip().to_string()))?))
}

/// `stats(): { connections, websockets, listeners, apps, domains, behaviors, routes }`
pub(crate) fn stats<'s>(call: &Call<'s, 0>) -> Returned<'s> {
    let (js, stats, kept) = (call.js, call.environment.reactor.stats(), call.environment.reactor.kept());
    let routes = call.environment.callbacks.borrow().routes.len();
    let object = js.object()?;
    js.define(object, c"connections", js.size(stats.connections)?)?;
    js.define(object, c"websockets", js.size(stats.websockets)?)?;
    js.define(object, c"listeners", js.size(stats.listeners)?)?;
    js.define(object, c"apps", js.size(kept.apps)?)?;
    js.define(object, c"domains", js.size(kept.domains)?)?;
    js.define(object, c"behaviors", js.size(kept.behaviors)?)?;
    js.define(object, c"routes", js.size(routes)?)?;
    Ok(Some(object))
}
