use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// 128 bits, written as Kafka writes them: 22 characters of unpadded URL-safe base64.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Kafka's "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// From its bytes, big endian.
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// Its bytes, big endian.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A version 4 id made of 16 random bytes.
    pub const fn from_random(mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid(bytes)
    }

    /// True for [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        // 16 bytes are 22 groups of six bits, the last one filled up with zeros.
        let bits = u128::from_be_bytes(self.0);
        for (index, byte) in text.iter_mut().enumerate() {
            let six = if index < 21 {
                bits >> (122 - 6 * index)
            } else {
                bits << 4
            };
            *byte = ALPHABET[(six & 63) as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is 22 characters of URL-safe base64")
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Uuid, ParseUuidError> {
        let text = text.trim_end_matches('=').as_bytes();
        if text.len() != 22 {
            return Err(ParseUuidError);
        }
        let mut bits = 0u128;
        for (index, byte) in text.iter().enumerate() {
            let six = ALPHABET
                .iter()
                .position(|c| c == byte)
                .ok_or(ParseUuidError)? as u128;
            if index < 21 {
                bits = (bits << 6) | six;
            } else if six & 15 == 0 {
                bits = (bits << 2) | (six >> 4);
            } else {
                return Err(ParseUuidError);
            }
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}

/// Defines an id that must not be taken for another one.
macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Names the bits.
            pub const fn new(uuid: Uuid) -> $name {
                $name(uuid)
            }

            /// The bits.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_type! {
    /// Names a topic for ever (KIP-516).
    TopicId
}
uuid_type! {
    /// Names a log directory (KIP-858).
    DirectoryId
}
uuid_type! {
    /// Names one run of one broker process.
    IncarnationId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        // Printed by Kafka's Uuid class for these bits.
        let one = Uuid::from_bytes(1u128.to_be_bytes());
        assert_eq!(one.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn text_round_trips() {
        let mut prng = crate::Prng::new(1);
        for _ in 0..1000 {
            let mut bytes = [0; 16];
            prng.fill(&mut bytes);
            let uuid = Uuid::from_random(bytes);
            assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }
        assert_eq!("short".parse::<Uuid>(), Err(ParseUuidError));
        assert_eq!(
            "AAAAAAAAAAAAAAAAAAAAA!".parse::<Uuid>(),
            Err(ParseUuidError)
        );
    }
}
