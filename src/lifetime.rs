//! How long an app and its handlers stay.
//!
//! What is connected or listens lives by itself, so that the addon holds the handlers of such an app. One that is quiet
//! lives as long as its object in JavaScript, which may listen (again). That holds the handlers meanwhile, and the addon has
//! weak references to them: handlers mostly know their app, and would keep it for ever. `js/App.js` tells when the object has
//! been collected.
//!
//! All of this is seen to between two turns of the loop, when no event and no call is about what goes.

use milliways_net::{AppId, BehaviorId, Route, RouteId};

use crate::environment::Environment;
use crate::node::{Failed, Js};
use crate::scopes::Scope;

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
