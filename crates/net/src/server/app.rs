//! Apps and the settings of WebSocket routes: what is in them, and how long they stay.
//!
//! Their owner knows who may still name them. The server knows when nothing of its own does: an app is quiet when nothing
//! listens for it and nobody is connected, and a behavior is unused when no route and no WebSocket has it.

use std::collections::HashMap;

use milliways_proto::router::Router;
use milliways_proto::topics::Topics;

use super::Server;
use super::conversation::Conversation;
use super::names::Names;
use super::pubsub::About;
use super::settings::{AppSettings, Behavior, Route, WebSocketSettings};
use crate::ids::{AppId, BehaviorId, DomainId};

/// Routers with what else belongs to an app.
pub(crate) struct App {
    /// Its own, of [`DomainId`] 0.
    pub(crate) router: Router<Route>,
    /// Those of server names. A connection may have the number of one that has gone, so that none is used again.
    pub(crate) domains: HashMap<DomainId, Router<Route>>,
    pub(crate) last_domain: DomainId,
    /// What it has for its peers if it speaks TLS.
    pub(crate) names: Option<Names>,
    pub(crate) settings: AppSettings,
    pub(crate) topics: Topics<About>,
    /// Whether connections that come and go are told.
    pub(crate) counts: bool,
    /// How many sockets it has, those that are closing included.
    pub(crate) connections: u32,
    /// How many listening sockets it has.
    pub(crate) listeners: u32,
}

impl App {
    fn new(settings: AppSettings) -> Self {
        Self {
            router: Router::default(),
            domains: HashMap::new(),
            last_domain: DomainId::default(),
            names: None,
            settings,
            topics: Topics::default(),
            counts: false,
            connections: 0,
            listeners: 0,
        }
    }

    /// `None` for that of a server name that has been removed.
    pub(crate) fn router(&self, domain: DomainId) -> Option<&Router<Route>> {
        if domain == DomainId::default() { Some(&self.router) } else { self.domains.get(&domain) }
    }

    /// `None` for that of a server name that has been removed.
    pub(crate) fn router_mut(&mut self, domain: DomainId) -> Option<&mut Router<Route>> {
        if domain == DomainId::default() { Some(&mut self.router) } else { self.domains.get_mut(&domain) }
    }

    /// Adds a router for a server name.
    pub(crate) fn add_domain(&mut self) -> DomainId {
        self.last_domain.0 += 1;
        self.domains.insert(self.last_domain, Router::default());
        self.last_domain
    }

    fn is_quiet(&self) -> bool {
        self.connections == 0 && self.listeners == 0
    }

    fn routes(&self) -> Vec<Route> {
        self.domains.values().chain([&self.router]).flat_map(routes_of).collect()
    }
}

/// All routes of a router.
pub(crate) fn routes_of(router: &Router<Route>) -> Vec<Route> {
    let mut all = Vec::new();
    router.for_each(|route| all.push(route.clone()));
    all
}

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

#[derive(Default)]
pub(crate) struct Apps {
    all: Numbered<App>,
    /// Those that may be removed.
    quiet: Vec<AppId>,
}

impl Apps {
    pub(crate) fn insert(&mut self, settings: AppSettings) -> AppId {
        AppId(self.all.insert(App::new(settings)))
    }

    pub(crate) fn has(&self, id: AppId) -> bool {
        self.all.get(id.0).is_some()
    }

    pub(crate) fn of(&self, id: AppId) -> &App {
        self.all.get(id.0).expect("removed when nobody names it any more")
    }

    pub(crate) fn of_mut(&mut self, id: AppId) -> &mut App {
        self.all.get_mut(id.0).expect("removed when nobody names it any more")
    }

    /// A connection of an app has come.
    pub(crate) fn note_connection(&mut self, app: AppId) {
        self.of_mut(app).connections += 1;
    }

    /// A connection of an app has gone.
    pub(crate) fn forget_connection(&mut self, app: AppId) {
        let it = self.of_mut(app);
        it.connections -= 1;
        if it.is_quiet() {
            self.quiet.push(app);
        }
    }

    /// An app listens on one socket more.
    pub(crate) fn note_listener(&mut self, app: AppId) {
        self.of_mut(app).listeners += 1;
    }

    /// An app listens on one socket less.
    pub(crate) fn forget_listener(&mut self, app: AppId) {
        self.of_mut(app).listeners -= 1;
        self.quiet.push(app);
    }

    /// Has an app be among the next of [`Apps::take_quiet`], if it is quiet then.
    pub(crate) fn note_quiet(&mut self, app: AppId) {
        self.quiet.push(app);
    }

    pub(crate) fn is_quiet(&self, app: AppId) -> bool {
        self.of(app).is_quiet()
    }

    /// The apps that have become quiet since the last call, or have been noted as such.
    fn take_quiet(&mut self) -> Vec<AppId> {
        let mut quiet = std::mem::take(&mut self.quiet);
        quiet.sort_unstable_by_key(|app| app.0);
        quiet.dedup();
        quiet.retain(|app| self.has(*app) && self.is_quiet(*app));
        quiet
    }
}

#[derive(Default)]
pub(crate) struct Behaviors {
    all: Numbered<Behavior>,
    /// Those that may be removed.
    unused: Vec<BehaviorId>,
}

impl Behaviors {
    pub(crate) fn get(&self, id: BehaviorId) -> &Behavior {
        self.all.get(id.0).expect("removed when nobody names it any more")
    }

    fn get_mut(&mut self, id: BehaviorId) -> &mut Behavior {
        self.all.get_mut(id.0).expect("removed when nobody names it any more")
    }

    /// A WebSocket has this behavior.
    pub(crate) fn hold(&mut self, id: BehaviorId) {
        self.get_mut(id).uses += 1;
    }

    /// A route or a WebSocket does not have this behavior any more.
    pub(crate) fn release(&mut self, id: BehaviorId) {
        let uses = &mut self.get_mut(id).uses;
        *uses -= 1;
        if *uses == 0 {
            self.unused.push(id);
        }
    }

    /// The settings of a WebSocket; `None` for any other connection.
    pub(crate) fn settings_of(&self, conversation: &Conversation) -> Option<&WebSocketSettings> {
        conversation.open_behavior().map(|behavior| &self.get(behavior).settings)
    }

    pub(crate) fn app_of(&self, conversation: &Conversation) -> AppId {
        match conversation.open_behavior() {
            Some(behavior) => self.get(behavior).app,
            None => conversation.app(),
        }
    }

    fn is_unused(&self, id: BehaviorId) -> bool {
        self.all.get(id.0).is_some_and(|behavior| behavior.uses == 0)
    }

    /// The behaviors that have become unused since the last call, or have been noted as such.
    fn take_unused(&mut self) -> Vec<BehaviorId> {
        let mut unused = std::mem::take(&mut self.unused);
        unused.sort_unstable_by_key(|behavior| behavior.0);
        unused.dedup();
        unused.retain(|behavior| self.is_unused(*behavior));
        unused
    }
}

/// Lifetimes, as the reactor's owner sees them; [`crate::Reactor`] documents each.
impl Server {
    pub(crate) fn kept(&self) -> Kept {
        let domains = self.apps.all.iter().map(|app| app.domains.len()).sum();
        Kept { apps: self.apps.all.iter().count(), domains, behaviors: self.behaviors.all.iter().count() }
    }

    pub(crate) fn routes(&self, app: AppId) -> Vec<Route> {
        self.apps.of(app).routes()
    }

    pub(crate) fn has_quiet(&self) -> bool {
        !self.apps.quiet.is_empty() || !self.behaviors.unused.is_empty()
    }

    pub(crate) fn take_quiet(&mut self) -> Vec<AppId> {
        self.apps.take_quiet()
    }

    pub(crate) fn remove_app(&mut self, app: AppId) {
        debug_assert!(self.apps.is_quiet(app));
        self.published.retain(|published| *published != app);
        self.events.forget_app(app);
        self.apps.all.remove(app.0);
    }

    pub(crate) fn add_behavior(&mut self, app: AppId, settings: WebSocketSettings, asks: bool) -> BehaviorId {
        BehaviorId(self.behaviors.all.insert(Behavior { app, settings, asks, uses: 1 }))
    }

    pub(crate) fn release_behavior(&mut self, behavior: BehaviorId) {
        self.behaviors.release(behavior);
    }

    pub(crate) fn note_unused(&mut self, behavior: BehaviorId) {
        self.behaviors.unused.push(behavior);
    }

    pub(crate) fn take_unused(&mut self) -> Vec<BehaviorId> {
        self.behaviors.take_unused()
    }

    pub(crate) fn remove_behavior(&mut self, behavior: BehaviorId) {
        debug_assert!(self.behaviors.is_unused(behavior));
        self.behaviors.all.remove(behavior.0);
    }
}

/// Things by numbers, which are used again when something has been removed.
struct Numbered<T> {
    at: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { at: Vec::new(), free: Vec::new() }
    }
}

impl<T> Numbered<T> {
    fn insert(&mut self, new: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.at[number as usize] = Some(new);
            return number;
        }
        self.at.push(Some(new));
        self.at.len() as u32 - 1
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.at.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.at.get_mut(number as usize)?.as_mut()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.at.iter().flatten()
    }

    fn remove(&mut self, number: u32) {
        if self.at[number as usize].take().is_some() {
            self.free.push(number);
        }
    }
}
