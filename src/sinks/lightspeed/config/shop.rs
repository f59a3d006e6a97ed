//! What a sink of kind `lightspeed` names of the shop: registers, taxes, payment types, products.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{
        field::{Field, Named, RawTable, known_keys},
        problems::Section,
    },
    domain::sale::{Kind, Tender},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawPlace {
    /// The register that the sales belong to.
    register_id: Field<String>,
    /// The user who makes them. Left out: the sink's.
    author_id: Field<String>,
}

/// Where one vendor's orders are rung up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub register_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_id: Option<String>,
}

pub(super) fn validate_vendors(
    field: Field<Named<RawPlace>>,
    section: &mut Section<'_>,
) -> Option<BTreeMap<String, Place>> {
    const ADD: &str = "vendors.\"vendor-id\" = { register_id = \"…\" }";

    let is_absent = field.is_absent();
    let tables = section.named("vendors", field);
    if is_absent {
        section.missing("vendors", ADD);
    } else if tables.is_empty() && section.none_about(&["vendors"]) {
        section.problem("vendors", "names no vendor: no order would ever be posted", format!("add `{ADD}`"));
    }
    let mut section = section.within("vendors");
    let mut vendors = BTreeMap::new();
    for (id, entries) in tables {
        let mut section = section.within(&id);
        section.refuse_unknown(&entries, &known_keys::<RawPlace>());
        let raw = RawPlace::from_entries(entries);
        let register_id = section.require("register_id", raw.register_id, "register_id = \"…\"");
        let author_id = section.take("author_id", raw.author_id);
        vendors.extend(register_id.map(|register_id| (id, Place { register_id, author_id })));
    }
    (!vendors.is_empty()).then_some(vendors)
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawTaxIds {
    /// For everything that is taxed.
    default: Field<String>,
    /// For what is not. Left out: the shop's own "No Tax".
    untaxed: Field<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxIds {
    pub default: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untaxed: Option<String>,
}

impl RawTaxIds {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Option<TaxIds> {
        let untaxed = section.take("untaxed", self.untaxed);
        let default = section.require("default", self.default, "default = \"…\"");
        Some(TaxIds { default: default?, untaxed })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawPaymentTypes {
    /// Paid online, held by the platform.
    online_scoffable: Field<String>,
    /// Paid with the platform's credit, held by it.
    voucher_scoffable: Field<String>,
    /// Paid in cash, held by the vendor.
    cash_vendor: Field<String>,
    /// Paid online, held by the vendor.
    online_vendor: Field<String>,
    /// Any other type that Scoffable holds. Left out: that of `online_scoffable`.
    other_scoffable: Field<String>,
    /// Any other type that the vendor holds. Left out: that of `cash_vendor`.
    other_vendor: Field<String>,
    /// What the platform pays on top. Left out: orders that have it wait.
    goodwill: Field<String>,
}

/// Ids of the shop's payment types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentTypes {
    pub online_scoffable: String,
    pub voucher_scoffable: String,
    pub cash_vendor: String,
    pub online_vendor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_scoffable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodwill: Option<String>,
}

impl PaymentTypes {
    /// None: only of [`Tender::Goodwill`], where none is named.
    pub fn of(&self, tender: Tender) -> Option<&str> {
        Some(match tender {
            Tender::OnlineScoffable => &self.online_scoffable,
            Tender::VoucherScoffable => &self.voucher_scoffable,
            Tender::OnlineVendor => &self.online_vendor,
            Tender::CashVendor => &self.cash_vendor,
            Tender::OtherScoffable => self.other_scoffable.as_deref().unwrap_or(&self.online_scoffable),
            Tender::OtherVendor => self.other_vendor.as_deref().unwrap_or(&self.cash_vendor),
            Tender::Goodwill => return self.goodwill.as_deref(),
        })
    }
}

impl RawPaymentTypes {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Option<PaymentTypes> {
        let other_scoffable = section.take("other_scoffable", self.other_scoffable);
        let other_vendor = section.take("other_vendor", self.other_vendor);
        let goodwill = section.take("goodwill", self.goodwill);
        let mut needed = |key, field| section.require(key, field, &format!("{key} = \"…\""));
        let online_scoffable = needed("online_scoffable", self.online_scoffable);
        let voucher_scoffable = needed("voucher_scoffable", self.voucher_scoffable);
        let cash_vendor = needed("cash_vendor", self.cash_vendor);
        let online_vendor = needed("online_vendor", self.online_vendor);
        Some(PaymentTypes {
            online_scoffable: online_scoffable?,
            voucher_scoffable: voucher_scoffable?,
            cash_vendor: cash_vendor?,
            online_vendor: online_vendor?,
            other_scoffable,
            other_vendor,
            goodwill,
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawProducts {
    /// The service fee. Left out, this and the others are found or made under a code of their own.
    service_fee: Field<String>,
    /// The delivery fee.
    delivery_fee: Field<String>,
    /// The fee of a delivery by somebody else than the vendor. Left out: that of `delivery_fee`.
    delivery_fee_third_party: Field<String>,
    /// Automatic deals.
    offer: Field<String>,
    /// Promotional codes that the vendor pays for.
    vendor_voucher: Field<String>,
    /// What is added or taken off later.
    adjustment: Field<String>,
    /// Pennies.
    rounding: Field<String>,
    /// What nothing explains.
    difference: Field<String>,
    /// The one that stands for dishes without a product.
    item: Field<String>,
}

/// Products for what is no dish, by id; what is left out is found or made under a code of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Products {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_fee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee_third_party: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_voucher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
}

impl RawProducts {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Products {
        Products {
            service_fee: section.take("service_fee", self.service_fee),
            delivery_fee: section.take("delivery_fee", self.delivery_fee),
            delivery_fee_third_party: section.take("delivery_fee_third_party", self.delivery_fee_third_party),
            offer: section.take("offer", self.offer),
            vendor_voucher: section.take("vendor_voucher", self.vendor_voucher),
            adjustment: section.take("adjustment", self.adjustment),
            rounding: section.take("rounding", self.rounding),
            difference: section.take("difference", self.difference),
            item: section.take("item", self.item),
        }
    }
}

impl Products {
    /// The code under which the product of a kind of line is found or made, what it is called then, and its id where a
    /// person has named it. Dishes that have none share that of [`Kind::Other`].
    pub fn service(&self, kind: Kind) -> Service<'_> {
        let (id, code, name) = match kind {
            Kind::Sales | Kind::Other => (&self.item, "SCF-ITEM", "Scoffable item"),
            Kind::Offer => (&self.offer, "SCF-OFFER", "Scoffable offer"),
            Kind::VendorVoucher => (&self.vendor_voucher, "SCF-VENDOR-VOUCHER", "Scoffable vendor voucher"),
            Kind::Adjustment => (&self.adjustment, "SCF-ADJUSTMENT", "Scoffable adjustment"),
            Kind::ServiceFee => (&self.service_fee, "SCF-SERVICE-FEE", "Scoffable service fee"),
            Kind::DeliveryFeeThirdParty if self.delivery_fee_third_party.is_some() => {
                (&self.delivery_fee_third_party, "SCF-DELIVERY-FEE-3P", "Scoffable delivery fee")
            }
            Kind::DeliveryFee | Kind::DeliveryFeeThirdParty => {
                (&self.delivery_fee, "SCF-DELIVERY-FEE", "Scoffable delivery fee")
            }
            Kind::Rounding => (&self.rounding, "SCF-ROUNDING", "Scoffable rounding"),
            Kind::Difference => (&self.difference, "SCF-DIFFERENCE", "Scoffable difference"),
        };
        Service { id: id.as_deref(), code, name }
    }
}

/// A product for what is no dish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service<'a> {
    pub id: Option<&'a str>,
    pub code: &'static str,
    pub name: &'static str,
}
