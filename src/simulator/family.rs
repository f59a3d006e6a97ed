//! Which Scoffable order a document, a payment or a journal is of, by its number, reference or narration.

use serde::Serialize;

/// What a document is to its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The first invoice or sales order.
    First,
    /// Another one in place of what was taken back.
    Again(u32),
    Supplement(u32),
    Credit(u32),
    /// A payment: its number, and the round of payments it belongs to.
    Payment(u32, u32),
    /// A manual journal.
    Journal(u32),
}

/// `SCF-812345`, `SCF-812345-R2`, `-S1`, `-C1`, of a payment `SCF-812345-P1-1`, of a journal `SCF-812345-J1: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The order's id; it may have hyphens itself.
    pub order: String,
    pub role: Role,
}

impl Member {
    /// None for what is named in another way.
    pub fn of_document(number: &str, prefix: &str) -> Option<Self> {
        let rest = number.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
        if let Some((order, suffix)) = rest.rsplit_once('-')
            && let Some((letter, digits)) = suffix.split_at_checked(1)
            && let Some(number) = plain_number(digits)
            && !order.is_empty()
        {
            let role = match letter {
                "R" => Some(Role::Again(number)),
                "S" => Some(Role::Supplement(number)),
                "C" => Some(Role::Credit(number)),
                _ => None,
            };
            if let Some(role) = role {
                return Some(Self { order: order.to_owned(), role });
            }
        }
        Some(Self { order: rest.to_owned(), role: Role::First })
    }

    pub fn of_payment(reference: &str, prefix: &str) -> Option<Self> {
        let (rest, round) = reference.strip_prefix(prefix)?.rsplit_once('-')?;
        let (order, number) = rest.rsplit_once("-P")?;
        let role = Role::Payment(plain_number(number)?, plain_number(round)?);
        (!order.is_empty()).then(|| Self { order: order.to_owned(), role })
    }

    pub fn of_journal(narration: &str, prefix: &str) -> Option<Self> {
        let (named, _) = narration.split_once(": ")?;
        let (order, number) = named.strip_prefix(prefix)?.rsplit_once("-J")?;
        let role = Role::Journal(plain_number(number)?);
        (!order.is_empty()).then(|| Self { order: order.to_owned(), role })
    }
}

/// Without a zero in front.
fn plain_number(digits: &str) -> Option<u32> {
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_found_whatever_hyphens_its_id_has() {
        let of = |number| Member::of_document(number, "SCF-").map(|member| (member.order, member.role));

        assert_eq!(of("SCF-812345"), Some(("812345".to_owned(), Role::First)));
        assert_eq!(of("SCF-so-1a2b-000003"), Some(("so-1a2b-000003".to_owned(), Role::First)));
        assert_eq!(of("SCF-so-1a2b-000003-R2"), Some(("so-1a2b-000003".to_owned(), Role::Again(2))));
        assert_eq!(of("SCF-1-S10"), Some(("1".to_owned(), Role::Supplement(10))));
        assert_eq!(of("SCF-1-C1"), Some(("1".to_owned(), Role::Credit(1))));
        assert_eq!([of("INV-0001"), of("SCF-")], [None, None]);
    }

    #[test]
    fn a_payment_tells_its_number_and_round() {
        let of = |reference| Member::of_payment(reference, "SCF-").map(|member| (member.order, member.role));

        assert_eq!(of("SCF-so-1a-03-P2-11"), Some(("so-1a-03".to_owned(), Role::Payment(2, 11))));
        assert_eq!([of("SCF-1-P0-1"), of("SCF-1-P1"), of("paid")], [None, None, None]);
    }

    #[test]
    fn a_journal_begins_with_its_order_and_number() {
        let of = |narration| Member::of_journal(narration, "SCF-").map(|member| (member.order, member.role));

        assert_eq!(of("SCF-so-1a-03-J2: Scoffable so-1a-03 v4"), Some(("so-1a-03".to_owned(), Role::Journal(2))));
        assert_eq!([of("SCF-1-J0: x"), of("SCF-1-J1"), of("Depreciation: May")], [None, None, None]);
    }
}
