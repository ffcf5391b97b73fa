use crate::error::BenchError;
use ottla_protocol::{ApiKey, Message, Reader, RequestHeader, Writer};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A blocking connection that sends whole frames and reads whole frames.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Bytes of a response before its body's first field: correlation id.
const CORRELATION_SIZE: usize = 4;

impl Connection {
    /// Connects to `host:port`.
    pub fn open(bootstrap: &str) -> Result<Connection, BenchError> {
        let stream = TcpStream::connect(bootstrap)?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends a frame that was built beforehand.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), BenchError> {
        Ok(self.stream.write_all(frame)?)
    }

    /// The next response without its size: correlation id, header, body.
    pub fn receive(&mut self) -> Result<&[u8], BenchError> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size) as usize;
        if self.received.len() < size {
            self.received.resize(size, 0);
        }
        let frame = &mut self.received[..size];
        self.stream.read_exact(frame)?;
        Ok(frame)
    }

    /// Sends one request and hands the answer's reader, placed at the body, to `read`.
    pub fn call<'m, T>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &impl Message<'m>,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        self.send(&frame(key, version, 0, request)?)?;
        let body = body(key, version, self.receive()?);
        read(&mut Reader::new(body))
    }
}

/// A whole request frame, size included.
pub fn frame<'m>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    request: &impl Message<'m>,
) -> Result<Vec<u8>, BenchError> {
    let mut writer = Writer::new();
    let start = writer.begin_frame();
    let header = RequestHeader {
        api_key: key as i16,
        api_version: version,
        correlation_id,
        client_id: Some("ottla-bench"),
    };
    header.encode(&mut writer)?;
    request.encode(&mut writer, version)?;
    writer.finish_frame(start)?;
    Ok(writer.into_buf())
}

/// The body of a response: behind the correlation id and, in flexible versions, an empty tag section.
pub fn body(key: ApiKey, version: i16, response: &[u8]) -> &[u8] {
    let flexible = key.response_header_version(version) == 1;
    &response[CORRELATION_SIZE + usize::from(flexible)..]
}
