//! The end of an environment, and its event loop.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use napi_sys as sys;

use super::status::{Failed, check};
use super::value::Js;

/// State that is torn down at the end of its environment.
pub(crate) trait TearDown {
    /// The environment ends, possibly in the middle of a call, and runs no more JavaScript. Its loop still runs until
    /// [`Ending::complete`] is called.
    ///
    /// # Safety
    ///
    /// `this` was passed to [`Js::on_end`]. The function is called once.
    unsafe fn tear_down(this: NonNull<Self>, ending: Ending);
}

/// An environment that ends, and exists until this is completed.
#[must_use = "the process never ends otherwise"]
pub(crate) struct Ending(sys::napi_async_cleanup_hook_handle);

impl Ending {
    /// Lets the environment go.
    pub(crate) fn complete(self) {
        // SAFETY: the hook has been called and not been removed: `self` is the only handle of it.
        unsafe { sys::napi_remove_async_cleanup_hook(self.0) };
    }
}

impl Js<'_> {
    /// Has `state` torn down when the environment ends.
    ///
    /// # Safety
    ///
    /// `state` is valid until then.
    pub(crate) unsafe fn on_end<T: TearDown>(self, state: NonNull<T>) -> Result<(), Failed> {
        // Asynchronous: after a synchronous hook the loop would not run again, and libuv aborts on handles that are open.
        let hook = Some(tear_down::<T> as unsafe extern "C" fn(_, _));
        // SAFETY: `Js` says that the call is allowed; `tear_down` takes this pointer, which is valid by the caller's promise.
        check(unsafe { sys::napi_add_async_cleanup_hook(self.env, hook, state.as_ptr().cast(), ptr::null_mut()) })
    }

    /// The `uv_loop_t` of this thread.
    pub(crate) fn event_loop(self) -> Result<NonNull<c_void>, Failed> {
        let mut uv_loop = ptr::null_mut();
        // SAFETY: `Js` says that the call is allowed.
        check(unsafe { sys::napi_get_uv_event_loop(self.env, &raw mut uv_loop) })?;
        NonNull::new(uv_loop.cast()).ok_or(Failed)
    }
}

unsafe extern "C" fn tear_down<T: TearDown>(hook: sys::napi_async_cleanup_hook_handle, state: *mut c_void) {
    let Some(state) = NonNull::new(state.cast::<T>()) else { return };
    // SAFETY: `Js::on_end` passed the state to Node, which calls a hook once.
    unsafe { T::tear_down(state, Ending(hook)) };
}
