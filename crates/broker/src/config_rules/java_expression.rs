//! Whether Java can read a text as a regular expression: what Kafka asks before it keeps one.

/// Names of classes of characters that `\p{…}` knows without `Is` or `In` before them.
const PROPERTIES: &[&str] = &[
    "Lower",
    "Upper",
    "ASCII",
    "Alpha",
    "Digit",
    "Alnum",
    "Punct",
    "Graph",
    "Print",
    "Blank",
    "Cntrl",
    "XDigit",
    "Space",
    "L1",
    "all",
    "javaLowerCase",
    "javaUpperCase",
    "javaTitleCase",
    "javaAlphabetic",
    "javaIdeographic",
    "javaDigit",
    "javaDefined",
    "javaLetter",
    "javaLetterOrDigit",
    "javaJavaIdentifierStart",
    "javaJavaIdentifierPart",
    "javaUnicodeIdentifierStart",
    "javaUnicodeIdentifierPart",
    "javaIdentifierIgnorable",
    "javaSpaceChar",
    "javaWhitespace",
    "javaISOControl",
    "javaMirrored",
];
/// General categories of Unicode.
const CATEGORIES: &[&str] = &[
    "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Me", "Mc", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc",
    "Cf", "Co", "Cs", "Pd", "Ps", "Pe", "Pc", "Po", "Sm", "Sc", "Sk", "So", "Pi", "Pf", "L", "M",
    "N", "Z", "C", "P", "S", "LC", "LD",
];
/// Groups may be so deep; Java's own limit is its stack.
const DEPTH_MAX: usize = 100;

/// Whether `text` is a regular expression of Java (`java.util.regex.Pattern`). Names of scripts and blocks of
/// Unicode are believed.
pub(super) fn is_java_expression(text: &str) -> bool {
    let mut reader = Reader {
        rest: text,
        names: Vec::new(),
        depth: 0,
    };
    reader.alternatives().is_some() && reader.rest.is_empty()
}

/// `None` from any of these: Java would not read it.
struct Reader<'a> {
    rest: &'a str,
    /// Of the groups that began so far.
    names: Vec<&'a str>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Everything up to `end`, which is eaten too.
    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, behind) = self.rest.split_once(end)?;
        self.rest = behind;
        Some(before)
    }

    /// To the end, or to a parenthesis that closes.
    fn alternatives(&mut self) -> Option<()> {
        while let Some(next) = self.peek() {
            match next {
                ')' => return Some(()),
                '|' => drop(self.next()),
                '*' | '+' | '?' => return None,
                // Nothing, often.
                '{' => self.quantifier()?,
                _ => {
                    if self.atom()? == Atom::Something {
                        self.quantifier()?;
                    }
                }
            }
        }
        Some(())
    }

    fn atom(&mut self) -> Option<Atom> {
        match self.next()? {
            '(' => return self.group(),
            '[' => self.class()?,
            '\\' if self.rest.starts_with("Q\\E") => {
                self.eat("Q\\E");
                return Some(Atom::Nothing);
            }
            '\\' => self.escape(Place::Outside)?,
            _ => {}
        }
        Some(Atom::Something)
    }

    /// How often something may be there, if that is said.
    fn quantifier(&mut self) -> Option<()> {
        match self.peek() {
            Some('?' | '*' | '+') => drop(self.next()),
            Some('{') => self.counts()?,
            _ => return Some(()),
        }
        let _ = self.eat("?") || self.eat("+");
        Some(())
    }

    fn counts(&mut self) -> Option<()> {
        let counts = self.until("}")?.strip_prefix('{')?;
        let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
        let least: i32 = digits(least)?;
        match most {
            "" => Some(()),
            most => (least <= digits(most)?).then_some(()),
        }
    }

    fn group(&mut self) -> Option<Atom> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return None;
        }
        if self.eat("?") && !self.kind_of_group()? {
            self.depth -= 1;
            return Some(Atom::Nothing);
        }
        self.alternatives()?;
        self.depth -= 1;
        self.eat(")").then_some(Atom::Something)
    }

    /// Behind `(?`. Whether something follows: flags may stand alone.
    fn kind_of_group(&mut self) -> Option<bool> {
        for plain in [":", "=", "!", ">", "<=", "<!"] {
            if self.eat(plain) {
                return Some(true);
            }
        }
        if self.eat("<") {
            let name = self.name()?;
            let is_new = !self.names.contains(&name);
            self.names.push(name);
            return is_new.then_some(true);
        }
        while self.peek().is_some_and(|flag| "idmsuxU".contains(flag)) {
            self.next();
        }
        if self.eat("-") {
            while self.peek().is_some_and(|flag| "idmsuxU".contains(flag)) {
                self.next();
            }
        }
        match self.next()? {
            ':' => Some(true),
            ')' => Some(false),
            _ => None,
        }
    }

    /// Of a group, with the `>` behind it.
    fn name(&mut self) -> Option<&'a str> {
        let name = self.until(">")?;
        let is_first = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric());
        (is_first && is_plain).then_some(name)
    }

    fn escape(&mut self, place: Place) -> Option<()> {
        let escaped = self.next()?;
        match escaped {
            'Q' => {
                // To the end, if nothing ends it.
                if self.until("\\E").is_none() {
                    self.rest = "";
                }
                Some(())
            }
            '0' => self.octal(),
            'x' => self.hexadecimal(),
            'u' => self.hex_digits(4),
            'c' => self.next().map(drop),
            'p' | 'P' => self.property(),
            'N' => {
                let name = self.eat("{").then(|| self.until("}")).flatten()?;
                (!name.is_empty()).then_some(())
            }
            'k' => {
                let name = self.eat("<").then(|| self.name()).flatten()?;
                let is_known = place == Place::Outside && self.names.contains(&name);
                is_known.then_some(())
            }
            'a' | 'd' | 'D' | 'e' | 'f' | 'h' | 'H' | 'n' | 'r' | 's' | 'S' | 't' | 'v' | 'V'
            | 'w' | 'W' => Some(()),
            'b' if place == Place::Outside => {
                // Of what people take for a character; other braces say how often.
                self.eat("{g}");
                Some(())
            }
            'A' | 'B' | 'G' | 'R' | 'X' | 'z' | 'Z' | '1'..='9' => {
                (place == Place::Outside).then_some(())
            }
            other => (!other.is_ascii_alphanumeric()).then_some(()),
        }
    }

    fn octal(&mut self) -> Option<()> {
        let is_octal = |c: &char| ('0'..='7').contains(c);
        self.peek().filter(is_octal)?;
        // Three digits if the number fits in a byte.
        let digits_max = if self.peek() <= Some('3') { 3 } else { 2 };
        for _ in 0..digits_max {
            if self.peek().filter(is_octal).is_some() {
                self.next();
            }
        }
        Some(())
    }

    fn hexadecimal(&mut self) -> Option<()> {
        if !self.eat("{") {
            return self.hex_digits(2);
        }
        let digits = self.until("}")?;
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_plain)?;
        (number <= 0x10_ffff).then_some(())
    }

    fn hex_digits(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.next().filter(char::is_ascii_hexdigit)?;
        }
        Some(())
    }

    fn property(&mut self) -> Option<()> {
        if !self.eat("{") {
            let mut one = [0; 4];
            let name = self.next()?.encode_utf8(&mut one);
            return CATEGORIES.contains(&&*name).then_some(());
        }
        let name = self.until("}")?;
        if let Some((kind, value)) = name.split_once('=') {
            let is_known = match kind.to_ascii_lowercase().as_str() {
                "gc" | "general_category" => is_property(value),
                "sc" | "script" | "blk" | "block" => !value.is_empty(),
                _ => false,
            };
            return is_known.then_some(());
        }
        let is_named = |prefix: &str| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| !rest.is_empty())
        };
        (is_property(name) || is_named("Is") || is_named("In")).then_some(())
    }

    /// Behind `[`.
    fn class(&mut self) -> Option<()> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return None;
        }
        self.eat("^");
        let mut is_first = true;
        loop {
            match self.peek()? {
                ']' if !is_first => break,
                '[' => {
                    self.next();
                    self.class()?;
                }
                '&' if self.eat("&&") => {}
                _ => self.range()?,
            }
            is_first = false;
        }
        self.next();
        self.depth -= 1;
        Some(())
    }

    /// One character of a class, or the two ends of a range.
    fn range(&mut self) -> Option<()> {
        let from = self.member()?;
        let is_range = from.is_some() && self.rest.starts_with('-');
        let ends_here = self.rest.starts_with("-]") || self.rest.starts_with("-[");
        if !is_range || ends_here {
            return Some(());
        }
        self.eat("-");
        let to = self.member()?;
        (from <= to).then_some(())
    }

    /// The character, if it is one that a range may begin or end with.
    fn member(&mut self) -> Option<Option<char>> {
        match self.next()? {
            '\\' => {
                let is_class = self.peek().is_some_and(|c| "dDhHsSvVwWpPQ".contains(c));
                let escaped = self.peek();
                self.escape(Place::InClass)?;
                let is_itself = escaped.is_some_and(|c| !c.is_ascii_alphanumeric());
                Some(escaped.filter(|_| is_itself && !is_class))
            }
            plain => Some(Some(plain)),
        }
    }
}

/// Whether there is something that may be there more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Atom {
    Something,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    InClass,
}

/// Whether it is the name of a class of characters that needs nothing before it.
fn is_property(name: &str) -> bool {
    PROPERTIES.contains(&name) || CATEGORIES.contains(&name)
}

fn digits(text: &str) -> Option<i32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::is_java_expression;

    /// What `Pattern.compile` of Java 17 says of each.
    #[test]
    fn java_can_read_some_and_others_not() {
        #[rustfmt::skip]
        let good = [
            "(?:a|b)+?", "(?=a)b", "(?<!a)b", "(?<name>a)", "(?i)A", "()", "a*+", "^*", "a{2}",
            "a{2}{3}", "}", "]", "|", "^a$", "(?i:a)", "(?-)a", r"\d\w\.", r"\Qa(\E", r"\Qa(",
            r"\p{L}", r"\pL", r"\x41", r"\u0041", r"\1", r"(a)\1", r"(?<x>a)\k<x>", r"\cA",
            r"\07", r"\e", r"\G", r"\R", r"\X", r"\8", r"[\d-z]", r"[\Q]\E]", "[a-z]+", "[]a]",
            "[^]a]", "[a&&[^b]]", "[a&&]", "[&&a]", "[[:alpha:]]", "[a-]", "[-a]", "[^^]", "{2}",
            "a{2}?{3}", "^{2}", "(|)", "(?<=a+)b", r"\b{g}", r"\b{g}+", r"\b{2}", r"\x{00041}",
            r"\p{gc=Lu}", r"\p{GC=Lower}", r"\p{General_Category=Lu}", r"\p{gc=javaMirrored}",
            r"\p{sc=Latin}", r"\p{Script=latin}", r"\p{blk=BasicLatin}", r"\P{block=Basic Latin}",
            r"\p{IsLatin}", r"\p{IsLu}", r"\p{IsAlphabetic}", r"\p{InGreek}", r"\p{javaMirrored}",
            r"\p{javaTitleCase}", r"\p{javaDefined}", r"\p{javaJavaIdentifierStart}",
            r"\p{javaJavaIdentifierPart}", r"\p{javaUnicodeIdentifierStart}",
            r"\p{javaUnicodeIdentifierPart}", r"\p{javaIdentifierIgnorable}",
            r"\p{javaISOControl}", r"\p{javaIdeographic}",
        ];
        #[rustfmt::skip]
        let bad = [
            "a(b", "a)", "(?<>a)", "(?<x>a)(?<x>b)", "(?P<x>a)", "(?", "*a", "a**", "a*?+",
            "a|*", "(*a)", "a{", "a{x}", "a{2;1}", "{", "(?y)a", r"a\", r"\y", r"\p{Foo}", r"\p",
            r"\x4", r"\u004", r"\k<x>", r"\c", r"\0", r"\08", r"\N", r"[\b]", r"[\y]", "[z-a]",
            "[]", "[^]", "[a", "[a-", "[[a]", "(?i)*", "a{2}*", r"\Q\E*",
            r"\x{+41}", r"\x{}", r"\x{110000}", r"\b{h}", r"\b{g", r"[\b{g}]", r"\B{g}", r"\p{gc=lu}",
            r"\p{gc=Foo}", r"\p{sc=}", r"\p{foo=Lu}", r"\p{is=Lu}", r"\p{javaFoo}",
        ];
        for text in good {
            assert!(is_java_expression(text), "{text}");
        }
        for text in bad {
            assert!(!is_java_expression(text), "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        for (open, close) in [("(", ")"), ("[a", "]")] {
            let nested = |depth: usize| open.repeat(depth) + &close.repeat(depth);
            assert!(is_java_expression(&nested(100)));
            assert!(!is_java_expression(&nested(100_000)));
        }
    }
}
