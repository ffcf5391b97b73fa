use regex_lite::Regex;

use super::value::Value;
use super::{Comparison, Node, Root, Step};
use crate::time_text::{now_millis, parse_millis};

/// How deep conditions may be nested: each level costs a stack frame.
const DEPTH_MAX: usize = 64;

/// One word of a condition, and where it begins.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(serde_json::Number),
    Time(i64),
    Sign(&'static str),
}

/// Longer signs stand before those they begin with.
const SIGNS: [&str; 18] = [
    "&&", "||", "==", "!=", "<=", ">=", "!~", "<", ">", "!", "~", "=", "(", ")", "[", "]", ",", ".",
];

/// Reads a condition.
pub fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        end: text.chars().count(),
    };
    let node = parser.either()?;
    match parser.next < parser.tokens.len() {
        true => Err(parser.wrong("nothing more")),
        false => Ok(node),
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let column = text[..text.len() - rest.len()].chars().count();
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let wrong = |what: &str| format!("{what} at column {}", column + 1);
        let token;
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            rest = &rest[sign.len()..];
            token = Token::Sign(sign);
        } else if matches!(first, '"' | '\'') {
            let (string, after) = quoted(rest, first).ok_or_else(|| wrong("a text has no end"))?;
            rest = after;
            token = Token::Text(string);
        } else if first == '@' {
            let end = rest.find([' ', ')', ',', ']']).unwrap_or(rest.len());
            let millis = parse_millis(&rest[1..end], now_millis());
            token = Token::Time(millis.ok_or_else(|| wrong("this is no time"))?);
            rest = &rest[end..];
        } else if first.is_ascii_digit() || first == '-' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let number = serde_json::from_str(&rest[..end]);
            token = Token::Number(number.map_err(|_| wrong("this is no number"))?);
            rest = &rest[end..];
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            token = Token::Name(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            return Err(wrong(&format!("'{first}' means nothing")));
        }
        tokens.push((column, token));
    }
}

/// A text between quotes, in which a backslash makes the next character itself.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut string = String::new();
    let mut characters = text[1..].chars();
    loop {
        match characters.next()? {
            '\\' => match characters.next()? {
                'n' => string.push('\n'),
                't' => string.push('\t'),
                // What a regular expression escapes stays escaped.
                other if other == quote || other == '\\' => string.push(other),
                other => string.extend(['\\', other]),
            },
            end if end == quote => return Some((string, characters.as_str())),
            other => string.push(other),
        }
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn wrong(&self, expected: &str) -> String {
        let column = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        format!("expected {expected} at column {}", column + 1)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.next), Some((_, Token::Sign(it))) if *it == sign);
        self.next += usize::from(is_it);
        is_it
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.next), Some((_, Token::Name(it))) if it == word);
        self.next += usize::from(is_it);
        is_it
    }

    fn need_sign(&mut self, sign: &str) -> Result<(), String> {
        match self.take_sign(sign) {
            true => Ok(()),
            false => Err(self.wrong(&format!("'{sign}'"))),
        }
    }

    fn either(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("the condition is nested too deeply".to_owned());
        }
        let mut node = self.both()?;
        while self.take_sign("||") || self.take_word("or") {
            node = Node::Or(Box::new(node), Box::new(self.both()?));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut node = self.not()?;
        while self.take_sign("&&") || self.take_word("and") {
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, String> {
        let mut count = 0;
        while self.take_sign("!") || self.take_word("not") {
            count += 1;
        }
        let node = self.comparison()?;
        Ok(match count % 2 {
            0 if count == 0 => node,
            0 => Node::Not(Box::new(Node::Not(Box::new(node)))),
            _ => Node::Not(Box::new(node)),
        })
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.operand()?;
        let is_negated = self.take_sign("!~");
        if is_negated || self.take_sign("~") {
            let Some((_, Token::Text(pattern))) = self.tokens.get(self.next) else {
                return Err(self.wrong("a regular expression in quotes"));
            };
            let regex = Regex::new(pattern)
                .map_err(|error| format!("'{pattern}' is no regular expression: {error}"))?;
            self.next += 1;
            let matches = Node::Matches(Box::new(left), regex);
            return Ok(match is_negated {
                true => Node::Not(Box::new(matches)),
                false => matches,
            });
        }
        let Some(comparison) = self.take_comparison() else {
            return Ok(left);
        };
        let right = match comparison {
            Comparison::In if self.take_sign("[") => self.list()?,
            _ => self.operand()?,
        };
        Ok(Node::Compare(Box::new(left), comparison, Box::new(right)))
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let comparison = match &self.tokens.get(self.next)?.1 {
            Token::Sign("==" | "=") => Comparison::Equal,
            Token::Sign("!=") => Comparison::NotEqual,
            Token::Sign("<") => Comparison::Less,
            Token::Sign("<=") => Comparison::LessOrEqual,
            Token::Sign(">") => Comparison::Greater,
            Token::Sign(">=") => Comparison::GreaterOrEqual,
            Token::Name(name) => match name.as_str() {
                "contains" => Comparison::Contains,
                "startsWith" | "starts_with" => Comparison::StartsWith,
                "endsWith" | "ends_with" => Comparison::EndsWith,
                "in" => Comparison::In,
                _ => return None,
            },
            _ => return None,
        };
        self.next += 1;
        Some(comparison)
    }

    fn list(&mut self) -> Result<Node, String> {
        let mut items = Vec::new();
        while !self.take_sign("]") {
            items.push(self.operand()?);
            if !self.take_sign(",") {
                self.need_sign("]")?;
                break;
            }
        }
        Ok(Node::List(items))
    }

    fn operand(&mut self) -> Result<Node, String> {
        if self.take_sign("(") {
            let node = self.either()?;
            self.need_sign(")")?;
            return Ok(node);
        }
        let value = match self.tokens.get(self.next) {
            Some((_, Token::Text(text))) => Value::Text(text.clone().into()),
            Some((_, Token::Number(number))) => Value::Number(number.clone()),
            Some((_, Token::Time(millis))) => Value::Time(*millis),
            Some((_, Token::Name(name))) => match name.as_str() {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return self.path(),
            },
            _ => return Err(self.wrong("a name, a number or a text in quotes")),
        };
        self.next += 1;
        Ok(Node::Literal(value))
    }

    fn path(&mut self) -> Result<Node, String> {
        let root = match self.tokens.get(self.next) {
            Some((_, Token::Name(name))) => match name.as_str() {
                "topic" => Root::Topic,
                "partition" => Root::Partition,
                "offset" => Root::Offset,
                "ts" | "timestamp" => Root::Time,
                "key" => Root::Key,
                "value" => Root::Value,
                "headers" | "header" => Root::Headers,
                "key_size" => Root::KeySize,
                "value_size" => Root::ValueSize,
                _ => {
                    return Err(self.wrong(
                        "topic, partition, offset, ts, key, value, headers, key_size or value_size",
                    ));
                }
            },
            _ => return Err(self.wrong("a name")),
        };
        self.next += 1;
        let mut steps = Vec::new();
        loop {
            if self.take_sign(".") {
                let Some((_, Token::Name(name))) = self.tokens.get(self.next) else {
                    return Err(self.wrong("a name"));
                };
                steps.push(Step::Name(name.clone()));
                self.next += 1;
            } else if self.take_sign("[") {
                let step = match self.tokens.get(self.next) {
                    Some((_, Token::Text(name))) => Some(Step::Name(name.clone())),
                    Some((_, Token::Number(number))) => {
                        let index = number.as_u64().and_then(|it| usize::try_from(it).ok());
                        index.map(Step::Index)
                    }
                    _ => None,
                };
                steps.push(step.ok_or_else(|| self.wrong("a name in quotes or an index"))?);
                self.next += 1;
                self.need_sign("]")?;
            } else {
                return Ok(Node::Path(root, steps));
            }
        }
    }
}
