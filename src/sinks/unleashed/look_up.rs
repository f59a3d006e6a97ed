//! What became of steps whose answers were lost: a reading for each.
//!
//! An order is asked for by its GUID, and by its number where that finds none; a credit note is looked for by its reference. What stands and says what ours says is ours;
//! what says something else is never touched, and a person looks.
//!
//! Source: Unleashed API documentation, `/SalesOrders`, `/CreditNotes`.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    api::Asking,
    call::{Call, Change, DeleteLines, On, Post, PostCredit, Update},
    receipt::{Held, Standing},
    send::{Unreadable, adopted, adopted_credit, credit_of, order_of},
    wire,
};
use crate::{
    domain::delivery::{Outcome, Reason, Sent},
    sinks::{Answer, Doubt, Finding},
};

/// One finding for each doubt, in their order.
pub async fn all(asking: &mut Asking<'_>, doubts: &[Doubt<'_>], timeout: Duration) -> Vec<Finding> {
    // What there is no time for is looked up next time.
    let ends = Instant::now() + timeout / 2;
    let mut findings = Vec::new();
    for doubt in doubts {
        let sought = Call::read(&doubt.step.body).and_then(|call| Ok((call, Held::of(doubt.step.receipt.as_ref())?)));
        findings.push(match sought {
            Err(_) => Finding::Failed(Outcome::Reject { reason: Reason::Refused }.into()),
            Ok(_) if Instant::now() >= ends => Finding::Failed(later()),
            Ok((call, held)) => one(asking, &call, held).await.unwrap_or_else(Finding::Failed),
        });
    }
    findings
}

async fn one(asking: &mut Asking<'_>, call: &Call, held: Held) -> Result<Finding, Answer> {
    Ok(match call {
        Call::Order(Post { on, .. }) => made(asking, on, held).await?,
        Call::Complete(Change { on, .. }) => completed(asking, on, held).await?,
        Call::Update(update) => updated(asking, update, held).await?,
        Call::Delete(Change { on, .. }) => deleted(asking, on, &held).await?,
        Call::DeleteLines(lines) => without_lines(asking, lines, held).await?,
        Call::Credit(credit) => credited(asking, credit, held).await?,
        Call::CompleteCredit(change) => credit_completed(asking, change, held).await?,
        // They look before they make, and are repeated.
        Call::Customer(_) | Call::Products(_) | Call::Read(_) => Finding::NotFound,
    })
}

async fn made(asking: &mut Asking<'_>, on: &On, mut held: Held) -> Result<Finding, Answer> {
    let Some(there) = order_of(asking, &on.guid, &on.number).await? else { return Ok(Finding::NotFound) };
    let now = asking.now();
    Ok(if adopted(&mut held, on, &there, now) { Finding::Stands(held.known()) } else { another(on) })
}

fn another(on: &On) -> Finding {
    let hint = format!(
        "adoption_conflict: Unleashed has a document {} whose total, customer or state is not ours: look at it there; adopt \
         its GUID, or delete it and retry",
        on.number
    );
    Finding::Ambiguous { hint }
}

async fn completed(asking: &mut Asking<'_>, on: &On, mut held: Held) -> Result<Finding, Answer> {
    let there = order_of(asking, &on.guid, &on.number).await?;
    let status = there.as_ref().and_then(|there| there.order_status.as_deref()).map(Standing::parse);
    if status.is_some_and(Standing::is_open) {
        return Ok(Finding::NotFound);
    }
    take_in(&mut held, on, there.as_ref())?;
    Ok(Finding::Stands(held.known()))
}

async fn updated(asking: &mut Asking<'_>, update: &Update, mut held: Held) -> Result<Finding, Answer> {
    let there = order_of(asking, &update.on.guid, &update.on.number).await?;
    take_in(&mut held, &update.on, there.as_ref())?;
    let is_ours = held.document(&update.on.number).is_some_and(|document| {
        !document.edited && document.told_minor == Some(document.gross_minor) && document.left_over.is_empty()
    });
    Ok(if is_ours { Finding::Stands(held.known()) } else { Finding::NotFound })
}

async fn deleted(asking: &mut Asking<'_>, on: &On, held: &Held) -> Result<Finding, Answer> {
    let there = order_of(asking, &on.guid, &on.number).await?;
    let status = there.as_ref().and_then(|there| there.order_status.as_deref()).map(Standing::parse);
    let stands = there.is_some() && status.is_none_or(Standing::stands);
    Ok(if stands { Finding::NotFound } else { Finding::Stands(held.known()) })
}

async fn without_lines(asking: &mut Asking<'_>, lines: &DeleteLines, mut held: Held) -> Result<Finding, Answer> {
    let there = order_of(asking, &lines.on.guid, &lines.on.number).await?;
    let is_left = |there: &wire::SalesOrder| {
        let guids = there.sales_order_lines.iter().filter_map(|line| line.guid.as_ref());
        guids.into_iter().any(|guid| lines.lines.contains(&guid.to_ascii_lowercase()))
    };
    if there.as_ref().is_some_and(is_left) {
        return Ok(Finding::NotFound);
    }
    take_in(&mut held, &lines.on, there.as_ref())?;
    Ok(Finding::Stands(held.known()))
}

async fn credited(asking: &mut Asking<'_>, credit: &PostCredit, mut held: Held) -> Result<Finding, Answer> {
    let Some(there) = credit_of(asking, &credit.on.number, credit.since).await? else { return Ok(Finding::NotFound) };
    let now = asking.now();
    let is_ours = adopted_credit(&mut held, &credit.on, &there, now);
    Ok(if is_ours { Finding::Stands(held.known()) } else { another(&credit.on) })
}

async fn credit_completed(asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Finding, Answer> {
    let since = change.before.since.unwrap_or(change.before.date);
    let there = credit_of(asking, &change.on.number, since).await?;
    let status = there.map_or(Standing::Deleted, |there| there.standing());
    if status.is_open() {
        return Ok(Finding::NotFound);
    }
    held.seen_credit(&change.on.number, status, None);
    Ok(Finding::Stands(held.known()))
}

fn take_in(held: &mut Held, on: &On, there: Option<&wire::SalesOrder>) -> Result<(), Unreadable> {
    let Some(currency) = held.currency else { return Err(Unreadable) };
    let seen = match there {
        Some(there) => Some(there.seen(currency).ok_or(Unreadable)?),
        None => None,
    };
    held.seen(&on.number, seen.as_ref(), &on.order_id);
    Ok(())
}

fn later() -> Answer {
    Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None }.into()
}
