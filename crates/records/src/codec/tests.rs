use super::*;
use ottla_types::Prng;

const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn compress(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::default().compress(codec, input, &mut out);
    out
}

/// Text that compresses, with some noise in it.
fn sample(prng: &mut Prng, size: usize) -> Vec<u8> {
    let words: [&[u8]; 4] = [
        b"{\"carrier\":\"AA\",",
        b"\"delay\":",
        b"12,",
        b"\"origin\":\"JFK\"}",
    ];
    let mut out = Vec::with_capacity(size + 16);
    while out.len() < size {
        out.extend_from_slice(prng.pick::<&[u8]>(&words));
        if prng.chance(1, 4) {
            out.push(prng.below(256) as u8);
        }
    }
    out.truncate(size);
    out
}

#[test]
fn every_codec_round_trips_through_one_decompressor() {
    let mut prng = Prng::new(1);
    let mut decompressor = Decompressor::default();
    let mut compressor = Compressor::default();
    for size in [0, 1, 61, 4096, 65_536, 65_537, 300_000, 5_000_000] {
        let input = sample(&mut prng, size);
        for codec in Codec::ALL {
            let mut out = vec![7];
            compressor.compress(codec, &input, &mut out);
            assert!(
                decompressor.decompress(codec, &out[1..]).unwrap() == input,
                "{codec} {size}"
            );
        }
    }
}

#[test]
fn levels_beyond_the_range_are_moved_into_it() {
    let input = sample(&mut Prng::new(2), 10_000);
    for level in [i32::MIN, -5, 0, 1, 9, 22, i32::MAX] {
        for codec in COMPRESSED {
            let mut out = Vec::new();
            Compressor::with_level(Some(level)).compress(codec, &input, &mut out);
            assert!(Decompressor::default().decompress(codec, &out).unwrap() == input);
        }
    }
}

#[test]
fn bombs_are_errors_and_the_limit_itself_is_allowed() {
    let limit = 1 << 20;
    let mut decompressor = Decompressor::with_limit(limit);
    for codec in COMPRESSED {
        let exact = compress(codec, &vec![0; limit]);
        assert_eq!(
            decompressor.decompress(codec, &exact).unwrap().len(),
            limit,
            "{codec}"
        );
        for size in [limit + 1, 50 << 20] {
            let bomb = compress(codec, &vec![0; size]);
            let error = decompressor.decompress(codec, &bomb).unwrap_err();
            assert_eq!(error, DecompressError::TooLarge { codec, limit });
        }
        assert!(decompressor.output.capacity() <= 8 * limit, "{codec}");
        // Still usable afterwards.
        assert_eq!(decompressor.decompress(codec, &exact).unwrap().len(), limit);
    }
}

#[test]
fn snappy_is_read_raw_and_concatenated_and_not_beyond_what_it_can_hold() {
    let input = sample(&mut Prng::new(3), 100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    let mut decompressor = Decompressor::default();
    assert!(decompressor.decompress(Codec::Snappy, &raw).unwrap() == input);
    // A length of 60 MB in five bytes.
    let liar = [0x80, 0x87, 0xce, 0x1c, 0];
    assert!(decompressor.decompress(Codec::Snappy, &liar).is_err());
    assert!(decompressor.output.capacity() < 1 << 20);
}

#[test]
fn gzip_headers_with_every_field_and_several_members_are_read() {
    let (first, second) = (b"first ".as_slice(), b"second".as_slice());
    let mut with_fields = Vec::new();
    {
        use std::io::Write;
        let builder = flate2::GzBuilder::new()
            .extra(vec![1, 2, 3])
            .filename("f")
            .comment("c");
        let mut encoder = builder.write(&mut with_fields, flate2::Compression::default());
        encoder.write_all(first).unwrap();
        encoder.finish().unwrap();
    }
    with_fields.extend(compress(Codec::Gzip, second));
    let mut decompressor = Decompressor::default();
    assert_eq!(
        decompressor.decompress(Codec::Gzip, &with_fields).unwrap(),
        b"first second"
    );
    // A flipped bit in the trailer's checksum.
    let mut broken = compress(Codec::Gzip, first);
    let at = broken.len() - 8;
    broken[at] ^= 1;
    assert!(decompressor.decompress(Codec::Gzip, &broken).is_err());
}

#[test]
fn linked_lz4_blocks_and_several_frames_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let input = sample(&mut Prng::new(4), 400_000);
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Linked)
        .content_checksum(true)
        .block_checksums(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&input).unwrap();
    let mut frames = encoder.finish().unwrap();
    frames.extend(compress(Codec::Lz4, b"tail"));
    let out = Decompressor::default()
        .decompress(Codec::Lz4, &frames)
        .unwrap()
        .to_vec();
    assert!(out == [&input[..], b"tail"].concat());
}

#[test]
fn cut_compressed_bytes_never_give_the_whole() {
    let input = sample(&mut Prng::new(5), 3_000);
    let mut decompressor = Decompressor::default();
    for codec in COMPRESSED {
        let whole = compress(codec, &input);
        for end in 0..whole.len() {
            if let Ok(out) = decompressor.decompress(codec, &whole[..end]) {
                // Only LZ4's end mark (4 bytes without content) may be missing unnoticed.
                let tolerated = codec == Codec::Lz4 && whole.len() - end <= 4;
                assert!(out.len() < input.len() || tolerated, "{codec} cut at {end}");
            }
        }
    }
}

#[test]
fn hostile_compressed_bytes_never_panic() {
    let mut prng = Prng::new(6);
    let mut decompressor = Decompressor::with_limit(1 << 18);
    let input = sample(&mut prng, 2_000);
    let seeds: Vec<(Codec, Vec<u8>)> = COMPRESSED
        .into_iter()
        .map(|codec| (codec, compress(codec, &input)))
        .collect();
    let (mut accepted, mut refused) = (0u32, 0u32);
    for _ in 0..40_000 {
        let (codec, seed) = prng.pick(&seeds);
        let mut bytes = seed.clone();
        for _ in 0..prng.range(1, 5) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(3) {
                0 => bytes[at] = prng.next_u64() as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes[at] ^= 1 << prng.below(8),
            }
        }
        match decompressor.decompress(*codec, &bytes) {
            Ok(out) => {
                assert!(out.len() <= 1 << 18);
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 100 && refused > 1_000, "{accepted} {refused}");
}

#[test]
fn names_and_numbers() {
    for codec in Codec::ALL {
        assert_eq!(Codec::from_wire(codec as u8), Some(codec));
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Codec::from_wire(5), None);
    assert_eq!(Codec::from_name("brotli"), None);
}

/// What a client sends that compresses with zstd's level 22: any batch may come with a window of 128 MiB.
#[test]
fn the_room_of_a_large_zstd_window_is_given_back() {
    let frame = |window_log: u8| {
        let one_raw_block = [5 << 3 | 1, 0, 0];
        let header = [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
        [&header[..], &one_raw_block, b"hello"].concat()
    };
    let [usual, large, too_large] = [21, 27, 28].map(frame);
    let mut decompressor = Decompressor::default();
    for _ in 0..2 {
        let out = decompressor.decompress(Codec::Zstd, &large);
        assert_eq!(out.expect("a valid frame"), b"hello");
        assert_eq!(decompressor.zstd_retained_bytes(), 0);
        let out = decompressor.decompress(Codec::Zstd, &usual);
        assert_eq!(out.expect("a valid frame"), b"hello");
        let retained = decompressor.zstd_retained_bytes();
        assert!((2 << 20..4 << 20).contains(&retained), "{retained} bytes");
    }
    let refused = decompressor.decompress(Codec::Zstd, &too_large);
    assert!(matches!(refused, Err(DecompressError::Malformed { .. })));
}
