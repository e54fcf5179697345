//! Publish and subscribe: one publisher, `connections` receivers. Every receiver must get every message, in order.
//!
//! The server under test subscribes each connection of `--path` to a topic and publishes to it what a connection of
//! `--path` followed by `publish` sends. A message begins with its number, eight bytes in big-endian order. `depth`
//! messages are on their way at the same time: the publisher sends the next when all receivers have the oldest.

use std::io;
use std::time::Instant;

use milliways_proto::ws::Opcode;
use mio::Registry;
use serde_json::json;

use crate::args::Options;
use crate::client::{self, Result, Stream, accepted, flush, read_more, upgrade_request, write_some};
use crate::drive::{Client, Context, drive};
use crate::frames::{ServerHeader, append_masked};

/// The first message's content after its number.
const FILL: u8 = b'.';
const NUMBER_LEN: usize = 8;

pub(crate) fn run(options: &Options) -> Result<()> {
    // The publisher is one client more.
    let options =
        Options { connections: options.connections + 1, size: options.size.max(NUMBER_LEN), ..options.clone() };
    let measurement = drive::<Member>(&options)?;
    measurement.print(&[("receivers", json!(options.connections - 1))]);
    Ok(())
}

/// Client 0 publishes, the others receive.
struct Member {
    stream: Stream,
    index: usize,
    has_asked: bool,
    is_up: bool,
    request: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Receiver: the number of the next message. Publisher: likewise, of those it sends.
    next: u64,
    progress: std::rc::Rc<std::cell::RefCell<Progress>>,
}

/// What publisher and receivers know of each other.
struct Progress {
    receivers: usize,
    size: usize,
    depth: usize,
    /// When the messages on their way were sent and how many have received them, the oldest first.
    on_their_way: std::collections::VecDeque<(Instant, usize)>,
    /// The number of the oldest.
    oldest: u64,
    /// How many the publisher may send.
    credit: usize,
}

thread_local! {
    static PROGRESS: std::cell::OnceCell<std::rc::Rc<std::cell::RefCell<Progress>>> = const { std::cell::OnceCell::new() };
}

impl Client for Member {
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self> {
        let progress = PROGRESS.with(|progress| {
            progress
                .get_or_init(|| {
                    std::rc::Rc::new(std::cell::RefCell::new(Progress {
                        receivers: options.connections - 1,
                        size: options.size,
                        depth: options.depth,
                        on_their_way: std::collections::VecDeque::new(),
                        oldest: 0,
                        credit: 0,
                    }))
                })
                .clone()
        });
        let path = if index == 0 { format!("{}publish", options.path) } else { options.path.clone() };
        Ok(Self {
            stream: client::connect(options, registry, index)?,
            index,
            has_asked: false,
            is_up: false,
            request: upgrade_request(&Options { path, ..options.clone() }),
            input: Vec::new(),
            output: Vec::new(),
            next: 0,
            progress,
        })
    }

    fn is_up(&self) -> bool {
        self.is_up
    }

    fn begin(&mut self, context: &mut Context) -> Result<()> {
        if self.index == 0 {
            let depth = self.progress.borrow().depth;
            self.progress.borrow_mut().credit = depth;
            self.publish(context)?;
        }
        Ok(())
    }

    fn handle(&mut self, context: &mut Context) -> Result<()> {
        if !self.has_asked {
            if write_some(&mut self.stream, &self.request)? == 0 {
                return Ok(());
            }
            self.has_asked = true;
        }
        if !read_more(&mut self.stream, &mut self.input, &mut context.scratch)? {
            return Err("the server closed a connection".into());
        }
        if !self.is_up {
            let Some(length) = accepted(&self.input)? else { return Ok(()) };
            self.input.drain(..length);
            self.is_up = true;
        }
        if self.index != 0 {
            return self.receive(context);
        }
        self.input.clear();
        Ok(())
    }

    fn after_turn(&mut self, context: &mut Context) -> Result<()> {
        self.publish(context)
    }
}

impl Member {
    fn receive(&mut self, context: &mut Context) -> Result<()> {
        let mut position = 0;
        let mut progress = self.progress.borrow_mut();
        while let Some(header) = ServerHeader::parse(&self.input[position..]) {
            let start = position + header.header_len;
            let Some(payload) = self.input.get(start..start + header.payload_len) else { break };
            position = start + header.payload_len;
            let Some(number) = payload.first_chunk().map(|number| u64::from_be_bytes(*number)) else {
                context.measurement.errors += 1;
                continue;
            };
            if number != self.next || payload.len() != progress.size {
                return Err(format!("receiver {} got message {number} and expected {}", self.index, self.next).into());
            }
            self.next += 1;
            let place = (number - progress.oldest) as usize;
            let receivers = progress.receivers;
            let Some((sent, received)) = progress.on_their_way.get_mut(place) else {
                return Err(format!("message {number} was not sent").into());
            };
            *received += 1;
            if context.is_measuring {
                context.measurement.answered(context.now - *sent);
            }
            while progress.on_their_way.front().is_some_and(|(_, received)| *received == receivers) {
                progress.on_their_way.pop_front();
                progress.oldest += 1;
                progress.credit += 1;
            }
        }
        self.input.drain(..position);
        Ok(())
    }

    fn publish(&mut self, context: &mut Context) -> Result<()> {
        let mut progress = self.progress.borrow_mut();
        while progress.credit > 0 {
            progress.credit -= 1;
            progress.on_their_way.push_back((context.now, 0));
            let mut payload = vec![FILL; progress.size];
            payload[..NUMBER_LEN].copy_from_slice(&self.next.to_be_bytes());
            append_masked(&mut self.output, Opcode::Binary, &payload, [1, 2, 3, 4]);
            self.next += 1;
        }
        Ok(flush(&mut self.stream, &mut self.output)?)
    }
}
