//! S: incidents from a stream of metrics. An incident is a hypothesis that has become strong enough over consecutive rows.
//! While it is open the references stay as they were, so that it cannot learn the fault and close itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shared::events::Category;

use super::family::Family;
use super::minutes::Minutes;
use super::normal::JUST_BEFORE_ROWS;
use super::ranking::{self, Suspect};
use super::{Alert, Case, Deployed, Series, probability};

/// Evidence, summed over consecutive rows, that opens an incident, nats.
pub const OPEN_NATS: f64 = 2.5;
/// Evidence of the best hypothesis below which a row is normal, nats: it ends the sum, and it closes an incident.
pub const NORMAL_NATS: f64 = 0.5;
/// Rows of history.
pub const HISTORY_ROWS: usize = 240;
/// Rows that are looked at together.
pub const NOW_ROWS: usize = 3;
/// Rows after which a lasting change is the new normal.
pub const ABSORB_ROWS: usize = 45;
/// Rows of history below which nothing opens: with fewer, normal tails look like faults.
pub const WARM_UP_ROWS: usize = 100;

/// Samples of all series at one time, NaN where there is none. Series that came later are missing at the end.
pub type Row = Arc<[f64]>;

/// Who may be the cause, and who calls whom.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// Services.
    pub services: Vec<String>,
    /// Calls: caller and callee.
    pub edges: Vec<(String, String)>,
}

/// An incident as it stood when it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Time of the row that opened it.
    pub ts_ms: i64,
    /// Evidence of its first suspect, summed over the rows, nats.
    pub nats: f64,
    /// Services about which anything is observed, best first; the first suspect in any case.
    pub members: Vec<String>,
    /// Suspects, best first.
    pub suspects: Vec<Standing>,
}

/// A suspect of an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Service.
    pub service: String,
    /// Its best category in the row that opened the incident.
    pub category: Category,
    /// Evidence, summed over the rows, nats.
    pub nats: f64,
    /// Probability that the service is the cause.
    pub probability: f64,
    /// Probability of the category, given that the service is the cause.
    pub category_probability: f64,
}

/// Why an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A row was normal again.
    Recovered,
    /// The change lasted for [`ABSORB_ROWS`] and is taken for the new normal.
    Absorbed,
}

/// What a row has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An incident was opened.
    Opened(Opened),
    /// The open incident has ended.
    Closed(End),
}

#[derive(Debug, Clone)]
struct Timed {
    number: u64,
    row: Row,
}

#[derive(Debug)]
enum State {
    /// No incident is open. Suspicious rows are held back from the history.
    Calm { held: Vec<Timed>, sums: BTreeMap<String, f64> },
    /// An incident is open since its first row; the history is frozen.
    Open { rows: Vec<Timed>, history: Vec<Row> },
}

impl Default for State {
    fn default() -> Self {
        Self::Calm { held: Vec::new(), sums: BTreeMap::new() }
    }
}

/// A stream of rows, and the incident that is open in it, if one is.
#[derive(Debug)]
pub struct Stream {
    topology: Topology,
    series: Vec<(String, String, Family)>,
    deployments: Vec<Deployed>,
    warm_up: u64,
    seen: u64,
    /// Normal rows, oldest first.
    calm: VecDeque<Timed>,
    /// The last rows, oldest first.
    last: VecDeque<(i64, Row)>,
    state: State,
}

impl Stream {
    /// Starts a stream that learns from `warm_up` rows before it judges any.
    pub fn new(topology: Topology, warm_up: usize) -> Self {
        Self {
            topology,
            series: Vec::new(),
            deployments: Vec::new(),
            warm_up: warm_up as u64,
            seen: 0,
            calm: VecDeque::new(),
            last: VecDeque::new(),
            state: State::default(),
        }
    }

    /// Sets the changes that were rolled out; each counts from its own time on.
    #[must_use]
    pub fn with_deployments(mut self, deployments: Vec<Deployed>) -> Self {
        self.deployments = deployments;
        self
    }

    /// Adds a service that may be the cause.
    pub fn add_service(&mut self, service: &str) {
        self.topology.services.push(service.to_owned());
    }

    /// Adds a series and returns its place in each row from now on.
    pub fn add_series(&mut self, service: &str, metric: &str) -> usize {
        self.series.push((service.to_owned(), metric.to_owned(), Family::of(metric)));
        self.series.len() - 1
    }

    /// Whether an incident is open.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Takes the next row and returns what it changes.
    pub fn observe(&mut self, ts_ms: i64, row: Row) -> Option<Change> {
        let timed = Timed { number: self.seen, row: row.clone() };
        self.seen += 1;
        self.last.push_back((ts_ms, row));
        if self.last.len() > NOW_ROWS {
            self.last.pop_front();
        }
        if self.seen <= self.warm_up || self.last.len() < NOW_ROWS {
            self.learn([timed]);
            return None;
        }
        let suspects = match &self.state {
            State::Open { history, .. } => self.rank(history),
            State::Calm { .. } => self.rank(&self.history()),
        };
        let top = suspects.iter().map(Suspect::nats).fold(0.0, f64::max);
        match std::mem::take(&mut self.state) {
            State::Calm { .. } if top < NORMAL_NATS => {
                self.learn([timed]);
                None
            }
            State::Calm { held, sums } => self.suspect(ts_ms, timed, (held, sums), &suspects),
            State::Open { rows, history } => self.go_on(timed, rows, history, top < NORMAL_NATS),
        }
    }

    /// Adds up the evidence of a row that is not normal, and opens an incident if it is enough.
    fn suspect(
        &mut self,
        ts_ms: i64,
        timed: Timed,
        (mut held, mut sums): (Vec<Timed>, BTreeMap<String, f64>),
        suspects: &[Suspect],
    ) -> Option<Change> {
        let history = self.history();
        held.push(timed.clone());
        if held.len() >= ABSORB_ROWS {
            self.learn(std::mem::take(&mut held));
        }
        for suspect in suspects {
            *sums.entry(suspect.service.clone()).or_default() += suspect.score;
        }
        let hot = suspects.iter().filter(|suspect| suspect.nats() > 0.0);
        let best = hot.filter_map(|suspect| sums.get(&suspect.service)).copied().fold(0.0, f64::max);
        if best < OPEN_NATS {
            self.state = State::Calm { held, sums };
            return None;
        }
        self.state = State::Open { rows: vec![timed], history };
        Some(Change::Opened(opened(ts_ms, best, &sums, suspects)))
    }

    /// Goes on with an open incident.
    fn go_on(
        &mut self,
        timed: Timed,
        mut rows: Vec<Timed>,
        history: Vec<Row>,
        is_normal: bool,
    ) -> Option<Change> {
        rows.push(timed);
        let lasted = rows.len() > ABSORB_ROWS;
        if !lasted && !is_normal {
            self.state = State::Open { rows, history };
            return None;
        }
        if !lasted {
            rows.drain(..rows.len() - 1);
        }
        self.learn(rows);
        Some(Change::Closed(if is_normal { End::Recovered } else { End::Absorbed }))
    }

    /// Adds rows to the normal ones.
    fn learn(&mut self, rows: impl IntoIterator<Item = Timed>) {
        self.calm.extend(rows);
        let most = HISTORY_ROWS + NOW_ROWS;
        self.calm.drain(..self.calm.len().saturating_sub(most));
    }

    /// Returns the normal rows before those that are looked at, oldest first.
    fn history(&self) -> Vec<Row> {
        let first = self.seen.saturating_sub(NOW_ROWS as u64);
        let past: Vec<&Timed> = self.calm.iter().filter(|timed| timed.number < first).collect();
        past[past.len().saturating_sub(HISTORY_ROWS)..].iter().map(|timed| timed.row.clone()).collect()
    }

    fn rank(&self, history: &[Row]) -> Vec<Suspect> {
        let before = &history[history.len().saturating_sub(JUST_BEFORE_ROWS)..];
        let value = |row: &Row, place: usize| row.get(place).copied().unwrap_or(f64::NAN);
        let series = self.series.iter().enumerate().map(|(place, (service, metric, family))| {
            let window = before.iter().chain(self.last.iter().map(|(_, row)| row));
            Series {
                service: service.clone(),
                metric: metric.clone(),
                family: *family,
                base: history.iter().map(|row| value(row, place)).collect(),
                window: window.map(|row| value(row, place)).collect(),
            }
        });
        let ts_ms = self.last.front().map_or(0, |(ts_ms, _)| *ts_ms);
        let now_ms = self.last.back().map_or(0, |(ts_ms, _)| *ts_ms);
        let known = self.deployments.iter().filter(|deployed| deployed.ts_ms <= now_ms);
        let case = Case {
            deployments: known.cloned().collect(),
            services: self.topology.services.clone(),
            edges: self.topology.edges.clone(),
            alert: Alert { ts_ms, ..Alert::default() },
            series: series.collect(),
            alert_row: before.len(),
            evidence: Vec::new(),
        };
        ranking::rank(&case, &Minutes::default())
    }
}

fn opened(ts_ms: i64, nats: f64, sums: &BTreeMap<String, f64>, suspects: &[Suspect]) -> Opened {
    let sum = |suspect: &Suspect| sums.get(&suspect.service).copied().unwrap_or(0.0);
    let mut order: Vec<&Suspect> = suspects.iter().collect();
    order.sort_by(|a, b| sum(b).total_cmp(&sum(a)).then_with(|| a.service.cmp(&b.service)));
    let probabilities =
        probability::of_services(&order.iter().map(|suspect| sum(suspect)).collect::<Vec<_>>());
    let mut members: Vec<String> =
        order.iter().filter(|suspect| suspect.is_affected).map(|suspect| suspect.service.clone()).collect();
    if members.is_empty() {
        members.extend(order.first().map(|suspect| suspect.service.clone()));
    }
    let suspects = order.into_iter().zip(probabilities).map(|(suspect, probability)| Standing {
        service: suspect.service.clone(),
        category: suspect.category(),
        nats: sum(suspect),
        probability,
        category_probability: probability::of_category(&suspect.hypotheses),
    });
    Opened { ts_ms, nats, members, suspects: suspects.collect() }
}
