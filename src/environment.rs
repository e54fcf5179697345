//! What there is for one Node environment: a reactor, its handles in the loop, and the functions that events go to.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::os::raw::c_void;
use std::ptr::{self, NonNull};
use std::time::Instant;

use milliways_net::Reactor;
use napi_sys as sys;
use slab::Slab;

use crate::call::export;
use crate::callback::Callback;
use crate::error::Error;
use crate::http_request::CurrentRequest;
use crate::registers::Registers;
use crate::uv::{Handles, Loop};
use crate::value::{AsyncContext, CallbackScope, Failed, HandleScope, Js, Value};
use crate::{app, http_request, http_response, parts, store, tls, websocket};

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
    /// How many batches there have been, of which the last may be open.
    batches: Cell<u64>,
    /// A call from JavaScript is under way, so that its scopes are open and events it causes are plain calls.
    pub(crate) in_call: Cell<bool>,
    /// Cleared by the first sign that the environment runs no more JavaScript. None is called after that.
    is_alive: Cell<bool>,
    /// The request whose handler is running.
    pub(crate) request: CurrentRequest,
    pub(crate) registers: Registers,
    /// What belongs to the batch, but is not moved with it.
    pub(crate) lent: RefCell<Lent>,
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
    /// By behavior. Never removed: a WebSocket keeps its behavior when the route is gone.
    pub(crate) behaviors: Vec<BehaviorCallbacks>,
    /// Told that a response is not wanted any more.
    pub(crate) aborted: Option<Callback>,
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
}

/// The handlers of a WebSocket route.
pub(crate) struct BehaviorCallbacks {
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

/// Bytes that handlers may have been lent until then.
const LENT_PER_TICK: usize = 64 * 1024;

/// Events that are told in one handle scope. What they keep alive until it closes are small objects.
const EVENTS_PER_SCOPE: u32 = 512;

/// Fields are dropped in this order.
pub(crate) struct Batch {
    /// `None` once an async handler had to have its ticks run.
    ticks: Option<CallbackScope>,
    handles: HandleScope,
    /// How many have been told.
    events: u32,
}

/// Buffers that handlers were lent. They lose their memory when the ticks have run, one with each that is lent anew: its
/// memory is what the next one's is made of then, which is faster than to free a lot of it at once.
#[derive(Default)]
pub(crate) struct Lent {
    /// Their handles are those of the batch's scope. The oldest is first.
    buffers: VecDeque<sys::napi_value>,
    /// Of how many the ticks have run.
    over: usize,
    /// Bytes of the others.
    bytes: usize,
}

/// Makes the environment's state and fills `exports` with functions that work on it.
pub(crate) fn register(env: sys::napi_env, exports: sys::napi_value) -> Result<(), String> {
    // SAFETY: Node has called the addon's initializer, on the environment's thread and in a handle scope.
    let js = unsafe { Js::from_raw(env) };
    // SAFETY: the exports object belongs to the initializer's scope.
    let exports = unsafe { Value::from_raw(exports) };
    let failed = |Failed| "a Node-API call failed".to_owned();
    let environment = Box::new(Environment {
        reactor: Reactor::new(Instant::now()).map_err(|error| format!("no epoll instance: {error}"))?,
        env,
        async_context: AsyncContext::new(js, "milliways").map_err(failed)?,
        callbacks: RefCell::default(),
        batch: Cell::default(),
        batches: Cell::default(),
        lent: RefCell::default(),
        in_call: Cell::new(false),
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
    );
    Ok(())
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
    /// Notes that JavaScript has ended if a call failed with no exception to show for it; otherwise makes the exception
    /// an uncaughtException.
    pub(crate) fn settle<T>(&self, js: Js<'_>, result: Result<T, Failed>) -> Option<T> {
        if let Ok(value) = result {
            return Some(value);
        }
        let is_thrown = js.is_exception_pending() == Ok(true);
        if !is_thrown || js.take_exception().and_then(|exception| js.raise_uncaught(exception)).is_err() {
            self.is_alive.set(false);
        }
        None
    }

    /// Makes an error of ours an uncaughtException.
    pub(crate) fn report(&self, error: &Error) {
        self.event(Scope::Batch, |js| js.raise_uncaught(error.to_value(js)?));
    }

    /// Runs a piece of JavaScript for an event; `None` when it threw or could not run.
    pub(crate) fn event<T>(&self, scope: Scope, run: impl for<'s> FnOnce(Js<'s>) -> Result<T, Failed>) -> Option<T> {
        if !self.is_alive.get() {
            return None;
        }
        if self.in_call.get() {
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
        if scope == Scope::Own {
            self.run_ticks();
        }
        result
    }

    /// The function that an event is told to, if there is one.
    pub(crate) fn function<'s>(
        &self,
        js: Js<'s>,
        which: impl FnOnce(&Callbacks) -> Option<&Callback>,
    ) -> Result<Option<Value<'s>>, Failed> {
        let callbacks = self.callbacks.borrow();
        let Some(callback) = which(&callbacks) else { return Ok(None) };
        if self.in_call.get() {
            return callback.function(js).map(Some);
        }
        // SAFETY: events that come from no call have the batch's handle scope, and open none of their own in it.
        unsafe { callback.function_in(js, self.batches.get()) }.map(Some)
    }

    /// The batch that is open, with its scopes, or a new one.
    fn shared_batch(&self) -> Option<Batch> {
        let mut batch = self.batch.take();
        if let Some(told) = &mut batch
            && told.events.is_multiple_of(EVENTS_PER_TICK)
        {
            self.tick(told);
            if told.events == EVENTS_PER_SCOPE {
                self.end(batch.take());
            }
            // What ran then may have ended the environment.
            if !self.is_alive() {
                return None;
            }
        }
        let mut batch = if let Some(batch) = batch {
            batch
        } else {
            self.batches.set(self.batches.get() + 1);
            // SAFETY: on the environment's thread, which is alive; closed after all that is opened inside.
            Batch { ticks: None, handles: unsafe { HandleScope::open(self.env) }.ok()?, events: 0 }
        };
        if batch.ticks.is_none() {
            batch.ticks = Some(self.async_context.open(batch.handles.js()).ok()?);
        }
        batch.events += 1;
        Some(batch)
    }

    /// Runs microtasks and nextTicks, and closes the scopes that events shared.
    pub(crate) fn end_batch(&self) {
        self.end(self.batch.take());
    }

    /// Ends a batch that is out of its place: what runs then comes by calls, not by events.
    fn end(&self, batch: Option<Batch>) {
        if let Some(mut batch) = batch {
            self.tick(&mut batch);
            self.take_back(batch.handles.js(), usize::MAX);
        }
    }

    /// Runs microtasks and nextTicks, and has what handlers were lent until then be over.
    fn tick(&self, batch: &mut Batch) {
        drop(batch.ticks.take());
        let mut lent = self.lent.borrow_mut();
        lent.over = lent.buffers.len();
        if std::mem::take(&mut lent.bytes) >= LENT_PER_TICK {
            drop(lent);
            self.take_back(batch.handles.js(), usize::MAX);
        }
    }

    /// Detaches so many of the buffers that are over, the oldest first. The batch's handle scope is open.
    fn take_back(&self, js: Js<'_>, count: usize) {
        let lent = &mut *self.lent.borrow_mut();
        for _ in 0..count.min(lent.over) {
            lent.over -= 1;
            let Some(buffer) = lent.buffers.pop_front() else { return };
            // If it was the end of the environment, the buffers stay as they are: Node 20 aborts when one is detached
            // while that is on its way up through calls of JavaScript.
            if self.is_alive() {
                // SAFETY: its handle belongs to the batch's scope.
                let buffer = unsafe { Value::from_raw(buffer) };
                // One that cannot be detached is out of our reach with the environment.
                let _ = js.detach(buffer);
            }
        }
    }

    /// Keeps a buffer for its handler until the ticks have run, unless there is no batch, in a call from JavaScript.
    pub(crate) fn keep_lent(&self, js: Js<'_>, buffer: Value<'_>, length: usize) -> bool {
        if self.in_call.get() {
            return false;
        }
        let mut lent = self.lent.borrow_mut();
        lent.buffers.push_back(buffer.raw());
        lent.bytes += length;
        let is_much = lent.bytes >= LENT_PER_TICK;
        drop(lent);
        self.take_back(js, 1);
        if is_much {
            self.run_ticks();
        }
        true
    }

    /// Runs microtasks and nextTicks in the middle of an event, unless JavaScript that is under way will see to them.
    pub(crate) fn run_ticks(&self) {
        if self.in_call.get() {
            return;
        }
        if let Some(mut batch) = self.batch.take() {
            self.tick(&mut batch);
            self.batch.set(Some(batch));
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.get()
    }

    fn has_died<T>(&self) -> Option<T> {
        self.is_alive.set(false);
        None
    }
}
