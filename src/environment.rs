//! What there is for one Node environment: a reactor, its handles in the loop, and the functions that events go to.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::raw::c_void;
use std::ptr::{self, NonNull};
use std::time::Instant;

use milliways_net::{AppId, Reactor};
use napi_sys as sys;
use slab::Slab;

use crate::call::{Call, Returned, export};
use crate::classes::http_request::CurrentRequest;
use crate::classes::{app, http_request, http_response, parts, store, tls, websocket};
use crate::error::Error;
use crate::events::Ended;
use crate::lifetime;
use crate::lifetime::{Behaviors, Holder};
use crate::node::{AsyncContext, Callback, CallbackScope, Failed, HandleScope, Js, Memory, Reference, Value};
use crate::registers::Registers;
use crate::uv::{Handles, Loop};

/// State of one Node environment. Lives from the loading of the addon until the environment's loop has closed our
/// handles.
pub(crate) struct Environment {
    /// Dropped first: sockets before the descriptor that watches them.
    pub(crate) reactor: Reactor,
    env: sys::napi_env,
    async_context: AsyncContext,
    pub(crate) callbacks: RefCell<Callbacks>,
    /// The scopes that the events of one turn share; open at most while a turn is under way.
    pub(crate) batch: Cell<Option<Batch>>,
    /// Something is being done that a callback of the loop is for.
    pub(crate) is_running: Cell<bool>,
    /// How many batches there have been.
    batches: Cell<u64>,
    /// The number of the batch that is open. Only that of the innermost is known: whoever opens one inside another, which
    /// a nested event loop does, restores it.
    pub(crate) batch_number: Cell<u64>,
    /// How many calls from JavaScript are under way, each but the first in a handler that the one before has caused to be
    /// called. In them scopes are open, and events are plain calls.
    pub(crate) calls: Cell<u32>,
    /// What has ended in calls that are too deep for another handler.
    pub(crate) ended: RefCell<VecDeque<Ended>>,
    /// Cleared by the first sign that the environment runs no more JavaScript. None is called after that.
    is_alive: Cell<bool>,
    /// The request whose handler is running.
    pub(crate) request: CurrentRequest,
    pub(crate) registers: Registers,
    /// What handlers threw that were called inside of calls from JavaScript, to be reported when those have returned.
    thrown: RefCell<Vec<Reference>>,
    /// How many uncaughtExceptions there have been of it.
    raised: Cell<u64>,
    /// A `dropped` handler is running.
    pub(crate) is_telling_dropped: Cell<bool>,
    /// Makes a typed array of a `SharedArrayBuffer`, which Node-API does not know; returns `undefined` for anything else.
    shared_view: RefCell<Option<Callback>>,
    /// Memory for text on its way through.
    pub(crate) scratch: Cell<Vec<u8>>,
    /// The handles in the loop, until they are closed.
    pub(crate) handles: RefCell<Option<Handles>>,
    /// What the timer is set to.
    pub(crate) armed: Cell<Option<Instant>>,
}

/// Functions of JavaScript, by the numbers that the reactor knows them by.
#[derive(Default)]
pub(crate) struct Callbacks {
    /// By route.
    pub(crate) routes: Slab<Callback>,
    /// By behavior. A WebSocket keeps its behavior when the route is gone.
    pub(crate) behaviors: Behaviors,
    /// Told that a response is not wanted any more.
    pub(crate) aborted: Option<Callback>,
    /// Told that a request has been answered by no handler.
    pub(crate) answered: Option<Callback>,
    /// Told a piece of a request's body.
    pub(crate) data: Option<Callback>,
    /// Told all of it.
    pub(crate) collected: Option<Callback>,
    /// Told that a response can go on.
    pub(crate) writable: Option<Callback>,
    /// Told of connections that come and go, by app.
    pub(crate) filters: HashMap<u32, Callback>,
    /// Told of server names that an app does not have, by app.
    pub(crate) missing_names: HashMap<u32, Callback>,
    /// Who holds the handlers of an app that is quiet, by app.
    pub(crate) holders: HashMap<u32, Holder>,
}

/// The handlers of a WebSocket route.
pub(crate) struct BehaviorCallbacks {
    /// Whose they are, until that has been removed.
    pub(crate) app: Option<AppId>,
    /// Whether there may be contexts that `upgrade` was called with.
    pub(crate) has_contexts: Cell<bool>,
    pub(crate) upgrade: Option<Callback>,
    pub(crate) open: Option<Callback>,
    pub(crate) message: Option<Callback>,
    pub(crate) dropped: Option<Callback>,
    pub(crate) drain: Option<Callback>,
    pub(crate) close: Option<Callback>,
    pub(crate) ping: Option<Callback>,
    pub(crate) pong: Option<Callback>,
    pub(crate) subscription: Option<Callback>,
    /// Of all but `upgrade` and `open`, which have their own.
    pub(crate) scope: Scope,
    /// Whether `message` gets text as a string.
    pub(crate) text_as_string: bool,
}

/// Which scopes an event is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the turn: microtasks and nextTicks run when all its events have been told.
    Batch,
    /// Its own: they run before the event is over.
    Own,
}

/// Events after which microtasks and nextTicks run: letting them run costs several times as much as calling a function.
const EVENTS_PER_TICK: u32 = 64;

/// Events that are told in one handle scope. What they keep alive until it closes is small.
const EVENTS_PER_SCOPE: u32 = 512;

/// A buffer of at least so many bytes has a handle scope of its own, so that it can be collected when its handler has
/// returned.
const LARGE: usize = 4096;

/// Fields are dropped in this order.
pub(crate) struct Batch {
    /// Microtasks and nextTicks run when it closes. `None` once an async handler had to have them run.
    ticks: Option<CallbackScope>,
    /// How many uncaughtExceptions there had been when it was opened. After one Node has forgotten which resources execute,
    /// the scope's among them, and what a handler enters in an `AsyncLocalStorage` would be everybody's.
    raised: u64,
    handles: HandleScope,
    /// How many have been told.
    events: u32,
}

/// Makes the environment's state and fills `exports` with functions that work on it.
pub(crate) fn register(env: sys::napi_env, exports: sys::napi_value) -> Result<(), String> {
    // SAFETY: Node has called the addon's initializer, on the environment's thread and in a handle scope.
    let js = unsafe { Js::from_raw(env) };
    // SAFETY: the exports object belongs to the initializer's scope.
    let exports = unsafe { Value::from_raw(exports) };
    let failed = |Failed| "a Node-API call failed".to_owned();
    let async_context = AsyncContext::new(js, "milliways").map_err(failed)?;
    async_context.resource(js).and_then(|resource| js.define(exports, c"asyncResource", resource)).map_err(failed)?;
    let environment = Box::new(Environment {
        reactor: Reactor::new(Instant::now()).map_err(|error| format!("no epoll instance: {error}"))?,
        env,
        async_context,
        callbacks: RefCell::default(),
        batch: Cell::default(),
        is_running: Cell::new(false),
        batches: Cell::default(),
        batch_number: Cell::default(),
        thrown: RefCell::default(),
        raised: Cell::default(),
        is_telling_dropped: Cell::new(false),
        shared_view: RefCell::default(),
        calls: Cell::new(0),
        ended: RefCell::default(),
        is_alive: Cell::new(true),
        request: CurrentRequest::default(),
        registers: Registers::export(js, exports, c"registers").map_err(failed)?,
        scratch: Cell::default(),
        handles: RefCell::default(),
        armed: Cell::new(None),
    });
    let environment = NonNull::from(Box::leak(environment));
    // From here on the environment is freed by the cleanup hook and by nothing else.
    // SAFETY: `env` is the environment that is being initialized; `tear_down` takes this pointer.
    let status =
        unsafe { sys::napi_add_async_cleanup_hook(env, Some(tear_down), environment.as_ptr().cast(), ptr::null_mut()) };
    if status != sys::Status::napi_ok {
        return Err("no cleanup hook".to_owned());
    }
    let mut uv_loop = ptr::null_mut();
    // SAFETY: `env` is alive.
    let status = unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) };
    let uv_loop = NonNull::new(uv_loop.cast::<Loop>()).filter(|_| status == sys::Status::napi_ok);
    let uv_loop = uv_loop.ok_or("no event loop")?;
    // SAFETY: it is this thread's loop, and the environment is freed when `tear_down` has closed the handles.
    unsafe { Environment::start(environment, uv_loop) }.map_err(|error| error.to_string())?;
    export_functions(js, exports, environment.as_ptr()).map_err(failed)
}

fn export_functions(js: Js<'_>, exports: Value<'_>, environment: *const Environment) -> Result<(), Failed> {
    export!(js, exports, environment;
        c"createApp" => app::create,
        c"releaseApp" => lifetime::release_app,
        c"releaseContexts" => lifetime::release_contexts,
        c"closeApp" => app::close,
        c"addRoute" => app::add_route,
        c"setFilter" => app::set_filter,
        c"leaveOutName" => app::leave_out_name,
        c"addWebSocketRoute" => app::add_websocket_route,
        c"setResponseHandlers" => app::set_response_handlers,
        c"listen" => app::listen,
        c"listenUnix" => app::listen_unix,
        c"closeListener" => app::close_listener,
        c"localPort" => app::local_port,
        c"localAddress" => app::local_address,
        c"stats" => app::stats,
        c"secureApp" => tls::secure,
        c"addServerName" => tls::add_server_name,
        c"removeServerName" => tls::remove_server_name,
        c"findDomain" => tls::find_domain,
        c"setMissingServerName" => tls::set_missing_server_name,
        c"reloadCertificates" => tls::reload_certificates,
        c"responseCertificate" => tls::certificate,
        c"requestUrl" => http_request::url,
        c"requestQuery" => http_request::query,
        c"requestMethod" => http_request::method,
        c"requestCaseSensitiveMethod" => http_request::case_sensitive_method,
        c"requestHeader" => http_request::header,
        c"requestHeaders" => http_request::headers,
        c"requestParameter" => http_request::parameter,
        c"requestParameterAt" => http_request::parameter_at,
        c"requestQueryValue" => http_request::query_value,
        c"requestYield" => http_request::set_yield,
        c"responseCork" => http_response::cork,
        c"responseAwait" => http_response::await_response,
        c"responseStatus" => http_response::write_status,
        c"responseHeader" => http_response::write_header,
        c"responseEnd" => http_response::end,
        c"responseEndWithoutBody" => http_response::end_without_body,
        c"responseBeginWrite" => http_response::begin_write,
        c"responseWrite" => http_response::write,
        c"responseTryEnd" => http_response::try_end,
        c"responseWriteOffset" => http_response::write_offset,
        c"responseWantWritable" => http_response::want_writable,
        c"responseReceive" => http_response::receive,
        c"responseCollect" => http_response::collect,
        c"responsePause" => http_response::pause,
        c"responseResume" => http_response::resume,
        c"responseUpgrade" => http_response::upgrade,
        c"responseClose" => http_response::close,
        c"responseAbandon" => http_response::abandon,
        c"responseAddress" => http_response::address,
        c"responsePort" => http_response::port,
        c"webSocketAddress" => websocket::address,
        c"webSocketPort" => websocket::port,
        c"getParts" => parts::get_parts,
        c"store_lock" => store::lock,
        c"store_unlock" => store::unlock,
        c"store_getString" => store::get_string,
        c"store_setString" => store::set_string,
        c"store_getInteger" => store::get_integer,
        c"store_setInteger" => store::set_integer,
        c"store_incInteger" => store::inc_integer,
        c"store_getStringKeys" => store::string_keys,
        c"store_getIntegerKeys" => store::integer_keys,
        c"store_deleteString" => store::delete_string,
        c"store_deleteInteger" => store::delete_integer,
        c"store_deleteStringCollection" => store::delete_string_collection,
        c"store_deleteIntegerCollection" => store::delete_integer_collection,
        c"publish" => app::publish,
        c"numSubscribers" => app::num_subscribers,
        c"webSocketSubscribe" => websocket::subscribe,
        c"webSocketUnsubscribe" => websocket::unsubscribe,
        c"webSocketUnsubscribeAll" => websocket::unsubscribe_all,
        c"webSocketIsSubscribed" => websocket::is_subscribed,
        c"webSocketTopics" => websocket::topics,
        c"webSocketPublish" => websocket::publish,
        c"webSocketPause" => websocket::pause,
        c"webSocketResume" => websocket::resume,
        c"webSocketCork" => websocket::cork,
        c"webSocketSend" => websocket::send,
        c"webSocketSendText" => websocket::send_text,
        c"webSocketPing" => websocket::ping,
        c"webSocketEnd" => websocket::end,
        c"webSocketClose" => websocket::close,
        c"webSocketBufferedAmount" => websocket::buffered_amount,
        c"uncork" => websocket::uncork,
        c"setSharedView" => set_shared_view,
    );
    Ok(())
}

/// `setSharedView(function)`: called with a value, returns a typed array of the same memory if that is shared.
fn set_shared_view<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    *call.environment.shared_view.borrow_mut() = Callback::new(call.js, call.arguments[0])?;
    Ok(None)
}

/// The environment ends. Its loop still runs until we say that we are done, so that libuv can let go of our handles;
/// a synchronous hook would leave them open, which libuv answers with an abort.
unsafe extern "C" fn tear_down(hook: sys::napi_async_cleanup_hook_handle, environment: *mut c_void) {
    let environment = environment.cast::<Environment>();
    let finish = move || {
        // SAFETY: leaked by `register`; libuv has let go of the handles, and no JavaScript runs that could call us.
        drop(unsafe { Box::from_raw(environment) });
        // Node lives until this is called, and so do the references that have just been dropped.
        // SAFETY: the hook has not been removed.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    };
    // SAFETY: `finish` has not run.
    let alive = unsafe { &*environment };
    alive.is_alive.set(false);
    // No JavaScript of this thread is left to unlock it.
    store::release();
    match alive.handles.take() {
        Some(handles) => handles.close(Box::new(finish)),
        None => finish(),
    }
}

impl Environment {
    /// Returns the value of JavaScript that has run. What it threw instead is reported once no call from JavaScript is
    /// under way: an uncaughtException whose listeners run deep in the stack may find no room there, which ends the process.
    /// Where it failed with no exception to show for it, JavaScript has ended.
    fn settle<T>(&self, js: Js<'_>, result: Result<T, Failed>) -> Option<T> {
        if let Ok(value) = result {
            return Some(value);
        }
        let is_thrown = js.is_exception_pending() == Ok(true);
        if !is_thrown || self.postpone(js).is_err() {
            self.is_alive.set(false);
        }
        None
    }

    fn postpone(&self, js: Js<'_>) -> Result<(), Failed> {
        // Node-API keeps no references to what is no object, such as a string that was thrown.
        let holder = js.array(&[js.take_exception()?])?;
        self.thrown.borrow_mut().push(Reference::new(js, holder)?);
        Ok(())
    }

    /// Makes what was thrown uncaughtExceptions, in the order in which it was.
    fn raise_thrown(&self, js: Js<'_>) {
        loop {
            let thrown = std::mem::take(&mut *self.thrown.borrow_mut());
            if thrown.is_empty() {
                return;
            }
            self.raised.set(self.raised.get() + 1);
            for holder in thrown {
                let raised =
                    holder.value(js).and_then(|holder| js.element(holder, 0)).and_then(|it| js.raise_uncaught(it));
                if raised.is_err() {
                    self.is_alive.set(false);
                    return;
                }
            }
        }
    }

    /// Whether something that was thrown is still to be reported.
    pub(crate) fn has_thrown(&self) -> bool {
        !self.thrown.borrow().is_empty()
    }

    /// Reports what was thrown while no event was under way.
    pub(crate) fn report_thrown(&self) {
        self.event(Scope::Batch, |_| Ok(()));
    }

    /// Makes an error of ours an uncaughtException.
    pub(crate) fn report(&self, error: &Error) {
        self.event(Scope::Batch, |js| js.throw(error.to_value(js)?).and(Err::<(), _>(Failed)));
    }

    /// Runs a piece of JavaScript for an event; `None` when it threw or could not run.
    pub(crate) fn event<T>(&self, scope: Scope, run: impl for<'s> FnOnce(Js<'s>) -> Result<T, Failed>) -> Option<T> {
        if !self.is_alive.get() {
            return None;
        }
        if self.is_in_call() {
            // SAFETY: on the environment's thread, which is alive; closed before anything opened earlier.
            let Ok(handles) = (unsafe { HandleScope::open(self.env) }) else { return self.has_died() };
            return self.settle(handles.js(), run(handles.js()));
        }
        if scope == Scope::Own {
            self.run_ticks();
        }
        let Some(batch) = self.shared_batch() else { return self.has_died() };
        // SAFETY: on the environment's thread; the batch's handle scope is not closed before this event is over.
        let js = unsafe { Js::from_raw(self.env) };
        self.batch.set(Some(batch));
        let result = self.settle(js, run(js));
        self.raise_thrown(js);
        if scope == Scope::Own {
            self.run_ticks();
        }
        result
    }

    /// Runs a piece of JavaScript that is handed so many bytes, in the scope of `js` or, where that would keep much
    /// memory from being collected, in one of its own.
    pub(crate) fn with_bytes(
        &self,
        js: Js<'_>,
        length: usize,
        run: impl for<'s> FnOnce(Js<'s>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if length < LARGE {
            return run(js);
        }
        // SAFETY: on the environment's thread, which is alive, as `js` says; closed before anything opened earlier.
        let handles = unsafe { HandleScope::open(self.env) }?;
        run(handles.js())
    }

    /// The memory of an `ArrayBuffer`, a `SharedArrayBuffer` or a typed array; `None` for anything else.
    pub(crate) fn memory_of<'s>(&self, js: Js<'s>, value: Value<'s>) -> Result<Option<Memory<'s>>, Failed> {
        if let Some(memory) = js.memory(value) {
            return Ok(Some(memory));
        }
        let function = self.shared_view.borrow().as_ref().map(|function| function.function(js)).transpose()?;
        let Some(function) = function else { return Ok(None) };
        Ok(js.memory(js.call(function, &[value])?))
    }

    /// A copy of the bytes of what has memory.
    pub(crate) fn copy_of<'s>(&self, js: Js<'s>, value: Value<'s>) -> Result<Vec<u8>, Error> {
        let memory = self.memory_of(js, value)?.ok_or(Error::InvalidData)?;
        // SAFETY: it has just been asked for, and copying calls no JavaScript.
        Ok(unsafe { memory.with(|bytes| bytes.with(<[u8]>::to_vec)) }?)
    }

    /// The function that an event is told to, if there is one.
    pub(crate) fn function<'s>(
        &self,
        js: Js<'s>,
        which: impl FnOnce(&Callbacks) -> Option<&Callback>,
    ) -> Result<Option<Value<'s>>, Failed> {
        let callbacks = self.callbacks.borrow();
        let Some(callback) = which(&callbacks) else { return Ok(None) };
        if self.is_in_call() {
            return callback.function(js).map(Some);
        }
        // SAFETY: events that come from no call have the batch's handle scope, and open none of their own in it.
        unsafe { callback.function_in(js, self.batch_number.get()) }.map(Some)
    }

    /// The batch that is open, with its scopes, or a new one.
    fn shared_batch(&self) -> Option<Batch> {
        let mut batch = self.batch.take();
        if let Some(told) = &mut batch
            && (told.events.is_multiple_of(EVENTS_PER_TICK) || told.raised != self.raised.get())
        {
            drop(told.ticks.take());
            if told.events == EVENTS_PER_SCOPE {
                drop(batch.take());
            }
            // What ran then may have ended the environment.
            if !self.is_alive() {
                return None;
            }
        }
        let mut batch = if let Some(batch) = batch {
            batch
        } else {
            let number = self.batches.get() + 1;
            self.batches.set(number);
            self.batch_number.set(number);
            // SAFETY: on the environment's thread, which is alive; closed after all that is opened inside.
            Batch { ticks: None, raised: 0, handles: unsafe { HandleScope::open(self.env) }.ok()?, events: 0 }
        };
        if batch.ticks.is_none() {
            batch.ticks = Some(self.async_context.open(batch.handles.js()).ok()?);
            batch.raised = self.raised.get();
        }
        batch.events += 1;
        Some(batch)
    }

    /// Runs microtasks and nextTicks, and closes the scopes that events shared.
    pub(crate) fn end_batch(&self) {
        // Out of its place: what runs then comes by calls, not by events.
        drop(self.batch.take());
    }

    /// Runs microtasks and nextTicks in the middle of an event, unless JavaScript that is under way will see to them.
    pub(crate) fn run_ticks(&self) {
        if self.is_in_call() {
            return;
        }
        if let Some(mut batch) = self.batch.take() {
            drop(batch.ticks.take());
            self.batch.set(Some(batch));
        }
    }

    fn is_in_call(&self) -> bool {
        self.calls.get() > 0
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.get()
    }

    fn has_died<T>(&self) -> Option<T> {
        self.is_alive.set(false);
        None
    }
}
