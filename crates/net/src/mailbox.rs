//! Commands from other threads to a reactor.
//!
//! A reactor belongs to its thread. Another thread has a [`Remote`] and sends [`Command`]s with it, which wait in a
//! queue and wake the reactor's poll. The reactor carries them out in its next turn, in the order in which they were
//! sent. Everything that crosses is owned and [`Send`].

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milliways_proto::ws::Opcode;

use crate::ids::AppId;
use crate::token::Named;
use crate::transport::sys::{Registry, StdTcpStream, Waker};

/// The number of commands for which an empty queue keeps its memory.
const KEPT: usize = 1024;

/// A command from another thread to an app.
#[derive(Debug)]
pub enum Command {
    /// Serves a connection as if the app had accepted it.
    Adopt {
        /// The socket of the connection, which may be any stream socket, blocking or not. Nothing else may use it any
        /// more.
        stream: StdTcpStream,
    },
    /// Publishes a message as [`Reactor::publish`](crate::Reactor::publish) does. Messages from one thread arrive in
    /// the order in which it has sent them.
    Publish {
        /// The topic, which may be any bytes.
        topic: Box<[u8]>,
        /// [`Opcode::Text`], and then `message` is valid UTF-8, or [`Opcode::Binary`].
        opcode: Opcode,
        /// The message.
        message: Box<[u8]>,
        /// Whether the message is compressed for the WebSockets that have agreed on that.
        compress: bool,
    },
}

/// The error for a command that has not been sent, because the app has been closed or removed, its reactor has ended,
/// or the reactor could not be woken.
#[derive(Debug)]
pub struct Undelivered(
    /// The command as it was.
    pub Command,
);

impl fmt::Display for Undelivered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the app has been closed, its thread has ended, or it could not be woken")
    }
}

impl std::error::Error for Undelivered {}

/// One app of a reactor, as other threads see it. Clones are equivalent.
///
/// It keeps neither the app nor the reactor alive, and never stands for a later app.
#[derive(Clone, Debug)]
pub struct Remote {
    mailbox: Arc<Mailbox>,
    address: Arc<Address>,
}

impl Remote {
    /// Sends a command, which the reactor carries out in its next turn. This may be called at any time on any thread,
    /// and blocks only while another thread adds a command or the reactor takes some.
    ///
    /// The queue has no limit. A command that waits when its app is removed, or when its reactor ends, is dropped. What
    /// waits when the app is closed is carried out before.
    pub fn send(&self, command: Command) -> Result<(), Undelivered> {
        if !self.is_open() {
            return Err(Undelivered(command));
        }
        self.mailbox.send(Letter { address: Arc::clone(&self.address), command })
    }

    /// Hands a connection over, as [`Command::Adopt`] does. Returns it if that is not possible.
    pub(crate) fn hand_over(&self, stream: StdTcpStream) -> Result<(), StdTcpStream> {
        match self.send(Command::Adopt { stream }) {
            Err(Undelivered(Command::Adopt { stream })) => Err(stream),
            _ => Ok(()),
        }
    }

    /// Returns whether the app has neither been closed nor removed since, and its reactor has not ended.
    pub fn is_open(&self) -> bool {
        self.address.is_open()
    }

    /// Returns whether both stand for the same app.
    pub fn is_same_app(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.address, &other.address)
    }
}

/// The identity of an app until it is closed or removed. It outlives the app.
#[derive(Debug)]
struct Address {
    app: AppId,
    is_open: AtomicBool,
}

impl Address {
    fn new(app: AppId) -> Arc<Self> {
        Arc::new(Self { app, is_open: AtomicBool::new(true) })
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.is_open.store(false, Ordering::Release);
    }
}

/// A command with its address.
#[derive(Debug)]
pub(crate) struct Letter {
    address: Arc<Address>,
    command: Command,
}

impl Letter {
    /// Returns the app, which has not been removed, and the command.
    pub(crate) fn open(self) -> (AppId, Command) {
        (self.address.app, self.command)
    }
}

/// Commands on their way to a reactor.
#[derive(Debug)]
struct Mailbox {
    /// `None` once the reactor has ended.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    /// If this is not empty, the reactor has been woken.
    letters: VecDeque<Letter>,
    waker: Waker,
}

impl Mailbox {
    fn send(&self, letter: Letter) -> Result<(), Undelivered> {
        let mut state = self.lock();
        let Some(State { letters, waker }) = &mut *state else { return Err(Undelivered(letter.command)) };
        // An address is closed under this lock, so nothing is added once that is done.
        if !letter.address.is_open() || (letters.is_empty() && waker.wake().is_err()) {
            return Err(Undelivered(letter.command));
        }
        letters.push_back(letter);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        // Nothing panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reactor's end of its mailbox. Dropping it ends the mailbox.
pub(crate) struct Inbox {
    mailbox: Arc<Mailbox>,
    /// The addresses of the apps for which there has been a [`Remote`].
    addresses: HashMap<AppId, Arc<Address>>,
    /// Commands that have been taken from the mailbox all at once, so that its lock is held for a moment only.
    taken: VecDeque<Letter>,
}

impl Inbox {
    /// Creates the mailbox of a reactor. `registry` is that of its poll.
    pub(crate) fn new(registry: &Registry) -> io::Result<Self> {
        let waker = Waker::new(registry, Named::Mailbox.token())?;
        let state = Mutex::new(Some(State { letters: VecDeque::new(), waker }));
        Ok(Self { mailbox: Arc::new(Mailbox { state }), addresses: HashMap::new(), taken: VecDeque::new() })
    }

    pub(crate) fn remote(&mut self, app: AppId) -> Remote {
        let address = self.addresses.entry(app).or_insert_with(|| Address::new(app));
        Remote { mailbox: Arc::clone(&self.mailbox), address: Arc::clone(address) }
    }

    /// Closes the address of an app: no command can be sent to it any more. The app's next [`Remote`] has another one.
    pub(crate) fn close(&mut self, app: AppId) {
        let Some(address) = self.addresses.remove(&app) else { return };
        let _locked = self.mailbox.lock();
        address.close();
    }

    /// Closes the address of an app that is removed, and drops the commands to it that are waiting.
    pub(crate) fn forget_app(&mut self, app: AppId) {
        self.close(app);
        let mut dropped = Vec::new();
        let mut drop_from = |letters: &mut VecDeque<Letter>| {
            let (to_it, others) = letters.drain(..).partition::<Vec<_>, _>(|letter| letter.address.app == app);
            dropped.extend(to_it);
            letters.extend(others);
        };
        drop_from(&mut self.taken);
        if let Some(state) = &mut *self.mailbox.lock() {
            drop_from(&mut state.letters);
        }
        // Commands own sockets, which are closed without the lock.
        drop(dropped);
    }

    /// Takes the next command, in the order in which they were sent.
    pub(crate) fn next(&mut self) -> Option<Letter> {
        if self.taken.is_empty() {
            if self.taken.capacity() > KEPT {
                self.taken = VecDeque::new();
            }
            let mut state = self.mailbox.lock();
            std::mem::swap(&mut self.taken, &mut state.as_mut()?.letters);
        }
        self.taken.pop_front()
    }

    /// Returns the number of commands that are waiting.
    pub(crate) fn len(&self) -> usize {
        self.taken.len() + self.mailbox.lock().as_ref().map_or(0, |state| state.letters.len())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.addresses.values().for_each(|address| address.close());
        let waiting = self.mailbox.lock().take();
        // Commands own sockets, which are closed without the lock.
        drop(waiting);
    }
}
