//! Connections a second: connect, upgrade, close with a handshake, begin again.

use std::io;

use milliways_proto::ws::Opcode;
use mio::Registry;

use crate::args::Options;
use crate::client::{self, Result, Stream, accepted, read_more, upgrade_request, write_some};
use crate::drive::{Client, Context, drive};
use crate::frames::append_masked;

pub(crate) fn run(options: &Options) -> Result<()> {
    drive::<Visitor>(options)?.print(&[]);
    Ok(())
}

struct Visitor {
    stream: Stream,
    options: Options,
    index: usize,
    state: State,
    input: Vec<u8>,
    began: std::time::Instant,
}

#[derive(PartialEq)]
enum State {
    Connecting,
    Upgrading,
    Closing,
}

/// A Close frame with 1000 and its echo.
const CODE: [u8; 2] = [0x03, 0xe8];
const CLOSE_ECHO: [u8; 4] = [0x88, 0x02, 0x03, 0xe8];

impl Client for Visitor {
    fn start(options: &Options, registry: &Registry, index: usize) -> io::Result<Self> {
        Ok(Self {
            stream: client::connect(options, registry, index)?,
            options: options.clone(),
            index,
            state: State::Connecting,
            input: Vec::new(),
            began: std::time::Instant::now(),
        })
    }

    fn is_up(&self) -> bool {
        true
    }

    fn begin(&mut self, _context: &mut Context) -> Result<()> {
        Ok(())
    }

    fn handle(&mut self, context: &mut Context) -> Result<()> {
        if self.state == State::Connecting {
            if write_some(&mut self.stream, &upgrade_request(&self.options))? == 0 {
                return Ok(());
            }
            self.state = State::Upgrading;
        }
        let is_open = read_more(&mut self.stream, &mut self.input, &mut context.scratch)?;
        if self.state == State::Upgrading
            && let Some(length) = accepted(&self.input)?
        {
            self.input.drain(..length);
            let mut frame = Vec::new();
            append_masked(&mut frame, Opcode::Close, &CODE, [1, 2, 3, 4]);
            write_some(&mut self.stream, &frame)?;
            self.state = State::Closing;
        }
        if !is_open || self.has_finished(context)? {
            return self.begin_again(context);
        }
        Ok(())
    }
}

impl Visitor {
    /// The close frame's echo may have come together with the FIN, of which there is no event of its own.
    fn has_finished(&mut self, context: &mut Context) -> Result<bool> {
        Ok(self.state == State::Closing && !read_more(&mut self.stream, &mut self.input, &mut context.scratch)?)
    }

    fn begin_again(&mut self, context: &mut Context) -> Result<()> {
        if self.state != State::Closing || self.input != CLOSE_ECHO {
            context.measurement.errors += 1;
        }
        if context.is_measuring {
            context.measurement.answered(context.now - self.began);
        }
        *self = Self::start(&self.options, context.registry, self.index)?;
        Ok(())
    }
}
