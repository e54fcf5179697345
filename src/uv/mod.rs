//! A safe wrapper of the few libuv functions that are needed. Node exports them; they are declared by hand.
//!
//! It knows neither our sockets nor JavaScript. It relies on facts of libuv 1.x's stable interface: the numbers of handle types
//! and events, and that `uv_handle_size` returns the size of a handle.

mod ffi;
mod socket;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use ffi::uv_loop_t as Loop;
pub(crate) use socket::{give_back, stream_of};

/// A libuv call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UvError(c_int);

impl fmt::Display for UvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "libuv error {}", self.0)
    }
}

fn check(status: c_int) -> Result<(), UvError> {
    if status < 0 { Err(UvError(status)) } else { Ok(()) }
}

/// Is called when something happens in the loop, on the loop's thread.
pub(crate) trait Watcher {
    /// The descriptor is readable.
    fn on_readable(&self);
    /// The loop is about to wait.
    fn on_prepare(&self);
    /// The loop has waited, and is about to call functions that may note the time.
    fn on_check(&self);
    /// The delay set by [`Handles::set_timer`] has passed.
    fn on_timeout(&self);
}

/// A poll, a prepare, a check and a timer handle of one loop, which all call one watcher.
///
/// Only the poll handle can keep the loop alive, and only while [`Handles::keep_alive`] says so.
pub(crate) struct Handles {
    poll: Handle,
    prepare: Handle,
    check: Handle,
    timer: Handle,
    is_referenced: Cell<bool>,
}

impl Handles {
    /// Puts handles into the loop, which watch `descriptor` and the loop from [`Handles::start`] on. If this fails nothing is
    /// left of them.
    ///
    /// # Safety
    ///
    /// `uv_loop` is the loop of this thread. `watcher` is valid until the function passed to [`Handles::close`] is called.
    /// Handles must be closed, and not just dropped.
    pub(crate) unsafe fn new<W: Watcher>(
        uv_loop: NonNull<Loop>,
        descriptor: c_int,
        watcher: NonNull<W>,
    ) -> Result<Self, UvError> {
        let data = watcher.cast();
        let poll = Handle::allocate(ffi::UV_POLL);
        // SAFETY: the memory has the size that libuv asks for; the loop is the caller's promise.
        let initialized = check(unsafe { ffi::uv_poll_init(uv_loop.as_ptr(), poll.as_ptr(), descriptor) });
        if let Err(error) = initialized {
            // SAFETY: libuv refuses a descriptor before the loop knows the handle.
            unsafe { poll.free(ffi::UV_POLL) };
            return Err(error);
        }
        let [prepare, check, timer] = [ffi::UV_PREPARE, ffi::UV_CHECK, ffi::UV_TIMER].map(Handle::allocate);
        // SAFETY: as above. Neither this nor the next two can fail (they always return 0).
        unsafe { ffi::uv_prepare_init(uv_loop.as_ptr(), prepare.as_ptr()) };
        // SAFETY: as above.
        unsafe { ffi::uv_check_init(uv_loop.as_ptr(), check.as_ptr()) };
        // SAFETY: as above.
        unsafe { ffi::uv_timer_init(uv_loop.as_ptr(), timer.as_ptr()) };
        for handle in [&poll, &prepare, &check, &timer] {
            handle.set_data(data);
            handle.unreference();
        }
        Ok(Self { poll, prepare, check, timer, is_referenced: Cell::new(false) })
    }

    /// Has the watcher called from now on. Even if this fails the handles must be closed.
    pub(crate) fn start<W: Watcher>(&self) -> Result<(), UvError> {
        // SAFETY: the handle has been initialized, and its data is a `W`.
        unsafe { ffi::uv_prepare_start(self.prepare.as_ptr(), Some(prepare_callback::<W>)) };
        // SAFETY: as above.
        unsafe { ffi::uv_check_start(self.check.as_ptr(), Some(check_callback::<W>)) };
        // SAFETY: as above.
        check(unsafe { ffi::uv_poll_start(self.poll.as_ptr(), ffi::UV_READABLE, Some(poll_callback::<W>)) })
    }

    /// Sets whether the descriptor keeps the loop alive.
    pub(crate) fn keep_alive(&self, keep: bool) {
        if self.is_referenced.replace(keep) != keep {
            if keep { self.poll.reference() } else { self.poll.unreference() }
        }
    }

    /// Calls the watcher once, as soon as `delay` has passed, and replaces an earlier delay.
    pub(crate) fn set_timer<W: Watcher>(&self, delay: Duration) {
        // libuv counts from the time at which the loop last read the clock, which may be a while ago.
        // SAFETY: the handle has been initialized, and so has its loop.
        unsafe { ffi::uv_update_time(self.timer.uv_loop()) };
        let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        // SAFETY: the handle has been initialized, and its data is a `W`. The call only fails on a closing handle.
        unsafe { ffi::uv_timer_start(self.timer.as_ptr(), Some(timer_callback::<W>), milliseconds, 0) };
    }

    /// Stops the timer: the watcher is no longer called for the delay.
    pub(crate) fn stop_timer(&self) {
        // SAFETY: the handle has been initialized. The call cannot fail.
        unsafe { ffi::uv_timer_stop(self.timer.as_ptr()) };
    }

    /// Stops and closes all handles. The watcher is not called any more. Calls `then` once libuv has closed the last one, in a
    /// later turn of the loop.
    pub(crate) fn close(self, then: Box<dyn FnOnce()>) {
        // Before its descriptor is closed a poll handle must be stopped.
        // SAFETY: the handle has been initialized.
        unsafe { ffi::uv_poll_stop(self.poll.as_ptr()) };
        let closing = Rc::new(Closing { left: Cell::new(4), then: Cell::new(Some(then)) });
        for handle in [self.poll, self.prepare, self.check, self.timer] {
            let data = NonNull::new(Rc::into_raw(Rc::clone(&closing)).cast_mut()).expect("an Rc is not null");
            handle.set_data(data.cast());
            // SAFETY: the handle has been initialized and is not closing; its memory stays until the callback frees it.
            unsafe { ffi::uv_close(handle.into_raw(), Some(close_callback)) };
        }
    }
}

struct Closing {
    left: Cell<u32>,
    then: Cell<Option<Box<dyn FnOnce()>>>,
}

/// The memory of one libuv handle.
struct Handle(NonNull<ffi::uv_handle_t>);

impl Handle {
    fn allocate(kind: c_int) -> Self {
        let layout = Self::layout(kind);
        // SAFETY: a handle's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self(memory.cast())
    }

    /// # Safety
    ///
    /// It was allocated for this kind, and the loop does not know it.
    unsafe fn free(self, kind: c_int) {
        // SAFETY: allocated with this layout; the rest is the caller's promise.
        unsafe { dealloc(self.into_raw().cast(), Self::layout(kind)) };
    }

    fn layout(kind: c_int) -> Layout {
        // SAFETY: the type is one that libuv knows, which is all it asks for.
        let size = unsafe { ffi::uv_handle_size(kind) };
        // libuv's structures hold pointers, 64-bit integers and nothing wider.
        Layout::from_size_align(size, 16).expect("a handle is small")
    }

    fn as_ptr(&self) -> *mut ffi::uv_handle_t {
        self.0.as_ptr()
    }

    /// Leaves the memory to libuv and `close_callback`.
    fn into_raw(self) -> *mut ffi::uv_handle_t {
        self.0.as_ptr()
    }

    fn uv_loop(&self) -> *mut Loop {
        // SAFETY: the handle has been initialized.
        unsafe { ffi::uv_handle_get_loop(self.as_ptr()) }
    }

    fn set_data(&self, data: NonNull<c_void>) {
        // SAFETY: the handle's memory is alive.
        unsafe { ffi::uv_handle_set_data(self.as_ptr(), data.as_ptr()) };
    }

    fn reference(&self) {
        // SAFETY: the handle has been initialized.
        unsafe { ffi::uv_ref(self.as_ptr()) };
    }

    fn unreference(&self) {
        // SAFETY: the handle has been initialized.
        unsafe { ffi::uv_unref(self.as_ptr()) };
    }
}

/// The watcher of a handle.
///
/// # Safety
///
/// `handle` belongs to [`Handles`] whose watcher is a `W`, and is not closing.
unsafe fn watcher<'w, W>(handle: *mut ffi::uv_handle_t) -> &'w W {
    // SAFETY: the caller's promise.
    let data = unsafe { ffi::uv_handle_get_data(handle) };
    // SAFETY: the caller of `Handles::new` has promised that the watcher is valid until the handles are closed.
    unsafe { &*data.cast::<W>() }
}

unsafe extern "C" fn poll_callback<W: Watcher>(handle: *mut ffi::uv_handle_t, _status: c_int, _events: c_int) {
    // SAFETY: `Handles::start` started the handle for a `W`, and libuv does not call it once `close` has stopped it.
    unsafe { watcher::<W>(handle) }.on_readable();
}

unsafe extern "C" fn prepare_callback<W: Watcher>(handle: *mut ffi::uv_handle_t) {
    // SAFETY: as in `poll_callback`.
    unsafe { watcher::<W>(handle) }.on_prepare();
}

unsafe extern "C" fn check_callback<W: Watcher>(handle: *mut ffi::uv_handle_t) {
    // SAFETY: as in `poll_callback`.
    unsafe { watcher::<W>(handle) }.on_check();
}

unsafe extern "C" fn timer_callback<W: Watcher>(handle: *mut ffi::uv_handle_t) {
    // SAFETY: as in `poll_callback`.
    unsafe { watcher::<W>(handle) }.on_timeout();
}

unsafe extern "C" fn close_callback(handle: *mut ffi::uv_handle_t) {
    // SAFETY: the handle's memory is alive until it is freed below.
    let data = unsafe { ffi::uv_handle_get_data(handle) };
    // SAFETY: `Handles::close` stored a strong reference for this callback alone.
    let closing = unsafe { Rc::from_raw(data.cast_const().cast::<Closing>()) };
    // SAFETY: as above.
    let kind = unsafe { ffi::uv_handle_get_type(handle) };
    // SAFETY: allocated with this layout, and libuv does not touch a handle after its close callback.
    unsafe { dealloc(handle.cast(), Handle::layout(kind)) };
    closing.left.set(closing.left.get() - 1);
    if closing.left.get() == 0
        && let Some(then) = closing.then.take()
    {
        then();
    }
}
