//! Calls from JavaScript to functions of an addon.

use std::any::Any;
use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use milliways_node_model::{Kind, Node, Val, Value as Model};
use napi_sys::TypedarrayType as Type;

use crate::node::{
    Call, DataError, ErrorKind, Exception, Failed, InstanceData, Js, Returned, Scratch, SharedView, Value, export,
};
use crate::{in_scope, number, taken};

/// The state of an addon.
#[derive(Default)]
struct Addon {
    scratch: Scratch,
    shared_view: SharedView,
    /// What functions may use with memory.
    sum: Sum,
    panics: Cell<u32>,
}

/// A sum of bytes.
#[derive(Default)]
struct Sum(Cell<u32>);

/// Why a function of the addon throws.
#[derive(Debug, PartialEq)]
enum Refusal {
    Failed,
    Invalid,
    Detached,
    Panic(String),
}

// SAFETY: a `Sum` calls nobody. A function that is `Send` has no `Addon`, which is not `Sync`.
unsafe impl InstanceData for Addon {
    type Inert = Sum;
    type Error = Refusal;

    fn inert(&self) -> &Sum {
        &self.sum
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn shared_view(&self) -> &SharedView {
        &self.shared_view
    }

    fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        body()
    }

    fn panicked(&self) {
        self.panics.set(self.panics.get() + 1);
    }
}

impl Exception for Refusal {
    fn kind(&self) -> ErrorKind {
        if *self == Self::Detached { ErrorKind::RangeError } else { ErrorKind::Error }
    }

    fn code(&self) -> &'static str {
        "ERR_TEST"
    }

    fn message(&self) -> String {
        format!("{self:?}")
    }

    fn is_failed_call(&self) -> bool {
        *self == Self::Failed
    }

    fn from_panic(panic: &(dyn Any + Send)) -> Self {
        Self::Panic(panic.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string))
    }
}

impl From<Failed> for Refusal {
    fn from(Failed: Failed) -> Self {
        Self::Failed
    }
}

impl From<DataError> for Refusal {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Failed => Self::Failed,
            DataError::Invalid => Self::Invalid,
            DataError::Detached => Self::Detached,
        }
    }
}

type Result<'s> = Returned<'s, Refusal>;

/// Returns the sum of the bytes of the first argument.
fn sum<'s>(call: &Call<'s, Addon, 1>) -> Result<'s> {
    call.environment.sum.0.set(0);
    call.with_any(0, |sum, bytes| {
        bytes.with(|bytes| bytes.iter().for_each(|byte| sum.0.set(sum.0.get() + u32::from(*byte))));
    })?;
    Ok(Some(call.js.number(call.environment.sum.0.get())?))
}

/// Returns a copy of the first argument.
fn copy<'s>(call: &Call<'s, Addon, 1>) -> Result<'s> {
    let mut copy = Vec::new();
    call.with_buffer(0, |_, bytes| bytes.first(8).append_to(&mut copy))?;
    Ok(Some(call.js.copied_buffer(&copy)?))
}

/// Converts the first argument to a number, which may run anything, and returns it with the length of the second.
fn convert_first<'s>(call: &Call<'s, Addon, 2>) -> Result<'s> {
    let first = call.js.to_i32(call.arguments[0])?;
    let length = call.bytes(1)?.len() as i32;
    Ok(Some(call.js.double((first + length).into())?))
}

/// Calls the first argument with the text of the second while its bytes are borrowed, and calls itself by that.
fn nest<'s>(call: &Call<'s, Addon, 2>) -> Result<'s> {
    let text = call.text(1)?;
    let inner = call.js.call(call.arguments[0], &[call.js.string(&text)?])?;
    Ok(Some(inner))
}

fn panic<'s>(call: &Call<'s, Addon, 1>) -> Result<'s> {
    if call.bool(0)? { panic!("on purpose") } else { Ok(None) }
}

/// Calls `run` with an addon, and the functions that it exports.
fn with_addon(run: impl FnOnce(&Node, &Addon, &Val)) {
    let node = Node::new();
    let addon = Box::new(Addon::default());
    let exports = in_scope(&node, |js| {
        let exports = js.object().expect("an object");
        // SAFETY: no function is called after `run`.
        unsafe { export_all(js, exports, NonNull::from(&*addon)) }.expect("functions");
        taken(&node, exports)
    });
    run(&node, &addon, &exports);
}

/// # Safety
///
/// The addon is valid as long as its functions are called.
unsafe fn export_all(js: Js<'_>, exports: Value<'_>, addon: NonNull<Addon>) -> std::result::Result<(), Failed> {
    export!(js, exports, addon: Addon;
        c"sum" => sum,
        c"copy" => copy,
        c"convertFirst" => convert_first,
        c"nest" => nest,
        c"panic" => panic,
    );
    Ok(())
}

/// Calls an exported function.
fn invoke(node: &Node, exports: &Val, name: &str, arguments: &[Val]) -> std::result::Result<Val, Val> {
    node.call(&exports.property(name).expect("a function"), arguments)
}

#[track_caller]
fn expect_number(result: std::result::Result<Val, Val>, expected: f64) {
    let Ok(value) = result else { panic!("an exception") };
    assert!(matches!(&*value, Model::Number(number) if (number - expected).abs() < f64::EPSILON), "not {expected}");
}

#[track_caller]
fn expect_error(result: std::result::Result<Val, Val>, name: &str, message: &str) {
    let Err(error) = result else { panic!("no exception") };
    assert!(matches!(error.kind(), Some(Kind::Error(own)) if *own == name), "not a {name}");
    assert_eq!(error.property("message").and_then(|value| value.text()).as_deref(), Some(message));
    assert_eq!(error.property("code").and_then(|value| value.text()).as_deref(), Some("ERR_TEST"));
}

#[test]
fn bytes_come_from_strings_buffers_and_views() {
    with_addon(|node, _, exports| {
        let buffer = Model::array_buffer(&[1, 2, 3]);
        let view = Model::object(Kind::View(Type::uint8_array, buffer.clone(), 1, 2));
        expect_number(invoke(node, exports, "sum", &[Model::string("ab")]), 195.0);
        expect_number(invoke(node, exports, "sum", std::slice::from_ref(&buffer)), 6.0);
        expect_number(invoke(node, exports, "sum", &[view]), 5.0);
        expect_number(invoke(node, exports, "sum", &[]), 0.0);
        expect_error(invoke(node, exports, "sum", &[number(1.0)]), "Error", "Invalid");
        expect_error(invoke(node, exports, "sum", &[Model::object(Kind::Plain)]), "Error", "Invalid");
        let copy = invoke(node, exports, "copy", &[Model::array_buffer(b"0123456789")]).unwrap_or_else(|_| panic!());
        assert_eq!(copy.bytes().as_deref(), Some(&b"01234567"[..]));
        buffer.detach();
        expect_error(invoke(node, exports, "copy", &[buffer]), "RangeError", "Detached");
    });
}

#[test]
fn a_conversion_may_detach_a_later_argument() {
    with_addon(|node, _, exports| {
        let buffer = Model::array_buffer(b"bytes");
        let hostile = Model::object(Kind::Plain);
        let Model::Object(object) = &*hostile else { panic!("not an object") };
        let detached = Rc::clone(&buffer);
        let value_of = Model::script(move |_, _| {
            detached.detach();
            Ok(number(1.0))
        });
        object.properties.borrow_mut().insert("valueOf".to_owned(), value_of);
        expect_number(invoke(node, exports, "convertFirst", &[number(1.0), Rc::clone(&buffer)]), 6.0);
        expect_error(invoke(node, exports, "convertFirst", &[Rc::clone(&hostile), buffer]), "RangeError", "Detached");
    });
}

#[test]
fn what_a_conversion_throws_is_thrown() {
    with_addon(|node, _, exports| {
        let hostile = Model::object(Kind::Plain);
        let Model::Object(object) = &*hostile else { panic!("not an object") };
        let value_of = Model::script(|_, _| Err(Model::string("thrown")));
        object.properties.borrow_mut().insert("valueOf".to_owned(), value_of);
        let Err(thrown) = invoke(node, exports, "convertFirst", &[hostile]) else { panic!("no exception") };
        assert_eq!(thrown.text().as_deref(), Some("thrown"));
    });
}

#[test]
fn calls_may_nest() {
    with_addon(|node, _, exports| {
        let functions = Rc::clone(exports);
        let inner = Model::script(move |node, arguments| {
            let longer = format!("{} and more", arguments[0].text().expect("text"));
            if longer.len() > 100 {
                Ok(Model::string(&longer))
            } else {
                let again = Model::script(move |_, arguments| Ok(Rc::clone(&arguments[0])));
                invoke(node, &functions, "nest", &[again, Model::string(&longer)])
            }
        });
        let result = invoke(node, exports, "nest", &[inner, Model::string("some")]).unwrap_or_else(|_| panic!());
        assert_eq!(result.text().as_deref(), Some("some and more"));
    });
}

#[test]
fn a_panic_becomes_an_exception() {
    with_addon(|node, addon, exports| {
        assert!(invoke(node, exports, "panic", &[]).is_ok());
        expect_error(
            invoke(node, exports, "panic", &[Rc::new(Model::Boolean(true))]),
            "Error",
            "Panic(\"on purpose\")",
        );
        assert_eq!(addon.panics.get(), 1);
    });
}

#[test]
fn exceptions_are_taken_and_raised() {
    let node = Node::new();
    in_scope(&node, |js| {
        let thrower = Model::script(|_, _| Err(Model::string("thrown")));
        // SAFETY: the handle belongs to this scope.
        let function = unsafe { Value::from_raw(node.handle(&thrower)) };
        assert!(js.call(function, &[]).is_err());
        assert_eq!(js.is_exception_pending(), Ok(true));
        let exception = js.take_exception().expect("an exception");
        assert_eq!(js.is_exception_pending(), Ok(false));
        js.raise_uncaught(exception).expect("a running environment");
    });
    assert_eq!(node.uncaught().iter().map(|value| value.text()).collect::<Vec<_>>(), [Some("thrown".to_owned())]);
}

#[test]
fn scratch_memory_is_kept_for_the_next_use_and_not_shared_with_an_inner_one() {
    let scratch = Scratch::default();
    let start = scratch.with(|outer| {
        outer.extend_from_slice(&[1; 100]);
        scratch.with(|inner| {
            assert!(inner.is_empty());
            inner.push(2);
        });
        assert_eq!(*outer, [1; 100]);
        outer.as_ptr()
    });
    scratch.with(|again| assert!(again.is_empty() && again.as_ptr() == start && again.capacity() >= 100));
}
