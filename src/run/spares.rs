//! Memory of batches that were folded, for those that are routed next: getting it from the system anew for each batch
//! costs as much as what is put into it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::fold::{Routed, Router, Spare};
use crate::project::Project;
use crate::source::Batch;

/// A batch that took more was an unusual one, and its memory is given back.
const SPARE_BYTES_MAX: usize = 16 << 20;

/// The routers of a scan, one for each thread that is at it, and what folded batches left behind: never more than were
/// in flight at once.
pub struct Spares {
    routers: Mutex<Vec<Router>>,
    spares: Mutex<Vec<Spare>>,
    watched: bool,
}

impl Spares {
    /// `watched`: see [`Router::watched`].
    pub fn new(watched: bool) -> Spares {
        Spares { routers: Mutex::default(), spares: Mutex::default(), watched }
    }

    /// Routes a batch to the aggregates that are `active`.
    pub fn route(&self, batch: Batch, project: &Project, active: &[bool]) -> Routed {
        let fresh = || if self.watched { Router::watched() } else { Router::default() };
        let mut router = pop(&self.routers).unwrap_or_else(fresh);
        let routed = router.route(batch, project, active, pop(&self.spares).unwrap_or_default());
        push(&self.routers, router);
        routed
    }

    /// Takes a batch back, if nobody else holds it.
    pub fn take_back(&self, routed: Arc<Routed>) {
        if let Some(routed) = Arc::into_inner(routed) {
            push(&self.spares, Spare::of(routed, SPARE_BYTES_MAX));
        }
    }
}

fn pop<T>(from: &Mutex<Vec<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(to: &Mutex<Vec<T>>, one: T) {
    to.lock().unwrap_or_else(PoisonError::into_inner).push(one);
}
