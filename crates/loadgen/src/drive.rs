//! Many clients on one thread: connecting, warming up, measuring.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use std::{io, process};

use mio::{Events, Poll, Registry};

use crate::args::Options;
use crate::client::Result;
use crate::cpu;
use crate::report::Measurement;

/// One client. An error of it ends the run: a benchmark that goes on with fewer clients measures something else.
pub(crate) trait Client: Sized {
    /// Starts to connect.
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self>;

    /// Whether it has done what comes before the load.
    fn is_up(&self) -> bool;

    /// Begins its load.
    fn begin(&mut self, context: &mut Context) -> Result<()>;

    /// Goes on after its socket has become readable or writable.
    fn handle(&mut self, context: &mut Context) -> Result<()>;

    /// Called for the first client when the events of a turn have been handled.
    fn after_turn(&mut self, _context: &mut Context) -> Result<()> {
        Ok(())
    }
}

/// What all clients share.
pub(crate) struct Context<'r> {
    /// When the events that are being handled were taken.
    pub(crate) now: Instant,
    /// Whether answers count.
    pub(crate) is_measuring: bool,
    pub(crate) measurement: Measurement,
    /// Where sockets are read into.
    pub(crate) scratch: Vec<u8>,
    pub(crate) registry: &'r Registry,
}

/// Clients that connect at the same time; more would overflow the backlog of a listening socket.
const CONNECTING: usize = 200;

/// How long connecting may take in all.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);

/// Connects all clients, lets them work for the time of warming up and of measuring, and gives what was measured.
pub(crate) fn drive<C: Client>(options: &Options) -> Result<Measurement> {
    let mut poll = Poll::new()?;
    let registry = poll.registry().try_clone()?;
    let mut events = Events::with_capacity(1024);
    let start = Instant::now();
    let mut context = Context {
        now: start,
        is_measuring: false,
        measurement: Measurement::new(),
        scratch: vec![0; 256 * 1024],
        registry: &registry,
    };
    let mut clients: Vec<C> = Vec::with_capacity(options.connections);
    let mut connecting: VecDeque<usize> = VecDeque::new();
    while clients.len() < options.connections || !connecting.is_empty() {
        while clients.len() < options.connections && connecting.len() < CONNECTING {
            connecting.push_back(clients.len());
            clients.push(C::start(options, &registry, clients.len())?);
        }
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        context.now = Instant::now();
        for event in &events {
            clients[event.token().0].handle(&mut context)?;
        }
        connecting.retain(|index| !clients[*index].is_up());
        if start.elapsed() > CONNECT_DEADLINE {
            return Err(format!(
                "only {} of {} clients connected",
                clients.len() - connecting.len(),
                options.connections
            )
            .into());
        }
    }
    context.now = Instant::now();
    for client in &mut clients {
        client.begin(&mut context)?;
    }
    let warm = Instant::now() + options.warmup;
    while Instant::now() < warm {
        turn(&mut poll, &mut events, &mut clients, &mut context)?;
    }
    let server_cpu = || options.server.map(cpu::time_of).transpose();
    context.is_measuring = true;
    let (server_before, own_before) = (server_cpu()?, cpu::time_of(process::id())?);
    let begin = Instant::now();
    while begin.elapsed() < options.measure {
        turn(&mut poll, &mut events, &mut clients, &mut context)?;
    }
    context.measurement.elapsed = begin.elapsed();
    context.measurement.server_cpu =
        server_cpu()?.zip(server_before).map(|(after, before)| after.saturating_sub(before));
    context.measurement.own_cpu = cpu::time_of(process::id())?.saturating_sub(own_before);
    Ok(context.measurement)
}

fn turn<C: Client>(poll: &mut Poll, events: &mut Events, clients: &mut [C], context: &mut Context) -> Result<()> {
    poll.poll(events, Some(Duration::from_millis(50)))?;
    context.now = Instant::now();
    for event in events.iter() {
        clients[event.token().0].handle(context)?;
    }
    clients[0].after_turn(context)
}
