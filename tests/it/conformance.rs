//! What every sink has to stand, whatever its destination: the rules are written once, for any [`Subject`].
//!
//! To put a sink under them, write a [`Subject`] for its simulator beside [`webhook`] and [`till`], and name the groups
//! that fit it below: [`any`] fits every sink; [`safe`] one whose requests may all be repeated, [`once`] one with
//! requests that must not; of the latter, [`provable`] one whose look-ups can prove that nothing stands, [`unprovable`]
//! one whose cannot; [`needy`] one that cannot send every order.

mod any;
mod groups;
mod needy;
mod once;
mod provable;
mod safe;
mod subject;
mod till;
mod unprovable;
mod webhook;

use groups::{of_any, of_needy, of_once, of_provable, of_safe, of_unprovable};

mod a_webhook {
    use super::{of_any, of_safe, webhook::Receiver};

    of_any!(Receiver);
    of_safe!(Receiver);
}

mod a_till {
    use super::{of_any, of_needy, of_once, of_provable, till::Till};

    of_any!(Till);
    of_once!(Till);
    of_provable!(Till);
    of_needy!(Till);
}

mod a_till_that_never_proves_absence {
    use super::{of_once, of_unprovable, till::BlindTill};

    of_once!(BlindTill);
    of_unprovable!(BlindTill);
}
