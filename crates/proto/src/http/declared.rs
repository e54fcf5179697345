//! A response that is declared once and sent without calling a handler: a small program that reads the request, in the
//! binary form that the JavaScript class `DeclarativeResponse` builds.

use std::fmt;

use super::{HeaderError, ResponseHead, Status, StatusError};

/// A declared response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    instructions: Vec<Instruction>,
}

/// A step of a declared response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Completes the response with these bytes. It is the last step.
    End(Box<[u8]>),
    /// Writes a header: its name and value.
    Header(Box<[u8]>, Box<[u8]>),
    /// Stands for the request's body. It is not sent.
    Body,
    /// Writes the decoded value of this key in the request's query.
    QueryValue(Box<[u8]>),
    /// Writes the value of the request's header with this name, which is in lower case.
    HeaderValue(Box<[u8]>),
    /// Writes these bytes.
    Write(Box<[u8]>),
    /// Writes the value of the route's parameter with this name.
    ParameterValue(Box<str>),
    /// Sets the status: its code and reason phrase.
    Status(Box<[u8]>),
}

/// Why bytes are not a declared response. The API's user is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidDeclaration {
    /// `DeclarativeResponse` does not build such bytes.
    Malformed {
        /// The index of the byte at which the first invalid step begins.
        position: usize,
    },
    /// The status is invalid.
    Status(Box<[u8]>),
    /// A header or a status cannot be sent.
    Header(HeaderError),
    /// A header follows a part of the body.
    HeadEnded,
}

impl fmt::Display for InvalidDeclaration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { position } => write!(
                formatter,
                "a declarative response must be what DeclarativeResponse.end() returned; byte {position} is not"
            ),
            Self::Status(status) => write!(formatter, "'{}' is not a status", status.escape_ascii()),
            Self::Header(error) => error.fmt(formatter),
            Self::HeadEnded => formatter.write_str("headers must be written before the body"),
        }
    }
}

impl std::error::Error for InvalidDeclaration {}

impl Declared {
    /// Parses the binary form: steps up to an End, each an opcode of one byte and operands with their lengths before
    /// them.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidDeclaration> {
        let mut reader = Reader { bytes, position: 0 };
        let mut instructions = Vec::new();
        // The head that the response would have.
        let mut head = Some(ResponseHead::default());
        loop {
            let position = reader.position;
            let instruction = reader.instruction().ok_or(InvalidDeclaration::Malformed { position })?;
            check(&instruction, &mut head)?;
            let is_last = matches!(instruction, Instruction::End(_));
            instructions.push(instruction);
            if is_last {
                return Ok(Self { instructions });
            }
        }
    }

    /// The steps. The last one is an End.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Checks a step. `head` is `None` from the first part of the body on. Whether the body has the length that a
/// Content-Length announces depends on the request, and is checked then.
fn check(instruction: &Instruction, head: &mut Option<ResponseHead>) -> Result<(), InvalidDeclaration> {
    match instruction {
        Instruction::Status(text) => {
            let written = head.clone().unwrap_or_default().write_status(text);
            written.map_err(|error| match error {
                StatusError::Splits => InvalidDeclaration::Header(HeaderError::Splits),
                StatusError::Invalid => InvalidDeclaration::Status(text.clone()),
            })?;
            if Status::parse(text).is_ok_and(|(status, _)| status == Status::SWITCHING_PROTOCOLS) {
                return Err(InvalidDeclaration::Status(text.clone()));
            }
        }
        Instruction::Header(name, value) => {
            let head = head.as_mut().ok_or(InvalidDeclaration::HeadEnded)?;
            head.write_header(name, value).map_err(InvalidDeclaration::Header)?;
        }
        Instruction::Body | Instruction::End(_) => {}
        Instruction::QueryValue(_)
        | Instruction::HeaderValue(_)
        | Instruction::Write(_)
        | Instruction::ParameterValue(_) => *head = None,
    }
    Ok(())
}

struct Reader<'b> {
    bytes: &'b [u8],
    position: usize,
}

impl Reader<'_> {
    fn instruction(&mut self) -> Option<Instruction> {
        Some(match self.byte()? {
            0 => Instruction::End(self.long()?),
            1 => Instruction::Header(self.short()?, self.short()?),
            2 => Instruction::Body,
            3 => Instruction::QueryValue(self.short()?),
            4 => Instruction::HeaderValue(self.short()?),
            5 => Instruction::Write(self.long()?),
            6 => Instruction::ParameterValue(String::from_utf8(self.short()?.into()).ok()?.into()),
            7 => Instruction::Status(self.short()?),
            _ => return None,
        })
    }

    /// Reads bytes with their number in one byte before them.
    fn short(&mut self) -> Option<Box<[u8]>> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// Reads bytes with their number in two bytes before them, the low byte first.
    fn long(&mut self) -> Option<Box<[u8]>> {
        let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
        self.take(length.into())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    fn take(&mut self, length: usize) -> Option<Box<[u8]>> {
        let taken = self.bytes.get(self.position..)?.get(..length)?;
        self.position += length;
        Some(taken.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[u8] = b"\x07\x06200 OK\x01\x01a\x01b\x05\x02\x00hi\x03\x01q\x04\x04host\x06\x02id\x02\x00\x03\x00end";

    #[test]
    fn every_instruction() {
        let declared = Declared::parse(ALL).expect("good");
        let bytes = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
        assert_eq!(
            declared.instructions(),
            [
                Instruction::Status(bytes("200 OK")),
                Instruction::Header(bytes("a"), bytes("b")),
                Instruction::Write(bytes("hi")),
                Instruction::QueryValue(bytes("q")),
                Instruction::HeaderValue(bytes("host")),
                Instruction::ParameterValue("id".into()),
                Instruction::Body,
                Instruction::End(bytes("end")),
            ]
        );
    }

    #[test]
    fn a_part_of_a_declaration_is_none() {
        for end in 0..ALL.len() {
            let error = Declared::parse(&ALL[..end]).expect_err("incomplete");
            assert!(matches!(error, InvalidDeclaration::Malformed { position } if position <= end), "{error}");
        }
        let malformed = |position| Err(InvalidDeclaration::Malformed { position });
        assert_eq!(Declared::parse(b"\x08"), malformed(0));
        assert_eq!(Declared::parse(b"\x02\x06\x01\xFF\x00\x00\x00"), malformed(1));
    }

    #[test]
    fn a_status_that_no_response_can_have_is_refused() {
        for status in ["", "OK", "100 Continue", "101 Switching Protocols", "1000 x"] {
            let length = u8::try_from(status.len()).expect("short");
            let bytes = [&[7, length][..], status.as_bytes(), b"\x00\x00\x00"].concat();
            assert_eq!(Declared::parse(&bytes), Err(InvalidDeclaration::Status(status.as_bytes().into())));
        }
        assert_eq!(
            Declared::parse(b"\x07\x06200 \r\n\x00\x00\x00"),
            Err(InvalidDeclaration::Header(HeaderError::Splits))
        );
    }

    #[test]
    fn a_header_that_no_response_can_have_is_refused() {
        let header = |name: &str, value: &str| {
            let length = |text: &str| u8::try_from(text.len()).expect("short");
            [&[1, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
        };
        let parse = |instructions: &[&[u8]]| Declared::parse(&[&instructions.concat()[..], b"\x00\x00\x00"].concat());
        for (name, value, error) in [
            ("a", "b\r\nc: d", HeaderError::Splits),
            ("a b", "c", HeaderError::Splits),
            ("", "c", HeaderError::Splits),
            ("Content-Length", "one", HeaderError::Length),
            ("transfer-encoding", "gzip", HeaderError::Coding),
        ] {
            assert_eq!(parse(&[&header(name, value)]), Err(InvalidDeclaration::Header(error)), "{name}: {value}");
        }
        let length = |value: &str| header("Content-Length", value);
        assert_eq!(parse(&[&length("1"), &length("2")]), Err(InvalidDeclaration::Header(HeaderError::Length)));
        assert!(parse(&[&length("1"), &length("1")]).is_ok());
        for part in [&b"\x05\x01\x00x"[..], b"\x03\x01q", b"\x04\x01h", b"\x06\x01p"] {
            assert_eq!(parse(&[part, &header("a", "b")]), Err(InvalidDeclaration::HeadEnded));
        }
        assert!(parse(&[b"\x02", &header("a", "b")]).is_ok());
    }
}
