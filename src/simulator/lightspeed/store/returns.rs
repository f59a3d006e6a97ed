//! Returns: parked sales with what another one had, the other way round.
//!
//! Source: Lightspeed, "Returns"; changelog 2026-07, "Voiding of other parked returns" and "Prevent mixing of referenced and
//! unreferenced returns" (both read 2026-11-29).

use std::collections::BTreeMap;

use super::{Desk, Line, Refused, Sale, State, Store};
use crate::simulator::lightspeed::amount::Fine;

impl Store {
    /// A parked sale under an id of the server's, with all lines of a closed one.
    pub(in super::super) fn start_return(&mut self, id: &str, desk: Desk<'_>) -> Result<usize, Refused> {
        let at = self.sale_place(id).ok_or_else(|| Refused::missing("sale", id))?;
        let original = self.sales[at].clone();
        if original.state != State::Closed {
            return Err(Refused::wrong("only a closed sale can be returned"));
        }
        self.void_other_returns(&original.id, "", desk);
        let register = self.register_place(&original.register_id)?;
        let invoice_number = self.next_invoice_number(register);
        let own = self.new_id("sale");
        let lines = original.lines.iter().map(|line| {
            let id = self.new_id("line");
            Line { id, quantity: -line.quantity, is_price_set: true, ..line.clone() }
        });
        let lines = lines.collect();
        let parked = Sale {
            source_type: "USER".to_owned(),
            source_id: None,
            state: State::Parked,
            attributes: Vec::new(),
            date: desk.now,
            invoice_number,
            note: String::new(),
            short_code: own[..6].to_owned(),
            lines,
            payments: Vec::new(),
            return_for: Some(original.id.clone()),
            return_ids: Vec::new(),
            open_sequence_id: None,
            created_at: desk.now,
            updated_at: desk.now,
            version: 0,
            id: own.clone(),
            ..original
        };
        if desk.rules.returns_touch {
            self.change(at, desk.now, |sale| sale.return_ids.push(own));
        } else {
            self.sales[at].return_ids.push(own);
        }
        Ok(self.add_sale(parked))
    }

    /// Other parked returns of a sale than this one.
    pub(super) fn void_other_returns(&mut self, original: &str, but_for: &str, desk: Desk<'_>) {
        if !(desk.generation.is_strict() && desk.rules.return_rules) {
            return;
        }
        let is_other = |sale: &Sale| {
            sale.return_for.as_deref() == Some(original) && sale.state == State::Parked && sale.id != but_for
        };
        let others: Vec<usize> = (0..self.sales.len()).filter(|at| is_other(&self.sales[*at])).collect();
        for at in others {
            self.change(at, desk.now, |sale| sale.state = State::Voided);
        }
    }

    /// Whether a return may be closed.
    pub(super) fn check_return(&self, sale: &Sale, desk: Desk<'_>) -> Result<(), Refused> {
        let original = sale.return_for.as_deref().unwrap_or_default();
        let of_family = |one: &&Sale| one.return_for.as_deref() == Some(original) && one.state == State::Closed;
        let earlier = self.sales.iter().filter(of_family).filter(|one| one.id != sale.id);
        let mut left: BTreeMap<&str, Fine> = BTreeMap::new();
        for line in self.sale(original).into_iter().chain(earlier).flat_map(|one| &one.lines) {
            *left.entry(&line.product_id).or_default() += line.quantity;
        }
        for line in sale.lines.iter().filter(|line| line.is_return()) {
            let is_strict = desk.generation.is_strict() && desk.rules.return_rules;
            match left.get_mut(line.product_id.as_str()) {
                None if is_strict => {
                    return Err(Refused::wrong("a returned product is not part of the return's original sale"));
                }
                None => {}
                Some(left) => *left += line.quantity,
            }
        }
        if !desk.rules.takes_over_returns && left.values().any(|left| *left < Fine::ZERO) {
            return Err(Refused::wrong("more is returned than was sold"));
        }
        Ok(())
    }
}
