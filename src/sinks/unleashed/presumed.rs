//! An account as settings presume it, for a look at what they lead to without asking Unleashed. Pure.
//!
//! It has what is named, and the products of the copy that is kept of it; of these no barcodes are known.

use chrono::{DateTime, Utc};

use super::{
    call::{Call, name},
    config::UnleashedSettings,
    facts::{Facts, House, KnownProduct},
    plan::{Stock, plan},
    receipt::Held,
};
use crate::{
    domain::{
        delivery::{Plan, Step},
        sale::normalised,
    },
    sinks::{
        Rehearsal, View,
        customers::{Came, Named},
        links::ProductCopy,
    },
};

/// In place of the GUID of a customer that only Unleashed can tell.
const CUSTOMER: &str = "(the customer)";

/// Plans the first document of an order.
pub fn rehearsal<'a>(settings: &'a UnleashedSettings, products: &ProductCopy) -> Rehearsal<'a> {
    let facts = facts(products);
    Box::new(move |view| {
        let mut held = None;
        loop {
            let receipt = held.as_ref().map(Held::receipt);
            match plan(Stock { settings, facts: &facts }, &View { receipt: receipt.as_ref().or(view.receipt), ..*view })
            {
                Plan::Send(step) if [name::CUSTOMER, name::PRODUCTS].contains(&&*step.name) => {
                    let found = found(&step);
                    if held.replace(found.clone()) == Some(found) {
                        return Plan::Send(step);
                    }
                }
                plan => return plan,
            }
        }
    })
}

/// As if the step had succeeded.
fn found(step: &Step) -> Held {
    let mut held = Held::of(step.receipt.as_ref()).unwrap_or_default();
    match Call::read(&step.body) {
        Ok(Call::Customer(_)) => held.customer = Some(Named { id: CUSTOMER.to_owned(), how: Came::Linked }),
        Ok(Call::Products(made)) => held.products.extend(made.products.into_iter().map(|product| product.code)),
        _ => {}
    }
    held
}

fn facts(products: &ProductCopy) -> Facts {
    let known = |(code, shown): (&String, &String)| KnownProduct {
        code: code.clone(),
        barcode: None,
        name: normalised(shown),
        shown: shown.clone(),
    };
    Facts {
        read_at: DateTime::<Utc>::UNIX_EPOCH,
        house: House::Usable,
        products: products.names.iter().map(known).collect(),
        // What settings name may be there although the copy lacks it.
        has_more_products: true,
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{facts::check, testing::settings},
        *,
    };

    #[test]
    fn what_settings_name_is_presumed_to_be_there() {
        assert_eq!(check(&settings(), &facts(&ProductCopy::default())), []);
    }
}
