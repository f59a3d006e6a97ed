//! Makes up the lives of orders and lays their versions into one stream.

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

use axum::body::Bytes;
use chrono::{DateTime, Utc};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;

use super::{
    Case, KNOWN_STATUSES, OrderTruth, Readability, StreamVersion, Vendor, VersionTruth, World, WorldOptions,
    deck::Deck,
    draft::{Delivery, Draft, IdForm, ItemTotals, Letters, Line, Quantities, Shape, Style, Tender, Timestamps},
    find_flag,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Between the placing of two orders.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(40);
/// From the placing of an order to its last version: a late refund after half as long again as planned, and the rest.
pub const LONGEST_LIFE: Duration = Duration::from_hours(50);

const VENDORS: [(&str, &str); 5] = [
    ("3f0c7a52-0d1e-4b8e-9a53-6f1d2c3b4a01", "Old Mill Kitchen"),
    ("3f0c7a52-0d1e-4b8e-9a53-6f1d2c3b4a02", "Harbour Noodles"),
    ("3f0c7a52-0d1e-4b8e-9a53-6f1d2c3b4a03", "Corner Grocer"),
    ("3f0c7a52-0d1e-4b8e-9a53-6f1d2c3b4a04", "Café Lindén"),
    ("vendor-example-e", "Night Bakery"),
];
const DISHES: [(&str, i64); 12] = [
    ("Lamb kofta plate", 1200),
    ("Falafel wrap", 780),
    ("Ramen", 1150),
    ("Gyoza", 540),
    ("Brie", 350),
    ("Red onion", 90),
    ("Sourdough loaf", 425),
    ("Sorbet", 600),
    ("Crème brûlée", 695),
    ("Jalapeño \"hot\" dip / 50 ml", 135),
    ("Still water", 150),
    ("Roast for four", 5890),
];
const COLOURFUL: [&str; 4] = ["🍜 Ramen \u{200d}special", "Борщ", "餃子 🥟", "Smørrebrød \u{1f1e9}\u{1f1f0}"];
const OPTIONS: [(&str, &str, Option<i64>); 5] = [
    ("Sauce", "Garlic", None),
    ("Extras", "Halloumi", Some(125)),
    ("Spice", "Hot", None),
    ("Size", "Large", Some(200)),
    ("Side", "Slaw", Some(95)),
];
const PEOPLE: [&str; 6] =
    ["Ada Example", "Björn Muster", "Chi Sample", "Dolores Ficción", "Emeka Invented", "Finn Madeup"];
const STREETS: [&str; 5] = ["Nowhere Lane", "Example Road", "Fable Street", "Invention Mews", "Sample Square"];
const UNKNOWN_STATUSES: [&str; 2] = ["on_hold", "awaiting_review"];

/// How an order ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    PlacedOnly,
    Accepted,
    Rejected,
    RejectedThenAccepted,
    AcceptedThenCancelled,
    CancelledThenAccepted,
    OnAndOffTwice,
    FirstSeenAccepted,
}

/// What happens to an accepted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    Substitution(Replacement, Price),
    Damage(Ids),
    OutOfStock,
    Edit,
    LateRefund,
    UnexplainedTotal,
}

/// How many originals are replaced by how many lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacement {
    OneByOne,
    ManyByOne,
    OneByMany,
    ManyByMany,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    Matched,
    Dearer,
    Goodwill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    OneKept,
    BothNew,
}

struct Decks {
    life: Deck<Life>,
    event: Deck<Event>,
    payment: Deck<Case>,
    fulfilment: Deck<Case>,
    timestamps: Deck<(Timestamps, Case)>,
    quantities: Deck<(Quantities, Case)>,
    item_totals: Deck<ItemTotals>,
    letters: Deck<Letters>,
    shape: Deck<Shape>,
    extras: Deck<bool>,
    id: Deck<Case>,
    currency: Deck<(&'static str, Case)>,
    discount: Deck<Option<Case>>,
    step: Deck<i64>,
    first: Deck<i64>,
    unchanged: Deck<bool>,
    unknown: Deck<Option<Case>>,
    late: Deck<bool>,
}

impl Decks {
    fn new() -> Self {
        Self {
            life: Deck::new(&[
                (8, Life::Accepted),
                (1, Life::PlacedOnly),
                (2, Life::Rejected),
                (2, Life::RejectedThenAccepted),
                (3, Life::AcceptedThenCancelled),
                (1, Life::CancelledThenAccepted),
                (1, Life::OnAndOffTwice),
                (2, Life::FirstSeenAccepted),
            ]),
            event: Deck::new(&[
                (8, Event::Nothing),
                (1, Event::Substitution(Replacement::OneByOne, Price::Matched)),
                (1, Event::Substitution(Replacement::OneByOne, Price::Dearer)),
                (1, Event::Substitution(Replacement::OneByOne, Price::Goodwill)),
                (1, Event::Substitution(Replacement::ManyByOne, Price::Matched)),
                (1, Event::Substitution(Replacement::OneByMany, Price::Dearer)),
                (1, Event::Substitution(Replacement::ManyByMany, Price::Matched)),
                (1, Event::Damage(Ids::OneKept)),
                (1, Event::Damage(Ids::BothNew)),
                (1, Event::OutOfStock),
                (1, Event::Edit),
                (2, Event::LateRefund),
                (1, Event::UnexplainedTotal),
            ]),
            payment: Deck::new(&[
                (5, Case::PaidOnline),
                (1, Case::PaidByVoucherAndCash),
                (1, Case::PaidByVoucherAndOnline),
                (1, Case::PaidInThreeWays),
                (1, Case::PaidByVoucherOnly),
                (2, Case::PaidAllCash),
                (1, Case::PaymentsAbsent),
                (1, Case::PaidUnknownWay),
            ]),
            fulfilment: Deck::new(&[
                (7, Case::Collection),
                (1, Case::UnknownOrderType),
                (6, Case::DeliveredByVendor),
                (6, Case::DeliveredByUber),
                (2, Case::Returned),
            ]),
            timestamps: Deck::new(&[
                (2, (Timestamps::Millis, Case::TimeAsMillis)),
                (2, (Timestamps::Text, Case::TimeAsText)),
                (1, (Timestamps::TextWithOffset, Case::TimeWithOffset)),
                (1, (Timestamps::Mixed, Case::TimeMixed)),
            ]),
            quantities: Deck::new(&[
                (6, (Quantities::Pair, Case::QuantityPair)),
                (2, (Quantities::Single, Case::QuantitySingle)),
                (1, (Quantities::All, Case::QuantityAllThree)),
            ]),
            item_totals: Deck::new(&[(5, ItemTotals::Line), (2, ItemTotals::Unit), (1, ItemTotals::Absent)]),
            letters: Deck::new(&[(6, Letters::Plain), (1, Letters::Escaped), (1, Letters::Colourful)]),
            shape: Deck::new(&[
                (12, Shape::Usual),
                (2, Shape::Shuffled),
                (2, Shape::Nulls),
                (1, Shape::Decimals),
                (2, Shape::Sparse),
            ]),
            extras: Deck::new(&[(4, false), (1, true)]),
            id: Deck::new(&[(8, Case::IdAsNumber), (1, Case::IdBeyondDoublePrecision), (1, Case::IdAsText)]),
            currency: Deck::new(&[
                (34, ("GBP", Case::Gbp)),
                (2, ("EUR", Case::Eur)),
                (2, ("USD", Case::Usd)),
                (1, ("JPY", Case::Jpy)),
                (1, ("KWD", Case::Kwd)),
            ]),
            discount: Deck::new(&[(12, None), (2, Some(Case::ItemVoucher)), (1, Some(Case::Offer))]),
            step: Deck::new(&[(12, 1), (1, 2), (1, 4)]),
            first: Deck::new(&[(19, 1), (1, 7)]),
            unchanged: Deck::new(&[(4, false), (1, true)]),
            unknown: Deck::new(&[
                (48, None),
                (1, Some(Case::UnknownStatusOnTheWay)),
                (1, Some(Case::UnknownStatusNewest)),
            ]),
            late: Deck::new(&[(39, false), (1, true)]),
        }
    }
}

/// An order while its life is being written.
struct Story<'a> {
    dice: &'a mut StdRng,
    decks: &'a mut Decks,
    draft: Draft,
    cases: BTreeSet<Case>,
    /// Since the epoch, in milliseconds.
    now_ms: u64,
    epoch: DateTime<Utc>,
    number: i64,
    versions: Vec<Written>,
}

struct Written {
    at_ms: u64,
    number: i64,
    status: &'static str,
    total: i64,
    payload: Vec<u8>,
}

pub fn write(options: WorldOptions, dice: &mut StdRng) -> World {
    let vendors: Vec<Vendor> =
        VENDORS.iter().map(|(id, name)| Vendor { id: (*id).to_owned(), name: (*name).to_owned() }).collect();
    let mut decks = Decks::new();
    let mut orders = BTreeMap::new();
    let mut stream: Vec<(Written, String, String)> = Vec::new();
    let mut truths: BTreeMap<String, (BTreeSet<Case>, &'static str)> = BTreeMap::new();
    let mut placed_ms = 0;
    for index in 0..options.orders {
        placed_ms += dice.random_range(1_000..LONGEST_PAUSE.as_millis() as u64);
        let story = Story::write(index, placed_ms, &options, &vendors, dice, &mut decks);
        let id = story.draft.id.text();
        truths.insert(id.clone(), (story.cases, story.draft.currency));
        stream.extend(story.versions.into_iter().map(|version| (version, id.clone(), story.draft.vendor.clone())));
    }
    // Stable, so that versions of one order that come about at once keep their order.
    stream.sort_by_key(|(version, _, _)| version.at_ms);
    let mut versions = Vec::with_capacity(stream.len());
    for (position, (written, id, vendor)) in stream.into_iter().enumerate() {
        let (cases, currency) = &truths[&id];
        orders
            .entry(id.clone())
            .or_insert_with(|| OrderTruth { id: id.clone(), cases: cases.clone(), versions: Vec::new() })
            .versions
            .push(VersionTruth {
                number: written.number,
                status: written.status.to_owned(),
                total_minor: written.total,
                currency: (*currency).to_owned(),
                readability: Readability::Clear,
                position,
            });
        versions.push(StreamVersion {
            at: Duration::from_millis(written.at_ms),
            order_id: Some(id),
            vendor: Some(vendor),
            number: written.number,
            flag: find_flag(&written.payload),
            payload: Bytes::from(written.payload),
        });
    }
    World { options, vendors, versions, orders }
}

impl<'a> Story<'a> {
    fn write(
        index: usize,
        placed_ms: u64,
        options: &WorldOptions,
        vendors: &[Vendor],
        dice: &'a mut StdRng,
        decks: &'a mut Decks,
    ) -> Self {
        let mut cases = BTreeSet::new();
        let life = decks.life.draw(dice);
        let vendor = &vendors[dice.random_range(0..vendors.len())];
        let id_case = decks.id.draw(dice);
        let id = make_id(index, id_case, options.seed);
        let (timestamps, time_case) = decks.timestamps.draw(dice);
        let (quantities, quantity_case) = decks.quantities.draw(dice);
        let (currency, currency_case) = decks.currency.draw(dice);
        let style = Style {
            timestamps,
            quantities,
            item_totals: decks.item_totals.draw(dice),
            letters: decks.letters.draw(dice),
            shape: decks.shape.draw(dice),
            extras: decks.extras.draw(dice),
        };
        cases.extend([id_case, time_case, quantity_case, currency_case]);
        cases.extend(match style.letters {
            Letters::Plain => None,
            Letters::Escaped => Some(Case::EscapedLetters),
            Letters::Colourful => Some(Case::Emoji),
        });
        cases.extend(match style.shape {
            Shape::Usual => None,
            Shape::Shuffled => Some(Case::ShuffledProperties),
            Shape::Nulls => Some(Case::NullFields),
            Shape::Decimals => Some(Case::DecimalAmounts),
            Shape::Sparse => Some(Case::SparseFields),
        });
        if style.extras {
            cases.insert(Case::UnknownFields);
        }
        let first = if life == Life::FirstSeenAccepted { 1 } else { decks.first.draw(dice) };
        if first > 1 {
            cases.insert(Case::FirstSeenMidLife);
        }
        let placed_at = options.epoch + Duration::from_millis(placed_ms);
        let draft = Draft {
            id,
            vendor: vendor.id.clone(),
            currency,
            status: "placed",
            kind: "collection",
            placed_at,
            accepted_at: None,
            cancelled_at: None,
            delivery: None,
            lines: Vec::new(),
            tenders: None,
            delivery_fee: None,
            service_fee: None,
            total: 0,
            style,
            padding: String::new(),
        };
        let mut story = Self {
            dice,
            decks,
            draft,
            cases,
            now_ms: placed_ms,
            epoch: options.epoch,
            number: first - 1,
            versions: Vec::new(),
        };
        story.fill_basket();
        story.choose_fulfilment();
        story.draft.total = story.draft.expected_total();
        story.choose_payment();
        story.pad(options.payload_bytes);
        story.live(life);
        story.shuffle_arrival();
        story
    }

    fn fill_basket(&mut self) {
        let lines = self.dice.random_range(1..5);
        for n in 0..lines {
            let (name, price) = DISHES[self.dice.random_range(0..DISHES.len())];
            let quantity = [1, 1, 1, 2, 3][self.dice.random_range(0..5)];
            let colourful = self.draft.style.letters == Letters::Colourful && n == 0;
            let mut line = Line {
                id: format!("line-{}", n + 1),
                name: if colourful { COLOURFUL[self.dice.random_range(0..COLOURFUL.len())] } else { name }.to_owned(),
                kind: "product",
                ordered: quantity,
                fulfilled: quantity,
                price,
                ..Line::default()
            };
            if self.draft.style.letters == Letters::Escaped && n == 0 {
                "Crème brûlée 🍮".clone_into(&mut line.name);
            }
            for _ in 0..self.dice.random_range(0..3) {
                line.options.push(OPTIONS[self.dice.random_range(0..OPTIONS.len())]);
            }
            if line.options.iter().any(|(_, _, surcharge)| surcharge.is_some()) {
                self.cases.insert(Case::PremiumOption);
            }
            self.draft.lines.push(line);
        }
        let discount = self.decks.discount.draw(self.dice);
        if let Some(case) = discount {
            let cheapest = self.draft.lines.iter().map(|line| line.price).min().unwrap_or(100);
            let (id, name, kind) = match case {
                Case::ItemVoucher => ("voucher-1", "WELCOME", "voucher"),
                _ => ("offer-1", "Buy two, third free", "offer"),
            };
            self.draft.lines.push(Line {
                id: id.to_owned(),
                name: name.to_owned(),
                kind,
                ordered: 1,
                fulfilled: 1,
                price: -(cheapest / 2).max(1),
                ..Line::default()
            });
            self.cases.insert(case);
        }
    }

    fn choose_fulfilment(&mut self) {
        let case = self.decks.fulfilment.draw(self.dice);
        self.cases.insert(case);
        self.draft.service_fee = self.dice.random_bool(0.7).then(|| self.dice.random_range(20..120));
        let provider = match case {
            Case::Collection => return,
            Case::UnknownOrderType => {
                self.draft.kind = "dine_in";
                return;
            }
            Case::DeliveredByVendor => "vendor",
            _ => "uber",
        };
        self.draft.kind = "delivery";
        self.draft.delivery_fee = Some(self.dice.random_range(150..450));
        let address = json!({
            "recipient": PEOPLE[self.dice.random_range(0..PEOPLE.len())],
            "phone": format!("+44 7700 900{:03}", self.dice.random_range(0..1000)),
            "line1": format!("{} {}", self.dice.random_range(1..200), STREETS[self.dice.random_range(0..STREETS.len())]),
            "city": "Exampleton",
            "postcode": format!("ZZ{} {}ZZ", self.dice.random_range(1..99), self.dice.random_range(1..9)),
            "notes": "Ring twice, mind the goose",
        });
        self.draft.delivery =
            Some(Delivery { provider, address, dispatched_at: None, delivered_at: None, returned_at: None });
    }

    fn choose_payment(&mut self) {
        let case = self.decks.payment.draw(self.dice);
        self.cases.insert(case);
        let total = self.draft.total;
        let third = total / 3;
        let online = |amount| Tender { kind: "online", collector: "scoffable", amount };
        let voucher = |amount| Tender { kind: "voucher", collector: "scoffable", amount };
        let cash = |amount| Tender { kind: "cash", collector: "vendor", amount };
        self.draft.tenders = match case {
            Case::PaidOnline => Some(vec![online(total)]),
            Case::PaidByVoucherAndCash => Some(vec![voucher(third), cash(total - third)]),
            Case::PaidByVoucherAndOnline => Some(vec![voucher(third), online(total - third)]),
            Case::PaidInThreeWays => Some(vec![voucher(third), online(third), cash(total - 2 * third)]),
            Case::PaidByVoucherOnly => Some(vec![voucher(total)]),
            Case::PaidAllCash => Some(vec![cash(total)]),
            Case::PaidUnknownWay => Some(vec![Tender { kind: "wallet", collector: "partner", amount: total }]),
            _ => None,
        };
    }

    fn pad(&mut self, payload_bytes: Option<usize>) {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789 -:";
        let Some(wanted) = payload_bytes else { return };
        let missing = wanted.saturating_sub(self.draft.render(1).len());
        self.draft.padding =
            (0..missing).map(|_| char::from(LETTERS[self.dice.random_range(0..LETTERS.len())])).collect();
    }

    fn live(&mut self, life: Life) {
        let unknown = self.decks.unknown.draw(self.dice);
        match life {
            Life::PlacedOnly => {
                self.emit("placed", 0);
                self.cases.insert(Case::PlacedOnly);
            }
            Life::Rejected => {
                self.emit("placed", 0);
                self.emit("rejected", 5 * MINUTE);
                self.cases.insert(Case::Rejected);
            }
            Life::RejectedThenAccepted => {
                self.emit("placed", 0);
                self.emit("rejected", 5 * MINUTE);
                self.emit("accepted", 10 * MINUTE);
                self.cases.insert(Case::RejectedThenAccepted);
                self.happen();
            }
            Life::FirstSeenAccepted => {
                self.emit("accepted", 0);
                self.cases.insert(Case::FirstSeenAccepted);
                self.happen();
            }
            Life::Accepted => {
                self.emit("placed", 0);
                self.emit("accepted", 3 * MINUTE);
                self.cases.insert(Case::Accepted);
                self.happen();
            }
            Life::AcceptedThenCancelled => {
                self.emit("placed", 0);
                self.emit("accepted", 3 * MINUTE);
                self.happen();
                self.emit("cancelled", 40 * MINUTE);
                self.cases.insert(Case::AcceptedThenCancelled);
            }
            Life::CancelledThenAccepted => {
                self.emit("placed", 0);
                self.emit("accepted", 3 * MINUTE);
                self.emit("cancelled", 10 * MINUTE);
                self.emit("accepted", 10 * MINUTE);
                self.cases.insert(Case::CancelledThenAccepted);
                self.happen();
            }
            Life::OnAndOffTwice => {
                self.emit("placed", 0);
                for _ in 0..2 {
                    self.emit("accepted", 3 * MINUTE);
                    self.emit("cancelled", 10 * MINUTE);
                }
                self.cases.insert(Case::OnAndOffTwice);
            }
        }
        self.insert_unknown_status(unknown);
    }

    /// What an accepted order goes through: an internal version, a courier, an event.
    fn happen(&mut self) {
        if self.decks.unchanged.draw(self.dice) {
            self.emit("accepted", 5 * MINUTE);
            self.cases.insert(Case::NothingVisibleChanged);
        }
        let event = self.decks.event.draw(self.dice);
        if event != Event::LateRefund {
            self.apply(event, 15 * MINUTE);
        }
        self.track_courier();
        if event == Event::LateRefund {
            self.apply(event, 30 * HOUR);
        }
    }

    fn track_courier(&mut self) {
        let tracked = self.draft.delivery.as_ref().is_some_and(|delivery| delivery.provider == "uber");
        if !tracked || self.dice.random_bool(0.3) && !self.cases.contains(&Case::Returned) {
            return;
        }
        let dispatched = self.later(20 * MINUTE);
        let arrived = self.later(15 * MINUTE);
        let returned = self.cases.contains(&Case::Returned);
        if let Some(delivery) = &mut self.draft.delivery {
            delivery.dispatched_at = Some(dispatched);
            if returned {
                delivery.returned_at = Some(arrived);
            } else {
                delivery.delivered_at = Some(arrived);
            }
        }
        self.emit("accepted", 0);
    }

    fn apply(&mut self, event: Event, wait_secs: u64) {
        match event {
            Event::Nothing => return,
            Event::Substitution(shape, price) => self.substitute(shape, price),
            Event::Damage(ids) => self.damage(ids),
            Event::OutOfStock => {
                let line = self.product();
                let line = &mut self.draft.lines[line];
                line.fulfilled = line.ordered - 1;
                self.draft.total = self.draft.expected_total();
                self.cases.insert(Case::OutOfStock);
            }
            Event::Edit => {
                self.draft.lines.push(Line {
                    id: "line-added".to_owned(),
                    name: "Still water".to_owned(),
                    kind: "product",
                    ordered: 1,
                    fulfilled: 1,
                    price: 150,
                    ..Line::default()
                });
                self.draft.total = self.draft.expected_total();
                self.choose_payment();
                self.cases.insert(Case::EditedOrder);
            }
            Event::LateRefund => {
                let refund = (self.draft.total / 4).max(1);
                self.adjust("refund-1", "Goodwill after complaint", -refund, &[]);
                self.draft.total = self.draft.expected_total();
                self.cases.insert(Case::LateRefund);
            }
            Event::UnexplainedTotal => {
                self.draft.total += 37;
                self.cases.insert(Case::UnexplainedTotal);
            }
        }
        self.emit("accepted", wait_secs);
    }

    /// The index of some product line.
    fn product(&mut self) -> usize {
        let products: Vec<usize> =
            (0..self.draft.lines.len()).filter(|n| self.draft.lines[*n].kind == "product").collect();
        products[self.dice.random_range(0..products.len())]
    }

    fn substitute(&mut self, shape: Replacement, price: Price) {
        let (originals, replacements, case) = match shape {
            Replacement::OneByOne => (1, 1, None),
            Replacement::ManyByOne => (2, 1, Some(Case::ManyForOneSubstitute)),
            Replacement::OneByMany => (1, 2, Some(Case::OneForManySubstitute)),
            Replacement::ManyByMany => (2, 2, Some(Case::ManyForManySubstitute)),
        };
        self.cases.extend(case);
        self.cases.insert(match price {
            Price::Matched => Case::PriceMatchedSubstitute,
            Price::Dearer => Case::DearerSubstitute,
            Price::Goodwill => Case::GoodwillSubstitute,
        });
        let mut products: Vec<usize> =
            (0..self.draft.lines.len()).filter(|n| self.draft.lines[*n].kind == "product").collect();
        // A basket that is too small for the shape gets its second product now, as if it had been there.
        while products.len() < originals {
            products.push(self.draft.lines.len());
            self.draft.lines.push(Line {
                id: "line-extra".to_owned(),
                name: "Red onion".to_owned(),
                kind: "product",
                ordered: 1,
                fulfilled: 1,
                price: 90,
                ..Line::default()
            });
            self.draft.total = self.draft.expected_total();
        }
        let before = self.draft.expected_total();
        let originals = &products[..originals];
        let old_ids: Vec<String> = originals.iter().map(|n| self.draft.lines[*n].id.clone()).collect();
        let new_ids: Vec<String> = (0..replacements).map(|n| format!("sub-{}", n + 1)).collect();
        let value: i64 = originals.iter().map(|n| self.draft.lines[*n].supplied()).sum();
        for n in originals {
            let line = &mut self.draft.lines[*n];
            line.fulfilled = 0;
            line.substituted_by.clone_from(&new_ids);
        }
        let replacements = new_ids.len() as i64;
        for id in &new_ids {
            self.draft.lines.push(Line {
                id: id.clone(),
                name: "Substitute of the house".to_owned(),
                kind: "product",
                ordered: 0,
                fulfilled: 1,
                price: (value + 130) / replacements + 1,
                substituted_for: old_ids.clone(),
                ..Line::default()
            });
        }
        match price {
            Price::Matched => {
                let back = before - self.draft.expected_total();
                let last = new_ids.last().cloned().unwrap_or_default();
                self.adjust("match-1", "Matched to original price", back, &[last]);
            }
            Price::Dearer => self.draft.total = self.draft.expected_total(),
            Price::Goodwill => {}
        }
    }

    fn damage(&mut self, ids: Ids) {
        let index = self.product();
        let mut whole = self.draft.lines.remove(index);
        // At least two units, so that the line has to be split; more were ordered from the start, as far as one sees.
        whole.ordered = whole.ordered.max(2);
        whole.fulfilled = whole.ordered;
        let mut good = Line { ordered: whole.ordered - 1, fulfilled: whole.ordered - 1, ..whole.clone() };
        let spoiled_id = format!("{}-b", whole.id);
        if ids == Ids::BothNew {
            good.id = format!("{}-a", whole.id);
        }
        let refund = -(whole.unit() / 2).max(1);
        let spoiled = Line { id: spoiled_id.clone(), ordered: 1, fulfilled: 1, ..whole };
        self.draft.lines.extend([good, spoiled]);
        self.adjust("damage-1", "Half refund, soggy", refund, &[spoiled_id]);
        self.draft.total = self.draft.expected_total();
        self.cases.insert(match ids {
            Ids::OneKept => Case::DamageKeepsId,
            Ids::BothNew => Case::DamageChangesIds,
        });
    }

    fn adjust(&mut self, id: &str, name: &str, amount: i64, lines: &[String]) {
        for line in &mut self.draft.lines {
            if lines.contains(&line.id) {
                line.related_adjustment = Some(id.to_owned());
            }
        }
        self.draft.lines.push(Line {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: "adjustment",
            ordered: 0,
            fulfilled: 1,
            price: amount,
            adjusts: lines.to_vec(),
            ..Line::default()
        });
    }

    /// Moves the clock by about this long and returns the new instant.
    fn later(&mut self, wait_secs: u64) -> DateTime<Utc> {
        if wait_secs > 0 {
            let wait_ms = wait_secs * 1000;
            self.now_ms += self.dice.random_range(wait_ms / 2..wait_ms * 3 / 2);
        }
        self.epoch + Duration::from_millis(self.now_ms)
    }

    fn emit(&mut self, status: &'static str, wait_secs: u64) {
        let at = self.later(wait_secs);
        if status != self.draft.status {
            match status {
                "accepted" => self.draft.accepted_at = Some(at),
                "rejected" | "cancelled" => self.draft.cancelled_at = Some(at),
                _ => {}
            }
            if status == "accepted" {
                self.draft.cancelled_at = None;
            }
        }
        self.draft.status = status;
        let step = if self.versions.is_empty() { 1 } else { self.decks.step.draw(self.dice) };
        if step > 1 {
            self.cases.insert(Case::GapInNumbers);
        }
        self.number += step;
        self.write_down();
    }

    fn write_down(&mut self) {
        self.versions.push(Written {
            at_ms: self.now_ms,
            number: self.number,
            status: self.draft.status,
            total: self.draft.total,
            payload: self.draft.render(self.number),
        });
    }

    /// A status nobody documents, at the end or followed by the one that stood before.
    fn insert_unknown_status(&mut self, case: Option<Case>) {
        let Some(case) = case else { return };
        let known = self.draft.status;
        let unknown = UNKNOWN_STATUSES[self.dice.random_range(0..UNKNOWN_STATUSES.len())];
        debug_assert!(!KNOWN_STATUSES.contains(&unknown), "an unknown status is unknown");
        self.later(10 * MINUTE);
        self.draft.status = unknown;
        self.number += 1;
        self.write_down();
        if case == Case::UnknownStatusOnTheWay {
            self.later(10 * MINUTE);
            self.draft.status = known;
            self.number += 1;
            self.write_down();
        }
        self.cases.insert(case);
    }

    /// Now and then the last but one version turns up after the last.
    fn shuffle_arrival(&mut self) {
        let count = self.versions.len();
        if count < 2 || !self.decks.late.draw(self.dice) {
            return;
        }
        self.versions[count - 2].at_ms = self.versions[count - 1].at_ms + 1;
        self.versions.swap(count - 2, count - 1);
        self.cases.insert(Case::LateVersion);
    }
}

fn make_id(index: usize, form: Case, seed: u64) -> IdForm {
    let index = index as i64;
    match form {
        // 2^53 + 1 is the first integer a double cannot hold.
        Case::IdBeyondDoublePrecision => IdForm::Number(9_007_199_254_740_993 + index * 2),
        Case::IdAsText => IdForm::Text(format!(
            "so-{:08x}-{index:06}",
            super::super::digest::short_hash(&[&seed.to_le_bytes()]) as u32
        )),
        _ => IdForm::Number(5_500_017 + index),
    }
}
