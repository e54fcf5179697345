//! Scopes, references and the end of the environment.

use std::ffi::c_void;
use std::ptr;
use std::rc::{Rc, Weak};

use napi_sys::*;

use Status::napi_ok;

use super::{give, node, put, refused, value};
use crate::value::{Val, Value};

/// What a `napi_ref` points to.
struct Reference {
    weak: Weak<Value>,
    strong: Option<Val>,
    count: u32,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_open_handle_scope(env: napi_env, result: *mut napi_handle_scope) -> napi_status {
    let mut scopes = node(env).scopes.borrow_mut();
    scopes.push(Vec::new());
    put(result, ptr::without_provenance_mut(scopes.len()));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_close_handle_scope(env: napi_env, scope: napi_handle_scope) -> napi_status {
    assert_eq!(node(env).scopes.borrow().len(), scope.addr(), "not the innermost handle scope");
    node(env).close_scope();
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_async_init(
    env: napi_env,
    _resource: napi_value,
    name: napi_value,
    result: *mut napi_async_context,
) -> napi_status {
    assert!(value(name).text().is_some(), "a name");
    node(env).live.update(|live| live + 1);
    put(result, Box::into_raw(Box::new(0_u32)).cast());
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_async_destroy(env: napi_env, context: napi_async_context) -> napi_status {
    let scopes = *Box::from_raw(context.cast::<u32>());
    assert_eq!(scopes, 0, "a callback scope of the context is open");
    node(env).live.update(|live| live - 1);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_open_callback_scope(
    env: napi_env,
    _resource: napi_value,
    context: napi_async_context,
    result: *mut napi_callback_scope,
) -> napi_status {
    may_run!(env);
    *context.cast::<u32>() += 1;
    node(env).live.update(|live| live + 1);
    put(result, Box::into_raw(Box::new(context)).cast());
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_close_callback_scope(env: napi_env, scope: napi_callback_scope) -> napi_status {
    let context = *Box::from_raw(scope.cast::<napi_async_context>());
    *context.cast::<u32>() -= 1;
    node(env).live.update(|live| live - 1);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_add_async_cleanup_hook(
    env: napi_env,
    hook: napi_async_cleanup_hook,
    data: *mut c_void,
    _handle: *mut napi_async_cleanup_hook_handle,
) -> napi_status {
    node(env).hook.set(Some((hook, data)));
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_remove_async_cleanup_hook(handle: napi_async_cleanup_hook_handle) -> napi_status {
    // A node names its only hook.
    node(handle.cast()).hook.set(None);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_uv_event_loop(env: napi_env, result: *mut *mut uv_loop_s) -> napi_status {
    // Nobody looks into it.
    put(result, env.cast());
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_create_reference(
    env: napi_env,
    handle: napi_value,
    count: u32,
    result: *mut napi_ref,
) -> napi_status {
    let value = value(handle);
    let weak = Rc::downgrade(&value);
    let reference = Reference { weak, strong: (count > 0).then_some(value), count };
    node(env).live.update(|live| live + 1);
    put(result, Box::into_raw(Box::new(reference)).cast());
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_delete_reference(env: napi_env, reference: napi_ref) -> napi_status {
    drop(Box::from_raw(reference.cast::<Reference>()));
    node(env).live.update(|live| live - 1);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_reference_ref(_env: napi_env, reference: napi_ref, result: *mut u32) -> napi_status {
    let reference = &mut *reference.cast::<Reference>();
    let Some(value) = reference.weak.upgrade() else { return Status::napi_generic_failure };
    reference.strong = Some(value);
    reference.count += 1;
    put(result, reference.count);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_reference_unref(_env: napi_env, reference: napi_ref, result: *mut u32) -> napi_status {
    let reference = &mut *reference.cast::<Reference>();
    if reference.count == 0 {
        return Status::napi_generic_failure;
    }
    reference.count -= 1;
    put(result, reference.count);
    let collected = if reference.count == 0 { reference.strong.take() } else { None };
    drop(collected);
    napi_ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn napi_get_reference_value(
    env: napi_env,
    reference: napi_ref,
    result: *mut napi_value,
) -> napi_status {
    let Some(value) = (*reference.cast::<Reference>()).weak.upgrade() else {
        put(result, ptr::null_mut());
        return napi_ok;
    };
    give(env, &value, result)
}
