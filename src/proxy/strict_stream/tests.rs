use tokio::io::AsyncWriteExt as _;

use tokio::io::AsyncReadExt as _;

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
async fn what_follows_a_refusal_is_read_so_that_nothing_is_reset() {
    let (mut client, server) = tokio::io::duplex(64);
    let limits = limits();
    let refuse: RejectionWriter = Arc::new(|status, _, _| status.to_string().into());
    let mut guard = StrictStream::new(Box::new(server), limits, refuse, ReadProgress::default());
    let serve = async move { while guard.read_u8().await.is_ok() {} };
    let call = async move {
        let mut answer = [0; 3];
        client.write_all(&[b'x'; 100]).await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"431");
        client.write_all(&vec![b'x'; 100_000]).await.unwrap();
    };
    tokio::join!(serve, call);
}

/// A guard whose client reads nothing, and whose own refusals are long.
fn unread() -> (tokio::io::DuplexStream, StrictStream) {
    let (client, server) = tokio::io::duplex(64);
    let refuse: RejectionWriter = Arc::new(|_, _, _| Bytes::from(vec![b'x'; 1000]));
    let guard = StrictStream::new(Box::new(server), limits(), refuse, ReadProgress::default());
    (client, guard)
}

/// Writes in some way. Whether it failed, where it says so.
type Write = for<'g> fn(&'g mut StrictStream, &'g [u8]) -> Pin<Box<dyn Future<Output = bool> + 'g>>;

#[tokio::test(start_paused = true)]
async fn each_way_to_write_to_a_client_that_does_not_read_ends() {
    // Not a refusal that the engine might have written.
    let long = [b'-'; 1000];
    let ways: [(&str, u8, Write); 5] = [
        ("write", APPLICATION, |guard, long| {
            Box::pin(async move { guard.write_all(long).await.is_err() })
        }),
        ("vectored write", FRAMES, |guard, long| {
            Box::pin(async move {
                let _ = guard.write_vectored(&[io::IoSlice::new(long)]).await;
                guard.write_vectored(&[io::IoSlice::new(long)]).await.is_err()
            })
        }),
        ("flush", APPLICATION, |guard, long| {
            Box::pin(async move {
                // The pipe holds some, and then nothing more is taken.
                let _ = guard.write(long).await;
                let _ = guard.write(long).await;
                guard.flush().await.is_err()
            })
        }),
        ("shutdown", APPLICATION, |guard, long| {
            Box::pin(async move {
                let _ = guard.write_all(long).await;
                Shutdown::shutdown(guard).await;
                true
            })
        }),
        ("refusal", EXPECTING, |guard, _| {
            Box::pin(async move {
                poll_fn(|cx| guard.poll_refuse(400, cx)).await;
                guard.closed
            })
        }),
    ];
    for (way, phase, write) in ways {
        let (_client, mut guard) = unread();
        *guard.phase.get_mut() = phase;
        guard.linger();
        let begin = Instant::now();
        assert!(write(&mut guard, &long).await, "{way}");
        assert_eq!(begin.elapsed().as_secs(), 10, "{way}");
        assert!(guard.write_deadline.has_expired(), "{way}");
    }
}

#[test]
fn only_refusals_of_the_engine_are_replaced() {
    for (answer, want) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(400)),
        (b"HTTP/1.1 405 Method Not Allowed\r\n", Some(405)),
        (b"HTTP/1.1 100 Continue\r\n", None),
        (b"HTTP/1.1 200 OK\r\n", None),
        (b"HTTP/1.1", None),
        (b"", None),
    ] {
        assert_eq!(engine_refusal(answer), want);
    }
}
