//! The step that corrects an order of a closed day by a manual journal.

use chrono::NaiveDate;

use super::{Books, HOLD, KEYED, Planner, hold, open_day, park};
use crate::{
    domain::delivery::Plan,
    sinks::xero::{
        call::{self, Call},
        config, fit,
        journal::{self, Delta},
        receipt::Journal,
    },
};

impl Planner<'_> {
    /// What a journal says of the difference between what stands and what should. None: it is for documents.
    ///
    /// An order that has documents of its own goes on with them: what stands on those may be changed in place.
    pub(super) fn delta(&self) -> Option<Delta> {
        let Books { settings, facts } = self.books;
        let is_of_a_day = self.held.standing().any(|document| document.shared.is_some());
        let is_for_journals = settings.delta == config::Delta::Journal
            && is_of_a_day
            && self.held.own().next().is_none()
            && journal::takes(self.target.currency, facts);
        is_for_journals.then(|| Delta::of(&self.held, &self.target, settings)).flatten()
    }

    pub(super) fn by_journal(self, delta: Delta, locked_until: Option<NaiveDate>) -> Plan {
        let Books { settings, facts } = self.books;
        // A cancelled order's target says nothing of it.
        let first = self.held.documents.first().filter(|_| self.target.tracking.is_empty());
        let tracking = first.map_or(&self.target.tracking, |first| &first.tracking);
        let entries = delta.entries(tracking, settings);
        if entries.is_empty() {
            return self.money(locked_until);
        }
        let misfit = fit::misfit(&self.target, settings, facts).or_else(|| fit::journal_misfit(&entries, facts));
        if let Some(misfit) = misfit {
            return hold(HOLD, misfit.subject, misfit.detail);
        }
        let order_id = self.view.key.order.order_id.as_str();
        let number = format!("{}{order_id}-J{}", settings.number_prefix, self.held.journals.len() + 1);
        if number.chars().count() > 255 {
            let hint = "its id is too long for a journal's narration at Xero: post it by hand and discard this";
            return park("order_id_too_long", hint, false);
        }
        let narration = format!("{number}: Scoffable {order_id} v{} of {}", self.view.version, self.target.date);
        let date = open_day(self.dated, locked_until);
        let url = settings.url_template.as_deref().map(|template| template.replace("{order_id}", order_id));
        let currency = self.target.currency;
        let call = Call::Journal(call::Journal {
            number: number.clone(),
            body: journal::body(&narration, date, &entries, url, currency),
            narration,
            currency,
            booked: journal::booked(&entries),
        });
        let mut held = self.held.clone();
        let Delta { lines, money } = delta;
        let version = self.view.version.0;
        held.journals.push(Journal { number, id: None, version, date, lines, money, differs: false });
        self.step(&call, KEYED, "journal", held)
    }
}
