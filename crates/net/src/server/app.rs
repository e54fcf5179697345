//! Apps and the settings of WebSocket routes, and how long they are kept.
//!
//! The owner of the reactor knows which of them it still refers to. The server knows which of them are still in use: an
//! app is quiet when it has no listening socket and no connection, and a behavior is unused when no route and no
//! WebSocket has it.

use std::collections::HashMap;
use std::mem;

use milliways_proto::router::Router;
use milliways_proto::topics::Topics;

use super::Server;
use super::conversation::Conversation;
use super::names::Names;
use super::pubsub::About;
use super::settings::{AppSettings, Behavior, Route, WebSocketSettings};
use super::shutdown::Shutdown;
use crate::counters::{Cell, Meter};
use crate::ids::{AppId, BehaviorId, DomainId};

/// An app: its routers, settings and topics.
pub(crate) struct App {
    /// The app's own router, which has the default [`DomainId`], 0.
    pub(crate) router: Router<Route>,
    /// The routers of server names. Numbers are not reused, because a connection may have the number of a removed one.
    pub(crate) domains: HashMap<DomainId, Router<Route>>,
    pub(crate) last_domain: DomainId,
    /// The certificates and server names; `None` if the app does not use TLS.
    pub(crate) names: Option<Names>,
    pub(crate) settings: AppSettings,
    pub(crate) topics: Topics<About>,
    /// The number of bytes of all messages that have been published and had subscribers.
    pub(crate) published_bytes: u64,
    /// The number of bytes that the log of publications had allocated after the last delivery.
    pub(crate) log_memory: usize,
    pub(crate) meter: Meter,
    /// Whether [`Event::Connected`](crate::Event::Connected) and [`Event::Disconnected`](crate::Event::Disconnected)
    /// are wanted.
    pub(crate) counts: bool,
    /// The number of connections, including those that are closing.
    pub(crate) connections: u32,
    /// The number of listening sockets.
    pub(crate) listeners: u32,
    /// Whether the app waits for connections that others hand over, for which it stays alive as if it listened.
    pub(crate) adopts: bool,
    /// Whether accepting is paused, because the app has as many connections as it may have.
    pub(crate) is_paused: bool,
    /// How far shutting down has come; `None` if the app is not being shut down.
    pub(crate) shutdown: Option<Box<Shutdown>>,
}

impl App {
    fn new(settings: AppSettings, meter: Meter) -> Self {
        Self {
            router: Router::default(),
            domains: HashMap::new(),
            last_domain: DomainId::default(),
            names: None,
            settings,
            topics: Topics::default(),
            published_bytes: 0,
            log_memory: 0,
            meter,
            counts: false,
            connections: 0,
            listeners: 0,
            adopts: false,
            is_paused: false,
            shutdown: None,
        }
    }

    /// Returns a router; `None` if it belonged to a server name that has been removed.
    pub(crate) fn router(&self, domain: DomainId) -> Option<&Router<Route>> {
        if domain == DomainId::default() { Some(&self.router) } else { self.domains.get(&domain) }
    }

    /// Returns a router; `None` if it belonged to a server name that has been removed.
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
        self.connections == 0 && self.listeners == 0 && !self.adopts
    }

    fn routes(&self) -> Vec<Route> {
        self.domains.values().chain([&self.router]).flat_map(Router::values).cloned().collect()
    }
}

/// The number of items that are kept until the owner removes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of apps.
    pub apps: usize,
    /// The number of server names of all apps.
    pub domains: usize,
    /// The number of behaviors, which are the settings of WebSocket routes.
    pub behaviors: usize,
}

#[derive(Default)]
pub(crate) struct Apps {
    all: Numbered<App>,
    /// Apps that may have become quiet.
    quiet: Vec<AppId>,
    /// The number of apps that wait for connections that others hand over.
    adopting: usize,
}

/// Whoever holds the number of an app or a behavior keeps it.
const NAMED: &str = "removed when nobody names it any more";

impl Apps {
    fn insert(&mut self, settings: AppSettings, meter: Meter) -> AppId {
        AppId(self.all.insert(App::new(settings, meter)))
    }

    pub(crate) fn has(&self, id: AppId) -> bool {
        self.all.get(id.0).is_some()
    }

    pub(crate) fn of(&self, id: AppId) -> &App {
        self.all.get(id.0).expect(NAMED)
    }

    pub(crate) fn of_mut(&mut self, id: AppId) -> &mut App {
        self.all.get_mut(id.0).expect(NAMED)
    }

    /// Counts a new connection.
    pub(crate) fn note_connection(&mut self, app: AppId) {
        self.of_mut(app).connections += 1;
    }

    /// Counts a connection that has been removed.
    pub(crate) fn forget_connection(&mut self, app: AppId) {
        let it = self.of_mut(app);
        it.connections -= 1;
        if let Some(shutdown) = &mut it.shutdown {
            shutdown.note_removed();
        }
        if it.is_quiet() {
            self.quiet.push(app);
        }
    }

    /// Counts a new listening socket.
    pub(crate) fn note_listener(&mut self, app: AppId) {
        let it = self.of_mut(app);
        it.listeners += 1;
        it.meter.count(Cell::Listeners);
    }

    /// Counts a listening socket that has been closed.
    pub(crate) fn forget_listener(&mut self, app: AppId) {
        let it = self.of_mut(app);
        it.listeners -= 1;
        it.meter.subtract(Cell::Listeners, 1);
        self.quiet.push(app);
    }

    /// Makes an app wait for connections that others hand over.
    pub(crate) fn begin_adopting(&mut self, app: AppId) {
        let adopts = &mut self.all.get_mut(app.0).expect(NAMED).adopts;
        self.adopting += usize::from(!*adopts);
        *adopts = true;
    }

    /// Undoes [`Apps::begin_adopting`].
    pub(crate) fn end_adopting(&mut self, app: AppId) {
        if mem::take(&mut self.of_mut(app).adopts) {
            self.adopting -= 1;
            self.quiet.push(app);
        }
    }

    /// Returns whether an app waits for connections that others hand over.
    pub(crate) fn adopt(&self) -> bool {
        self.adopting > 0
    }

    /// Has the next call of [`Apps::take_quiet`] return an app, if it is quiet by then.
    pub(crate) fn note_quiet(&mut self, app: AppId) {
        self.quiet.push(app);
    }

    pub(crate) fn is_quiet(&self, app: AppId) -> bool {
        self.of(app).is_quiet()
    }

    /// Returns the quiet apps among those that have been noted or have lost a socket since the last call.
    fn take_quiet(&mut self) -> Vec<AppId> {
        let mut quiet = mem::take(&mut self.quiet);
        quiet.sort_unstable_by_key(|app| app.0);
        quiet.dedup();
        quiet.retain(|app| self.has(*app) && self.is_quiet(*app));
        quiet
    }
}

#[derive(Default)]
pub(crate) struct Behaviors {
    all: Numbered<Behavior>,
    /// Behaviors that may have become unused.
    unused: Vec<BehaviorId>,
}

impl Behaviors {
    pub(crate) fn get(&self, id: BehaviorId) -> &Behavior {
        self.all.get(id.0).expect(NAMED)
    }

    fn get_mut(&mut self, id: BehaviorId) -> &mut Behavior {
        self.all.get_mut(id.0).expect(NAMED)
    }

    /// Counts a WebSocket that has this behavior.
    pub(crate) fn hold(&mut self, id: BehaviorId) {
        self.get_mut(id).uses += 1;
    }

    /// Counts a route or WebSocket that no longer has this behavior.
    pub(crate) fn release(&mut self, id: BehaviorId) {
        let uses = &mut self.get_mut(id).uses;
        *uses -= 1;
        if *uses == 0 {
            self.unused.push(id);
        }
    }

    /// Returns the settings of a WebSocket; `None` for any other connection.
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

    /// Returns the behaviors that have become unused or been noted since the last call, and are unused now.
    fn take_unused(&mut self) -> Vec<BehaviorId> {
        let mut unused = mem::take(&mut self.unused);
        unused.sort_unstable_by_key(|behavior| behavior.0);
        unused.dedup();
        unused.retain(|behavior| self.is_unused(*behavior));
        unused
    }
}

/// How long apps and behaviors are kept: the methods behind those of [`crate::Reactor`], which documents them.
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

    pub(crate) fn add_app(&mut self, settings: AppSettings) -> AppId {
        let meter = self.registration.add_app(AppId(self.apps.all.next()));
        let app = self.apps.insert(settings, meter.clone());
        self.transport.set_meter(app, Some(meter));
        app
    }

    pub(crate) fn remove_app(&mut self, app: AppId) {
        debug_assert!(self.apps.is_quiet(app));
        let it = self.apps.of(app);
        self.registration.remove_app(&it.meter);
        self.published_memory -= it.log_memory;
        self.transport.set_meter(app, None);
        self.published.retain(|published| *published != app);
        self.events.forget_app(app);
        self.apps.all.remove(app.0);
    }

    pub(crate) fn add_behavior(&mut self, app: AppId, settings: WebSocketSettings, asks: bool) -> BehaviorId {
        let meter = self.apps.of(app).meter.clone();
        BehaviorId(self.behaviors.all.insert(Behavior { app, meter, settings, asks, uses: 1 }))
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

/// A table whose numbers are reused after removal.
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
    /// Returns the number that [`Numbered::insert`] returns next.
    fn next(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.at.len() as u32)
    }

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
