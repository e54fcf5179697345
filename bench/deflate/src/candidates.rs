//! Who compresses and decompresses.

mod classic;

use std::cell::RefCell;
use std::rc::Rc;

use libdeflater::{CompressionLvl, Compressor, Decompressor};
use milliways_proto::ws::{Agreement, Codecs, Contexts, Opcode};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use crate::{allocation, messages};

type Run = dyn FnMut(&[u8]) -> usize;

pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    /// Begins a connection.
    pub(crate) start: Box<dyn FnMut()>,
    /// Gives the length of what comes out.
    pub(crate) run: Box<Run>,
}

/// A mebibyte and some.
const ROOM: usize = 1_100_000;
const MAX_WINDOW: u8 = 15;
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
const LAST_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

/// One whose state is a value.
fn candidate<T: 'static>(
    name: &'static str,
    state: T,
    mut start: impl FnMut(&mut T) + 'static,
    mut run: impl FnMut(&mut T, &[u8], &mut [u8]) -> usize + 'static,
) -> Candidate {
    let state = Rc::new(RefCell::new(state));
    let same = Rc::clone(&state);
    let mut output = vec![0; ROOM];
    Candidate {
        name,
        start: Box::new(move || start(&mut same.borrow_mut())),
        run: Box::new(move |message| run(&mut state.borrow_mut(), message, &mut output)),
    }
}

pub(crate) fn compressors(window: Option<u8>) -> Vec<Candidate> {
    let forgets = window.is_none();
    let bits = window.unwrap_or(MAX_WINDOW);
    let classic = |name, level| {
        candidate(
            name,
            classic::Deflater::new(bits, level),
            classic::Deflater::reset,
            move |deflater, message, output| {
                if forgets {
                    deflater.reset();
                }
                deflater.compress(message, output)
            },
        )
    };
    let rust = |name, level| {
        candidate(name, Deflate::new(level, false, bits), Deflate::reset, move |deflate, message, output| {
            if forgets {
                deflate.reset();
            }
            compress(deflate, message, output)
        })
    };
    let mut all = vec![
        classic("zlib, level 1", 1),
        classic("zlib, level 6", 6),
        rust("zlib-rs, level 1", 1),
        rust("zlib-rs, level 3", 3),
        rust("zlib-rs, level 6", 6),
    ];
    if forgets {
        for (name, level) in [("libdeflate, level 1", 1), ("libdeflate, level 6", 6)] {
            let compressor = Compressor::new(CompressionLvl::new(level).expect("a level"));
            all.push(candidate(
                name,
                compressor,
                |_| {},
                |compressor, message, output| compressor.deflate_compress(message, output).expect("room"),
            ));
        }
    }
    let connections: &[(&'static str, usize)] =
        if forgets { &[("ours", 1)] } else { &[("ours, to two in turns", 2), ("ours, to one", 1)] };
    for &(name, count) in connections {
        all.push(candidate(
            name,
            Ours::default(),
            move |ours| ours.contexts = (0..count).map(|_| ours.codecs.contexts(sending(window))).collect(),
            move |ours, message, _| {
                ours.contexts.rotate_left(1);
                ours.frame.clear();
                ours.codecs.write_frame(ours.contexts[0].as_mut(), Opcode::Text, message, &mut ours.frame);
                // All but the header.
                ours.frame.len() - if ours.frame[1] < 126 { 2 } else { 4 }
            },
        ));
    }
    all
}

#[derive(Default)]
struct Ours {
    codecs: Codecs,
    contexts: Vec<Option<Contexts>>,
    frame: Vec<u8>,
}

pub(crate) fn decompressors(window: Option<u8>) -> Vec<Candidate> {
    let forgets = window.is_none();
    let mut all = vec![
        candidate("zlib", classic::Inflater::new(), classic::Inflater::reset, move |inflater, message, output| {
            if forgets {
                inflater.reset();
            }
            inflater.decompress(&[message, &TAIL].concat(), output)
        }),
        candidate(
            "zlib-rs",
            Inflate::new(false, MAX_WINDOW),
            |inflate| inflate.reset(false),
            move |inflate, message, output| {
                if forgets {
                    inflate.reset(false);
                }
                let before = inflate.total_out();
                let input = [message, &TAIL].concat();
                inflate.decompress(&input, output, InflateFlush::SyncFlush).expect("good data");
                (inflate.total_out() - before) as usize
            },
        ),
    ];
    if forgets {
        all.push(candidate(
            "libdeflate",
            Decompressor::new(),
            |_| {},
            |decompressor, message, output| {
                let input = [message, &TAIL, &LAST_BLOCK].concat();
                decompressor.deflate_decompress(&input, output).expect("good data")
            },
        ));
    }
    all.push(candidate(
        "ours",
        (Codecs::default(), None),
        move |(codecs, contexts)| *contexts = codecs.contexts(receiving(window)),
        |(codecs, contexts), message, _| {
            let message = codecs.inflate(contexts.as_mut(), message, ROOM, true).expect("good data");
            let length = message.len();
            codecs.recycle(message);
            length
        },
    ));
    all
}

/// The messages as a client with zlib sends them.
pub(crate) fn compressed(window: Option<u8>, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut deflater = classic::Deflater::new(window.unwrap_or(MAX_WINDOW), 6);
    let mut output = vec![0; ROOM];
    let all = messages.iter().map(|message| {
        if window.is_none() {
            deflater.reset();
        }
        let length = deflater.compress(message, &mut output);
        output[..length].to_vec()
    });
    all.collect()
}

/// Bytes of a context: compressor of zlib and zlib-rs, ours, decompressor of zlib and zlib-rs, ours.
pub(crate) fn memory(bits: u8) -> [usize; 6] {
    let messages = messages::some(1000, 1 << 20);
    let incoming = compressed(Some(bits), &messages);
    let taken = |make: &mut dyn FnMut() -> Box<dyn std::any::Any>| {
        let before = allocation::bytes();
        let made = make();
        let taken = allocation::bytes() - before;
        drop(made);
        taken
    };
    let mut output = vec![0; ROOM];
    let contexts = |agreement, run: &mut dyn FnMut(&mut Codecs, &mut Contexts)| {
        let mut codecs = Codecs::default();
        let mut contexts = Box::new(codecs.contexts(agreement).expect("contexts"));
        run(&mut codecs, &mut contexts);
        drop(codecs);
        contexts as Box<dyn std::any::Any>
    };
    [
        taken(&mut || Box::new(classic::Deflater::new(bits, 6))),
        taken(&mut || {
            let mut deflate = Deflate::new(3, false, bits);
            for message in &messages {
                compress(&mut deflate, message, &mut output);
            }
            Box::new(deflate)
        }),
        taken(&mut || {
            contexts(sending(Some(bits)), &mut |codecs, contexts| {
                let mut frame = Vec::new();
                for message in &messages {
                    codecs.write_frame(Some(contexts), Opcode::Text, message, &mut frame);
                    frame.clear();
                }
            })
        }),
        taken(&mut || Box::new(classic::Inflater::for_window(bits))),
        taken(&mut || Box::new(Inflate::new(false, bits))),
        taken(&mut || {
            contexts(receiving(Some(bits)), &mut |codecs, contexts| {
                for message in &incoming {
                    let message = codecs.inflate(Some(contexts), message, ROOM, true).expect("good data");
                    codecs.recycle(message);
                }
            })
        }),
    ]
}

fn compress(deflate: &mut Deflate, message: &[u8], output: &mut [u8]) -> usize {
    let before = deflate.total_out();
    deflate.compress(message, output, DeflateFlush::SyncFlush).expect("room");
    (deflate.total_out() - before) as usize - TAIL.len()
}

fn sending(window: Option<u8>) -> Agreement {
    let server_window = window.unwrap_or(MAX_WINDOW);
    Agreement { server_context: window, server_window, names_server_window: true, client_context: None }
}

fn receiving(window: Option<u8>) -> Agreement {
    let server_window = MAX_WINDOW;
    Agreement { server_context: None, server_window, names_server_window: true, client_context: window }
}
