//! Sales orders and the invoices that come of them.

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    Account, Desk, Line, Refusal, Totals,
    catalogue::stored,
    limited,
    lines::{Sent, SentTotals, check_required, check_sum, put_line, read_date},
    same_guid,
    stock::Way,
};
use crate::simulator::{
    amount::Fine,
    unleashed::{
        Guid,
        body::OrderBody,
        rules::{RequiredFields, SecondPost, WithoutStock},
    },
};

/// In characters. Source: Unleashed API documentation, `/Products`. Assumed: of orders, too.
const MAX_SOURCE_ID: usize = 500;

/// Where a sales order is. Source: Unleashed help centre, "Sales Order Statuses".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderStatus {
    Parked,
    /// A variant of parked, with a name of the merchant's.
    Custom(String),
    Placed,
    Backordered,
    Completed,
    Deleted,
}

impl OrderStatus {
    pub fn name(&self) -> &str {
        match self {
            Self::Parked => "Parked",
            Self::Custom(name) => name,
            Self::Placed => "Placed",
            Self::Backordered => "Backordered",
            Self::Completed => "Completed",
            Self::Deleted => "Deleted",
        }
    }

    /// It may be edited and deleted.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Parked | Self::Custom(_) | Self::Placed)
    }

    /// Its goods are kept for it.
    pub(super) fn allocates(&self) -> bool {
        matches!(self, Self::Placed | Self::Backordered)
    }
}

/// Where goods are to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub name: Option<String>,
    pub street: Option<String>,
    pub street_2: Option<String>,
    pub suburb: Option<String>,
    pub city: Option<String>,
    pub region: Option<String>,
    pub country: Option<String>,
    pub post_code: Option<String>,
    pub instruction: Option<String>,
    pub method: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalesOrder {
    pub guid: Guid,
    pub number: String,
    pub order_date: NaiveDate,
    pub required_date: NaiveDate,
    pub status: OrderStatus,
    pub customer_guid: Guid,
    pub customer_ref: Option<String>,
    pub warehouse_guid: Guid,
    pub currency: String,
    pub exchange_rate: Fine,
    pub tax_code: String,
    /// A fraction.
    pub tax_rate: Fine,
    pub taxable: bool,
    pub totals: Totals,
    pub discount_rate: Fine,
    pub source_id: Option<String>,
    pub comments: Option<String>,
    pub delivery: Delivery,
    pub lines: Vec<Line>,
    pub created_at: DateTime<Utc>,
    pub modified_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// What a completed order became. Everything else of it is its order's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    pub guid: Guid,
    pub number: String,
    pub order_guid: Guid,
    pub modified_at: DateTime<Utc>,
}

/// What a `POST` of an order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator::unleashed) struct Saved {
    pub at: usize,
    pub is_new: bool,
}

impl Account {
    pub(in crate::simulator::unleashed) fn post_order(
        &mut self,
        path: Option<Guid>,
        body: &OrderBody,
        desk: Desk<'_>,
    ) -> Result<Saved, Refusal> {
        let guid = same_guid(path, body.guid.as_deref())?;
        let standing = guid.and_then(|guid| self.order_place(guid));
        let is_free = |at: usize| self.orders[at].status == OrderStatus::Deleted && desk.rules.frees_guids;
        match standing {
            Some(at) if !is_free(at) => match desk.rules.second_post {
                SecondPost::Refused => Err(Refusal::conflict("A sales order with this Guid exists already")),
                SecondPost::Answered => Ok(Saved { at, is_new: false }),
                SecondPost::Overwrites => {
                    let at = self.change_order(at, body, desk)?;
                    Ok(Saved { at, is_new: false })
                }
            },
            _ => {
                let guid = guid.unwrap_or_else(|| self.new_guid());
                let order = self.read_order(guid, body, None, desk)?;
                Ok(Saved { at: stored(&mut self.orders, None, order), is_new: true })
            }
        }
    }

    pub(in crate::simulator::unleashed) fn put_order(
        &mut self,
        guid: Guid,
        body: &OrderBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        same_guid(Some(guid), body.guid.as_deref())?;
        let at = self.order_place(guid).ok_or_else(|| Refusal::not_found("Sales order"))?;
        self.change_order(at, body, desk)
    }

    fn change_order(&mut self, at: usize, body: &OrderBody, desk: Desk<'_>) -> Result<usize, Refusal> {
        check_open(&self.orders[at], "edited")?;
        let mut order = self.read_order(self.orders[at].guid, body, Some(at), desk)?;
        let before = &self.orders[at];
        if order.customer_guid != before.customer_guid {
            return Err(Refusal::bad("The customer of a sales order cannot be changed"));
        }
        order.created_at = before.created_at;
        if !desk.rules.put_removes_lines {
            let mut lines = before.lines.clone();
            order.lines.into_iter().for_each(|line| put_line(&mut lines, line));
            order.lines = lines;
            order.totals = Totals::of(&order.lines);
        }
        Ok(stored(&mut self.orders, Some(at), order))
    }

    fn read_order(
        &mut self,
        guid: Guid,
        body: &OrderBody,
        place: Option<usize>,
        desk: Desk<'_>,
    ) -> Result<SalesOrder, Refusal> {
        check_required(&body.expected(), desk)?;
        let number = match body.order_number.clone() {
            Some(number) if number.is_empty() => return Err(Refusal::bad("OrderNumber is empty")),
            Some(number) => number,
            None => self.new_number("SO"),
        };
        limited("OrderNumber", Some(&number), desk.rules.max_number)?;
        let is_taken = |(at, order): (usize, &SalesOrder)| {
            let is_free = order.status == OrderStatus::Deleted && desk.rules.frees_numbers;
            Some(at) != place && order.number == number && !is_free
        };
        if self.orders.iter().enumerate().any(is_taken) {
            return Err(Refusal::bad(format!("OrderNumber {number} is used already")));
        }
        limited("SourceId", body.source_id.as_deref(), MAX_SOURCE_ID)?;
        let status = match body.order_status.as_deref() {
            None | Some("Parked") => OrderStatus::Parked,
            Some("Placed") => OrderStatus::Placed,
            Some(other) => return Err(Refusal::bad(format!("OrderStatus {other} cannot be set"))),
        };
        let customer_guid = self.named_customer(body.customer.as_ref())?;
        let warehouse_guid = self.named_warehouse(body.warehouse.as_ref())?;
        let (currency, exchange_rate) = self.named_currency(body.currency.as_ref(), body.exchange_rate)?;
        let tax = self.named_tax(body.tax.as_ref(), body.tax_rate)?;
        let sent = body.sales_order_lines.as_deref().filter(|lines| !lines.is_empty());
        let sent = sent.ok_or_else(|| Refusal::bad("SalesOrderLines are missing"))?;
        if let Some(kind) = sent.iter().find_map(|line| line.line_type.as_deref()) {
            // Observed: "Charge" exists; its rules are not known, so nobody may rely on it.
            return Err(Refusal::bad(format!("LineType {kind} cannot be set")));
        }
        if desk.rules.required_fields == RequiredFields::All && sent.iter().any(|line| line.guid.is_none()) {
            return Err(Refusal::bad("Guid of a line is missing"));
        }
        let sent: Vec<Sent<'_>> = sent.iter().map(Sent::from).collect();
        let lines = self.read_lines(&sent, &tax, desk)?;
        self.check_lines_are_free(&lines, place)?;
        let totals = SentTotals { sub_total: body.sub_total, tax: body.tax_total, total: body.total };
        let totals = Self::check_totals(&lines, totals, desk)?;
        let modified_at = self.touch(desk.now);
        Ok(SalesOrder {
            guid,
            number,
            order_date: read_date("OrderDate", body.order_date.as_deref(), desk.now)?,
            required_date: read_date("RequiredDate", body.required_date.as_deref(), desk.now)?,
            status,
            customer_guid,
            customer_ref: body.customer_ref.clone(),
            warehouse_guid,
            currency,
            exchange_rate,
            tax_code: tax.code,
            tax_rate: tax.rate,
            taxable: body.taxable.unwrap_or(true),
            totals,
            discount_rate: body.discount_rate.unwrap_or_default(),
            source_id: body.source_id.clone(),
            comments: body.comments.clone(),
            delivery: Delivery {
                name: body.delivery_name.clone(),
                street: body.delivery_street_address.clone(),
                street_2: body.delivery_street_address2.clone(),
                suburb: body.delivery_suburb.clone(),
                city: body.delivery_city.clone(),
                region: body.delivery_region.clone(),
                country: body.delivery_country.clone(),
                post_code: body.delivery_post_code.clone(),
                instruction: body.delivery_instruction.clone(),
                method: body.delivery_method.clone(),
            },
            lines,
            created_at: modified_at,
            modified_at,
            completed_at: None,
        })
    }

    /// Assumed: a line's GUID is its own, in whichever order; one of a deleted order is free again.
    fn check_lines_are_free(&self, lines: &[Line], place: Option<usize>) -> Result<(), Refusal> {
        let others = self
            .orders
            .iter()
            .enumerate()
            .filter(|(at, order)| Some(*at) != place && order.status != OrderStatus::Deleted);
        let mut taken = others.flat_map(|(_, order)| &order.lines);
        if taken.any(|other| lines.iter().any(|line| line.guid == other.guid)) {
            return Err(Refusal::bad("Guid of a line is used in another sales order"));
        }
        Ok(())
    }

    /// Moves the goods and makes the invoice, or does what the rules say where the goods are not there.
    pub(in crate::simulator::unleashed) fn complete_order(
        &mut self,
        guid: Guid,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let at = self.order_place(guid).ok_or_else(|| Refusal::not_found("Sales order"))?;
        let order = self.orders[at].clone();
        if !order.status.is_open() && order.status != OrderStatus::Backordered {
            return Err(Refusal::bad(format!("A sales order that is {} cannot be completed", order.status.name())));
        }
        if !self.is_there(&order) {
            match desk.rules.without_stock {
                WithoutStock::Refused => return Err(Refusal::bad("There is not enough stock to complete the order")),
                WithoutStock::Backordered => {
                    self.orders[at].status = OrderStatus::Backordered;
                    self.orders[at].modified_at = self.touch(desk.now);
                    return Ok(at);
                }
                WithoutStock::Completed => {}
            }
        }
        self.move_goods(&order.lines, order.warehouse_guid, Way::Out, desk.now);
        let (guid, number, now) = (self.new_guid(), self.new_number("INV"), self.touch(desk.now));
        self.invoices.push(Invoice { guid, number, order_guid: order.guid, modified_at: now });
        let order = &mut self.orders[at];
        (order.status, order.modified_at, order.completed_at) = (OrderStatus::Completed, now, Some(now));
        Ok(at)
    }

    pub(in crate::simulator::unleashed) fn delete_order(
        &mut self,
        guid: Guid,
        now: DateTime<Utc>,
    ) -> Result<usize, Refusal> {
        let at = self.order_place(guid).ok_or_else(|| Refusal::not_found("Sales order"))?;
        check_open(&self.orders[at], "deleted")?;
        self.orders[at].status = OrderStatus::Deleted;
        self.orders[at].modified_at = self.touch(now);
        Ok(at)
    }

    pub(in crate::simulator::unleashed) fn delete_order_line(
        &mut self,
        line: Guid,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let at = self.place_of_line(line).ok_or_else(|| Refusal::not_found("Sales order line"))?;
        check_open(&self.orders[at], "edited")?;
        let mut lines = self.orders[at].lines.clone();
        lines.retain(|other| other.guid != line);
        if lines.is_empty() {
            // Assumed.
            return Err(Refusal::bad("The last line of a sales order cannot be deleted"));
        }
        let totals = Totals::of(&lines);
        check_sum(totals, desk)?;
        let modified_at = self.touch(desk.now);
        let order = &mut self.orders[at];
        (order.lines, order.totals, order.modified_at) = (lines, totals, modified_at);
        Ok(at)
    }

    pub(in crate::simulator::unleashed) fn place_of_line(&self, line: Guid) -> Option<usize> {
        let holds = |order: &SalesOrder| order.lines.iter().any(|other| other.guid == line);
        self.orders.iter().rposition(holds)
    }
}

fn check_open(order: &SalesOrder, what: &str) -> Result<(), Refusal> {
    if order.status.is_open() {
        return Ok(());
    }
    Err(Refusal::bad(format!("A sales order that is {} cannot be {what}", order.status.name())))
}
