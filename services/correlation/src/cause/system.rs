//! Services by number, and who calls whom.

use std::collections::{BTreeMap, BTreeSet};

/// Number of a service within one ranking; numbers are in the order of the names.
pub(super) type Id = usize;

/// Services by number.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let distinct: BTreeSet<&str> = names.into_iter().collect();
        Self(distinct.into_iter().map(str::to_owned).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn id(&self, name: &str) -> Option<Id> {
        self.0.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    pub(super) fn name(&self, id: Id) -> &str {
        &self.0[id]
    }
}

/// Who calls whom, directly.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) callees: Vec<BTreeSet<Id>>,
    pub(super) callers: Vec<BTreeSet<Id>>,
}

impl Calls {
    /// Returns the graph of some edges; calls of a service to itself are left out.
    pub(super) fn new(services: usize, edges: impl IntoIterator<Item = (Id, Id)>) -> Self {
        let mut graph =
            Self { callees: vec![BTreeSet::new(); services], callers: vec![BTreeSet::new(); services] };
        for (caller, callee) in edges {
            if caller != callee {
                graph.callees[caller].insert(callee);
                graph.callers[callee].insert(caller);
            }
        }
        graph
    }
}

/// Returns all that `start` reaches in any number of steps, without itself.
pub(super) fn reach(start: Id, steps: &[BTreeSet<Id>]) -> BTreeSet<Id> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![start];
    while let Some(id) = waiting.pop() {
        waiting.extend(steps[id].iter().copied().filter(|&next| next != start && seen.insert(next)));
    }
    seen
}

/// Counts of calls by caller and callee.
pub(super) type CallCounts = BTreeMap<(Id, Id), f64>;
