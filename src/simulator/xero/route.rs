//! Which operation a path and a method are, and what a token needs for it.
//!
//! Source: xero_accounting.yaml 16.1.0, paths and their security. Assumed: the names of the granular scopes, and that the
//! one of invoices is good for credit notes and the one of payments for allocations and refunds.

use axum::http::{Method, StatusCode};
use serde::Serialize;

use super::books::DocumentKind;

pub(super) const API_PATH: &str = "/api.xro/2.0";
pub(super) const CONNECTIONS_PATH: &str = "/connections";

/// What a part of the API is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Invoices,
    CreditNotes,
    Payments,
    Contacts,
    Items,
    ManualJournals,
    Organisation,
    Accounts,
    TaxRates,
    Currencies,
    TrackingCategories,
}

impl Resource {
    const ALL: [Self; 11] = [
        Self::Invoices,
        Self::CreditNotes,
        Self::Payments,
        Self::Contacts,
        Self::Items,
        Self::ManualJournals,
        Self::Organisation,
        Self::Accounts,
        Self::TaxRates,
        Self::Currencies,
        Self::TrackingCategories,
    ];

    /// In a path.
    pub fn segment(self) -> &'static str {
        match self {
            Self::Invoices => "Invoices",
            Self::CreditNotes => "CreditNotes",
            Self::Payments => "Payments",
            Self::Contacts => "Contacts",
            Self::Items => "Items",
            Self::ManualJournals => "ManualJournals",
            Self::Organisation => "Organisation",
            Self::Accounts => "Accounts",
            Self::TaxRates => "TaxRates",
            Self::Currencies => "Currencies",
            Self::TrackingCategories => "TrackingCategories",
        }
    }

    /// In an envelope.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Organisation => "Organisations",
            other => other.segment(),
        }
    }

    pub(super) fn document_kind(self) -> Option<DocumentKind> {
        match self {
            Self::Invoices => Some(DocumentKind::Invoice),
            Self::CreditNotes => Some(DocumentKind::CreditNote),
            _ => None,
        }
    }

    /// Settings that are only read.
    fn is_setting(self) -> bool {
        matches!(
            self,
            Self::Organisation | Self::Accounts | Self::TaxRates | Self::Currencies | Self::TrackingCategories
        )
    }

    /// One of these scopes lets one write; with `.read` after it, read.
    fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Invoices | Self::CreditNotes => &["accounting.transactions", "accounting.invoices"],
            Self::Payments => &["accounting.transactions", "accounting.payments"],
            Self::ManualJournals => &["accounting.transactions", "accounting.manualjournals"],
            Self::Contacts => &["accounting.contacts"],
            Self::Items
            | Self::Organisation
            | Self::Accounts
            | Self::TaxRates
            | Self::Currencies
            | Self::TrackingCategories => &["accounting.settings"],
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Connections,
    List(Resource),
    /// One, by its id.
    Read(Resource),
    /// `PUT` of a collection.
    Create(Resource),
    /// `POST` of a collection: what has a known number is changed.
    Save(Resource),
    /// `POST` with an id.
    Update(Resource),
    Allocate,
    UndoAllocation,
    ReadHistory(Resource),
    Annotate(Resource),
}

impl Operation {
    pub fn is_write(self) -> bool {
        match self {
            Self::Create(_)
            | Self::Save(_)
            | Self::Update(_)
            | Self::Allocate
            | Self::UndoAllocation
            | Self::Annotate(_) => true,
            Self::Connections | Self::List(_) | Self::Read(_) | Self::ReadHistory(_) => false,
        }
    }

    /// Whether its body is an array of elements that can be refused one by one.
    pub(super) fn summarizes(self) -> bool {
        matches!(self, Self::Create(_) | Self::Save(_) | Self::Allocate)
    }

    /// One of these is enough; none: any token will do.
    pub(super) fn scopes(self) -> Vec<String> {
        let resource = match self {
            Self::Connections => return Vec::new(),
            Self::Allocate | Self::UndoAllocation => Resource::CreditNotes,
            Self::List(resource)
            | Self::Read(resource)
            | Self::Create(resource)
            | Self::Save(resource)
            | Self::Update(resource)
            | Self::ReadHistory(resource)
            | Self::Annotate(resource) => resource,
        };
        let write = resource.scopes().iter().map(|scope| (*scope).to_owned());
        if self.is_write() {
            return write.collect();
        }
        write.clone().chain(write.map(|scope| format!("{scope}.read"))).collect()
    }

    pub(super) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::List(Resource::Invoices) => &[
                "where",
                "IDs",
                "InvoiceNumbers",
                "ContactIDs",
                "Statuses",
                "page",
                "pageSize",
                "createdByMyApp",
                "includeArchived",
                "summaryOnly",
                "unitdp",
                "searchTerm",
                "order",
            ],
            Self::List(Resource::CreditNotes) => &["where", "page", "pageSize", "unitdp", "order"],
            Self::List(Resource::Payments | Resource::ManualJournals) => &["where", "page", "pageSize", "order"],
            Self::List(Resource::Contacts) => {
                &["where", "IDs", "page", "pageSize", "includeArchived", "summaryOnly", "searchTerm", "order"]
            }
            Self::List(Resource::Items) => &["where", "unitdp", "order"],
            Self::Read(Resource::Invoices | Resource::CreditNotes | Resource::Items)
            | Self::Update(Resource::Invoices | Resource::CreditNotes | Resource::Items) => &["unitdp"],
            Self::Create(Resource::Invoices | Resource::CreditNotes | Resource::Items)
            | Self::Save(Resource::Invoices | Resource::CreditNotes | Resource::Items) => {
                &["summarizeErrors", "unitdp"]
            }
            Self::Create(_) | Self::Save(_) | Self::Allocate => &["summarizeErrors"],
            Self::Connections
            | Self::List(_)
            | Self::Read(_)
            | Self::Update(_)
            | Self::UndoAllocation
            | Self::ReadHistory(_)
            | Self::Annotate(_) => &[],
        }
    }
}

/// Where a request leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(super) operation: Operation,
    /// Of the thing itself; empty for collections.
    pub(super) id: String,
    /// Of the allocation.
    pub(super) inner_id: String,
}

pub(super) fn route(method: &Method, path: &str) -> Result<Route, (StatusCode, &'static str)> {
    let found =
        |operation, id: &str, inner_id: &str| Ok(Route { operation, id: id.to_owned(), inner_id: inner_id.to_owned() });
    if path == CONNECTIONS_PATH {
        return if method == Method::GET { found(Operation::Connections, "", "") } else { Err(WRONG_METHOD) };
    }
    let rest = path.strip_prefix(API_PATH).and_then(|rest| rest.strip_prefix('/')).ok_or(NO_SUCH_PATH)?;
    let segments: Vec<&str> = rest.split('/').collect();
    let resource = Resource::ALL.into_iter().find(|resource| resource.segment() == segments[0]).ok_or(NO_SUCH_PATH)?;
    let (is_put, is_post, is_get) = (method == Method::PUT, method == Method::POST, method == Method::GET);
    let is_read_only = resource.is_setting();
    match segments[1..] {
        [] if is_get => found(Operation::List(resource), "", ""),
        [] if is_put && !is_read_only => found(Operation::Create(resource), "", ""),
        // Source: `POST /Payments` takes a payment that stands alone, which nobody here needs.
        [] if is_post && !is_read_only && resource != Resource::Payments => found(Operation::Save(resource), "", ""),
        [id] if is_get && !is_read_only => found(Operation::Read(resource), id, ""),
        [id] if is_post && !is_read_only => found(Operation::Update(resource), id, ""),
        [id, "Allocations"] if is_put && resource == Resource::CreditNotes => found(Operation::Allocate, id, ""),
        [id, "Allocations", inner] if *method == Method::DELETE && resource == Resource::CreditNotes => {
            found(Operation::UndoAllocation, id, inner)
        }
        [id, "History"] if is_get && !is_read_only => found(Operation::ReadHistory(resource), id, ""),
        [id, "History"] if is_put && !is_read_only => found(Operation::Annotate(resource), id, ""),
        [] | [_] | [_, "Allocations" | "History"] => Err(WRONG_METHOD),
        _ => Err(NO_SUCH_PATH),
    }
}

const NO_SUCH_PATH: (StatusCode, &str) = (StatusCode::NOT_FOUND, "no such path");
const WRONG_METHOD: (StatusCode, &str) = (StatusCode::METHOD_NOT_ALLOWED, "no such method here");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_operations_and_nothing_leads_to_an_email() {
        let of = |method: Method, path: &str| {
            route(&method, &format!("{API_PATH}/{path}"))
                .map(|route| route.operation)
                .map_err(|(status, _)| status.as_u16())
        };

        assert_eq!(of(Method::PUT, "Invoices"), Ok(Operation::Create(Resource::Invoices)));
        assert_eq!(of(Method::POST, "Invoices"), Ok(Operation::Save(Resource::Invoices)));
        assert_eq!(of(Method::POST, "Invoices/1"), Ok(Operation::Update(Resource::Invoices)));
        assert_eq!(of(Method::DELETE, "CreditNotes/1/Allocations/2"), Ok(Operation::UndoAllocation));
        assert_eq!(of(Method::PUT, "Payments/1/History"), Ok(Operation::Annotate(Resource::Payments)));
        assert_eq!(of(Method::POST, "Payments"), Err(405));
        assert_eq!(of(Method::PUT, "Accounts"), Err(405));
        assert_eq!([of(Method::POST, "Invoices/1/Email"), of(Method::GET, "Reports")], [Err(404), Err(404)]);
    }

    #[test]
    fn a_scope_to_write_lets_one_read_and_not_the_other_way_round() {
        let read = Operation::List(Resource::Invoices).scopes();
        let write = Operation::Create(Resource::Invoices).scopes();

        assert!(
            read.contains(&"accounting.invoices".to_owned())
                && read.contains(&"accounting.transactions.read".to_owned())
        );
        assert_eq!(write, ["accounting.transactions", "accounting.invoices"]);
        assert!(Operation::Connections.scopes().is_empty());
    }
}
