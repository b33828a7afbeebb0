use tokio::io::AsyncWriteExt as _;

use tokio::io::AsyncReadExt as _;

use super::*;

#[tokio::test]
async fn what_follows_a_refusal_is_read_so_that_nothing_is_reset() {
    let (mut client, server) = tokio::io::duplex(64);
    let limits = HeadLimits {
        bytes: 32,
        time: Duration::from_mins(1),
    };
    let refuse: Refuse = Arc::new(|status, _, _| status.to_string().into());
    let mut guard = Guard::new(Box::new(server), limits, refuse, Progress::default());
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
