//! Versions a reader cannot, or need not, make sense of.

use std::time::Duration;

use axum::body::Bytes;
use rand::{RngExt, rngs::StdRng};

use super::{Readability, StreamVersion, VersionTruth, World, find_flag};

/// A way to break a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    MissingId,
    NullId,
    /// The id does not fit a signed 64-bit integer.
    IdOverflow,
    MissingVersion,
    VersionOverflow,
    VersionAsText,
    /// Not an object but a text.
    NotAnObject,
    /// An amount beyond 64 bits. It may be set aside or read.
    AmountOverflow,
    /// A fraction of a minor unit. It may be set aside or read.
    FractionalAmount,
    /// `\u0000` in a text: legal JSON, but not every store takes it.
    EscapedNul,
    /// Half of a surrogate pair, escaped.
    LoneSurrogate,
    /// A raw zero byte inside a text: the whole page is no JSON.
    RawNul,
    /// A byte that is no UTF-8: the whole page is no text.
    InvalidUtf8,
}

impl Breakage {
    /// Those that leave the page around them readable.
    pub const READABLE_PAGE: [Self; 11] = [
        Self::MissingId,
        Self::NullId,
        Self::IdOverflow,
        Self::MissingVersion,
        Self::VersionOverflow,
        Self::VersionAsText,
        Self::NotAnObject,
        Self::AmountOverflow,
        Self::FractionalAmount,
        Self::EscapedNul,
        Self::LoneSurrogate,
    ];
    /// Those that make the bytes of the whole page illegal.
    pub const UNREADABLE_PAGE: [Self; 2] = [Self::RawNul, Self::InvalidUtf8];

    fn readability(self) -> Readability {
        match self {
            Self::AmountOverflow | Self::FractionalAmount | Self::EscapedNul | Self::LoneSurrogate => Readability::Odd,
            Self::MissingId
            | Self::NullId
            | Self::IdOverflow
            | Self::MissingVersion
            | Self::VersionOverflow
            | Self::VersionAsText
            | Self::NotAnObject
            | Self::RawNul
            | Self::InvalidUtf8 => Readability::Broken,
        }
    }

    /// Breaks the JSON of a good version.
    fn apply(self, good: &[u8], id: &str, number: i64) -> Vec<u8> {
        let text = std::str::from_utf8(good).expect("versions are written as text");
        // The id is a bare number or a text; both spellings are tried.
        let replace_id = |with: &str| {
            let as_text = format!("\"id\":\"{id}\",\"version\"");
            let as_number = format!("\"id\":{id},\"version\"");
            let with = if with.is_empty() { "\"version\"".to_owned() } else { format!("\"id\":{with},\"version\"") };
            text.replacen(&as_text, &with, 1).replacen(&as_number, &with, 1)
        };
        let replace_version = |with: &str| text.replacen(&format!("\"version\":{number},"), with, 1);
        let insert = |field: &str| format!("{},{field}}}", &text[..text.len() - 1]);
        match self {
            Self::MissingId => replace_id("").into_bytes(),
            Self::NullId => replace_id("null").into_bytes(),
            Self::IdOverflow => replace_id(&format!("9223372036854775{}", 808 + number % 100)).into_bytes(),
            Self::MissingVersion => replace_version("").into_bytes(),
            Self::VersionOverflow => replace_version("\"version\":9223372036854775808,").into_bytes(),
            Self::VersionAsText => replace_version("\"version\":\"three\",").into_bytes(),
            Self::NotAnObject => format!("\"order {number} is not here\"").into_bytes(),
            Self::AmountOverflow => {
                insert(r#""deliveryFee":{"amount":99999999999999999999,"currency":"GBP"}"#).into_bytes()
            }
            Self::FractionalAmount => insert(r#""deliveryFee":{"amount":10.5,"currency":"GBP"}"#).into_bytes(),
            Self::EscapedNul => insert(r#""note":"before\u0000after""#).into_bytes(),
            Self::LoneSurrogate => insert(r#""note":"half \ud83d of it""#).into_bytes(),
            Self::RawNul => insert("\"note\":\"before\0after\"").into_bytes(),
            Self::InvalidUtf8 => {
                let mut bytes = insert(r#""note":"~""#).into_bytes();
                let at = bytes.len() - "~\"}".len();
                bytes[at] = 0xff;
                bytes
            }
        }
    }
}

/// Adds a broken newer version to randomly chosen orders, at the end of their lives.
pub(super) fn mix_in(world: &mut World, dice: &mut StdRng) {
    let ids: Vec<String> = world.orders.keys().cloned().collect();
    if ids.is_empty() || world.options.breakages.is_empty() {
        return;
    }
    let mut added = Vec::new();
    for n in 0..world.options.broken {
        let breakage = world.options.breakages[n % world.options.breakages.len()];
        let id = &ids[(dice.random_range(0..ids.len()) / 2 + n * 7) % ids.len()];
        let truth = &world.orders[id];
        let last = &truth.versions[truth.versions.len() - 1];
        let good = &world.versions[last.position];
        // Every property order starts as `id, version` somewhere; a rotated one may have them apart.
        let text = String::from_utf8_lossy(&good.payload);
        let in_order = text.contains(&format!("{id}\",\"version\":")) || text.contains(&format!("{id},\"version\":"));
        if !in_order || added.iter().any(|(_, other, _): &(StreamVersion, String, Breakage)| other == id) {
            continue;
        }
        let number = truth.versions.iter().map(|v| v.number).max().unwrap_or(0) + 1;
        let renumbered = text.replacen(&format!("\"version\":{},", last.number), &format!("\"version\":{number},"), 1);
        let payload = breakage.apply(renumbered.as_bytes(), id, number);
        let version = StreamVersion {
            at: good.at + Duration::from_secs(1),
            // The server knows the order, even if the reader cannot tell.
            order_id: Some(id.clone()),
            vendor: good.vendor.clone(),
            number,
            flag: find_flag(&payload),
            payload: Bytes::from(payload),
        };
        added.push((version, id.clone(), breakage));
    }
    for (version, id, breakage) in added {
        let position = world.versions.partition_point(|v| v.at <= version.at);
        for order in world.orders.values_mut() {
            for other in &mut order.versions {
                other.position += usize::from(other.position >= position);
            }
        }
        let order = world.orders.get_mut(&id).expect("the order was chosen from these");
        let last = order.versions.last().expect("every order has a version").clone();
        order.versions.push(VersionTruth {
            number: version.number,
            readability: breakage.readability(),
            position,
            ..last
        });
        world.versions.insert(position, version);
    }
}
