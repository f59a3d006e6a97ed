//! A shop as settings presume it, for a look at what they lead to without asking it. Pure.
//!
//! It has what is named, in the currency of the order, and registers without affixes. The rates of its taxes are not known
//! and count as nothing. A dish's product is found as far as the database tells: by its link, else by its name in the copy
//! that is kept of the shop; codes only the shop can search.

use super::{
    amounts::Rate,
    call::{Call, Resolve, name},
    config::{LightspeedSettings, MissingProduct},
    facts::{Facts, Product, Register, TENDERS},
    plan::{Shop, plan},
    products::own_code,
    receipt::{Held, Missing, WhoBuys},
};
use crate::{
    domain::{delivery::Plan, sale::Kind},
    sinks::{
        Rehearsal, View,
        customers::{Came, Named},
        links::ProductCopy,
    },
};

/// In place of the id of a customer that only the shop can tell.
const CUSTOMER: &str = "(the customer)";
/// In place of the tax that is none, where no setting names it.
const NO_TAX: &str = "(no tax)";

/// Plans the first sale of an order.
pub fn rehearsal<'a>(settings: &'a LightspeedSettings, products: &'a ProductCopy) -> Rehearsal<'a> {
    let facts = facts(settings);
    Box::new(move |view| {
        let currency = view.order.total.map(|total| total.currency);
        let facts = Facts { read_at: view.now, currency, ..facts.clone() };
        let mut held: Option<Held> = None;
        loop {
            let receipt = held.as_ref().map(Held::receipt);
            match plan(Shop { settings, facts: &facts }, &View { receipt: receipt.as_ref().or(view.receipt), ..*view })
            {
                Plan::Send(step) if step.name == name::RESOLVE => {
                    let Ok(Call::Resolve(wanted)) = Call::read(&step.body) else { return Plan::Send(step) };
                    let mut found = Held::of(step.receipt.as_ref()).unwrap_or_default();
                    resolve(&wanted, settings, products, view, &mut found);
                    if held.replace(found.clone()) == Some(found) {
                        return Plan::Send(step);
                    }
                }
                plan => return plan,
            }
        }
    })
}

fn facts(settings: &LightspeedSettings) -> Facts {
    let untaxed = settings.tax_ids.untaxed.clone().unwrap_or_else(|| NO_TAX.to_owned());
    let authors = settings.vendors.values().filter_map(|place| place.author_id.as_ref());
    let registers = settings.vendors.values().map(|place| (place.register_id.clone(), Register::default()));
    let payment_types = TENDERS.iter().filter_map(|(tender, _)| settings.payment_types.of(*tender));
    Facts {
        registers: registers.collect(),
        users: authors.chain([&settings.author_id]).cloned().collect(),
        taxes: [&settings.tax_ids.default, &untaxed].map(|id| (id.clone(), Some(Rate::none()))).into(),
        payment_types: payment_types.map(str::to_owned).collect(),
        no_tax: Some(untaxed),
        ..Facts::default()
    }
}

/// As if what was wanted had been looked for.
fn resolve(wanted: &Resolve, settings: &LightspeedSettings, products: &ProductCopy, view: &View<'_>, held: &mut Held) {
    let linked = |key: &str| products.linked.get(key).cloned();
    let own = |code: &str| linked(code).unwrap_or_else(|| format!("(code {code})"));
    for code in &wanted.services {
        held.products.insert(code.clone(), Product { id: own(code), generic: false });
    }
    let mut missing = Vec::new();
    for dish in &wanted.dishes {
        let named = || products.named(&dish.name);
        let product = match (linked(&dish.key).map_or_else(named, Ok), settings.missing_product) {
            (Ok(id), _) => Product { id, generic: false },
            (Err(_), MissingProduct::Create) => {
                Product { id: format!("(code {})", own_code(&dish.name)), generic: false }
            }
            (Err(_), MissingProduct::Generic) => {
                let generic = settings.products.service(Kind::Other);
                let id = generic.id.map_or_else(|| own(generic.code), str::to_owned);
                Product { id, generic: true }
            }
            (Err(nearest), MissingProduct::Hold) => {
                let perhaps = nearest.map(|nearest| format!(", perhaps {nearest:?}")).unwrap_or_default();
                missing.push(format!("{:?}{perhaps}", dish.name));
                continue;
            }
        };
        held.products.insert(dish.key.clone(), product);
    }
    if !missing.is_empty() {
        let detail = format!(
            "no product of the shop is known for {}: link one by its id in `items`, or let `bootstrap` read the shop's products",
            missing.join(", ")
        );
        held.missing = Some(Missing { at: view.now, detail });
    }
    if wanted.customer.is_some() {
        held.customer = Some(WhoBuys { named: Some(Named { id: CUSTOMER.to_owned(), how: Came::Linked }) });
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            facts::check,
            testing::{settings, settings_with},
        },
        *,
    };

    #[test]
    fn what_settings_name_is_presumed_to_be_there() {
        for settings in
            [settings(), settings_with(&[("tax_ids.untaxed", "another"), ("payment_types.goodwill", "one")])]
        {
            assert_eq!(check(&settings, &facts(&settings)), []);
        }
    }
}
