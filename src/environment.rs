//! What there is for one Node environment: a reactor, its handles in the loop, and the functions that events go to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::raw::c_void;
use std::time::Instant;

use milliways_net::{BehaviorId, ConnectionId, Reactor};
use milliways_proto::topics::Change;
use napi_sys as sys;

use crate::current_request::CurrentRequest;
use crate::error::Error;
use crate::handlers::Callbacks;
use crate::node::{AsyncContext, Callback, Failed, Js, Memory, Reference, Value};
use crate::registers::Registers;
use crate::scopes::Batch;
use crate::store;
use crate::uv::Handles;

/// State of one Node environment. Lives from the loading of the addon until the environment's loop has closed our
/// handles.
pub(crate) struct Environment {
    /// Dropped first: sockets before the descriptor that watches them.
    pub(crate) reactor: Reactor,
    pub(crate) env: sys::napi_env,
    pub(crate) async_context: AsyncContext,
    pub(crate) callbacks: RefCell<Callbacks>,
    /// The scopes that the events of one turn share; open at most while a turn is under way.
    pub(crate) batch: Cell<Option<Batch>>,
    /// Something is being done that a callback of the loop is for.
    pub(crate) is_running: Cell<bool>,
    /// How many batches there have been.
    pub(crate) batches: Cell<u64>,
    /// The number of the batch that is open. Only that of the innermost is known: whoever opens one inside another, which
    /// a nested event loop does, restores it.
    pub(crate) batch_number: Cell<u64>,
    /// How many calls from JavaScript are under way, each but the first in a handler that the one before has caused to be
    /// called. In them scopes are open, and events are plain calls.
    pub(crate) calls: Cell<u32>,
    /// What has ended in calls that are too deep for another handler.
    pub(crate) ended: RefCell<VecDeque<Ended>>,
    /// Cleared by the first sign that the environment runs no more JavaScript. None is called after that.
    pub(crate) is_alive: Cell<bool>,
    /// The request whose handler is running.
    pub(crate) request: CurrentRequest,
    pub(crate) registers: Registers,
    /// What handlers threw that were called inside of calls from JavaScript, to be reported when those have returned.
    pub(crate) thrown: RefCell<Vec<Reference>>,
    /// How many uncaughtExceptions there have been of it.
    pub(crate) raised: Cell<u64>,
    /// A `dropped` handler is running.
    pub(crate) is_telling_dropped: Cell<bool>,
    /// Makes a typed array of a `SharedArrayBuffer`, which Node-API does not know; returns `undefined` for anything else.
    pub(crate) shared_view: RefCell<Option<Callback>>,
    /// Memory for text on its way through.
    pub(crate) scratch: Cell<Vec<u8>>,
    /// The handles in the loop, until they are closed.
    pub(crate) handles: RefCell<Option<Handles>>,
    /// What the timer is set to.
    pub(crate) armed: Cell<Option<Instant>>,
}

/// An end that is told when the outermost call has done what it is for, because it came too deep in others.
pub(crate) enum Ended {
    Aborted(ConnectionId),
    Unsubscribed(BehaviorId, ConnectionId, Box<[u8]>, Change),
    Closed(BehaviorId, ConnectionId, u16, Box<[u8]>),
}

/// The environment ends. Its loop still runs until we say that we are done, so that libuv can let go of our handles;
/// a synchronous hook would leave them open, which libuv answers with an abort.
pub(crate) unsafe extern "C" fn tear_down(hook: sys::napi_async_cleanup_hook_handle, environment: *mut c_void) {
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
}
