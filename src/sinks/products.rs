//! How the product of an order's item is told from others, and which record stands for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::links::{How, LinkKey, LinkKind, LinkStore};
use crate::{
    config::{
        field::{Field, Table},
        pointer::Pointer,
        problems::Section,
    },
    domain::{ids::SinkName, sale::normalised},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawItemFields {
    /// The vendor's own reference.
    reference: Field<Pointer>,
    /// The barcode.
    barcode: Field<Pointer>,
}

/// Where an item names itself, inside an item of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ItemFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Pointer>,
}

impl ItemFields {
    pub fn validate(fields: Field<Table<RawItemFields>>, section: &mut Section<'_>) -> Self {
        section.table("item_fields", fields, |raw: RawItemFields, section| Self {
            reference: section.take("reference", raw.reference),
            barcode: section.take("barcode", raw.barcode),
        })
    }

    /// What the item as received says of itself.
    pub fn told<'v>(&self, raw: Option<&'v Value>) -> Option<&'v str> {
        let pointers = [&self.reference, &self.barcode];
        pointers.into_iter().flatten().find_map(|pointer| pointer.text(raw?))
    }

    /// What tells the product from others: its reference, else its barcode, else its name. Never the id of the order's line,
    /// which is another in every order.
    pub fn key(&self, name: &str, raw: Option<&Value>) -> String {
        self.told(raw).map_or_else(|| normalised(name), str::to_owned)
    }
}

/// Links what was sold to the records that posted documents name by a code, so that those are looked at now and then. Nothing
/// that is posted depends on it.
#[derive(Debug)]
pub struct Sold {
    sink: SinkName,
    links: Arc<dyn LinkStore>,
    /// By this process: what is ours and its code.
    linked: Mutex<BTreeSet<(String, String)>>,
}

impl Sold {
    pub fn new(sink: &SinkName, links: &Arc<dyn LinkStore>) -> Self {
        Self { sink: sink.clone(), links: Arc::clone(links), linked: Mutex::default() }
    }

    /// What was sold, each with the code that stands for it.
    pub async fn link(&self, named: Vec<(String, String)>) {
        for pair in named {
            if self.linked().contains(&pair) {
                continue;
            }
            let key = LinkKey { sink: &self.sink, kind: LinkKind::Product, local_key: &pair.0 };
            match self.links.link(key, &pair.1, How::Code).await {
                Ok(_) => drop(self.linked().insert(pair)),
                Err(error) => tracing::warn!(sink.name = %self.sink, error = error.0.as_ref(), "product not linked"),
            }
        }
    }

    fn linked(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
