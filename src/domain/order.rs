//! One version of an order as we understand it: the full snapshot, normalised.
//!
//! A snapshot replaces the one before it; nothing is merged, and lines are never matched across versions by their
//! id, which the platform does not promise to keep. Every value except the id and the version number may be absent.
//! The customer, the delivery address and everything we do not know by name are *not* here: they live in the stored
//! payload only, so that nothing that prints or sends an [`Order`] can leak them.
//!
//! [`Order`] serialises to the normalised form that leaves the program (the `order` of a webhook body): snake_case
//! names, `null` for what is absent, instants as RFC 3339 UTC with milliseconds, money as minor units with currency.
//! That form is a contract; a snapshot test pins it.
//!
//! Source: Scoffable developer documentation 1.0.0, "Understanding Orders", "Order", "OrderItem".

use std::{fmt, num::NonZeroU8};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::{
    ids::{OrderId, VendorId, Version},
    money::{Money, MoneyError},
};

/// A full snapshot of an order at one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    pub id: OrderId,
    pub version: Version,
    /// [`Status::unknown`] when the snapshot carries none.
    pub status: Status,
    pub order_type: Option<OrderType>,
    pub vendor_id: Option<VendorId>,
    #[serde(serialize_with = "instant")]
    pub placed_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "instant")]
    pub accepted_at: Option<DateTime<Utc>>,
    /// Of rejected and cancelled orders.
    #[serde(serialize_with = "instant")]
    pub cancelled_at: Option<DateTime<Utc>>,
    /// Of tracked deliveries, as are `delivered_at` and `returned_at`; none of the three is a status.
    #[serde(serialize_with = "instant")]
    pub dispatched_at: Option<DateTime<Utc>>,
    /// May never come where the vendor delivers: an order is final without it.
    #[serde(serialize_with = "instant")]
    pub delivered_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "instant")]
    pub returned_at: Option<DateTime<Utc>>,
    pub delivery_fee: Option<Money>,
    /// Charged on the vendor's behalf.
    pub service_fee: Option<Money>,
    /// What the customer pays in the end, both fees included.
    pub total: Option<Money>,
    pub items: Vec<Item>,
    pub payments: Vec<Payment>,
    pub delivery_provider: Option<DeliveryProvider>,
    /// What had to be tolerated while reading, each code once, in the order of [`Warning`].
    pub warnings: Vec<Warning>,
}

/// One line of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What links point at; only meaningful inside this version.
    pub id: Option<ItemId>,
    pub name: Option<Box<str>>,
    /// `None`: the snapshot does not say and the line does not look like a product either.
    pub item_type: Option<ItemType>,
    pub quantity_ordered: Option<Quantity>,
    /// What was supplied; the only thing that decides what was sold.
    pub quantity_fulfilled: Option<Quantity>,
    /// One unit with its standard options, without surcharges; negative on discounts.
    pub price: Option<Money>,
    /// The platform's figure for the line. Whether it covers one unit or the line is not documented, and replaced
    /// lines have one too: never add these up.
    pub total: Option<Money>,
    pub option_categories: Vec<OptionCategory>,
    pub substituted_by: Vec<ItemId>,
    pub substituted_for: Vec<ItemId>,
    /// On an adjusted line: its adjustment. A hint, `items_adjusted` is the authority.
    pub related_price_adjustment: Option<ItemId>,
    /// On an adjustment: the lines it is about.
    pub items_adjusted: Vec<ItemId>,
}

impl Item {
    /// Price and surcharges of one unit; `None` without a price.
    pub fn unit_price(&self) -> Option<Result<Money, MoneyError>> {
        let price = self.price?;
        let surcharges = self.option_categories.iter().flat_map(|c| &c.options).filter_map(|o| o.price);
        Some(surcharges.into_iter().try_fold(price, Money::checked_add))
    }

    /// Whether this line carries any substitution link, resolvable or not.
    pub fn has_substitution_links(&self) -> bool {
        !self.substituted_by.is_empty() || !self.substituted_for.is_empty()
    }
}

/// A group of choices on a line, for instance a sauce; only what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionCategory {
    pub name: Option<Box<str>>,
    /// A choice made twice stands here twice.
    pub options: Vec<ItemOption>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemOption {
    pub name: Option<Box<str>>,
    /// Surcharge per unit of the item; absent for standard options. Assumed: per unit.
    pub price: Option<Money>,
}

/// One tender of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payment {
    pub payment_type: Option<PaymentType>,
    /// Who holds the money. Decides the settlement alone, whatever the type.
    pub collected_by: Option<Collector>,
    pub amount: Option<Money>,
}

/// A line's id inside one version of one order; opaque.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ItemId(Box<str>);

impl ItemId {
    pub fn new(raw: impl Into<Box<str>>) -> Self {
        Self(raw.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        ///
        /// Texts we do not know are kept as they are: the platform may add values at any time.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            Other(Box<str>),
        }

        impl $name {
            pub fn from_text(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.into()),
                }
            }

            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }

            pub fn is_known(&self) -> bool {
                !matches!(self, Self::Other(_))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from_text(&text))
            }
        }
    };
}

open_enum! {
    /// Where an order stands with its vendor. Being dispatched, delivered or returned is not a status.
    Status {
        /// Waiting for the vendor.
        Placed = "placed",
        Accepted = "accepted",
        /// Declined or never acknowledged. Not final: it can still become accepted.
        Rejected = "rejected",
        /// Was accepted before. Not final either: a mistaken cancellation is taken back.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// Stands for a snapshot without a status: neither posted nor reversed, as any status we do not know.
    pub fn unknown() -> Self {
        Self::Other("unknown".into())
    }
}

open_enum! {
    /// How the goods reach the customer.
    OrderType {
        /// The customer picks up.
        Collection = "collection",
        Delivery = "delivery",
    }
}

open_enum! {
    /// What a line is.
    ItemType {
        /// Physical goods.
        Product = "product",
        /// An automatic deal with a negative price.
        Offer = "offer",
        /// A promotional code paid for by the vendor. Not the tender of the same name.
        Voucher = "voucher",
        /// A change after ordering: refund, price match, correction.
        Adjustment = "adjustment",
    }
}

open_enum! {
    /// The kind of a tender.
    PaymentType {
        Online = "online",
        Cash = "cash",
        /// Credit that the platform or its customer has paid for. Not the discount item of the same name.
        Voucher = "voucher",
    }
}

open_enum! {
    /// Who holds the money of a tender.
    Collector {
        Scoffable = "scoffable",
        Vendor = "vendor",
    }
}

open_enum! {
    /// Who carries a delivery.
    DeliveryProvider {
        Vendor = "vendor",
        Uber = "uber",
    }
}

/// An exact decimal number of units; a whole one in every documented case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// Without trailing zeros when `scale` is there, so that equal quantities are equal values.
    coefficient: i64,
    /// Digits after the point, 1–18; `None` for whole numbers.
    scale: Option<NonZeroU8>,
}

/// A number that does not fit: more than 63 bits or more than 18 digits after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity has too many digits")]
pub struct QuantityTooLong;

impl Quantity {
    pub const fn whole(units: i64) -> Self {
        Self { coefficient: units, scale: None }
    }

    /// `coefficient / 10^scale`, reduced.
    pub fn decimal(mut coefficient: i64, mut scale: u32) -> Result<Self, QuantityTooLong> {
        while scale > 0 && coefficient % 10 == 0 {
            coefficient /= 10;
            scale -= 1;
        }
        if scale > 18 {
            return Err(QuantityTooLong);
        }
        Ok(Self { coefficient, scale: NonZeroU8::new(scale as u8) })
    }

    /// Numerator and denominator, the latter a power of ten.
    pub fn as_fraction(self) -> (i64, i64) {
        let digits = self.scale.map_or(0, |scale| u32::from(scale.get()));
        (self.coefficient, 10_i64.pow(digits))
    }

    /// The number of units, if it is a whole one.
    pub fn as_whole(self) -> Option<i64> {
        self.scale.is_none().then_some(self.coefficient)
    }

    pub fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    pub fn is_positive(self) -> bool {
        self.coefficient > 0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(scale) = self.scale else { return self.coefficient.fmt(f) };
        let divisor = self.as_fraction().1.unsigned_abs();
        let magnitude = self.coefficient.unsigned_abs();
        let sign = if self.coefficient < 0 { "-" } else { "" };
        let width = usize::from(scale.get());
        write!(f, "{sign}{}.{:0width$}", magnitude / divisor, magnitude % divisor)
    }
}

/// Whole quantities are numbers, others decimal text: a JSON number may pass through a float on the other side.
impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_whole() {
            Some(units) => serializer.serialize_i64(units),
            None => serializer.collect_str(self),
        }
    }
}

/// Something in a snapshot that was tolerated. Fixed codes; the payload holds the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    StatusMissing,
    StatusUnknown,
    OrderTypeUnknown,
    ItemTypeUnknown,
    PaymentTypeUnknown,
    CollectorUnknown,
    DeliveryProviderUnknown,
    /// An instant that was read as seconds since 1970, which is not documented.
    TimestampInSeconds,
    /// An instant given as a text of digits.
    TimestampAsDigits,
    /// An instant without a zone or in no form we know; left out.
    TimestampUnreadable,
    /// `quantity` says something else than `quantityOrdered` or `quantityFulfilled`, which win.
    QuantityContradiction,
    QuantityNotWhole,
    QuantityUnreadable,
    /// A number given as text.
    NumberAsText,
    /// An amount of the order or a line, or its currency, is missing or in no form we know; left out, and the money
    /// cannot be computed.
    MoneyUnreadable,
    /// An entry of `items` that is not an object; left out, and the money cannot be computed.
    ItemUnreadable,
    /// An entry of `customerPayments` or its amount; left out, and who owes whom cannot be computed.
    PaymentUnreadable,
    /// Another field of an unexpected kind; left out.
    FieldUnreadable,
}

impl Warning {
    /// The stable code, as in the normalised form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StatusMissing => "status_missing",
            Self::StatusUnknown => "status_unknown",
            Self::OrderTypeUnknown => "order_type_unknown",
            Self::ItemTypeUnknown => "item_type_unknown",
            Self::PaymentTypeUnknown => "payment_type_unknown",
            Self::CollectorUnknown => "collector_unknown",
            Self::DeliveryProviderUnknown => "delivery_provider_unknown",
            Self::TimestampInSeconds => "timestamp_in_seconds",
            Self::TimestampAsDigits => "timestamp_as_digits",
            Self::TimestampUnreadable => "timestamp_unreadable",
            Self::QuantityContradiction => "quantity_contradiction",
            Self::QuantityNotWhole => "quantity_not_whole",
            Self::QuantityUnreadable => "quantity_unreadable",
            Self::NumberAsText => "number_as_text",
            Self::MoneyUnreadable => "money_unreadable",
            Self::ItemUnreadable => "item_unreadable",
            Self::PaymentUnreadable => "payment_unreadable",
            Self::FieldUnreadable => "field_unreadable",
        }
    }
}

#[allow(clippy::ref_option, reason = "the signature serde calls")]
fn instant<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
