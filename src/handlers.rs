//! The functions of JavaScript that events are told to, by the numbers that the reactor knows them by.

use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Index;

use milliways_net::{AppId, BehaviorId, Route, RouteId};
use slab::Slab;

use crate::node::{Callback, Failed, Js, Reference, Value};
use crate::scopes::Scope;

/// Functions of JavaScript, by the numbers that the reactor knows them by.
#[derive(Default)]
pub(crate) struct Callbacks {
    /// By route.
    pub(crate) routes: Slab<Callback>,
    /// By behavior. A WebSocket keeps its behavior when the route is gone.
    pub(crate) behaviors: Behaviors,
    /// Told that a response is not wanted any more.
    pub(crate) aborted: Option<Callback>,
    /// Told that a request has been answered by no handler.
    pub(crate) answered: Option<Callback>,
    /// Told a piece of a request's body.
    pub(crate) data: Option<Callback>,
    /// Told all of it.
    pub(crate) collected: Option<Callback>,
    /// Told that a response can go on.
    pub(crate) writable: Option<Callback>,
    /// Told of connections that come and go, by app.
    pub(crate) filters: HashMap<u32, Callback>,
    /// Told of server names that an app does not have, by app.
    pub(crate) missing_names: HashMap<u32, Callback>,
    /// Who holds the handlers of an app that is quiet, by app.
    pub(crate) holders: HashMap<u32, Holder>,
}

/// The handlers of a WebSocket route.
pub(crate) struct BehaviorCallbacks {
    /// Whose they are, until that has been removed.
    pub(crate) app: Option<AppId>,
    /// Whether there may be contexts that `upgrade` was called with.
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
    /// Of all but `upgrade` and `open`, which have their own.
    pub(crate) scope: Scope,
    /// Whether `message` gets text as a string.
    pub(crate) text_as_string: bool,
}

/// The object in JavaScript that holds the handlers of a quiet app, and is held by the app's.
pub(crate) struct Holder {
    /// A weak one.
    pub(crate) object: Reference,
    /// The app's object has been collected.
    pub(crate) is_released: bool,
}

impl Holder {
    pub(crate) fn new(js: Js<'_>, object: Value<'_>) -> Result<Self, Failed> {
        let object = Reference::new(js, object)?;
        object.weaken(js)?;
        Ok(Self { object, is_released: false })
    }
}

impl Callbacks {
    /// All that belong to an app, which has these routes.
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
pub(crate) struct Behaviors(pub(crate) Vec<Option<BehaviorCallbacks>>);

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
}

impl Index<BehaviorId> for Behaviors {
    type Output = BehaviorCallbacks;

    fn index(&self, id: BehaviorId) -> &BehaviorCallbacks {
        self.0[id.0 as usize].as_ref().expect("removed when no route and no WebSocket has it")
    }
}
