//! HTTP/1.1 with connections that stay open: `depth` requests in flight on each.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use mio::Registry;

use crate::args::Options;
use crate::client::{self, Result, Stream, flush, read_more};
use crate::drive::{Client, Context, drive};

pub(crate) fn run(options: &Options) -> Result<()> {
    drive::<Http>(options)?.print(&[]);
    Ok(())
}

struct Http {
    stream: Stream,
    depth: usize,
    is_connected: bool,
    request: Vec<u8>,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: VecDeque<Instant>,
    /// The first response's body, which all others must be equal to.
    body: Option<Vec<u8>>,
}

impl Client for Http {
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self> {
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", options.path, options.address);
        Ok(Self {
            stream: client::connect(options, registry, index)?,
            depth: options.depth,
            is_connected: false,
            request: request.into_bytes(),
            input: Vec::new(),
            output: Vec::new(),
            sent: VecDeque::new(),
            body: None,
        })
    }

    fn is_up(&self) -> bool {
        self.is_connected
    }

    fn begin(&mut self, context: &mut Context) -> Result<()> {
        self.ask(self.depth, context.now)
    }

    fn handle(&mut self, context: &mut Context) -> Result<()> {
        if !self.is_connected {
            if let Some(error) = self.stream.socket().take_error()? {
                return Err(error.into());
            }
            self.is_connected = self.stream.socket().peer_addr().is_ok();
            return Ok(());
        }
        if !read_more(&mut self.stream, &mut self.input, &mut context.scratch)? {
            return Err("the server closed a connection".into());
        }
        let answered = self.take_answers(context)?;
        self.ask(answered, context.now)
    }
}

impl Http {
    fn take_answers(&mut self, context: &mut Context) -> Result<usize> {
        let mut position = 0;
        let mut answered = 0;
        while let Some((head_len, body_len)) = parse_head(&self.input[position..])? {
            let start = position + head_len;
            let Some(body) = self.input.get(start..start + body_len) else { break };
            if body != self.body.get_or_insert_with(|| body.to_vec()).as_slice() {
                context.measurement.errors += 1;
            }
            position = start + body_len;
            answered += 1;
            let sent = self.sent.pop_front().ok_or("an answer to no request")?;
            if context.is_measuring {
                context.measurement.answered(context.now - sent);
            }
        }
        self.input.drain(..position);
        Ok(answered)
    }

    fn ask(&mut self, requests: usize, now: Instant) -> Result<()> {
        for _ in 0..requests {
            self.sent.push_back(now);
            self.output.extend_from_slice(&self.request);
        }
        Ok(flush(&mut self.stream, &mut self.output)?)
    }
}

/// The lengths of a head and of the body it announces, `None` while the head is incomplete. Only what servers send here:
/// 200 with a Content-Length.
fn parse_head(input: &[u8]) -> Result<Option<(usize, usize)>> {
    const STATUS: &[u8] = b"HTTP/1.1 200";
    let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = &input[..end];
    if !head.starts_with(STATUS) {
        return Err(format!("unexpected response: {}", String::from_utf8_lossy(head)).into());
    }
    let length = head
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked(b"content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:").then_some(value)
        })
        .and_then(|value| std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok());
    match length {
        Some(length) => Ok(Some((end + 4, length))),
        None => Err("a response without Content-Length".into()),
    }
}
