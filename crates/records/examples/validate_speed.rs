//! How long the checks of a produced batch take: `cargo run --release -p ottla-records --example
//! validate_speed`. Prints the median of many rounds, in nanoseconds per batch.

use ottla_records::{
    BatchBuilder, BatchView, Codec, Compressor, Decompressor, ProduceRules, validate_produce,
};
use ottla_types::Timestamp;
use std::hint::black_box;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn batch(codec: Codec, batch_bytes: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    let text = b"{\"carrier\":\"AA\",\"delay\":12,\"origin\":\"JFK\",\"destination\":\"SFO\",\"distance\":2586}";
    let value: Vec<u8> = text.iter().copied().cycle().take(value_bytes).collect();
    while builder.size_in_bytes() + value_bytes < batch_bytes {
        builder.push(NOW, Some(b"key-0001"), Some(&value), &[]);
    }
    builder.finish(&mut Compressor::default())
}

/// Median nanoseconds of one call.
#[expect(clippy::disallowed_methods, reason = "an example measures")]
fn measure(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 200;
    let mut rounds: Vec<f64> = (0..300)
        .map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..CALLS {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn main() {
    println!(
        "{:>6} {:>9} {:>7} {:>8} {:>9} {:>12}",
        "codec", "batch", "value", "records", "crc ns", "validate ns"
    );
    let mut scratch = Decompressor::default();
    let rules = ProduceRules {
        max_message_bytes: 2 << 20,
        ..ProduceRules::default()
    };
    for codec in Codec::ALL {
        for (batch_bytes, value_bytes) in [
            (1 << 10, 100),
            (16 << 10, 1000),
            (16 << 10, 100),
            (1 << 20, 1000),
        ] {
            let bytes = batch(codec, batch_bytes, value_bytes);
            let records = BatchView::parse(&bytes)
                .expect("we built it")
                .records_count();
            let crc = measure(|| {
                black_box(
                    BatchView::parse(black_box(&bytes))
                        .expect("we built it")
                        .is_crc_valid(),
                );
            });
            let validate = measure(|| {
                let facts = validate_produce(black_box(&bytes), &rules, NOW, &mut scratch);
                black_box(facts.expect("we built it"));
            });
            println!(
                "{codec:>6} {batch_bytes:>9} {value_bytes:>7} {records:>8} {crc:>9.0} {validate:>12.0}"
            );
        }
    }
}
