//! An organisation as settings presume it, for a look at what they lead to without asking Xero. Pure.
//!
//! It has the accounts, tax types, options, items and contact that are named, in any currency, and no period is locked. The
//! rates of its taxes are not known.

use std::collections::BTreeSet;

use super::{
    call::name,
    config::XeroSettings,
    organisation::{Account, Facts, LINE_KINDS, TENDERS, TaxRate, TrackingCategory},
    plan::{Books, plan},
    receipt::Held,
};
use crate::{
    domain::delivery::Plan,
    sinks::{
        Rehearsal, View,
        customers::{Came, Named},
        links::ProductCopy,
    },
};

/// In place of the id of a contact that only Xero can tell.
const CONTACT: &str = "(the contact)";

/// Plans the first document of an order.
pub fn rehearsal<'a>(settings: &'a XeroSettings, products: &ProductCopy) -> Rehearsal<'a> {
    let facts = facts(settings, products);
    Box::new(move |view| {
        let currencies = view.order.total.map(|total| total.currency).into_iter().collect();
        let facts = Facts { read_at: view.now, currencies, ..facts.clone() };
        let books = Books { settings, facts: &facts };
        let mut held = None;
        loop {
            let receipt = held.as_ref().map(Held::receipt);
            match plan(books, &View { receipt: receipt.as_ref().or(view.receipt), ..*view }) {
                Plan::Send(step) if [name::CONTACT, name::ITEMS].contains(&&*step.name) => {
                    let known = Held::of(step.receipt.as_ref()).unwrap_or_default();
                    // Items are in it already.
                    let contact = known.contact.or_else(|| Some(Named { id: CONTACT.to_owned(), how: Came::House }));
                    let found = Held { contact, ..known };
                    if held.replace(found.clone()) == Some(found) {
                        return Plan::Send(step);
                    }
                }
                plan => return plan,
            }
        }
    })
}

fn facts(settings: &XeroSettings, products: &ProductCopy) -> Facts {
    let lines = LINE_KINDS.iter().filter_map(|(kind, _)| settings.accounts.of(*kind));
    let money = TENDERS.iter().filter_map(|(tender, _)| Some(settings.payments.of(*tender, &settings.accounts)?.0));
    let named: BTreeSet<&str> = lines.chain(money).collect();
    let account = |named: &str| Account {
        // By whichever of the two it is looked for.
        id: named.to_owned(),
        code: Some(named.to_owned()),
        name: String::new(),
        active: true,
        takes_payments: true,
        is_bank: false,
        is_debtors: false,
    };
    let tax_types: BTreeSet<&str> = LINE_KINDS.iter().map(|(kind, _)| settings.tax_types.of(*kind)).collect();
    let tax_rate = |tax_type: &str| TaxRate {
        tax_type: tax_type.to_owned(),
        name: String::new(),
        active: true,
        for_revenue: true,
        rate: String::new(),
    };
    let tracking = settings.tracking.iter().map(|(name, tracking)| TrackingCategory {
        name: name.clone(),
        options: tracking.options.values().chain(&tracking.otherwise).cloned().collect(),
    });
    let codes = settings.items.item_codes.values();
    Facts {
        accounts: named.into_iter().map(account).collect(),
        tax_rates: tax_types.into_iter().map(tax_rate).collect(),
        tracking: tracking.collect(),
        items: codes.chain(products.names.keys()).chain(products.linked.values()).cloned().collect(),
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            organisation::check,
            testing::{settings, settings_with},
        },
        *,
    };

    #[test]
    fn what_is_presumed_is_all_that_settings_name() {
        let keys = [
            ("tracking.Shop.by", "vendor"),
            ("tracking.Shop.otherwise", "Scoffable"),
            ("payments.cash_vendor", "00000000-0000-4000-8000-000000000612"),
        ];
        for settings in [settings(), settings_with(&keys)] {
            assert_eq!(check(&settings, &facts(&settings, &ProductCopy::default())), []);
        }
    }
}
