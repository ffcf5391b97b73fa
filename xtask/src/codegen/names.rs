//! Kafka's names in Rust's spelling.

const KEYWORDS: &[&str] = &[
    "as", "async", "await", "box", "break", "const", "continue", "dyn", "else", "enum", "extern",
    "false", "final", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move",
    "mut", "override", "pub", "ref", "return", "static", "struct", "trait", "true", "type",
    "unsafe", "use", "where", "while", "yield",
];

/// `ThrottleTimeMs` becomes `throttle_time_ms`, `KRaftVersion` becomes `k_raft_version`.
pub fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, c) in chars.iter().enumerate() {
        if c.is_uppercase() && index > 0 {
            let before = chars[index - 1];
            let after_is_lower = chars.get(index + 1).is_some_and(|c| c.is_lowercase());
            if !before.is_uppercase() || after_is_lower {
                snake.push('_');
            }
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// A field's name, escaped where Rust has other plans for the word.
pub fn field_name(name: &str) -> String {
    let snake = snake_case(name);
    if KEYWORDS.contains(&snake.as_str()) {
        format!("r#{snake}")
    } else {
        snake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (kafka, rust) in [
            ("ThrottleTimeMs", "throttle_time_ms"),
            ("KRaftVersion", "k_raft_version"),
            ("Type", "r#type"),
            ("group", "group"),
            ("Enable2Pc", "enable2_pc"),
            ("topicGroupId", "topic_group_id"),
        ] {
            assert_eq!(field_name(kafka), rust);
        }
    }
}
