//! The service graph: who calls whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Bytes of the digest in a [version](Graph::version).
const VERSION_BYTES: usize = 6;

/// Directed edges caller -> callee of one environment.
///
/// A far end that is not instrumented (a database, a service of someone else) is kept apart from the services: it is no
/// service, callee or descendant, so that nothing that is decided over services can name it as a suspect or count it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    callees: BTreeMap<String, BTreeSet<String>>,
    callers: BTreeMap<String, BTreeSet<String>>,
    services: BTreeSet<String>,
    /// Callers of each far end that is not instrumented. None of these names is a service.
    far_ends: BTreeMap<String, BTreeSet<String>>,
    /// Services that suffer from the same thing that nobody watches, both ways. They hold for one decision.
    companions: BTreeMap<String, BTreeSet<String>>,
}

/// What an edge leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callee {
    /// A service: it has sent spans, or the catalogue names it.
    Service,
    /// A far end that only its callers name.
    FarEnd,
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

    /// Adds a service, with or without edges. If it was a far end so far, its edges become those of a service.
    pub fn add_service(&mut self, service: impl Into<String>) {
        let service = service.into();
        if let Some(callers) = self.far_ends.remove(&service) {
            for caller in callers {
                self.connect(caller, service.clone());
            }
        }
        self.services.insert(service);
    }

    /// Adds one edge between services.
    pub fn add_edge(&mut self, caller: String, callee: String) {
        self.add_service(caller.clone());
        self.add_service(callee.clone());
        self.connect(caller, callee);
    }

    /// Adds a call to a far end that its caller names. If `far_end` is or becomes a service, it is an ordinary edge: the order
    /// in which edges are added does not matter.
    pub fn add_far_end(&mut self, caller: String, far_end: String) {
        self.add_service(caller.clone());
        if self.services.contains(&far_end) {
            self.connect(caller, far_end);
        } else {
            self.far_ends.entry(far_end).or_default().insert(caller);
        }
    }

    /// Notes that two services suffer from the same thing that nobody watches. It is no call, and no part of the structure that is
    /// stored.
    pub fn add_companions(&mut self, one: &str, other: &str) {
        for (service, with) in [(one, other), (other, one)] {
            self.companions.entry(service.to_owned()).or_default().insert(with.to_owned());
        }
    }

    /// Returns the services that suffer from the same unwatched thing as `service`, sorted.
    pub fn companions(&self, service: &str) -> impl Iterator<Item = &str> {
        self.companions.get(service).into_iter().flatten().map(String::as_str)
    }

    fn connect(&mut self, caller: String, callee: String) {
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

    /// Returns the far ends that are not instrumented, sorted. None of them is a service.
    pub fn far_ends(&self) -> impl Iterator<Item = &str> {
        self.far_ends.keys().map(String::as_str)
    }

    /// Returns every edge: caller, callee, and what the callee is. First those between services, then those to far ends.
    pub fn edges(&self) -> impl Iterator<Item = (&str, &str, Callee)> {
        let calls = self.callees.iter().flat_map(|(caller, callees)| {
            callees.iter().map(move |callee| (caller.as_str(), callee.as_str(), Callee::Service))
        });
        let leaving = self.far_ends.iter().flat_map(|(far_end, callers)| {
            callers.iter().map(move |caller| (caller.as_str(), far_end.as_str(), Callee::FarEnd))
        });
        calls.chain(leaving)
    }

    /// Returns whether `caller` calls any far end that is not instrumented.
    pub fn calls_any_far_end(&self, caller: &str) -> bool {
        self.far_ends.values().any(|callers| callers.contains(caller))
    }

    /// Returns whether `caller` calls a far end of this name that is not instrumented.
    pub fn calls_far_end(&self, caller: &str, far_end: &str) -> bool {
        self.far_ends.get(far_end).is_some_and(|callers| callers.contains(caller))
    }

    /// Returns the version of the structure: 12 hexadecimal digits of the SHA-256 of services, edges and far ends. It changes
    /// when an edge appears or disappears and when a far end becomes a service, and not with the figures of calls.
    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |kind: u8, names: [&str; 2]| {
            digest.update([kind]);
            for name in names {
                digest.update((name.len() as u64).to_be_bytes());
                digest.update(name.as_bytes());
            }
        };
        for service in self.services() {
            add(0, [service, ""]);
        }
        for (caller, callee, kind) in self.edges() {
            add(if kind == Callee::Service { 1 } else { 2 }, [caller, callee]);
        }
        digest.finalize().iter().take(VERSION_BYTES).fold(String::new(), |mut version, byte| {
            let _ = write!(version, "{byte:02x}");
            version
        })
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
    pub fn ancestors<'g>(&'g self, service: &str) -> BTreeSet<&'g str> {
        Self::reach(&self.callers, service)
    }

    /// Returns everyone whom `service` calls, directly or through others, without itself.
    pub fn descendants<'g>(&'g self, service: &str) -> BTreeSet<&'g str> {
        Self::reach(&self.callees, service)
    }

    /// Returns whether a fault of one could show at the other: the same service, or one calls the other, directly or not.
    pub fn related(&self, a: &str, b: &str) -> bool {
        a == b || self.ancestors(a).contains(b) || self.ancestors(b).contains(a)
    }

    fn reach<'g>(edges: &'g BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'g str> {
        let mut seen = BTreeSet::new();
        let mut queue: VecDeque<&BTreeSet<String>> = edges.get(from).into_iter().collect();
        while let Some(neighbours) = queue.pop_front() {
            for neighbour in neighbours {
                if neighbour != from && seen.insert(neighbour.as_str()) {
                    queue.extend(edges.get(neighbour));
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
    fn a_far_end_is_an_edge_and_no_service() {
        let mut graph = shop();
        graph.add_far_end("payment".into(), "acquirer".into());
        assert_eq!(graph.far_ends().collect::<Vec<_>>(), ["acquirer"]);
        assert_eq!(graph.len(), shop().len());
        assert_eq!(graph.services().collect::<Vec<_>>(), shop().services().collect::<Vec<_>>());
        assert_eq!(graph.callees("payment").count() + graph.descendants("payment").len(), 0);
        assert!(!graph.has_edge("payment", "acquirer") && graph.ancestors("acquirer").is_empty());
        assert!(graph.edges().any(|edge| edge == ("payment", "acquirer", Callee::FarEnd)));
    }

    #[test]
    fn a_far_end_that_is_a_service_is_an_ordinary_callee_in_any_order() {
        let expected = Graph::from_edges([("a", "b"), ("b", "c")]);
        for last in 0..2 {
            let mut graph = Graph::default();
            for step in [last, 1 - last] {
                match step {
                    0 => graph.add_far_end("a".into(), "b".into()),
                    _ => graph.add_edge("b".into(), "c".into()),
                }
            }
            assert_eq!(graph, expected);
        }
    }

    #[test]
    fn the_version_changes_with_the_structure_only() {
        let mut graph = shop();
        let first = graph.version();
        assert_eq!(first.len(), 12);
        graph.add_edge("order".into(), "payment".into());
        assert_eq!(graph.version(), first, "an edge that was there");
        graph.add_far_end("payment".into(), "acquirer".into());
        let second = graph.version();
        graph.add_service("acquirer");
        let third = graph.version();
        assert!(first != second && second != third && first != third);
        let swapped = [("ab", "c"), ("a", "bc")].map(|edge| Graph::from_edges([edge]).version());
        assert_ne!(swapped[0], swapped[1]);
    }

    #[test]
    fn a_cycle_ends() {
        let graph = Graph::from_edges([("a", "b"), ("b", "c"), ("c", "a")]);
        assert_eq!(graph.ancestors("a").into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }
}
