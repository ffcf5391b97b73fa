use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A broker's answers are far smaller: 100,000 connections are about 40 MiB.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// The body of what a broker answers to `GET path`; otherwise why there is none.
pub async fn http_get(address: &str, path: &str, patience: Duration) -> Result<Vec<u8>, String> {
    let answer = timeout(patience, ask(address, path)).await;
    let answer = answer.map_err(|_| format!("no answer in {} s", patience.as_secs_f64()))?;
    body(&answer.map_err(|error| error.to_string())?)
}

async fn ask(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX);
    limited.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// What follows the head, if that says 200. Brokers know the size of what they send, so it is not
/// in chunks.
fn body(answer: &[u8]) -> Result<Vec<u8>, String> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let end = answer.windows(END_OF_HEAD.len());
    let end = end.enumerate().find(|(_, bytes)| *bytes == END_OF_HEAD);
    let Some((end, _)) = end else {
        return Err("the answer is not HTTP".to_owned());
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut words = head.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    match words.next() {
        Some("200") if is_http => Ok(answer[end + END_OF_HEAD.len()..].to_vec()),
        Some(status) if is_http => Err(format!("the answer is HTTP status {status}")),
        _ => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_body_of_a_200_counts() {
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(body(good), Ok(b"{}".to_vec()));
        for (answer, why) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
            ("", "not HTTP"),
        ] {
            let refused = body(answer.as_bytes()).expect_err(answer);
            assert!(refused.contains(why), "{refused}");
        }
    }
}
