//! Short digests: for seeds and content comparison, not for secrets.

use sha2::{Digest, Sha256};

/// The first 64 bits of the SHA-256 over the parts, each preceded by its length.
pub fn short_hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// A UUID that always is the same for the same thing.
pub fn id_for(of: &str, which: &str) -> String {
    let (high, low) = (short_hash(&[of.as_bytes(), which.as_bytes()]), short_hash(&[which.as_bytes(), of.as_bytes()]));
    let id = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid().to_string()
}

/// What two JSON documents have in common when they differ only in spelling, order of properties and the named
/// top-level properties. `None` when the text cannot be read as a document.
pub fn content_hash(json: &[u8], leave_out: &[&str]) -> Option<u64> {
    let mut document: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    for name in leave_out {
        document.remove(*name);
    }
    let mut document = serde_json::Value::Object(document);
    document.sort_all_objects();
    let text = serde_json::to_string(&document).ok()?;
    Some(short_hash(&[text.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_order_do_not_change_the_content_but_values_do() {
        let one = content_hash(br#"{"a":"\u00e9","b":9007199254740993,"v":1}"#, &["v"]);

        assert_eq!(one, content_hash("{ \"b\":9007199254740993, \"v\":2, \"a\":\"é\" }".as_bytes(), &["v"]));
        assert_ne!(one, content_hash(br#"{"a":"\u00e9","b":9007199254740992,"v":1}"#, &["v"]));
        assert_eq!(content_hash(b"[]", &[]), None);
    }
}
