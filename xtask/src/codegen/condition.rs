//! Expressions of `version` in the generated code.

use super::schema::Versions;

/// When something that is there in some versions is there, given that others cannot occur.
pub enum Condition {
    Always,
    Never,
    /// An expression of `version`.
    When(String),
}

pub fn condition(carried: Versions, possible: Versions) -> Condition {
    let both = carried.intersect(possible);
    if both.is_empty() {
        Condition::Never
    } else if both == possible {
        Condition::Always
    } else if both.last == possible.last {
        Condition::When(format!("version >= {}", both.first))
    } else if both.first == possible.first {
        Condition::When(format!("version <= {}", both.last))
    } else if both.first == both.last {
        Condition::When(format!("version == {}", both.first))
    } else {
        Condition::When(format!(
            "({}..={}).contains(&version)",
            both.first, both.last
        ))
    }
}

/// A parameter's name, or that it is not used in `body`.
pub fn used(body: &str, name: &str) -> String {
    let is_part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_used = body.match_indices(name).any(|(at, _)| {
        let before = body[..at].chars().next_back();
        let after = body[at + name.len()..].chars().next();
        // Neither a part of a longer name nor a field.
        !before.is_some_and(|c| is_part_of_word(c) || c == '.')
            && !after.is_some_and(|c| is_part_of_word(c) || c == ':')
    });
    if is_used {
        name.to_owned()
    } else {
        format!("_{name}")
    }
}

/// The opposite of one of the expressions made here.
pub fn negated(test: &str) -> String {
    for (operator, opposite) in [("==", "!="), (" >= ", " < "), (" <= ", " > ")] {
        if test.contains(operator) {
            return test.replacen(operator, opposite, 1);
        }
    }
    if let Some(rest) = test.strip_prefix('!') {
        rest.to_owned()
    } else if let Some(place) = test.strip_suffix(".is_none()") {
        format!("{place}.is_some()")
    } else {
        format!("!{test}")
    }
}
