//! Values of JavaScript.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::atomic::AtomicU8;

use napi_sys::{napi_callback, napi_typedarray_type, napi_valuetype};

use crate::Node;

/// A value. It is collected as soon as nobody has it: no handle, no strong reference and no other value.
pub type Val = Rc<Value>;

/// What a function of JavaScript does: it returns a value or throws one.
pub type Script = Box<dyn Fn(&Node, &[Val]) -> Result<Val, Val>>;

/// A value of JavaScript.
pub enum Value {
    /// `undefined`.
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string, in UTF-16.
    String(Vec<u16>),
    /// A symbol.
    Symbol,
    /// An object.
    Object(Object),
}

/// An object of JavaScript.
pub struct Object {
    /// What distinguishes it from other objects.
    pub kind: Kind,
    /// Its own properties.
    pub properties: RefCell<BTreeMap<String, Val>>,
}

/// The kinds of objects.
pub enum Kind {
    /// One like `{}`.
    Plain,
    /// An array.
    Array,
    /// An error, with the name of its constructor.
    Error(&'static str),
    /// A function of the addon, with its data.
    Native(napi_callback, *mut c_void),
    /// A function of JavaScript.
    Script(Script),
    /// An `ArrayBuffer`, which has no memory once it has been detached.
    ArrayBuffer(RefCell<Option<Memory>>),
    /// A `SharedArrayBuffer`.
    SharedArrayBuffer(Memory),
    /// A typed array: its kind, its buffer, where it begins in bytes, and its number of elements.
    View(napi_typedarray_type, Val, usize, usize),
}

impl Value {
    /// Returns a new object.
    pub fn object(kind: Kind) -> Val {
        Rc::new(Self::Object(Object { kind, properties: RefCell::default() }))
    }

    /// Returns a string.
    pub fn string(text: &str) -> Val {
        Rc::new(Self::String(text.encode_utf16().collect()))
    }

    /// Returns a new `ArrayBuffer` with these bytes.
    pub fn array_buffer(bytes: &[u8]) -> Val {
        Self::object(Kind::ArrayBuffer(RefCell::new(Some(Memory::of(bytes)))))
    }

    /// Returns a function.
    pub fn script(script: impl Fn(&Node, &[Val]) -> Result<Val, Val> + 'static) -> Val {
        Self::object(Kind::Script(Box::new(script)))
    }

    /// Returns the kind of an object; `None` for any other value.
    pub fn kind(&self) -> Option<&Kind> {
        if let Self::Object(object) = self { Some(&object.kind) } else { None }
    }

    /// Returns an own property of an object.
    pub fn property(&self, name: &str) -> Option<Val> {
        let Self::Object(object) = self else { return None };
        object.properties.borrow().get(name).map(Rc::clone)
    }

    /// Returns the text of a string.
    pub fn text(&self) -> Option<String> {
        if let Self::String(units) = self { Some(String::from_utf16_lossy(units)) } else { None }
    }

    /// Returns a copy of the bytes of an `ArrayBuffer` that has not been detached.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let Some(Kind::ArrayBuffer(memory)) = self.kind() else { return None };
        memory.borrow().as_ref().map(Memory::to_vec)
    }

    /// Detaches an `ArrayBuffer`: its memory is freed.
    pub fn detach(&self) {
        if let Some(Kind::ArrayBuffer(memory)) = self.kind() {
            memory.take();
        }
    }

    /// Returns what `napi_typeof` says of it.
    pub(crate) fn type_of(&self) -> napi_valuetype {
        use napi_sys::ValueType as Type;
        match self {
            Self::Undefined => Type::napi_undefined,
            Self::Null => Type::napi_null,
            Self::Boolean(_) => Type::napi_boolean,
            Self::Number(_) => Type::napi_number,
            Self::String(_) => Type::napi_string,
            Self::Symbol => Type::napi_symbol,
            Self::Object(Object { kind: Kind::Native(..) | Kind::Script(_), .. }) => Type::napi_function,
            Self::Object(_) => Type::napi_object,
        }
    }
}

/// The memory of a buffer, aligned for numbers of any size. It is only accessed through pointers, because JavaScript, the
/// addon and other threads may have some of it at the same time.
pub struct Memory {
    pub(crate) start: *mut u8,
    pub(crate) length: usize,
}

impl Memory {
    fn layout(length: usize) -> Layout {
        Layout::from_size_align(length.max(1), 8).expect("a small buffer")
    }

    /// Returns zeroed memory.
    pub fn new(length: usize) -> Self {
        // SAFETY: the size is not zero.
        Self { start: unsafe { alloc_zeroed(Self::layout(length)) }, length }
    }

    /// Returns memory with a copy of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let memory = Self::new(bytes.len());
        // SAFETY: both have as many bytes, and the new one nobody else has.
        unsafe { memory.start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        memory
    }

    /// Returns the bytes, as several threads may use them.
    pub fn cells(&self) -> &[AtomicU8] {
        // SAFETY: the memory has as many bytes, and is accessed through pointers and atomics alone.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }

    /// Returns a copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        // SAFETY: the memory has as many bytes, and nobody writes to them meanwhile.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }.to_vec()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start, Self::layout(self.length)) };
    }
}
