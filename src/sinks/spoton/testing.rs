//! Settings for the tests of this sink's pure parts.

use std::time::Duration;

use super::{
    config::{
        AddressPointers, CustomerMode, CustomerPointers, EnumStyle, Envelope, ItemPointers, OnChange, Paths,
        SpotonSettings, TaxMode, UberDelivery,
    },
    vendors::Vendor,
};
use crate::{
    config::{HttpUrl, secret::Secret},
    domain::money::Currency,
};

/// The defaults, for one vendor `vendor-a`.
pub fn settings() -> SpotonSettings {
    SpotonSettings {
        base_url: HttpUrl::parse("https://api.spoton.com").unwrap(),
        token_url: HttpUrl::parse("https://api.spoton.com/oauth2/v1/token").unwrap(),
        allow_insecure: false,
        client_id: Secret::literal("id"),
        client_secret: Secret::literal("secret"),
        scopes: Vec::new(),
        paths: Paths::default(),
        enum_style: EnumStyle::Prefixed,
        request_envelope: Envelope::Bare,
        source_name: "Scoffable".to_owned(),
        provider_name: "Scoffable".to_owned(),
        vendors: [("vendor-a".to_owned(), vendor())].into(),
        max_submit_age: Duration::from_hours(1),
        on_change: OnChange::Flag,
        resubmit_when_absent: false,
        visible_after: Duration::from_mins(15),
        customer_mode: CustomerMode::Minimal,
        split_tenders: false,
        residual_limit: 5,
        allow_zero_total: false,
        uber_delivery_as: UberDelivery::Delivery,
        tax_mode: TaxMode::None,
        reread_before_write: false,
        customer_pointers: CustomerPointers::default(),
        requested_time_pointer: None,
        address_pointers: AddressPointers::default(),
        item_pointers: ItemPointers::default(),
    }
}

/// A takeaway that sells Lamb Jalfrezi, and everything else as open food.
pub fn vendor() -> Vendor {
    let side = [("pilau rice".to_owned(), "mod-pilau".to_owned())];
    Vendor {
        location_id: "BL-7Q2M-0ZK4-88TD".to_owned(),
        menu_id: "menu-takeaway-01".to_owned(),
        currency: Currency::parse("GBP").unwrap(),
        time_zone: None,
        fallback_item_id: Some("itm-open-food".to_owned()),
        items: [("lamb jalfrezi".to_owned(), "itm-jalfrezi".to_owned())].into(),
        modifiers: [("side".to_owned(), side.into())].into(),
    }
}
