//! A model of Node-API, on which the addon's wrapper of it (`src/node`) is tested without Node: natively, and
//! with Miri, which checks each access to memory but cannot run Node.
//!
//! It has the functions that the wrapper calls, with their contract as far as the wrapper relies on it, and is as hostile
//! as that contract allows: a handle is memory that is freed when its scope closes, a value is collected as soon as
//! nothing has it, the memory of a detached buffer is freed at once. So code that uses any of them for too long uses
//! memory after it has been freed, which is noticed. What is never released is noticed at the end of [`Node`].

mod functions;
mod value;

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;

use napi_sys::{napi_async_cleanup_hook, napi_async_cleanup_hook_handle, napi_callback_info, napi_env, napi_value};

pub use value::{Kind, Memory, Object, Script, Val, Value};

/// An environment of Node. It is what a `napi_env` points to.
#[derive(Default)]
pub struct Node {
    /// The handles of each open scope.
    scopes: RefCell<Vec<Vec<napi_value>>>,
    /// The exception that has been thrown and not been caught.
    pending: RefCell<Option<Val>>,
    /// The arguments of `napi_fatal_exception`.
    uncaught: RefCell<Vec<Val>>,
    /// The number of references, asynchronous contexts and callback scopes that exist.
    live: Cell<usize>,
    /// Whether no more JavaScript runs.
    is_ending: Cell<bool>,
    hook: Cell<Option<(napi_async_cleanup_hook, *mut c_void)>>,
}

/// What a `napi_callback_info` points to.
struct Information {
    arguments: Vec<napi_value>,
    data: *mut c_void,
}

impl Node {
    /// Returns a new environment, which stays where it is.
    pub fn new() -> Box<Self> {
        Box::default()
    }

    /// Returns the environment as Node-API names it.
    pub fn env(&self) -> napi_env {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Returns a handle to a value in the innermost scope.
    pub fn handle(&self, value: &Val) -> napi_value {
        let handle: napi_value = Box::into_raw(Box::new(Rc::clone(value))).cast();
        self.scopes.borrow_mut().last_mut().expect("an open handle scope").push(handle);
        handle
    }

    /// Returns the value of a handle.
    ///
    /// # Safety
    ///
    /// The scope of the handle is open.
    pub unsafe fn value(&self, handle: napi_value) -> Val {
        // SAFETY: the caller's promise.
        unsafe { functions::value(handle) }
    }

    /// Calls `run` in a handle scope, as Node calls the addon.
    pub fn scope<R>(&self, run: impl FnOnce() -> R) -> R {
        self.scopes.borrow_mut().push(Vec::new());
        let result = run();
        self.close_scope();
        result
    }

    /// Calls a function; returns its result or what it has thrown.
    ///
    /// # Errors
    ///
    /// What the function has thrown.
    pub fn call(&self, function: &Val, arguments: &[Val]) -> Result<Val, Val> {
        match function.kind() {
            Some(Kind::Script(script)) => script(self, arguments),
            Some(Kind::Native(Some(callback), data)) => {
                let result = self.scope(|| {
                    let arguments = arguments.iter().map(|argument| self.handle(argument)).collect();
                    let information = Information { arguments, data: *data };
                    let pointer: napi_callback_info = ptr::from_ref(&information).cast_mut().cast();
                    // SAFETY: the environment and the information are valid, and a scope is open.
                    let handle = unsafe { callback(self.env(), pointer) };
                    // SAFETY: the result is null or a handle of this scope.
                    if handle.is_null() { Rc::new(Value::Undefined) } else { unsafe { self.value(handle) } }
                });
                self.pending.take().map_or(Ok(result), Err)
            }
            _ => Err(Value::object(Kind::Error("TypeError"))),
        }
    }

    /// Returns what has become an `uncaughtException`, and forgets it.
    pub fn uncaught(&self) -> Vec<Val> {
        self.uncaught.take()
    }

    /// Ends the environment: no more JavaScript runs, and the cleanup hook is called, if there is one. Returns whether that
    /// was completed.
    pub fn end(&self) -> bool {
        self.is_ending.set(true);
        let Some((Some(hook), data)) = self.hook.get() else { return true };
        let handle: napi_async_cleanup_hook_handle = self.env().cast();
        // SAFETY: the hook is called once, with its data.
        unsafe { hook(handle, data) };
        self.hook.get().is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert!(self.scopes.borrow().is_empty(), "a handle scope is open");
        assert_eq!(self.live.get(), 0, "references, contexts or callback scopes were left behind");
    }
}

impl Node {
    /// Closes the innermost scope, and frees its handles.
    fn close_scope(&self) {
        let handles = self.scopes.borrow_mut().pop().expect("an open handle scope");
        for handle in handles {
            // SAFETY: made by `handle`, and freed once.
            drop(unsafe { Box::from_raw(handle.cast::<Val>()) });
        }
    }
}
