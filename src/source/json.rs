//! A borrowed view of one JSON document, parsed in a single pass into a flat list of entries.
//!
//! Why not a generic JSON value: decoding and hashing an order both walk the whole document, and at a hundred orders a
//! page the tree of strings and maps costs more than everything else. This view allocates once, keeps every number as
//! the text it was (no float can touch money or an id), keeps duplicate keys, and accepts what a strict decoder of
//! Rust strings must refuse but a sender may send: lone surrogate escapes.
//!
//! It accepts exactly the documents of RFC 8259 up to [`MAX_DEPTH`] levels (a property test compares it with
//! `serde_json`) and finds on the way whether Postgres could cast them to `jsonb`.

use std::borrow::Cow;

/// Deepest nesting that is read; the same limit as `serde_json`.
pub const MAX_DEPTH: usize = 127;

/// Longest number and largest exponent for which a cast to `jsonb` is promised. Postgres allows 16383 digits after the
/// point, to which both contribute.
const MAX_JSONB_DIGITS: usize = 8_000;

/// A parsed document.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    entries: Vec<Entry>,
    castable_to_jsonb: bool,
}

/// Where and why a text is not JSON. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct JsonError {
    pub at: usize,
    pub problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("unexpected end")]
    End,
    #[error("unexpected character")]
    Character,
    #[error("control character in a string")]
    ControlCharacter,
    #[error("invalid escape")]
    Escape,
    #[error("invalid number")]
    Number,
    #[error("nesting too deep")]
    TooDeep,
    #[error("text longer than 4 GiB")]
    TooLong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    False,
    True,
    Number,
    /// Without escapes: the content is the text itself.
    PlainText,
    EscapedText,
    Array,
    /// Keys and values in turn.
    Object,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    /// Of texts without their quotes; not used by containers.
    start: u32,
    end: u32,
    /// The entry after this value and everything in it.
    next: u32,
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    at: u32,
}

/// A value by its type.
#[derive(Debug, Clone)]
pub enum Value<'d> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'d str),
    Text(Text<'d>),
    Array(Elements<'d>),
    Object(Members<'d>),
}

/// A string of the document, escapes as received.
#[derive(Debug, Clone, Copy)]
pub struct Text<'d> {
    raw: &'d str,
    is_escaped: bool,
}

impl<'a> Document<'a> {
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError { at: 0, problem: Problem::TooLong });
        }
        let mut parser = Parser {
            bytes: text.as_bytes(),
            at: 0,
            entries: Vec::with_capacity(text.len() / 6 + 8),
            castable_to_jsonb: true,
        };
        parser.skip_whitespace();
        parser.value(0)?;
        parser.skip_whitespace();
        if parser.at < parser.bytes.len() {
            return Err(parser.error(Problem::Character));
        }
        Ok(Self { text, castable_to_jsonb: parser.castable_to_jsonb, entries: parser.entries })
    }

    pub fn root(&self) -> Node<'_> {
        Node { document: self, at: 0 }
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether Postgres accepts the text as `jsonb`: no `\u0000`, no lone surrogate, no number out of its range.
    /// Errs on the side of `false`.
    pub fn castable_to_jsonb(&self) -> bool {
        self.castable_to_jsonb
    }
}

impl<'d> Node<'d> {
    pub fn value(self) -> Value<'d> {
        let entry = self.entry();
        match entry.kind {
            Kind::Null => Value::Null,
            Kind::False => Value::Bool(false),
            Kind::True => Value::Bool(true),
            Kind::Number => Value::Number(self.slice(entry)),
            Kind::PlainText => Value::Text(Text { raw: self.slice(entry), is_escaped: false }),
            Kind::EscapedText => Value::Text(Text { raw: self.slice(entry), is_escaped: true }),
            Kind::Array => Value::Array(Elements { document: self.document, at: self.at + 1, end: entry.next }),
            Kind::Object => {
                Value::Object(Members(Elements { document: self.document, at: self.at + 1, end: entry.next }))
            }
        }
    }

    pub fn is_null(self) -> bool {
        self.entry().kind == Kind::Null
    }

    fn entry(self) -> Entry {
        self.document.entries[self.at as usize]
    }

    fn slice(self, entry: Entry) -> &'d str {
        &self.document.text[entry.start as usize..entry.end as usize]
    }
}

impl<'d> Text<'d> {
    /// The content. What no Rust or Postgres text can hold (NUL, lone surrogates) becomes U+FFFD.
    pub fn content(self) -> Cow<'d, str> {
        if self.is_escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// As received, between the quotes.
    pub fn raw(self) -> &'d str {
        self.raw
    }

    pub fn is_escaped(self) -> bool {
        self.is_escaped
    }
}

/// The values of an array.
#[derive(Debug, Clone)]
pub struct Elements<'d> {
    document: &'d Document<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        if self.at >= self.end {
            return None;
        }
        let node = Node { document: self.document, at: self.at };
        self.at = node.entry().next;
        Some(node)
    }
}

/// Keys and values of an object, as they come; a key may come twice.
#[derive(Debug, Clone)]
pub struct Members<'d>(Elements<'d>);

impl<'d> Iterator for Members<'d> {
    type Item = (Text<'d>, Node<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?;
        let value = self.0.next()?;
        match key.value() {
            Value::Text(key) => Some((key, value)),
            // The parser puts nothing but a text before each value of an object.
            _ => None,
        }
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    entries: Vec<Entry>,
    castable_to_jsonb: bool,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true", Kind::True),
            b'f' => self.literal(b"false", Kind::False),
            b'n' => self.literal(b"null", Kind::Null),
            _ => Err(self.error(Problem::Character)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let container = self.open(Kind::Object, depth)?;
        if self.peek()? == b'}' {
            return self.close(container);
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.error(Problem::Character));
            }
            self.string()?;
            self.skip_whitespace();
            self.expect(b':')?;
            self.skip_whitespace();
            self.value(depth + 1)?;
            self.skip_whitespace();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => return self.close(container),
                _ => return Err(self.error(Problem::Character)),
            }
            self.skip_whitespace();
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let container = self.open(Kind::Array, depth)?;
        if self.peek()? == b']' {
            return self.close(container);
        }
        loop {
            self.value(depth + 1)?;
            self.skip_whitespace();
            match self.peek()? {
                b',' => self.at += 1,
                b']' => return self.close(container),
                _ => return Err(self.error(Problem::Character)),
            }
            self.skip_whitespace();
        }
    }

    fn open(&mut self, kind: Kind, depth: usize) -> Result<usize, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(Problem::TooDeep));
        }
        let container = self.entries.len();
        self.push(kind, self.at, self.at);
        self.at += 1;
        self.skip_whitespace();
        Ok(container)
    }

    #[allow(clippy::unnecessary_wraps, reason = "ends the loops of both containers")]
    fn close(&mut self, container: usize) -> Result<(), JsonError> {
        self.at += 1;
        self.entries[container].next = self.entries.len() as u32;
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let start = self.at;
        let mut kind = Kind::PlainText;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(plain) = rest.iter().position(|byte| ENDS_PLAIN_TEXT[usize::from(*byte)]) else {
                self.at = self.bytes.len();
                return Err(self.error(Problem::End));
            };
            self.at += plain;
            match rest[plain] {
                b'"' => break,
                b'\\' => {
                    kind = Kind::EscapedText;
                    self.escape()?;
                }
                _ => return Err(self.error(Problem::ControlCharacter)),
            }
        }
        self.push(kind, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            None => return Err(self.error(Problem::End)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                return Ok(());
            }
            Some(b'u') => {}
            Some(_) => return Err(self.error(Problem::Escape)),
        }
        let unit = self.code_unit()?;
        let completes_pair = is_high_surrogate(unit)
            && self.bytes[self.at..].starts_with(b"\\u")
            && self.bytes.get(self.at + 2..self.at + 6).and_then(hex4).is_some_and(is_low_surrogate);
        if completes_pair {
            self.at += 6;
        } else if unit == 0 || is_high_surrogate(unit) || is_low_surrogate(unit) {
            self.castable_to_jsonb = false;
        }
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let digits = self.bytes.get(self.at + 2..self.at + 6).ok_or(self.error(Problem::End))?;
        let unit = hex4(digits).ok_or(self.error(Problem::Escape))?;
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => {
                self.digits();
            }
            Some(_) => return Err(self.error(Problem::Number)),
            None => return Err(self.error(Problem::End)),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.error(Problem::Number));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            let exponent = self.at;
            if self.digits() == 0 {
                return Err(self.error(Problem::Number));
            }
            let size = std::str::from_utf8(&self.bytes[exponent..self.at]).ok().and_then(|e| e.parse::<usize>().ok());
            self.castable_to_jsonb &= size.is_some_and(|size| size <= MAX_JSONB_DIGITS);
        }
        self.castable_to_jsonb &= self.at - start <= MAX_JSONB_DIGITS;
        self.push(Kind::Number, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let n = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += n;
        n
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error(Problem::Character));
        }
        self.push(kind, self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let next = self.entries.len() as u32 + 1;
        self.entries.push(Entry { kind, start: start as u32, end: end as u32, next });
    }

    fn peek(&self) -> Result<u8, JsonError> {
        self.bytes.get(self.at).copied().ok_or(self.error(Problem::End))
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? != byte {
            return Err(self.error(Problem::Character));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn error(&self, problem: Problem) -> JsonError {
        JsonError { at: self.at, problem }
    }
}

/// Quote, backslash and control characters.
const ENDS_PLAIN_TEXT: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

fn is_high_surrogate(unit: u16) -> bool {
    (0xD800..=0xDBFF).contains(&unit)
}

fn is_low_surrogate(unit: u16) -> bool {
    (0xDC00..=0xDFFF).contains(&unit)
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)? as u16))
}

/// `raw` has passed the parser, so every escape is complete.
fn unescape(raw: &str) -> String {
    let mut content = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        content.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'u' => {
                let unit = take_code_unit(&mut rest);
                let after = rest.strip_prefix("\\u");
                let low = after.and_then(|after| hex4(after.as_bytes().get(..4)?)).filter(|low| is_low_surrogate(*low));
                let decoded = match low {
                    Some(low) if is_high_surrogate(unit) => {
                        rest = rest.get(6..).unwrap_or_default();
                        let code = 0x1_0000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                        char::from_u32(code)
                    }
                    _ => char::from_u32(u32::from(unit)).filter(|c| *c != '\0'),
                };
                content.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            b'b' => content.push('\u{8}'),
            b'f' => content.push('\u{c}'),
            b'n' => content.push('\n'),
            b'r' => content.push('\r'),
            b't' => content.push('\t'),
            itself => content.push(char::from(itself)),
        }
    }
    content.push_str(rest);
    content
}

fn take_code_unit(rest: &mut &str) -> u16 {
    let unit = rest.as_bytes().get(..4).and_then(hex4).unwrap_or_default();
    *rest = rest.get(4..).unwrap_or_default();
    unit
}

#[cfg(test)]
mod tests;
