//! Registers, which are open or not. Each opening has an id of its own, to which the sales closed in it belong.

use chrono::{DateTime, Utc};

use super::{Desk, FIRST_VERSION, Refused, Store};

#[derive(Debug, Clone)]
pub struct Register {
    pub id: String,
    pub name: String,
    pub outlet_id: String,
    pub invoice_prefix: String,
    pub invoice_suffix: String,
    /// The number in the last invoice number that was given out.
    pub invoice_sequence: u64,
    /// Of the opening; none while it is closed.
    pub open_sequence_id: Option<String>,
    pub opened_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub version: u64,
}

impl Register {
    pub fn is_open(&self) -> bool {
        self.open_sequence_id.is_some()
    }
}

impl Store {
    pub(super) fn set_up_registers(&mut self, now: DateTime<Utc>) {
        for (at, plan) in self.shop.registers.clone().into_iter().enumerate() {
            let open_sequence_id = plan.is_open.then(|| self.new_id("opening"));
            self.registers.push(Register {
                id: plan.id,
                name: plan.name,
                outlet_id: plan.outlet_id,
                invoice_prefix: plan.invoice_prefix,
                invoice_suffix: plan.invoice_suffix,
                invoice_sequence: 0,
                opened_at: plan.is_open.then_some(now),
                closed_at: None,
                open_sequence_id,
                deleted_at: None,
                version: FIRST_VERSION + 500 + at as u64,
            });
        }
    }

    pub fn n_registers(&self) -> usize {
        self.registers.iter().filter(|register| register.deleted_at.is_none()).count()
    }

    pub(in super::super) fn register_place(&self, id: &str) -> Result<usize, Refused> {
        let found = self.registers.iter().position(|register| register.id == id && register.deleted_at.is_none());
        found.ok_or_else(|| Refused::missing("register", id))
    }

    /// Assumed: an open register is left as it is, and 409 says so.
    pub(in super::super) fn open_register(
        &mut self,
        id: &str,
        at: Option<DateTime<Utc>>,
        desk: Desk<'_>,
    ) -> Result<usize, Refused> {
        let place = self.register_place(id)?;
        if self.registers[place].is_open() {
            return Err(Refused::conflict("the register is open"));
        }
        self.switch(place, Some(at.unwrap_or(desk.now)), desk.now);
        Ok(place)
    }

    pub(in super::super) fn close_register(&mut self, id: &str, desk: Desk<'_>) -> Result<usize, Refused> {
        let place = self.register_place(id)?;
        if !self.registers[place].is_open() {
            return Err(Refused::conflict("the register is closed"));
        }
        self.switch(place, None, desk.now);
        Ok(place)
    }

    /// Opens it at a time, or closes it.
    pub(super) fn switch(&mut self, place: usize, opened_at: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        let opening = opened_at.map(|_| self.new_id("opening"));
        let version = self.next_version();
        let register = &mut self.registers[place];
        register.closed_at = opened_at.is_none().then_some(now);
        register.opened_at = opened_at.or(register.opened_at);
        register.open_sequence_id = opening;
        register.version = version;
    }

    pub(super) fn next_invoice_number(&mut self, register: usize) -> String {
        let version = self.next_version();
        let register = &mut self.registers[register];
        register.invoice_sequence += 1;
        register.version = version;
        format!("{}{}{}", register.invoice_prefix, register.invoice_sequence, register.invoice_suffix)
    }
}
