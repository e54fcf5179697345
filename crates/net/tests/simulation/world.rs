//! What a run consists of: the network, the reactor on it, the clock, and the model.

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milliways_net::{AppId, AppSettings, BehaviorId, DomainId, ListenerId, Reactor, Route, RouteId, WebSocketSettings};
use milliways_proto::router::RouteKind;
use milliways_simnet::{Entered, Network};

use rustls::ClientConfig;

use crate::clients::{client_config, server_config};
use crate::log::Log;
use crate::model::Model;
use crate::plan::Plan;
use crate::random::Random;
use crate::remote::Afar;

/// The close code and the reason that WebSockets get when the app is shut down.
pub(crate) const SHUT_DOWN: (u16, &[u8]) = (1012, b"back soon");

/// The handler of most requests.
pub(crate) const HANDLER: RouteId = RouteId(0);
/// A handler that passes requests on.
pub(crate) const PASSER: RouteId = RouteId(1);

/// Fails a run unless a condition holds.
macro_rules! ensure {
    ($world:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            $world.fail(&format!($($text)+));
        }
    };
}

pub(crate) use ensure;

/// The shutdown of the app.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    /// When what is left is cut.
    pub(crate) deadline: Option<Duration>,
    /// The number of connections that there have been since.
    pub(crate) connections: u64,
    pub(crate) is_over: bool,
}

pub(crate) struct World {
    pub(crate) reactor: Reactor,
    pub(crate) network: Network,
    pub(crate) app: AppId,
    pub(crate) listener: Cell<Option<ListenerId>>,
    pub(crate) address: SocketAddr,
    pub(crate) behaviors: Vec<(BehaviorId, WebSocketSettings)>,
    pub(crate) plan: Plan,
    pub(crate) log: Log,
    /// Another thread, if there is one.
    pub(crate) afar: Option<Afar>,
    /// The settings of the clients, if they use TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    model: RefCell<Model>,
    random: RefCell<Random>,
    epoch: Instant,
    now: Cell<Duration>,
    /// The number of calls to the reactor that are under way, each in a handler that the one before has called.
    pub(crate) calls: Cell<usize>,
    /// The number of event loops that are under way, each in a handler of the one before.
    pub(crate) loops: Cell<usize>,
    /// Handlers do what they must and nothing else, so that everything comes to rest.
    pub(crate) is_quiet: Cell<bool>,
    /// A handler of a dropped message is running. Meanwhile, it is not called for others.
    pub(crate) is_telling_dropped: Cell<bool>,
    /// When the thread was last too busy for the reactor.
    pub(crate) slept: Cell<Duration>,
    /// The program is closing the app, or is ending.
    pub(crate) is_closing: Cell<bool>,
    /// The app is being shut down, or has been.
    pub(crate) shutdown: Cell<Option<Shutdown>>,
    /// The number of panics that have been provoked and have not been reported.
    pub(crate) provoked: Cell<u32>,
    /// The number of connections that may end for no other reason than a panic that was provoked.
    pub(crate) may_panic: Cell<u32>,
    /// A panic that was provoked has been reported in this turn: a connection that ends in it may have been cut.
    pub(crate) has_panicked: Cell<bool>,
    /// The routes of WebSockets have been removed.
    pub(crate) has_released: Cell<bool>,
    failure: RefCell<Option<String>>,
    _entered: Entered,
}

impl World {
    pub(crate) fn new(plan: Plan, random: Random, log: Log) -> Self {
        let network = Network::new();
        let entered = network.enter();
        network.set_loses(plan.loses);
        #[expect(clippy::disallowed_methods, reason = "the clock starts somewhere")]
        let epoch = Instant::now();
        let reactor = Reactor::new(epoch).expect("a poll in memory");
        let (idle_timeout, proxy_protocol) = (plan.idle_timeout, plan.is_proxied);
        let app = reactor.add_app(AppSettings { idle_timeout, proxy_protocol, ..AppSettings::default() });
        reactor.count_connections(app);
        if plan.is_secure {
            reactor.secure(app, server_config());
        }
        let tls = plan.is_secure.then(client_config);
        let afar = plan.is_remote.then(|| Afar::new(reactor.remote(app).expect("a waker in memory")));
        let listener = reactor.listen(app, Some("127.0.0.1"), 0, false).expect("a port in memory");
        let address = reactor.local_address(listener).expect("a TCP socket");
        let route = |kind, pattern: &str, route| {
            reactor.route(app, DomainId::default(), kind, pattern, Some(route)).expect("a good pattern");
        };
        route(RouteKind::Any, "/h/*", Route::Http(HANDLER));
        route(RouteKind::Any, "/y/*", Route::Http(PASSER));
        let mut behaviors = Vec::new();
        for (index, (settings, asks)) in plan.behaviors.iter().enumerate() {
            settings.check().expect("good settings");
            let behavior = reactor.add_behavior(app, *settings, *asks);
            route(RouteKind::Upgrade, &format!("/w{index}/*"), Route::WebSocket(behavior));
            behaviors.push((behavior, *settings));
        }
        Self {
            reactor,
            network,
            app,
            listener: Cell::new(Some(listener)),
            address,
            behaviors,
            plan,
            log,
            afar,
            tls,
            model: RefCell::default(),
            random: RefCell::new(random),
            epoch,
            now: Cell::default(),
            calls: Cell::default(),
            loops: Cell::default(),
            is_quiet: Cell::default(),
            is_telling_dropped: Cell::default(),
            slept: Cell::default(),
            is_closing: Cell::default(),
            shutdown: Cell::default(),
            provoked: Cell::default(),
            may_panic: Cell::default(),
            has_panicked: Cell::default(),
            has_released: Cell::default(),
            failure: RefCell::default(),
            _entered: entered,
        }
    }

    pub(crate) fn model(&self) -> RefMut<'_, Model> {
        self.model.borrow_mut()
    }

    pub(crate) fn random(&self) -> RefMut<'_, Random> {
        self.random.borrow_mut()
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        self.random().below(limit)
    }

    pub(crate) fn once_in(&self, times: usize) -> bool {
        self.random().once_in(times)
    }

    /// Returns the time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    pub(crate) fn instant(&self) -> Instant {
        self.epoch + self.now()
    }

    pub(crate) fn since_epoch(&self, instant: Instant) -> Duration {
        instant - self.epoch
    }

    pub(crate) fn set_now(&self, now: Duration) {
        self.now.set(now);
        self.network.set_now(now);
    }

    pub(crate) fn log(&self, line: impl FnOnce() -> String) {
        self.log.add(|| format!("{:>10.3} {}", self.now().as_secs_f64(), line()));
    }

    /// Notes a failure, and panics. The reactor catches panics of handlers, so that the run goes on to its next check of
    /// [`World::has_failed`]; the first failure counts.
    pub(crate) fn fail(&self, what: &str) -> ! {
        self.note_failure(what);
        panic!("{what}");
    }

    pub(crate) fn note_failure(&self, what: &str) {
        self.log(|| format!("FAILED: {what}"));
        self.failure.borrow_mut().get_or_insert_with(|| what.to_owned());
    }

    /// Returns whether the program has begun to end the app.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_closing.get() || self.shutdown.get().is_some()
    }

    /// Returns whether a shutdown has reached its deadline, at which it cuts what is left.
    pub(crate) fn is_overdue(&self) -> bool {
        self.shutdown.get().is_some_and(|it| it.deadline.is_some_and(|end| self.now() >= end))
    }

    /// Returns whether a connection may have ended because of a panic that was provoked. Each ends one.
    pub(crate) fn takes_provoked_panic(&self) -> bool {
        let left = self.may_panic.get();
        self.may_panic.set(left.saturating_sub(1));
        left > 0
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }
}
