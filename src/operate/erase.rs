//! Erasing what is personal of orders, or of everything of one customer.
//!
//! A customer is told by what an order says of him: by the id that a sink's `customer_fields` point to, or by an e-mail,
//! wherever an order has it. His key is written down nowhere.

use std::{collections::BTreeSet, ops::ControlFlow};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Contradiction, Desk, Step, Watch, stored::Wish};
use crate::{
    domain::ids::{OrderKey, SourceName},
    sinks::customers::{Customers, customer_of},
    store::{
        erasure::{self, Personal, Traces},
        operations::{Operated, OperationError, Refusal},
    },
};

/// Versions looked through in one step.
const STRETCH: u32 = 2_000;

/// Whose personal data is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Of these orders.
    Orders(Vec<String>),
    /// Of every order of the customer with this id or e-mail.
    Customer(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawErase")]
pub struct Erase {
    pub whose: Whose,
    pub source: Option<SourceName>,
    pub wish: Wish,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawErase {
    #[serde(default)]
    orders: Vec<String>,
    customer: Option<String>,
    source: Option<SourceName>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    yes: bool,
}

impl TryFrom<RawErase> for Erase {
    type Error = Contradiction;

    fn try_from(raw: RawErase) -> std::result::Result<Self, Contradiction> {
        let RawErase { orders, customer, source, dry_run, yes } = raw;
        Ok(Self { whose: Whose::of(orders, customer)?, source, wish: Wish::of(dry_run, yes) })
    }
}

impl Whose {
    /// Either orders or a customer.
    pub fn of(orders: Vec<String>, customer: Option<String>) -> std::result::Result<Self, Contradiction> {
        let customer = customer.map(|key| key.trim().to_owned());
        match customer {
            None => Ok(Self::Orders(super::named(orders)?)),
            Some(_) if !orders.is_empty() => Err(Contradiction("name orders or a customer, not both")),
            Some(key) if key.is_empty() => Err(Contradiction("`customer` must not be empty")),
            Some(key) => Ok(Self::Customer(key)),
        }
    }
}

/// What was erased or, without consent, would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// By source and id.
    pub orders: Vec<OfOrder>,
    /// Beside the orders.
    pub customers: Traces,
    /// False: nothing was changed.
    pub erased: bool,
    /// Nothing that was asked for is left undone.
    pub finished: bool,
}

/// One order of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfOrder {
    pub source: SourceName,
    pub order_id: String,
    #[serde(flatten)]
    pub personal: Personal,
}

impl Erased {
    /// How much there was, or is.
    pub fn total(&self) -> u64 {
        let of_orders: u64 = self.orders.iter().map(|order| order.personal.total()).sum();
        of_orders + self.customers.links + self.customers.quarantine
    }
}

/// Erases what was asked for, if there is consent; else says what it would touch. Refused as a whole while one of the orders
/// is still owed to a sink.
pub async fn erase(desk: Desk<'_>, customers: &[Customers], erase: &Erase, watch: Watch<'_>) -> Operated<Erased> {
    let mut erased =
        Erased { orders: Vec::new(), customers: Traces::default(), erased: erase.wish == Wish::Do, finished: false };
    let orders = match &erase.whose {
        Whose::Orders(ids) => erasure::named(desk.pool, erase.source.as_ref(), ids).await?,
        Whose::Customer(key) => {
            must_not_be_written_down(desk, key)?;
            match orders_of(desk, customers, key, erase.source.as_ref(), watch).await? {
                ControlFlow::Continue(orders) => orders,
                ControlFlow::Break(()) => return Ok(Erased { erased: false, ..erased }),
            }
        }
    };
    let surveyed = erasure::survey(desk.pool, &orders).await?;
    let owed = surveyed.iter().filter(|order| !order.owed.is_empty());
    let refusals: Vec<Refusal> = owed
        .map(|order| Refusal::StillOwed { order_id: order.order.order_id.to_string(), sinks: order.owed.clone() })
        .collect();
    if !refusals.is_empty() {
        return Err(OperationError::Refused(refusals));
    }
    // Before the orders are: who is linked stands in them.
    let mut keys = BTreeSet::new();
    for payload in erasure::payloads(desk.pool, &orders).await? {
        keys.extend(emails(&payload));
    }
    let texts: Vec<String> = match &erase.whose {
        Whose::Customer(key) => {
            keys.extend([key.clone(), key.to_lowercase()]);
            is_email(key).then(|| key.to_lowercase()).into_iter().collect()
        }
        Whose::Orders(_) => Vec::new(),
    };
    let keys: Vec<String> = keys.into_iter().collect();
    let of = surveyed.len() as u64;
    for order in surveyed {
        let personal = match erase.wish {
            Wish::Do => match erasure::erase(desk.pool, &order.order, desk.by, desk.offset_ms).await {
                // A version came meanwhile; what was erased before it is told.
                Err(OperationError::Refused(_)) if !erased.orders.is_empty() => return Ok(erased),
                done => done?,
            },
            Wish::DryRun | Wish::Ask => order.personal,
        };
        let OrderKey { source, order_id } = order.order;
        erased.orders.push(OfOrder { source, order_id: order_id.to_string(), personal });
        if watch(Step { done: erased.orders.len() as u64, of: Some(of) }).is_break()
            && (erased.orders.len() as u64) < of
        {
            return Ok(erased);
        }
    }
    erased.customers = match erase.wish {
        Wish::Do => erasure::erase_traces(desk.pool, &keys, &texts, desk.by, desk.offset_ms).await?,
        Wish::DryRun | Wish::Ask => erasure::traces(desk.pool, &keys, &texts).await?,
    };
    erased.finished = true;
    Ok(erased)
}

/// Who and why stay for good.
fn must_not_be_written_down(desk: Desk<'_>, key: &str) -> Operated<()> {
    let key = key.to_lowercase();
    let told = [Some(desk.by.who), desk.by.why];
    if told.into_iter().flatten().any(|text| text.to_lowercase().contains(&key)) {
        return Err(Refusal::NamesCustomer.into());
    }
    Ok(())
}

/// The orders that name this customer; broken off by whoever watches.
async fn orders_of(
    desk: Desk<'_>,
    customers: &[Customers],
    key: &str,
    source: Option<&SourceName>,
    watch: Watch<'_>,
) -> Operated<ControlFlow<(), Vec<OrderKey>>> {
    let pointed_to = customers.iter().any(|customers| customers.fields.id.is_some());
    if !is_email(key) && !pointed_to {
        return Err(Refusal::UnknownCustomerField.into());
    }
    let text = key.to_lowercase();
    let mut found: Vec<OrderKey> = Vec::new();
    let (mut last, mut looked_through) = (None, 0);
    loop {
        let mentions = erasure::mentions(desk.pool, &text, source, last.as_ref(), STRETCH).await?;
        for (order, payload) in mentions.of {
            // The versions of an order stand side by side.
            if found.last() != Some(&order) && names(&payload, key, customers) {
                found.push(order);
            }
        }
        last = mentions.last;
        if last.is_none() {
            return Ok(ControlFlow::Continue(found));
        }
        looked_through += u64::from(STRETCH);
        if watch(Step { done: looked_through, of: None }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// Whether an order names the customer with this id or e-mail.
fn names(payload: &str, key: &str, customers: &[Customers]) -> bool {
    let has_id = |customers: &Customers| customer_of(customers, payload).is_some_and(|c| c.id.as_deref() == Some(key));
    customers.iter().any(has_id) || is_email(key) && emails(payload).contains(&key.to_lowercase())
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty())
}

/// Every e-mail of an order, in lower case.
fn emails(payload: &str) -> BTreeSet<String> {
    let mut emails = BTreeSet::new();
    if let Ok(payload) = serde_json::from_str(payload) {
        collect(&payload, &mut emails);
    }
    emails
}

fn collect(value: &Value, emails: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let text = text.trim();
            if is_email(text) {
                emails.insert(text.to_lowercase());
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, emails)),
        Value::Object(entries) => entries.values().for_each(|value| collect(value, emails)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The customers' settings of every sink that has any: where an order names its customer.
pub fn customers(settings: &crate::config::Settings) -> Vec<Customers> {
    settings.sinks.values().filter_map(|sink| sink.kind.customers()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_whoever_has_the_e_mail_wherever_it_stands_and_however_it_is_written() {
        let payload = r#"{"customer": {"mail": " J\u0051@Example.org "}, "items": [{"name": "a@b"}], "id": 7}"#;

        assert!(names(payload, "jq@example.org", &[]));
        assert!(names(payload, "A@B", &[]));
        assert!(!names(payload, "q@example.org", &[]));
        assert!(!names(payload, "7", &[]), "an id only where a sink says where it stands");
        assert!(!names("no JSON: jq@example.org", "jq@example.org", &[]));
    }

    #[test]
    fn orders_or_a_customer_are_named_and_not_both() {
        let of = |orders: &[&str], customer: Option<&str>| {
            Whose::of(orders.iter().map(|id| (*id).to_owned()).collect(), customer.map(str::to_owned))
        };

        assert!(of(&[], None).is_err());
        assert!(of(&["A-1"], Some("a@b")).is_err());
        assert!(of(&[], Some(" ")).is_err());
        assert_eq!(of(&[], Some(" a@b ")).unwrap(), Whose::Customer("a@b".to_owned()));
    }
}
