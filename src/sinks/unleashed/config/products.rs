//! `products` of a sink of kind `unleashed`: what stands for fees, adjustments and dishes that no product is found for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::{
    field::{Field, choice},
    problems::Section,
};

/// Source: Unleashed API documentation, Products: `ProductCode` has at most so many characters.
const LONGEST_CODE: usize = 100;

/// What becomes of a dish that no product is found for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingProduct {
    /// The product `products.item` stands for it.
    Generic,
    /// A product is made.
    Create,
    /// The order waits, and a person is told.
    Hold,
}
choice!(MissingProduct { Generic = "generic", Create = "create", Hold = "hold" });

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(super) struct RawProducts {
    /// The service fee.
    service_fee: Field<String>,
    /// The delivery fee.
    delivery_fee: Field<String>,
    /// The fee for a delivery that the vendor does not make, or `"skip"`. Left out: as `delivery_fee`.
    delivery_fee_third_party: Field<String>,
    /// What is added or taken off without any goods.
    adjustment: Field<String>,
    /// A dish that no product is found for.
    item: Field<String>,
}

/// A product by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub code: String,
    /// Its key was left out: it is made where it is missing.
    pub is_ours: bool,
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.code)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThirdParty {
    /// No line.
    Skip,
    Product(Service),
}

impl ThirdParty {
    const SKIP: &str = "skip";
}

impl Serialize for ThirdParty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Skip => serializer.serialize_str(Self::SKIP),
            Self::Product(product) => product.serialize(serializer),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Products {
    pub service_fee: Service,
    pub delivery_fee: Service,
    /// None: as `delivery_fee`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_fee_third_party: Option<ThirdParty>,
    pub adjustment: Service,
    pub item: Service,
}

impl Products {
    /// Each with its key and what it is called where it is made.
    pub fn all(&self) -> Vec<(&'static str, &Service, &'static str)> {
        let third_party = self.delivery_fee_third_party.iter().filter_map(|third_party| match third_party {
            ThirdParty::Skip => None,
            ThirdParty::Product(product) => {
                Some(("delivery_fee_third_party", product, "Delivery fee of others (Scoffable)"))
            }
        });
        let own = [
            ("service_fee", &self.service_fee, "Service fee (Scoffable)"),
            ("delivery_fee", &self.delivery_fee, "Delivery fee (Scoffable)"),
            ("adjustment", &self.adjustment, "Adjustment (Scoffable)"),
            ("item", &self.item, "Item (Scoffable)"),
        ];
        own.into_iter().chain(third_party).collect()
    }
}

impl RawProducts {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Products {
        let mut code = |key, field| {
            let code = section.take(key, field).map(|code: String| code.trim().to_owned());
            if code.as_ref().is_some_and(|code| code.chars().count() > LONGEST_CODE) {
                section.problem(key, "is longer than a product code can be", "use 100 characters or fewer");
            }
            code
        };
        let mut service = |key, field, otherwise: &str| match code(key, field) {
            Some(code) => Service { code, is_ours: false },
            None => Service { code: otherwise.to_owned(), is_ours: true },
        };
        let service_fee = service("service_fee", self.service_fee, "SCF-SERVICE-FEE");
        let delivery_fee = service("delivery_fee", self.delivery_fee, "SCF-DELIVERY-FEE");
        let adjustment = service("adjustment", self.adjustment, "SCF-ADJUSTMENT");
        let item = service("item", self.item, "SCF-ITEM");
        let third_party = code("delivery_fee_third_party", self.delivery_fee_third_party).map(|code| {
            if code == ThirdParty::SKIP {
                return ThirdParty::Skip;
            }
            ThirdParty::Product(Service { code, is_ours: false })
        });
        Products { service_fee, delivery_fee, delivery_fee_third_party: third_party, adjustment, item }
    }
}
