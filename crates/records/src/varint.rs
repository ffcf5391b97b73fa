//! Zig-zag variable-length integers, as Kafka's `ByteUtils` writes them.

/// Reads a 32-bit varint at `*at` and moves `at` behind it. `None` when it does not end within the
/// bytes or within five bytes.
#[inline]
pub(crate) fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag32(u32::from(first)));
    }
    let second = *bytes.get(*at + 1)?;
    if second < 0x80 {
        *at += 2;
        return Some(unzigzag32(
            u32::from(first & 0x7f) | (u32::from(second) << 7),
        ));
    }
    read_long(bytes, at, 5).map(|raw| unzigzag32(raw as u32))
}

/// As [`read_i32`] with 64 bits and at most ten bytes.
#[inline]
pub(crate) fn read_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag64(u64::from(first)));
    }
    read_long(bytes, at, 10).map(unzigzag64)
}

/// The raw value of at most `size_max` bytes; bits beyond 64 are dropped, as Kafka does.
fn read_long(bytes: &[u8], at: &mut usize, size_max: usize) -> Option<u64> {
    let mut raw = 0u64;
    for index in 0..size_max {
        let byte = *bytes.get(*at + index)?;
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Some(raw);
        }
    }
    None
}

/// Appends a 32-bit varint.
pub(crate) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_raw(out, u64::from(zigzag32(value)));
}

/// Appends a 64-bit varint.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_raw(out, zigzag64(value));
}

fn write_raw(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// How many bytes [`write_i32`] appends.
pub(crate) fn size_i32(value: i32) -> usize {
    size_raw(u64::from(zigzag32(value)))
}

/// How many bytes [`write_i64`] appends.
pub(crate) fn size_i64(value: i64) -> usize {
    size_raw(zigzag64(value))
}

fn size_raw(raw: u64) -> usize {
    (64 - (raw | 1).leading_zeros() as usize).div_ceil(7)
}

fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline]
fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_round_trips() {
        for bits in 0..64 {
            for value in [
                1i64 << bits,
                !(1i64 << bits),
                (1u64 << bits).wrapping_sub(1) as i64,
                i64::MIN,
            ] {
                let mut out = Vec::new();
                write_i64(&mut out, value);
                assert_eq!(out.len(), size_i64(value), "{value}");
                let mut at = 0;
                assert_eq!(read_i64(&out, &mut at), Some(value));
                assert_eq!(at, out.len());
                let narrow = value as i32;
                out.clear();
                write_i32(&mut out, narrow);
                assert_eq!(out.len(), size_i32(narrow), "{narrow}");
                at = 0;
                assert_eq!(read_i32(&out, &mut at), Some(narrow));
                assert_eq!(at, out.len());
            }
        }
    }

    #[test]
    fn endless_and_cut_varints_are_refused() {
        assert_eq!(read_i32(&[0xff; 6], &mut 0), None);
        assert_eq!(read_i64(&[0xff; 11], &mut 0), None);
        assert_eq!(read_i32(&[0x80], &mut 0), None);
        assert_eq!(read_i32(&[], &mut 0), None);
        assert_eq!(read_i64(&[0x80, 0x80], &mut 0), None);
    }
}
