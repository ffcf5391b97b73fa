use crate::batch_view::BatchView;
use crate::codec::{Codec, Compressor, DecompressError, Decompressor};
use crate::layout::{self, HEADER_SIZE};
use crate::stamp::stamp_crc;
use ottla_types::BATCH_LENGTH_PREFIX_SIZE;

/// The records of `batch`, compressed by `codec`; everything else of it stays (`compression.type` of a topic).
pub fn recompress(
    batch: &BatchView<'_>,
    codec: Codec,
    decompressor: &mut Decompressor,
    compressor: &mut Compressor,
) -> Result<Vec<u8>, DecompressError> {
    let payload = decompressor.decompress(batch.codec()?, batch.payload())?;
    let mut bytes = Vec::with_capacity(HEADER_SIZE + payload.len() / 2);
    bytes.extend_from_slice(&batch.bytes()[..HEADER_SIZE]);
    compressor.compress(codec, payload, &mut bytes);
    let length = i32::try_from(bytes.len() - BATCH_LENGTH_PREFIX_SIZE);
    let length = length.expect("a batch is smaller than 2 GiB");
    layout::write(&mut bytes, layout::LENGTH, &length.to_be_bytes());
    let attributes = batch.attributes() & !layout::ATTRIBUTE_CODEC | codec as i16;
    layout::write(&mut bytes, layout::ATTRIBUTES, &attributes.to_be_bytes());
    stamp_crc(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_builder::BatchBuilder;
    use crate::produce_batch::{ProduceRules, validate_produce};
    use ottla_types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

    #[test]
    fn every_codec_becomes_every_other() {
        for from in Codec::ALL {
            let mut builder = BatchBuilder::new(from).producer(
                ProducerId::new(3),
                ProducerEpoch::new(1),
                Sequence::new(9),
            );
            for index in 0..50i64 {
                let value = [index as u8 % 3; 40];
                builder.push(
                    Timestamp::from_millis(1_000 + index),
                    Some(b"key"),
                    Some(&value),
                    &[],
                );
            }
            let bytes = builder.finish(&mut Compressor::default());
            let view = BatchView::parse(&bytes).expect("a batch");
            let mut scratch = Decompressor::default();
            let plain = scratch
                .decompress(from, view.payload())
                .expect("readable")
                .to_vec();
            for (to, level) in Codec::ALL
                .into_iter()
                .flat_map(|to| [(to, None), (to, Some(1))])
            {
                let mut compressor = Compressor::with_level(level);
                let again = recompress(&view, to, &mut scratch, &mut compressor).expect("readable");
                let rules = ProduceRules::default();
                let now = Timestamp::from_millis(2_000);
                let facts = validate_produce(&again, &rules, now, &mut scratch).expect("valid");
                assert_eq!((facts.codec, facts.producer), (to, view.producer()));
                let after = BatchView::parse(&again).expect("a batch");
                let read = scratch.decompress(to, after.payload()).expect("readable");
                assert_eq!(read, plain, "{from} to {to}");
            }
        }
    }
}
