//! WebSocket echo: `depth` messages in flight on each connection, a new one for each that comes back.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use milliways_proto::ws::Opcode;
use mio::Registry;
use mio::net::TcpStream;

use crate::args::Options;
use crate::client::{self, Result, accepted, read_more, upgrade_request, write_some};
use crate::drive::{Client, Context, drive};
use crate::frames::{Frames, ServerHeader};

/// Every message's length is checked, and of one in this many the content.
const SAMPLE: u64 = 64;

pub(crate) fn run(options: &Options) -> Result<()> {
    drive::<Echo>(options)?.print(&[]);
    Ok(())
}

struct Echo {
    stream: TcpStream,
    state: State,
    depth: usize,
    opcode: Opcode,
    payload: Rc<[u8]>,
    frames: Rc<Frames>,
    /// Received and not used yet.
    input: Vec<u8>,
    /// Where in the row of frames the next byte to send is.
    position: usize,
    /// Bytes that are to be sent and that the socket has not taken yet.
    owed: usize,
    /// When the messages in flight were sent, the oldest first.
    sent: VecDeque<Instant>,
    received: u64,
}

#[derive(PartialEq)]
enum State {
    Connecting,
    Upgrading,
    Up,
}

thread_local! {
    /// The same for all clients of a run.
    static SHARED: std::cell::OnceCell<(Rc<[u8]>, Rc<Frames>)> = const { std::cell::OnceCell::new() };
}

impl Client for Echo {
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self> {
        let opcode = if options.text { Opcode::Text } else { Opcode::Binary };
        let (payload, frames) = SHARED.with(|shared| {
            shared
                .get_or_init(|| {
                    // Letters, so that it can be text.
                    let payload: Vec<u8> = (0..options.size).map(|index| b'a' + (index % 26) as u8).collect();
                    let frames = Frames::new(&payload, opcode, options.masks);
                    (payload.into(), Rc::new(frames))
                })
                .clone()
        });
        Ok(Self {
            stream: client::connect(options, registry, index)?,
            state: State::Connecting,
            depth: options.depth,
            opcode,
            payload,
            frames,
            input: upgrade_request(options),
            position: 0,
            owed: 0,
            sent: VecDeque::with_capacity(options.depth),
            received: 0,
        })
    }

    fn is_up(&self) -> bool {
        self.state == State::Up
    }

    fn begin(&mut self, context: &mut Context) -> Result<()> {
        self.ask(self.depth, context.now)
    }

    fn handle(&mut self, context: &mut Context) -> Result<()> {
        if self.state == State::Connecting {
            // The request waits in `input` until the socket takes it.
            if write_some(&mut self.stream, &self.input)? == 0 {
                return Ok(());
            }
            self.input.clear();
            self.state = State::Upgrading;
        }
        if !read_more(&mut self.stream, &mut self.input, &mut context.scratch)? {
            return Err("the server closed a connection".into());
        }
        if self.state == State::Upgrading {
            let Some(length) = accepted(&self.input)? else { return Ok(()) };
            self.input.drain(..length);
            self.state = State::Up;
        }
        let answered = self.take_answers(context);
        self.ask(answered, context.now)
    }
}

impl Echo {
    /// Uses the complete frames in the input; gives the number of answers.
    fn take_answers(&mut self, context: &mut Context) -> usize {
        let mut position = 0;
        let mut answered = 0;
        while let Some(header) = ServerHeader::parse(&self.input[position..]) {
            let start = position + header.header_len;
            let Some(payload) = self.input.get(start..start + header.payload_len) else { break };
            position = start + header.payload_len;
            if header.first & 0x0F == Opcode::Ping as u8 {
                continue;
            }
            self.received += 1;
            let is_right = header.first == 0x80 | self.opcode as u8
                && payload.len() == self.payload.len()
                && (!self.received.is_multiple_of(SAMPLE) || *payload == *self.payload);
            let Some(sent) = self.sent.pop_front() else {
                context.measurement.errors += 1;
                continue;
            };
            answered += 1;
            if !is_right {
                context.measurement.errors += 1;
            }
            if context.is_measuring {
                context.measurement.answered(context.now - sent);
            }
        }
        self.input.drain(..position);
        answered
    }

    /// Sends so many more messages, and what is still to be sent of others.
    fn ask(&mut self, messages: usize, now: Instant) -> Result<()> {
        self.sent.extend(std::iter::repeat_n(now, messages));
        self.owed += messages * self.frames.frame_len;
        while self.owed > 0 {
            let written = write_some(&mut self.stream, self.frames.from(self.position, self.owed))?;
            if written == 0 {
                break;
            }
            self.position += written;
            self.owed -= written;
        }
        Ok(())
    }
}
