//! The XML a client gets that does not ask for JSON.

use std::fmt::Write;

use serde_json::Value;

pub(super) use crate::simulator::json::{Json, Object, extended};

/// The same in XML. Observed (dev.to, "Xero API Integration Guide (2026)"): that is the format without an `Accept`.
pub(super) fn to_xml(json: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let mut text = "<Response>".to_owned();
    write_xml(&value, &mut text);
    text.push_str("</Response>");
    text
}

fn write_xml(value: &Value, into: &mut String) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                into.push('<');
                into.push_str(name);
                into.push('>');
                if let Value::Array(elements) = value {
                    let singular = name.strip_suffix('s').unwrap_or(name);
                    for element in elements {
                        // Writing to a text does not fail.
                        let _ = write!(into, "<{singular}>");
                        write_xml(element, into);
                        let _ = write!(into, "</{singular}>");
                    }
                } else {
                    write_xml(value, into);
                }
                into.push_str("</");
                into.push_str(name);
                into.push('>');
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| write_xml(element, into)),
        Value::String(text) => {
            into.push_str(&text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => into.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_list_is_named_in_the_singular() {
        assert_eq!(
            to_xml(r#"{"Invoices":[{"Total":18.00,"Reference":"a & b"}]}"#),
            "<Response><Invoices><Invoice><Reference>a &amp; b</Reference><Total>18.0</Total></Invoice></Invoices></Response>"
        );
    }
}
