//! RE2's syntax of regular expressions, written as the `regex` crate understands it.
//!
//! The two share most of their syntax and all of their semantics (leftmost-first, linear time). They differ in what
//! is an error, in ASCII classes (`\d`, `\w`, `\s`, `\b`), in octal escapes and `\Q…\E`, and in sets within classes
//! (`[a&&b]`), which RE2 does not have. What RE2 refuses is refused here, so that a pattern means the same in both.

use std::iter::Peekable;
use std::str::Chars;

/// A repetition, and repetitions within repetitions together, may demand this many copies (RE2's limit).
const REPEAT_MAX: u64 = 1000;
/// No name of a class is longer; what is, is no name.
const NAME_MAX: usize = 64;
/// Groups within groups.
const GROUPS_MAX: usize = 100;

/// The pattern in the syntax of the `regex` crate, or what is wrong with it.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        last: Last::Nothing,
        last_end: 0,
        copies: 1,
        groups: Vec::new(),
        most_copies: 1,
    };
    translator.run()?;
    Ok(translator.out)
}

/// What stands before a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Atom,
    Repeated,
}

struct Translator<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    last: Last,
    /// Where the last atom ends; flags may stand behind it.
    last_end: usize,
    /// How many copies of something the last atom demands by the repetitions within it.
    copies: u64,
    /// The most copies within each open group so far.
    groups: Vec<u64>,
    most_copies: u64,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => {
                    self.class()?;
                    self.atom();
                }
                '(' => self.open_group()?,
                ')' => {
                    let Some(outside) = self.groups.pop() else { return Err("unexpected `)`".into()) };
                    self.out.push(')');
                    self.atom();
                    self.copies = self.most_copies;
                    self.most_copies = outside.max(self.most_copies);
                }
                '|' => {
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '*' | '+' | '?' => {
                    let mut operator = c.to_string();
                    if self.rest.next_if_eq(&'?').is_some() {
                        operator.push('?');
                    }
                    self.repeat(&operator, 1)?;
                }
                '{' => self.braces()?,
                '^' | '$' | '.' => {
                    self.out.push(c);
                    self.atom();
                }
                c => self.literal(c),
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("missing `)`".into()) }
    }

    fn atom(&mut self) {
        self.last = Last::Atom;
        self.last_end = self.out.len();
        self.copies = 1;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.atom();
    }

    fn repeat(&mut self, operator: &str, copies: u64) -> Result<(), String> {
        match self.last {
            Last::Nothing => return Err(format!("no argument for the repetition `{operator}`")),
            Last::Repeated => return Err(format!("a repetition cannot follow another: `{operator}`")),
            Last::Atom => {}
        }
        self.copies *= copies.max(1);
        if self.copies > REPEAT_MAX {
            return Err(format!("the repetition `{operator}` makes more than {REPEAT_MAX} copies"));
        }
        self.most_copies = self.most_copies.max(self.copies);
        self.out.insert_str(self.last_end, operator);
        self.last = Last::Repeated;
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else is a literal brace.
    fn braces(&mut self) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        let number = |ahead: &mut Peekable<Chars>| {
            let mut digits = String::new();
            while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits
        };
        let least = number(&mut ahead);
        let comma = ahead.next_if_eq(&',').is_some();
        let most = if comma { number(&mut ahead) } else { String::new() };
        if least.is_empty() || ahead.next() != Some('}') {
            self.literal('{');
            return Ok(());
        }
        self.rest = ahead;
        let count = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
        let (low, high) = (count(&least), if most.is_empty() { count(&least) } else { count(&most) });
        let mut operator = if comma { format!("{{{least},{most}}}") } else { format!("{{{least}}}") };
        if low > REPEAT_MAX || high > REPEAT_MAX || high < low {
            return Err(format!("invalid repetition `{operator}`"));
        }
        if self.rest.next_if_eq(&'?').is_some() {
            operator.push('?');
        }
        self.repeat(&operator, high)
    }

    fn open_group(&mut self) -> Result<(), String> {
        let mut head = String::from("(");
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some(':') => head.push_str("?:"),
                // Names are never asked for, and RE2 lets two groups have one name.
                Some('P') if self.rest.next_if_eq(&'<').is_some() => {
                    let mut name = String::new();
                    while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                        name.push(c);
                    }
                    if name.is_empty() || self.rest.next() != Some('>') {
                        return Err("invalid name of a group".into());
                    }
                }
                first => {
                    head.push('?');
                    if self.flags(first, &mut head)? {
                        self.out.push_str(&head);
                        return Ok(());
                    }
                }
            }
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(format!("groups nest deeper than {GROUPS_MAX} levels"));
        }
        self.out.push_str(&head);
        self.groups.push(self.most_copies);
        self.most_copies = 1;
        self.last = Last::Nothing;
        Ok(())
    }

    /// Flags up to `:` or, then true, up to `)`.
    fn flags(&mut self, first: Option<char>, head: &mut String) -> Result<bool, String> {
        let mut next = first;
        let mut negated = false;
        loop {
            match next {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => head.push(flag),
                Some('-') if !negated => {
                    negated = true;
                    head.push('-');
                }
                // RE2 takes `(?)` for nothing.
                Some(')') if head == "(?" => {
                    head.push_str(":)");
                    return Ok(true);
                }
                Some(end @ (':' | ')')) if !head.ends_with(['-', '?']) => {
                    head.push(end);
                    return Ok(end == ')');
                }
                _ => return Err(format!("invalid group `{head}{}`", next.map(String::from).unwrap_or_default())),
            }
            next = self.rest.next();
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.peek() {
            Some('Q') => {
                self.rest.next();
                while let Some(c) = self.rest.next() {
                    if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                        break;
                    }
                    self.literal(c);
                }
                return Ok(());
            }
            Some(c @ ('b' | 'B' | 'A' | 'z')) => {
                self.out.push_str(match c {
                    'b' => "(?-u:\\b)",
                    'B' => "(?-u:\\B)",
                    'A' => "\\A",
                    _ => "\\z",
                });
                self.rest.next();
            }
            Some('C') => return Err("`\\C` (one byte) is not supported: text is made of characters".into()),
            _ => {
                if let Some(class) = self.perl_class()? {
                    self.out.push_str(&format!("[{class}]"));
                } else {
                    let c = self.escaped_char()?;
                    push_literal(&mut self.out, c);
                }
            }
        }
        self.atom();
        Ok(())
    }

    /// Behind a backslash: `d`, `w`, `s`, `p{…}` and their complements, as what stands in a class.
    fn perl_class(&mut self) -> Result<Option<String>, String> {
        let class = match self.rest.peek() {
            Some('d') => "0-9",
            Some('D') => "[^0-9]",
            Some('w') => "0-9A-Za-z_",
            Some('W') => "[^0-9A-Za-z_]",
            Some('s') => "\\t\\n\\x0C\\r ",
            Some('S') => "[^\\t\\n\\x0C\\r ]",
            Some(c @ ('p' | 'P')) => {
                let negated = *c == 'P';
                self.rest.next();
                return self.unicode_class(negated).map(Some);
            }
            _ => return Ok(None),
        };
        self.rest.next();
        Ok(Some(class.into()))
    }

    fn unicode_class(&mut self, mut negated: bool) -> Result<String, String> {
        let mut name = String::new();
        match self.rest.next() {
            Some('{') => {
                loop {
                    match self.rest.next() {
                        Some('}') => break,
                        Some(c) => name.push(c),
                        None => return Err("`\\p{` has no `}`".into()),
                    }
                }
                if let Some(rest) = name.strip_prefix('^') {
                    negated = !negated;
                    name = rest.to_string();
                }
            }
            Some(c) => name.push(c),
            None => return Err("`\\p` needs a name".into()),
        }
        let known = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        let is_category = name.len() <= 2 && CATEGORIES.contains(&name.as_str());
        if !known || (!is_category && name.len() <= 2) {
            return Err(format!("no Unicode class `{name}`"));
        }
        let sign = if negated { 'P' } else { 'p' };
        Ok(if is_category || name == "Any" { format!("\\{sign}{{{name}}}") } else { format!("\\{sign}{{Script={name}}}") })
    }

    /// Behind a backslash: an escape that stands for one character.
    fn escaped_char(&mut self) -> Result<char, String> {
        let Some(c) = self.rest.next() else { return Err("trailing `\\`".into()) };
        let octal = |rest: &mut Peekable<Chars>, mut code: u32| {
            for _ in 0..2 {
                let Some(digit) = rest.next_if(|c| c.is_digit(8)) else { break };
                code = code * 8 + digit.to_digit(8).unwrap_or(0);
            }
            code
        };
        let invalid = || format!("invalid escape `\\{c}`");
        let code = match c {
            // A single digit would be a reference to a group, which RE2 does not have.
            '1'..='7' if self.rest.peek().is_none_or(|c| !c.is_digit(8)) => return Err(invalid()),
            '0'..='7' => octal(&mut self.rest, c.to_digit(8).unwrap_or(0)),
            'x' => self.hexadecimal().ok_or_else(invalid)?,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'f' => 12,
            'a' => 7,
            'v' => 11,
            c if c == '_' || (c.is_ascii() && !c.is_ascii_alphanumeric()) => return Ok(c),
            _ => return Err(invalid()),
        };
        char::from_u32(code).ok_or_else(invalid)
    }

    /// `x41`, `x{1F600}`
    fn hexadecimal(&mut self) -> Option<u32> {
        let mut code = 0u32;
        if self.rest.next_if_eq(&'{').is_some() {
            let mut digits = 0;
            loop {
                match self.rest.next()? {
                    '}' if digits > 0 => return Some(code),
                    c => code = code * 16 + c.to_digit(16)?,
                }
                digits += 1;
                if code > char::MAX as u32 {
                    return None;
                }
            }
        }
        for _ in 0..2 {
            code = code * 16 + self.rest.next()?.to_digit(16)?;
        }
        Some(code)
    }

    /// `[…]`; the opening bracket is read.
    fn class(&mut self) -> Result<(), String> {
        let missing = || "missing `]`".to_string();
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.rest.next() else { return Err(missing()) };
            match c {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' if self.rest.peek() == Some(&':') && self.named_class()? => {}
                '\\' => match self.perl_class()? {
                    Some(class) => self.out.push_str(&class),
                    None => {
                        let low = self.escaped_char()?;
                        self.range(low)?;
                    }
                },
                low => self.range(low)?,
            }
            first = false;
        }
    }

    /// `[:alpha:]`, where it is closed; the bracket is read.
    fn named_class(&mut self) -> Result<bool, String> {
        let ahead: String = self.rest.clone().skip(1).take(NAME_MAX).collect();
        let Some((name, _)) = ahead.split_once(":]") else { return Ok(false) };
        let bare = name.strip_prefix('^').unwrap_or(name);
        if !NAMED_CLASSES.contains(&bare) {
            return Err(format!("no class `[:{name}:]`"));
        }
        self.out.push_str(&format!("[:{name}:]"));
        for _ in 0..name.chars().count() + 3 {
            self.rest.next();
        }
        Ok(true)
    }

    /// A character of a class, or a range that begins with it.
    fn range(&mut self, low: char) -> Result<(), String> {
        push_literal(&mut self.out, low);
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) {
            return Ok(());
        }
        self.rest.next();
        let high = match self.rest.next() {
            Some('\\') => self.escaped_char()?,
            Some(c) => c,
            None => return Err("missing `]`".into()),
        };
        if high < low {
            return Err(format!("invalid range `{low}-{high}`"));
        }
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }
}

fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        out.push_str(&format!("\\x{:02X}", c as u32));
    } else {
        out.push(c);
    }
}

const CATEGORIES: &[&str] = &[
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe",
    "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

const NAMED_CLASSES: &[&str] =
    &["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];
