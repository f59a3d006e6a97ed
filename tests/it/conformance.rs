//! What every sink has to stand, whatever its destination: the rules are written once, for any [`Subject`].
//!
//! To put a sink under them, write a [`Subject`] for its simulator beside [`webhook`] and [`till`], and name the groups
//! that fit it below: [`any`] fits every sink; [`safe`] one whose requests may all be repeated, [`once`] one with
//! requests that must not; of the latter, [`provable`] one whose look-ups can prove that nothing stands, [`unprovable`]
//! one whose cannot; [`needy`] one that cannot send every order. Of [`any`], `of_walking` is for a sink that may take every
//! version; of [`provable`], `of_tireless` for one that sends again as often as it takes.

mod any;
mod groups;
mod needy;
mod once;
mod provable;
mod safe;
mod spoton;
mod subject;
mod till;
mod unprovable;
mod webhook;

use groups::{of_any, of_needy, of_once, of_provable, of_safe, of_tireless, of_unprovable, of_walking};

mod a_webhook {
    use super::{of_any, of_safe, of_walking, webhook::Receiver};

    of_any!(Receiver);
    of_walking!(Receiver);
    of_safe!(Receiver);
}

mod a_till {
    use super::{of_any, of_needy, of_once, of_provable, of_tireless, of_walking, till::Till};

    of_any!(Till);
    of_walking!(Till);
    of_tireless!(Till);
    of_once!(Till);
    of_provable!(Till);
    of_needy!(Till);
}

mod a_till_that_never_proves_absence {
    use super::{of_once, of_unprovable, till::BlindTill};

    of_once!(BlindTill);
    of_unprovable!(BlindTill);
}

/// It takes no version that is outdated already, and sends an order whose absence is proven once more and no oftener.
mod a_point_of_sale {
    use super::{of_any, of_needy, of_once, of_provable, spoton::Pos};

    of_any!(Pos);
    of_once!(Pos);
    of_provable!(Pos);
    of_needy!(Pos);
}

mod a_point_of_sale_that_asks_a_person {
    use super::{of_once, of_unprovable, spoton::CautiousPos};

    of_once!(CautiousPos);
    of_unprovable!(CautiousPos);
}
