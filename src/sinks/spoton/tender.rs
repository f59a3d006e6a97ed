//! How the order was paid, as the merchant's reports will name it. The money has moved elsewhere: every payment is
//! `EXTERNAL`, and together they are the grand total whatever the customer has paid.

use super::{
    mapping::{Remark, Sale},
    wire::{EXTERNAL, Payment},
};
use crate::domain::order::{Collector, Payment as Tender, PaymentType};

#[derive(Debug)]
pub struct Tenders {
    pub payments: Vec<Payment>,
    pub remark: Option<Remark>,
}

/// One payment, or with `split_tenders` one per type and collector where they come to the grand total.
pub fn payments(sale: Sale<'_>, grand_total: i64) -> Tenders {
    let tenders = &sale.order.payments;
    let provider = sale.settings.provider_name.as_str();
    let is_cash = |tender: &Tender| {
        tender.payment_type == Some(PaymentType::Cash) && tender.collected_by == Some(Collector::Vendor)
    };
    let all_cash = !tenders.is_empty() && tenders.iter().all(is_cash);
    let name = if all_cash { format!("{provider} Cash") } else { provider.to_owned() };
    let one = vec![external(name, grand_total)];
    if !sale.settings.split_tenders {
        return Tenders { payments: one, remark: None };
    }
    match split(tenders, provider, grand_total) {
        Some(payments) => Tenders { payments, remark: None },
        None => Tenders { payments: one, remark: Some(Remark::TendersNotSplit) },
    }
}

/// None unless every tender is known, none is negative, and together they are the grand total.
fn split(tenders: &[Tender], provider: &str, grand_total: i64) -> Option<Vec<Payment>> {
    let mut payments: Vec<Payment> = Vec::new();
    for tender in tenders {
        let amount = tender.amount?.amount;
        if amount < 0 {
            return None;
        }
        let name = label(provider, tender.payment_type.as_ref()?, tender.collected_by.as_ref()?);
        match payments.iter_mut().find(|payment| payment.provider_name == name) {
            Some(payment) => payment.amount = payment.amount.checked_add(amount)?,
            None => payments.push(external(name, amount)),
        }
    }
    payments.retain(|payment| payment.amount > 0);
    let paid: i128 = payments.iter().map(|payment| i128::from(payment.amount)).sum();
    (!payments.is_empty() && paid == i128::from(grand_total)).then_some(payments)
}

/// What stands in the merchant's report; the usual tender by the provider's plain name.
fn label(provider: &str, payment_type: &PaymentType, collector: &Collector) -> String {
    match (payment_type, collector) {
        (PaymentType::Online, Collector::Scoffable) => provider.to_owned(),
        (PaymentType::Cash, Collector::Vendor) => format!("{provider} Cash"),
        (PaymentType::Voucher, Collector::Scoffable) => format!("{provider} Voucher"),
        (payment_type, collector) => format!("{provider} {payment_type} ({collector})"),
    }
}

fn external(provider_name: String, amount: i64) -> Payment {
    Payment { kind: EXTERNAL, provider_name, amount }
}
