//! As much of the protocol of NATS as it takes to subscribe and to count messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{Found, Parser};

/// The subject that everybody watches.
pub const SUBJECT: &str = "incidents";
const LINE_END: &[u8] = b"\r\n";

/// A connection.
pub struct Nats {
    watches: usize,
}

impl Nats {
    /// With one subscription for each watch.
    pub fn new(watches: usize) -> Self {
        Self { watches }
    }
}

impl Parser for Nats {
    fn hello(&mut self) -> Bytes {
        let mut hello = String::from("CONNECT {\"verbose\":false}\r\n");
        for id in 1..=self.watches {
            hello.push_str(&format!("SUB {SUBJECT} {id}\r\n"));
        }
        // Answered after all subscriptions.
        hello.push_str("PING\r\n");
        hello.into()
    }

    fn parse(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        found: &mut Found,
    ) -> Result<(), &'static str> {
        let mut taken = 0;
        while let Some(length) = line_bytes(&input[taken..]) {
            let line = &input[taken..taken + length];
            let mut end = taken + length + LINE_END.len();
            if line.starts_with(b"MSG ") {
                let (id, payload_bytes) = message(line).ok_or("by a message without a place")?;
                end += payload_bytes + LINE_END.len();
                if input.len() < end {
                    break;
                }
                found.messages_of(id - 1, 1)?;
            } else if line.starts_with(b"PING") {
                output.extend_from_slice(b"PONG\r\n");
            } else if line.starts_with(b"PONG") {
                found.opened += self.watches;
            } else if line.starts_with(b"-ERR") {
                return Err("by an error");
            }
            taken = end;
        }
        input.advance(taken);
        Ok(())
    }
}

fn line_bytes(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(LINE_END.len())
        .position(|two| two == LINE_END)
}

/// The number of the subscription, from 1 up, and the length of the message.
fn message(line: &[u8]) -> Option<(usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ').skip(2);
    let id = words.next()?.parse().ok().filter(|id| 0 < *id)?;
    Some((id, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let text = "INFO {\"a\":1}\r\nPONG\r\nMSG incidents 2 7\r\na\r\nb\r\nc\r\nPING\r\n\
                    MSG incidents 1 0\r\n\r\n";
        for cut_bytes in 1..text.len() {
            let mut nats = Nats::new(2);
            let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
            let mut found = Found::new(2);
            found.round = 1;
            for part in text.as_bytes().chunks(cut_bytes) {
                input.extend_from_slice(part);
                let parsed = nats.parse(&mut input, &mut output, &mut found);
                parsed.expect("well formed");
            }
            assert_eq!((found.opened, found.messages, found.arrived), (2, 2, 2));
            assert_eq!(&output[..], b"PONG\r\n");
        }
    }
}
