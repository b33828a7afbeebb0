use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::keep_alive::HELD_BYTES;
use super::*;

fn limits() -> StreamLimits {
    StreamLimits {
        head_bytes: 32,
        head_time: Duration::from_mins(1),
        reading: BodyRateLimits {
            patience: Duration::from_secs(10),
            rate: 0,
        },
    }
}

fn status(fault: HeadFault) -> u16 {
    match fault {
        HeadFault::Malformed(_) => 400,
        HeadFault::TooSlow => 408,
        HeadFault::TooLong | HeadFault::TooManyLines => 431,
        HeadFault::NoRoom => 503,
    }
}

#[tokio::test]
async fn bytes_after_a_rejection_are_read_so_that_the_connection_is_not_reset() {
    let (mut client, server) = tokio::io::duplex(64);
    let limits = limits();
    let write: RejectionWriter = Arc::new(|fault, _, _| status(fault).to_string().into());
    let mut stream = StrictStream::new(Box::new(server), limits, write, ReadProgress::default());
    let serve = async move { while stream.read_u8().await.is_ok() {} };
    let call = async move {
        let mut answer = [0; 3];
        client.write_all(&[b'x'; 100]).await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"431");
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
    };
    tokio::join!(serve, call);
}

/// Returns a stream whose client reads nothing, and whose rejections are long.
fn unread() -> (tokio::io::DuplexStream, StrictStream) {
    let (client, server) = tokio::io::duplex(64);
    let write: RejectionWriter = Arc::new(|_, _, _| Bytes::from(vec![b'x'; 1000]));
    let stream = StrictStream::new(Box::new(server), limits(), write, ReadProgress::default());
    (client, stream)
}

/// Writes in some way. Returns whether that failed, where the way reports it.
type Write = for<'g> fn(&'g mut StrictStream, &'g [u8]) -> Pin<Box<dyn Future<Output = bool> + 'g>>;

#[tokio::test(start_paused = true)]
async fn each_way_to_write_to_a_client_that_does_not_read_ends() {
    // Not a rejection that pingora might have written.
    let long = [b'-'; 1000];
    let ways: [(&str, Phase, Write); 5] = [
        ("write", Phase::Body, |stream, long| {
            Box::pin(async move { stream.write_all(long).await.is_err() })
        }),
        ("vectored write", Phase::Http2, |stream, long| {
            Box::pin(async move {
                let _ = stream.write_vectored(&[io::IoSlice::new(long)]).await;
                stream.write_vectored(&[io::IoSlice::new(long)]).await.is_err()
            })
        }),
        ("flush", Phase::Body, |stream, long| {
            Box::pin(async move {
                // The pipe holds some, and then takes no more.
                let _ = stream.write(long).await;
                let _ = stream.write(long).await;
                stream.flush().await.is_err()
            })
        }),
        ("shutdown", Phase::Body, |stream, long| {
            Box::pin(async move {
                let _ = stream.write_all(long).await;
                Shutdown::shutdown(stream).await;
                true
            })
        }),
        ("rejection", Phase::BeforeHead, |stream, _| {
            Box::pin(async move {
                poll_fn(|cx| stream.poll_reject(HeadFault::Malformed("x"), cx)).await;
                stream.closed
            })
        }),
    ];
    for (way, phase, write) in ways {
        let (_client, mut stream) = unread();
        stream.phase.enter(phase);
        let begin = Instant::now();
        assert!(write(&mut stream, &long).await, "{way}");
        assert_eq!(begin.elapsed().as_secs(), 10, "{way}");
        assert!(stream.write_deadline.has_expired(), "{way}");
    }
}

/// Returns a client and its stream, whose rejections are the status alone.
fn connected(room: usize) -> (tokio::io::DuplexStream, StrictStream) {
    let (client, server) = tokio::io::duplex(room);
    let limits = StreamLimits {
        head_bytes: 200,
        ..limits()
    };
    let write: RejectionWriter = Arc::new(|fault, _, _| status(fault).to_string().into());
    let stream = StrictStream::new(Box::new(server), limits, write, ReadProgress::default());
    (client, stream)
}

/// Reads this much, as a session does that knows no end.
async fn read(stream: &mut StrictStream, length: usize) -> String {
    let mut read = BytesMut::new();
    while read.len() < length {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{read:?}");
    }
    String::from_utf8(read.to_vec()).unwrap()
}

/// Polls as a session does that waits for its client to leave. Returns what it reads, if it has not to wait.
async fn idle(stream: &mut StrictStream) -> Option<io::Result<usize>> {
    let mut probe = [0];
    let mut read = Box::pin(stream.read(&mut probe));
    poll_fn(|cx| match read.as_mut().poll(cx) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

const REQUESTS: [(&str, &str); 6] = [
    ("GET /1 HTTP/1.1\r\n\r\n", ""),
    ("POST /2 HTTP/1.1\r\ncontent-length: 5\r\n\r\n", "hello"),
    (
        "POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n",
    ),
    ("POST /4 HTTP/1.1\r\ncontent-length: 0\r\n\r\n", ""),
    (
        "POST /5 HTTP/1.1\r\ncontent-length: 19\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n\n",
    ),
    ("HEAD /6 HTTP/1.1\r\n\r\n", ""),
];

#[tokio::test]
async fn session_reads_its_own_request_and_the_next_session_the_next_one() {
    let empty_lines = ["", "\r\n", "\r\n\r\n"];
    let parts = REQUESTS.iter().zip(empty_lines.iter().cycle());
    let all: String = parts.flat_map(|((head, body), lines)| [*head, *body, *lines]).collect();
    for step in [1, 2, 3, 5, 50, 1000] {
        let (mut client, mut stream) = connected(1);
        let bytes = all.clone();
        tokio::spawn(async move {
            for part in bytes.as_bytes().chunks(step) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        for (head, body) in REQUESTS {
            assert!(!head.contains("/1") || stream.begins_with_preface().await.is_ok_and(|begins| !begins));
            assert_eq!(read(&mut stream, head.len()).await, head, "{step}");
            stream.head_is_read();
            assert!(stream.has_certain_end());
            assert_eq!(read(&mut stream, body.len()).await, body, "{step}");
            assert!(idle(&mut stream).await.is_none());
            stream.expect_head();
            if !head.contains("/6") {
                assert!(stream.has_next_request(Duration::from_mins(1)).await);
            }
        }
        assert!(!stream.has_next_request(Duration::from_mins(1)).await);
        assert_eq!(stream.peeked.capacity(), 0);
    }
}

#[tokio::test]
async fn early_bytes_are_held_as_far_as_there_is_room() {
    for (early, held) in [(0, 0), (10, 10), (HELD_BYTES, HELD_BYTES), (100_000, HELD_BYTES)] {
        let (mut client, mut stream) = connected(200_000);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read(&mut stream, 18).await;
        stream.head_is_read();
        assert!(idle(&mut stream).await.is_none());
        client.write_all(&vec![b'x'; early]).await.unwrap();
        assert!(idle(&mut stream).await.is_none());
        assert_eq!(stream.peeked.len(), held);
        drop(client);
        // A client that sends no more still reads the responses.
        assert!(idle(&mut stream).await.is_none());
    }
}

#[tokio::test]
async fn bytes_behind_an_upgrade_are_held_until_the_protocol_is_switched() {
    let (mut client, mut stream) = connected(1000);
    let head = "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n";
    client
        .write_all(format!("{head}\r\n\x01frames").as_bytes())
        .await
        .unwrap();
    assert_eq!(read(&mut stream, head.len()).await, head);
    stream.head_is_read();
    assert!(idle(&mut stream).await.is_none());
    stream.upgraded();
    client.write_all(b"\r\nmore").await.unwrap();
    assert_eq!(read(&mut stream, 15).await, "\r\n\x01frames\r\nmore");
    drop(client);
    assert_eq!(idle(&mut stream).await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn empty_lines_are_not_a_request() {
    let (mut client, mut stream) = connected(1000);
    client.write_all(b"GET / HTTP/1.1\r\n\r\n\r\n\r\n\r").await.unwrap();
    read(&mut stream, 18).await;
    stream.head_is_read();
    stream.expect_head();
    let begin = Instant::now();
    assert!(!stream.has_next_request(Duration::from_mins(1)).await);
    assert_eq!(begin.elapsed().as_secs(), 60);
    client.write_all(b"\n").await.unwrap();
    assert!(!stream.has_next_request(Duration::from_mins(1)).await);
    assert_eq!(stream.peeked.capacity(), 0);
}

#[tokio::test]
async fn no_request_follows_one_without_a_certain_end() {
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "transfer-encoding: x\r\n",
    ] {
        let (mut client, mut stream) = connected(1000);
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
        client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream, head.len()).await, head);
        stream.head_is_read();
        assert!(!stream.has_certain_end());
        assert_eq!(read(&mut stream, body.len()).await, body);
        stream.expect_head();
        assert!(!stream.has_next_request(Duration::from_mins(1)).await);
    }
    // Nor one that was not read to its end.
    let (mut client, mut stream) = connected(1000);
    client
        .write_all(b"POST / HTTP/1.1\r\ncontent-length: 50\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    read(&mut stream, 39).await;
    stream.head_is_read();
    stream.expect_head();
    assert!(!stream.has_next_request(Duration::from_mins(1)).await);
}

#[tokio::test(start_paused = true)]
async fn close_lingers_where_the_client_may_still_be_sending() {
    for (request, early, lingers) in [
        ("GET / HTTP/1.1\r\n\r\n", "", false),
        ("GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", true),
        ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", "hel", true),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", "", true),
        ("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "", true),
    ] {
        let (mut client, mut stream) = connected(1000);
        client.write_all(request.as_bytes()).await.unwrap();
        read(&mut stream, request.len()).await;
        stream.head_is_read();
        client.write_all(early.as_bytes()).await.unwrap();
        let begin = Instant::now();
        // As pingora's session does.
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        assert_eq!(begin.elapsed().as_secs(), u64::from(lingers), "{request:?} {early:?}");
    }
}
