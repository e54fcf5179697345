//! The state of one Node environment, and its end.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::time::Instant;

use milliways_net::Reactor;

use crate::current_request::CurrentRequest;
use crate::error::Error;
use crate::handlers::Callbacks;
use crate::node::{AsyncContext, Callback, Ending, Exception, Failed, Js, Scratch, SharedView, TearDown, Value};
use crate::registers::Registers;
use crate::scopes::{Scope, Scopes};
use crate::store;
use crate::trap::Trap;
use crate::uv::Handles;

/// The state of one Node environment. It lives from the loading of the addon until the environment's loop has closed
/// our handles.
pub(crate) struct Environment {
    /// Dropped first: sockets must go before the descriptor that watches them.
    pub(crate) reactor: Reactor,
    pub(crate) scopes: Scopes,
    pub(crate) callbacks: RefCell<Callbacks>,
    /// The request whose handler is running.
    pub(crate) request: CurrentRequest,
    pub(crate) registers: Registers,
    pub(crate) shared_view: SharedView,
    pub(crate) scratch: Scratch,
    pub(crate) trap: Trap,
    /// Our handles in the loop, until they are closed.
    pub(crate) handles: RefCell<Option<Handles>>,
    /// The deadline that the timer is set to.
    pub(crate) armed: Cell<Option<Instant>>,
}

impl Environment {
    /// Creates the state of an environment that loads the addon, and adds the properties `asyncResource` and
    /// `registers` to `exports`. The state is freed at the end of the environment, and by nothing else.
    pub(crate) fn attach(js: Js<'_>, exports: Value<'_>) -> Result<NonNull<Self>, String> {
        let failed = |Failed| "a Node-API call failed".to_owned();
        let async_context = AsyncContext::new(js, "milliways").map_err(failed)?;
        async_context.resource(js).and_then(|it| js.define(exports, c"asyncResource", it)).map_err(failed)?;
        let environment = Box::new(Self {
            reactor: Reactor::new(Instant::now()).map_err(|error| format!("no epoll instance: {error}"))?,
            scopes: Scopes::new(js.env(), async_context),
            callbacks: RefCell::default(),
            request: CurrentRequest::default(),
            registers: Registers::export(js, exports, c"registers").map_err(failed)?,
            shared_view: SharedView::default(),
            scratch: Scratch::default(),
            trap: Trap::default(),
            handles: RefCell::default(),
            armed: Cell::new(None),
        });
        let environment = NonNull::from(Box::leak(environment));
        // SAFETY: it has been leaked, and only `tear_down` frees it.
        unsafe { js.on_end(environment) }.map_err(failed)?;
        Ok(environment)
    }

    /// Reports an error of ours as an uncaughtException.
    pub(crate) fn report(&self, error: &Error) {
        self.scopes.event(Scope::Batch, |js| js.throw(error.to_value(js)?).and(Err::<(), _>(Failed)));
    }

    /// Returns the function that an event calls, if there is one; `js` is the event's scope.
    pub(crate) fn function<'s>(
        &self,
        js: Js<'s>,
        which: impl FnOnce(&Callbacks) -> Option<&Callback>,
    ) -> Result<Option<Value<'s>>, Failed> {
        let callbacks = self.callbacks.borrow();
        which(&callbacks).map(|callback| self.scopes.function(js, callback)).transpose()
    }
}

impl TearDown for Environment {
    unsafe fn tear_down(this: NonNull<Self>, ending: Ending) {
        let finish = move || {
            // SAFETY: leaked by `attach`; libuv has let go of the handles, and no JavaScript runs that could call us.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
            // The references that have just been dropped needed the environment.
            ending.complete();
        };
        // SAFETY: `finish` has not run.
        let environment = unsafe { this.as_ref() };
        environment.scopes.end();
        // No JavaScript of this thread is left to unlock it.
        store::release();
        match environment.handles.take() {
            Some(handles) => handles.close(Box::new(finish)),
            None => finish(),
        }
    }
}
