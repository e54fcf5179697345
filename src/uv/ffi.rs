//! Declarations of libuv functions and constants.

use std::ffi::{c_int, c_void};

/// A loop; opaque.
#[repr(C)]
pub(crate) struct uv_loop_t {
    opaque: [u8; 0],
}

/// A handle of any type; opaque.
#[repr(C)]
pub(super) struct uv_handle_t {
    opaque: [u8; 0],
}

// uv_handle_type
pub(super) const UV_CHECK: c_int = 2;
pub(super) const UV_NAMED_PIPE: c_int = 7;
pub(super) const UV_POLL: c_int = 8;
pub(super) const UV_PREPARE: c_int = 9;
pub(super) const UV_TCP: c_int = 12;
pub(super) const UV_TIMER: c_int = 13;

// uv_poll_event
pub(super) const UV_READABLE: c_int = 1;

type Callback = unsafe extern "C" fn(handle: *mut uv_handle_t);
type PollCallback = unsafe extern "C" fn(handle: *mut uv_handle_t, status: c_int, events: c_int);

unsafe extern "C" {
    pub(super) fn uv_handle_size(kind: c_int) -> usize;
    pub(super) fn uv_handle_get_type(handle: *const uv_handle_t) -> c_int;
    pub(super) fn uv_handle_get_data(handle: *const uv_handle_t) -> *mut c_void;
    pub(super) fn uv_handle_set_data(handle: *mut uv_handle_t, data: *mut c_void);
    pub(super) fn uv_handle_get_loop(handle: *const uv_handle_t) -> *mut uv_loop_t;
    pub(super) fn uv_ref(handle: *mut uv_handle_t);
    pub(super) fn uv_unref(handle: *mut uv_handle_t);
    pub(super) fn uv_close(handle: *mut uv_handle_t, callback: Option<Callback>);
    pub(super) fn uv_update_time(uv_loop: *mut uv_loop_t);
    pub(super) fn uv_guess_handle(descriptor: c_int) -> c_int;

    pub(super) fn uv_poll_init(uv_loop: *mut uv_loop_t, handle: *mut uv_handle_t, descriptor: c_int) -> c_int;
    pub(super) fn uv_poll_start(handle: *mut uv_handle_t, events: c_int, callback: Option<PollCallback>) -> c_int;
    pub(super) fn uv_poll_stop(handle: *mut uv_handle_t) -> c_int;

    pub(super) fn uv_prepare_init(uv_loop: *mut uv_loop_t, handle: *mut uv_handle_t) -> c_int;
    pub(super) fn uv_prepare_start(handle: *mut uv_handle_t, callback: Option<Callback>) -> c_int;

    pub(super) fn uv_check_init(uv_loop: *mut uv_loop_t, handle: *mut uv_handle_t) -> c_int;
    pub(super) fn uv_check_start(handle: *mut uv_handle_t, callback: Option<Callback>) -> c_int;

    pub(super) fn uv_timer_init(uv_loop: *mut uv_loop_t, handle: *mut uv_handle_t) -> c_int;
    pub(super) fn uv_timer_start(
        handle: *mut uv_handle_t,
        callback: Option<Callback>,
        timeout: u64,
        repeat: u64,
    ) -> c_int;
    pub(super) fn uv_timer_stop(handle: *mut uv_handle_t) -> c_int;
}
