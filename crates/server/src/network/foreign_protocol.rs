/// A protocol that is not Kafka's, known by the first four bytes a client sent. Kafka brokers read
/// them as a frame size and report "Invalid receive (size = 369295616)", which helps nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignProtocol {
    /// An HTTP request (GET, POST, HEAD, PUT, DELETE, OPTIONS, or the HTTP/2 preface).
    Http,
    /// A TLS ClientHello.
    Tls,
    /// AMQP's protocol header.
    Amqp,
    /// An SSH banner.
    Ssh,
    /// A Redis command.
    Resp,
}

impl ForeignProtocol {
    /// Recognises the first four bytes of a connection.
    pub fn recognise(first: [u8; 4]) -> Option<ForeignProtocol> {
        match &first {
            b"GET " | b"POST" | b"HEAD" | b"PUT " | b"DELE" | b"OPTI" | b"PRI " => {
                Some(ForeignProtocol::Http)
            }
            // Handshake record, TLS 1.0 to 1.3 or SSL 3.0: 16 03 0x.
            [0x16, 0x03, 0..=4, _] => Some(ForeignProtocol::Tls),
            b"AMQP" => Some(ForeignProtocol::Amqp),
            b"SSH-" => Some(ForeignProtocol::Ssh),
            [b'*', b'0'..=b'9', b'\r', b'\n'] => Some(ForeignProtocol::Resp),
            _ => None,
        }
    }

    /// What was sent, to be put after "sent".
    pub fn name(self) -> &'static str {
        match self {
            ForeignProtocol::Http => "an HTTP request",
            ForeignProtocol::Tls => "a TLS ClientHello",
            ForeignProtocol::Amqp => "an AMQP header",
            ForeignProtocol::Ssh => "an SSH banner",
            ForeignProtocol::Resp => "a Redis command",
        }
    }

    /// What the person who sees the line can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            ForeignProtocol::Http => {
                "this port speaks Kafka; HTTP (/readyz, /metrics) is on ottla.http.port, 8080 by default"
            }
            ForeignProtocol::Tls => {
                "client side: security.protocol=PLAINTEXT, or server side: add an SSL listener"
            }
            ForeignProtocol::Amqp => "this port speaks Kafka; AMQP brokers listen on 5672",
            ForeignProtocol::Ssh => "this port speaks Kafka; SSH listens on 22",
            ForeignProtocol::Resp => "this port speaks Kafka; Redis listens on 6379",
        }
    }

    /// What the other side is told in its own protocol before it is disconnected.
    pub fn farewell(self) -> Option<&'static [u8]> {
        match self {
            ForeignProtocol::Http => Some(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
                  content-length: 89\r\n\r\nThis is Ottla's Kafka port. HTTP (/readyz, /metrics) \
                  is on ottla.http.port, see its log.\n",
            ),
            // A fatal handshake_failure alert, so that TLS clients report that and not an odd EOF.
            ForeignProtocol::Tls => Some(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28]),
            ForeignProtocol::Amqp | ForeignProtocol::Ssh | ForeignProtocol::Resp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes people see in Kafka's "Invalid receive (size = ...)".
    #[test]
    fn sizes_of_kafkas_message_are_recognised() {
        for (size, protocol) in [
            (1195725856, ForeignProtocol::Http),
            (1347375956, ForeignProtocol::Http),
            (1212498244, ForeignProtocol::Http),
            (369295616, ForeignProtocol::Tls),
            (369295621, ForeignProtocol::Tls),
            (1095586128, ForeignProtocol::Amqp),
            (1397966893, ForeignProtocol::Ssh),
            (707857674, ForeignProtocol::Resp),
        ] {
            let size: i32 = size;
            assert_eq!(
                ForeignProtocol::recognise(size.to_be_bytes()),
                Some(protocol),
                "{size}"
            );
        }
        assert_eq!(ForeignProtocol::recognise(36_i32.to_be_bytes()), None);
    }

    #[test]
    fn the_http_farewell_states_its_true_length() {
        let text = std::str::from_utf8(ForeignProtocol::Http.farewell().unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
