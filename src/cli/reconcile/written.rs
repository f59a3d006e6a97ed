//! How the books are written: as a table for people, as JSON, as CSV. Rows of orders are written as they come; the others
//! are few.

use std::io::{self, Write};

use serde_json::json;

use super::Format;
use crate::{
    cli::table,
    domain::{
        money::Currency,
        reconciliation::{Amounts, Kept, Parts, RowKey, Statement, Tally, Total, Verdict},
    },
    operate::reconcile::{Books, By, Reconcile, Row},
    store::{operations::Refusal, reconciliation::MoneySink},
};

/// An answer in the making.
pub struct Report<'a, W> {
    format: Format,
    request: &'a Reconcile,
    out: &'a mut W,
    sink: Option<MoneySink>,
    n_sinks: usize,
    n_orders: usize,
}

impl<'a, W: Write> Report<'a, W> {
    pub fn new(format: Format, request: &'a Reconcile, out: &'a mut W) -> Self {
        Self { format, request, out, sink: None, n_sinks: 0, n_orders: 0 }
    }

    /// Instead of an answer.
    pub fn refuse(&mut self, refusals: &[Refusal]) -> io::Result<()> {
        let refusals: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        match self.format {
            Format::Json => writeln!(self.out, "{:#}", json!({ "refused": refusals })),
            Format::Table | Format::Csv => refusals.iter().try_for_each(|refusal| writeln!(self.out, "{refusal}")),
        }
    }

    pub fn begin(&mut self) -> io::Result<()> {
        match self.format {
            Format::Table => Ok(()),
            Format::Json => writeln!(self.out, r#"{{"time_zone":"{}","sinks":["#, self.request.time_zone),
            Format::Csv => {
                let first: &[&str] = match self.request.by {
                    By::Day => &["sink", "day", "vendor_id", "currency", "orders"],
                    By::Vendor => &["sink", "vendor_id", "currency", "orders"],
                    By::Currency => &["sink", "currency", "orders"],
                    By::Order => &[
                        "sink",
                        "day",
                        "vendor_id",
                        "currency",
                        "source",
                        "order_id",
                        "placed_at",
                        "status",
                        "version",
                        "applied_version",
                        "state",
                        "reason",
                    ],
                };
                let parts = parts(&Parts::default()).map(|(name, _)| name.replace(' ', "_"));
                let last: &[&str] = match self.request.by {
                    By::Day | By::Vendor | By::Currency => &["differing_orders", "unverified_orders"],
                    By::Order => &[
                        "pending_reason",
                        "excluded_reason",
                        "verdict",
                        "notice",
                        "external_id",
                        "there_minor",
                        "unverified",
                    ],
                };
                let names = first.iter().map(|name| (*name).to_owned());
                let names = names.chain(AMOUNTS.map(|name| format!("{name}_minor")));
                let names = names.chain(parts.map(|name| format!("{name}_minor")));
                self.record(names.chain(last.iter().map(|name| (*name).to_owned())))
            }
        }
    }

    pub fn begin_sink(&mut self, sink: &MoneySink) -> io::Result<()> {
        self.sink = Some(sink.clone());
        self.n_orders = 0;
        let is_first = self.n_sinks == 0;
        self.n_sinks += 1;
        match self.format {
            Format::Csv => Ok(()),
            Format::Json => {
                let comma = if is_first { "" } else { "," };
                write!(self.out, r#"{comma}{{"sink":"{}","kind":"{}","rows":["#, sink.name, sink.kind)
            }
            Format::Table => {
                if !is_first {
                    writeln!(self.out)?;
                }
                writeln!(self.out, "{} ({}), days of {}", sink.name, sink.kind, self.request.time_zone)?;
                if self.request.by == By::Order {
                    self.order_line(ORDER_HEADINGS.map(str::to_owned))?;
                }
                Ok(())
            }
        }
    }

    /// One order, as it is read.
    pub fn order(&mut self, statement: &Statement) -> io::Result<()> {
        if self.request.by != By::Order {
            return Ok(());
        }
        self.n_orders += 1;
        match self.format {
            Format::Json => {
                writeln!(self.out, "{}", if self.n_orders == 1 { "" } else { "," })?;
                serde_json::to_writer(&mut *self.out, statement).map_err(io::Error::from)
            }
            Format::Csv => self.order_record(statement),
            Format::Table => {
                let shown = |minor| shown(minor, statement.currency);
                let [source, declared, posted, pending, excluded, difference] = amounts(&statement.amounts).map(shown);
                self.order_line([
                    self.request.day_of(statement).to_string(),
                    text(statement.vendor_id.as_ref()),
                    statement.order.to_string(),
                    named(statement.currency),
                    source,
                    declared,
                    posted,
                    pending,
                    excluded,
                    difference,
                    remark(statement),
                ])
            }
        }
    }

    pub fn end_sink(&mut self, books: &Books) -> io::Result<()> {
        match self.format {
            Format::Json => self.end_json(books),
            Format::Csv => self.rows_csv(books),
            Format::Table => self.end_table(books),
        }
    }

    pub fn end(&mut self, is_well: bool) -> io::Result<()> {
        match self.format {
            Format::Json => writeln!(self.out, r#"],"explained":{is_well}}}"#),
            Format::Table if self.n_sinks == 0 => writeln!(self.out, "no sink carries money"),
            Format::Csv | Format::Table => Ok(()),
        }
    }

    fn end_json(&mut self, books: &Books) -> io::Result<()> {
        for (n, (key, tally)) in books.rows.iter().enumerate() {
            writeln!(self.out, "{}", if n == 0 { "" } else { "," })?;
            serde_json::to_writer(&mut *self.out, &Row { key, tally })?;
        }
        let totals: Vec<&Total> = books.totals.by_currency().collect();
        write!(self.out, "\n],\"totals\":")?;
        serde_json::to_writer(&mut *self.out, &totals)?;
        write!(self.out, ",\"open\":")?;
        serde_json::to_writer(&mut *self.out, &books.totals.open)?;
        let Books { asked, cannot_be_asked, finished, .. } = books;
        write!(self.out, r#","asked":{asked},"cannot_be_asked":{cannot_be_asked},"finished":{finished},"#)?;
        writeln!(self.out, r#""explained":{}}}"#, books.is_well())
    }

    fn rows_csv(&mut self, books: &Books) -> io::Result<()> {
        let sink = self.sink_name();
        let by_currency = self.request.by == By::Currency;
        for (key, tally) in rows(books, self.request.by) {
            let of = |is_one: fn(&Statement) -> bool| {
                let day = |open: &Statement| key.day.is_none_or(|day| self.request.day_of(open) == day);
                let vendor = |open: &Statement| open.vendor_id.as_ref().map(ToString::to_string);
                let of_row = |open: &&Statement| {
                    let of_vendor = by_currency || vendor(open) == key.vendor_id;
                    is_one(open) && day(open) && of_vendor && open.currency == key.currency
                };
                let orders = books.totals.open.iter().filter(of_row).map(|open| open.order.to_string());
                orders.collect::<Vec<_>>().join(" ")
            };
            let differing = of(|open| open.verdict != Verdict::Unverified);
            let unverified = of(|open| open.verdict == Verdict::Unverified);
            let day = key.day.map(|day| day.to_string());
            let vendor = (!by_currency).then(|| text(key.vendor_id.as_ref()));
            let first = [Some(sink.clone()), day, vendor, Some(named(key.currency))];
            let first = first.into_iter().flatten().chain([tally.orders.to_string()]);
            let numbers = amounts(&tally.amounts).into_iter().chain(parts(&tally.parts).map(|(_, minor)| minor));
            let numbers = numbers.map(|minor| minor.to_string());
            self.record(first.chain(numbers).chain([differing, unverified]))?;
        }
        Ok(())
    }

    fn order_record(&mut self, statement: &Statement) -> io::Result<()> {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let first = [
            self.sink_name(),
            self.request.day_of(statement).to_string(),
            text(statement.vendor_id.as_ref()),
            named(statement.currency),
            statement.order.source.to_string(),
            statement.order.order_id.to_string(),
            statement.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            statement.status.to_string(),
            statement.version.to_string(),
            text(statement.applied_version.as_ref()),
            text(statement.state.as_ref()),
            optional(&statement.reason),
        ];
        let numbers = amounts(&statement.amounts).into_iter().chain(parts(&statement.parts).map(|(_, minor)| minor));
        let last = [
            optional(&statement.pending_reason),
            optional(&statement.excluded_reason),
            statement.verdict.as_str().to_owned(),
            optional(&statement.notice),
            optional(&statement.external_id),
            text(statement.there_minor.as_ref()),
            optional(&statement.unverified),
        ];
        self.record(first.into_iter().chain(numbers.map(|minor| minor.to_string())).chain(last))
    }

    fn record(&mut self, fields: impl Iterator<Item = String>) -> io::Result<()> {
        let fields: Vec<String> = fields.map(quoted).collect();
        // Source: RFC 4180.
        write!(self.out, "{}\r\n", fields.join(","))
    }

    fn end_table(&mut self, books: &Books) -> io::Result<()> {
        let first: Option<&[&str]> = match self.request.by {
            By::Day => Some(&["day", "vendor"]),
            By::Vendor => Some(&["vendor"]),
            By::Currency => Some(&[]),
            By::Order => None,
        };
        if let Some(first) = first {
            let headings = first.iter().copied().chain(["currency", "orders"]).chain(AMOUNTS);
            let rows = rows(books, self.request.by).into_iter();
            let rows: Vec<Vec<String>> = rows.map(|(key, tally)| row_cells(&key, &tally, self.request.by)).collect();
            table::write(self.out, &headings.collect::<Vec<_>>(), &rows)?;
        }
        if self.request.by != By::Currency {
            for total in books.totals.by_currency() {
                self.total(total)?;
            }
        }
        if !books.totals.open.is_empty() {
            writeln!(self.out, "\n  not explained ({})", books.totals.open.len())?;
            let headings = ["order", "day", "vendor", "version", "holds", "expected", "posted", "difference", "remark"];
            let rows: Vec<Vec<String>> = books.totals.open.iter().map(|open| self.open_cells(open)).collect();
            table::write(self.out, &headings, &rows)?;
        }
        writeln!(self.out, "\n{}: {}", self.sink_name(), verdict(books))
    }

    fn total(&mut self, total: &Total) -> io::Result<()> {
        let Total { currency, tally, pending, excluded } = total;
        let shown = |minor| shown(minor, *currency);
        let made_of = parts(&tally.parts).filter(|(name, minor)| *minor != 0 && *name != PLATFORM_VOUCHERS);
        let made_of: Vec<String> = made_of.map(|(name, minor)| format!("{name} {}", shown(minor))).collect();
        let by_reason = |kept: &std::collections::BTreeMap<String, Kept>| {
            let of = |(reason, kept): (&String, &Kept)| format!("{reason} {} ({})", shown(kept.minor), kept.orders);
            kept.iter().map(of).collect::<Vec<_>>().join(", ")
        };
        let remarks = [made_of.join(", "), String::new(), String::new(), by_reason(pending), by_reason(excluded)];
        let remarks = remarks.into_iter().chain([String::new()]);
        let of = |((name, minor), remark): ((&str, i128), String)| vec![name.to_owned(), shown(minor), remark];
        let mut rows: Vec<Vec<String>> =
            AMOUNTS.into_iter().zip(amounts(&tally.amounts)).zip(remarks).map(of).collect();
        if tally.parts.platform_vouchers != 0 {
            let remark = "a tender: paid by the platform's credit, inside the total".to_owned();
            rows.push(vec![PLATFORM_VOUCHERS.to_owned(), shown(tally.parts.platform_vouchers), remark]);
        }
        if tally.without_total > 0 {
            rows.push(vec!["no total".to_owned(), tally.without_total.to_string(), "counted as nothing".to_owned()]);
        }
        let currency = currency.map_or_else(|| "no currency".to_owned(), |currency| currency.to_string());
        writeln!(self.out)?;
        table::write(self.out, &[currency.as_str(), &orders(tally.orders), ""], &rows)
    }

    fn open_cells(&self, open: &Statement) -> Vec<String> {
        let shown = |minor| shown(minor, open.currency);
        let Amounts { source, declared, posted, pending, excluded, difference } = open.amounts;
        vec![
            open.order.to_string(),
            self.request.day_of(open).to_string(),
            text(open.vendor_id.as_ref()),
            open.version.to_string(),
            text(open.applied_version.as_ref()),
            shown(source + declared - pending - excluded),
            shown(posted),
            shown(open.difference_there().filter(|there| *there != 0).unwrap_or(difference)),
            remark(open),
        ]
    }

    fn order_line(&mut self, cells: [String; 11]) -> io::Result<()> {
        let [day, vendor, order, currency, amounts @ .., remark] = cells;
        write!(self.out, "  {day:10}  {vendor:12}  {order:20}  {currency:8}")?;
        for amount in amounts {
            write!(self.out, "  {amount:>10}")?;
        }
        writeln!(self.out, "{}", if remark.is_empty() { String::new() } else { format!("  {remark}") })
    }

    fn sink_name(&self) -> String {
        self.sink.as_ref().map(|sink| sink.name.to_string()).unwrap_or_default()
    }
}

const AMOUNTS: [&str; 6] = ["source", "declared", "posted", "pending", "excluded", "difference"];
const PLATFORM_VOUCHERS: &str = "platform vouchers";
const ORDER_HEADINGS: [&str; 11] =
    ["day", "vendor", "order", "currency", "source", "declared", "posted", "pending", "excluded", "difference", ""];

fn amounts(amounts: &Amounts) -> [i128; 6] {
    let Amounts { source, declared, posted, pending, excluded, difference } = *amounts;
    [source, declared, posted, pending, excluded, difference]
}

fn parts(parts: &Parts) -> impl Iterator<Item = (&'static str, i128)> + use<> {
    let Parts { goods, offers, vendor_vouchers, adjustments, refunds, other_items, fees, goodwill, residual, .. } =
        *parts;
    [
        ("goods", goods),
        ("offers", offers),
        ("vendor vouchers", vendor_vouchers),
        ("adjustments", adjustments),
        ("refunds", refunds),
        ("other items", other_items),
        ("fees", fees),
        ("goodwill", goodwill),
        ("residual", residual),
        (PLATFORM_VOUCHERS, parts.platform_vouchers),
    ]
    .into_iter()
}

/// By currency alone, the totals are the rows.
fn rows(books: &Books, by: By) -> Vec<(RowKey, Tally)> {
    if by != By::Currency {
        return books.rows.iter().map(|(key, tally)| (key.clone(), *tally)).collect();
    }
    let row = |total: &Total| (RowKey { day: None, vendor_id: None, currency: total.currency }, total.tally);
    books.totals.by_currency().map(row).collect()
}

fn row_cells(key: &RowKey, tally: &Tally, by: By) -> Vec<String> {
    let vendor = (by != By::Currency).then(|| text(key.vendor_id.as_ref()));
    let first = key.day.map(|day| day.to_string()).into_iter().chain(vendor);
    let last = [named(key.currency), tally.orders.to_string()].into_iter();
    first.chain(last).chain(amounts(&tally.amounts).map(|minor| shown(minor, key.currency))).collect()
}

/// What a person should know of an order, in a few words.
fn remark(statement: &Statement) -> String {
    let reason = |what: &str, reason: &Option<String>| reason.as_ref().map(|reason| format!("{what}: {reason}"));
    let there = statement.there_minor.filter(|minor| i128::from(*minor) != statement.amounts.posted);
    let remarks = [
        there.map(|minor| format!("stands there with {}", shown(minor.into(), statement.currency))),
        reason("not verified", &statement.unverified),
        statement.notice.clone(),
        reason("pending", &statement.pending_reason),
        reason("excluded", &statement.excluded_reason),
    ];
    remarks.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn verdict(books: &Books) -> String {
    let unverified = books.totals.open.iter().filter(|open| open.verdict == Verdict::Unverified).count();
    let differing = books.totals.open.len() - unverified;
    let mut said = vec![match differing {
        0 if books.totals.by_currency().next().is_none() => "no order is among these".to_owned(),
        0 => "nothing is unexplained".to_owned(),
        1 => "1 order differs".to_owned(),
        n => format!("{n} orders differ"),
    }];
    if books.asked > 0 {
        said.push(format!("{} read back", orders(books.asked)));
    }
    if unverified > 0 {
        said.push(format!("{} could not be verified", orders(unverified as u64)));
    }
    if books.cannot_be_asked {
        said.push("this destination cannot be asked what stands there".to_owned());
    }
    if !books.finished {
        said.push("interrupted: not all was looked at".to_owned());
    }
    said.join("; ")
}

fn orders(n: u64) -> String {
    if n == 1 { "1 order".to_owned() } else { format!("{n} orders") }
}

/// In major units, where the currency is known.
fn shown(minor: i128, currency: Option<Currency>) -> String {
    currency.map_or_else(|| minor.to_string(), |currency| currency.decimal(minor))
}

fn named(currency: Option<Currency>) -> String {
    text(currency.as_ref())
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A field of a CSV record. Source: RFC 4180.
fn quoted(field: String) -> String {
    let is_plain = !field.contains([',', '"', '\r', '\n']);
    if is_plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}
