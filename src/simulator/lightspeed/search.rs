//! Finds sales, products and customers by what they are. Source: 2.0 description, `GET /search`.
//!
//! Assumed: texts are the same without regard to capitals, but for SKUs, of which the documentation says that the value must
//! be in small letters; what is found comes with the newest change first unless another order is asked for.

use chrono::{DateTime, Utc};

use super::{
    answers::{Record, View},
    query::{Kind, Parameters},
    route::Resource,
};

impl Kind {
    pub fn resource(self) -> Resource {
        match self {
            Self::Sales => Resource::Sales,
            Self::Products => Resource::Products,
            Self::Customers => Resource::Customers,
        }
    }
}

impl View<'_> {
    /// All that fit.
    pub fn found(self, kind: Kind, parameters: &Parameters) -> Result<Vec<Record>, String> {
        let (from, to) = (limit(parameters, "date_from")?, limit(parameters, "date_to")?);
        let with_deleted = parameters.with_deleted()?;
        let fits = |record: &Record| {
            let is_wanted = |name: &&str| {
                let mut wanted = parameters.values(name).peekable();
                let own = self.value(kind, name, record.at);
                wanted.peek().is_none() || wanted.any(|one| own.as_deref().is_some_and(|own| is_same(name, own, one)))
            };
            let is_excluded = |name: &str| {
                let own = self.value(kind, name, record.at);
                parameters.values(&format!("-{name}")).any(|one| own.as_deref() == Some(one))
            };
            let of_time = ["date_from", "date_to", "-sku"];
            let mut attributes = kind.attributes().iter().filter(|name| !of_time.contains(*name)).chain([&"_id"]);
            let is_in_time = kind != Kind::Sales || {
                let date = self.store.sales()[record.at].date;
                from.is_none_or(|from| date >= from) && to.is_none_or(|to| date <= to)
            };
            (with_deleted || !record.is_deleted)
                && is_in_time
                && attributes.all(is_wanted)
                && !["_id", "sku"].into_iter().any(is_excluded)
        };
        let mut found: Vec<Record> = self.records(kind.resource()).into_iter().filter(fits).collect();
        found.sort_by_key(|record| std::cmp::Reverse(record.version));
        if let Some(name) = parameters.get("order_by") {
            if !kind.attributes().contains(&name) {
                return Err(format!("cannot order by {name}"));
            }
            found.sort_by_key(|record| self.value(kind, name, record.at));
            if parameters.get("order_direction") == Some("desc") {
                found.reverse();
            }
        }
        Ok(found)
    }

    /// What a thing has of an attribute.
    fn value(self, kind: Kind, name: &str, at: usize) -> Option<String> {
        match kind {
            Kind::Sales => {
                let sale = &self.store.sales()[at];
                match name {
                    "_id" => Some(sale.id.clone()),
                    "status" => Some(sale.status().to_owned()),
                    "invoice_number" => Some(sale.invoice_number.clone()),
                    "customer_id" => sale.customer_id.clone(),
                    "user_id" => Some(sale.author_id.clone()),
                    "outlet_id" => Some(sale.outlet_id.clone()),
                    "date_from" | "date_to" => Some(sale.date.to_rfc3339()),
                    _ => None,
                }
            }
            Kind::Products => {
                let product = &self.store.products()[at];
                match name {
                    "_id" => Some(product.id.clone()),
                    "sku" => product.sku.as_ref().map(|sku| sku.to_lowercase()),
                    _ => None,
                }
            }
            Kind::Customers => {
                let customer = &self.store.customers()[at];
                let details = &customer.details;
                match name {
                    "_id" => Some(customer.id.clone()),
                    "customer_code" => Some(customer.code.clone()),
                    "first_name" => details.first_name.text().map(str::to_owned),
                    "last_name" => details.last_name.text().map(str::to_owned),
                    "company_name" => details.company_name.clone(),
                    "mobile" => details.mobile.clone(),
                    "phone" => details.phone.clone(),
                    "email" => details.email.clone(),
                    _ => None,
                }
            }
        }
    }
}

fn is_same(name: &str, own: &str, wanted: &str) -> bool {
    if name == "sku" { own == wanted } else { own.to_lowercase() == wanted.to_lowercase() }
}

/// UTC, in whole seconds and with a `Z`. Source: 2.0 description, `date_from`.
fn limit(parameters: &Parameters, name: &str) -> Result<Option<DateTime<Utc>>, String> {
    let read = |text: &str| {
        let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| text.ends_with('Z'));
        time.map(|time| time.to_utc()).ok_or_else(|| format!("{name} is no time of the form 2016-08-08T12:00:00Z"))
    };
    parameters.get(name).map(read).transpose()
}
