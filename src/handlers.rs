//! Handlers, which are functions of JavaScript, by the reactor's numbers for them.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Index;

use milliways_net::{AppId, BehaviorId, Route, RouteId};
use slab::Slab;

use crate::node::{Callback, Failed, Js, Reference, Value};
use crate::scopes::Scope;

/// All handlers of one environment.
#[derive(Default)]
pub(crate) struct Callbacks {
    /// By route.
    pub(crate) routes: Slab<Callback>,
    /// By behavior. A WebSocket keeps its behavior after the route has been removed.
    pub(crate) behaviors: Behaviors,
    /// Called when a response is no longer wanted.
    pub(crate) aborted: Option<Callback>,
    /// Called when a request has been answered without a handler.
    pub(crate) answered: Option<Callback>,
    /// Called with a piece of a request's body.
    pub(crate) data: Option<Callback>,
    /// Called with all of it.
    pub(crate) collected: Option<Callback>,
    /// Called when a response can continue.
    pub(crate) writable: Option<Callback>,
    /// Called when connections come and go, by app.
    pub(crate) filters: HashMap<u32, Callback>,
    /// Called with server names that an app does not have, by app.
    pub(crate) missing_names: HashMap<u32, Callback>,
    /// Called when an app has been shut down, by app.
    pub(crate) shutdowns: HashMap<u32, Callback>,
    /// Called with what has happened, while it is watched.
    pub(crate) observer: Option<Callback>,
    /// By app.
    pub(crate) holders: HashMap<u32, Holder>,
}

/// The handlers of a WebSocket route.
pub(crate) struct BehaviorCallbacks {
    /// The app of the route, until that app has been removed.
    pub(crate) app: Option<AppId>,
    /// Whether contexts that `upgrade` was called with may still exist.
    pub(crate) has_contexts: Cell<bool>,
    pub(crate) upgrade: Option<Callback>,
    pub(crate) open: Option<Callback>,
    pub(crate) message: Option<Callback>,
    pub(crate) dropped: Option<Callback>,
    pub(crate) drain: Option<Callback>,
    pub(crate) close: Option<Callback>,
    pub(crate) ping: Option<Callback>,
    pub(crate) pong: Option<Callback>,
    pub(crate) subscription: Option<Callback>,
    /// The scope of all but `upgrade` and `open`, which have their own.
    pub(crate) scope: Scope,
    /// Whether `message` is called with a string for text.
    pub(crate) text_as_string: bool,
}

/// The object in JavaScript that holds the handlers of a quiet app. The app's object holds it.
pub(crate) struct Holder {
    /// A weak reference.
    object: Reference,
    is_released: bool,
}

impl Holder {
    pub(crate) fn new(js: Js<'_>, object: Value<'_>) -> Result<Self, Failed> {
        let object = Reference::new(js, object)?;
        object.weaken(js)?;
        Ok(Self { object, is_released: false })
    }

    /// The object, unless it has been collected.
    pub(crate) fn object<'s>(&self, js: Js<'s>) -> Result<Option<Value<'s>>, Failed> {
        self.object.weak_value(js)
    }

    /// Notes that the app's object has been collected.
    pub(crate) fn release(&mut self) {
        self.is_released = true;
    }

    pub(crate) fn is_released(&self) -> bool {
        self.is_released
    }
}

impl Callbacks {
    /// All handlers of an app, which has these routes.
    pub(crate) fn of_app<'c>(&'c self, app: AppId, routes: &[Route]) -> impl Iterator<Item = &'c Callback> {
        let routes: Vec<_> = routes
            .iter()
            .filter_map(
                |route| if let Route::Http(RouteId(key)) = route { self.routes.get(*key as usize) } else { None },
            )
            .collect();
        let behaviors = self.behaviors.0.iter().flatten().filter(move |behavior| behavior.app == Some(app));
        let own = [self.filters.get(&app.0), self.missing_names.get(&app.0)];
        routes.into_iter().chain(behaviors.flat_map(BehaviorCallbacks::all)).chain(own.into_iter().flatten())
    }
}

impl BehaviorCallbacks {
    fn all(&self) -> impl Iterator<Item = &Callback> {
        let Self { upgrade, open, message, dropped, drain, close, ping, pong, subscription, .. } = self;
        [upgrade, open, message, dropped, drain, close, ping, pong, subscription].into_iter().flatten()
    }
}

/// The handlers of WebSocket routes, by the numbers of their behaviors.
#[derive(Default)]
pub(crate) struct Behaviors(Vec<Option<BehaviorCallbacks>>);

impl Behaviors {
    pub(crate) fn insert(&mut self, id: BehaviorId, callbacks: BehaviorCallbacks) {
        let index = id.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        debug_assert!(self.0[index].is_none());
        self.0[index] = Some(callbacks);
    }

    pub(crate) fn get_mut(&mut self, id: BehaviorId) -> Option<&mut BehaviorCallbacks> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, id: BehaviorId) {
        self.0[id.0 as usize] = None;
    }

    /// Notes that an app has been removed.
    pub(crate) fn forget_app(&mut self, app: AppId) {
        for behavior in self.0.iter_mut().flatten().filter(|behavior| behavior.app == Some(app)) {
            behavior.app = None;
        }
    }
}

impl Index<BehaviorId> for Behaviors {
    type Output = BehaviorCallbacks;

    fn index(&self, id: BehaviorId) -> &BehaviorCallbacks {
        self.0[id.0 as usize].as_ref().expect("removed once no route and no WebSocket has it")
    }
}
