//! One retailer's settings: outlets, registers, users, taxes and payment types.
//!
//! Source: X-Series API 2.0 description, schemas `Retailer`, `Outlet`, `Register`, `User`, `Tax`, `PaymentType`.

use super::amount::Fine;

#[derive(Debug, Clone)]
pub struct Outlet {
    pub id: String,
    pub name: String,
    pub is_deleted: bool,
}

/// As it is set up; whether it is open is with the [`Store`](super::Store).
#[derive(Debug, Clone)]
pub struct RegisterPlan {
    pub id: String,
    pub name: String,
    pub outlet_id: String,
    pub invoice_prefix: String,
    pub invoice_suffix: String,
    pub is_open: bool,
}

#[derive(Debug, Clone)]
pub struct User {
    pub id: String,
    pub username: String,
    pub display_name: String,
    pub is_deleted: bool,
}

#[derive(Debug, Clone)]
pub struct Tax {
    pub id: String,
    pub name: String,
    /// 0.2 is 20 %.
    pub rate: Fine,
    pub is_default: bool,
    pub is_deleted: bool,
}

#[derive(Debug, Clone)]
pub struct PaymentType {
    pub id: String,
    pub name: String,
    /// The global one; several payment types may share it.
    pub type_id: i64,
    pub is_deleted: bool,
}

#[derive(Debug, Clone)]
pub struct Shop {
    pub retailer_id: String,
    pub domain_prefix: String,
    pub name: String,
    pub country: String,
    pub currency: String,
    pub currency_symbol: String,
    pub time_zone: String,
    pub tax_exclusive: bool,
    pub no_tax_id: String,
    pub outlets: Vec<Outlet>,
    pub registers: Vec<RegisterPlan>,
    pub users: Vec<User>,
    pub taxes: Vec<Tax>,
    pub payment_types: Vec<PaymentType>,
}

/// Ids of the shop that there is unless another is described, in the order in which things stand there.
pub mod ids {
    pub const USERS: [&str; 2] = ["11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000009"];
    pub const REGISTERS: [&str; 2] = ["11111111-aaaa-4bbb-8ccc-000000000002", "11111111-aaaa-4bbb-8ccc-000000000003"];
    pub const OUTLETS: [&str; 2] = ["11111111-aaaa-4bbb-8ccc-000000000004", "11111111-aaaa-4bbb-8ccc-000000000005"];
    /// 20 %, 5 %, and none.
    pub const TAXES: [&str; 3] = [
        "33333333-aaaa-4bbb-8ccc-000000000001",
        "33333333-aaaa-4bbb-8ccc-000000000002",
        "33333333-aaaa-4bbb-8ccc-000000000003",
    ];
    /// Scoffable online, Scoffable voucher, cash, card terminal, Scoffable goodwill.
    pub const PAYMENT_TYPES: [&str; 5] = [
        "44444444-aaaa-4bbb-8ccc-000000000001",
        "44444444-aaaa-4bbb-8ccc-000000000002",
        "44444444-aaaa-4bbb-8ccc-000000000003",
        "44444444-aaaa-4bbb-8ccc-000000000004",
        "44444444-aaaa-4bbb-8ccc-000000000005",
    ];
    /// What discounts of a whole sale are, and a product that is there from the start.
    pub const DISCOUNT_PRODUCT: &str = "22222222-aaaa-4bbb-8ccc-0000000000ff";
}

impl Default for Shop {
    fn default() -> Self {
        let text = str::to_owned;
        let outlet = |at: usize, name| Outlet { id: text(ids::OUTLETS[at]), name: text(name), is_deleted: false };
        let register = |at: usize, name, prefix| RegisterPlan {
            id: text(ids::REGISTERS[at]),
            name: text(name),
            outlet_id: text(ids::OUTLETS[at]),
            invoice_prefix: text(prefix),
            invoice_suffix: String::new(),
            is_open: true,
        };
        let user = |at: usize, username, display_name| User {
            id: text(ids::USERS[at]),
            username: text(username),
            display_name: text(display_name),
            is_deleted: false,
        };
        let tax = |at: usize, name, rate: i64| Tax {
            id: text(ids::TAXES[at]),
            name: text(name),
            rate: Fine(Fine::ONE.0 / 100 * rate),
            is_default: at == 0,
            is_deleted: false,
        };
        let payment_type = |at: usize, name, type_id| PaymentType {
            id: text(ids::PAYMENT_TYPES[at]),
            name: text(name),
            type_id,
            is_deleted: false,
        };
        Self {
            retailer_id: text("11111111-aaaa-4bbb-8ccc-0000000000aa"),
            domain_prefix: text("oldmill"),
            name: text("Old Mill Trading (simulated)"),
            country: text("GB"),
            currency: text("GBP"),
            currency_symbol: text("£"),
            time_zone: text("Europe/London"),
            tax_exclusive: false,
            no_tax_id: text(ids::TAXES[2]),
            outlets: vec![outlet(0, "Old Mill Kitchen"), outlet(1, "Harbour Noodles")],
            registers: vec![register(0, "Online orders", "OM-"), register(1, "Online orders", "HN-")],
            users: vec![user(0, "online", "Online orders"), user(1, "owner", "The owner")],
            taxes: vec![tax(0, "VAT", 20), tax(1, "Reduced VAT", 5), tax(2, "No Tax", 0)],
            // The first two share their global type: only the id tells them apart.
            payment_types: vec![
                payment_type(0, "Scoffable online", 5),
                payment_type(1, "Scoffable voucher", 5),
                payment_type(2, "Cash", 1),
                payment_type(3, "Card terminal", 5),
                payment_type(4, "Scoffable goodwill", 5),
            ],
        }
    }
}
