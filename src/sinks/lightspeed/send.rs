//! Sends steps, and says of each what the shop answered.
//!
//! A sale is looked for by its id before it is made: what stands there is ours if it says the same, and is never touched if it
//! does not. Before a sale is changed it is read whole and compared with what was last known, so that what a person did there
//! is never overwritten. What the shop did not take is written into the receipt, from which the plan goes on.
//!
//! Source: Lightspeed, "2026-07 Sales API", "Sales: editing sales", "Sales returns".

use reqwest::Method;

use super::{
    api::{Asking, Heard, unsent},
    call::{Call, Change, Finish, Post, Read, Resolve, name},
    config::{ClosedRegister, CustomerMode, Verify},
    products::Finder,
    receipt::{Closed, Held, ReadMark, Refusal, Sale, Seen, WhoBuys},
    wire::{self, Amounts, Data, SaleBody, Shown, State, WrittenAs},
};
use crate::{
    domain::{
        delivery::{Outcome, Reason, Receipt, Step},
        money::Currency,
    },
    sinks::{Answer, Told, customers::Linker, http::excerpt},
};

/// A sale stands under our id and does not say what ours says.
pub const ADOPTION_CONFLICT: Told = Told {
    reason: "adoption_conflict",
    hint: "the shop has another sale under this order's id: look at it there; void it, then retry, or discard this one",
};

/// A sale that was made by us is not there any more, or was never there.
pub const SALE_GONE: Told = Told {
    reason: "sale_gone",
    hint: "a sale of this order is not found in the shop: look for it there, put it right by hand and discard this",
};

/// A return does not have the lines that are to be given back.
pub const RETURN_DIFFERS: Told = Told {
    reason: "return_differs",
    hint: "the return that the shop made lacks a line of the sale: finish it there by hand and discard this",
};

/// A reading that is younger needs no second look before a sale is taken back.
const READ_JUST_NOW: chrono::Duration = chrono::Duration::seconds(5);

/// What it takes to send.
#[derive(Debug)]
pub struct Sender<'s> {
    pub finder: Finder<'s>,
    /// Whether the shop has refused amounts that are text.
    pub amounts: &'s std::sync::atomic::AtomicBool,
}

/// What a sale is written for.
#[derive(Clone, Copy)]
enum Verb {
    Make,
    Change,
}

impl Verb {
    async fn send(self, asking: &mut Asking<'_>, id: &str, body: String) -> Result<Heard, Answer> {
        match self {
            Self::Make => asking.post_sale(body).await,
            Self::Change => asking.put_sale(id, body).await,
        }
    }
}

/// A step that the shop did not take.
#[derive(Clone, Copy)]
struct Refused {
    step: &'static str,
    /// Of the order, which it was for.
    version: i64,
}

/// What there is of a sale that is to be changed.
enum There {
    /// As it was left.
    Untouched(Box<Shown>),
    /// It is told in the receipt.
    Edited,
}

impl Sender<'_> {
    /// Sends one step.
    pub async fn send(&self, asking: &mut Asking<'_>, step: &Step) -> Answer {
        let (Ok(call), Ok(held)) = (Call::read(&step.body), Held::of(step.receipt.as_ref())) else {
            // Written by another version of this program.
            return Outcome::Reject { reason: Reason::Refused }.into();
        };
        let answer = match &call {
            Call::Resolve(resolve) => self.resolve(asking, resolve, held).await,
            Call::Sale(post) => self.post(asking, post, held).await,
            Call::Update(post) => self.update(asking, post, held).await,
            Call::Void(change) => self.void(asking, change, held).await,
            Call::BeginReturn(change) => self.begin_return(asking, change, held).await,
            Call::FinishReturn(finish) => self.finish_return(asking, finish, held).await,
            Call::Read(read) => self.read(asking, read, held).await,
        };
        asking.counted(answer.unwrap_or_else(|answer| answer))
    }

    async fn resolve(&self, asking: &mut Asking<'_>, resolve: &Resolve, mut held: Held) -> Result<Answer, Answer> {
        let mut alert = self.finder.find(asking, resolve, &mut held).await?;
        if let Some(customer) = &resolve.customer {
            let Finder { sink, links, settings, timeout, .. } = self.finder;
            let linker = Linker { sink, links, settings: &settings.customers, timeout };
            let found = linker.find(&mut super::customers::Customers { asking }, customer).await?;
            let named = match found {
                Some(Ok(named)) => Some(named),
                Some(Err(why)) => {
                    alert = Some(why.alert(customer));
                    None
                }
                None => None,
            };
            held.customer = Some(WhoBuys { named });
        }
        Ok(delivered(Receipt { alert, ..held.known() }))
    }

    async fn post(&self, asking: &mut Asking<'_>, post: &Post, mut held: Held) -> Result<Answer, Answer> {
        let version = brought(&held);
        let id = &post.sale.id;
        if let Some(shown) = asking.sale(id).await.map_err(unsent)? {
            return Ok(match adopted(held, post, &shown.sale) {
                Some(receipt) => delivered(receipt),
                None => conflict(),
            });
        }
        if let Some(answer) = self.closed(asking, &post.sale.register_id, &mut held, id).await? {
            return Ok(answer);
        }
        let heard = self.written(asking, &post.sale, Verb::Make).await?;
        if heard.status() == 409 {
            // Perhaps by its own id: the next look tells.
            return Err(heard.into_answer(Outcome::Unknown { reason: Reason::Conflict }));
        }
        if !heard.answer.status.is_success() {
            held.sales.retain(|sale| sale.id.as_deref() != Some(id));
            return Ok(self.refused(asking, &heard, held, Refused { step: name::SALE, version }));
        }
        self.verified(asking, &heard, held, id, post.currency).await
    }

    /// Whether the register is closed, where that matters: the answer then.
    async fn closed(
        &self,
        asking: &mut Asking<'_>,
        register_id: &str,
        held: &mut Held,
        sale_id: &str,
    ) -> Result<Option<Answer>, Answer> {
        let mode = self.finder.settings.closed_register;
        if mode == ClosedRegister::Post {
            return Ok(None);
        }
        let register: Option<Data<wire::Register>> =
            asking.read_as(&["registers", register_id], &[]).await.map_err(unsent)?;
        if register.and_then(|register| register.data.is_open) != Some(false) {
            return Ok(None);
        }
        if mode == ClosedRegister::Open {
            let path = ["registers", register_id, "actions", "open"];
            let heard = asking.write(Method::PUT, &path, "{}".to_owned()).await.map_err(unsent)?;
            if heard.answer.status.is_success() {
                return Ok(None);
            }
        }
        held.sales.retain(|sale| sale.id.as_deref() != Some(sale_id));
        held.closed = Some(Closed { register_id: register_id.to_owned(), at: asking.now() });
        Ok(Some(delivered(held.known())))
    }

    /// Writes a sale, with amounts as the shop wants them. A refusal of their form is found out about once.
    async fn written(&self, asking: &mut Asking<'_>, sale: &SaleBody, verb: Verb) -> Result<Heard, Answer> {
        let dialect = asking.dialect();
        let body = |amounts| wire::body(sale, dialect, amounts);
        let amounts = self.amounts();
        let heard = verb.send(asking, &sale.id, body(amounts)).await?;
        let refuses_form = matches!(heard.status(), 400 | 422) && says_form(&wire::said(&heard.answer.body));
        if amounts == Amounts::Numbers || !refuses_form {
            return Ok(heard);
        }
        let heard = verb.send(asking, &sale.id, body(Amounts::Numbers)).await?;
        if heard.answer.status.is_success() {
            self.amounts.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(heard)
    }

    fn amounts(&self) -> Amounts {
        if self.amounts.load(std::sync::atomic::Ordering::Relaxed) { Amounts::Numbers } else { Amounts::Text }
    }

    async fn update(&self, asking: &mut Asking<'_>, post: &Post, mut held: Held) -> Result<Answer, Answer> {
        let version = brought(&held);
        let id = &post.sale.id;
        let Some(before) = &post.before else { return Ok(Outcome::Reject { reason: Reason::Refused }.into()) };
        let shown = match self.there(asking, before, &mut held, post.currency).await? {
            There::Untouched(shown) => shown,
            There::Edited => {
                held.corrections_avoided -= 1;
                return Ok(delivered(held.known()));
            }
        };
        let Some(sale) = wire::changing(post.sale.clone(), &shown.whole, asking.dialect()) else {
            return Err(unsent(unreadable()));
        };
        let heard = self.written(asking, &sale, Verb::Change).await?;
        if !heard.answer.status.is_success() {
            restore(&mut held, before);
            held.corrections_avoided -= 1;
            return Ok(self.refused(asking, &heard, held, Refused { step: name::UPDATE, version }));
        }
        self.verified(asking, &heard, held, id, post.currency).await
    }

    async fn void(&self, asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Answer, Answer> {
        let version = brought(&held);
        let shown = match self.there(asking, &change.before, &mut held, change.currency).await? {
            There::Untouched(shown) => shown,
            There::Edited => return Ok(delivered(held.known())),
        };
        if opening_is_over(asking, &change.before, &held).await? {
            // It is read anew, and given back instead.
            restore(&mut held, &change.before);
            held.read = None;
            return Ok(delivered(held.known()));
        }
        let author_id = &self.finder.settings.author_id;
        let Some(body) = wire::voided(&shown.whole, asking.dialect(), author_id) else {
            return Err(unsent(unreadable()));
        };
        let heard = asking.put_sale(&change.id, body).await?;
        if !heard.answer.status.is_success() {
            restore(&mut held, &change.before);
            return Ok(self.refused(asking, &heard, held, Refused { step: name::VOID, version }));
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn begin_return(&self, asking: &mut Asking<'_>, change: &Change, mut held: Held) -> Result<Answer, Answer> {
        let version = brought(&held);
        if let There::Edited = self.there(asking, &change.before, &mut held, change.currency).await? {
            held.sales.retain(|sale| sale.id.is_some());
            return Ok(delivered(held.known()));
        }
        let heard = asking.begin_return(&change.id).await?;
        if !heard.answer.status.is_success() {
            held.sales.retain(|sale| sale.id.is_some());
            return Ok(self.refused(asking, &heard, held, Refused { step: name::BEGIN_RETURN, version }));
        }
        let Some(id) = wire::made_id(&heard.answer.body) else {
            return Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer }));
        };
        begun(&mut held, id, Some(&change.id));
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn finish_return(&self, asking: &mut Asking<'_>, finish: &Finish, mut held: Held) -> Result<Answer, Answer> {
        let version = brought(&held);
        let Some(shown) = asking.sale(&finish.id).await.map_err(unsent)? else { return Ok(gone()) };
        let dialect = asking.dialect();
        let before = &finish.before;
        let written_as = WrittenAs {
            api: dialect,
            amounts: self.amounts(),
            author_id: &self.finder.settings.author_id,
            register_id: &before.register_id,
            date: asking.now(),
        };
        if shown.sale.state() != Some(State::Parked) {
            // Closed or taken back by hand: whatever it gives back, it is not ours any more.
            if let Some(sale) = held.sale_mut(&finish.id) {
                sale.edited = true;
                sale.state = shown.sale.state().unwrap_or(State::Closed);
            }
            return Ok(delivered(held.known()));
        }
        let body = wire::finished_return(&shown.whole, &finish.lines, &finish.payments, written_as);
        let Some(body) = body else {
            return Ok(Answer { told: Some(&RETURN_DIFFERS), ..Outcome::Reject { reason: Reason::Conflict }.into() });
        };
        let heard = asking.put_sale(&finish.id, body).await?;
        if !heard.answer.status.is_success() {
            restore(&mut held, before);
            return Ok(self.refused(asking, &heard, held, Refused { step: name::FINISH_RETURN, version }));
        }
        self.verified(asking, &heard, held, &finish.id, finish.currency).await
    }

    /// Reads a sale that is to be changed, and whether it is as it was left.
    async fn there(
        &self,
        asking: &mut Asking<'_>,
        before: &Sale,
        held: &mut Held,
        currency: Currency,
    ) -> Result<There, Answer> {
        let id = before.id.as_deref().unwrap_or_default();
        let Some(shown) = asking.sale(id).await.map_err(unsent)? else { return Err(gone()) };
        let Some(seen) = seen(&shown.sale, currency) else { return Err(unsent(unreadable())) };
        let mut looked_at = before.clone();
        looked_at.look_at(seen);
        if !looked_at.edited {
            return Ok(There::Untouched(Box::new(shown)));
        }
        restore(held, &looked_at);
        Ok(There::Edited)
    }

    async fn read(&self, asking: &mut Asking<'_>, read: &Read, mut held: Held) -> Result<Answer, Answer> {
        let Some(currency) = held.currency else { return Err(unreadable()) };
        for id in &read.sales {
            let Some(shown) = asking.sale(id).await? else { return Ok(gone()) };
            let Some(seen) = seen(&shown.sale, currency) else { return Err(unreadable()) };
            if let Some(sale) = held.sale_mut(id) {
                sale.look_at(seen);
            }
        }
        let mut openings = std::collections::BTreeMap::new();
        for register_id in &read.registers {
            let register: Option<Data<wire::Register>> = asking.read_as(&["registers", register_id], &[]).await?;
            let register = register.map(|register| register.data);
            let open = register.filter(|register| register.is_open != Some(false));
            let opening = open.and_then(|register| register.register_open_sequence_id);
            openings.extend(opening.map(|opening| (register_id.clone(), opening)));
        }
        held.read = Some(ReadMark { version: read.version, at: asking.now(), openings });
        Ok(delivered(held.known()))
    }

    /// Reads back what a sale comes to that was just written, where that is wanted. What could not be read is left for later:
    /// the sale stands all the same.
    async fn verified(
        &self,
        asking: &mut Asking<'_>,
        heard: &Heard,
        mut held: Held,
        id: &str,
        currency: Currency,
    ) -> Result<Answer, Answer> {
        if self.finder.settings.verify == Verify::Now
            && let Ok(Some(shown)) = asking.sale(id).await
            && let Some(seen) = seen(&shown.sale, currency)
            && let Some(sale) = held.sale_mut(id)
        {
            sale.confirm(seen);
        } else if let Some(sale) = held.sale_mut(id) {
            // As it is known from before, it would pass for changed by hand.
            sale.mark = None;
        }
        Ok(told_by(heard, delivered(held.known())))
    }

    /// Writes down that the shop did not take it; what may contradict it is read anew.
    fn refused(&self, asking: &Asking<'_>, heard: &Heard, mut held: Held, what: Refused) -> Answer {
        self.finder.shared.facts.contradicted(asking.now());
        let Refused { step, version } = what;
        held.refuse(Refusal { step: step.to_owned(), status: heard.status(), version, at: asking.now() });
        // A product that is gone is not to be named again.
        held.products.clear();
        if self.finder.settings.customer_mode == CustomerMode::PerCustomer {
            held.customer = None;
        }
        told_by(heard, delivered(held.known()))
    }
}

/// Whether a refusal is about how amounts are written. Assumed: the words of the text, which are not documented.
fn says_form(said: &str) -> bool {
    ["number", "numeric", "string", "type", "unmarshal", "decimal"].into_iter().any(|word| said.contains(word))
}

/// What a sale says of itself. None: it lacks what has to be known.
pub fn seen(sale: &wire::Sale, currency: Currency) -> Option<Seen> {
    Some(Seen {
        state: sale.state()?,
        total_minor: sale.total_minor(currency),
        mark: sale.mark(),
        opening: sale.opening().map(str::to_owned),
    })
}

/// The receipt with a sale that stands there already, if it says what ours says.
pub fn adopted(mut held: Held, post: &Post, there: &wire::Sale) -> Option<Receipt> {
    let seen = seen(there, post.currency)?;
    let says_the_same = seen.state == post.sale.state
        && seen.total_minor.is_none_or(|total| total == post.total_minor)
        && there.order_id().is_none_or(|order_id| order_id == post.sale.order_id)
        && there.register_id().is_none_or(|register_id| register_id.eq_ignore_ascii_case(&post.sale.register_id));
    says_the_same.then(|| {
        if let Some(sale) = held.sale_mut(&post.sale.id) {
            sale.confirm(seen);
        }
        held.known()
    })
}

/// Fills in the shop's id of a return that was begun.
pub fn begun(held: &mut Held, id: String, of: Option<&str>) {
    let is_it = |sale: &&mut Sale| sale.id.is_none() && sale.of.as_deref() == of;
    if let Some(sale) = held.sales.iter_mut().find(is_it) {
        sale.id = Some(id);
    }
}

/// The version of the order that a step is for: that of the sale which it makes or changes.
fn brought(held: &Held) -> i64 {
    held.sales.iter().map(|sale| sale.version).max().unwrap_or_default()
}

/// Whether the register of a closed sale was closed since its opening was read, where that is a while ago: a sale is not taken
/// back then.
async fn opening_is_over(asking: &mut Asking<'_>, sale: &Sale, held: &Held) -> Result<bool, Answer> {
    let is_fresh = held.read.as_ref().is_none_or(|read| asking.now() - read.at < READ_JUST_NOW);
    if is_fresh || sale.state != State::Closed {
        return Ok(false);
    }
    let register: Option<Data<wire::Register>> =
        asking.read_as(&["registers", &sale.register_id], &[]).await.map_err(unsent)?;
    Ok(register.and_then(|register| register.data.register_open_sequence_id) != sale.opening)
}

/// A sale as it stood before.
fn restore(held: &mut Held, before: &Sale) {
    for sale in held.sales.iter_mut().filter(|sale| sale.id.is_some() && sale.id == before.id) {
        sale.clone_from(before);
    }
}

fn delivered(receipt: Receipt) -> Answer {
    Outcome::Delivered(receipt).into()
}

fn unreadable() -> Answer {
    Outcome::Unknown { reason: Reason::UnreadableAnswer }.into()
}

fn conflict() -> Answer {
    Answer { told: Some(&ADOPTION_CONFLICT), ..Outcome::Reject { reason: Reason::Conflict }.into() }
}

fn gone() -> Answer {
    Answer { told: Some(&SALE_GONE), ..Outcome::Reject { reason: Reason::NotFound }.into() }
}

/// With what the answer told of itself; of a refusal its beginning, masked.
fn told_by(heard: &Heard, answer: Answer) -> Answer {
    let excerpt = if heard.answer.status.is_success() { answer.excerpt } else { excerpt(&heard.answer.body) };
    Answer { http_status: Some(heard.status()), excerpt, limits: heard.limits.clone(), ..answer }
}
