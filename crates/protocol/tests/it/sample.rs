//! Wire bytes of messages, written straight from their schemas: an encoder that shares nothing with the
//! generated one.

use ottla_types::Prng;

use crate::schema::{Field, Message, Type};

/// What a sample's fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Every field has a value that is not its default, every array has elements.
    Full,
    /// Every nullable field is null; the rest is as in `Full`.
    Null,
    /// Every field has its default.
    Default,
    /// Each field at random one of the above.
    Random,
    /// Arrays of as many elements as small as they can be.
    Crowd,
}

/// Elements of a crowd: more than a decoder reserves memory for at once.
const CROWD: usize = 30_000;

/// Writes samples of one message in one version.
pub struct Sampler<'s> {
    message: &'s Message,
    version: i16,
    fill: Fill,
    prng: &'s mut Prng,
    out: Vec<u8>,
}

/// What one field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Value,
    Null,
    Default,
}

/// The bytes of `message` in `version`, in the canonical form.
pub fn sample(message: &Message, version: i16, fill: Fill, prng: &mut Prng) -> Vec<u8> {
    let mut sampler = Sampler {
        message,
        version,
        fill,
        prng,
        out: Vec::new(),
    };
    sampler.write_struct(&message.name);
    sampler.out
}

impl Sampler<'_> {
    fn is_flexible(&self) -> bool {
        self.message.flexible.contains(self.version)
    }

    fn write_struct(&mut self, name: &str) {
        let message = self.message;
        let fields = &message.find_struct(name).fields;
        let carried = || fields.iter().filter(|f| f.versions.contains(self.version));
        let plain: Vec<&Field> = carried().filter(|f| f.tag.is_none()).collect();
        let mut tagged: Vec<&Field> = carried().filter(|f| f.tag.is_some()).collect();
        for field in plain {
            let content = self.content(field);
            self.write_field(field, content);
        }
        if !self.is_flexible() {
            return;
        }
        tagged.sort_by_key(|f| f.tag);
        let mut written: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in tagged {
            let content = self.content(field);
            let bytes = self.apart(|s| s.write_field(field, content));
            let is_default = match (&field.kind, content) {
                (_, Content::Default) => true,
                (_, Content::Null) => defaults_to_null(field),
                // A random struct can come out as the struct of defaults.
                (Type::Struct(_), Content::Value) if !defaults_to_null(field) => {
                    bytes == self.apart(|s| s.write_field(field, Content::Default))
                }
                _ => false,
            };
            if !is_default {
                written.push((field.tag.expect("only tagged fields are left"), bytes));
            }
        }
        self.uvarint(written.len());
        for (tag, bytes) in written {
            self.uvarint(tag as usize);
            self.uvarint(bytes.len());
            self.out.extend(bytes);
        }
    }

    /// What `write` writes, without having it written.
    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        write(self);
        std::mem::replace(&mut self.out, before)
    }

    fn content(&mut self, field: &Field) -> Content {
        let is_nullable = field.nullable.contains(self.version);
        let fill = match self.fill {
            Fill::Random => *self
                .prng
                .pick(&[Fill::Full, Fill::Full, Fill::Null, Fill::Default]),
            fill => fill,
        };
        match fill {
            Fill::Null if is_nullable => Content::Null,
            Fill::Crowd if is_nullable && !matches!(field.kind, Type::Array(_)) => Content::Null,
            Fill::Crowd if !matches!(field.kind, Type::Array(_)) => Content::Default,
            Fill::Default => match (&field.kind, field.default.as_deref()) {
                (Type::Records, _) if is_nullable => Content::Null,
                (_, Some("null")) if is_nullable => Content::Null,
                _ => Content::Default,
            },
            _ => Content::Value,
        }
    }

    fn write_field(&mut self, field: &Field, content: Content) {
        let is_nullable = field.nullable.contains(self.version);
        if content == Content::Null {
            return self.write_null(field);
        }
        // A null default where the version has no null: the type's zero.
        let default = field.default.as_deref().filter(|d| *d != "null");
        if is_nullable && matches!(field.kind, Type::Struct(_)) {
            self.out.push(1);
        }
        match (&field.kind, content) {
            (Type::Array(_), Content::Default) => self.length(0),
            (Type::Array(element), _) if self.fill == Fill::Crowd => {
                self.length(CROWD);
                self.fill = Fill::Default;
                let one = self.apart(|s| s.write_value(element, Content::Default, None));
                self.fill = Fill::Crowd;
                self.out.extend(one.repeat(CROWD));
            }
            (Type::Array(element), _) => {
                let count = 1 + self.prng.below(3) as usize;
                self.length(count);
                for _ in 0..count {
                    self.write_value(element, Content::Value, None);
                }
            }
            (Type::Struct(name), Content::Default) => {
                let fill = std::mem::replace(&mut self.fill, Fill::Default);
                self.write_struct(name);
                self.fill = fill;
            }
            (kind, content) => self.write_value(kind, content, default),
        }
    }

    fn write_null(&mut self, field: &Field) {
        match (&field.kind, self.is_flexible()) {
            (Type::Struct(_), _) if field.tag.is_some() => self.out.push(0),
            (Type::Struct(_), _) => self.out.push(0xff),
            (_, true) => self.out.push(0),
            (Type::String, false) => self.out.extend([0xff; 2]),
            (_, false) => self.out.extend([0xff; 4]),
        }
    }

    fn write_value(&mut self, kind: &Type, content: Content, default: Option<&str>) {
        let size = match kind {
            Type::Struct(name) => return self.write_struct(name),
            Type::String => return self.write_string(content),
            Type::Bytes | Type::Records => return self.write_bytes(content),
            Type::Array(_) => panic!("Kafka has no arrays of arrays"),
            Type::Bool | Type::Int8 => 1,
            Type::Int16 | Type::Uint16 => 2,
            Type::Int32 => 4,
            Type::Int64 | Type::Float64 => 8,
            Type::Uuid => 16,
        };
        let bits: i128 = match default {
            Some("true") => 1,
            Some("false") | None => 0,
            Some(number) => number.parse().expect("a default is a number"),
        };
        let bytes = match (kind, content) {
            (_, Content::Default) => bits,
            (Type::Bool, _) => 1 - bits,
            // Neither a default of Kafka's nor a number with special bits.
            (Type::Float64, _) => i128::from((1.5 + self.prng.below(100) as f64).to_bits()),
            _ => 1_000_003 + i128::from(self.prng.next_u64() >> 1),
        }
        .to_be_bytes();
        self.out.extend(&bytes[bytes.len() - size..]);
        let written = self.out.len() - size;
        // The low bytes of a random number can be the default by chance.
        if content == Content::Value && self.out[written..] == bits.to_be_bytes()[16 - size..] {
            *self.out.last_mut().expect("just written") ^= 0x40;
        }
    }

    fn write_string(&mut self, content: Content) {
        let size = match content {
            Content::Default => 0,
            // Now and then long enough for a length of two varint bytes.
            _ if self.prng.chance(1, 50) => 130 + self.prng.below(300) as usize,
            _ => 1 + self.prng.below(12) as usize,
        };
        let text: String = (0..size)
            .map(|_| *self.prng.pick(&['a', 'Z', '-', 'é', '→']))
            .collect();
        if self.is_flexible() {
            self.uvarint(text.len() + 1);
        } else {
            self.out.extend((text.len() as i16).to_be_bytes());
        }
        self.out.extend(text.bytes());
    }

    fn write_bytes(&mut self, content: Content) {
        let size = match content {
            Content::Default => 0,
            _ => 1 + self.prng.below(200) as usize,
        };
        let mut bytes = vec![0; size];
        self.prng.fill(&mut bytes);
        self.length(size);
        self.out.extend(bytes);
    }

    fn length(&mut self, length: usize) {
        if self.is_flexible() {
            self.uvarint(length + 1);
        } else {
            self.out.extend((length as i32).to_be_bytes());
        }
    }

    fn uvarint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

fn defaults_to_null(field: &Field) -> bool {
    field.default.as_deref() == Some("null")
}
