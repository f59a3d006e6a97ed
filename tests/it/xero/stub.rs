//! A Xero in a test's hand, which hands out tokens by itself.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use serde_json::json;

use crate::harness::stub::{Asked, Stub};
pub use crate::harness::stub::{Reply, ok, reply};

#[derive(Default)]
struct Tokens {
    n_granted: u32,
    scope: Option<String>,
}

pub struct XeroStub {
    stub: Stub,
    tokens: Arc<Mutex<Tokens>>,
}

impl Deref for XeroStub {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

impl XeroStub {
    pub async fn start() -> Self {
        let tokens = Arc::<Mutex<Tokens>>::default();
        let granting = Arc::clone(&tokens);
        let aside = move |asked: &Asked| {
            (asked.path == "/token").then(|| grant(&mut granting.lock().expect("nothing panics with it"), asked))
        };
        Self { stub: Stub::start("/api.xro/2.0", Box::new(aside)).await, tokens }
    }

    /// What tokens are said to be good for, from now on.
    pub fn grants(&self, scope: &str) {
        self.tokens.lock().expect("nothing panics with it").scope = Some(scope.to_owned());
    }

    pub fn n_tokens(&self) -> u32 {
        self.tokens.lock().expect("nothing panics with it").n_granted
    }

    /// An organisation that has all that the usual settings name.
    pub fn has_an_organisation(&self) -> &Self {
        let accounts = ["200", "201", "202", "205", "498", "499", "611", "612", "613"].map(|code| {
            json!({
                "AccountID": format!("00000000-0000-4000-8000-000000000{code}"), "Code": code, "Name": code,
                "Type": if code.starts_with('6') { "CURRENT" } else { "REVENUE" }, "Status": "ACTIVE",
                "EnablePaymentsToAccount": code.starts_with('6'),
            })
        });
        let rate = |tax_type: &str, rate: u32| {
            json!({
                "TaxType": tax_type, "Name": tax_type, "Status": "ACTIVE", "CanApplyToRevenue": true,
                "EffectiveRate": rate,
            })
        };
        let organisation = json!({
            "Name": "Old Mill Kitchen", "BaseCurrency": "GBP", "CountryCode": "GB", "Timezone": "GMTSTANDARDTIME",
            "PeriodLockDate": "/Date(1546214400000+0000)/", "IsDemoCompany": true,
        });
        self.stub
            .answers("GET", "/Organisation", ok(&json!({"Organisations": [organisation]})))
            .answers("GET", "/Accounts", ok(&json!({"Accounts": accounts})))
            .answers("GET", "/TaxRates", ok(&json!({"TaxRates": [rate("OUTPUT2", 20), rate("NONE", 0)]})))
            .answers("GET", "/Currencies", ok(&json!({"Currencies": [{"Code": "GBP"}]})))
            .answers("GET", "/Invoices", ok(&json!({"Invoices": []})))
            .answers("GET", "/Payments", ok(&json!({"Payments": []})));
        self
    }
}

fn grant(tokens: &mut Tokens, asked: &Asked) -> Reply {
    assert_eq!(asked.method, "POST");
    tokens.n_granted += 1;
    let mut token = json!({"access_token": format!("token-{}", tokens.n_granted), "expires_in": 1800});
    if let Some(scope) = &tokens.scope {
        token["scope"] = json!(scope);
    }
    if asked.body.contains("authorization_code") {
        token["refresh_token"] = json!(format!("refresh-{}", tokens.n_granted));
    }
    ok(&token)
}
