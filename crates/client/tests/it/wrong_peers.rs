use ottla_client::{Client, ClientError, ClientOptions};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn options() -> ClientOptions {
    ClientOptions {
        request_timeout: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(200),
        operation_timeout: Duration::from_millis(300),
        ..ClientOptions::default()
    }
}

/// What a client says that connects to a peer which answers everything with `bytes`.
async fn connect_to_peer(bytes: &'static [u8]) -> ClientError {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let peer = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 512];
            // Read something first: a peer that closes early would be another test.
            if stream.read(&mut request).await.is_ok() && !bytes.is_empty() {
                let _ = stream.write_all(bytes).await;
            } else {
                std::future::pending::<()>().await;
            }
        }
    });
    let error = Client::connect(&address, options())
        .await
        .expect_err("this is no broker");
    peer.abort();
    assert!(error.to_string().contains(&address), "{error}");
    error
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::connect(&address, options()).await.unwrap_err();
    assert!(
        error.to_string().contains("nobody listens there"),
        "{error}"
    );
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.hint().unwrap().contains("advertised.listeners"));
}

#[tokio::test]
async fn peers_that_are_no_brokers_are_recognised() {
    for (answer, words) in [
        (&b"\x15\x03\x03\x00\x02\x02\x28"[..], "TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x00\x00\x00\x02ab", "no Kafka port"),
        (b"\xff\xff\xff\xff", "no Kafka port"),
        (
            b"\x00\x00\x00\x06\x00\x00\x00\x00\x00\x2a",
            "refused the handshake",
        ),
        (
            b"\x00\x00\x00\x05\x00\x00\x00\x00\x00",
            "answer is not Kafka's",
        ),
        (
            b"\x00\x00\x00\x20\x00\x00",
            "the peer closed the connection",
        ),
    ] {
        let error = connect_to_peer(answer).await;
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_silent_peer_is_given_up() {
    let error = connect_to_peer(b"").await;
    assert!(
        error.to_string().contains("no connection within 0.2 s"),
        "{error}"
    );
}
