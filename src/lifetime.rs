//! How long apps and their handlers stay.
//!
//! An app that listens or has connections lives by itself, and the addon holds its handlers. A quiet app lives as long as its
//! object in JavaScript, which may listen (again). That object holds the handlers meanwhile, and the addon has weak references
//! to them: most handlers know their app, and would keep it for ever. `js/App.js` calls `releaseApp` once the object has
//! been collected.
//!
//! All of this happens between two turns of the loop, when no event and no call is about anything that goes.

use milliways_net::{AppId, BehaviorId, Route, RouteId};

use crate::environment::Environment;
use crate::node::{Failed, Js};
use crate::scopes::Scope;
use crate::trap::Layer;

impl Environment {
    /// Has the addon hold the handlers of an app, which is about to listen.
    pub(crate) fn hold(&self, js: Js<'_>, app: AppId) -> Result<(), Failed> {
        let callbacks = self.callbacks.borrow();
        for callback in callbacks.of_app(app, &self.reactor.routes(app)) {
            callback.hold(js)?;
        }
        let Some(holder) = callbacks.holders.get(&app.0) else { return Ok(()) };
        let Some(object) = holder.object(js)? else { return Ok(()) };
        js.define(object, c"handlers", js.array(&[])?)
    }

    /// Forgets a route that its router has no more.
    pub(crate) fn forget(&self, route: Option<&Route>) {
        match route {
            Some(Route::Http(RouteId(key))) => _ = self.callbacks.borrow_mut().routes.try_remove(*key as usize),
            Some(Route::WebSocket(behavior)) => self.reactor.release_behavior(*behavior),
            Some(Route::Declared(_)) | None => {}
        }
    }

    /// Whether [`Environment::sweep`] has anything to do.
    pub(crate) fn has_quiet(&self) -> bool {
        self.reactor.has_quiet() && !self.reactor.has_work()
    }

    /// Leaves the handlers of apps that have become quiet to the apps' objects, and forgets what nobody can name any more. To
    /// be called while no event and no call is under way.
    pub(crate) fn sweep(&self) {
        self.trap.pass(Layer::Sweep);
        self.scopes.event(Scope::Batch, |js| {
            let quiet = self.reactor.take_quiet();
            let is_released = |app: &AppId| self.callbacks.borrow().holders[&app.0].is_released();
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
        // It may have been collected, and `releaseApp` is about to be called.
        let Some(object) = holder.object(js)? else { return Ok(()) };
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
        // Their contexts have been collected with the app, but `releaseContexts` may still be to come.
        callbacks.behaviors.forget_app(app);
        callbacks.filters.remove(&app.0);
        callbacks.missing_names.remove(&app.0);
        callbacks.holders.remove(&app.0);
        self.reactor.remove_app(app);
    }

    /// Removes a behavior without a route and without WebSockets, unless a request may still be upgraded with it.
    fn retire(&self, behavior: BehaviorId) {
        let behaviors = &mut self.callbacks.borrow_mut().behaviors;
        let Some(callbacks) = behaviors.get_mut(behavior) else { return };
        // It is never called again, and would keep the contexts alive that it makes.
        callbacks.upgrade = None;
        if !callbacks.has_contexts.get() {
            behaviors.remove(behavior);
            self.reactor.remove_behavior(behavior);
        }
    }
}
