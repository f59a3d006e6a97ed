//! Which operation a path and a method are. Source: Unleashed API documentation, one page for each resource; paging in the
//! path is observed with and without `/Page` before the number.
//!
//! Assumed: `Warehouses` is listed like the others.

use axum::http::{Method, StatusCode};
use serde::Serialize;

use super::Guid;

/// What a part of the API is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    SalesOrders,
    Invoices,
    CreditNotes,
    Customers,
    Products,
    StockOnHand,
    Warehouses,
    /// Listed only. Assumed, as that there are warehouses: their pages were not examined.
    Taxes,
    Currencies,
}

impl Resource {
    const ALL: [Self; 9] = [
        Self::SalesOrders,
        Self::Invoices,
        Self::CreditNotes,
        Self::Customers,
        Self::Products,
        Self::StockOnHand,
        Self::Warehouses,
        Self::Taxes,
        Self::Currencies,
    ];

    /// In a path.
    fn segment(self) -> &'static str {
        match self {
            Self::SalesOrders => "SalesOrders",
            Self::Invoices => "Invoices",
            Self::CreditNotes => "CreditNotes",
            Self::Customers => "Customers",
            Self::Products => "Products",
            Self::StockOnHand => "StockOnHand",
            Self::Warehouses => "Warehouses",
            Self::Taxes => "Taxes",
            Self::Currencies => "Currencies",
        }
    }

    /// What a `POST` with a GUID makes or changes.
    fn is_saved(self) -> bool {
        matches!(self, Self::SalesOrders | Self::Customers | Self::Products)
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    List(Resource),
    /// One, by its GUID; of `StockOnHand` that of the product.
    Read(Resource),
    /// The stock of a product in each warehouse.
    StockByWarehouse,
    /// `POST`, mostly with a GUID.
    Save(Resource),
    /// `PUT` of an order or a credit note.
    Update(Resource),
    Complete(Resource),
    Delete(Resource),
    /// Of an order, by the GUID of the line alone; of a credit note by both.
    DeleteLine(Resource),
    FreeCredit,
    AddCreditLine,
    UpdateCreditLine,
    ObsoleteProduct,
}

impl Operation {
    pub fn is_write(self) -> bool {
        !matches!(self, Self::List(_) | Self::Read(_) | Self::StockByWarehouse)
    }

    pub(super) fn has_body(self) -> bool {
        matches!(
            self,
            Self::Save(_) | Self::Update(_) | Self::FreeCredit | Self::AddCreditLine | Self::UpdateCreditLine
        )
    }

    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::List(Resource::SalesOrders) => &[
                "orderNumber",
                "sourceId",
                "modifiedSince",
                "orderStatus",
                "customerCode",
                "startDate",
                "endDate",
                "pageSize",
            ],
            Self::List(Resource::Invoices) => {
                &["modifiedSince", "invoiceStatus", "orderNumber", "invoiceNumber", "customerCode", "pageSize"]
            }
            Self::List(Resource::CreditNotes) => {
                &["modifiedSince", "creditNumber", "creditStatus", "customerCode", "pageSize"]
            }
            Self::List(Resource::Customers) => {
                &["modifiedSince", "includeObsolete", "customerCode", "contactEmail", "customer", "pageSize"]
            }
            Self::List(Resource::Products) => {
                &["modifiedSince", "includeObsolete", "productCode", "product", "brief", "pageSize"]
            }
            Self::List(Resource::StockOnHand) => {
                &["modifiedSince", "productId", "productCode", "warehouseCode", "pageSize"]
            }
            Self::List(Resource::Warehouses) => &["modifiedSince", "pageSize"],
            Self::List(Resource::Taxes | Resource::Currencies) => &["pageSize"],
            _ => &[],
        }
    }
}

/// Where a request leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) operation: Operation,
    pub(super) to: To,
}

/// What stands in the path behind the resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct To {
    /// From 1.
    pub page: usize,
    /// Of the thing itself. None where one is made that has none yet.
    pub guid: Option<Guid>,
    pub line: Option<Guid>,
}

pub(super) fn route(method: &Method, path: &str) -> Result<Route, (StatusCode, &'static str)> {
    let mut segments = path.strip_prefix('/').ok_or(NO_SUCH_PATH)?.split('/');
    let first = segments.next().unwrap_or_default();
    let resource = Resource::ALL.into_iter().find(|resource| resource.segment() == first).ok_or(NO_SUCH_PATH)?;
    let segments: Vec<&str> = segments.collect();
    let guid = |text: &str| text.parse().map(Some).map_err(|_| NO_GUID);
    let (is_get, is_post) = (method == Method::GET, method == Method::POST);
    let (is_put, is_delete) = (method == Method::PUT, method == Method::DELETE);
    let is_document = matches!(resource, Resource::SalesOrders | Resource::CreditNotes);
    let of = |operation, guid, line| Ok(Route { operation, to: To { page: 1, guid, line } });
    let page = |text: &str| match text.parse() {
        Ok(page) if page > 0 => Ok(Route { operation: Operation::List(resource), to: To { page, ..To::default() } }),
        _ => Err(NO_SUCH_PATH),
    };
    match (resource, &segments[..]) {
        (_, []) if is_get => page("1"),
        (_, []) if is_post && resource.is_saved() => of(Operation::Save(resource), None, None),
        (_, ["Page", number]) if is_get => page(number),
        (_, [number]) if is_get && is_number(number) => page(number),
        (Resource::CreditNotes, ["FreeCredit"]) if is_post => of(Operation::FreeCredit, None, None),
        (Resource::SalesOrders, ["Lines", line]) if is_delete => of(Operation::DeleteLine(resource), None, guid(line)?),
        (Resource::Products, ["Obsolete", id]) if is_post => of(Operation::ObsoleteProduct, guid(id)?, None),
        (Resource::StockOnHand, [id, "AllWarehouses"]) if is_get => of(Operation::StockByWarehouse, guid(id)?, None),
        (_, [id, "Complete"]) if is_post && is_document => of(Operation::Complete(resource), guid(id)?, None),
        (Resource::CreditNotes, [id, "Lines"]) if is_post => of(Operation::AddCreditLine, guid(id)?, None),
        (Resource::CreditNotes, [id, "Lines", line]) if is_put => {
            of(Operation::UpdateCreditLine, guid(id)?, guid(line)?)
        }
        (Resource::CreditNotes, [id, "Lines", line]) if is_delete => {
            of(Operation::DeleteLine(resource), guid(id)?, guid(line)?)
        }
        (Resource::Taxes | Resource::Currencies, [_]) => Err(NO_SUCH_PATH),
        (_, [id]) if is_get => of(Operation::Read(resource), guid(id)?, None),
        (_, [id]) if is_post && resource.is_saved() => of(Operation::Save(resource), guid(id)?, None),
        (_, [id]) if is_put && is_document => of(Operation::Update(resource), guid(id)?, None),
        (_, [id]) if is_delete && is_document => of(Operation::Delete(resource), guid(id)?, None),
        (_, [] | [_]) => Err(WRONG_METHOD),
        _ => Err(NO_SUCH_PATH),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

const NO_SUCH_PATH: (StatusCode, &str) = (StatusCode::NOT_FOUND, "No such path");
const WRONG_METHOD: (StatusCode, &str) = (StatusCode::METHOD_NOT_ALLOWED, "No such method here");
const NO_GUID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "Neither a GUID nor a page");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_operations_pages_and_guids() {
        let id = "037bcfca-f144-5757-9fe6-81611f2f14a8";
        let of = |method: Method, path: &str| {
            let found = route(&method, &path.replace("ID", id)).map_err(|(status, _)| status.as_u16());
            found.map(|Route { operation, to }| (operation, to.page, to.guid.is_some(), to.line.is_some()))
        };
        let (orders, notes) = (Resource::SalesOrders, Resource::CreditNotes);

        assert_eq!(of(Method::GET, "/Customers"), Ok((Operation::List(Resource::Customers), 1, false, false)));
        assert_eq!(of(Method::GET, "/Customers/2"), Ok((Operation::List(Resource::Customers), 2, false, false)));
        assert_eq!(of(Method::GET, "/Products/Page/3"), Ok((Operation::List(Resource::Products), 3, false, false)));
        assert_eq!(of(Method::GET, "/SalesOrders/ID"), Ok((Operation::Read(orders), 1, true, false)));
        assert_eq!(of(Method::POST, "/SalesOrders/ID"), Ok((Operation::Save(orders), 1, true, false)));
        assert_eq!(of(Method::POST, "/SalesOrders"), Ok((Operation::Save(orders), 1, false, false)));
        assert_eq!(of(Method::PUT, "/SalesOrders/ID"), Ok((Operation::Update(orders), 1, true, false)));
        assert_eq!(of(Method::POST, "/SalesOrders/ID/Complete"), Ok((Operation::Complete(orders), 1, true, false)));
        assert_eq!(of(Method::DELETE, "/SalesOrders/Lines/ID"), Ok((Operation::DeleteLine(orders), 1, false, true)));
        assert_eq!(of(Method::POST, "/CreditNotes/FreeCredit"), Ok((Operation::FreeCredit, 1, false, false)));
        assert_eq!(of(Method::PUT, "/CreditNotes/ID/Lines/ID"), Ok((Operation::UpdateCreditLine, 1, true, true)));
        assert_eq!(of(Method::DELETE, "/CreditNotes/ID/Lines/ID"), Ok((Operation::DeleteLine(notes), 1, true, true)));
        assert_eq!(of(Method::GET, "/StockOnHand/ID/AllWarehouses"), Ok((Operation::StockByWarehouse, 1, true, false)));
    }

    #[test]
    fn what_is_only_read_cannot_be_written_and_an_id_is_a_guid() {
        let id = "037bcfca-f144-5757-9fe6-81611f2f14a8";
        let of = |method: Method, path: &str| route(&method, &path.replace("ID", id)).map_err(|(status, _)| status);

        for (method, path) in [
            (Method::POST, "/Invoices/ID"),
            (Method::PUT, "/Customers/ID"),
            (Method::DELETE, "/Products/ID"),
            (Method::POST, "/CreditNotes/ID"),
            (Method::POST, "/StockOnHand"),
        ] {
            assert_eq!(of(method, path), Err(StatusCode::METHOD_NOT_ALLOWED), "{path}");
        }
        assert_eq!(of(Method::GET, "/SalesOrders/SCF-1"), Err(StatusCode::BAD_REQUEST));
        for path in ["/SalesInvoices", "/", "/Customers/0", "/StockAdjustments"] {
            assert_eq!(of(Method::GET, path), Err(StatusCode::NOT_FOUND), "{path}");
        }
    }
}
