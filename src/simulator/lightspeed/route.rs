//! Which operation a path and a method are, and what a token needs for it.
//!
//! Source: X-Series API 2.0 description, paths; the sales tutorials of the legacy and the date-versioned API; Lightspeed,
//! "OAuth scopes". Assumed: what the 2.0 API reads is read under a dated version in the same form, but for sales.

use std::fmt;

use axum::http::{Method, StatusCode};
use serde::Serialize;

/// What is read in lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Sales,
    Customers,
    Products,
    Inventory,
    Registers,
    Outlets,
    Users,
    Taxes,
    PaymentTypes,
}

impl Resource {
    const ALL: [Self; 9] = [
        Self::Sales,
        Self::Customers,
        Self::Products,
        Self::Inventory,
        Self::Registers,
        Self::Outlets,
        Self::Users,
        Self::Taxes,
        Self::PaymentTypes,
    ];

    /// In a path, and before the colon of a scope.
    pub fn segment(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Customers => "customers",
            Self::Products => "products",
            Self::Inventory => "inventory",
            Self::Registers => "registers",
            Self::Outlets => "outlets",
            Self::Users => "users",
            Self::Taxes => "taxes",
            Self::PaymentTypes => "payment_types",
        }
    }

    /// Whether one can be read by its id.
    fn has_ids(self) -> bool {
        !matches!(self, Self::Inventory | Self::Taxes | Self::PaymentTypes)
    }

    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Customers | Self::Registers | Self::Outlets => &["after", "before", "page_size", "deleted"],
            Self::Products => &["after", "before", "page_size", "deleted", "sku", "name", "family_name"],
            Self::Sales | Self::Inventory | Self::Users | Self::Taxes | Self::PaymentTypes => {
                &["after", "before", "page_size"]
            }
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Retailer,
    CurrentUser,
    Search,
    List(Resource),
    /// One, by its id.
    Read(Resource),
    /// `GET /products/{id}/inventory`
    ReadStock,
    /// `GET /api/register_sales/{id}`
    ReadLegacySale,
    /// `POST /api/{version}/sales`
    CreateSale,
    /// `PUT /api/{version}/sales/{id}`
    UpdateSale,
    /// `POST /api/register_sales`: creates and updates.
    SaveLegacySale,
    StartReturn,
    CreateCustomer,
    UpdateCustomer,
    DeleteCustomer,
    CreateProduct,
    DeleteProduct,
    OpenRegister,
    CloseRegister,
}

impl Operation {
    pub fn is_write(self) -> bool {
        match self {
            Self::Retailer
            | Self::CurrentUser
            | Self::Search
            | Self::List(_)
            | Self::Read(_)
            | Self::ReadStock
            | Self::ReadLegacySale => false,
            Self::CreateSale
            | Self::UpdateSale
            | Self::SaveLegacySale
            | Self::StartReturn
            | Self::CreateCustomer
            | Self::UpdateCustomer
            | Self::DeleteCustomer
            | Self::CreateProduct
            | Self::DeleteProduct
            | Self::OpenRegister
            | Self::CloseRegister => true,
        }
    }

    /// All of these are needed. A search needs that of what it looks for. Assumed for the legacy API: those of sales.
    pub(super) fn scopes(self) -> Vec<String> {
        let one = match self {
            Self::Search => return Vec::new(),
            Self::StartReturn => return vec!["sales:write".to_owned(), "users:read".to_owned()],
            Self::Retailer => "retailer:read",
            Self::CurrentUser => "users:read",
            Self::List(resource) | Self::Read(resource) => return vec![format!("{}:read", resource.segment())],
            Self::ReadStock => "inventory:read",
            Self::ReadLegacySale => "sales:read",
            Self::CreateSale | Self::UpdateSale | Self::SaveLegacySale => "sales:write",
            Self::CreateCustomer | Self::UpdateCustomer | Self::DeleteCustomer => "customers:write",
            Self::CreateProduct | Self::DeleteProduct => "products:write",
            Self::OpenRegister => "register:open",
            Self::CloseRegister => "register:close",
        };
        vec![one.to_owned()]
    }
}

/// A date-versioned API, by year and month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    pub year: u16,
    pub month: u8,
}

impl Release {
    pub const fn new(year: u16, month: u8) -> Self {
        Self { year, month }
    }

    /// The version whose rules for returns and postal codes are stricter than those before.
    pub(super) const STRICT: Self = Self::new(2026, 7);

    fn read(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2)?;
        Some(Self { year: year.parse().ok()?, month: month.parse().ok()? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Which of the three generations of the API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Generation {
    /// 0.9, without a version in the path.
    Legacy,
    /// 2.0
    Semantic,
    Dated(Release),
}

impl Generation {
    /// From this version on, the rules of 2026-07 hold.
    pub(super) fn is_strict(self) -> bool {
        matches!(self, Self::Dated(release) if release >= Release::STRICT)
    }
}

/// Where a request leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) operation: Operation,
    pub(super) generation: Generation,
    /// Of the thing itself; empty where none is in the path.
    pub(super) id: String,
}

const NO_SUCH_PATH: (StatusCode, &str) = (StatusCode::NOT_FOUND, "no such path");
const WRONG_METHOD: (StatusCode, &str) = (StatusCode::METHOD_NOT_ALLOWED, "no such method here");

/// `releases` are the live ones, oldest first.
pub(super) fn route(method: &Method, path: &str, releases: &[Release]) -> Result<Route, (StatusCode, &'static str)> {
    let rest = path.strip_prefix("/api/").ok_or(NO_SUCH_PATH)?;
    let segments: Vec<&str> = rest.split('/').collect();
    if segments[0] == "register_sales" {
        return legacy(method, &segments[1..]);
    }
    let generation = generation(segments[0], releases).ok_or(NO_SUCH_PATH)?;
    let is_dated = matches!(generation, Generation::Dated(_));
    let (is_get, is_post, is_put) = (method == Method::GET, method == Method::POST, method == Method::PUT);
    let is_delete = method == Method::DELETE;
    let found = |operation, id: &str| Ok(Route { operation, generation, id: id.to_owned() });
    match segments[1..] {
        ["retailer"] if is_get => found(Operation::Retailer, ""),
        ["user"] if is_get => found(Operation::CurrentUser, ""),
        ["search"] if is_get => found(Operation::Search, ""),
        ["sales"] if is_post && is_dated => found(Operation::CreateSale, ""),
        ["sales", id] if is_put && is_dated => found(Operation::UpdateSale, id),
        ["sales", id, "actions", "return"] if (is_dated && is_post) || (!is_dated && is_put) => {
            found(Operation::StartReturn, id)
        }
        ["customers"] if is_post => found(Operation::CreateCustomer, ""),
        ["customers", id] if is_put => found(Operation::UpdateCustomer, id),
        ["customers", id] if is_delete => found(Operation::DeleteCustomer, id),
        ["products"] if is_post => found(Operation::CreateProduct, ""),
        ["products", id] if is_delete => found(Operation::DeleteProduct, id),
        ["products", id, "inventory"] if is_get => found(Operation::ReadStock, id),
        ["registers", id, "actions", "open"] if is_put => found(Operation::OpenRegister, id),
        ["registers", id, "actions", "close"] if is_put => found(Operation::CloseRegister, id),
        ["retailer" | "user" | "search"]
        | ["sales", _, "actions", "return"]
        | ["products", _, "inventory"]
        | ["registers", _, "actions", "open" | "close"] => Err(WRONG_METHOD),
        [name] | [name, _] => {
            let resource = Resource::ALL.into_iter().find(|one| one.segment() == name).ok_or(NO_SUCH_PATH)?;
            match segments[1..] {
                [_] if is_get => found(Operation::List(resource), ""),
                [_, id] if is_get && resource.has_ids() => found(Operation::Read(resource), id),
                [_, _] if !resource.has_ids() => Err(NO_SUCH_PATH),
                _ => Err(WRONG_METHOD),
            }
        }
        _ => Err(NO_SUCH_PATH),
    }
}

fn legacy(method: &Method, rest: &[&str]) -> Result<Route, (StatusCode, &'static str)> {
    let found = |operation, id: &str| Ok(Route { operation, generation: Generation::Legacy, id: id.to_owned() });
    match rest {
        [] if method == Method::POST => found(Operation::SaveLegacySale, ""),
        [id] if method == Method::GET => found(Operation::ReadLegacySale, id),
        [] | [_] => Err(WRONG_METHOD),
        _ => Err(NO_SUCH_PATH),
    }
}

/// Observed (summary of the owner's pages): a version that has expired is answered by the oldest live one.
fn generation(segment: &str, releases: &[Release]) -> Option<Generation> {
    if segment == "2.0" {
        return Some(Generation::Semantic);
    }
    let asked = Release::read(segment)?;
    let oldest = *releases.first()?;
    if asked < oldest {
        return Some(Generation::Dated(oldest));
    }
    releases.contains(&asked).then_some(Generation::Dated(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: [Release; 2] = [Release::new(2026, 4), Release::new(2026, 7)];

    fn of(method: &Method, path: &str) -> Result<(Operation, Generation), u16> {
        let route = route(method, path, &LIVE);
        route.map(|route| (route.operation, route.generation)).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn sales_are_created_in_the_dated_and_the_legacy_api_only() {
        let newest = Generation::Dated(LIVE[1]);

        assert_eq!(of(&Method::POST, "/api/2026-07/sales"), Ok((Operation::CreateSale, newest)));
        assert_eq!(of(&Method::PUT, "/api/2026-07/sales/1"), Ok((Operation::UpdateSale, newest)));
        assert_eq!(of(&Method::POST, "/api/register_sales"), Ok((Operation::SaveLegacySale, Generation::Legacy)));
        assert_eq!(of(&Method::POST, "/api/2.0/sales"), Err(405));
        assert_eq!(of(&Method::PUT, "/api/2.0/sales/1"), Err(405));
    }

    #[test]
    fn a_return_is_started_by_post_in_the_dated_api_and_by_put_in_2_0() {
        let path = |version: &str| format!("/api/{version}/sales/1/actions/return");
        let operation = |method: &Method, version: &str| of(method, &path(version)).map(|(operation, _)| operation);

        assert_eq!(operation(&Method::POST, "2026-07"), Ok(Operation::StartReturn));
        assert_eq!(operation(&Method::PUT, "2.0"), Ok(Operation::StartReturn));
        assert_eq!([operation(&Method::PUT, "2026-07"), operation(&Method::POST, "2.0")], [Err(405), Err(405)]);
    }

    #[test]
    fn an_expired_version_is_answered_by_the_oldest_live_one_and_one_to_come_is_not() {
        let retailer =
            |version| of(&Method::GET, &format!("/api/{version}/retailer")).map(|(_, generation)| generation);

        assert_eq!(retailer("2026-01"), Ok(Generation::Dated(LIVE[0])));
        assert_eq!(retailer("2026-07"), Ok(Generation::Dated(LIVE[1])));
        assert_eq!(retailer("2.0"), Ok(Generation::Semantic));
        assert_eq!([retailer("2026-10"), retailer("2026-05"), retailer("3.0")], [Err(404), Err(404), Err(404)]);
    }

    #[test]
    fn nothing_sets_a_stock_level() {
        assert_eq!(
            of(&Method::GET, "/api/2.0/inventory").map(|(operation, _)| operation),
            Ok(Operation::List(Resource::Inventory))
        );
        assert_eq!(of(&Method::PUT, "/api/2.0/products/1"), Err(405));
        assert_eq!([of(&Method::GET, "/api/2.0/taxes/1"), of(&Method::GET, "/2.0/sales")], [Err(404), Err(404)]);
    }
}
