//! WebSocket echo: `depth` messages in flight on each connection, a new one for each that comes back.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use milliways_proto::ws::{Codecs, Opcode};
use mio::Registry;

use crate::args::Options;
use crate::client::{self, Result, Stream, accepted, read_more, upgrade_request, write_some};
use crate::drive::{Client, Context, drive};
use crate::frames::{Frames, KEYS, ServerHeader};

/// Every message's length is checked, and of one in this many the content.
const SAMPLE: u64 = 64;

pub(crate) fn run(options: &Options) -> Result<()> {
    drive::<Echo>(options)?.print(&[]);
    Ok(())
}

struct Echo {
    stream: Stream,
    state: State,
    depth: usize,
    /// Of each answer.
    first: u8,
    shared: Rc<Shared>,
    /// Received and not used yet.
    input: Vec<u8>,
    /// Where in the row of frames the next byte to send is.
    position: usize,
    /// Bytes that are to be sent and that the socket has not taken yet.
    owed: usize,
    /// How many messages have been sent, or are to be.
    asked: u64,
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

/// The same for all clients of a run.
struct Shared {
    /// What is sent, in turn.
    payloads: Vec<Vec<u8>>,
    frames: Frames,
    /// Where messages are compressed.
    codecs: Option<RefCell<Codecs>>,
}

thread_local! {
    static SHARED: OnceCell<Rc<Shared>> = const { OnceCell::new() };
}

impl Shared {
    fn new(options: &Options, opcode: Opcode) -> Self {
        if !options.offer_deflate {
            // Letters, so that it can be text.
            let payload: Vec<u8> = (0..options.size).map(|index| b'a' + (index % 26) as u8).collect();
            let payloads = vec![payload];
            let frames = Frames::new(&payloads, opcode, false, options.masks);
            return Self { payloads, frames, codecs: None };
        }
        // One message again and again would be learnt by heart: a processor guesses all branches of compressing it.
        let mut seed = 1;
        let payloads: Vec<_> = (0..KEYS).map(|_| words(options.size, &mut seed)).collect();
        let mut codecs = Codecs::default();
        let deflated = payloads.iter().map(|payload| {
            let mut frame = Vec::new();
            codecs.write_frame(None, opcode, payload, &mut frame);
            let header = ServerHeader::parse(&frame).expect("a frame");
            frame.split_off(header.header_len)
        });
        let frames = Frames::new(&deflated.collect::<Vec<_>>(), opcode, true, options.masks);
        Self { payloads, frames, codecs: Some(codecs.into()) }
    }

    /// Whether that may be the answer to what was sent after the first `before`. Compressing gives what length it gives.
    fn may_be_answer(&self, before: u64, received: &[u8]) -> bool {
        self.codecs.is_some() || received.len() == self.payload(before).len()
    }

    fn is_answer(&self, before: u64, received: &[u8]) -> bool {
        let payload = self.payload(before);
        let Some(codecs) = &self.codecs else { return received == payload };
        let mut codecs = codecs.borrow_mut();
        codecs.inflate(None, received, payload.len(), true).is_ok_and(|message| {
            let is_right = message == payload;
            codecs.recycle(message);
            is_right
        })
    }

    fn payload(&self, before: u64) -> &[u8] {
        &self.payloads[(before % self.payloads.len() as u64) as usize]
    }
}

/// Words in an order that does not repeat itself soon: they compress as text does.
fn words(size: usize, seed: &mut u32) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "market ", "order ", "hello ", "price ", "the ", "player ", "score ", "moved ", "room ", "joined ", "left ",
        "update ", "of ", "message ", "and ", "maybe ",
    ];
    let mut text = String::new();
    while text.len() < size {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text += WORDS[(*seed >> 28) as usize];
        text += &(*seed >> 16 & 0xFF).to_string();
    }
    text.truncate(size);
    text.into_bytes()
}

impl Client for Echo {
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self> {
        let opcode = if options.text { Opcode::Text } else { Opcode::Binary };
        let shared = SHARED.with(|shared| Rc::clone(shared.get_or_init(|| Rc::new(Shared::new(options, opcode)))));
        let rsv1 = if options.offer_deflate { 0x40 } else { 0 };
        Ok(Self {
            stream: client::connect(options, registry, index)?,
            state: State::Connecting,
            depth: options.depth,
            first: 0x80 | rsv1 | opcode as u8,
            shared,
            input: upgrade_request(options),
            position: 0,
            owed: 0,
            asked: 0,
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
            let is_right = header.first == self.first
                && self.shared.may_be_answer(self.received, payload)
                && (!self.received.is_multiple_of(SAMPLE) || self.shared.is_answer(self.received, payload));
            self.received += 1;
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
        self.owed += self.shared.frames.length(self.asked, messages);
        self.asked += messages as u64;
        while self.owed > 0 {
            let written = write_some(&mut self.stream, self.shared.frames.from(self.position, self.owed))?;
            if written == 0 {
                break;
            }
            self.position += written;
            self.owed -= written;
        }
        Ok(())
    }
}
