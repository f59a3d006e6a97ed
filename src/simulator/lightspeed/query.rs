//! Query strings. Observed (notes on third-party connectors): a parameter nobody knows is ignored without a word. It is
//! reported all the same: a client that sends one takes a list for filtered that is not.

use super::route::Operation;

/// Source: 2.0 description, the operations' `page_size`.
const DEFAULT_PAGE_SIZE: usize = 100;
/// Source: 2.0 description, search: "currently limited to 1000"; more are cut back to that.
const MAX_SEARCH: usize = 1_000;

/// What a search knows beside its attributes.
const OF_SEARCHES: [&str; 8] = ["type", "order_by", "order_direction", "page_size", "offset", "_id", "-_id", "deleted"];
const OF_SALES: [&str; 7] = ["date_from", "date_to", "status", "invoice_number", "customer_id", "user_id", "outlet_id"];
/// Source: 2.0 description, search. Those by supplier, brand, tag, type and variant find nothing here, where there are none.
const OF_PRODUCTS: [&str; 2] = ["sku", "-sku"];
const OF_CUSTOMERS: [&str; 7] =
    ["customer_code", "first_name", "last_name", "company_name", "mobile", "phone", "email"];

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sales,
    Products,
    Customers,
}

impl Kind {
    pub fn scope(self) -> &'static str {
        match self {
            Self::Sales => "sales:read",
            Self::Products => "products:read",
            Self::Customers => "customers:read",
        }
    }

    pub fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Sales => &OF_SALES,
            Self::Products => &OF_PRODUCTS,
            Self::Customers => &OF_CUSTOMERS,
        }
    }
}

/// The parameters of one request, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    all: Vec<(String, String)>,
    pub unknown: Vec<String>,
}

impl Parameters {
    pub fn read(query: &str, operation: Operation) -> Self {
        let url = reqwest::Url::parse(&format!("query:?{query}"));
        let pairs: Vec<(String, String)> = url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
        let mut parameters = Self { all: pairs, unknown: Vec::new() };
        let kind = parameters.kind().ok();
        let is_known = |name: &str| match operation {
            Operation::List(resource) => resource.parameters().contains(&name),
            Operation::Search => {
                OF_SEARCHES.contains(&name) || kind.is_some_and(|kind| kind.attributes().contains(&name))
            }
            Operation::ReadStock => ["after", "before", "page_size"].contains(&name),
            _ => false,
        };
        let (known, unknown): (Vec<_>, Vec<_>) = parameters.all.into_iter().partition(|(name, _)| is_known(name));
        parameters.all = known;
        parameters.unknown = unknown.into_iter().map(|(name, _)| name).collect();
        parameters
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Some may be there several times: one of them is enough.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all.iter().filter(move |(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub fn kind(&self) -> Result<Kind, String> {
        match self.get("type") {
            Some("sales") => Ok(Kind::Sales),
            Some("products") => Ok(Kind::Products),
            Some("customers") => Ok(Kind::Customers),
            Some(other) => Err(format!("nothing is of the type {other}")),
            None => Err("type is missing".to_owned()),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, String> {
        self.get(name).map(|text| text.parse().map_err(|_| format!("{name} is no number"))).transpose()
    }

    pub fn with_deleted(&self) -> Result<bool, String> {
        match self.get("deleted") {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err("deleted is neither true nor false".to_owned()),
        }
    }

    pub fn page_size(&self, most: usize) -> Result<usize, String> {
        let size = self.number("page_size")?.map_or(DEFAULT_PAGE_SIZE, |size| size as usize);
        if size == 0 {
            return Err("page_size is 0".to_owned());
        }
        Ok(size.min(most))
    }

    /// Where a page of a search begins and how long it is.
    pub fn part(&self) -> Result<(usize, usize), String> {
        Ok((self.number("offset")?.unwrap_or_default() as usize, self.page_size(MAX_SEARCH)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::lightspeed::Resource;

    #[test]
    fn what_nobody_knows_is_left_out_and_told() {
        let sales = Parameters::read("after=7&page_size=500&date_from=x", Operation::List(Resource::Sales));
        let search = Parameters::read("type=products&sku=a&sku=b&email=c", Operation::Search);

        assert_eq!((sales.number("after"), sales.page_size(200)), (Ok(Some(7)), Ok(200)));
        assert_eq!((sales.unknown, sales.all.len()), (vec!["date_from".to_owned()], 2));
        assert_eq!(search.values("sku").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(search.unknown, ["email"], "that is of customers");
        assert_eq!(search.part(), Ok((0, 100)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let read = |query| Parameters::read(query, Operation::List(Resource::Products));

        assert!(read("page_size=0").page_size(200).is_err());
        assert!(read("after=x").number("after").is_err());
        assert!(read("deleted=maybe").with_deleted().is_err());
        assert!(Parameters::read("sku=a", Operation::Search).kind().is_err());
    }
}
