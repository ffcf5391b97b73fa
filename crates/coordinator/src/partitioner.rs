/// The partition of the internal topic in which the state of `key` is kept: Kafka's
/// `Utils.abs(key.hashCode()) % partitions`.
pub fn partition_for(key: &str, partitions_count: i32) -> i32 {
    assert!(0 < partitions_count, "a topic has partitions");
    let hash = java_hash(key);
    // Java has no absolute value of the smallest number; Kafka takes 0.
    let positive = hash.checked_abs().unwrap_or(0);
    positive % partitions_count
}

/// Java's `String.hashCode`: over UTF-16 code units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_where_kafka_puts_them() {
        // Hashes as Java prints them.
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("test"), 3_556_498);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("\u{1F600}"), 1_772_899);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("test", 50), 48);
        assert_eq!(partition_for("", 50), 0);
    }
}
