//! The control socket: revokes tokens and lists what is revoked, for the owner of the process on this machine.
//! It does nothing else, and rejects other users.
//!
//! A request is one JSON object on a line, and so is each reply.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

pub mod client;
pub mod message;
pub mod place;
pub mod server;
pub mod socket;

/// How long a line may take that is written.
const WRITING: Duration = Duration::from_secs(10);

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// The other side has nothing more to say.
    End,
    /// More bytes than a line may have.
    TooLong,
}

/// Reads a line of at most so many bytes, within a time.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), most: usize, within: Duration) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut limited = reader.take(most as u64 + 1);
    timeout(within, limited.read_until(b'\n', &mut line)).await??;
    match line.pop() {
        Some(b'\n') => Ok(Line::Whole(line)),
        Some(_) if line.len() >= most => Ok(Line::TooLong),
        // A line without its end may be half of what was meant.
        Some(_) | None => Ok(Line::End),
    }
}

/// Writes what has been gathered, and forgets it.
async fn flush(writer: &mut (impl AsyncWrite + Unpin), gathered: &mut Vec<u8>) -> io::Result<()> {
    timeout(WRITING, writer.write_all(gathered)).await??;
    gathered.clear();
    Ok(())
}

/// Adds a line.
fn gather(message: &impl serde::Serialize, gathered: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(&mut *gathered, message)?;
    gathered.push(b'\n');
    Ok(())
}

/// Whether the other side is who may know and do everything here: our own user, or root.
fn is_trusted(stream: &UnixStream) -> io::Result<bool> {
    let uid = stream.peer_cred()?.uid();
    Ok(uid == 0 || uid == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_have_an_end_and_a_bound() {
        let mut reader: &[u8] = b"1234\n\n12345\n";
        assert_eq!(
            read_line(&mut reader, 4, WRITING).await.unwrap(),
            Line::Whole(b"1234".to_vec())
        );
        assert_eq!(
            read_line(&mut reader, 4, WRITING).await.unwrap(),
            Line::Whole(Vec::new())
        );
        assert_eq!(read_line(&mut reader, 4, WRITING).await.unwrap(), Line::TooLong);
        for rest in [&b""[..], b"half"] {
            assert_eq!(read_line(&mut &*rest, 4, WRITING).await.unwrap(), Line::End, "{rest:?}");
        }
    }
}
