//! A request's body gives the same data and ends at the same byte however its bytes are split, and a chunked one ends
//! where a plain reading of RFC 9112 section 7.1 says.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use milliways_proto::http::{Body, HttpError};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// 0: chunked.
    length: u16,
    /// Lengths of the pieces, over and over again.
    pieces: [u8; 4],
    parts: Vec<Part<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Chunk { data: &'a [u8], extension: Option<&'a str> },
    Word(u8),
    Raw(&'a [u8]),
}

const WORDS: [&str; 20] = [
    "0\r\n\r\n",
    "0\r\n",
    "000;x\r\n",
    "3 ; a = \"b;\\\"c\"\r\nabc\r\n",
    "1;a=b;c\r\nx\r\n",
    ";a=\"",
    "T:\r\n",
    "Trailer: t\r\n",
    "\r\n",
    "\r",
    "\n",
    ";",
    " ",
    "5\r\nhello\r\n",
    "0005\r\n",
    "F",
    "ffffffffffffffff\r\n",
    "1000000000000000\r\n",
    "10000000000000000\r\n",
    "-1\r\n",
];

fn bytes_of(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Chunk { data, extension } => {
                bytes.extend_from_slice(format!("{:X}", data.len()).as_bytes());
                if let Some(extension) = extension {
                    bytes.extend_from_slice(format!(";{extension}").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
                bytes.extend_from_slice(data);
                bytes.extend_from_slice(b"\r\n");
            }
            Part::Word(index) => bytes.extend_from_slice(WORDS[usize::from(*index) % WORDS.len()].as_bytes()),
            Part::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    bytes
}

/// The data, and the number of bytes used when the body has ended.
type Outcome = Result<(Vec<u8>, Option<usize>), HttpError>;

fuzz_target!(|input: Input<'_>| {
    let body = if input.length == 0 { Body::chunked() } else { Body::with_length(input.length.into()) };
    let bytes = bytes_of(&input.parts);
    let whole = read(body.clone(), [&bytes[..]].into_iter());
    let mut rest = &bytes[..];
    let mut lengths = input.pieces.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let length = usize::from(*lengths.next()?).max(1).min(rest.len());
        let piece;
        (piece, rest) = rest.split_at(length);
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(body.clone(), pieces), whole);
    assert_eq!(read(body, bytes.chunks(1)), whole);

    if let Ok((data, Some(used))) = &whole {
        if input.length == 0 {
            assert_eq!(plain_reading(&bytes), Some((data.clone(), *used)));
        } else {
            assert_eq!((&data[..], *used), (&bytes[..input.length.into()], usize::from(input.length)));
        }
    }
});

fn read<'a>(mut body: Body, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let chunk = body.handle(rest)?;
            assert!(chunk.consumed > 0 && chunk.consumed <= rest.len(), "progress");
            assert!(chunk.data.len() <= chunk.consumed);
            data.extend_from_slice(chunk.data);
            used += chunk.consumed;
            rest = &rest[chunk.consumed..];
            if chunk.is_last {
                return Ok((data, Some(used)));
            }
        }
    }
    Ok((data, None))
}

/// The data of a chunked body at the start of `bytes` and the body's length, `None` when there is no whole one.
fn plain_reading(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut position) = (Vec::new(), 0);
    let line = |position: &mut usize| {
        let rest = &bytes[*position..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        *position += end + 2;
        Some(&rest[..end])
    };
    loop {
        let size = line(&mut position)?;
        let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(std::str::from_utf8(&size[..digits]).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = position.checked_add(usize::try_from(size).ok()?)?;
        data.extend_from_slice(bytes.get(position..end)?);
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        position = end + 2;
    }
    while !line(&mut position)?.is_empty() {}
    Some((data, position))
}
