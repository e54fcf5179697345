//! Apps that hand the connections that they accept over to other apps, each of which is usually in a thread of its own.

use std::collections::HashMap;

use crate::ids::AppId;
use crate::mailbox::Remote;
use crate::transport::sys::{StdTcpStream, TcpStream};

/// The children of the apps that have some.
#[derive(Default)]
pub(crate) struct Acceptors(HashMap<AppId, Children>);

/// The apps that get the connections of another one in turn.
#[derive(Default)]
struct Children {
    remotes: Vec<Remote>,
    /// The index of the child whose turn it is; it may be the length.
    next: usize,
}

impl Acceptors {
    /// Adds a child, unless it is there already.
    pub(crate) fn add(&mut self, app: AppId, child: Remote) {
        let Children { remotes, .. } = self.0.entry(app).or_default();
        if !remotes.iter().any(|other| other.is_same_app(&child)) {
            remotes.push(child);
        }
    }

    /// Removes a child. Does nothing if it is not there.
    pub(crate) fn remove(&mut self, app: AppId, child: &Remote) {
        let Some(children) = self.0.get_mut(&app) else { return };
        if let Some(index) = children.remotes.iter().position(|other| other.is_same_app(child)) {
            children.forget(index);
        }
        self.forget_childless(app);
    }

    /// Forgets the children of an app that is removed.
    pub(crate) fn forget_app(&mut self, app: AppId) {
        self.0.remove(&app);
    }

    /// Returns whether an app has children. They may have ended meanwhile.
    pub(crate) fn has(&self, app: AppId) -> bool {
        self.0.contains_key(&app)
    }

    /// Hands a connection over to the child whose turn it is, and forgets children that have ended. Returns the
    /// connection if the app has no children.
    pub(crate) fn hand_over(&mut self, app: AppId, stream: TcpStream) -> Option<TcpStream> {
        let Some(children) = self.0.get_mut(&app) else { return Some(stream) };
        let refused = children.hand_over(stream.into());
        self.forget_childless(app);
        refused.map(TcpStream::from_std)
    }

    fn forget_childless(&mut self, app: AppId) {
        if self.0.get(&app).is_some_and(|children| children.remotes.is_empty()) {
            self.0.remove(&app);
        }
    }
}

impl Children {
    fn hand_over(&mut self, mut stream: StdTcpStream) -> Option<StdTcpStream> {
        loop {
            let index = if self.next < self.remotes.len() { self.next } else { 0 };
            let Some(remote) = self.remotes.get(index) else { return Some(stream) };
            match remote.hand_over(stream) {
                Ok(()) => {
                    self.next = index + 1;
                    return None;
                }
                Err(refused) => stream = refused,
            }
            self.forget(index);
        }
    }

    /// Removes the child at an index. The turn of the others stays.
    fn forget(&mut self, index: usize) {
        self.remotes.remove(index);
        if index < self.next {
            self.next -= 1;
        }
    }
}
