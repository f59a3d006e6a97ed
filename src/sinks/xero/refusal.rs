//! What Xero's refusals mean. Their texts may echo a customer: they are compared, never kept.

use super::wire::{Message, Refusal};

/// Why a record was refused, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its date lies in a locked period. Source: waynerobinson/xeroizer, issue 92.
    LockDate,
    /// The document that it is about was paid, voided or deleted. Source: XeroAPI/xero-php-oauth2, issue 257.
    NotModifiable,
    /// Another active contact has the name. Source: Xero Accounting API, `Contact`.
    NameTaken,
    /// The number of a document is in use. Source: freakboy3742/pyxero, issue 328.
    NumberTaken,
    /// An account or a tax type is not there, is archived, or cannot be used so. Assumed: the words of the text.
    Mapping,
    /// What it is about is not there.
    NotFound,
    /// Nothing that we know.
    Other,
}

impl Why {
    /// `said` is in lower case.
    pub fn of(said: &str) -> Self {
        let says = |fragment: &str| said.contains(fragment);
        let is_gone =
            ["not valid", "not a valid", "not found", "does not exist", "doesn't exist", "invalid", "archived"];
        let names_mapping =
            ["account code", "tax type", "taxtype", "accountcode", "account type", "payments to this account"];
        if says("lock date") {
            Self::LockDate
        } else if says("not of valid status for modification") {
            Self::NotModifiable
        } else if says("already assigned to another contact") {
            Self::NameTaken
        } else if says("must be unique") {
            Self::NumberTaken
        } else if names_mapping.into_iter().any(says) && is_gone.into_iter().any(says) {
            Self::Mapping
        } else {
            Self::Other
        }
    }

    /// Of one record's errors.
    pub fn of_messages(messages: &[Message]) -> Self {
        let texts: Vec<&str> = messages.iter().filter_map(|message| message.message.as_deref()).collect();
        Self::of(&texts.join("\n").to_lowercase())
    }
}

/// Everything that a refusal as a whole says, in lower case.
pub fn said(body: &[u8]) -> String {
    Refusal::said(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_a_fragment_of_its_text() {
        let cases = [
            ("the document date cannot be before the end of year lock date", Why::LockDate),
            ("invoice not of valid status for modification", Why::NotModifiable),
            ("the contact name is already assigned to another contact", Why::NameTaken),
            ("invoice # must be unique.", Why::NumberTaken),
            ("account code '999' is not a valid code for this document.", Why::Mapping),
            ("the tax type 'output9' does not exist", Why::Mapping),
            ("the taxtype code 'x' cannot be used with account code '200'", Why::Other),
            ("the contact does not exist", Why::Other),
            ("", Why::Other),
        ];
        for (said, why) in cases {
            assert_eq!(Why::of(said), why, "{said}");
        }
    }
}
