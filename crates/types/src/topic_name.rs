use crate::limits::TOPIC_NAME_CHARS_MAX;
use std::fmt;

/// Why a text cannot name a topic. The texts are those of Kafka's `Topic.validate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicNameError {
    /// No characters.
    Empty,
    /// `.` or `..`.
    Dots {
        /// Which of them.
        name: String,
    },
    /// More than 249 characters.
    TooLong {
        /// The name that is too long.
        name: String,
    },
    /// Something beside letters, digits, `.`, `_` and `-`.
    Characters {
        /// The name with the foreign character.
        name: String,
    },
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicNameError::Empty => {
                f.write_str("Topic name is invalid: the empty string is not allowed")
            }
            TopicNameError::Dots { name } => {
                write!(f, "Topic name is invalid: '{name}' is not allowed")
            }
            TopicNameError::TooLong { name } => write!(
                f,
                "Topic name is invalid: the length of '{name}' is longer than the max allowed \
                 length {TOPIC_NAME_CHARS_MAX}"
            ),
            TopicNameError::Characters { name } => write!(
                f,
                "Topic name is invalid: '{name}' contains one or more characters other than ASCII \
                 alphanumerics, '.', '_' and '-'"
            ),
        }
    }
}

impl std::error::Error for TopicNameError {}

/// Kafka's rule for topic names.
pub fn validate_topic_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots {
            name: name.to_owned(),
        });
    }
    if name.chars().count() > TOPIC_NAME_CHARS_MAX {
        return Err(TopicNameError::TooLong {
            name: name.to_owned(),
        });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.chars().all(allowed) {
        return Err(TopicNameError::Characters {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Two topics with the same key would collide in metric names (`a.b` and `a_b`).
pub fn topic_name_collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_by_kafka() {
        for good in [
            "a",
            "a.b_c-D9",
            &"x".repeat(249),
            "...",
            "__consumer_offsets",
        ] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(validate_topic_name(bad).is_err(), "{bad}");
        }
    }
}
