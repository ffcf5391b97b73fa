use std::fmt;

/// Why bytes are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// A value, or as much as a length or count promises, does not fit into the bytes that are left.
    EndOfBytes,
    /// Null where the version has no null.
    UnexpectedNull,
    /// A string longer than [`crate::STRING_SIZE_MAX`].
    StringTooLong,
    /// A string that is not UTF-8.
    NotUtf8,
    /// An array of more than [`crate::ARRAY_COUNT_MAX`] elements.
    TooManyElements,
    /// Arrays that would take far more memory than the message has bytes: masses of empty elements.
    TooMuchMemory,
    /// More than [`crate::TAGGED_FIELDS_COUNT_MAX`] tagged fields.
    TooManyTaggedFields,
    /// A varint of more than five bytes or more than 32 bits.
    VarintTooLong,
    /// A tagged field whose content is shorter than its size says.
    TaggedFieldSize,
    /// A version that this message does not have.
    UnsupportedVersion,
}

/// Bytes are not the message they should be, and where that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// How many bytes had been read before the value that is wrong.
    pub position: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::EndOfBytes => "more bytes are needed than there are",
            DecodeErrorKind::UnexpectedNull => "null where this version has no null",
            DecodeErrorKind::StringTooLong => "a string is too long",
            DecodeErrorKind::NotUtf8 => "a string is not UTF-8",
            DecodeErrorKind::TooManyElements => "an array has too many elements",
            DecodeErrorKind::TooMuchMemory => "the elements would take too much memory",
            DecodeErrorKind::TooManyTaggedFields => "there are too many tagged fields",
            DecodeErrorKind::VarintTooLong => "a varint is too long",
            DecodeErrorKind::TaggedFieldSize => "a tagged field does not have the size it says",
            DecodeErrorKind::UnsupportedVersion => "this message has no such version",
        };
        write!(f, "{what}, at byte {}", self.position)
    }
}

impl std::error::Error for DecodeError {}

/// Why a message cannot be written in a version. Always a mistake of whoever filled the message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The field has a value, may not be ignored, and the version does not carry it.
    FieldNotInVersion {
        /// Message or struct and field, as Kafka names them.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// The field is null and the version has no null for it.
    NullNotInVersion {
        /// Message or struct and field, as Kafka names them.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string longer than [`crate::STRING_SIZE_MAX`].
    StringTooLong {
        /// Its size in bytes.
        size: usize,
    },
    /// Bytes, records or an array longer than the wire's length can say.
    TooLong {
        /// Its size in bytes, or its count of elements.
        size: usize,
    },
    /// A version that this message does not have.
    UnsupportedVersion {
        /// The message, as Kafka names it.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::FieldNotInVersion { field, version } => {
                write!(f, "version {version} does not carry {field}")
            }
            EncodeError::NullNotInVersion { field, version } => {
                write!(f, "version {version} has no null for {field}")
            }
            EncodeError::StringTooLong { size } => write!(f, "a string has {size} bytes"),
            EncodeError::TooLong { size } => write!(f, "a length of {size} does not fit the wire"),
            EncodeError::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
        }
    }
}

impl std::error::Error for EncodeError {}
