//! Finds where JSON values end without reading them: quotes, escapes and brackets only.
//!
//! It works on bytes, so that one order with invalid UTF-8 or control characters can be cut out of its page. It does
//! not check the grammar inside a value, nor that an opening bracket is closed by one of its kind: whoever reads the
//! value does.

/// The text ended inside a value, or there is no value where one should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanError {
    End,
    NoValue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Quote,
    Open,
    Close,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    table[b'"' as usize] = Class::Quote;
    table[b'{' as usize] = Class::Open;
    table[b'[' as usize] = Class::Open;
    table[b'}' as usize] = Class::Close;
    table[b']' as usize] = Class::Close;
    table
};

/// The end of the value that starts at `start`, exclusive.
pub(super) fn value_end(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    match bytes.get(start) {
        None => Err(ScanError::End),
        Some(b'"') => string_end(bytes, start),
        Some(b'{' | b'[') => container_end(bytes, start),
        Some(_) => {
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b'"' | b' ' | b'\n' | b'\r' | b'\t');
            match bytes[start..].iter().position(ends) {
                Some(0) => Err(ScanError::NoValue),
                Some(length) => Ok(start + length),
                None => Ok(bytes.len()),
            }
        }
    }
}

pub(super) fn whitespace_end(bytes: &[u8], start: usize) -> usize {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    start + bytes[start..].iter().take_while(is_space).count()
}

/// The value of a member of the object `bytes`, as far as the object can be followed. The last one of that name.
pub(super) fn member<'b>(bytes: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let mut found = None;
    let mut at = whitespace_end(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        at = whitespace_end(bytes, at + 1);
        if bytes.get(at) != Some(&b'"') {
            return found;
        }
        let Ok(key_end) = string_end(bytes, at) else { return found };
        let key = &bytes[at + 1..key_end - 1];
        at = whitespace_end(bytes, key_end);
        if bytes.get(at) != Some(&b':') {
            return found;
        }
        at = whitespace_end(bytes, at + 1);
        let Ok(end) = value_end(bytes, at) else { return found };
        if key == name {
            found = Some(&bytes[at..end]);
        }
        at = whitespace_end(bytes, end);
        if bytes.get(at) != Some(&b',') {
            return found;
        }
    }
}

fn string_end(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    let mut at = start + 1;
    loop {
        let rest = bytes.get(at..).ok_or(ScanError::End)?;
        let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).ok_or(ScanError::End)?;
        at += stop + 1;
        if rest[stop] == b'"' {
            return Ok(at);
        }
        at += 1;
    }
}

fn container_end(bytes: &[u8], start: usize) -> Result<usize, ScanError> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        let byte = *bytes.get(at).ok_or(ScanError::End)?;
        match CLASSES[usize::from(byte)] {
            Class::Plain => at += 1,
            Class::Quote => at = string_end(bytes, at)?,
            Class::Open => {
                depth += 1;
                at += 1;
            }
            Class::Close => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
        }
    }
}
