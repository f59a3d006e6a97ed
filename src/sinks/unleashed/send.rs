//! Sends steps, and says of each what Unleashed answered.
//!
//! What an answer says of GUIDs and numbers is not trusted, since they were seen to be null: ours are the truth, and what came
//! of a step is read. What Unleashed did not take is looked at once, because it may stand already, or a person may have been
//! faster; then it is written into the receipt, from which the plan goes on.
//!
//! Source: Unleashed API documentation, `/SalesOrders`, `/CreditNotes`, `/Products`.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use reqwest::Method;

use super::{
    api::{Asking, Heard},
    call::{Call, Change, Customer, DeleteLines, On, Post, PostCredit, Products, Read, Update, name},
    config::UnleashedSettings,
    customers::Customers,
    facts::KnownProduct,
    reading::Shared,
    receipt::{Document, Held, Refusal, Seen, Standing},
    signature::{Query, is_plain},
    wire::{self, Page},
};
use crate::{
    domain::{
        delivery::{About, Alert, Outcome, Reason, Receipt, Step},
        ids::SinkName,
        sale::normalised,
    },
    sinks::{
        Answer, Told,
        customers::{Came, Linker, Named},
        http::excerpt,
        links::LinkStore,
    },
};

pub const ORDERS: &str = "SalesOrders";
pub const CREDITS: &str = "CreditNotes";
const COMPLETE: &str = "Complete";
const PAGE_SIZE: &str = "200";
/// Most pages of credit notes that one is looked for on.
const MOST_PAGES: u32 = 20;

/// Why Unleashed did not take something, as receipts have it ([`Refusal::cause`]).
pub mod cause {
    pub const REJECTED: &str = "rejected_by_unleashed";
    /// What it is about is not there.
    pub const NOT_FOUND: &str = "not_found";
    /// It stands as it did: perhaps too little is in stock.
    pub const NOT_COMPLETED: &str = "not_completed";
}

/// A document stands under our GUID or reference and does not say what ours says.
pub const ADOPTION_CONFLICT: Told = Told {
    reason: "adoption_conflict",
    hint: "Unleashed has another document under this order's GUID or reference: look at it there; delete it, then retry, or \
           discard this one",
};

/// What it takes to send.
#[derive(Debug)]
pub struct Sender<'s> {
    pub sink: &'s SinkName,
    pub links: &'s dyn LinkStore,
    pub shared: &'s Shared,
    pub settings: &'s UnleashedSettings,
    pub timeout: Duration,
}

impl Sender<'_> {
    pub async fn send(&self, asking: &mut Asking<'_>, step: &Step) -> Answer {
        let (Ok(call), Ok(held)) = (Call::read(&step.body), Held::of(step.receipt.as_ref())) else {
            // Written by another version of this program.
            return Outcome::Reject { reason: Reason::Refused }.into();
        };
        let answer = match &call {
            Call::Customer(customer) => self.customer(asking, customer, held).await,
            Call::Products(products) => self.products(asking, products, held).await,
            Call::Order(post) => self.order(asking, post, held).await,
            Call::Complete(change) => self.complete(asking, change, held).await,
            Call::Update(update) => self.update(asking, update, held).await,
            Call::Delete(change) => self.delete(asking, change, held).await,
            Call::DeleteLines(lines) => self.delete_lines(asking, lines, held).await,
            Call::Credit(credit) => self.credit(asking, credit, held).await,
            Call::CompleteCredit(change) => self.complete_credit(asking, change, held).await,
            Call::Read(read) => read_all(asking, read, held).await,
        };
        asking.counted(answer.unwrap_or_else(|answer| answer))
    }

    async fn customer(&self, asking: &mut Asking<'_>, wanted: &Customer, mut held: Held) -> Result<Answer, Answer> {
        let linker =
            Linker { sink: self.sink, links: self.links, settings: &self.settings.customers, timeout: self.timeout };
        let found = linker.find(&mut Customers { asking }, &wanted.customer).await?;
        let house = || Named { id: self.settings.house_customer.clone(), how: Came::House };
        let (named, alert) = match found {
            Some(Ok(named)) => (named, None),
            Some(Err(why)) => (house(), Some(why.alert(&wanted.customer))),
            None => (house(), None),
        };
        held.customer = Some(named);
        Ok(delivered(Receipt { alert, ..held.known() }))
    }

    /// A product of ours that a person has given another code is left alone: `POST` would overwrite it.
    async fn products(&self, asking: &mut Asking<'_>, wanted: &Products, mut held: Held) -> Result<Answer, Answer> {
        let mut made = Vec::new();
        let mut last = None;
        for product in &wanted.products {
            let is_it = |there: &wire::Product| there.product_code.as_deref() == Some(product.code.as_str());
            let by_code = if is_plain(&product.code) {
                let query = Query::of(&[("productCode", product.code.as_str()), ("pageSize", PAGE_SIZE)]);
                let page: Page<wire::Product> = asking.list(&["Products"], &query).await?;
                page.items.into_iter().find(is_it)
            } else {
                None
            };
            let path = ["Products", product.guid.as_str()];
            let there = match by_code {
                Some(there) => Some(there),
                None => asking.read(&path, &Query::default()).await?,
            };
            match there {
                Some(there) if is_it(&there) && !there.obsolete => {
                    held.products.push(product.code.clone());
                    continue;
                }
                Some(_) => {
                    refuse_product(&mut held, product, asking.now());
                    continue;
                }
                None => {}
            }
            let heard = asking.write(Method::POST, &path, Some(product.body.get())).await?;
            if !heard.is_success() {
                refuse_product(&mut held, product, asking.now());
                last = Some(heard);
                continue;
            }
            held.products.push(product.code.clone());
            self.shared.has_product(KnownProduct {
                code: product.code.clone(),
                barcode: None,
                name: normalised(&product.code),
                shown: product.code.clone(),
            });
            if product.is_dish {
                made.push(product.code.clone());
            }
        }
        let alert = (!made.is_empty()).then(|| Alert {
            cause: "product_created",
            about: About::Shared(format!("product {}", made.join(", "))),
            detail: "made for an order that needed it: review its name, price and stock in Unleashed".to_owned(),
        });
        let answer = delivered(Receipt { alert, ..held.known() });
        Ok(match last {
            Some(heard) => told_by(&heard, answer),
            None => answer,
        })
    }

    async fn order(&self, asking: &mut Asking<'_>, post: &Post, mut held: Held) -> Result<Answer, Answer> {
        let on = &post.on;
        let heard = asking.write(Method::POST, &[ORDERS, &on.guid], Some(post.body.get())).await?;
        if heard.is_success() {
            held.made(&on.number, asking.now());
            held.changed(&on.number, modified_at(&heard));
            return Ok(delivered(held.known()));
        }
        // It may be there already, whatever this refusal says.
        let there = order_of(asking, &on.guid, &on.number).await.map_err(still_unknown)?;
        let answer = match there {
            Some(there) if adopted(&mut held, on, &there, asking.now()) => delivered(held.known()),
            Some(_) => conflict(),
            None => {
                let cause = if heard.is_not_found() { cause::NOT_FOUND } else { cause::REJECTED };
                self.refuse(&mut held, name::ORDER, on, cause, asking.now());
                delivered(held.known())
            }
        };
        Ok(told_by(&heard, answer))
    }

    async fn complete(&self, asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Answer, Answer> {
        let on = &change.on;
        let heard = asking.write(Method::POST, &[ORDERS, &on.guid, COMPLETE], None).await?;
        if heard.is_success() {
            held.changed(&on.number, None);
            return Ok(delivered(held.known()));
        }
        let there = order_of(asking, &on.guid, &on.number).await.map_err(still_unknown)?;
        held.restore(&change.before);
        if !took_in(&mut held, on, there.as_ref())? {
            self.refuse(&mut held, name::COMPLETE, on, cause::NOT_COMPLETED, asking.now());
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn update(&self, asking: &mut Asking<'_>, update: &Update, mut held: Held) -> Result<Answer, Answer> {
        let on = &update.on;
        let heard = asking.write(Method::PUT, &[ORDERS, &on.guid], Some(update.body.get())).await?;
        if heard.is_success() {
            held.changed(&on.number, modified_at(&heard));
            return Ok(delivered(held.known()));
        }
        let there = order_of(asking, &on.guid, &on.number).await.map_err(still_unknown)?;
        held.restore(&update.before);
        if !took_in(&mut held, on, there.as_ref())? {
            self.refuse(&mut held, name::UPDATE, on, cause::REJECTED, asking.now());
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn delete(&self, asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Answer, Answer> {
        let on = &change.on;
        let heard = asking.write(Method::DELETE, &[ORDERS, &on.guid], None).await?;
        if heard.is_success() || heard.is_not_found() {
            return Ok(delivered(held.known()));
        }
        let there = order_of(asking, &on.guid, &on.number).await.map_err(still_unknown)?;
        if there.as_ref().is_none_or(|there| !is_standing(there)) {
            return Ok(told_by(&heard, delivered(held.known())));
        }
        held.restore(&change.before);
        if !took_in(&mut held, on, there.as_ref())? {
            self.refuse(&mut held, name::DELETE, on, cause::REJECTED, asking.now());
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn delete_lines(
        &self,
        asking: &mut Asking<'_>,
        lines: &DeleteLines,
        mut held: Held,
    ) -> Result<Answer, Answer> {
        for line in &lines.lines {
            let heard = asking.write(Method::DELETE, &[ORDERS, "Lines", line], None).await?;
            if !heard.is_success() && !heard.is_not_found() {
                self.refuse(&mut held, name::DELETE_LINES, &lines.on, cause::REJECTED, asking.now());
                return Ok(told_by(&heard, delivered(held.known())));
            }
        }
        held.changed(&lines.on.number, None);
        Ok(delivered(held.known()))
    }

    /// Looked for first: nothing in its address keeps a second one from being made.
    async fn credit(&self, asking: &mut Asking<'_>, credit: &PostCredit, mut held: Held) -> Result<Answer, Answer> {
        let on = &credit.on;
        if let Some(there) = credit_of(asking, &on.number, credit.since).await? {
            return Ok(found_credit(held, on, &there, asking.now()));
        }
        let heard = asking.write(Method::POST, &[CREDITS, "FreeCredit"], Some(credit.body.get())).await?;
        if !heard.is_success() {
            self.refuse(&mut held, name::CREDIT, on, cause::REJECTED, asking.now());
            return Ok(told_by(&heard, delivered(held.known())));
        }
        let told: Option<wire::CreditNote> = heard.said();
        let is_ours =
            |note: &wire::CreditNote| note.guid.as_ref().is_some_and(|guid| guid.eq_ignore_ascii_case(&on.guid));
        if let Some(note) = told.filter(is_ours) {
            held.made(&on.number, asking.now());
            if let Some(document) = held.document_mut(&on.number) {
                document.told_number = note.credit_number;
            }
            return Ok(delivered(held.known()));
        }
        // It has a GUID of its own.
        let there = credit_of(asking, &on.number, credit.since).await.map_err(still_unknown)?;
        Ok(match there {
            Some(there) => found_credit(held, on, &there, asking.now()),
            None => heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer }),
        })
    }

    async fn complete_credit(
        &self,
        asking: &mut Asking<'_>,
        change: &Change,
        mut held: Held,
    ) -> Result<Answer, Answer> {
        let on = &change.on;
        let heard = asking.write(Method::POST, &[CREDITS, &on.guid, COMPLETE], None).await?;
        if heard.is_success() {
            return Ok(delivered(held.known()));
        }
        let since = change.before.since.unwrap_or(change.before.date);
        let there = credit_of(asking, &on.number, since).await.map_err(still_unknown)?;
        held.restore(&change.before);
        match there.as_ref().map(wire::CreditNote::standing) {
            Some(Standing::Completed) => held.seen_credit(&on.number, Standing::Completed, None),
            Some(Standing::Deleted) => held.seen_credit(&on.number, Standing::Deleted, None),
            _ => self.refuse(&mut held, name::COMPLETE_CREDIT, on, cause::NOT_COMPLETED, asking.now()),
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    fn refuse(&self, held: &mut Held, step: &str, on: &On, cause: &str, at: DateTime<Utc>) {
        // It may be that what was read of the account is true no more.
        self.shared.facts.contradicted(at);
        held.refuse(Refusal { step: step.to_owned(), about: on.number.clone(), cause: cause.to_owned(), at });
    }
}

fn refuse_product(held: &mut Held, product: &super::call::Product, at: DateTime<Utc>) {
    if product.is_dish {
        // The generic product stands for it.
        held.refused_products.push(product.code.clone());
        return;
    }
    let (step, cause) = (name::PRODUCTS.to_owned(), cause::REJECTED.to_owned());
    held.refuse(Refusal { step, about: product.code.clone(), cause, at });
}

/// The order of a GUID; none: it is not there. One that is not found is asked for by its number as well: an order that stands
/// is not to be made again, or taken for deleted, because of one odd 404.
pub async fn order_of(asking: &mut Asking<'_>, guid: &str, number: &str) -> Result<Option<wire::SalesOrder>, Answer> {
    let there: Option<wire::SalesOrder> = asking.read(&[ORDERS, guid], &Query::default()).await?;
    if there.is_some() || !is_plain(number) {
        return Ok(there);
    }
    let listed: Page<wire::SalesOrder> = asking.list(&[ORDERS], &Query::of(&[("orderNumber", number)])).await?;
    let is_it = |order: &wire::SalesOrder| order.guid.as_ref().is_some_and(|there| there.eq_ignore_ascii_case(guid));
    Ok(listed.items.into_iter().find(is_it))
}

/// The credit note of a reference, among those changed since a day. Assumed: deleted ones are left out.
pub async fn credit_of(
    asking: &mut Asking<'_>,
    reference: &str,
    since: NaiveDate,
) -> Result<Option<wire::CreditNote>, Answer> {
    let since = since.to_string();
    let query = Query::of(&[("modifiedSince", &since), ("pageSize", PAGE_SIZE)]);
    for page in 1..=MOST_PAGES {
        let number = page.to_string();
        let path: &[&str] = if page == 1 { &[CREDITS] } else { &[CREDITS, &number] };
        let listed: Page<wire::CreditNote> = asking.list(path, &query).await?;
        let found = listed.items.into_iter().find(|note| note.reference.as_deref() == Some(reference));
        if found.is_some() {
            return Ok(found);
        }
        if listed.pagination.number_of_pages.unwrap_or(1) <= page {
            return Ok(None);
        }
    }
    // Whether it is on a page that was not read is not known.
    Err(Outcome::Unknown { reason: Reason::UnreadableAnswer }.into())
}

fn is_standing(there: &wire::SalesOrder) -> bool {
    there.order_status.as_deref().is_none_or(|status| Standing::parse(status).stands())
}

/// Whether what stands there says what ours says: total, customer and a state that stands. Then it is ours.
pub fn adopted(held: &mut Held, on: &On, there: &wire::SalesOrder, at: DateTime<Utc>) -> bool {
    let (Some(currency), Some(document)) = (held.currency, held.document(&on.number)) else { return false };
    let Some(seen) = there.seen(currency) else { return false };
    if !is_same(document, &seen) {
        return false;
    }
    held.made(&on.number, at);
    if let Some(document) = held.document_mut(&on.number) {
        document.status = seen.status;
        document.modified_at = seen.modified_at;
    }
    true
}

fn is_same(document: &Document, seen: &Seen) -> bool {
    seen.status.stands()
        && seen.total_minor == document.gross_minor
        && seen.customer_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(&document.customer_id))
}

/// The same of a credit note, which may have a GUID and a number of its own.
pub fn adopted_credit(held: &mut Held, on: &On, there: &wire::CreditNote, at: DateTime<Utc>) -> bool {
    let Some(currency) = held.currency else { return false };
    let Some(document) = held.document_mut(&on.number) else { return false };
    let customer = there.customer.as_ref().and_then(|customer| customer.guid.as_deref());
    let total = there.total.as_ref().and_then(|total| total.minor(currency));
    let is_same = there.standing().stands()
        && total == Some(document.gross_minor)
        && customer.is_some_and(|id| id.eq_ignore_ascii_case(&document.customer_id));
    let Some(guid) = there.guid.as_ref().filter(|_| is_same) else { return false };
    document.guid.clone_from(guid);
    document.told_number.clone_from(&there.credit_number);
    document.status = there.standing();
    document.made_at = Some(at);
    true
}

fn found_credit(mut held: Held, on: &On, there: &wire::CreditNote, at: DateTime<Utc>) -> Answer {
    if adopted_credit(&mut held, on, there, at) {
        return delivered(held.known());
    }
    conflict()
}

fn conflict() -> Answer {
    Answer { told: Some(&ADOPTION_CONFLICT), ..Outcome::Reject { reason: Reason::Conflict }.into() }
}

/// Takes in what stands there after a change was refused. False: it can still be changed, so the refusal is about the change.
fn took_in(held: &mut Held, on: &On, there: Option<&wire::SalesOrder>) -> Result<bool, Unreadable> {
    let Some(currency) = held.currency else { return Ok(false) };
    let seen = match there {
        Some(there) => Some(there.seen(currency).ok_or(Unreadable)?),
        None => None,
    };
    if seen.as_ref().is_some_and(|seen| seen.status.is_open()) {
        return Ok(false);
    }
    held.seen(&on.number, seen.as_ref(), &on.order_id);
    Ok(true)
}

async fn read_all(asking: &mut Asking<'_>, read: &Read, mut held: Held) -> Result<Answer, Answer> {
    let Some(currency) = held.currency else { return Err(Outcome::Reject { reason: Reason::Refused }.into()) };
    for on in &read.orders {
        let seen = match order_of(asking, &on.guid, &on.number).await? {
            Some(there) => Some(there.seen(currency).ok_or(Unreadable)?),
            None => None,
        };
        held.seen(&on.number, seen.as_ref(), &on.order_id);
    }
    for (on, since) in &read.credits {
        if let Some(there) = credit_of(asking, &on.number, *since).await? {
            let total = there.total.as_ref().and_then(|total| total.minor(currency));
            held.seen_credit(&on.number, there.standing(), total);
        } else {
            held.seen_credit(&on.number, Standing::Deleted, None);
        }
    }
    held.was_read(read.version, asking.now());
    Ok(delivered(held.known()))
}

fn modified_at(heard: &Heard) -> Option<DateTime<Utc>> {
    heard.said::<wire::SalesOrder>()?.last_modified_on.map(|at| at.0)
}

/// An answer lacks what has to be known.
#[derive(Debug, Clone, Copy)]
pub struct Unreadable;

impl From<Unreadable> for Answer {
    fn from(_: Unreadable) -> Self {
        Outcome::Unknown { reason: Reason::UnreadableAnswer }.into()
    }
}

/// A look at what became of a write failed: then nothing is known of the write.
fn still_unknown(answer: Answer) -> Answer {
    Answer { outcome: Outcome::Unknown { reason: Reason::Conflict }, ..answer }
}

fn delivered(receipt: Receipt) -> Answer {
    Outcome::Delivered(receipt).into()
}

/// With what was heard, which may have been a refusal.
fn told_by(heard: &Heard, answer: Answer) -> Answer {
    let status = heard.answer.status;
    let excerpt = if status.is_success() { None } else { excerpt(&heard.answer.body) };
    Answer { http_status: Some(status.as_u16()), excerpt, ..answer }
}
