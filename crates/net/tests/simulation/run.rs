//! A run: steps at random until it is time to end, and then the end of everything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use milliways_net::{DomainId, Layer, Route};
use milliways_proto::router::RouteKind;
use milliways_simnet::{Fault, Side};

use crate::clients::Client;
use crate::log::{Keep, Log};
use crate::model::Reason;
use crate::plan::Plan;
use crate::random::Random;
use crate::world::{SHUT_DOWN, Shutdown, World, ensure};

/// The number of rounds in which everything comes to rest.
const MAX_ROUNDS: usize = 3_000;

/// The layers in which panics are provoked: those that no call of a handler reaches, so that the model knows what has been
/// done.
const PROVOKED: [Layer; 7] =
    [Layer::Accept, Layer::Read, Layer::Handshake, Layer::Http, Layer::Route, Layer::WebSocket, Layer::Deadline];

const FAULTS: [Fault; 5] =
    [Fault::AcceptStarved, Fault::AcceptAborted, Fault::Register, Fault::Reregister, Fault::Interrupt];

/// The room of a socket that does not stall.
const ROOM: usize = 256 * 1024;

/// What has become of a run.
pub(crate) struct Outcome {
    pub(crate) failure: Option<String>,
    /// The number of steps that were taken.
    pub(crate) steps: usize,
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
}

/// Runs a seed.
pub(crate) fn simulate(seed: u64, keep: Keep) -> Outcome {
    let mut random = Random::new(seed);
    let plan = Plan::new(&mut random);
    let mut run = Run { world: World::new(plan, random, Log::new(keep)), clients: Vec::new(), steps: 0 };
    let result = catch_unwind(AssertUnwindSafe(|| run.all()));
    let failure = run.world.failure();
    let failure = failure.or_else(|| result.err().map(|_| format!("a panic{}", crate::last_panic())));
    let (steps, hash, lines) = (run.steps, run.world.log.hash(), run.world.log.take_lines());
    let failure = failure.or_else(|| run.drop_reactor());
    Outcome { failure, steps, hash, lines }
}

struct Run {
    clients: Vec<Client>,
    world: World,
    steps: usize,
}

impl Run {
    fn all(&mut self) {
        self.world.log(|| format!("{:?}", self.world.plan));
        for _ in 0..self.world.plan.steps {
            if self.world.has_failed() {
                return;
            }
            self.step();
            self.steps += 1;
        }
        self.finish();
    }

    /// Drops the reactor. Returns what is left of it that should not be.
    fn drop_reactor(self) -> Option<String> {
        let World { reactor, network, afar, .. } = self.world;
        drop(afar);
        drop(reactor);
        let left = network.descriptors();
        (left > 0).then(|| format!("{left} descriptors are left of a reactor that is gone"))
    }

    fn step(&mut self) {
        match self.world.below(100) {
            0..=4 => self.connect(),
            5..=24 => self.with_client(Client::speak),
            25..=36 => self.with_client(|client, world| client.push(world, world.piece())),
            37..=48 => self.with_client(|client, world| {
                if client.manner.reads {
                    client.pull(world, world.piece());
                }
            }),
            49..=66 => self.move_bytes(),
            67..=86 => self.world.iterate(),
            87..=90 => self.world.act(),
            91 => self.misbehave(),
            92 => self.disturb(),
            97 if self.world.plan.is_remote => self.world.publish_from_afar(),
            98 if self.world.plan.panics && self.world.once_in(4) => self.world.provoke(),
            93 | 94 => self.pass_a_little(),
            95 if self.world.once_in(3) => self.pass_much(),
            96 if self.world.once_in(2) => self.rest(),
            _ => self.world.prepare(),
        }
        let is_at_work = self.world.reactor.has_work() || self.world.network.has_events();
        if !is_at_work {
            self.world.check_now();
        }
    }

    fn connect(&mut self) {
        self.clients.retain(|client| !client.is_over());
        if self.clients.len() < self.world.plan.clients {
            self.clients.extend(Client::connect(&self.world));
        }
    }

    fn with_client(&mut self, act: impl FnOnce(&mut Client, &World)) {
        if self.clients.is_empty() {
            return;
        }
        let index = self.world.below(self.clients.len());
        let client = &mut self.clients[index];
        if !client.is_over() && !client.has_vanished() {
            act(client, &self.world);
        }
    }

    /// Lets bytes arrive somewhere.
    fn move_bytes(&mut self) {
        let world = &self.world;
        let connections = world.network.connections();
        if !connections.is_empty() {
            let key = world.random().pick(&connections);
            let side = if world.once_in(2) { Side::Client } else { Side::Server };
            world.network.deliver(key, side, world.piece());
        }
    }

    /// A client that is not faithful does something else than talking.
    fn misbehave(&mut self) {
        self.with_client(|client, world| {
            if client.manner.is_faithful {
                return;
            }
            match world.below(6) {
                0 => client.reset(world),
                1 => client.close(world),
                2 => client.vanish(world),
                3 => client.finish(),
                _ => client.manner.reads = !client.manner.reads,
            }
        });
    }

    /// The network or the system does something unusual.
    fn disturb(&mut self) {
        let world = &self.world;
        if world.plan.faults && world.once_in(4) {
            let fault = world.random().pick(&FAULTS);
            let times = 1 + world.below(2) as u32;
            world.log(|| format!("{fault:?} {times} times"));
            world.network.fail(fault, times);
        }
        self.with_client(|client, world| {
            let Some(key) = client.key() else { return };
            if world.plan.stalls {
                let room = world.random().pick(&[0, 0, 1, 100, 5_000, ROOM]);
                let side = if world.once_in(3) { Side::Client } else { Side::Server };
                world.log(|| format!("room {room} of client {} at {side:?}", client.which));
                world.network.set_send_room(key, side, room);
            }
            world.network.report_spuriously(key);
        });
    }

    fn pass_a_little(&mut self) {
        let time = Duration::from_millis(self.world.below(1_500) as u64);
        self.pass(time);
    }

    fn pass_much(&mut self) {
        let seconds = self.world.random().pick(&[2, 5, 8, 12, 20, 40]);
        if self.world.once_in(3) {
            self.world.oversleep(Duration::from_secs(seconds));
        } else {
            self.pass(Duration::from_secs(seconds));
        }
    }

    /// Lets time pass. Faithful clients go on meanwhile.
    fn pass(&mut self, time: Duration) {
        let Self { world, clients, .. } = self;
        let deadline = world.reactor.next_deadline().map(|deadline| world.since_epoch(deadline));
        world.log(|| format!("{time:?} pass, deadline {deadline:?}"));
        world.pass(time, || {
            for client in clients.iter_mut().filter(|client| client.manner.is_faithful) {
                client.serve(world);
            }
            world.deliver_farewells();
            world.iterate();
        });
    }

    /// Lets everything arrive and everybody go on until nothing happens any more, and then compares what there is with what
    /// there should be. No time passes: what waits for a deadline was forgotten.
    fn rest(&mut self) {
        let Self { world, clients, .. } = self;
        world.log(|| "rest".to_owned());
        let outer = world.is_quiet.replace(true);
        for fault in FAULTS {
            world.network.fail(fault, 0);
        }
        for client in clients.iter() {
            client.make_room(world);
        }
        let mut rounds = 0;
        while !self.has_come_to_rest() {
            rounds += 1;
            let world = &self.world;
            ensure!(world, rounds < MAX_ROUNDS, "it never comes to rest");
            if world.has_failed() {
                return;
            }
        }
        self.world.note_said(&self.clients);
        self.world.check_rest();
        self.check_accepted();
        self.world.is_quiet.set(outer);
    }

    /// Lets everything arrive and everybody go on. Returns whether nothing happens any more.
    fn has_come_to_rest(&mut self) -> bool {
        let Self { world, clients, .. } = self;
        for client in clients.iter_mut() {
            if client.is_in_message() {
                client.say_next_fragment(world);
            }
            client.serve(world);
        }
        world.deliver_farewells();
        if world.once_in(2) {
            world.answer_all();
        }
        world.iterate();
        let is_moving = clients.iter().any(|client| client.is_moving(world));
        !is_moving && !world.network.has_events() && !world.reactor.has_work()
    }

    /// Checks that all connections are accepted: at once, or a second after descriptors had run out.
    fn check_accepted(&mut self) {
        if self.world.plan.faults && self.world.network.waiting() > 0 {
            self.pass(Duration::from_secs(2));
        }
        let world = &self.world;
        let waiting = world.network.waiting();
        ensure!(world, waiting == 0 || world.has_failed(), "{waiting} connections are not accepted");
    }

    /// Ends everything, and checks that nothing is left.
    fn finish(&mut self) {
        self.rest();
        let ending = match self.world.below(10) {
            0 | 1 => Ending::Close,
            2..=4 => Ending::ShutDown,
            5 => Ending::Drop,
            _ => Ending::Leave,
        };
        self.world.log(|| format!("the end: {ending:?}"));
        match ending {
            _ if self.world.has_failed() => return,
            Ending::Close => self.close_app(),
            Ending::ShutDown => self.shut_down(),
            Ending::Leave => self.let_all_leave(),
            Ending::Drop => return self.world.is_closing.set(true),
        }
        if !self.world.has_failed() {
            self.check_that_nothing_is_left();
        }
    }

    fn check_that_nothing_is_left(&mut self) {
        if self.world.plan.is_secure {
            // A little later, the reactor looks for the keys of TLS sessions that may have gone meanwhile.
            self.pass(Duration::from_secs(3));
        }
        let world = &self.world;
        world.prepare();
        world.check_now();
        let stats = world.reactor.stats();
        ensure!(world, stats.connections == 0 && stats.websockets == 0, "{stats:?} are left");
        let deadline = world.reactor.next_deadline().map(|deadline| world.since_epoch(deadline));
        ensure!(world, deadline.is_none(), "a deadline is left: {deadline:?}");
        ensure!(world, !world.reactor.has_work(), "work is left");
        let live = world.model().live.len();
        ensure!(world, live == 0, "nobody was told of the end of {live} requests or WebSockets");
        if let Some(listener) = world.listener.take() {
            world.reactor.close_listener(listener);
        }
        if !world.has_released.get() {
            world.release_behaviors();
        }
        for behavior in world.reactor.take_unused() {
            world.reactor.remove_behavior(behavior);
        }
        for app in world.reactor.take_quiet() {
            world.reactor.remove_app(app);
        }
        let kept = world.reactor.kept();
        ensure!(world, kept.apps + kept.domains + kept.behaviors == 0, "{kept:?} is left");
        let descriptors = world.network.descriptors();
        let expected = world.own_descriptors();
        ensure!(world, descriptors == expected, "{descriptors} descriptors are left, not {expected}");
        ensure!(world, !world.reactor.is_active(), "it is still active");
    }

    /// The program closes the app, with all of its connections.
    fn close_app(&mut self) {
        let Self { world, .. } = self;
        world.is_quiet.set(true);
        world.is_closing.set(true);
        let mark = world.reactor.mark();
        world.reactor.close_app(world.app, || {
            world.reactor.run_caused(mark, |event| world.handle(event));
        });
        world.listener.take();
        world.prepare();
        let left = world.network.accepted();
        ensure!(world, left == 0, "{left} connections are left of an app that has closed");
    }

    /// The program shuts the app down. Clients and handlers go on until there is nothing to go on with.
    fn shut_down(&mut self) {
        // A shutdown begins in the middle of everything.
        for _ in 0..self.world.below(60) {
            self.step();
            if self.world.has_failed() {
                return;
            }
        }
        let Self { world, .. } = self;
        let since = world.now();
        let patience = (!world.once_in(4)).then(|| Duration::from_secs(1 + world.below(20) as u64));
        let deadline = patience.map(|patience| since + patience);
        // What waits to be accepted is accepted, unless accepting fails.
        for fault in [Fault::AcceptStarved, Fault::AcceptAborted, Fault::Register] {
            world.network.fail(fault, 0);
        }
        let connections = (world.network.accepted() + world.network.waiting()) as u64;
        world.shutdown.set(Some(Shutdown { deadline, connections, is_over: false }));
        for it in &mut world.model().all {
            it.may_end(Reason::ShutDown, since);
        }
        world.listener.take();
        let (code, reason) = SHUT_DOWN;
        let end = patience.map(|patience| world.instant() + patience);
        world.causing(|reactor| {
            let begun = reactor.shut_down(world.app, code, reason, end);
            ensure!(world, begun.is_ok(), "not shut down: {begun:?}");
        });
        for _ in 0..200 {
            if self.world.has_failed() {
                return;
            }
            self.step();
        }
        self.world.is_quiet.set(true);
        self.wait_for_the_end();
        let world = &self.world;
        let is_over = world.shutdown.get().is_some_and(|shutdown| shutdown.is_over);
        ensure!(world, world.has_failed() || is_over, "the app was not shut down");
    }

    /// All clients leave, each in its own way.
    fn let_all_leave(&mut self) {
        let Self { world, clients, .. } = self;
        world.is_quiet.set(true);
        if world.once_in(2) {
            // The routes go first. What has come by them stays.
            world.release_behaviors();
        }
        for client in clients.iter_mut() {
            match world.below(4) {
                _ if client.is_over() || client.has_vanished() => {}
                0 => client.reset(world),
                1 => client.close(world),
                _ => client.leave_in_order(world),
            }
        }
        self.wait_for_the_end();
    }

    fn wait_for_the_end(&mut self) {
        for client in &self.clients {
            client.make_room(&self.world);
        }
        for _ in 0..6 {
            self.pass(Duration::from_secs(20));
            let Self { world, clients, .. } = self;
            if world.has_failed() {
                return;
            }
            for client in clients.iter_mut() {
                client.serve(world);
            }
            world.resume_all();
            world.answer_all();
            world.iterate();
        }
        self.pass(Duration::from_secs(1_000));
    }
}

/// How everything ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The program closes the app.
    Close,
    /// The program shuts the app down.
    ShutDown,
    /// The clients leave.
    Leave,
    /// The reactor goes, with all that it has.
    Drop,
}

impl World {
    /// Returns how many bytes move at once.
    fn piece(&self) -> usize {
        if self.plan.is_smooth {
            return usize::MAX;
        }
        match self.below(8) {
            0 => 1,
            1 => 1 + self.below(10),
            2 | 3 => 1 + self.below(200),
            4 | 5 => 1 + self.below(20_000),
            _ => usize::MAX,
        }
    }

    /// Lets arrive what clients have left behind that have closed their end.
    fn deliver_farewells(&self) {
        for key in self.network.connections() {
            if self.network.state(key, Side::Client).is_some_and(|client| !client.is_open) {
                self.network.deliver(key, Side::Client, usize::MAX);
                self.network.deliver(key, Side::Server, usize::MAX);
            }
        }
    }

    /// Removes the routes of WebSockets.
    fn release_behaviors(&self) {
        self.has_released.set(true);
        for it in &mut self.model().all {
            it.forget_routes();
        }
        for (index, (behavior, _)) in self.behaviors.iter().enumerate() {
            let pattern = format!("/w{index}/*");
            let route = self.reactor.route(self.app, DomainId::default(), RouteKind::Upgrade, &pattern, None);
            let is_it = matches!(route, Ok(Some(Route::WebSocket(removed))) if removed == *behavior);
            ensure!(self, is_it, "the route {pattern} is {route:?}");
            self.reactor.release_behavior(*behavior);
        }
    }

    /// Returns the number of descriptors that there are without connections: the poll, the waker, and what belongs to
    /// another thread.
    fn own_descriptors(&self) -> usize {
        if self.afar.is_some() { 3 } else { 1 }
    }

    /// Makes the next thing of some kind panic. It ends one connection at most.
    fn provoke(&self) {
        let layer = self.random().pick(&PROVOKED);
        self.log(|| format!("the next {layer:?} panics"));
        self.reactor.provoke(layer);
        if self.provoked.replace(1) == 0 {
            self.may_panic.set(self.may_panic.get() + 1);
        }
    }

    /// Resumes what handlers have paused.
    fn resume_all(&self) {
        let open = self.model().open();
        for id in open {
            self.resume(id);
        }
    }

    /// Notes which clients have sent all that they have said.
    fn note_said(&self, clients: &[Client]) {
        let mut model = self.model();
        for client in clients {
            model.all[client.which].has_said_all = client.has_sent_all();
        }
    }
}

impl Client {
    /// Sends what it has said, lets everything arrive, and reads.
    fn serve(&mut self, world: &World) {
        let Some(key) = self.key().filter(|_| !self.has_vanished()) else { return };
        self.push(world, usize::MAX);
        world.network.deliver(key, Side::Client, usize::MAX);
        world.network.deliver(key, Side::Server, usize::MAX);
        if self.manner.reads {
            self.pull(world, usize::MAX);
        }
    }

    /// Makes room for everything that is sent, unless the client is not faithful and stalls.
    fn make_room(&self, world: &World) {
        let Some(key) = self.key() else { return };
        let stalls = !self.manner.is_faithful && world.once_in(8);
        world.network.set_send_room(key, Side::Server, if stalls { 0 } else { ROOM });
        world.network.set_send_room(key, Side::Client, ROOM);
    }

    /// Returns whether something is still on its way to or from it.
    fn is_moving(&self, world: &World) -> bool {
        let Some(key) = self.key().filter(|_| !self.has_vanished()) else { return false };
        let network = &world.network;
        let can_push = self.has_to_send() && network.state(key, Side::Client).is_some_and(|state| state.free > 0);
        let can_pull = self.manner.reads
            && network.state(key, Side::Client).is_some_and(|state| state.unread > 0 || state.has_unread_end);
        can_push
            || can_pull
            || self.is_in_message()
            || network.has_deliverable(key, Side::Client)
            || network.has_deliverable(key, Side::Server)
    }
}
