//! GUIDs that follow from what they name, so that one thing has one GUID whoever asks.
//!
//! Source: the contract of this sink, "Idempotency": UUID version 5 in a namespace of Scoffable's.

use uuid::{Uuid, uuid};

const NAMESPACE: Uuid = uuid!("df43840a-ad1b-55b9-b6cb-4d065c5dd5af");

/// The `n`-th document of a kind of an order, from 1.
pub fn of_document(order_id: &str, kind: &str, n: u32) -> String {
    of(&format!("order:{order_id}:{kind}:{n}"))
}

/// The `line`-th line of it, from 1.
pub fn of_line(order_id: &str, kind: &str, n: u32, line: usize) -> String {
    of(&format!("order:{order_id}:{kind}:{n}:line:{line}"))
}

pub fn of_product(key: &str) -> String {
    of(&format!("product:{key}"))
}

pub fn of_customer(code: &str) -> String {
    of(&format!("customer:{code}"))
}

fn of(name: &str) -> String {
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_those_of_the_contract() {
        assert_eq!(of_document("812345", "salesorder", 1), "037bcfca-f144-5757-9fe6-81611f2f14a8");
        assert_eq!(of_line("812345", "salesorder", 1, 1), "4e018476-970d-58bd-aabf-2b2342428fd5");
        assert_eq!(of_document("812345", "credit", 1), "b3b5301d-3616-59b5-a36f-3cba013abf19");
        assert_eq!(of_product("lamb bhuna"), "11ef4e3d-bdb4-5a07-9ad9-ad29644e0d5c");
    }
}
