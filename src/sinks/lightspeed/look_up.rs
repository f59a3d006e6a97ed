//! What became of steps whose answers were lost: the sale is read by its id, a return by the sale that it is of.
//!
//! What stands and says what ours says is ours; what says something else is never touched, and a person looks.
//!
//! Source: Lightspeed, "2026-07 Sales API": `return.return_sale_ids`. The legacy dialect has no documented way from a sale to
//! its returns: there a person looks.

use super::{
    api::Asking,
    call::{Call, Change, Finish, Post},
    receipt::{Held, Sale},
    send::{adopted, begun, seen},
    wire::State,
};
use crate::{
    domain::delivery::{Outcome, Reason},
    sinks::{Answer, Doubt, Finding},
};

/// One finding for each doubt, in their order.
pub async fn all(asking: &mut Asking<'_>, doubts: &[Doubt<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for doubt in doubts {
        let read = (Call::read(&doubt.step.body), Held::of(doubt.step.receipt.as_ref()));
        let (Ok(call), Ok(held)) = read else {
            findings.push(Finding::Failed(Outcome::Reject { reason: Reason::Refused }.into()));
            continue;
        };
        let found = one(asking, &call, held).await.unwrap_or_else(Finding::Failed);
        findings.push(match found {
            Finding::Failed(answer) => Finding::Failed(asking.counted(answer)),
            other => other,
        });
    }
    findings
}

async fn one(asking: &mut Asking<'_>, call: &Call, held: Held) -> Result<Finding, Answer> {
    match call {
        Call::Sale(post) => posted(asking, post, held).await,
        Call::Update(post) => updated(asking, post, held).await,
        Call::Void(change) => voided(asking, change, held).await,
        Call::BeginReturn(change) => returned(asking, change, held).await,
        Call::FinishReturn(finish) => finished(asking, finish, held).await,
        // They look before they make, and are repeated.
        Call::Resolve(_) | Call::Read(_) => Ok(Finding::NotFound),
    }
}

async fn posted(asking: &mut Asking<'_>, post: &Post, held: Held) -> Result<Finding, Answer> {
    let Some(shown) = asking.sale(&post.sale.id).await? else { return Ok(Finding::NotFound) };
    Ok(match adopted(held, post, &shown.sale) {
        Some(receipt) => Finding::Stands(receipt),
        None => ambiguous(&format!(
            "adoption_conflict: the shop has a sale {} whose total, state or origin is not ours: look at it there; adopt its \
             id, or void it and retry",
            post.sale.invoice_number
        )),
    })
}

async fn updated(asking: &mut Asking<'_>, post: &Post, mut held: Held) -> Result<Finding, Answer> {
    let Some(shown) = asking.sale(&post.sale.id).await? else { return Ok(lost(&post.sale.invoice_number)) };
    let Some(seen) = seen(&shown.sale, post.currency) else { return Err(unreadable()) };
    let before = post.before.as_ref();
    let is_untouched = before.is_some_and(|before| before.mark.is_some() && before.mark == seen.mark);
    let is_as_wanted = seen.state == post.sale.state && seen.total_minor == Some(post.total_minor);
    if is_untouched || !is_as_wanted {
        return Ok(Finding::NotFound);
    }
    if let Some(sale) = held.sale_mut(&post.sale.id) {
        sale.confirm(seen);
    }
    Ok(Finding::Stands(held.known()))
}

async fn voided(asking: &mut Asking<'_>, change: &Change, held: Held) -> Result<Finding, Answer> {
    let Some(shown) = asking.sale(&change.id).await? else { return Ok(lost(&change.before.number)) };
    Ok(match shown.sale.state() {
        Some(State::Voided) => Finding::Stands(held.known()),
        Some(_) => Finding::NotFound,
        None => return Err(unreadable()),
    })
}

/// A parked return of the sale that is not known yet is the one that was begun: one is begun at a time.
async fn returned(asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Finding, Answer> {
    if asking.dialect() == super::config::Api::Legacy {
        return Ok(ambiguous(
            "a return may have been begun, and this version of the API does not tell: look at the sale in the shop; void a \
             parked return of it there, then retry",
        ));
    }
    let Some(shown) = asking.sale(&change.id).await? else { return Ok(lost(&change.before.number)) };
    let is_known = |id: &&String| held.sales.iter().any(|sale: &Sale| sale.id.as_ref() == Some(*id));
    let unknown: Vec<String> = shown.sale.returns().iter().filter(|id| !is_known(id)).cloned().collect();
    let mut parked = Vec::new();
    for id in unknown {
        let Some(back) = asking.sale(&id).await? else { continue };
        if back.sale.state() == Some(State::Parked) {
            parked.push(id);
        }
    }
    Ok(match (parked.pop(), parked.is_empty()) {
        (None, _) => Finding::NotFound,
        (Some(id), true) => {
            begun(&mut held, id, Some(&change.id));
            Finding::Stands(held.known())
        }
        (Some(_), false) => {
            ambiguous("the sale has several parked returns: void those that are not wanted, then retry")
        }
    })
}

async fn finished(asking: &mut Asking<'_>, finish: &Finish, mut held: Held) -> Result<Finding, Answer> {
    let Some(shown) = asking.sale(&finish.id).await? else { return Ok(lost("the return")) };
    let Some(seen) = seen(&shown.sale, finish.currency) else { return Err(unreadable()) };
    if seen.state != State::Closed {
        return Ok(Finding::NotFound);
    }
    if seen.total_minor.is_some_and(|total| total != finish.total_minor) {
        return Ok(ambiguous(
            "the return is closed in the shop and comes to something else than it should: put it right by hand, then discard",
        ));
    }
    if let Some(sale) = held.sale_mut(&finish.id) {
        sale.confirm(seen);
    }
    Ok(Finding::Stands(held.known()))
}

fn ambiguous(hint: &str) -> Finding {
    Finding::Ambiguous { hint: hint.to_owned() }
}

fn lost(number: &str) -> Finding {
    ambiguous(&format!("{number} is not found in the shop any more: look for it there, then discard"))
}

fn unreadable() -> Answer {
    Outcome::Unknown { reason: Reason::UnreadableAnswer }.into()
}
