//! F: blame flow. For an alert on the latency or availability of a service whose requests are counted: the extra seconds
//! or failed requests of the alerting service are handed down its calls, in proportion to what each callee's own extra
//! explains; what nobody explains stays.

use std::collections::{BTreeMap, BTreeSet};

use super::family::Family;
use super::normal::{CAP_NATS, Normal, median, nats, sorted};
use super::system::{Calls, Id, Names, reach};
use super::{Case, Series};

/// Deviations of normal noise that are taken off an excess before it may carry blame.
const NOISE_DEVIATIONS: f64 = 2.0;
/// Ends of the names of stand-ins for the far end of a call, as X-Ray writes them: edges, not services.
const STAND_INS: [&str; 2] = ["_remote", "_client"];
/// Least spread of an availability and of a latency, as a share of the level.
const LEAST_AVAILABILITY_SPREAD: f64 = 0.005;
const LEAST_LATENCY_SPREAD: f64 = 0.05;
/// An availability that was never measured before, percent.
const FULL_AVAILABILITY: Normal = Normal { centre: 100.0, up: 0.5, down: 0.5 };
/// Smallest blame that is handed on.
const LEAST_BLAME: f64 = 0.001;
/// Longest path that blame is handed down, services.
const MAX_PATH: usize = 64;
/// Score of the full evidence of a service's own deviation, to break ties.
const TIE_SCORE: f64 = 0.02;
/// Evidence of a service's own deviation from which on its blame is taken in full, nats.
const SURE_NATS: f64 = 3.0;

/// A service and its share of the blame.
#[derive(Debug, Clone, PartialEq)]
pub struct Blamed {
    /// Service.
    pub service: String,
    /// Blame and tie-break; services are ranked by it.
    pub score: f64,
    /// Share of the blame, 0 to 1.
    pub blame: f64,
    /// Worst row since the alert, in robust deviations.
    pub deviations: f64,
    /// Extra seconds or failed requests since the alert.
    pub extra: f64,
}

impl Blamed {
    /// Returns the probability that it is the cause: its blame, less where it hardly deviates itself.
    pub fn probability(&self) -> f64 {
        self.blame * (nats(self.deviations) / SURE_NATS).min(1.0)
    }
}

/// A ranking by blame.
#[derive(Debug, Clone, PartialEq)]
pub struct Blame {
    /// Metric whose excess was handed down.
    pub metric: String,
    /// Probability of the first service.
    pub confidence: f64,
    /// Services, best first.
    pub services: Vec<Blamed>,
}

/// Services without stand-ins, and who calls whom once these are taken out.
#[derive(Debug)]
struct System<'a> {
    names: Names,
    services: BTreeSet<Id>,
    graph: Calls,
    start: Id,
    /// Series by service and metric.
    series: BTreeMap<(Id, &'a str), &'a Series>,
    /// Requests of each service.
    requests: BTreeMap<Id, &'a Series>,
}

impl<'a> System<'a> {
    fn of(case: &'a Case) -> Option<Self> {
        let services = case.services.iter().map(String::as_str);
        let edges = case.edges.iter().flat_map(|(caller, callee)| [caller.as_str(), callee.as_str()]);
        let names = Names::new(services.clone().chain(edges));
        let is_stand_in = |id: Id| STAND_INS.iter().any(|end| names.name(id).ends_with(end));
        let known: BTreeSet<Id> =
            services.filter_map(|name| names.id(name)).filter(|id| !is_stand_in(*id)).collect();
        let ids = |(caller, callee): &(String, String)| Some((names.id(caller)?, names.id(callee)?));
        let direct = Calls::new(names.len(), case.edges.iter().filter_map(ids));
        let listed: BTreeSet<&str> = case.services.iter().map(String::as_str).collect();
        let through = |id: Id| is_stand_in(id) && listed.contains(names.name(id));
        let mut edges = Vec::new();
        for &caller in &known {
            let mut waiting: Vec<Id> = direct.callees[caller].iter().copied().collect();
            let mut seen = BTreeSet::new();
            while let Some(callee) = waiting.pop() {
                if !seen.insert(callee) {
                    continue;
                }
                if through(callee) {
                    waiting.extend(&direct.callees[callee]);
                } else {
                    edges.push((caller, callee));
                }
            }
        }
        let start = names.id(&case.alert.service).filter(|id| known.contains(id))?;
        let graph = Calls::new(names.len(), edges);
        let (mut series, mut requests) = (BTreeMap::new(), BTreeMap::new());
        for one in case.series.iter().filter(|one| one.is_measured()) {
            let Some(id) = names.id(&one.service) else { continue };
            series.insert((id, one.metric.as_str()), one);
            if one.family == Family::Requests {
                requests.entry(id).or_insert(one);
            }
        }
        Some(Self { names, services: known, graph, start, series, requests })
    }

    /// Whether at least half of the services on the paths from the alert have request counts.
    fn is_counted(&self) -> bool {
        let mut paths = reach(self.start, &self.graph.callees);
        paths.insert(self.start);
        let counted = paths.iter().filter(|id| self.requests.contains_key(id)).count();
        2 * counted >= paths.len()
    }

    /// Returns the metric of the alert or, if it is a percentile, the mean of its family: only means times requests add up.
    fn metric(&self, metric: &'a str) -> &'a str {
        let family = Family::of(metric);
        let is_mean =
            |name: &str| Family::of(name) == family && (name.contains("avg") || name.contains("mean"));
        if is_mean(metric) {
            return metric;
        }
        let mut own = self.series.range((self.start, "")..(self.start + 1, "")).map(|((_, name), _)| *name);
        own.find(|name| is_mean(name)).unwrap_or(metric)
    }

    /// Returns the requests of a service in each row since the alert, and its usual requests a row.
    fn volumes(&self, id: Id, case: &Case) -> (Vec<f64>, f64) {
        let Some(series) = self.requests.get(&id) else { return (Vec::new(), 1.0) };
        let known = |value: &f64| if value.is_finite() { *value } else { 0.0 };
        (series.since(case.alert_row).iter().map(known).collect(), median(&sorted(&series.base)))
    }

    /// Returns the extra amount since the alert and the worst row's deviations: worse than usual and than just before.
    fn deviation(&self, id: Id, metric: &str, case: &Case) -> Option<(f64, f64)> {
        let series = self.series.get(&(id, metric))?;
        let is_share = Family::of(metric) == Family::Success;
        let sign = if is_share { -1.0 } else { 1.0 };
        let before = series.just_before(case.alert_row);
        let normal = Self::normal(series, is_share, &before);
        let (Some(normal), true) =
            (normal, series.since(case.alert_row).iter().any(|value| value.is_finite()))
        else {
            return Some((0.0, 0.0));
        };
        let spread = if is_share { normal.down } else { normal.up };
        let near = before.iter().map(|value| sign * value).reduce(f64::min);
        let near = near.map_or(sign * normal.centre, |near| near.max(sign * normal.centre));
        let (requests, _) = self.volumes(id, case);
        let (mut extra, mut worst) = (0.0, f64::NEG_INFINITY);
        for (row, value) in series.since(case.alert_row).iter().enumerate() {
            let over = if value.is_finite() { sign * value - near } else { 0.0 };
            worst = worst.max(over / spread);
            // a service whose requests nobody counts counts as one a row
            let requests = requests.get(row).copied().unwrap_or(1.0);
            extra += (over - NOISE_DEVIATIONS * spread).max(0.0) * requests;
        }
        Some((extra, worst))
    }

    fn normal(series: &Series, is_share: bool, before: &[f64]) -> Option<Normal> {
        let floor = if is_share { LEAST_AVAILABILITY_SPREAD } else { LEAST_LATENCY_SPREAD };
        Normal::of(&series.base, floor).or_else(|| {
            if is_share {
                return Some(FULL_AVAILABILITY);
            }
            let centre = median(&sorted(before)).abs();
            let spread = 0.5 * centre + 1e-9;
            (!before.is_empty()).then_some(Normal { centre, up: spread, down: spread })
        })
    }

    /// Hands the blame down from the alerting service. `fresh` services get none: nobody used to call them, so the calls
    /// are a symptom of the caller.
    fn hand_down(&self, extra: &BTreeMap<Id, f64>, fresh: &BTreeSet<Id>) -> BTreeMap<Id, f64> {
        let amount = |id: Id| extra.get(&id).copied().unwrap_or(0.0);
        let mut blame: BTreeMap<Id, f64> = BTreeMap::new();
        let mut waiting = vec![(self.start, 1.0, vec![self.start])];
        while let Some((id, mass, path)) = waiting.pop() {
            let callees = self.graph.callees[id].iter().copied();
            let callees: Vec<Id> = callees
                .filter(|_| path.len() < MAX_PATH)
                .filter(|callee| !path.contains(callee) && !fresh.contains(callee) && amount(*callee) > 0.0)
                .collect();
            let below: f64 = callees.iter().map(|&callee| amount(callee)).sum();
            let total = amount(id).max(below).max(1e-12);
            let mut kept = mass;
            for callee in callees {
                let part = mass * amount(callee) / total;
                kept -= part;
                if part > LEAST_BLAME {
                    let path = path.iter().copied().chain([callee]).collect();
                    waiting.push((callee, part, path));
                }
            }
            *blame.entry(id).or_default() += kept;
        }
        blame
    }
}

/// Whether blame can be handed down: the alert is on a latency or an availability of a known service, and enough requests
/// are counted.
pub fn applies(case: &Case) -> bool {
    let fits = |metric: &String| matches!(Family::of(metric), Family::Latency | Family::Success);
    case.alert.metric.as_ref().is_some_and(fits) && System::of(case).is_some_and(|system| system.is_counted())
}

/// Ranks services by blame; none if the alert names no metric, or a service that is not known.
pub fn rank(case: &Case) -> Option<Blame> {
    let system = System::of(case)?;
    let metric = system.metric(case.alert.metric.as_deref()?);
    let deviations: BTreeMap<Id, (f64, f64)> =
        system.services.iter().filter_map(|&id| Some((id, system.deviation(id, metric, case)?))).collect();
    let extra: BTreeMap<Id, f64> = deviations.iter().map(|(id, (extra, _))| (*id, *extra)).collect();
    let is_fresh = |id: &Id| *id != system.start && system.volumes(*id, case).1 == 0.0;
    let fresh: BTreeSet<Id> = system.services.iter().copied().filter(is_fresh).collect();
    let blame = system.hand_down(&extra, &fresh);
    let mut services: Vec<Blamed> = system
        .services
        .iter()
        .map(|id| {
            let blame = blame.get(id).copied().unwrap_or(0.0);
            let (extra, worst) = deviations.get(id).copied().unwrap_or_default();
            let deviations = f64::max(worst, 0.0);
            Blamed {
                service: system.names.name(*id).to_owned(),
                score: blame + TIE_SCORE * nats(deviations) / CAP_NATS,
                blame,
                deviations,
                extra,
            }
        })
        .collect();
    services.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    let first = services.first()?;
    let confidence = first.probability();
    Some(Blame { metric: metric.to_owned(), confidence, services })
}
