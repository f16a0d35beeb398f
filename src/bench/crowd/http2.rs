//! As much of HTTP/2 (RFC 9113) and of gRPC as it takes to open streams and to count their
//! messages.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Found, Parser};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What stands before a frame.
const HEAD_BYTES: usize = 9;
/// What stands before a message of gRPC.
const PREFIX_BYTES: u8 = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The largest window that there is: it never needs to be opened again.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// What a connection's window is before anybody opens it.
const WINDOW_DEFAULT: u32 = 65_535;

/// A connection.
pub struct Http2 {
    hello: Bytes,
    /// For each stream, from 1 up in steps of 2.
    streams: Vec<Stream>,
    /// Of each, if it is a slow reader's.
    slow_window: Option<u32>,
}

/// The messages of one stream.
#[derive(Clone, Copy, Default)]
struct Stream {
    is_open: bool,
    /// Bytes of the prefix that have come.
    prefix: u8,
    /// The length that it tells.
    length: u32,
    /// Bytes of the message that are still to come.
    left: u32,
    /// Bytes that a slow watcher has not read.
    unread: u32,
    /// Bytes of the last message, prefix included.
    last: u32,
}

impl Http2 {
    /// Calls a method once for each watch.
    pub fn new(
        host: &str,
        path: &str,
        request: &[u8],
        watches: usize,
        slow_window: Option<u32>,
    ) -> Self {
        let mut hello = BytesMut::from(PREFACE);
        let window = slow_window.unwrap_or(WINDOW_MAX);
        let mut settings = BytesMut::new();
        settings.put_u16(ENABLE_PUSH);
        settings.put_u32(0);
        settings.put_u16(INITIAL_WINDOW_SIZE);
        settings.put_u32(window);
        put_frame(&mut hello, SETTINGS, 0, 0, &settings);
        put_window(&mut hello, 0, WINDOW_MAX - WINDOW_DEFAULT);
        let headers = headers(host, path);
        let mut message = BytesMut::new();
        message.put_u8(0);
        message.put_u32(u32::try_from(request.len()).expect("a small message"));
        message.put_slice(request);
        for watch in 0..watches {
            put_frame(&mut hello, HEADERS, END_HEADERS, id(watch), &headers);
            put_frame(&mut hello, DATA, END_STREAM, id(watch), &message);
        }
        Self {
            hello: hello.freeze(),
            streams: vec![Stream::default(); watches],
            slow_window,
        }
    }

    fn frame(
        &mut self,
        head: Head,
        payload: &[u8],
        output: &mut BytesMut,
        found: &mut Found,
    ) -> Result<(), &'static str> {
        match head.kind {
            DATA => {
                let watch = head.watch();
                let stream = self.streams.get_mut(watch).ok_or("data of no stream")?;
                let messages = stream.take(payload);
                found.largest = found.largest.max(stream.last);
                found.messages_of(watch, messages)?;
            }
            HEADERS if head.flags & END_STREAM != 0 => return Err("with a status"),
            HEADERS => {
                let stream = self.streams.get_mut(head.watch());
                let stream = stream.ok_or("headers of no stream")?;
                found.opened += usize::from(!stream.is_open);
                stream.is_open = true;
            }
            RST_STREAM => return Err("by a reset"),
            GOAWAY => return Err("with its connection"),
            SETTINGS if head.flags & ACK == 0 => put_frame(output, SETTINGS, ACK, 0, &[]),
            PING if head.flags & ACK == 0 => put_frame(output, PING, ACK, 0, payload),
            _ => {}
        }
        Ok(())
    }
}

impl Parser for Http2 {
    fn hello(&mut self) -> Bytes {
        std::mem::take(&mut self.hello)
    }

    fn parse(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        found: &mut Found,
    ) -> Result<(), &'static str> {
        let mut taken = 0;
        while let Some(head) = Head::parse(&input[taken..]) {
            let begin = taken + HEAD_BYTES;
            let Some(payload) = input.get(begin..begin + head.length) else {
                break;
            };
            self.frame(head, payload, output, found)?;
            taken = begin + head.length;
        }
        input.advance(taken);
        Ok(())
    }

    fn read_one(&mut self, output: &mut BytesMut) {
        for (watch, stream) in self.streams.iter_mut().enumerate() {
            // Of one whose end did not fit the window, all that is there.
            let read = match stream.last {
                0 => stream.unread,
                last => stream.unread.min(last),
            };
            if 0 < read {
                stream.unread -= read;
                put_window(output, id(watch), read);
            }
        }
    }

    fn full(&self) -> usize {
        let window = self.slow_window.unwrap_or(u32::MAX);
        let is_full = |stream: &&Stream| window <= stream.unread;
        self.streams.iter().filter(is_full).count()
    }
}

impl Stream {
    /// How many messages end in this.
    fn take(&mut self, mut data: &[u8]) -> u64 {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.unread = self.unread.saturating_add(length);
        let mut messages = 0;
        while let Some((first, rest)) = data.split_first() {
            if self.prefix < PREFIX_BYTES {
                // The first byte says that it is not compressed: 0.
                self.length = self.length << 8 | u32::from(*first);
                self.prefix += 1;
                self.left = self.length;
                data = rest;
            } else {
                let length = data.len().min(self.left as usize);
                self.left -= u32::try_from(length).unwrap_or(self.left);
                data = &data[length..];
            }
            if self.prefix == PREFIX_BYTES && self.left == 0 {
                messages += 1;
                self.last = self.length + u32::from(PREFIX_BYTES);
                (self.prefix, self.length) = (0, 0);
            }
        }
        messages
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes.get(..HEAD_BYTES)?;
        let length = usize::try_from(bytes.get_uint(3)).ok()?;
        Some(Self {
            length,
            kind: bytes.get_u8(),
            flags: bytes.get_u8(),
            stream: bytes.get_u32() & WINDOW_MAX,
        })
    }

    fn watch(self) -> usize {
        (self.stream / 2) as usize
    }
}

/// Clients' streams have odd numbers.
fn id(watch: usize) -> u32 {
    u32::try_from(2 * watch + 1).expect("a connection has some thousand streams")
}

fn put_frame(output: &mut BytesMut, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    output.put_uint(payload.len() as u64, 3);
    output.put_u8(kind);
    output.put_u8(flags);
    output.put_u32(stream);
    output.put_slice(payload);
}

fn put_window(output: &mut BytesMut, stream: u32, bytes: u32) {
    put_frame(output, WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// The headers of a call, in HPACK (RFC 7541) without a table and without Huffman's code.
fn headers(host: &str, path: &str) -> BytesMut {
    const METHOD_POST: u8 = 0x83;
    const SCHEME_HTTP: u8 = 0x86;
    const AUTHORITY: u8 = 0x01;
    const PATH: u8 = 0x04;
    /// Name 31, which does not fit its four bits.
    const CONTENT_TYPE: [u8; 2] = [0x0f, 0x10];
    const NEW_NAME: u8 = 0x00;
    let mut block = BytesMut::new();
    block.put_slice(&[METHOD_POST, SCHEME_HTTP, AUTHORITY]);
    put_text(&mut block, host);
    block.put_u8(PATH);
    put_text(&mut block, path);
    block.put_slice(&CONTENT_TYPE);
    put_text(&mut block, "application/grpc");
    block.put_u8(NEW_NAME);
    put_text(&mut block, "te");
    put_text(&mut block, "trailers");
    block
}

/// Texts here are shorter than the 127 bytes that one byte of length can tell.
fn put_text(block: &mut BytesMut, text: &str) {
    block.put_u8(u8::try_from(text.len()).expect("a short text"));
    block.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(stream: u32, payload: &[u8], output: &mut BytesMut) {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(payload.len()).expect("short"));
        framed.put_slice(payload);
        // In two frames, as a server may do it.
        let (one, other) = framed.split_at(framed.len() / 2);
        put_frame(output, DATA, 0, stream, one);
        put_frame(output, DATA, 0, stream, other);
    }

    proptest! {
        #[test]
        fn messages_are_counted_however_they_are_cut(
            lengths in prop::collection::vec((0_usize..3, 0_usize..400), 0..30),
            cut_bytes in 1_usize..50,
        ) {
            let mut bytes = BytesMut::new();
            put_frame(&mut bytes, SETTINGS, 0, 0, &[]);
            for watch in 0..3 {
                put_frame(&mut bytes, HEADERS, END_HEADERS, id(watch), &[1, 2, 3]);
            }
            for (watch, length) in &lengths {
                message(id(*watch), &vec![7; *length], &mut bytes);
            }
            let mut http2 = Http2::new("127.0.0.1:1", "/a/b", &[], 3, None);
            let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
            let mut found = Found::new(3);
            found.round = 1;
            for part in bytes.chunks(cut_bytes) {
                input.put_slice(part);
                http2.parse(&mut input, &mut output, &mut found).expect("well formed");
            }
            prop_assert!(input.is_empty());
            prop_assert_eq!(found.opened, 3);
            prop_assert_eq!(found.messages, lengths.len() as u64);
            let heard = (0..3).filter(|watch| lengths.iter().any(|one| one.0 == *watch));
            prop_assert_eq!(found.arrived, heard.count());
            prop_assert_eq!(output.len(), HEAD_BYTES);
        }
    }

    #[test]
    fn slow_watcher_opens_its_window_by_one_message_at_a_time() {
        let mut bytes = BytesMut::new();
        message(1, &[7; 100], &mut bytes);
        message(1, &[7; 100], &mut bytes);
        let mut http2 = Http2::new("127.0.0.1:1", "/a/b", &[], 1, Some(200));
        let mut output = BytesMut::new();
        let parsed = http2.parse(&mut bytes, &mut output, &mut Found::new(1));
        parsed.expect("well formed");
        assert_eq!(http2.full(), 1);
        let reads = std::iter::repeat_with(|| {
            let mut output = BytesMut::new();
            http2.read_one(&mut output);
            output.get(HEAD_BYTES..).map(|mut read| read.get_u32())
        });
        let reads: Vec<_> = reads.take(3).collect();
        assert_eq!(reads, [Some(105), Some(105), None]);
        assert_eq!(http2.full(), 0);
    }

    #[test]
    fn end_of_a_stream_is_told() {
        let check = |kind, flags| {
            let mut bytes = BytesMut::new();
            put_frame(&mut bytes, kind, flags, 1, &[0; 8]);
            let mut http2 = Http2::new("127.0.0.1:1", "/a/b", &[], 1, None);
            let parsed = http2.parse(&mut bytes, &mut BytesMut::new(), &mut Found::new(1));
            assert!(parsed.is_err(), "{kind}");
        };
        check(HEADERS, END_STREAM);
        check(RST_STREAM, 0);
        check(GOAWAY, 0);
    }
}
