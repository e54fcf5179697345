//! What is kept between calls, and the end of the environment.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use milliways_node_model::{Kind, Node, Value as Model};

use crate::node::{AsyncContext, Callback, Ending, HandleScope, Reference, TearDown};
use crate::{handle, in_scope, number, taken};

#[test]
fn a_strong_reference_keeps_its_value_and_a_weak_one_does_not() {
    let node = Node::new();
    let value = Model::object(Kind::Plain);
    let watch = Rc::downgrade(&value);
    let reference = in_scope(&node, |js| Reference::new(js, handle(&node, js, &value))).expect("a reference");
    drop(value);
    assert!(watch.upgrade().is_some());
    in_scope(&node, |js| {
        assert!(reference.weak_value(js).expect("a reference").is_some());
        reference.weaken(js).expect("a strong reference");
        reference.strengthen(js).expect("a weak reference");
        reference.weaken(js).expect("a strong reference");
    });
    assert!(watch.upgrade().is_none());
    in_scope(&node, |js| assert!(reference.weak_value(js).expect("a reference").is_none()));
}

#[test]
fn a_callback_is_asked_for_once_in_a_scope() {
    let node = Node::new();
    let function = Model::script(|_, arguments| Ok(arguments[0].clone()));
    let callback = in_scope(&node, |js| {
        assert!(Callback::new(js, handle(&node, js, &number(1.0))).expect("a value").is_none());
        Callback::new(js, handle(&node, js, &function)).expect("a value").expect("a function")
    });
    for scope in 1..4 {
        in_scope(&node, |js| {
            for _ in 0..3 {
                // SAFETY: this scope is open, and no other has had the number.
                let function = unsafe { callback.function_in(js, scope) }.expect("a function");
                let result = js.call(function, &[handle(&node, js, &number(5.0))]).expect("a result");
                assert_eq!(js.u32(result), Ok(5));
            }
        });
    }
    // Whoever else has the function keeps it meanwhile.
    in_scope(&node, |js| {
        callback.leave(js).expect("a function");
        callback.leave(js).expect("a function");
        callback.hold(js).expect("a function");
    });
    drop(function);
    in_scope(&node, |js| assert!(callback.function(js).is_ok()));
}

#[test]
fn scopes_and_contexts_are_closed_in_reverse_order() {
    let node = Node::new();
    let (env, context) = in_scope(&node, |js| (js.env(), AsyncContext::new(js, "test").expect("a context")));
    // SAFETY: the environment exists, and the scopes are closed in reverse order.
    let outer = unsafe { HandleScope::open(env) }.expect("a scope");
    let callbacks = context.open(outer.js()).expect("a scope");
    {
        // SAFETY: as above.
        let inner = unsafe { HandleScope::open(env) }.expect("a scope");
        let resource = context.resource(inner.js()).expect("an object");
        inner.js().define(resource, c"a", inner.js().boolean(true).expect("a boolean")).expect("a property");
    }
    let resource = context.resource(outer.js()).expect("an object");
    let value = outer.js().get(resource, c"a").expect("a property");
    assert_eq!(outer.js().to_bool(value), Ok(true));
    drop(callbacks);
}

/// State that is torn down with its environment.
struct State {
    kept: Reference,
    ended: Rc<Cell<bool>>,
    completes: bool,
}

impl TearDown for State {
    unsafe fn tear_down(this: NonNull<Self>, ending: Ending) {
        // SAFETY: `leave` made it of a box, and this is called once.
        let state = unsafe { Box::from_raw(this.as_ptr()) };
        state.ended.set(true);
        let completes = state.completes;
        drop(state.kept);
        if completes {
            ending.complete();
        }
    }
}

/// Leaves state to an environment, and ends it; returns whether it was completed.
fn leave_and_end(completes: bool) -> bool {
    let node = Node::new();
    let ended = Rc::new(Cell::new(false));
    in_scope(&node, |js| {
        let kept = Reference::new(js, js.object().expect("an object")).expect("a reference");
        let state = Box::new(State { kept, ended: Rc::clone(&ended), completes });
        let pointer = NonNull::new(Box::into_raw(state)).expect("a box");
        // SAFETY: it is valid until it is torn down.
        unsafe { js.on_end(pointer) }.expect("a hook");
        assert!(js.event_loop().is_ok());
    });
    assert!(!ended.get());
    let is_complete = node.end();
    assert!(ended.get());
    is_complete
}

#[test]
fn state_is_torn_down_with_its_environment() {
    assert!(leave_and_end(true));
    assert!(!leave_and_end(false));
}

#[test]
fn an_array_has_its_elements() {
    let node = Node::new();
    in_scope(&node, |js| {
        let items = [1, 2, 3].map(|item| js.number(item).expect("a number"));
        let array = js.array(&items).expect("an array");
        assert_eq!(js.is_array(array), Ok(true));
        for index in 0..3 {
            assert_eq!(js.element(array, index).and_then(|item| js.u32(item)), Ok(index + 1));
        }
        assert_eq!(taken(&node, js.array(&[]).expect("an array")).property("0").map(|_| ()), None);
    });
}
