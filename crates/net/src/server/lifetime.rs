//! How long apps and the settings of WebSocket routes stay.
//!
//! Their owner knows who may still name them. The reactor knows when nothing of its own does: an app is quiet when nothing
//! listens for it and nobody is connected, and a behavior is unused when no route and no WebSocket has it.

use std::collections::HashMap;

use milliways_proto::router::Router;
use milliways_proto::topics::Topics;

use crate::server::settings::Behavior;
use crate::server::state::{App, State};
use crate::{AppId, AppSettings, BehaviorId, Reactor, Route, WebSocketSettings};

/// What there is until its owner removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Apps.
    pub apps: usize,
    /// Their server names.
    pub domains: usize,
    /// Settings of WebSocket routes.
    pub behaviors: usize,
}

impl Reactor {
    /// How much is kept at the moment.
    pub fn kept(&self) -> Kept {
        let state = self.state();
        let domains = state.apps.iter().map(|app| app.domains.len()).sum();
        Kept { apps: state.apps.iter().count(), domains, behaviors: state.behaviors.count() }
    }

    /// A new router.
    pub fn add_app(&self, settings: AppSettings) -> AppId {
        let app = App {
            router: Router::default(),
            domains: HashMap::new(),
            last_domain: 0,
            names: None,
            settings,
            topics: Topics::default(),
            counts: false,
            connections: 0,
        };
        self.state().apps.insert(app)
    }

    /// All routes of an app, those of its server names included.
    pub fn routes(&self, app: AppId) -> Vec<Route> {
        let state = self.state();
        let app = state.apps.of(app);
        let mut routes = Vec::new();
        for router in app.domains.values().chain([&app.router]) {
            router.for_each(|route| routes.push(route.clone()));
        }
        routes
    }

    /// Whether nothing listens for an app and nobody is connected to it, so that nothing happens to it by itself.
    pub fn is_quiet(&self, app: AppId) -> bool {
        self.state().is_quiet(app)
    }

    /// Has an app be among the next of [`Reactor::take_quiet`], if it is quiet then.
    pub fn note_quiet(&self, app: AppId) {
        self.state().quiet.push(app);
    }

    /// Whether [`Reactor::take_quiet`] or [`Reactor::take_unused`] may return something.
    pub fn has_quiet(&self) -> bool {
        let state = self.state();
        !state.quiet.is_empty() || !state.unused.is_empty()
    }

    /// The apps that have become quiet since the last call, or have been noted as such.
    pub fn take_quiet(&self) -> Vec<AppId> {
        let mut state = self.state();
        let mut quiet = std::mem::take(&mut state.quiet);
        quiet.sort_unstable_by_key(|app| app.0);
        quiet.dedup();
        quiet.retain(|app| state.apps.has(*app) && state.is_quiet(*app));
        quiet
    }

    /// Forgets an app that is quiet. The owner has taken the routes before, and does not name it any more: its number is used
    /// again.
    pub fn remove_app(&self, app: AppId) {
        let mut state = self.state();
        debug_assert!(state.is_quiet(app));
        state.undelivered.retain(|undelivered| *undelivered != app);
        state.counted.retain(|(counted, ..)| *counted != app);
        state.apps.remove(app);
    }

    /// Settings for a route of WebSockets, to be named in [`Route::WebSocket`]. `asks`: what becomes of a request is
    /// decided in [`crate::Handler::upgrade`]. It is in use until [`Reactor::release_behavior`].
    pub fn add_behavior(&self, app: AppId, settings: WebSocketSettings, asks: bool) -> BehaviorId {
        self.state().behaviors.insert(Behavior { app, settings, asks, uses: 1 })
    }

    /// The route of a behavior has gone. Its WebSockets keep it.
    pub fn release_behavior(&self, behavior: BehaviorId) {
        self.state().release_behavior(behavior);
    }

    /// Has a behavior be among the next of [`Reactor::take_unused`], if it is unused then.
    pub fn note_unused(&self, behavior: BehaviorId) {
        self.state().unused.push(behavior);
    }

    /// The behaviors that have become unused since the last call, or have been noted as such.
    pub fn take_unused(&self) -> Vec<BehaviorId> {
        let mut state = self.state();
        let mut unused = std::mem::take(&mut state.unused);
        unused.sort_unstable_by_key(|behavior| behavior.0);
        unused.dedup();
        unused.retain(|behavior| state.behaviors.is_unused(*behavior));
        unused
    }

    /// Forgets a behavior that is unused. The owner does not name it any more: its number is used again.
    pub fn remove_behavior(&self, behavior: BehaviorId) {
        let mut state = self.state();
        debug_assert!(state.behaviors.is_unused(behavior));
        state.behaviors.remove(behavior);
    }
}

impl State {
    pub(crate) fn is_quiet(&self, app: AppId) -> bool {
        self.apps.of(app).connections == 0 && !self.listeners.values().any(|listener| listener.app == app)
    }

    /// A connection of an app has come.
    pub(crate) fn note_connection(&mut self, app: AppId) {
        self.apps.of_mut(app).connections += 1;
    }

    /// A connection of an app has gone.
    pub(crate) fn forget_connection(&mut self, app: AppId) {
        let connections = &mut self.apps.of_mut(app).connections;
        *connections -= 1;
        if *connections == 0 && self.is_quiet(app) {
            self.quiet.push(app);
        }
    }

    /// A route or a WebSocket does not have this behavior any more.
    pub(crate) fn release_behavior(&mut self, behavior: BehaviorId) {
        let uses = &mut self.behaviors.get_mut(behavior).uses;
        *uses -= 1;
        if *uses == 0 {
            self.unused.push(behavior);
        }
    }
}

/// Things by numbers, which are used again when something has been removed.
pub(crate) struct Numbered<T> {
    at: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { at: Vec::new(), free: Vec::new() }
    }
}

impl<T> Numbered<T> {
    pub(crate) fn insert(&mut self, new: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.at[number as usize] = Some(new);
            return number;
        }
        self.at.push(Some(new));
        self.at.len() as u32 - 1
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.at.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.at.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.at.iter().flatten()
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if self.at[number as usize].take().is_some() {
            self.free.push(number);
        }
    }
}
