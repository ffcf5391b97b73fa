use std::io;

/// Name and value of a header.
pub type InputHeader = (Vec<u8>, Option<Vec<u8>>);

/// What was read of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRecord {
    pub topic: Option<String>,
    pub key: Option<Vec<u8>>,
    /// `None` is a null value, a tombstone.
    pub value: Option<Vec<u8>>,
    pub partition: Option<i32>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub headers: Vec<InputHeader>,
}

/// The input is not as its format says.
pub(super) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
