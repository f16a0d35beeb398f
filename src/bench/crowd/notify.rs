//! As much of the protocol of PostgreSQL as it takes to listen to a channel.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Found, Parser};

/// The channel that everybody watches.
pub const CHANNEL: &str = "incidents";
const USER: &str = "postgres";
/// Version 3.0.
const VERSION: u32 = 3 << 16;
/// The length of a message, which counts itself and not the kind before it.
const LENGTH_BYTES: usize = 4;

/// A connection that listens.
#[derive(Default)]
pub struct Notifications {
    readies: usize,
}

impl Parser for Notifications {
    fn hello(&mut self) -> Bytes {
        let mut hello = startup();
        put_query(&mut hello, &format!("LISTEN {CHANNEL}"));
        hello.freeze()
    }

    fn parse(
        &mut self,
        input: &mut BytesMut,
        _output: &mut BytesMut,
        found: &mut Found,
    ) -> Result<(), &'static str> {
        while let Some(kind) = next_kind(input) {
            match kind {
                b'A' => found.messages_of(0, 1)?,
                b'Z' => {
                    self.readies += 1;
                    // The first is of the connection, the second of the query.
                    found.opened += usize::from(self.readies == 2);
                }
                b'E' => return Err("by an error"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How a connection begins, where everybody is trusted.
pub fn startup() -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u32(VERSION);
    for text in ["user", USER, "database", USER] {
        body.put_slice(text.as_bytes());
        body.put_u8(0);
    }
    body.put_u8(0);
    let mut startup = BytesMut::new();
    put_length(&mut startup, body.len());
    startup.put_slice(&body);
    startup
}

/// Adds a simple query.
pub fn put_query(output: &mut BytesMut, sql: &str) {
    output.put_u8(b'Q');
    put_length(output, sql.len() + 1);
    output.put_slice(sql.as_bytes());
    output.put_u8(0);
}

/// The kind of the message in front, which is taken off; `None` if not all of it is there.
pub fn next_kind(input: &mut BytesMut) -> Option<u8> {
    let mut head = input.get(..1 + LENGTH_BYTES)?;
    let kind = head.get_u8();
    let length = usize::try_from(head.get_u32()).ok()?;
    if input.len() < 1 + length {
        return None;
    }
    input.advance(1 + length);
    Some(kind)
}

fn put_length(output: &mut BytesMut, bytes: usize) {
    let length = u32::try_from(LENGTH_BYTES + bytes).expect("a short text");
    output.put_u32(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notification_is_told_once_all_of_it_is_there() {
        let mut listener = Notifications::default();
        let mut found = Found::new(1);
        found.round = 1;
        let mut bytes = BytesMut::new();
        for (kind, body) in [
            (b'Z', "I"),
            (b'C', "LISTEN"),
            (b'Z', "I"),
            (b'A', "incidents"),
        ] {
            bytes.put_u8(kind);
            put_length(&mut bytes, body.len());
            bytes.put_slice(body.as_bytes());
        }
        let mut input = BytesMut::new();
        for byte in bytes {
            assert_eq!(found.arrived, 0);
            input.put_u8(byte);
            let parsed = listener.parse(&mut input, &mut BytesMut::new(), &mut found);
            parsed.expect("well formed");
        }
        assert_eq!((found.opened, found.arrived), (1, 1));
    }
}
