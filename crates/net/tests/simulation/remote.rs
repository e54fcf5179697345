//! What other threads ask of the reactor. In a run they are in its thread, and send at random moments.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use milliways_net::{Command, Remote};
use milliways_proto::ws::Opcode;
use milliways_simnet::{Peer, StdTcpStream, TcpListener};

use crate::content::Content;
use crate::model::{Model, TOPICS};
use crate::sockets::topic_name;
use crate::websocket::Socket;
use crate::world::{World, ensure};

/// A message that another thread has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FromAfar {
    pub(crate) topic: usize,
    pub(crate) number: u32,
    pub(crate) length: usize,
}

impl FromAfar {
    pub(crate) fn content(self) -> Content {
        Content::new('q', self.topic, self.number)
    }
}

/// Another thread, which has accepted connections of its own.
pub(crate) struct Afar {
    remote: Remote,
    listener: TcpListener,
}

impl Afar {
    pub(crate) fn new(remote: Remote) -> Self {
        let address = "127.0.0.1:9".parse().expect("an address");
        Self { remote, listener: TcpListener::bind(address, true, 16).expect("a free port in memory") }
    }

    /// Connects a client, whose connection is handed over to the reactor. Returns `None` if the app has been closed, or
    /// the connection has failed.
    pub(crate) fn connect(&self, world: &World) -> Option<Peer> {
        let address = self.listener.local_addr().expect("it listens");
        let peer = world.network.connect(address).expect("room in its queue");
        // A fault of the system may hit this socket, too.
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _address)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        };
        let stream = StdTcpStream::from(stream);
        self.remote.send(Command::Adopt { stream }).ok().map(|()| peer)
    }
}

impl World {
    /// Another thread publishes a message.
    pub(crate) fn publish_from_afar(&self) {
        let Some(afar) = &self.afar else { return };
        let topic = self.below(TOPICS);
        let (length, is_binary) = {
            let mut random = self.random();
            (Content::whole(24 + random.length()), random.once_in(2))
        };
        let message = {
            let mut model = self.model();
            model.from_afar[topic] += 1;
            let message = FromAfar { topic, number: model.from_afar[topic], length };
            model.note_from_afar(message);
            message
        };
        let command = Command::Publish {
            topic: topic_name(topic).into_bytes().into(),
            opcode: if is_binary { Opcode::Binary } else { Opcode::Text },
            message: message.content().bytes(0, length).into(),
            compress: false,
        };
        self.log(|| format!("another thread publishes {message:?}"));
        let sent = afar.remote.send(command);
        ensure!(self, sent.is_ok() || self.is_ending(), "a command was refused: {sent:?}");
    }
}

impl Model {
    /// A message has been published that those get who have subscribed, and who subscribe before the reactor hears of it.
    fn note_from_afar(&mut self, message: FromAfar) {
        self.on_the_way.push(message);
        let subscribers = self.topics[message.topic].clone();
        for which in subscribers {
            if let Some(socket) = self.all[which].open() {
                socket.from_afar.insert(message);
            }
        }
    }

    /// A WebSocket subscribes to a topic: it may get what is on the way.
    pub(crate) fn note_subscribed(&mut self, which: usize, topic: usize) {
        let on_the_way: Vec<FromAfar> = self.on_the_way.iter().copied().filter(|it| it.topic == topic).collect();
        if let Some(socket) = self.all[which].open() {
            socket.perhaps_from_afar.extend(on_the_way);
        }
    }

    /// A subscription has ended: what is on the way may still come.
    pub(crate) fn note_unsubscribed(&mut self, which: usize, topic: usize) {
        if let Some(socket) = self.all[which].open() {
            let (ended, left): (BTreeSet<FromAfar>, _) = socket.from_afar.iter().partition(|it| it.topic == topic);
            socket.from_afar = left;
            socket.perhaps_from_afar.extend(ended);
        }
    }
}

impl Socket {
    /// Takes a message of another thread that was dropped. Returns whether there is one.
    pub(crate) fn forget_from_afar(&mut self, content: Content, length: usize) -> bool {
        let message = FromAfar { topic: content.who, number: content.number, length };
        self.from_afar.remove(&message) || self.perhaps_from_afar.remove(&message)
    }

    /// Takes a message of another thread that the client has seen. Returns whether there is one, and whether it comes after
    /// those that were published to its topic before: one thread's messages keep their order.
    pub(crate) fn take_from_afar(&mut self, content: Content, length: usize) -> bool {
        let last = &mut self.last_from_afar[content.who];
        let is_next = *last < content.number;
        *last = content.number.max(*last);
        self.forget_from_afar(content, length) && is_next
    }
}
