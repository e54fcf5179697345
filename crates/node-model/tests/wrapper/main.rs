//! Tests of the addon's wrapper of Node-API (`src/node`) on the model. What they check above all is not asserted: with
//! Miri, that the wrapper's unsafe code keeps its promises about memory.

#[allow(dead_code, unused_imports, reason = "the addon uses all of it")]
#[path = "../../../../src/node/mod.rs"]
mod node;

mod buffers;
mod calls;
mod kept;
mod strings;

use std::rc::Rc;

use milliways_node_model::{Node, Val, Value as Model};

use node::{Js, Value};

/// Calls `run` with the right to call Node-API, in a handle scope.
fn in_scope<R>(node: &Node, run: impl FnOnce(Js<'_>) -> R) -> R {
    node.scope(|| {
        // SAFETY: the environment exists, and the scope is open as long as `run`.
        run(unsafe { Js::from_raw(node.env()) })
    })
}

/// Passes a value to the wrapper.
fn handle<'s>(node: &Node, _js: Js<'s>, value: &Val) -> Value<'s> {
    // SAFETY: the handle belongs to the innermost scope, which is the one of `js`.
    unsafe { Value::from_raw(node.handle(value)) }
}

/// Takes a value of the wrapper.
fn taken(node: &Node, value: Value<'_>) -> Val {
    // SAFETY: the scope of the value is open.
    unsafe { node.value(value.raw()) }
}

fn number(number: f64) -> Val {
    Rc::new(Model::Number(number))
}
