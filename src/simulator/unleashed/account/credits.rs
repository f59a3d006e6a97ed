//! Free-entry credit notes. Source: Unleashed API documentation, `/CreditNotes`: they are parked, then completed.

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    Account, Desk, Line, Refusal, Tax, Totals,
    lines::{Sent, SentTotals, check_required, check_sum, put_line, read_date},
    read_guid, same_guid,
    stock::Way,
};
use crate::simulator::{
    amount::Fine,
    unleashed::{
        Guid,
        body::{CreditBody, CreditLineBody, OrderName},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreditStatus {
    Parked,
    Completed,
    Deleted,
}

impl CreditStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "Parked",
            Self::Completed => "Completed",
            Self::Deleted => "Deleted",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditNote {
    pub guid: Guid,
    pub number: String,
    pub date: NaiveDate,
    pub status: CreditStatus,
    pub reference: Option<String>,
    pub comments: Option<String>,
    pub customer_guid: Guid,
    pub warehouse_guid: Guid,
    /// The order it is said to be for.
    pub order_guid: Option<Guid>,
    pub invoice_number: Option<String>,
    pub currency: String,
    pub exchange_rate: Fine,
    pub tax_code: String,
    /// A fraction.
    pub tax_rate: Fine,
    pub totals: Totals,
    pub lines: Vec<Line>,
    pub created_at: DateTime<Utc>,
    pub modified_at: DateTime<Utc>,
}

impl CreditNote {
    fn tax(&self) -> Tax {
        Tax { code: self.tax_code.clone(), rate: self.tax_rate }
    }
}

impl Account {
    pub(in crate::simulator::unleashed) fn post_credit(
        &mut self,
        body: &CreditBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let sent = same_guid(None, body.guid.as_deref())?.filter(|guid| {
            // The path names no GUID, so nothing keeps a second one from coming about.
            desk.rules.keeps_credit_guids && self.credit_of(*guid).is_none()
        });
        let guid = sent.unwrap_or_else(|| self.new_guid());
        let note = self.read_credit(guid, body, None, desk)?;
        self.credits.push(note);
        Ok(self.credits.len() - 1)
    }

    pub(in crate::simulator::unleashed) fn put_credit(
        &mut self,
        guid: Guid,
        body: &CreditBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        same_guid(Some(guid), body.guid.as_deref())?;
        let at = self.parked_credit(guid)?;
        let mut note = self.read_credit(guid, body, Some(at), desk)?;
        note.created_at = self.credits[at].created_at;
        self.credits[at] = note;
        Ok(at)
    }

    fn read_credit(
        &mut self,
        guid: Guid,
        body: &CreditBody,
        place: Option<usize>,
        desk: Desk<'_>,
    ) -> Result<CreditNote, Refusal> {
        check_required(&body.expected(), desk)?;
        if let Some(status) = body.status.as_deref().filter(|status| *status != "Parked") {
            return Err(Refusal::bad(format!("Status {status} cannot be set")));
        }
        let number = match (body.credit_number.clone(), place) {
            (Some(number), _) => number,
            (None, Some(at)) => self.credits[at].number.clone(),
            (None, None) => self.new_number("CN"),
        };
        let is_taken = |(at, note): (usize, &CreditNote)| Some(at) != place && note.number == number;
        if self.credits.iter().enumerate().any(is_taken) {
            return Err(Refusal::bad(format!("CreditNumber {number} is used already")));
        }
        let customer_guid = self.named_customer(body.customer.as_ref())?;
        let warehouse_guid = self.named_warehouse(body.warehouse.as_ref())?;
        let (currency, exchange_rate) = self.named_currency(body.currency.as_ref(), body.exchange_rate)?;
        let tax = self.named_tax(body.tax.as_ref(), body.tax_rate)?;
        // Lines may also come one by one.
        let sent: Vec<Sent<'_>> = body.credit_lines.iter().flatten().map(Sent::from).collect();
        let lines = self.read_lines(&sent, &tax, desk)?;
        let totals = SentTotals { sub_total: body.sub_total, tax: body.tax_total, total: body.total };
        let totals = if lines.is_empty() { Totals::default() } else { Self::check_totals(&lines, totals, desk)? };
        let order_guid = body.sales_order.as_ref().map(|name| self.named_order(name)).transpose()?;
        if let Some(number) = body.invoice_number.as_deref()
            && !self.invoices.iter().any(|invoice| invoice.number == number)
        {
            return Err(Refusal::bad(format!("InvoiceNumber {number} was not found")));
        }
        let modified_at = self.touch(desk.now);
        Ok(CreditNote {
            guid,
            number,
            date: read_date("CreditDate", body.credit_date.as_deref(), desk.now)?,
            status: CreditStatus::Parked,
            reference: body.reference.clone(),
            comments: body.comments.clone(),
            customer_guid,
            warehouse_guid,
            order_guid,
            invoice_number: body.invoice_number.clone(),
            currency,
            exchange_rate,
            tax_code: tax.code,
            tax_rate: tax.rate,
            totals,
            lines,
            created_at: modified_at,
            modified_at,
        })
    }

    fn named_order(&self, name: &OrderName) -> Result<Guid, Refusal> {
        let order = match (name.guid.as_deref(), name.order_number.as_deref()) {
            (Some(guid), _) => self.order_of(read_guid("SalesOrder.Guid", guid)?),
            (None, Some(number)) => self.order(number),
            (None, None) => None,
        };
        order.map(|order| order.guid).ok_or_else(|| Refusal::bad("SalesOrder was not found"))
    }

    /// Adds a line, or changes the one the path names.
    pub(in crate::simulator::unleashed) fn save_credit_line(
        &mut self,
        guid: Guid,
        line: Option<Guid>,
        body: &CreditLineBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let at = self.parked_credit(guid)?;
        let note = &self.credits[at];
        if line.is_some_and(|line| !note.lines.iter().any(|other| other.guid == line)) {
            return Err(Refusal::not_found("Credit note line"));
        }
        let (tax, n_lines) = (note.tax(), note.lines.len());
        let line = same_guid(line, body.guid.as_deref())?;
        let mut read = self.read_line(&Sent::from(body), n_lines as u32 + 1, n_lines + 1, &tax, desk)?;
        read.guid = line.unwrap_or(read.guid);
        let mut lines = self.credits[at].lines.clone();
        put_line(&mut lines, read);
        self.set_credit_lines(at, lines, desk.now);
        Ok(at)
    }

    pub(in crate::simulator::unleashed) fn delete_credit_line(
        &mut self,
        guid: Guid,
        line: Guid,
        now: DateTime<Utc>,
    ) -> Result<usize, Refusal> {
        let at = self.parked_credit(guid)?;
        let mut lines = self.credits[at].lines.clone();
        lines.retain(|other| other.guid != line);
        if lines.len() == self.credits[at].lines.len() {
            return Err(Refusal::not_found("Credit note line"));
        }
        self.set_credit_lines(at, lines, now);
        Ok(at)
    }

    fn set_credit_lines(&mut self, at: usize, lines: Vec<Line>, now: DateTime<Utc>) {
        let totals = Totals::of(&lines);
        let modified_at = self.touch(now);
        let note = &mut self.credits[at];
        (note.lines, note.totals, note.modified_at) = (lines, totals, modified_at);
    }

    pub(in crate::simulator::unleashed) fn complete_credit(
        &mut self,
        guid: Guid,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let at = self.parked_credit(guid)?;
        let note = self.credits[at].clone();
        if note.lines.is_empty() {
            return Err(Refusal::bad("A credit note without lines cannot be completed"));
        }
        check_sum(note.totals, desk)?;
        if desk.rules.free_credit_returns_stock {
            self.move_goods(&note.lines, note.warehouse_guid, Way::In, desk.now);
        }
        self.credits[at].status = CreditStatus::Completed;
        self.credits[at].modified_at = self.touch(desk.now);
        Ok(at)
    }

    pub(in crate::simulator::unleashed) fn delete_credit(
        &mut self,
        guid: Guid,
        now: DateTime<Utc>,
    ) -> Result<usize, Refusal> {
        let at = self.parked_credit(guid)?;
        self.credits[at].status = CreditStatus::Deleted;
        self.credits[at].modified_at = self.touch(now);
        Ok(at)
    }

    fn parked_credit(&self, guid: Guid) -> Result<usize, Refusal> {
        let at = self.credits.iter().position(|note| note.guid == guid);
        let at = at.ok_or_else(|| Refusal::not_found("Credit note"))?;
        match self.credits[at].status {
            CreditStatus::Parked => Ok(at),
            other => Err(Refusal::bad(format!("A credit note that is {} cannot be changed", other.name()))),
        }
    }
}
