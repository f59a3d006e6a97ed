//! What Unleashed itself says of orders that we hold there, to be compared with our receipts.
//!
//! Each document is read by itself: orders by GUID, credit notes by their number, or by their reference where none was told. An
//! order is worth its sales orders less its credit notes; what was deleted or is not found is worth nothing, whoever did that.
//!
//! Source: Unleashed API documentation, `/SalesOrders`, `/CreditNotes`, `creditNumber`.

use super::{
    api::Asking,
    receipt::{Document, DocumentKind, Held, Standing},
    send::{CREDITS, credit_of, order_of},
    signature::{Query, is_plain},
    wire::{CreditNote, Page},
};
use crate::{
    domain::{
        money::Currency,
        reconciliation::{Holding, Seen},
    },
    sinks::{Answer, OUT_OF_CALLS, Turns, untold},
};

/// A document's total cannot be read.
const TOTAL_UNTOLD: &str = "total_untold";
const UNREADABLE_RECEIPT: &str = "unreadable_receipt";

/// One for each, in their order.
pub async fn all(asking: &mut Asking<'_>, holdings: &[Holding], turns: &dyn Turns) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut stopped: Option<Seen> = None;
    for holding in holdings {
        let Ok(held) = Held::of(Some(&holding.receipt)) else {
            seen.push(Seen::Untold(UNREADABLE_RECEIPT.to_owned()));
            continue;
        };
        let worth = match &stopped {
            Some(stopped) => Err(stopped.clone()),
            None => worth(asking, &held, turns, &mut stopped).await,
        };
        seen.push(worth.unwrap_or_else(|untold| untold));
    }
    seen
}

/// `stopped` is said of all that comes after it.
async fn worth(
    asking: &mut Asking<'_>,
    held: &Held,
    turns: &dyn Turns,
    stopped: &mut Option<Seen>,
) -> Result<Seen, Seen> {
    let Some(currency) = held.currency else { return Ok(Seen::Worth(0)) };
    let mut worth = 0;
    for document in held.standing() {
        if !turns.next().await {
            return Err(stopped.insert(Seen::Untold(OUT_OF_CALLS.to_owned())).clone());
        }
        let before = asking.calls();
        let read = match document.kind {
            DocumentKind::Order => order_total(asking, document, currency).await,
            DocumentKind::Credit => credit_total(asking, document, currency).await,
        };
        let beside = (asking.calls() - before).saturating_sub(1);
        match read {
            Ok(total) => {
                turns.heard(&[], beside).await;
                worth += document.sign() * total.ok_or_else(|| Seen::Untold(TOTAL_UNTOLD.to_owned()))?;
            }
            Err(answer) => {
                turns.heard(&answer.limits, beside).await;
                return Err(stopped.insert(untold(&answer)).clone());
            }
        }
    }
    Ok(Seen::Worth(worth))
}

/// In minor units; 0 of what does not stand. None: it is not told, or in another currency.
async fn order_total(asking: &mut Asking<'_>, document: &Document, currency: Currency) -> Result<Option<i64>, Answer> {
    let Some(there) = order_of(asking, &document.guid, &document.number).await? else { return Ok(Some(0)) };
    let Some(status) = there.order_status.as_deref().map(Standing::parse) else { return Ok(None) };
    if !status.stands() {
        return Ok(Some(0));
    }
    let told = there.currency.as_ref().and_then(|currency| currency.currency_code.as_deref());
    if told.is_some_and(|code| code != currency.as_str()) {
        return Ok(None);
    }
    Ok(there.total.as_ref().and_then(|total| total.minor(currency)))
}

async fn credit_total(asking: &mut Asking<'_>, document: &Document, currency: Currency) -> Result<Option<i64>, Answer> {
    let there = match document.told_number.as_deref().filter(|number| is_plain(number)) {
        Some(number) => {
            let query = Query::of(&[("creditNumber", number)]);
            let page: Page<CreditNote> = asking.list(&[CREDITS], &query).await?;
            page.items.into_iter().find(|note| note.credit_number.as_deref() == Some(number))
        }
        None => credit_of(asking, &document.number, document.since.unwrap_or(document.date)).await?,
    };
    Ok(match there {
        Some(there) if there.standing().stands() => there.total.as_ref().and_then(|total| total.minor(currency)),
        _ => Some(0),
    })
}
