//! How much memory it takes to read 20,000 records that were changed at Xero: the real command, of contacts, which come by the
//! page, and of items, which Xero tells all in one answer.
//!
//! Target: under 64 MB. `cargo bench --bench catalogue`; `RECORDS=n` changes the number. The memory is the command's own, as
//! the kernel tells it.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use scoffable_sync::simulator::xero::{XeroLimits, XeroOptions, XeroSim};
use secrecy::ExposeSecret;
use support::{Bench, assemble, at_books, command, settings};

const NOWHERE: &str = "http://127.0.0.1:9/";

#[tokio::main]
async fn main() {
    let records = std::env::var("RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut bench = Bench::start().await;
    let options = XeroOptions { limits: XeroLimits::NONE, ..XeroOptions::default() };
    let sim = XeroSim::start(options).await.expect("a loopback port is free");
    sim.by_hand(|books, now| {
        for n in 0..records {
            books.add_item_by_hand(&format!("dish-{n:05}"), &format!("Lamb as number {n} on the menu"), now);
            let id = books.add_contact_by_hand(&format!("Ines Marlow the {n}th"), now);
            books.edit_contact_by_hand(&id, now, |contact| {
                contact.email = Some(format!("ines.marlow.{n}@example.org"));
                contact.number = Some(format!("SCF-C-{n}"));
            });
        }
    });
    println!("{records} items and as many contacts, each of which is a customer of ours");
    let of_contacts = [("contacts", "per_customer"), ("customer_fields.id", "/customer/id")];
    for (what, more) in [("contacts, by the page", &of_contacts[..]), ("items, in one answer", &[("items", "match")])] {
        let (url, pool) = bench.database().await;
        let more = more.iter().map(|(key, value)| (format!("sinks.books.{key}"), (*value).to_owned()));
        let keys: Vec<(String, String)> = at_books(&sim).into_iter().chain(more).collect();
        let borrowed: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assemble(&settings(&url, NOWHERE, NOWHERE, &borrowed), &pool).await;
        let before = sim.journal().total();
        let variable = |key: &str| format!("SCOFFABLE_SYNC__{}", key.replace('.', "__").to_uppercase());
        let variables = keys.iter().map(|(key, value)| (variable(key), value));
        let run = support::run(command(url.expose_secret()).args(["bootstrap", "books", "--yes"]).envs(variables));
        let kept: i64 =
            sqlx::query_scalar("SELECT count(*) FROM catalogue_entities").fetch_one(&pool).await.expect("SQL");
        assert!(kept >= records, "{kept} were kept");
        let calls = sim.journal().total() - before;
        println!(
            "  {what:22} {:6.2} s  {:5.1} MiB at the most  {calls} calls",
            run.took.as_secs_f64(),
            run.peak_kib / 1024.0
        );
        pool.close().await;
    }
    bench.stop().await;
}
