use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

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

#[tokio::test]
async fn bytes_after_a_rejection_are_read_so_that_the_connection_is_not_reset() {
    let (mut client, server) = tokio::io::duplex(64);
    let limits = limits();
    let write: RejectionWriter = Arc::new(|status, _, _| status.to_string().into());
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
                poll_fn(|cx| stream.poll_reject(400, cx)).await;
                stream.closed
            })
        }),
    ];
    for (way, phase, write) in ways {
        let (_client, mut stream) = unread();
        stream.phase.enter(phase);
        stream.linger();
        let begin = Instant::now();
        assert!(write(&mut stream, &long).await, "{way}");
        assert_eq!(begin.elapsed().as_secs(), 10, "{way}");
        assert!(stream.write_deadline.has_expired(), "{way}");
    }
}
