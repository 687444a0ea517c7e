//! The service graph: who calls whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Directed edges caller -> callee of one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    callees: BTreeMap<String, BTreeSet<String>>,
    callers: BTreeMap<String, BTreeSet<String>>,
    services: BTreeSet<String>,
}

impl Graph {
    /// Builds a graph from (caller, callee) pairs. A service that calls itself adds no edge.
    pub fn from_edges<S: Into<String>>(edges: impl IntoIterator<Item = (S, S)>) -> Self {
        let mut graph = Self::default();
        for (caller, callee) in edges {
            graph.add_edge(caller.into(), callee.into());
        }
        graph
    }

    /// Adds a service, with or without edges.
    pub fn add_service(&mut self, service: impl Into<String>) {
        self.services.insert(service.into());
    }

    /// Adds one edge.
    pub fn add_edge(&mut self, caller: String, callee: String) {
        self.services.insert(caller.clone());
        self.services.insert(callee.clone());
        if caller != callee {
            self.callees.entry(caller.clone()).or_default().insert(callee.clone());
            self.callers.entry(callee).or_default().insert(caller);
        }
    }

    /// Returns the number of known services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Returns whether no service is known.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Returns all known services, sorted.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// Returns who calls `service` directly.
    pub fn callers(&self, service: &str) -> impl Iterator<Item = &str> {
        self.callers.get(service).into_iter().flatten().map(String::as_str)
    }

    /// Returns whom `service` calls directly.
    pub fn callees(&self, service: &str) -> impl Iterator<Item = &str> {
        self.callees.get(service).into_iter().flatten().map(String::as_str)
    }

    /// Returns whether `caller` calls `callee` directly.
    pub fn has_edge(&self, caller: &str, callee: &str) -> bool {
        self.callees.get(caller).is_some_and(|callees| callees.contains(callee))
    }

    /// Returns everyone who calls `service`, directly or through others, without itself.
    pub fn ancestors(&self, service: &str) -> BTreeSet<String> {
        Self::reach(&self.callers, service)
    }

    /// Returns everyone whom `service` calls, directly or through others, without itself.
    pub fn descendants(&self, service: &str) -> BTreeSet<String> {
        Self::reach(&self.callees, service)
    }

    /// Returns whether a fault of one could show at the other: the same service, or one calls the other, directly or not.
    pub fn related(&self, a: &str, b: &str) -> bool {
        a == b || self.ancestors(a).contains(b) || self.ancestors(b).contains(a)
    }

    fn reach(edges: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([from]);
        while let Some(next) = queue.pop_front() {
            for neighbour in edges.get(next).into_iter().flatten() {
                if neighbour != from && seen.insert(neighbour.clone()) {
                    queue.push_back(neighbour);
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Graph {
        Graph::from_edges([
            ("api-gateway", "payment"),
            ("api-gateway", "order"),
            ("api-gateway", "user"),
            ("order", "payment"),
            ("order", "inventory"),
        ])
    }

    #[test]
    fn a_fault_reaches_its_callers_and_not_its_siblings() {
        let graph = shop();
        assert_eq!(graph.ancestors("payment").into_iter().collect::<Vec<_>>(), ["api-gateway", "order"]);
        assert!(graph.related("inventory", "api-gateway"));
        assert!(!graph.related("user", "payment"));
    }

    #[test]
    fn a_cycle_ends() {
        let graph = Graph::from_edges([("a", "b"), ("b", "c"), ("c", "a")]);
        assert_eq!(graph.ancestors("a").into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
