//! A fingerprint of an order's content that survives what the platform declares harmless.
//!
//! Equal for documents that differ in the order of properties, in whitespace, in how a character is escaped, or in the
//! top-level `latestVersion` and `version`: two versions of one order with one hash differ in nothing a destination could
//! see. Different for any other change, including the order of array elements, a property that
//! appears with `null`, and another spelling of a number (`1` and `1.0`).
//!
//! SHA-256 of a canonical form in which every value says its type and length, so that no two documents share one.

use sha2::{Digest, Sha256};

use super::order::{LATEST_VERSION, VERSION};
use crate::source::json::{Document, Node, Text, Value};

/// Changing what is hashed makes stored versions look changed: it needs a new column, not a new constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    pub(super) fn of(document: &Document<'_>) -> Self {
        let mut canonical = Canonical {
            form: Vec::with_capacity(document.text().len() + document.text().len() / 2),
            members: Vec::with_capacity(64),
        };
        match document.root().value() {
            Value::Object(members) => {
                let counts = |key: &str| ![LATEST_VERSION, VERSION].contains(&key);
                canonical.object(members.filter(|(key, _)| counts(&key.content())));
            }
            _ => canonical.value(document.root()),
        }
        Self(Sha256::digest(&canonical.form).into())
    }
}

struct Canonical<'d> {
    form: Vec<u8>,
    /// The members of the objects being written, outermost first: one allocation for all of them.
    members: Vec<(Text<'d>, Node<'d>)>,
}

impl<'d> Canonical<'d> {
    fn value(&mut self, node: Node<'d>) {
        match node.value() {
            Value::Null => self.form.push(b'n'),
            Value::Bool(false) => self.form.push(b'f'),
            Value::Bool(true) => self.form.push(b't'),
            Value::Number(raw) => self.sized(b'd', raw),
            Value::Text(text) => self.text(text),
            Value::Array(elements) => {
                self.header(b'[', elements.clone().count());
                for element in elements {
                    self.value(element);
                }
            }
            Value::Object(members) => self.object(members),
        }
    }

    fn object(&mut self, members: impl Iterator<Item = (Text<'d>, Node<'d>)>) {
        let base = self.members.len();
        self.members.extend(members);
        // Stable, so that of two members with one key the last one stays the last.
        self.members[base..].sort_by(|(a, _), (b, _)| compare(*a, *b));
        self.header(b'{', self.members.len() - base);
        for index in base..self.members.len() {
            let (key, value) = self.members[index];
            self.text(key);
            self.value(value);
        }
        self.members.truncate(base);
    }

    fn text(&mut self, text: Text<'_>) {
        let content = text.content();
        if text.is_escaped() && content.contains(char::REPLACEMENT_CHARACTER) {
            // Decoding may have lost something (NUL, a lone surrogate): it counts as written.
            self.sized(b'r', text.raw());
        } else {
            self.sized(b's', &content);
        }
    }

    fn sized(&mut self, kind: u8, text: &str) {
        self.header(kind, text.len());
        self.form.extend_from_slice(text.as_bytes());
    }

    /// Sizes below 255 take one byte: most do, and hashing costs by the byte.
    fn header(&mut self, kind: u8, size: usize) {
        self.form.push(kind);
        if size < 255 {
            self.form.push(size as u8);
        } else {
            self.form.push(255);
            self.form.extend_from_slice(&(size as u32).to_le_bytes());
        }
    }
}

/// Texts without escapes, nearly all of them, are compared where they lie.
fn compare(a: Text<'_>, b: Text<'_>) -> std::cmp::Ordering {
    if a.is_escaped() || b.is_escaped() { a.content().cmp(&b.content()) } else { a.raw().cmp(b.raw()) }
}
