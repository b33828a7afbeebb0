//! HTTP/2 frame by frame, with nothing that would stop a client from breaking the rules
//! (RFC 9113, 4 to 6).

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::PATIENCE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const NO_FLAGS: u8 = 0;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// One frame to send.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The frame that changes settings.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, NO_FLAGS, 0, &payload)
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, NO_FLAGS, stream, &increment.to_be_bytes())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, NO_FLAGS, stream, &8_u32.to_be_bytes())
}

/// The header block of a request, without a dynamic table (RFC 7541, 6).
pub(crate) fn block(method: &str, path: &str) -> Vec<u8> {
    let mut block = vec![if method == "GET" { 0x82 } else { 0x83 }, 0x86];
    block.push(0x04);
    text(&mut block, path);
    block.push(0x01);
    text(&mut block, "localhost");
    block
}

/// One more field of a header block.
pub(crate) fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0x00);
    text(block, name);
    text(block, value);
}

fn text(block: &mut Vec<u8>, text: &str) {
    // RFC 7541, 5.1: a number that does not fit continues in groups of seven bits.
    let mut rest = text.len().saturating_sub(127);
    block.push(u8::try_from(text.len().min(127)).unwrap());
    while text.len() >= 127 && rest >= 128 {
        block.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    if text.len() >= 127 {
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text.as_bytes());
}

/// The head of a request in one frame.
pub(crate) fn head(stream: u32, end: u8, method: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | end, stream, &block(method, path))
}

/// The stream that a client opens as its n-th.
pub(crate) fn nth(n: u32) -> u32 {
    2 * n + 1
}

/// A connection that was opened as a client of HTTP/2 does.
pub(crate) struct Frames {
    socket: TcpStream,
    incoming: Option<Receiver<Frame>>,
}

impl Frames {
    pub(crate) fn open(port: u16, values: &[(u16, u32)]) -> Self {
        let mut frames = Self::unread(port, values);
        let (sender, incoming) = mpsc::channel();
        let mut reader = frames.socket.try_clone().unwrap();
        thread::spawn(move || while read(&mut reader).is_some_and(|frame| sender.send(frame).is_ok()) {});
        frames.incoming = Some(incoming);
        frames
    }

    /// One that never reads what it is sent.
    pub(crate) fn unread(port: u16, values: &[(u16, u32)]) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(PREFACE).unwrap();
        socket.write_all(&settings(values)).unwrap();
        Self { socket, incoming: None }
    }

    /// Whether the other side still takes it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        match self.socket.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                let stuck = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!stuck, "it neither reads nor closes");
                false
            }
        }
    }

    /// Sends what `make` makes of 0, 1, 2 and so on, as long as the other side takes it.
    pub(crate) fn flood(&mut self, count: u32, make: impl Fn(u32) -> Vec<u8>) {
        for first in (0..count).step_by(200) {
            let batch: Vec<u8> = (first..count.min(first + 200)).flat_map(&make).collect();
            if !self.send(&batch) {
                return;
            }
        }
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        match self.incoming.as_ref().unwrap().recv_timeout(PATIENCE) {
            Ok(frame) => Some(frame),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no frame, and no end of the connection"),
        }
    }

    /// The next frame, if it comes soon.
    pub(crate) fn within(&mut self, time: Duration) -> Option<Frame> {
        self.incoming.as_ref().unwrap().recv_timeout(time).ok()
    }

    /// The first frame that fits; `None` if the connection ends without one.
    pub(crate) fn until(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.next() {
            if fits(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// Reads to the end of the connection, and says whether there was a `GOAWAY`.
    pub(crate) fn ended(&mut self) -> bool {
        let mut told = false;
        while let Some(frame) = self.next() {
            told |= frame.kind == GOAWAY;
        }
        told
    }

    /// Closes the connection, whatever is open.
    pub(crate) fn close(self) {
        _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Whether the other side takes a `PING` and answers it.
    pub(crate) fn is_alive(&mut self) -> bool {
        let mark = *b"is alive";
        self.send(&frame(PING, NO_FLAGS, 0, &mark)) && self.until(|frame| frame.payload == mark).is_some()
    }
}

fn read(socket: &mut TcpStream) -> Option<Frame> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).ok()?;
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        payload,
    })
}
