use super::*;
use DecodeErrorKind::*;

/// What reading gives, and how many bytes it leaves.
fn read<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<(T, usize), (DecodeErrorKind, usize)> {
    let mut r = Reader::new(bytes);
    match read(&mut r) {
        Ok(value) => Ok((value, r.remaining())),
        Err(error) => Err((error.kind, error.position)),
    }
}

#[test]
fn numbers() {
    assert_eq!(read(&[0xff, 0xfe, 9], Reader::i16), Ok((-2, 1)));
    assert_eq!(read(&[0xff, 0xfe], Reader::u16), Ok((65534, 0)));
    assert_eq!(read(&[0x80, 0, 0, 1], Reader::i32), Ok((i32::MIN + 1, 0)));
    assert_eq!(read(&[2], Reader::bool), Ok((true, 0)));
    assert_eq!(read(&1.5f64.to_be_bytes(), Reader::f64), Ok((1.5, 0)));
    assert_eq!(read(&[0, 0, 0], Reader::i32), Err((EndOfBytes, 0)));
}

#[test]
fn varints() {
    for (bytes, expect) in [
        (&[0][..], Ok((0, 0))),
        (&[0x7f], Ok((127, 0))),
        (&[0x80, 0x01, 7], Ok((128, 1))),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok((u32::MAX, 0))),
        // Longer than it need be, as Kafka allows it.
        (&[0x80, 0x80, 0x80, 0x80, 0x00], Ok((0, 0))),
        (&[0xff, 0xff, 0xff, 0xff, 0x1f], Err((VarintTooLong, 0))),
        (
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            Err((VarintTooLong, 0)),
        ),
        (&[0x80, 0x80], Err((EndOfBytes, 0))),
        (&[], Err((EndOfBytes, 0))),
    ] {
        assert_eq!(read(bytes, Reader::uvarint), expect, "{bytes:02x?}");
    }
}

#[test]
fn strings() {
    let fixed = |bytes: &[u8]| {
        read(bytes, |r| {
            r.nullable_str(false).map(|s| s.map(str::to_owned))
        })
    };
    assert_eq!(fixed(&[0, 2, b'a', b'b', 1]), Ok((Some("ab".into()), 1)));
    assert_eq!(fixed(&[0xff, 0xff]), Ok((None, 0)));
    assert_eq!(fixed(&[0xff, 0xfe]), Ok((None, 0)), "any negative length");
    assert_eq!(fixed(&[0, 3, b'a', b'b']), Err((EndOfBytes, 2)));
    assert_eq!(fixed(&[0, 1, 0xff]), Err((NotUtf8, 0)));
    let compact = |bytes: &[u8]| {
        read(bytes, |r| {
            r.nullable_str(true).map(|s| s.map(str::to_owned))
        })
    };
    assert_eq!(compact(&[3, b'a', b'b']), Ok((Some("ab".into()), 0)));
    assert_eq!(compact(&[0]), Ok((None, 0)));
    assert_eq!(compact(&[1]), Ok((Some(String::new()), 0)));
    // 32,768 bytes, all of them there: one more than a string may have.
    let mut long = vec![0x81, 0x80, 0x02];
    long.resize(3 + STRING_SIZE_MAX + 1, b'a');
    assert_eq!(compact(&long), Err((StringTooLong, 0)));
    assert_eq!(
        read(&[0], |r| r.string(true).map(|_| ())),
        Err((UnexpectedNull, 0))
    );
}

#[test]
fn bytes_and_records() {
    assert_eq!(
        read(&[0, 0, 0, 1, 7], |r| r.bytes(false).map(|b| b.into_owned())),
        Ok((vec![7], 0))
    );
    assert_eq!(
        read(&[0xff; 4], |r| r.nullable_bytes(false).map(|b| b.is_none())),
        Ok((true, 0))
    );
    assert_eq!(
        read(&[0xff; 4], |r| r.bytes(false).map(|_| ())),
        Err((UnexpectedNull, 0))
    );
    assert_eq!(
        read(&[0x80, 0, 0, 0], |r| r.bytes(false).map(|_| ())),
        Err((UnexpectedNull, 0))
    );
    assert_eq!(
        read(&[2, 7], |r| r.records(true).map(|x| x.size())),
        Ok((1, 0))
    );
    assert_eq!(
        read(&[0], |r| r.nullable_records(true).map(|x| x.is_none())),
        Ok((true, 0))
    );
    assert_eq!(
        read(&[0], |r| r.records(true).map(|_| ())),
        Err((UnexpectedNull, 0))
    );
}

#[test]
fn a_count_must_be_possible_before_anything_is_reserved() {
    let array = |bytes: &[u8], flexible| read(bytes, |r| r.array(flexible, 4, Reader::i32));
    assert_eq!(array(&[0, 0, 0, 1, 0, 0, 0, 9, 5], false), Ok((vec![9], 1)));
    assert_eq!(array(&[2, 0, 0, 0, 9], true), Ok((vec![9], 0)));
    // Two elements of four bytes cannot be in five bytes.
    assert_eq!(
        array(&[0, 0, 0, 2, 0, 0, 0, 0, 9], false),
        Err((EndOfBytes, 0))
    );
    assert_eq!(
        array(&[0x7f, 0xff, 0xff, 0xff], false),
        Err((TooManyElements, 0))
    );
    assert_eq!(
        array(&[0xff, 0xff, 0xff, 0xff, 0x0f], true),
        Err((TooManyElements, 0))
    );
    assert_eq!(
        array(&[0xff, 0xff, 0xff, 0xff], false),
        Err((UnexpectedNull, 0))
    );
    assert_eq!(array(&[0], true), Err((UnexpectedNull, 0)));
}

#[test]
fn a_million_elements_and_no_more() {
    let bytes = |count: usize| {
        let mut bytes = (count as i32).to_be_bytes().to_vec();
        bytes.resize(4 + count, 0);
        bytes
    };
    let count = |bytes: &[u8]| read(bytes, |r| r.array(false, 1, Reader::i8).map(|a| a.len()));
    assert_eq!(count(&bytes(ARRAY_COUNT_MAX)), Ok((ARRAY_COUNT_MAX, 0)));
    assert_eq!(
        count(&bytes(ARRAY_COUNT_MAX + 1)),
        Err((TooManyElements, 0))
    );
}

#[test]
fn tagged_fields_are_read_or_skipped_and_have_the_size_they_say() {
    let tagged = |bytes: &[u8]| {
        let mut seen = Vec::new();
        let result = read(bytes, |r| {
            r.tagged_fields(&mut |tag, content| {
                match tag {
                    1 => seen.push((tag, i64::from(content.i32()?))),
                    2 => seen.push((tag, content.position() as i64)),
                    _ => content.skip_rest()?,
                }
                Ok(())
            })
        });
        result.map(|((), left)| (seen, left))
    };
    assert_eq!(tagged(&[0, 9]), Ok((vec![], 1)));
    assert_eq!(tagged(&[1, 1, 4, 0, 0, 0, 7]), Ok((vec![(1, 7)], 0)));
    // An unknown one is skipped; positions count from the start of the frame.
    assert_eq!(tagged(&[2, 5, 1, 0xee, 2, 0]), Ok((vec![(2, 6)], 0)));
    assert_eq!(tagged(&[1, 1, 5, 0, 0, 0, 7, 8]), Err((TaggedFieldSize, 7)));
    assert_eq!(tagged(&[1, 1, 3, 0, 0, 7]), Err((EndOfBytes, 3)));
    assert_eq!(tagged(&[1, 1, 9, 0, 0, 0, 7]), Err((EndOfBytes, 3)));
    // 10,001 of them.
    assert_eq!(tagged(&[0x91, 0x4e]), Err((TooManyTaggedFields, 2)));
}

#[test]
fn a_struct_that_may_be_null() {
    assert_eq!(read(&[0xff], Reader::is_present), Ok((false, 0)));
    assert_eq!(read(&[1], Reader::is_present), Ok((true, 0)));
    assert_eq!(read(&[0], Reader::is_present), Ok((true, 0)));
    assert_eq!(read(&[0], Reader::is_present_in_tag), Ok((false, 0)));
    assert_eq!(read(&[1], Reader::is_present_in_tag), Ok((true, 0)));
}
