//! Whatever is sent and published, and in whatever order, a client receives valid frames, and in them the messages that were
//! admitted, in order, compressed or not, and nothing after the Close frame.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::ws::{
    Admission, Agreement, CloseFrame, Codecs, Contexts, Event, Limits, MAX_CONTROL_PAYLOAD, Opcode, Receiver,
    SendError, Sender, write_frame, write_frame_header, write_frame_with,
};

#[derive(Arbitrary, Debug)]
#[expect(clippy::option_option, reason = "compression without a context is not the same as no compression")]
struct Input<'a> {
    /// Whether compression was agreed on, and the bits of the server's context if it has one.
    compression: Option<Option<u8>>,
    threshold: u8,
    operations: Vec<Operation<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    /// A whole message, compressed if that was agreed on.
    Compress(Message<'a>, Limit),
    Send(Part, Way, Message<'a>, Limit),
    Control(Control, &'a [u8], Limit),
    /// A message from elsewhere.
    Publish(Message<'a>),
    Close {
        code: u16,
        reason: &'a str,
    },
}

#[derive(Arbitrary, Debug)]
struct Message<'a> {
    binary: bool,
    text: &'a str,
    /// How often the text is repeated; random text is seldom long.
    count: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Part {
    Whole,
    First,
    Next,
    Last,
}

/// How a frame is written.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Way {
    Whole,
    HeaderFirst,
    HeaderLast,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Control {
    Ping,
    Pong,
}

/// Whether more output is waiting than the limit allows.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Limit {
    is_exceeded: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Message { binary: bool, compressed: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

impl Message<'_> {
    const MAX: usize = 70_000;

    fn bytes(&self) -> Vec<u8> {
        let most = Self::MAX / self.text.len().max(1);
        self.text.repeat(most.min((self.count % 5000).into())).into_bytes()
    }

    fn opcode(&self) -> Opcode {
        if self.binary { Opcode::Binary } else { Opcode::Text }
    }
}

/// A server, which does what crates/net does with the machine.
struct Server {
    sender: Sender,
    codecs: Codecs,
    contexts: Option<Contexts>,
    threshold: usize,
    held: Vec<u8>,
    output: Vec<u8>,
}

/// What the client should see.
#[derive(Default)]
struct Model {
    expected: Vec<Seen>,
    held: Vec<Seen>,
    /// An incomplete message: whether it is binary, and its bytes unless it is dropped.
    begun: Option<(bool, Option<Vec<u8>>)>,
    is_closed: bool,
}

fuzz_target!(|input: Input<'_>| {
    let window = input.compression.flatten().map(|bits| 9 + bits % 7);
    let mut codecs = Codecs::default();
    let contexts = input.compression.and_then(|_| codecs.contexts(agreement(window, None)));
    let sender = Sender::new(input.compression.is_some());
    let threshold = input.threshold.into();
    let mut server = Server { sender, codecs, contexts, threshold, held: Vec::new(), output: Vec::new() };
    let mut model = Model::default();
    for operation in &input.operations {
        operation.run(&mut server, &mut model);
    }
    assert_eq!(read(&server.output, input.compression.is_some(), window), model.expected);
});

fn agreement(server_context: Option<u8>, client_context: Option<u8>) -> Agreement {
    Agreement { server_context, server_window: server_context.unwrap_or(15), names_server_window: true, client_context }
}

impl Operation<'_> {
    fn run(&self, server: &mut Server, model: &mut Model) {
        match self {
            Self::Compress(message, limit) => {
                let admission = server.admit(message.opcode(), true, *limit);
                assert_eq!(admission, model.admit_message(message.binary, true, *limit));
                if admission == Ok(Admission::Send) {
                    let seen = server.append_message(message);
                    model.expected.push(seen);
                }
            }
            Self::Send(part, way, message, limit) => {
                let (opcode, fin) = match part {
                    Part::Whole => (message.opcode(), true),
                    Part::First => (message.opcode(), false),
                    Part::Next => (Opcode::Continuation, false),
                    Part::Last => (Opcode::Continuation, true),
                };
                let admission = server.admit(opcode, fin, *limit);
                let bytes = message.bytes();
                let expected = match part {
                    Part::Whole | Part::First => model.admit_message(message.binary, fin, *limit),
                    Part::Next | Part::Last => model.admit_fragment(fin),
                };
                assert_eq!(admission, expected);
                if matches!(admission, Ok(Admission::Send | Admission::SendLast)) {
                    way.write(opcode, fin, &bytes, &mut server.output);
                    model.note_sent(message.binary, fin, &bytes);
                }
                if admission == Ok(Admission::SendLast) {
                    server.output.append(&mut server.held);
                    model.expected.append(&mut model.held);
                }
            }
            Self::Control(control, payload, limit) => {
                let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
                let (opcode, seen) = match control {
                    Control::Ping => (Opcode::Ping, Seen::Ping(payload.to_vec())),
                    Control::Pong => (Opcode::Pong, Seen::Pong(payload.to_vec())),
                };
                let admission = server.admit(opcode, true, *limit);
                assert_eq!(admission, if model.is_closed { Err(SendError::Closed) } else { Ok(limit.admission()) });
                if admission == Ok(Admission::Send) {
                    write_frame(&mut server.output, opcode, true, payload);
                    model.expected.push(seen);
                }
            }
            Self::Publish(message) => {
                let is_held = model.is_closed || matches!(model.begun, Some((_, Some(_))));
                assert_eq!(server.sender.holds_back(), is_held);
                // The frame is put together elsewhere, because it may be held back.
                let output = std::mem::take(&mut server.output);
                let seen = server.append_message(message);
                let frame = std::mem::replace(&mut server.output, output);
                if is_held {
                    server.held.extend(frame);
                    model.held.push(seen);
                } else {
                    server.output.extend(frame);
                    model.expected.push(seen);
                }
            }
            Self::Close { code, reason } => {
                let code = if CloseFrame::allows(*code) { *code } else { 0 };
                let reason = milliways_proto::ws::truncate_reason(reason.as_bytes());
                server.sender.close(CloseFrame { code, reason }, &mut server.output);
                if !std::mem::replace(&mut model.is_closed, true) {
                    let payload = if code == 0 { Vec::new() } else { [&code.to_be_bytes(), reason].concat() };
                    model.expected.push(Seen::Close(payload));
                }
            }
        }
    }
}

impl Way {
    fn write(self, opcode: Opcode, fin: bool, payload: &[u8], output: &mut Vec<u8>) {
        match self {
            Self::Whole => write_frame(output, opcode, fin, payload),
            Self::HeaderFirst => {
                write_frame_header(output, opcode, fin, payload.len());
                output.extend_from_slice(payload);
            }
            Self::HeaderLast => {
                let length = write_frame_with(output, opcode, fin, |output| {
                    payload.chunks(100).for_each(|part| output.extend_from_slice(part));
                });
                assert_eq!(length, payload.len());
            }
        }
    }
}

impl Limit {
    fn admission(self) -> Admission {
        if self.is_exceeded { Admission::Drop } else { Admission::Send }
    }
}

impl Server {
    fn admit(&mut self, opcode: Opcode, fin: bool, limit: Limit) -> Result<Admission, SendError> {
        self.sender.admit(opcode, fin, || limit.is_exceeded)
    }

    /// Appends a whole message, compressed if it should be.
    fn append_message(&mut self, message: &Message<'_>) -> Seen {
        let (binary, bytes) = (message.binary, message.bytes());
        let compressed = self.sender.compresses(bytes.len(), self.threshold);
        let is_worth_it = !bytes.is_empty() && bytes.len() >= self.threshold;
        assert_eq!(compressed, self.sender.has_compression() && is_worth_it);
        if compressed {
            let (codecs, contexts) = (&mut self.codecs, self.contexts.as_mut());
            self.sender.write_compressed(codecs, contexts, message.opcode(), &bytes, &mut self.output);
        } else {
            write_frame(&mut self.output, message.opcode(), true, &bytes);
        }
        Seen::Message { binary, compressed, bytes }
    }
}

impl Model {
    fn admit_message(&mut self, binary: bool, is_whole: bool, limit: Limit) -> Result<Admission, SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        if self.begun.is_some() {
            return Err(SendError::Interrupts);
        }
        if !is_whole {
            self.begun = Some((binary, (!limit.is_exceeded).then(Vec::new)));
        }
        Ok(limit.admission())
    }

    fn admit_fragment(&mut self, is_last: bool) -> Result<Admission, SendError> {
        if self.is_closed {
            return Err(SendError::Closed);
        }
        let Some((_, sent)) = &self.begun else { return Err(SendError::NoFirstFragment) };
        let admission = match sent {
            None => Admission::Drop,
            Some(_) if is_last => Admission::SendLast,
            Some(_) => Admission::Send,
        };
        if is_last && sent.is_none() {
            self.begun = None;
        }
        Ok(admission)
    }

    /// Adds a data frame to its message.
    fn note_sent(&mut self, binary: bool, fin: bool, payload: &[u8]) {
        let (binary, so_far) = self.begun.take().unwrap_or((binary, Some(Vec::new())));
        let bytes = [so_far.unwrap_or_default(), payload.to_vec()].concat();
        if fin {
            self.expected.push(Seen::Message { binary, compressed: false, bytes });
        } else {
            self.begun = Some((binary, Some(bytes)));
        }
    }
}

/// Returns what a client sees. It reads with the server's machine, for which all frames are masked with zeros.
fn read(output: &[u8], compression: bool, window: Option<u8>) -> Vec<Seen> {
    let mut codecs = Codecs::default();
    let mut contexts = compression.then(|| codecs.contexts(agreement(None, window))).flatten();
    let mut receiver = Receiver::default();
    let mut frames = masked(output);
    let mut rest = &mut frames[..];
    let mut seen = Vec::new();
    let limits = Limits { max_payload: usize::MAX, max_fragments: u32::MAX, compression };
    while !rest.is_empty() {
        let step = receiver.handle(rest, limits).expect("valid frames");
        let consumed = step.consumed;
        match step.event {
            None => {}
            Some(Event::Message { mut payload, binary, compressed: true }) => {
                let bytes = codecs.inflate(contexts.as_mut(), payload.bytes(), Message::MAX, binary);
                seen.push(Seen::Message { binary, compressed: true, bytes: bytes.expect("what was compressed") });
            }
            Some(Event::Message { mut payload, binary, compressed }) => {
                seen.push(Seen::Message { binary, compressed, bytes: payload.bytes().to_vec() });
            }
            Some(Event::Ping(mut payload)) => seen.push(Seen::Ping(payload.bytes().to_vec())),
            Some(Event::Pong(mut payload)) => seen.push(Seen::Pong(payload.bytes().to_vec())),
            Some(Event::Close(mut payload)) => seen.push(Seen::Close(payload.bytes().to_vec())),
        }
        rest = &mut rest[consumed..];
    }
    seen
}

/// Returns a server's frames as a client would have sent them.
fn masked(mut output: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let [_, second, ..] = output {
        let (header_len, payload_len) = match second {
            0..=125 => (2, usize::from(*second)),
            126 => (4, usize::from(u16::from_be_bytes(output[2..4].try_into().expect("two bytes")))),
            127 => (10, u64::from_be_bytes(output[2..10].try_into().expect("eight bytes")) as usize),
            _ => panic!("a server does not mask its frames"),
        };
        let (frame, behind) = output.split_at(header_len + payload_len);
        let start = frames.len();
        frames.extend_from_slice(&frame[..header_len]);
        frames[start + 1] |= 0x80;
        frames.extend_from_slice(&[0; 4]);
        frames.extend_from_slice(&frame[header_len..]);
        output = behind;
    }
    assert!(output.is_empty(), "half a frame");
    frames
}
