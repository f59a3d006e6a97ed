//! Which product of the shop is which dish: linked once, found by code or by a name that exactly one has, or made.
//!
//! Prices and stock of products are never changed; one that is made gets no count, so that none is invented.
//!
//! Source: Lightspeed X-Series API 2.0, `search` (codes in lower case), `ProductCreateBody` (a price with tax or one without,
//! never both).

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    api::Asking,
    call::{Dish, Resolve},
    config::{LightspeedSettings, MissingProduct},
    customers::Made,
    facts::Product,
    reading::Shared,
    receipt::{Held, Missing},
    wire,
};
use crate::{
    domain::{
        delivery::{About, Alert, Outcome, Reason},
        ids::SinkName,
        sale::{Kind, normalised},
    },
    sinks::{
        Answer,
        customers::unstored,
        links::{How, LinkKey, LinkKind, LinkStore, Linked, MayMake},
    },
};

/// How long others leave the making of a product to the one that began it, beyond its call.
const MAKING_MARGIN: Duration = Duration::from_secs(15);
/// When one that was left to another is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What it takes to find products.
#[derive(Debug)]
pub struct Finder<'f> {
    pub sink: &'f SinkName,
    pub links: &'f dyn LinkStore,
    pub shared: &'f Shared,
    pub settings: &'f LightspeedSettings,
    pub timeout: Duration,
}

impl Finder<'_> {
    /// Finds or makes all that is asked for. What there is to tell a person about it is the alert.
    pub async fn find(
        &self,
        asking: &mut Asking<'_>,
        wanted: &Resolve,
        held: &mut Held,
    ) -> Result<Option<Alert>, Answer> {
        let mut made = Vec::new();
        let mut missing = Vec::new();
        for code in &wanted.services {
            let Some(name) = name_of(code) else { continue };
            let new = New { sku: code, name, price: None };
            if let Some(product) = self.service(asking, &new).await? {
                self.known(held, code, product);
            } else {
                missing.push(format!("{name:?} (code {code})"));
            }
        }
        for dish in &wanted.dishes {
            match self.dish(asking, dish, held, &mut made).await? {
                Ok(product) => self.known(held, &dish.key, product),
                Err(Some(nearest)) => missing.push(format!("{:?}, perhaps {nearest:?}", dish.name)),
                Err(None) => missing.push(format!("{:?}", dish.name)),
            }
        }
        if !missing.is_empty() {
            let detail = format!(
                "the shop has no product for {}: make one there, or link one by its id in `items` (for what is no dish in \
                 `products`), then retry",
                missing.join(", ")
            );
            held.missing = Some(Missing { at: asking.now(), detail });
        }
        let review = || {
            let detail = format!("made in the shop, please review tax and price: {}", made.join(", "));
            Alert { cause: "product_created", about: About::Shared("products".to_owned()), detail }
        };
        Ok((!made.is_empty()).then(review))
    }

    fn known(&self, held: &mut Held, key: &str, product: Product) {
        if !product.generic {
            self.shared.has_product(key, &product);
        }
        held.products.insert(key.to_owned(), product);
    }

    /// The product of a dish; an error: there is none, but perhaps one of a similar name.
    async fn dish(
        &self,
        asking: &mut Asking<'_>,
        dish: &Dish,
        held: &mut Held,
        made: &mut Vec<String>,
    ) -> Result<Result<Product, Option<String>>, Answer> {
        let key = LinkKey { sink: self.sink, kind: LinkKind::Product, local_key: &dish.key };
        let linked = self.links.find(key).await.map_err(|error| unstored(&error))?;
        if let Some(link) = linked.filter(|link| !link.is_broken) {
            return Ok(Ok(Product { id: link.remote_id, generic: false }));
        }
        let makes = self.settings.missing_product == MissingProduct::Create;
        let own = own_code(&dish.name);
        let codes = dish.reference.as_deref().into_iter().chain(makes.then_some(own.as_str()));
        for code in codes {
            if let Some(id) = with_code(asking, code).await? {
                return self.link(key, id, How::Code).await.map(Ok);
            }
        }
        let nearest = match self.shared.named((self.links, self.sink), &dish.name, asking.now()).await? {
            Ok(id) => return self.link(key, id, How::Name).await.map(Ok),
            Err(nearest) => nearest,
        };
        match self.settings.missing_product {
            MissingProduct::Hold => return Ok(Err(nearest)),
            MissingProduct::Generic => {}
            MissingProduct::Create => {
                let new = New { sku: &own, name: &dish.name, price: Some(dish) };
                if let Some(product) = self.make(asking, key, &new).await? {
                    made.push(format!("{} ({own})", dish.name));
                    return Ok(Ok(product));
                }
            }
        }
        // One for all that have none, also where the shop does not want one made.
        let generic = self.settings.products.service(Kind::Other);
        let product = match generic.id {
            Some(id) => Some(Product { id: id.to_owned(), generic: false }),
            None => match held.products.get(generic.code) {
                Some(known) => Some(known.clone()),
                None => self.service(asking, &New { sku: generic.code, name: generic.name, price: None }).await?,
            },
        };
        Ok(product.map(|product| Product { generic: true, ..product }).ok_or(nearest))
    }

    /// The product of what is no dish. None: the shop does not want one made.
    async fn service(&self, asking: &mut Asking<'_>, new: &New<'_>) -> Result<Option<Product>, Answer> {
        let key = LinkKey { sink: self.sink, kind: LinkKind::Product, local_key: new.sku };
        let linked = self.links.find(key).await.map_err(|error| unstored(&error))?;
        if let Some(link) = linked.filter(|link| !link.is_broken) {
            return Ok(Some(Product { id: link.remote_id, generic: false }));
        }
        if let Some(id) = with_code(asking, new.sku).await? {
            return self.link(key, id, How::Code).await.map(Some);
        }
        self.make(asking, key, new).await
    }

    async fn make(&self, asking: &mut Asking<'_>, key: LinkKey<'_>, new: &New<'_>) -> Result<Option<Product>, Answer> {
        match self.links.attempt(key, self.timeout + MAKING_MARGIN).await.map_err(|error| unstored(&error))? {
            MayMake::Yes => {}
            // One that is gone there is not made again: a person may have wanted that.
            MayMake::Linked(link) if link.is_broken => return Ok(None),
            MayMake::Linked(link) => return Ok(Some(Product { id: link.remote_id, generic: false })),
            MayMake::Busy => return Err(Outcome::Throttled { not_before: Some(LOOK_AGAIN) }.into()),
        }
        let is_exclusive = self.shared.facts.get(asking.now()).is_some_and(|facts| facts.tax_exclusive);
        let heard = asking.write(Method::POST, &["products"], new.written(is_exclusive)).await?;
        match Made::of(&heard) {
            Made::Yes(id) => self.link(key, id, How::Created).await.map(Some),
            Made::Refused => Ok(None),
            Made::Unreadable => Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })),
        }
    }

    /// What was linked meanwhile stays.
    async fn link(&self, key: LinkKey<'_>, id: String, how: How) -> Result<Product, Answer> {
        let linked = self.links.link(key, &id, how).await.map_err(|error| unstored(&error))?;
        Ok(match linked {
            Linked::Otherwise(link) if !link.is_broken => Product { id: link.remote_id, generic: false },
            Linked::Yes | Linked::Otherwise(_) | Linked::Taken => Product { id, generic: false },
        })
    }
}

/// A product to be made.
struct New<'a> {
    sku: &'a str,
    name: &'a str,
    /// None: of nothing.
    price: Option<&'a Dish>,
}

impl New<'_> {
    fn written(&self, is_exclusive: bool) -> String {
        #[derive(Serialize)]
        struct Body<'b> {
            name: &'b str,
            sku: &'b str,
            source_id: &'b str,
            #[serde(skip_serializing_if = "Option::is_none")]
            price_including_tax: Option<&'b serde_json::value::RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            price_excluding_tax: Option<&'b serde_json::value::RawValue>,
        }
        let price = match (self.price, is_exclusive) {
            (None, _) => "0",
            (Some(dish), true) => &dish.price_excluding_tax,
            (Some(dish), false) => &dish.price_including_tax,
        };
        let price: &serde_json::value::RawValue = serde_json::from_str(price).expect("decimal text is a number");
        let body = Body {
            name: self.name,
            sku: self.sku,
            source_id: self.sku,
            price_including_tax: (!is_exclusive).then_some(price),
            price_excluding_tax: is_exclusive.then_some(price),
        };
        serde_json::to_string(&body).expect("plain data")
    }
}

/// What a product is called whose code is ours.
fn name_of(code: &str) -> Option<&'static str> {
    const KINDS: [Kind; 10] = [
        Kind::Other,
        Kind::Sales,
        Kind::Offer,
        Kind::VendorVoucher,
        Kind::Adjustment,
        Kind::ServiceFee,
        Kind::DeliveryFee,
        Kind::DeliveryFeeThirdParty,
        Kind::Rounding,
        Kind::Difference,
    ];
    let products = super::config::Products::default();
    KINDS.into_iter().map(|kind| products.service(kind)).find(|service| service.code == code).map(|one| one.name)
}

/// The code of a dish for which a product is made: one for all ways to type its name.
pub(super) fn own_code(name: &str) -> String {
    format!("SCF-{}", hex::encode(&Sha256::digest(normalised(name))[..6]))
}

/// The usable product of a code, which is looked for in lower case and written in any.
async fn with_code(asking: &mut Asking<'_>, code: &str) -> Result<Option<String>, Answer> {
    let lower = code.to_lowercase();
    let found: Vec<wire::Product> = asking.search("products", "sku", &lower).await?;
    let is_it = |product: &wire::Product| {
        product.is_usable() && product.sku.as_deref().is_some_and(|sku| sku.to_lowercase() == lower)
    };
    Ok(found.into_iter().find(is_it).and_then(|product| product.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dish_has_one_code_however_it_is_typed() {
        assert_eq!(own_code("Lamb Bhuna"), own_code(" lamb  BHUNA"));
        assert_eq!(own_code("Lamb Bhuna").len(), "SCF-".len() + 12);
        assert_ne!(own_code("Lamb Bhuna"), own_code("Lamb Korma"));
    }

    #[test]
    fn a_product_is_made_with_one_price_and_without_stock() {
        let dish = Dish {
            key: "lamb bhuna".to_owned(),
            name: "Lamb Bhuna".to_owned(),
            reference: None,
            price_including_tax: "10.95".to_owned(),
            price_excluding_tax: "9.12500".to_owned(),
        };
        let new = New { sku: "SCF-1", name: &dish.name, price: Some(&dish) };

        insta::assert_snapshot!(new.written(false), @r#"{"name":"Lamb Bhuna","sku":"SCF-1","source_id":"SCF-1","price_including_tax":10.95}"#);
        insta::assert_snapshot!(new.written(true), @r#"{"name":"Lamb Bhuna","sku":"SCF-1","source_id":"SCF-1","price_excluding_tax":9.12500}"#);
    }
}
