use super::*;
use crate::{
    domain::{
        delivery::Step,
        ids::{OrderId, OrderKey, SourceName},
    },
    sinks::{
        Counterpart,
        xero::{
            receipt::DocumentKind,
            testing::{CONTACT, day, gbp, line, settings, settings_with, target_of},
        },
    },
};

const VERSION: Version = Version(3);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn open(placed_on: &str, now: &str) -> (String, String, NaiveDate) {
    let Open { id, closes_at, dated } = Open::of(day(placed_on), gbp(), &settings(), at(now));
    (id, closes_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true), dated)
}

#[test]
fn a_day_is_closed_on_the_next_and_who_comes_later_goes_into_a_further_document() {
    // The clocks of London are an hour ahead in October, and go back on the 26th.
    let on_time = ("DAY-20251009-GBP".to_owned(), "2025-10-10T03:00:00Z".to_owned(), day("2025-10-09"));
    assert_eq!(open("2025-10-09", "2025-10-09T18:00:00Z"), on_time);
    assert_eq!(open("2025-10-09", "2025-10-10T02:59:59Z"), on_time);

    let late = |dated: &str, closes_at: &str| {
        let id = format!("DAY-{}-GBP-20251009", dated.replace('-', ""));
        (id, closes_at.to_owned(), day(dated))
    };
    assert_eq!(open("2025-10-09", "2025-10-10T03:00:00Z"), late("2025-10-10", "2025-10-11T03:00:00Z"));
    assert_eq!(open("2025-10-09", "2025-10-26T09:00:00Z"), late("2025-10-26", "2025-10-27T04:00:00Z"));
}

#[test]
fn a_time_that_clocks_are_put_forward_over_is_an_hour_later() {
    let settings = settings_with(&[("summary_at", "01:30")]);

    assert_eq!(closing(day("2026-03-28"), &settings), at("2026-03-29T01:30:00Z"));
    assert_eq!(closing(day("2026-03-27"), &settings), at("2026-03-28T01:30:00Z"));
}

fn gathered(held: &Held, minor: i64, now: &str) -> Plan {
    gather(held.clone(), &target_of(minor), VERSION, &settings(), at(now))
}

fn noted(plan: Plan) -> Held {
    let Plan::Note(Receipt { receipt, .. }) = plan else { panic!("not noted: {plan:?}") };
    Held::of(receipt.as_ref()).unwrap()
}

#[test]
fn an_order_is_noted_once_waits_for_the_closing_and_goes_elsewhere_when_it_was_left_out() {
    let held = noted(gathered(&Held::default(), 2329, "2025-10-09T19:00:00Z"));

    let place = held.summary.clone().unwrap();
    assert_eq!((place.id.as_str(), place.closed), ("DAY-20251009-GBP", false));
    let wait = |now| match gathered(&held, 2329, now) {
        Plan::Wait { wait, waiting_for: WaitingFor::Summary, .. } => wait.as_secs(),
        other => panic!("does not wait: {other:?}"),
    };
    assert_eq!(wait("2025-10-10T02:00:00Z"), 3660);
    assert_eq!(wait("2025-10-10T03:00:59Z"), 1);
    let again = noted(gathered(&held, 2329, "2025-10-10T03:01:00Z"));
    assert_eq!(again.summary.unwrap().id, "DAY-20251010-GBP-20251009");
    let changed = noted(gathered(&held, 1000, "2025-10-09T20:00:00Z"));
    assert_eq!(changed.summary.unwrap().id, "DAY-20251009-GBP");
}

#[test]
fn what_is_in_a_closed_document_is_never_gathered_again() {
    let mut held = noted(gathered(&Held::default(), 2329, "2025-10-09T19:00:00Z"));
    held.summary.as_mut().unwrap().closed = true;

    assert!(matches!(gathered(&held, 1000, "2025-10-12T19:00:00Z"), Plan::Park { reason: "summary_missing", .. }));
}

fn share(lines: &[(Kind, &str, i64)], payments: &[(Tender, &str, i64)]) -> Share {
    Share {
        currency: gbp(),
        day: day("2025-10-09"),
        dated: day("2025-10-09"),
        lines: lines.iter().map(|(kind, key, minor)| line(*kind, key, *minor)).collect(),
        tracking: Vec::new(),
        payments: payments
            .iter()
            .map(|(tender, account, minor)| Paid {
                tender: *tender,
                account: (*account).to_owned(),
                amount_minor: *minor,
            })
            .collect(),
        declared_minor: 0,
        remarks: Vec::new(),
    }
}

fn part(n: u32, share: &Share) -> Part {
    let source = SourceName::parse("main").unwrap();
    let order = OrderKey { source, order_id: OrderId::new(n.to_string()) };
    Part { order, version: VERSION, part: serde_json::to_value(share).unwrap() }
}

/// A day of two orders that come to 32.00.
fn shares() -> [Share; 2] {
    let paid = [(Tender::OnlineScoffable, "611", 1500), (Tender::VoucherScoffable, "611", 500)];
    [
        share(&[(Kind::Sales, "naan", 2100), (Kind::VendorVoucher, "", -100)], &paid),
        share(&[(Kind::Sales, "bhuna", 1000), (Kind::ServiceFee, "", 200)], &[(Tender::CashVendor, "612", 1200)]),
    ]
}

#[test]
fn a_day_has_one_line_for_each_class_and_one_payment_for_each_account() {
    let shares = shares();
    let parts = [part(1, &shares[0]), part(2, &shares[1])];

    let (target, dated) = target_of_parts(&parts);

    let lines: Vec<(Kind, &str, i64)> =
        target.lines.iter().map(|line| (line.kind, line.description.as_str(), line.gross_minor)).collect();
    let expected = [
        (Kind::Sales, "Goods, 2 lines", 3100),
        (Kind::VendorVoucher, "Vouchers (vendor), 1 line", -100),
        (Kind::ServiceFee, "Service fees, 1 line", 200),
    ];
    assert_eq!(lines, expected);
    let wanted = |tender, amount_minor| Wanted { tender, amount_minor };
    assert_eq!(target.payments, [wanted(Tender::OnlineScoffable, 2000), wanted(Tender::CashVendor, 1200)]);
    assert_eq!((target.gross_minor(), dated), (3200, day("2025-10-09")));
}

fn target_of_parts(parts: &[Part]) -> (Target, NaiveDate) {
    super::target_of(parts, &settings()).unwrap_or_else(|plan| panic!("{plan:?}"))
}

#[test]
fn what_is_tracked_apart_has_a_line_of_its_own() {
    let tracked = |outlet: &str| {
        let tracking = vec![TrackingOption { name: "Outlet".to_owned(), option: outlet.to_owned() }];
        Share { tracking, ..share(&[(Kind::Sales, "naan", 290)], &[]) }
    };
    let parts = [part(1, &tracked("Leeds")), part(2, &tracked("York")), part(3, &tracked("Leeds"))];

    let (target, _) = target_of_parts(&parts);

    let lines: Vec<(&str, i64)> =
        target.lines.iter().map(|line| (line.tracking[0].option.as_str(), line.gross_minor)).collect();
    assert_eq!(lines, [("Leeds", 580), ("York", 290)]);
}

#[test]
fn a_day_whose_account_is_named_no_more_waits_for_a_person() {
    let parts = [part(1, &share(&[(Kind::Sales, "naan", 290)], &[(Tender::CashVendor, "999", 290)]))];

    let plan = *super::target_of(&parts, &settings()).unwrap_err();

    assert!(matches!(plan, Plan::Wait { waiting_for: WaitingFor::Configuration, alert: Some(_), .. }), "{plan:?}");
}

/// The receipt of a day's document that was posted and paid.
fn posted(gross_minor: i64, accounts: &[(Tender, &str, i64)]) -> Held {
    let number = "SCF-DAY-20251009-GBP".to_owned();
    let payments = accounts.iter().zip(1..).map(|((tender, account, amount_minor), n)| Payment {
        reference: format!("{number}-P{n}-1"),
        id: Some(format!("payment-{n}")),
        tender: *tender,
        account: (*account).to_owned(),
        amount_minor: *amount_minor,
        on: number.clone(),
        date: Some(day("2025-10-10")),
        removed: false,
        reconciled: false,
    });
    Held {
        payments: payments.collect(),
        documents: vec![Document {
            kind: DocumentKind::Invoice,
            role: Role::Whole,
            number: number.clone(),
            id: Some("the-day".to_owned()),
            version: 1,
            date: day("2025-10-09"),
            contact_id: CONTACT.to_owned(),
            status: Standing::Paid,
            lines: Vec::new(),
            tracking: Vec::new(),
            gross_minor,
            told_minor: Some(gross_minor),
            applied_minor: gross_minor,
            updated_at: None,
            touched: true,
            edited: false,
            shared: None,
        }],
        currency: Some(gbp()),
        ..Held::default()
    }
}

fn planned(share: &Share, state: State, document: &Held) -> Plan {
    let gathered = Gathered {
        id: "DAY-20251009-GBP".to_owned(),
        closes_at: at("2025-10-10T03:00:00Z"),
        version: VERSION,
        closed: true,
        part: serde_json::to_value(share).unwrap(),
    };
    let receipt = Held { summary: Some(gathered.clone()), ..Held::default() }.receipt();
    let standing = document.receipt();
    let document = Counterpart { state, external_id: None, receipt: Some(&standing) };
    plan_part(&InSummary { receipt: Some(&receipt), gathered: &gathered, document })
}

fn stands(plan: Plan) -> (Held, Option<String>) {
    let Plan::Stands { version: VERSION, receipt: Receipt { receipt, notice, .. } } = plan else {
        panic!("does not stand: {plan:?}")
    };
    (Held::of(receipt.as_ref()).unwrap(), notice)
}

#[test]
fn orders_take_over_what_of_their_document_is_theirs_and_all_of_it_is_somebodys() {
    let day = posted(3200, &[(Tender::OnlineScoffable, "611", 2000), (Tender::CashVendor, "612", 1200)]);

    let taken = shares().map(|share| stands(planned(&share, State::Applied, &day)));

    let [(first, None), (second, None)] = taken else { panic!("{taken:?}") };
    assert_eq!((first.posted_minor(), second.posted_minor()), (2000, 1200));
    let document = &first.documents[0];
    assert_eq!((document.number.as_str(), document.status), ("SCF-DAY-20251009-GBP", Standing::Paid));
    assert_eq!(document.shared, Some(Shared { total_minor: 3200 }));
    assert!(!super::super::correct::is_editable(document, None));
    let paid: Vec<(Tender, i64)> = first.payments.iter().map(|paid| (paid.tender, paid.amount_minor)).collect();
    assert_eq!(paid, [(Tender::OnlineScoffable, 1500), (Tender::VoucherScoffable, 500)]);
    assert_eq!(first.summary, None);
}

#[test]
fn a_part_that_is_not_paid_whole_says_so() {
    let share = share(&[(Kind::Sales, "naan", 290)], &[(Tender::CashVendor, "612", 200)]);

    let (held, notice) = stands(planned(&share, State::Applied, &posted(290, &[(Tender::CashVendor, "612", 200)])));

    assert_eq!((held.documents[0].open_minor(), notice.as_deref()), (90, Some("partly_unpaid")));
}

#[test]
fn a_part_of_a_document_that_does_not_stand_is_for_a_person_unless_it_is_nothing() {
    let nothing = Held { currency: Some(gbp()), ..Held::default() };
    let parked = |plan| match plan {
        Plan::Park { reason, .. } => reason,
        other => panic!("not parked: {other:?}"),
    };

    assert_eq!(parked(planned(&shares()[0], State::Applied, &nothing)), "summary_missing");
    assert_eq!(parked(planned(&shares()[0], State::Skipped, &nothing)), "summary_discarded");
    let (held, notice) = stands(planned(&share(&[], &[]), State::Applied, &nothing));
    assert_eq!((held.posted_minor(), notice.as_deref()), (0, Some("nothing_to_post")));
}

#[test]
fn a_days_document_is_posted_under_its_name_and_paid_account_by_account() {
    let shares = shares();
    let parts = [part(1, &shares[0]), part(2, &shares[1])];
    let key = crate::domain::delivery::DeliveryKey {
        sink: crate::domain::ids::SinkName::parse("books").unwrap(),
        order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("DAY-20251009-GBP") },
    };
    let (settings, facts) = (settings(), super::super::testing::facts());
    let now = at("2025-10-10T03:00:05Z");
    let books = super::super::plan::Books { settings: &settings, facts: &facts };
    let summary =
        crate::sinks::Summary { key: &key, version: Version(1), receipt: None, parts: &parts, refused: None, now };

    let Plan::Send(Step { name, body, .. }) = super::super::plan::plan_summary(books, &summary) else {
        panic!("not sent")
    };

    let start = r#""InvoiceNumber":"SCF-DAY-20251009-GBP","Reference":"Scoffable orders of 2025-10-09""#;
    assert!(name == "invoice" && body.contains(start), "{body}");
    assert!(body.contains(r#""Date":"2025-10-09""#) && body.contains(r#""total_minor":3200"#), "{body}");
}
