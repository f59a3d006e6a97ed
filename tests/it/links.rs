//! Links between our records and a destination's, on a real database, with several processes at them.

use std::time::Duration;

use scoffable_sync::{
    clock::Clock,
    domain::ids::SinkName,
    sinks::links::{How, Link, LinkKey, LinkKind, LinkStore, Linked, MayMake},
    store::links::Links,
};

use crate::harness::postgres::fresh_database;

const A_WHILE: Duration = Duration::from_secs(45);

async fn links() -> Links {
    Links { pool: fresh_database().await.pool().await, clock: Clock::default() }
}

fn sink() -> SinkName {
    SinkName::parse("books").unwrap()
}

fn customer<'a>(sink: &'a SinkName, local_key: &'a str) -> LinkKey<'a> {
    LinkKey { sink, kind: LinkKind::Customer, local_key }
}

fn linked(remote_id: &str, how: How) -> Link {
    Link { remote_id: remote_id.to_owned(), how, is_broken: false }
}

#[tokio::test]
async fn a_link_is_made_once_and_stays() {
    let (links, sink) = (links().await, sink());
    let key = customer(&sink, "C-77");

    assert_eq!(links.find(key).await.unwrap(), None);
    assert_eq!(links.link(key, "remote-1", How::Email).await.unwrap(), Linked::Yes);
    assert_eq!(links.link(key, "remote-1", How::Email).await.unwrap(), Linked::Yes);
    let other = links.link(key, "remote-2", How::Id).await.unwrap();

    assert_eq!(other, Linked::Otherwise(linked("remote-1", How::Email)));
    assert_eq!(links.find(key).await.unwrap(), Some(linked("remote-1", How::Email)));
}

#[tokio::test]
async fn a_customer_there_is_one_of_ours_and_a_product_may_have_many_names() {
    let (links, sink) = (links().await, sink());
    links.link(customer(&sink, "C-77"), "remote-1", How::Id).await.unwrap();
    let product = |local_key| LinkKey { sink: &sink, kind: LinkKind::Product, local_key };

    assert_eq!(links.link(customer(&sink, "C-78"), "remote-1", How::Email).await.unwrap(), Linked::Taken);
    assert_eq!(links.find(customer(&sink, "C-78")).await.unwrap(), None);
    assert_eq!(links.link(product("naan"), "remote-1", How::Name).await.unwrap(), Linked::Yes);
    assert_eq!(links.link(product("garlic naan"), "remote-1", How::Name).await.unwrap(), Linked::Yes);
}

#[tokio::test]
async fn a_persons_word_replaces_any_link_and_is_never_changed_by_the_program() {
    let (links, sink) = (links().await, sink());
    let key = customer(&sink, "C-77");
    links.link(key, "remote-1", How::Email).await.unwrap();

    assert_eq!(links.link(key, "remote-2", How::Manual).await.unwrap(), Linked::Yes);

    let manual = linked("remote-2", How::Manual);
    assert_eq!(links.link(key, "remote-3", How::Id).await.unwrap(), Linked::Otherwise(manual.clone()));
    assert_eq!(links.follow(key, "remote-3").await.unwrap(), Linked::Otherwise(manual.clone()));
    assert_eq!(links.find(key).await.unwrap(), Some(manual));
}

#[tokio::test]
async fn a_survivor_that_the_destination_names_is_followed_unless_it_is_another_customers() {
    let (links, sink) = (links().await, sink());
    links.link(customer(&sink, "C-77"), "remote-1", How::Created).await.unwrap();
    links.link(customer(&sink, "C-78"), "remote-2", How::Created).await.unwrap();

    assert_eq!(links.follow(customer(&sink, "C-77"), "remote-9").await.unwrap(), Linked::Yes);
    assert_eq!(links.follow(customer(&sink, "C-78"), "remote-9").await.unwrap(), Linked::Taken);

    assert_eq!(links.find(customer(&sink, "C-77")).await.unwrap(), Some(linked("remote-9", How::Created)));
    assert_eq!(links.find(customer(&sink, "C-78")).await.unwrap(), Some(linked("remote-2", How::Created)));
}

#[tokio::test]
async fn of_many_that_would_make_a_record_one_may_until_its_time_is_over() {
    let (links, sink) = (links().await, sink());
    let key = customer(&sink, "C-77");

    let asked = futures::future::join_all((0..8).map(|_| links.attempt(key, A_WHILE))).await;
    let may: Vec<MayMake> = asked.into_iter().map(Result::unwrap).collect();

    assert_eq!(may.iter().filter(|may| **may == MayMake::Yes).count(), 1);
    assert_eq!(may.iter().filter(|may| **may == MayMake::Busy).count(), 7);
    assert_eq!(links.find(key).await.unwrap(), None, "what is being made is no link yet");
    links.clock.advance(A_WHILE);
    assert_eq!(links.attempt(key, A_WHILE).await.unwrap(), MayMake::Yes);
    assert_eq!(links.link(key, "remote-1", How::Created).await.unwrap(), Linked::Yes);
    links.clock.advance(A_WHILE);
    assert_eq!(links.attempt(key, A_WHILE).await.unwrap(), MayMake::Linked(linked("remote-1", How::Created)));
}

#[tokio::test]
async fn sinks_do_not_see_each_others_links() {
    let (links, one, other) = (links().await, sink(), SinkName::parse("till").unwrap());
    links.link(customer(&one, "C-77"), "remote-1", How::Id).await.unwrap();

    assert_eq!(links.find(customer(&other, "C-77")).await.unwrap(), None);
    assert_eq!(links.link(customer(&other, "C-77"), "remote-1", How::Id).await.unwrap(), Linked::Yes);
}
