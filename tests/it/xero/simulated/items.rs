//! Lines that name Xero's items.

use scoffable_sync::simulator::{
    faults::{slow, status},
    xero::{Operation, Resource},
};

use super::*;
use crate::harness::app::PATIENCE;

/// The dish of the usual order, as it is a code.
const CODE: &str = "lamb kofta plate";

/// To make items, an application needs a right of its own.
async fn making_items() -> Books {
    let scopes = ["accounting.transactions", "accounting.contacts", "accounting.settings"];
    let options = XeroOptions { scopes: scopes.map(str::to_owned).into(), ..XeroOptions::default() };
    Books::at(&[("items", "create"), ("scopes", &scopes.join(" "))], options).await
}

impl Books {
    fn items(&self) -> Vec<String> {
        self.sim.by_hand(|books, _| books.items().iter().map(|item| item.code.clone()).collect())
    }

    /// What the lines of an order's invoice name.
    fn named_by(&self, order_id: &str) -> Vec<Option<String>> {
        self.sim.by_hand(|books, _| {
            let invoice = books.invoice(&format!("SCF-{order_id}")).expect("it is invoiced");
            invoice.lines.iter().map(|line| line.item_code.clone()).collect()
        })
    }
}

#[tokio::test]
async fn an_item_that_is_there_is_named_and_one_that_is_not_is_not_made() {
    let mut books = Books::with(&[("items", "match")]).await;
    books.sim.by_hand(|all, now| all.add_item_by_hand(CODE, "Kofta, as on the old menu", now));
    let before = books.sim.by_hand(|all, _| all.items().to_vec());

    books.bring(&order_with("1", 1, &[("Lamb Kofta  Plate", 1250), ("Naan", 290)])).await;

    assert_eq!(books.named_by("1"), [Some(CODE.to_owned()), None]);
    assert_eq!(books.sim.by_hand(|all, _| all.items().to_vec()), before, "it is left as it was");
    books.assert_comes_to("1", 1540, &[(ONLINE, 1540)]);
}

#[tokio::test]
async fn items_that_are_missing_are_made_once_and_no_stock_is_kept_of_them() {
    let mut books = making_items().await;
    let long = "Slow-roasted shoulder of lamb with rosemary, for two";

    for id in ["1", "2"] {
        books.app.stores(&order_with(id, 1, &[("Lamb Kofta Plate", 1250), (long, 3400)])).await;
    }
    books.app.run_to_rest().await;
    books.bring(&order_with("3", 1, &[("Lamb Kofta Plate", 1250)])).await;

    let items = books.items();
    assert_eq!((items.len(), items[0].as_str()), (2, CODE));
    assert!(items[1].starts_with("slow-roasted-shoulde-") && items[1].len() == 29, "{items:?}");
    assert_eq!(books.named_by("2"), [Some(CODE.to_owned()), Some(items[1].clone())]);
    assert!(books.sim.by_hand(|all, _| all.items().iter().all(|item| item.is_sold && !item.is_purchased)));
    books.assert_comes_to("2", 4650, &[(ONLINE, 4650)]);
}

#[tokio::test]
async fn an_item_whose_maker_died_right_then_is_linked_by_the_next_and_not_made_again() {
    let mut books = making_items().await;
    books.bring(&order_with("0", 1, &[("Naan", 290)])).await;
    books.sim.answer_next_to(Operation::Create(Resource::Items), [slow(PATIENCE)]);
    books.app.stores(&order("1", 1, "accepted")).await;

    let Books { app, sim } = &mut books;
    let made = async {
        while !sim.by_hand(|all, _| all.items().iter().any(|item| item.code == CODE)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = made => {}
        sent = app.dispatch() => panic!("it hears of the item: {sent}"),
    }
    app.restart().await;
    app.run_to_rest().await;

    assert_eq!(books.items(), ["naan", CODE]);
    assert_eq!(books.named_by("1"), [Some(CODE.to_owned())]);
    let links = "SELECT count(*) FROM links WHERE kind = 'product' AND remote_id = 'lamb kofta plate'";
    assert_eq!(books.app.number(links).await, 1);
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
    books.assert_nothing_wrong();
}

/// The receipt once kept an item as made although Xero had refused it, and the invoice then named what was not there.
#[tokio::test]
async fn an_item_that_was_refused_is_asked_for_again_before_the_invoice_names_it() {
    let mut books = making_items().await;
    books.sim.answer_next_to(Operation::Create(Resource::Items), [status(400)]);

    books.bring_until_held(&order("1", 1, "accepted")).await;
    assert_eq!((books.items().len(), books.documents().len()), (0, 0));
    books.app.advance(Duration::from_hours(3));
    books.app.run_to_rest().await;

    assert_eq!((books.items(), books.named_by("1")), (vec![CODE.to_owned()], vec![Some(CODE.to_owned())]));
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
}
