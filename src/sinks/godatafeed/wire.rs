//! What is read and written, by the names and places that are configured.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::config::GodatafeedSettings;

/// An order that GoDataFeed holds and nobody has taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// GoDataFeed's own id.
    pub gdf_id: String,
    /// The marketplace's order number, trimmed.
    pub number: String,
    /// None: it tells none, or one without an offset, which may mean anything.
    pub purchased_at: Option<DateTime<Utc>>,
    /// Whether it is of the marketplace that is configured.
    pub is_of_channel: bool,
}

/// One answer to a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub orders: Vec<Listed>,
    /// Orders in the answer, those left out included.
    pub n_orders: usize,
    /// Orders whose id or number is not where it should be.
    pub n_unreadable: usize,
}

/// Why an answer with a good status lists nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    NotJson,
    /// It holds an error.
    Failed,
    /// The list, or the parts of its orders, are not where they should be.
    Elsewhere,
}

/// Reads one page of new orders.
pub fn page(body: &[u8], settings: &GodatafeedSettings) -> Result<Page, Unreadable> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| Unreadable::NotJson)?;
    if holds_error(&answer) {
        return Err(Unreadable::Failed);
    }
    let orders = match &settings.pointers.orders {
        Some(pointer) => answer.pointer(pointer),
        None => ["", "/orders", "/data"].iter().filter_map(|pointer| answer.pointer(pointer)).find(|v| v.is_array()),
    };
    let orders = orders.and_then(Value::as_array).ok_or(Unreadable::Elsewhere)?;
    let pointers = &settings.pointers;
    let mut page = Page { orders: Vec::new(), n_orders: orders.len(), n_unreadable: 0 };
    for order in orders {
        let at = |pointer: &str| order.pointer(pointer).and_then(text);
        if at(&pointers.status).is_some_and(|status| !status.eq_ignore_ascii_case(&settings.literals.new)) {
            continue; // the filter was not understood, or it has just been taken over
        }
        let Some((gdf_id, number)) = at(&pointers.id).zip(at(&pointers.number)) else {
            page.n_unreadable += 1;
            continue;
        };
        let purchased_at = at(&pointers.purchased_at).and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
        let channel = settings.channel_name.as_deref();
        page.orders.push(Listed {
            gdf_id,
            number,
            purchased_at: purchased_at.map(|at| at.to_utc()),
            is_of_channel: channel.is_none_or(|channel| at(&pointers.marketplace).as_deref() == Some(channel)),
        });
    }
    if page.n_unreadable > 0 && page.n_unreadable == page.n_orders {
        return Err(Unreadable::Elsewhere);
    }
    Ok(page)
}

/// The status of one order, wherever it stands in the answer.
pub fn status(body: &[u8], settings: &GodatafeedSettings) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let inside = ["", "/order", "/data"].iter().filter_map(|pointer| answer.pointer(pointer));
    inside.filter_map(|order| order.pointer(&settings.pointers.status)).find_map(text)
}

/// Whether an answer with a good status says that it failed. Assumed: some services answer so.
pub fn tells_error(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|answer| holds_error(&answer))
}

fn holds_error(answer: &Value) -> bool {
    ["error", "errors", "Error"].iter().filter_map(|member| answer.get(member)).any(|error| match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    })
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A body of texts, in their order.
struct Texts<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

fn body(fields: &[(&str, &str)]) -> String {
    serde_json::to_string(&Texts(fields)).expect("plain data")
}

/// Tells under which number the other system holds the order.
pub fn acknowledgement(number: &str, settings: &GodatafeedSettings) -> String {
    body(&[(&settings.fields.destination_number, number)])
}

/// What is told of a shipment.
#[derive(Debug, Clone, Copy)]
pub struct Shipment<'a> {
    pub ship_date: &'a str,
    pub tracking_number: Option<&'a str>,
    pub carrier: Option<&'a str>,
}

pub fn shipment(shipment: Shipment<'_>, settings: &GodatafeedSettings) -> String {
    let names = &settings.fields;
    let mut fields = vec![
        (names.status.as_str(), settings.literals.shipped.as_str()),
        (names.ship_date.as_str(), shipment.ship_date),
    ];
    fields.extend(shipment.tracking_number.map(|number| (names.tracking_number.as_str(), number)));
    fields.extend(shipment.carrier.map(|carrier| (names.carrier.as_str(), carrier)));
    body(&fields)
}

pub fn cancellation(settings: &GodatafeedSettings) -> String {
    body(&[(&settings.fields.status, &settings.literals.cancelled)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sinks::godatafeed::plan::tests::settings;

    fn read(answer: &Value, keys: &[(&str, &str)]) -> Result<Page, Unreadable> {
        page(answer.to_string().as_bytes(), &settings(keys))
    }

    fn sample() -> Value {
        json!({
            "id": "G-300417", "marketplaceOrderNumber": "5512087", "marketplace": "Scoffable", "status": "NEW",
            "orderDate": "2026-03-14T18:02:11Z"
        })
    }

    #[test]
    fn a_list_is_found_where_it_may_be() {
        for answer in [json!([sample()]), json!({"orders": [sample()]}), json!({"data": [sample()], "errors": []})] {
            let page = read(&answer, &[]).unwrap();
            let listed = Listed {
                gdf_id: "G-300417".to_owned(),
                number: "5512087".to_owned(),
                purchased_at: Some("2026-03-14T18:02:11Z".parse().unwrap()),
                is_of_channel: true,
            };
            assert_eq!(page, Page { orders: vec![listed], n_orders: 1, n_unreadable: 0 }, "{answer}");
        }
        let deep = json!({"result": {"list": [{"order": {"key": 7, "ref": " 12 "}}]}});
        let keys =
            [("pointers.orders", "/result/list"), ("pointers.id", "/order/key"), ("pointers.number", "/order/ref")];
        let page = read(&deep, &keys).unwrap();
        assert_eq!((page.orders[0].gdf_id.as_str(), page.orders[0].number.as_str()), ("7", "12"));
    }

    #[test]
    fn only_new_orders_of_the_channel_count_and_a_time_without_offset_is_none() {
        let with = |key: &str, value: Value| {
            let mut order = sample();
            order[key] = value;
            order
        };
        let answer = json!([
            with("status", json!("SHIPPED")),
            with("marketplace", json!("Elsewhere")),
            with("orderDate", json!("2026-03-14T18:02:11")),
            with("id", Value::Null),
        ]);

        let page = read(&answer, &[("channel_name", "Scoffable")]).unwrap();

        let seen: Vec<_> =
            page.orders.iter().map(|order| (order.is_of_channel, order.purchased_at.is_some())).collect();
        assert_eq!(seen, [(false, true), (true, false)]);
        assert_eq!((page.n_orders, page.n_unreadable), (4, 1));
    }

    #[test]
    fn an_answer_without_a_list_says_what_is_wrong_with_it() {
        assert_eq!(page(b"<html>", &settings(&[])), Err(Unreadable::NotJson));
        assert_eq!(read(&json!({"error": "no"}), &[]), Err(Unreadable::Failed));
        assert_eq!(read(&json!({"items": []}), &[]), Err(Unreadable::Elsewhere));
        assert_eq!(read(&json!([{"no": 1}, {"no": 2}]), &[]), Err(Unreadable::Elsewhere));
        assert_eq!(read(&json!([]), &[]).unwrap().n_orders, 0);
    }

    #[test]
    fn an_error_inside_a_good_answer_is_one_unless_it_is_empty() {
        let fine =
            ["", "ok", "{}", "[]", r#"{"error":null}"#, r#"{"errors":[]}"#, r#"{"Error":""}"#, r#"{"error":{}}"#];
        for body in fine {
            assert!(!tells_error(body.as_bytes()), "{body}");
        }
        for body in [r#"{"error":"x"}"#, r#"{"errors":["x"]}"#, r#"{"Error":{"code":1}}"#, r#"{"error":true}"#] {
            assert!(tells_error(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn the_status_of_one_order_is_found_where_it_may_be() {
        for body in [r#"{"status":"SHIPPED"}"#, r#"{"order":{"status":"SHIPPED"}}"#, r#"{"data":{"status":"SHIPPED"}}"#]
        {
            assert_eq!(status(body.as_bytes(), &settings(&[])).as_deref(), Some("SHIPPED"));
        }
        assert_eq!(status(b"{}", &settings(&[])), None);
    }
}
