//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

/// What `--help` says.
pub(crate) const USAGE: &str = "\
usage: milliways-loadgen MODE --address IP:PORT [options]

modes
  echo       WebSocket: frames in flight come back one for one
  http       HTTP/1.1: GET requests in flight on connections that stay open
  connect    connects, upgrades, closes with a handshake, again and again
  idle       opens WebSockets, has a message echoed on each, and holds them until standard input ends; answers pings
  subscribe  receivers of what one publisher sends; checks order and completeness

options
  --connections N    clients at the same time (default 1)
  --depth N          messages or requests in flight on each (default 1)
  --size BYTES       payload of a message (default 20)
  --text             text messages instead of binary
  --mask KIND        zero, fixed or random masking keys (default fixed)
  --offer-deflate    offers permessage-deflate in the handshake; echo then sends words, compressed, and so must they come
                     back, each message for itself
  --tls              TLS, with any certificate and without resuming sessions
  --path PATH        of requests (default /)
  --seconds S        of measuring (default 3)
  --warmup S         before (default 1)
  --sources N        source addresses 127.0.0.1 to 127.0.0.N are used in turn (default 1)
  --first-source N   the first of them (default 1)
  --server-pid PID   process whose time on a processor is measured, too";

/// Which experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Echo,
    Http,
    Connect,
    Idle,
    Subscribe,
}

/// How frames are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Masks {
    Zero,
    Fixed,
    Random,
}

/// One experiment.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) size: usize,
    pub(crate) text: bool,
    pub(crate) masks: Masks,
    pub(crate) offer_deflate: bool,
    pub(crate) tls: bool,
    pub(crate) path: String,
    pub(crate) measure: Duration,
    pub(crate) warmup: Duration,
    pub(crate) sources: u8,
    pub(crate) first_source: u8,
    pub(crate) server: Option<u32>,
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;

    let mut parser = lexopt::Parser::from_env();
    let mut mode = None;
    let mut address = None;
    let mut options = Options {
        mode: Mode::Echo,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        connections: 1,
        depth: 1,
        size: 20,
        text: false,
        masks: Masks::Fixed,
        offer_deflate: false,
        tls: false,
        path: "/".to_owned(),
        measure: Duration::from_secs(3),
        warmup: Duration::from_secs(1),
        sources: 1,
        first_source: 1,
        server: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Value(name) if mode.is_none() => {
                mode = Some(name.parse_with(|name| match name {
                    "echo" => Ok(Mode::Echo),
                    "http" => Ok(Mode::Http),
                    "connect" => Ok(Mode::Connect),
                    "idle" => Ok(Mode::Idle),
                    "subscribe" => Ok(Mode::Subscribe),
                    _ => Err("no such mode"),
                })?);
            }
            Long("address") => address = Some(parser.value()?.parse()?),
            Long("connections") => options.connections = positive(&mut parser)?,
            Long("depth") => options.depth = positive(&mut parser)?,
            Long("size") => options.size = parser.value()?.parse()?,
            Long("text") => options.text = true,
            Long("mask") => {
                options.masks = parser.value()?.parse_with(|kind| match kind {
                    "zero" => Ok(Masks::Zero),
                    "fixed" => Ok(Masks::Fixed),
                    "random" => Ok(Masks::Random),
                    _ => Err("zero, fixed or random"),
                })?;
            }
            Long("offer-deflate") => options.offer_deflate = true,
            Long("tls") => options.tls = true,
            Long("path") => options.path = parser.value()?.string()?,
            Long("seconds") => options.measure = seconds(&mut parser)?,
            Long("warmup") => options.warmup = seconds(&mut parser)?,
            Long("sources") => options.sources = parser.value()?.parse()?,
            Long("server-pid") => options.server = Some(parser.value()?.parse()?),
            Long("first-source") => options.first_source = parser.value()?.parse()?,
            argument => return Err(argument.unexpected()),
        }
    }
    options.mode = mode.ok_or("a mode is missing")?;
    options.address = address.ok_or("--address is missing")?;
    if !options.address.ip().is_loopback() {
        return Err("load is for the loopback address only".into());
    }
    if options.sources == 0 || options.first_source.checked_add(options.sources).is_none() {
        return Err("sources are 127.0.0.1 to 127.0.0.254".into());
    }
    Ok(options)
}

fn positive(parser: &mut lexopt::Parser) -> Result<usize, lexopt::Error> {
    use lexopt::ValueExt;
    parser.value()?.parse_with(|text| text.parse().ok().filter(|number| *number > 0).ok_or("a positive number"))
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    use lexopt::ValueExt;
    parser.value()?.parse_with(|text| {
        text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok()).ok_or("a number of seconds")
    })
}
