//! Connections that have had a message echoed, and from then on do nothing but answer pings. Says when all are open, and
//! holds them until standard input ends.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use milliways_proto::ws::Opcode;
use mio::{Events, Poll, Token, Waker};
use serde_json::json;

use crate::args::Options;
use crate::client::{self, Result, Stream, accepted, read_more, upgrade_request, write_some};
use crate::frames::{ServerHeader, append_masked};
use crate::report;

/// Clients that connect at the same time.
const CONNECTING: usize = 200;

struct Holder {
    stream: Stream,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Connecting,
    Upgrading,
    /// Its message is on its way.
    Greeting,
    Up,
}

/// What a holder sends: a server that has work to do for a first message has done it.
const GREETING: &[u8] = b"An idle connection.";

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let waker = Arc::new(Waker::new(poll.registry(), Token(usize::MAX))?);
    let is_over = Arc::new(AtomicBool::new(false));
    let sets_over = Arc::clone(&is_over);
    // The thread must not have the only waker: closing it would take the wake-up back.
    let from_thread = Arc::clone(&waker);
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        sets_over.store(true, Ordering::Release);
        from_thread.wake()
    });
    let mut scratch = vec![0; 64 * 1024];
    let mut holders: Vec<Holder> = Vec::new();
    let (mut up, mut pings, mut is_told) = (0, 0, false);
    while !is_over.load(Ordering::Acquire) {
        while holders.len() < options.connections && holders.len() - up < CONNECTING {
            let stream = client::connect(options, poll.registry(), holders.len())?;
            holders.push(Holder { stream, state: State::Connecting });
        }
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        for event in &events {
            if event.token() != Token(usize::MAX) {
                holders[event.token().0].handle(options, &mut scratch, &mut up, &mut pings)?;
            }
        }
        if up == options.connections && !is_told {
            is_told = true;
            report::print(&json!({ "open": up }));
        }
    }
    drop(waker);
    report::print(&json!({ "open": up, "pings": pings }));
    Ok(())
}

impl Holder {
    fn handle(&mut self, options: &Options, scratch: &mut [u8], up: &mut usize, pings: &mut u64) -> Result<()> {
        if self.state == State::Connecting {
            if write_some(&mut self.stream, &upgrade_request(options))? == 0 {
                return Ok(());
            }
            self.state = State::Upgrading;
        }
        // All that comes is short and comes whole: nothing is kept for a holder.
        let mut input = Vec::new();
        if !read_more(&mut self.stream, &mut input, scratch)? {
            return Err("the server closed an idle connection".into());
        }
        let mut input = input.as_slice();
        if self.state == State::Upgrading && !input.is_empty() {
            let length = accepted(input)?.ok_or("a response in two pieces")?;
            input = &input[length..];
            self.send(Opcode::Binary, GREETING)?;
            self.state = State::Greeting;
        }
        while let Some(header) = ServerHeader::parse(input) {
            let payload = input.get(header.header_len..).and_then(|rest| rest.get(..header.payload_len));
            let payload = payload.ok_or("a frame in two pieces")?;
            input = &input[header.header_len + header.payload_len..];
            if header.first & 0x0F == Opcode::Ping as u8 {
                *pings += 1;
                self.send(Opcode::Pong, payload)?;
            } else if self.state == State::Greeting && payload == GREETING {
                self.state = State::Up;
                *up += 1;
            } else {
                return Err("an idle connection got a message".into());
            }
        }
        Ok(())
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::new();
        append_masked(&mut frame, opcode, payload, [1, 2, 3, 4]);
        if write_some(&mut self.stream, &frame)? == frame.len() { Ok(()) } else { Err("a short write".into()) }
    }
}
