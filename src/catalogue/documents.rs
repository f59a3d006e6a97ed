//! Reads back the posted orders that were not looked at for the longest. What differs is told, and nothing is repaired.

use std::collections::BTreeMap;

use super::worker::{Worker, sooner};
use crate::{
    domain::reconciliation::{Holding, Seen},
    store::{
        self, StoreError, alerts,
        catalogue::{Check, Turn, TurnEnd},
    },
};

/// Causes of alerts, and findings: what we posted is worth something else there, or nothing of it stands.
pub const EDITED: &str = "remote_edited";
pub const MISSING: &str = "remote_missing";
/// Finding about an order of which the destination tells nothing that can be counted, while it does of others.
pub const UNTOLD: &str = "untold";

impl Worker {
    pub(super) async fn read_back(&self, turn: &Turn) -> Result<TurnEnd<'static>, StoreError> {
        let settings = &self.settings;
        let next_sweep_in = Some(sooner(settings.document_sweep_interval));
        if let Some(rest) = self.quiet_for(turn) {
            return Ok(TurnEnd { next_sweep_in: Some(rest), ..TurnEnd::default() });
        }
        let Some(at_once) = self.driver.verifies() else {
            return Ok(TurnEnd { next_sweep_in, ..TurnEnd::default() });
        };
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        let (most, days) = (settings.document_sweep_items, settings.document_days);
        let mut lanes: BTreeMap<String, Vec<Holding>> = BTreeMap::new();
        for (lane, holding) in store::catalogue::longest_unread(pool, sink, most, days, offset_ms).await? {
            lanes.entry(lane).or_default().push(holding);
        }
        let mut skipped = false;
        for (lane, holdings) in &lanes {
            for some in holdings.chunks(at_once.max(1)) {
                let seen = self.driver.verify(lane, some).await;
                let nothing_was_told = seen.iter().all(|seen| matches!(seen, Seen::Untold(_)));
                if nothing_was_told {
                    // They stay the longest unchecked, and come first again.
                    skipped = true;
                    continue;
                }
                for (holding, seen) in some.iter().zip(&seen) {
                    let remote_minor = match seen {
                        Seen::Worth(remote_minor) => Some(*remote_minor),
                        Seen::Untold(_) => None,
                    };
                    self.note(turn, holding, remote_minor).await?;
                }
            }
        }
        Ok(TurnEnd { next_sweep_in, swept: true, skipped, ..TurnEnd::default() })
    }

    async fn note(&self, turn: &Turn, holding: &Holding, remote_minor: Option<i64>) -> Result<(), StoreError> {
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let finding = finding(holding.posted, remote_minor);
        let check = Check { order: &holding.order, posted_minor: holding.posted, remote_minor, finding };
        if !store::catalogue::note_check(pool, self.holder(turn), &check).await? {
            return Ok(());
        }
        let subject = format!("{sink}/{}", holding.order);
        for cause in [EDITED, MISSING] {
            if finding == Some(cause) {
                let detail = format!(
                    "posted {} and worth {} there, in minor units: somebody changed it; look there, and mend it there if it is to be \
                     as posted",
                    holding.posted,
                    remote_minor.unwrap_or_default()
                );
                alerts::raise(pool, cause, &subject, &detail).await?;
            } else {
                alerts::resolve(pool, cause, &subject).await?;
            }
        }
        Ok(())
    }
}

/// What is said of an order that is worth something else there than was posted. None: it stands.
fn finding(posted_minor: i64, remote_minor: Option<i64>) -> Option<&'static str> {
    match remote_minor {
        None => Some(UNTOLD),
        Some(remote) if remote == posted_minor => None,
        Some(0) => Some(MISSING),
        Some(_) => Some(EDITED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_was_edited_and_what_is_worth_nothing_is_missing() {
        assert_eq!(finding(1_250, Some(1_250)), None);
        assert_eq!(finding(0, Some(0)), None);
        assert_eq!(finding(1_250, Some(1_000)), Some(EDITED));
        assert_eq!(finding(0, Some(1_000)), Some(EDITED));
        assert_eq!(finding(1_250, Some(0)), Some(MISSING));
        assert_eq!(finding(1_250, None), Some(UNTOLD));
    }
}
