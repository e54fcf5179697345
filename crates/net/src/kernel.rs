//! What the kernel reports: the poll, and the events that it has returned and nobody has handled yet.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::token::Named;
use crate::transport::sys::{self, Event, Events, Interest, Poll, Registry, TcpStream};

/// The number of events that are taken from the kernel at once. The others are left to the next turn, so that the thread can
/// do other work in between.
const EVENTS: usize = 1024;

/// An event of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) named: Named,
    pub(crate) is_writable: bool,
    /// `None` if there is nothing to be read.
    pub(crate) peer: Option<Peer>,
}

/// The state of a peer as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Talking,
    /// It has sent its FIN.
    Finished,
    /// The connection has failed.
    Failed,
}

impl Report {
    fn of(event: &Event) -> Self {
        let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let peer = if event.is_error() || event.is_write_closed() {
            Peer::Failed
        } else if event.is_read_closed() {
            Peer::Finished
        } else {
            Peer::Talking
        };
        Self { named: Named::by(event.token()), is_writable: event.is_writable(), peer: is_readable.then_some(peer) }
    }
}

/// What the polls of all reactors of the process watch.
static POLLS: Mutex<Vec<Arc<Registry>>> = Mutex::new(Vec::new());

fn polls() -> MutexGuard<'static, Vec<Arc<Registry>>> {
    // Nothing panics while it is locked.
    POLLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether a reactor of this process, in whichever thread, watches this very descriptor.
pub(crate) fn is_watched(stream: &mut TcpStream) -> bool {
    // Should a poll report the socket meanwhile, its reactor finds the mailbox empty.
    let token = Named::Mailbox.token();
    polls().iter().any(|registry| match registry.register(stream, token, Interest::READABLE) {
        Ok(()) => registry.deregister(stream).is_err(),
        Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
    })
}

/// The poll of a reactor.
pub(crate) struct Kernel {
    poll: Poll,
    /// The poll's registry, also in [`POLLS`].
    registry: Arc<Registry>,
    events: Events,
    /// Events are edge-triggered, so they must not be lost. A turn that begins while another one is under way, in a handler
    /// that runs the event loop, handles what the outer turn has left.
    reports: VecDeque<Report>,
}

impl Kernel {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = Arc::new(poll.registry().try_clone()?);
        polls().push(Arc::clone(&registry));
        Ok(Self { poll, registry, events: Events::with_capacity(EVENTS), reports: VecDeque::new() })
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// See [`sys::descriptor`].
    pub(crate) fn descriptor(&self) -> io::Result<c_int> {
        sys::descriptor(&self.poll)
    }

    /// Takes events from the kernel, without waiting. Returns whether there may be more.
    pub(crate) fn ask(&mut self) -> io::Result<bool> {
        sys::retry(|| self.poll.poll(&mut self.events, Some(Duration::ZERO)))?;
        let before = self.reports.len();
        self.reports.extend(self.events.iter().map(Report::of));
        Ok(self.reports.len() - before == EVENTS)
    }

    /// Returns whether all events that have been taken have been handled.
    pub(crate) fn is_idle(&self) -> bool {
        self.reports.is_empty()
    }

    /// Returns the next event that has not been handled.
    pub(crate) fn next(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        polls().retain(|registry| !Arc::ptr_eq(registry, &self.registry));
    }
}
