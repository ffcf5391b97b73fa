use super::entry::{read_format, read_records, read_u64, write_records};
use super::{CodecError, FORMAT};
use crate::image::Image;
use ottla_protocol::{Reader, Writer};

/// The format's name in errors.
const NAME: &str = "a snapshot of the metadata";

/// The body of a snapshot: the records that make the image, and the index it stands at.
pub fn encode_image(image: &Image) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    writer.raw(&image.applied_index().to_be_bytes());
    write_records(&image.to_records(), &mut writer);
    writer.into_buf()
}

/// Reads the body of a snapshot.
pub fn decode_image(bytes: &[u8]) -> Result<Image, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, NAME)?;
    let index = read_u64(&mut reader, NAME)?;
    let records = read_records(&mut reader, NAME)?;
    let mut image = Image::empty();
    image.apply_in_place(index, &records)?;
    Ok(image)
}
