//! How long an app and its handlers stay.
//!
//! What is connected or listens lives by itself, so that the addon holds the handlers of such an app. One that is quiet
//! lives as long as its object in JavaScript, which may listen (again). That holds the handlers meanwhile, and the addon has
//! weak references to them: handlers mostly know their app, and would keep it for ever. `js/App.js` tells when the object has
//! been collected.
//!
//! All of this is seen to between two turns of the loop, when no event and no call is about what goes.

use std::ops::Index;

use milliways_net::{AppId, BehaviorId, Route, RouteId};

use crate::call::{Call, Returned};
use crate::environment::{BehaviorCallbacks, Callbacks, Environment, Scope};
use crate::node::{Callback, Failed, Js, Reference, Value};

/// The object in JavaScript that holds the handlers of a quiet app, and is held by the app's.
pub(crate) struct Holder {
    /// A weak one.
    object: Reference,
    /// The app's object has been collected.
    is_released: bool,
}

impl Holder {
    pub(crate) fn new(js: Js<'_>, object: Value<'_>) -> Result<Self, Failed> {
        let object = Reference::new(js, object)?;
        object.weaken(js)?;
        Ok(Self { object, is_released: false })
    }
}

/// `releaseApp(app)`: its object has been collected.
pub(crate) fn release_app<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (environment, app) = (call.environment, AppId(call.u32(0)?));
    if let Some(holder) = environment.callbacks.borrow_mut().holders.get_mut(&app.0) {
        holder.is_released = true;
    }
    environment.reactor.note_quiet(app);
    Ok(None)
}

/// `releaseContexts(behavior)`: what could still upgrade a request by way of a WebSocket route has been collected.
pub(crate) fn release_contexts<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (environment, behavior) = (call.environment, BehaviorId(call.u32(0)?));
    if let Some(callbacks) = environment.callbacks.borrow_mut().behaviors.get_mut(behavior) {
        callbacks.has_contexts.set(false);
        callbacks.app.into_iter().for_each(|app| environment.reactor.note_quiet(app));
    }
    environment.reactor.note_unused(behavior);
    Ok(None)
}

impl Environment {
    /// Takes the handlers of an app, which is about to listen, into the hands of the addon.
    pub(crate) fn hold(&self, js: Js<'_>, app: AppId) -> Result<(), Failed> {
        let callbacks = self.callbacks.borrow();
        for callback in callbacks.of_app(app, &self.reactor.routes(app)) {
            callback.hold(js)?;
        }
        let Some(holder) = callbacks.holders.get(&app.0) else { return Ok(()) };
        js.define(holder.object.value(js)?, c"handlers", js.array(&[])?)
    }

    /// The route has gone from its router.
    pub(crate) fn forget(&self, route: Option<&Route>) {
        match route {
            Some(Route::Http(RouteId(key))) => _ = self.callbacks.borrow_mut().routes.try_remove(*key as usize),
            Some(Route::WebSocket(behavior)) => self.reactor.release_behavior(*behavior),
            Some(Route::Declared(_)) | None => {}
        }
    }

    /// Whether [`Environment::sweep`] has something to do.
    pub(crate) fn has_quiet(&self) -> bool {
        self.reactor.has_quiet() && !self.reactor.has_work()
    }

    /// Leaves the handlers of apps that have become quiet to their objects, and forgets what nobody can name any more. To be
    /// called when no event and no call is under way.
    pub(crate) fn sweep(&self) {
        self.event(Scope::Batch, |js| {
            let quiet = self.reactor.take_quiet();
            let is_released = |app: &AppId| self.callbacks.borrow().holders[&app.0].is_released;
            let (released, quiet): (Vec<_>, Vec<_>) = quiet.into_iter().partition(is_released);
            for app in released {
                self.remove(app);
            }
            for behavior in self.reactor.take_unused() {
                self.retire(behavior);
            }
            quiet.into_iter().try_for_each(|app| self.leave(js, app))
        });
    }

    fn leave(&self, js: Js<'_>, app: AppId) -> Result<(), Failed> {
        let callbacks = self.callbacks.borrow();
        let Some(holder) = callbacks.holders.get(&app.0) else { return Ok(()) };
        // It has been collected, and that is about to be told.
        let Some(object) = holder.object.weak_value(js)? else { return Ok(()) };
        let of_app: Vec<_> = callbacks.of_app(app, &self.reactor.routes(app)).collect();
        let functions = of_app.iter().map(|callback| callback.function(js)).collect::<Result<Vec<_>, _>>()?;
        js.define(object, c"handlers", js.array(&functions)?)?;
        of_app.iter().try_for_each(|callback| callback.leave(js))
    }

    fn remove(&self, app: AppId) {
        for route in self.reactor.routes(app) {
            self.forget(Some(&route));
        }
        let callbacks = &mut *self.callbacks.borrow_mut();
        // Those whose contexts have been collected with the app, which is still to be told.
        for behavior in callbacks.behaviors.0.iter_mut().flatten().filter(|behavior| behavior.app == Some(app)) {
            behavior.app = None;
        }
        callbacks.filters.remove(&app.0);
        callbacks.missing_names.remove(&app.0);
        callbacks.holders.remove(&app.0);
        self.reactor.remove_app(app);
    }

    /// A behavior without a route and without WebSockets may get one by a request that is still being upgraded.
    fn retire(&self, behavior: BehaviorId) {
        let behaviors = &mut self.callbacks.borrow_mut().behaviors;
        let Some(callbacks) = behaviors.get_mut(behavior) else { return };
        // It is never called again, and would keep the contexts that it makes.
        callbacks.upgrade = None;
        if !callbacks.has_contexts.get() {
            behaviors.remove(behavior);
            self.reactor.remove_behavior(behavior);
        }
    }
}

impl Callbacks {
    /// All that belong to an app, which has these routes.
    fn of_app<'c>(&'c self, app: AppId, routes: &[Route]) -> impl Iterator<Item = &'c Callback> {
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

    fn get_mut(&mut self, id: BehaviorId) -> Option<&mut BehaviorCallbacks> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    fn remove(&mut self, id: BehaviorId) {
        self.0[id.0 as usize] = None;
    }
}

impl Index<BehaviorId> for Behaviors {
    type Output = BehaviorCallbacks;

    fn index(&self, id: BehaviorId) -> &BehaviorCallbacks {
        self.0[id.0 as usize].as_ref().expect("removed when no route and no WebSocket has it")
    }
}
