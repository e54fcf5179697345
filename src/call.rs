//! Calls from JavaScript to this addon's functions, which work on an [`Environment`].

use milliways_net::{ConnectionId, Reactor};

use crate::environment::Environment;
use crate::error::Error;
use crate::node::{self, InstanceData, Scratch, SharedView};
use crate::trap::Layer;

/// A call of an exported function with up to `N` arguments.
pub(crate) type Call<'s, const N: usize> = node::Call<'s, Environment, N>;

/// The result of an exported function; `None` is `undefined`.
pub(crate) type Returned<'s> = node::Returned<'s, Error>;

// SAFETY: a reactor calls nobody. It queues events, and only an `Environment` calls handlers for them. A function that
// is `Send` has no environment, because neither an environment nor a reference to one is `Send`.
unsafe impl InstanceData for Environment {
    type Inert = Reactor;
    type Error = Error;

    fn inert(&self) -> &Reactor {
        &self.reactor
    }

    fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    fn shared_view(&self) -> &SharedView {
        &self.shared_view
    }

    fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        self.scopes.call(|| {
            let mark = self.reactor.mark();
            self.trap.pass(Layer::Call);
            let returned = body();
            self.handle_caused(mark);
            returned
        })
    }

    fn panicked(&self) {
        self.scopes.call(|| self.handle_caused(self.reactor.give_up_call()));
    }
}

impl<const N: usize> Call<'_, N> {
    /// Returns the id in the first two arguments, a slot and a generation.
    pub(crate) fn id(&self) -> Result<ConnectionId, Error> {
        Ok(ConnectionId::new(self.u32(0)?, self.u32(1)?))
    }

    /// Fails if the call is nested too deeply to call a handler. Running out of stack would end more than one call.
    pub(crate) fn check_depth(&self) -> Result<(), Error> {
        if self.environment.scopes.is_deep() { Err(Error::TooDeep) } else { Ok(()) }
    }
}
