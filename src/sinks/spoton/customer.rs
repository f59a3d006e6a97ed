//! Who ordered, where to and for when, as far as the configuration points to it and permits it. Nothing is made up.
//!
//! The platform does not publish where these stand in an order, so all of it comes through JSON pointers.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::{
    config::{AddressPointers, CustomerMode, CustomerPointers},
    wire::{Address, Customer},
};
use crate::config::pointer::Pointer;

/// What goes onto the ticket; none: nobody.
pub fn customer(mode: CustomerMode, pointers: &CustomerPointers, payload: &Value) -> Option<Customer> {
    let text = |pointer: &Option<Pointer>| pointer.as_ref().and_then(|at| at.text(payload)).map(str::to_owned);
    let whole = text(&pointers.name);
    let split = whole.as_deref().map(|name| name.split_once(' ').map_or((name, None), |(a, b)| (a, Some(b.trim()))));
    let found = Customer {
        first_name: text(&pointers.first_name).or_else(|| split.map(|(first, _)| first.to_owned())),
        last_name: text(&pointers.last_name).or_else(|| split.and_then(|(_, last)| last.map(str::to_owned))),
        email: text(&pointers.email),
        phone: text(&pointers.phone).and_then(|text| international(&text)),
    };
    let is_whole =
        [&found.first_name, &found.last_name, &found.email, &found.phone].iter().all(|field| field.is_some());
    let permitted = match mode {
        CustomerMode::None => Customer::default(),
        CustomerMode::Full if is_whole => found,
        CustomerMode::Full | CustomerMode::Minimal => Customer { last_name: None, email: None, ..found },
    };
    (permitted != Customer::default()).then_some(permitted)
}

/// Like `+14155550100`; none for a number whose country nobody tells. Source: the field's form in a public client.
fn international(text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.')).collect();
    let digits = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00"))?;
    let is_right = (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_right.then(|| format!("+{digits}"))
}

/// None without a first line.
pub fn address(pointers: &AddressPointers, payload: &Value) -> Option<Address> {
    let text = |pointer: &Option<Pointer>| pointer.as_ref().and_then(|at| at.text(payload)).map(str::to_owned);
    Some(Address {
        address_line_1: text(&pointers.address_line_1)?,
        address_line_2: text(&pointers.address_line_2),
        city: text(&pointers.city),
        state: text(&pointers.state),
        zip: text(&pointers.zip),
        country: text(&pointers.country),
    })
}

/// When the customer wants it. A time without a zone is the location's own; of an hour that comes twice the first.
pub fn requested_at(pointer: &Pointer, zone: Option<Tz>, payload: &Value) -> Option<DateTime<Utc>> {
    match pointer.value(payload)? {
        Value::Number(ms) => DateTime::from_timestamp_millis(ms.as_i64()?),
        Value::String(text) => {
            let text = text.trim();
            if let Ok(at) = DateTime::parse_from_rfc3339(text) {
                return Some(at.to_utc());
            }
            let local = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]
                .into_iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?;
            zone?.from_local_datetime(&local).earliest().map(|at| at.to_utc())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers() -> CustomerPointers {
        CustomerPointers {
            name: Some(Pointer::of("/who/name")),
            email: Some(Pointer::of("/who/email")),
            phone: Some(Pointer::of("/who/phone")),
            ..CustomerPointers::default()
        }
    }

    fn fields(mode: CustomerMode, who: &Value) -> Value {
        json!(customer(mode, &pointers(), &json!({ "who": who })))
    }

    #[test]
    fn the_mode_says_how_much_of_a_customer_is_told() {
        let ines = json!({"name": "Ines de la Cruz", "email": "ines@example.org", "phone": "+44 (20) 7946-0123"});

        assert_eq!(fields(CustomerMode::None, &ines), Value::Null);
        assert_eq!(fields(CustomerMode::Minimal, &ines), json!({"first_name": "Ines", "phone": "+442079460123"}));
        let all = json!({
            "first_name": "Ines", "last_name": "de la Cruz", "email": "ines@example.org", "phone": "+442079460123",
        });
        assert_eq!(fields(CustomerMode::Full, &ines), all);
    }

    #[test]
    fn a_customer_who_is_not_wholly_known_is_told_as_minimal_and_never_made_up() {
        let one_word = json!({"name": "Ines", "email": "ines@example.org", "phone": "+442079460123"});
        let no_email = json!({"name": "Ines Cruz", "phone": "+442079460123"});

        for who in [one_word, no_email] {
            let minimal = json!({"first_name": "Ines", "phone": "+442079460123"});
            assert_eq!(fields(CustomerMode::Full, &who), minimal, "{who}");
        }
        assert_eq!(fields(CustomerMode::Full, &json!({})), Value::Null);
        assert_eq!(fields(CustomerMode::Minimal, &json!({"phone": "020 7946 0123"})), Value::Null, "of which country?");
    }

    #[test]
    fn no_pointer_leads_to_no_customer_and_no_address() {
        let payload = json!({"customer": {"name": "Ines"}});

        assert_eq!(customer(CustomerMode::Full, &CustomerPointers::default(), &payload), None);
        assert_eq!(address(&AddressPointers::default(), &payload), None);
    }

    #[test]
    fn a_requested_time_without_a_zone_is_the_locations_own() {
        let at = |value: Value, zone| requested_at(&Pointer::of("/at"), zone, &json!({ "at": value }));
        let london = Some(Tz::Europe__London);
        let expected = "2026-07-14T18:00:00Z".parse().ok();

        assert_eq!(at(json!("2026-07-14T19:00:00"), london), expected);
        assert_eq!(at(json!("2026-07-14 19:00"), london), expected);
        assert_eq!(at(json!("2026-07-14T18:00:00Z"), None), expected);
        assert_eq!(at(json!(1_784_052_000_000_i64), None), expected);
        assert_eq!(at(json!("2026-07-14T19:00:00"), None), None);
        assert_eq!(at(json!("2026-03-29T01:30:00"), london), None, "the clock never shows it");
        assert_eq!(at(json!("2026-10-25T01:30:00"), london), "2026-10-25T00:30:00Z".parse().ok(), "it shows it twice");
        assert_eq!(at(json!("soon"), london), None);
    }
}
