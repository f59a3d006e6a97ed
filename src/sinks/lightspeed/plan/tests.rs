mod books;
mod corrections;
mod first;
mod random;

use serde_json::Value;

use self::books::{Ended, Scene};
use super::*;
use crate::sinks::lightspeed::{
    amounts,
    testing::{CASH, ONLINE, REGISTER, VOUCHER, example, item, money, order, paid, settings_with},
    wire::{self, State},
};

/// Version 5 of the documentation's example: the naan was refunded.
fn without_naan() -> Value {
    let mut order = example();
    order["version"] = 5.into();
    order["items"][2]["quantityFulfilled"] = 0.into();
    order["total"] = money(2039);
    order["customerPayments"][0]["payment"] = money(1539);
    order
}

fn as_version(mut order: Value, version: i64, status: &str) -> Value {
    order["version"] = version.into();
    order["status"] = status.into();
    order
}

fn settled() -> Ended {
    Ended::Settled { notice: None, alert: None }
}

fn noticed(notice: &str) -> Ended {
    Ended::Settled { notice: Some(notice.to_owned()), alert: Some(notice.to_owned()) }
}
