//! `accounts`, `payments` and `tax_types` of a sink of kind `xero`: where amounts go, and what tax is in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{field::Field, problems::Section},
    domain::sale::{Kind, Tender},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawAccounts {
    /// Goods.
    sales: Field<String>,
    /// The service fee.
    service_fee: Field<String>,
    /// The delivery fee.
    delivery_fee: Field<String>,
    /// The fee for a delivery that the vendor does not make. Left out: as `delivery_fee`.
    delivery_fee_third_party: Field<String>,
    /// Automatic deals. Left out: as `sales`.
    offer: Field<String>,
    /// Promotional codes that the vendor pays for.
    vendor_voucher: Field<String>,
    /// Changes after ordering. Left out: as `sales`.
    adjustment: Field<String>,
    /// Items of a type that is not known. Left out: as `sales`.
    other: Field<String>,
    /// Pennies that lines miss the total by.
    rounding: Field<String>,
    /// What nothing explains. Needed with `unexplained = "suspense"`.
    difference: Field<String>,
    /// What the platform holds and owes.
    scoffable_clearing: Field<String>,
    /// Cash that the vendor has.
    cash: Field<String>,
    /// What the vendor took by card.
    card_terminal: Field<String>,
    /// What the platform pays on top. Needed with `goodwill = "receivable"`.
    goodwill: Field<String>,
}

/// Account codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accounts {
    pub sales: String,
    pub service_fee: String,
    pub delivery_fee: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee_third_party: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    pub vendor_voucher: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    pub rounding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    pub scoffable_clearing: String,
    pub cash: String,
    pub card_terminal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodwill: Option<String>,
}

impl Accounts {
    /// The code for lines of a kind. None: only for [`Kind::Difference`] without an account.
    pub fn of(&self, kind: Kind) -> Option<&str> {
        Some(match kind {
            Kind::Sales => &self.sales,
            Kind::Other => self.other.as_deref().unwrap_or(&self.sales),
            Kind::Offer => self.offer.as_deref().unwrap_or(&self.sales),
            Kind::VendorVoucher => &self.vendor_voucher,
            Kind::Adjustment => self.adjustment.as_deref().unwrap_or(&self.sales),
            Kind::ServiceFee => &self.service_fee,
            Kind::DeliveryFee => &self.delivery_fee,
            Kind::DeliveryFeeThirdParty => self.delivery_fee_third_party.as_deref().unwrap_or(&self.delivery_fee),
            Kind::Rounding => &self.rounding,
            Kind::Difference => return self.difference.as_deref(),
        })
    }
}

impl RawAccounts {
    pub(super) fn validate(
        self,
        with_goodwill: bool,
        with_difference: bool,
        section: &mut Section<'_>,
    ) -> Option<Accounts> {
        let goodwill = section.take("goodwill", self.goodwill);
        if with_goodwill && goodwill.is_none() && section.none_about(&["goodwill"]) {
            section.missing("goodwill", "goodwill = \"614\"");
        }
        let difference = section.take("difference", self.difference);
        if with_difference && difference.is_none() && section.none_about(&["difference"]) {
            section.missing("difference", "difference = \"499\"");
        }
        let delivery_fee_third_party = section.take("delivery_fee_third_party", self.delivery_fee_third_party);
        let offer = section.take("offer", self.offer);
        let adjustment = section.take("adjustment", self.adjustment);
        let other = section.take("other", self.other);
        let sales = section.require("sales", self.sales, "sales = \"200\"");
        let service_fee = section.require("service_fee", self.service_fee, "service_fee = \"201\"");
        let delivery_fee = section.require("delivery_fee", self.delivery_fee, "delivery_fee = \"202\"");
        let vendor_voucher = section.require("vendor_voucher", self.vendor_voucher, "vendor_voucher = \"205\"");
        let rounding = section.require("rounding", self.rounding, "rounding = \"498\"");
        let clearing = section.require("scoffable_clearing", self.scoffable_clearing, "scoffable_clearing = \"611\"");
        let cash = section.require("cash", self.cash, "cash = \"612\"");
        let card_terminal = section.require("card_terminal", self.card_terminal, "card_terminal = \"613\"");
        Some(Accounts {
            sales: sales?,
            service_fee: service_fee?,
            delivery_fee: delivery_fee?,
            delivery_fee_third_party,
            offer,
            vendor_voucher: vendor_voucher?,
            adjustment,
            other,
            rounding: rounding?,
            difference,
            scoffable_clearing: clearing?,
            cash: cash?,
            card_terminal: card_terminal?,
            goodwill,
        })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawPayments {
    /// Left out: `accounts.scoffable_clearing`.
    online_scoffable: Field<String>,
    /// Left out: `accounts.scoffable_clearing`.
    voucher_scoffable: Field<String>,
    /// Left out: `accounts.card_terminal`.
    online_vendor: Field<String>,
    /// Left out: `accounts.cash`.
    cash_vendor: Field<String>,
    /// Any other type that Scoffable holds. Left out: `accounts.scoffable_clearing`.
    other_scoffable: Field<String>,
    /// Any other type that the vendor holds. Left out: `accounts.cash`.
    other_vendor: Field<String>,
}

/// Accounts that payments go to, where they are not the usual ones: codes, or Xero's ids of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PaymentAccounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_scoffable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voucher_scoffable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cash_vendor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_scoffable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_vendor: Option<String>,
}

impl RawPayments {
    pub(super) fn validate(self, section: &mut Section<'_>) -> PaymentAccounts {
        PaymentAccounts {
            online_scoffable: section.take("online_scoffable", self.online_scoffable),
            voucher_scoffable: section.take("voucher_scoffable", self.voucher_scoffable),
            online_vendor: section.take("online_vendor", self.online_vendor),
            cash_vendor: section.take("cash_vendor", self.cash_vendor),
            other_scoffable: section.take("other_scoffable", self.other_scoffable),
            other_vendor: section.take("other_vendor", self.other_vendor),
        }
    }
}

impl PaymentAccounts {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Where a tender's payments go. None: only for [`Tender::Goodwill`] without an account.
    pub fn of<'s>(&'s self, tender: Tender, accounts: &'s Accounts) -> Option<AccountRef<'s>> {
        let (own, usual) = match tender {
            Tender::OnlineScoffable => (&self.online_scoffable, &accounts.scoffable_clearing),
            Tender::VoucherScoffable => (&self.voucher_scoffable, &accounts.scoffable_clearing),
            Tender::OtherScoffable => (&self.other_scoffable, &accounts.scoffable_clearing),
            Tender::OnlineVendor => (&self.online_vendor, &accounts.card_terminal),
            Tender::CashVendor => (&self.cash_vendor, &accounts.cash),
            Tender::OtherVendor => (&self.other_vendor, &accounts.cash),
            Tender::Goodwill => return accounts.goodwill.as_deref().map(AccountRef),
        };
        Some(AccountRef(own.as_deref().unwrap_or(usual)))
    }
}

/// An account as the configuration names it: by its code, or by Xero's id where it has no code, as bank accounts may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountRef<'a>(pub &'a str);

impl AccountRef<'_> {
    pub fn is_id(self) -> bool {
        uuid::Uuid::try_parse(self.0).is_ok() && self.0.len() == 36
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawTaxTypes {
    /// For everything that has none of its own.
    default: Field<String>,
    /// For what has no tax: rounding and differences.
    untaxed: Field<String>,
    /// For goods. Left out, this and those below are `default`'s.
    sales: Field<String>,
    /// For items of an unknown type.
    other: Field<String>,
    /// For automatic deals.
    offer: Field<String>,
    /// For promotional codes that the vendor pays for.
    vendor_voucher: Field<String>,
    /// For later changes.
    adjustment: Field<String>,
    /// For the service fee.
    service_fee: Field<String>,
    /// For the delivery fee.
    delivery_fee: Field<String>,
    /// For the fee of a delivery by somebody else than the vendor.
    delivery_fee_third_party: Field<String>,
}

/// Values of `TaxType` that the organisation has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxTypes {
    pub default: String,
    pub untaxed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sales: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_voucher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjustment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_fee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee_third_party: Option<String>,
}

impl TaxTypes {
    pub fn of(&self, kind: Kind) -> &str {
        let own = match kind {
            Kind::Sales => &self.sales,
            Kind::Other => &self.other,
            Kind::Offer => &self.offer,
            Kind::VendorVoucher => &self.vendor_voucher,
            Kind::Adjustment => &self.adjustment,
            Kind::ServiceFee => &self.service_fee,
            Kind::DeliveryFee => &self.delivery_fee,
            Kind::DeliveryFeeThirdParty if self.delivery_fee_third_party.is_none() => &self.delivery_fee,
            Kind::DeliveryFeeThirdParty => &self.delivery_fee_third_party,
            Kind::Rounding | Kind::Difference => return &self.untaxed,
        };
        own.as_ref().unwrap_or(&self.default)
    }
}

impl RawTaxTypes {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Option<TaxTypes> {
        let default = section.require("default", self.default, "default = \"OUTPUT2\"");
        let untaxed = section.require("untaxed", self.untaxed, "untaxed = \"NONE\"");
        let types = TaxTypes {
            sales: section.take("sales", self.sales),
            other: section.take("other", self.other),
            offer: section.take("offer", self.offer),
            vendor_voucher: section.take("vendor_voucher", self.vendor_voucher),
            adjustment: section.take("adjustment", self.adjustment),
            service_fee: section.take("service_fee", self.service_fee),
            delivery_fee: section.take("delivery_fee", self.delivery_fee),
            delivery_fee_third_party: section.take("delivery_fee_third_party", self.delivery_fee_third_party),
            default: default?,
            untaxed: untaxed?,
        };
        Some(types)
    }
}
