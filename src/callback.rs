//! JavaScript functions that events are told to.

use crate::value::{Failed, Js, Reference, Value};

/// A function, kept as long as this.
pub(crate) struct Callback(Reference);

impl Callback {
    /// Keeps a function; `None` for anything else, which stands for a handler that was not given.
    pub(crate) fn new(js: Js<'_>, value: Value<'_>) -> Result<Option<Self>, Failed> {
        if js.is_function(value)? { Reference::new(js, value).map(|reference| Some(Self(reference))) } else { Ok(None) }
    }

    /// The function, to be called when no borrow of what holds the callback is alive any more: it may change that.
    pub(crate) fn function<'s>(&self, js: Js<'s>) -> Result<Value<'s>, Failed> {
        self.0.value(js)
    }
}
