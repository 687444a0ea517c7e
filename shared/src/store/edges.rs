//! The service graph in PostgreSQL: edges, the figures of their calls by the minute, and who has sent spans.
//!
//! Rows are bounded by number ([`MAX_EDGES`], [`MAX_SERVICES`]) and by age. Figures are added to what is there, so that
//! replicas that see different traces of one edge do not overwrite each other.

#[cfg(feature = "stage")]
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
#[cfg(feature = "stage")]
use tokio_postgres::types::ToSql;

#[cfg(feature = "stage")]
use super::prepared::execute;
use super::prepared::query;
use super::read::{self, CATALOGUE};
#[cfg(feature = "stage")]
use super::write::EdgeCalls;
use super::{Error, Reads, row};
use crate::calls::{Calls, LATENCY_BUCKETS};
use crate::catalogue::Catalogue;
use crate::events::evidence::{EdgeFigures, EdgeTimes};
use crate::events::rca::Source;
use crate::graph::{Callee, Graph};
#[cfg(feature = "stage")]
use crate::metrics::runtime;

/// Edges of one environment; more are not stored.
pub const MAX_EDGES: i64 = 10_000;
/// Services of one environment that are known to have sent spans; more are not stored.
pub const MAX_SERVICES: i64 = 10_000;
/// Edges and services of all environments; beyond this those are removed that were not seen for the longest time.
#[cfg(feature = "stage")]
pub(super) const MAX_ROWS: i64 = 100_000;
/// Longest window that figures are kept for, minutes.
pub const MAX_WINDOW_MIN: i64 = 120;
/// Calls are written at most so long after they were seen, seconds of event time, while spans come.
pub const WRITE_EVERY_S: i64 = 30;
/// Event time that a span of the callee is waited for, before a call that names its far end counts as one to a far end that
/// is not instrumented, seconds.
pub const SETTLE_S: i64 = 60;
/// Least time that a number of calls is divided by, seconds: an edge that has just been seen has no rate yet.
const MIN_OBSERVED_S: f64 = 10.0;
/// Environments that are named where one is unknown.
const MAX_ENVIRONMENTS: i64 = 20;

/// Most edges of which times are read.
const MAX_TIMES: usize = 100;
const ONE_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Edges of an environment that were seen since a time, and whether each leads to a far end that has sent no spans.
pub(super) const EDGES: &str = "\
    select caller, callee, far_end and not exists (select from span_services s \
        where s.environment = e.environment and s.service = e.callee and s.last_seen >= $2) \
    from edges e where environment = $1 and last_seen >= $2 order by 1, 2";
const SEEN: &str = "select caller, callee, first_seen, last_seen, far_end from edges where environment = $1 and last_seen >= $2";
const KNOWN: &str = "select exists (select from edges where environment = $1) \
    or exists (select from span_services where environment = $1) \
    or exists (select from signals where environment = $1) \
    or exists (select from incidents where environment = $1) \
    or exists (select from deployments where environment = $1)";
const ENVIRONMENTS: &str = "select environment from (select environment from edges union \
    select environment from span_services union select environment from incidents) known order by 1 limit $1";

/// The service graph of an environment with the figures of its calls.
#[derive(Debug, Clone)]
pub struct ServiceGraph {
    /// Structure: spans and catalogue together.
    pub graph: Graph,
    /// Every edge, by caller and callee.
    pub edges: Vec<Edge>,
    /// End of the window of the figures: the last call, or `now` if that is earlier.
    pub until: Timestamp,
}

/// One edge as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Caller.
    pub caller: String,
    /// Callee.
    pub callee: String,
    /// What the callee is.
    pub kind: Callee,
    /// Whether the catalogue names the edge.
    pub is_in_catalogue: bool,
    /// What spans say of it.
    pub seen: Option<Seen>,
}

/// What spans say of an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Event time of the last call.
    pub last: Timestamp,
    /// Calls within the window.
    pub calls: Calls,
    /// How much of the window was observed, seconds.
    pub observed_s: f64,
}

impl Seen {
    /// Returns the calls a second over the time that was observed, at least 10 s.
    pub fn calls_per_s(&self) -> f64 {
        self.calls.calls as f64 / self.observed_s.max(MIN_OBSERVED_S)
    }
}

/// Returns what the catalogue and the rows of [`EDGES`] say together.
pub(super) fn graph_of(catalogue: &Catalogue, edges: &[Row]) -> Graph {
    let mut graph = catalogue.graph();
    let edge = |found: &Row| {
        let caller: String = row::value(found, "edges", 0)?;
        let callee: String = row::value(found, "edges", 1)?;
        Ok((caller, callee, row::value::<bool>(found, "edges", 2)?))
    };
    for (caller, callee, is_far_end) in row::readable(edges, edge) {
        if is_far_end {
            graph.add_far_end(caller, callee);
        } else {
            graph.add_edge(caller, callee);
        }
    }
    graph
}

impl Reads {
    /// Returns the service graph of an environment from the catalogue and the edges that were seen since `edges_since`, with the
    /// figures of the last `window` (at most [`MAX_WINDOW_MIN`]) of event time; nothing if no row is of that environment.
    pub async fn service_graph(
        &self,
        environment: &str,
        edges_since: Timestamp,
        window: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<ServiceGraph>, Error> {
        let mut client = self.client().await?;
        let snapshot = read::snapshot(&mut client).await?;
        let known = query(&snapshot, KNOWN, &[&environment]).await?;
        let is_known = known.first().map_or(Ok(false), |found| row::value(found, "edges", 0))?;
        if !is_known {
            return Ok(None);
        }
        let catalogue = read::catalogue_of(&query(&snapshot, CATALOGUE, &[]).await?);
        let graph = graph_of(&catalogue, &query(&snapshot, EDGES, &[&environment, &edges_since]).await?);
        let seen = query(&snapshot, SEEN, &[&environment, &edges_since]).await?;
        let mut seen = row::readable(&seen, Times::read);
        let last = seen.iter().map(|times| times.last).max();
        let until = last.map_or(now, |last| last.min(now));
        let from = minute(until.saturating_sub(window).unwrap_or(Timestamp::MIN));
        let figures = query(&snapshot, &sums(""), &[&environment, &from, &until]).await?;
        snapshot.commit().await?;
        let figures = row::readable(&figures, figures_of);
        let mut seen: BySides<Seen> = seen
            .drain(..)
            .map(|times| ((times.caller.clone(), times.callee.clone()), times.seen(from, until)))
            .collect();
        for (sides, calls) in figures {
            if let Some(seen) = seen.get_mut(&sides) {
                seen.calls = calls;
            }
        }
        let described = catalogue.graph();
        let mut edges: Vec<Edge> = graph
            .edges()
            .map(|(caller, callee, kind)| Edge {
                caller: caller.to_owned(),
                callee: callee.to_owned(),
                kind,
                is_in_catalogue: described.has_edge(caller, callee),
                seen: seen.remove(&(caller.to_owned(), callee.to_owned())),
            })
            .collect();
        edges.sort_by(|a, b| (&a.caller, &a.callee).cmp(&(&b.caller, &b.callee)));
        Ok(Some(ServiceGraph { graph, edges, until }))
    }

    /// Returns how long calls to and from services took between `from` and `onset`, and from the minute of `onset` to that of
    /// `until`, by the source that names them; of very many edges the first ones by name.
    pub async fn edge_times(
        &self,
        environment: &str,
        services: &[&str],
        from: Timestamp,
        onset: Timestamp,
        until: Timestamp,
    ) -> Result<std::collections::BTreeMap<Source, EdgeTimes>, Error> {
        let (from, onset, to) = (minute(from), minute(onset), minute(until));
        let mut times: std::collections::BTreeMap<Source, EdgeTimes> = std::collections::BTreeMap::new();
        let client = self.client().await?;
        for (begin, end, is_since) in [(from, onset - ONE_SECOND, false), (onset, to, true)] {
            let limit = format!("{} limit {MAX_TIMES}", sums("and (caller = any($4) or callee = any($4))"));
            let found = query(&client, &limit, &[&environment, &begin, &end, &services]).await?;
            for ((caller, callee), calls) in row::readable(&found, figures_of) {
                let times = times.entry(Source::EdgeTimes { caller, callee, from, onset, to }).or_default();
                let side = if is_since { &mut times.since } else { &mut times.before };
                *side = EdgeFigures::from(&calls);
            }
        }
        Ok(times)
    }

    /// Returns environments that anything is stored of, sorted; of many, the first 20.
    pub async fn environments(&self) -> Result<Vec<String>, Error> {
        let rows = query(&self.client().await?, ENVIRONMENTS, &[&MAX_ENVIRONMENTS]).await?;
        Ok(row::readable(&rows, |found| row::value(found, "edges", 0)))
    }
}

/// By caller and callee.
type BySides<T> = std::collections::BTreeMap<(String, String), T>;

/// When an edge was seen.
struct Times {
    caller: String,
    callee: String,
    first: Option<Timestamp>,
    last: Timestamp,
    is_far_end: bool,
}

impl Times {
    /// Reads a row of [`SEEN`].
    fn read(found: &Row) -> Result<Self, Error> {
        Ok(Self {
            caller: row::value(found, "edges", 0)?,
            callee: row::value(found, "edges", 1)?,
            first: row::value(found, "edges", 2)?,
            last: row::value(found, "edges", 3)?,
            is_far_end: row::value(found, "edges", 4)?,
        })
    }

    /// Returns how much of the window is observed, without calls yet. It begins with the first call. Calls since the last write are
    /// not stored yet, so it ends with the last one that is, unless that is so long ago that others would have been written.
    fn seen(&self, from: Timestamp, until: Timestamp) -> Seen {
        let begin = self.first.unwrap_or(from).max(from);
        // twice the time between two writes: spans come out of order, and an edge is written with the next span of any
        let lag_s = 2 * WRITE_EVERY_S + if self.is_far_end { SETTLE_S } else { 0 };
        let is_current = until.duration_since(self.last) <= SignedDuration::from_secs(lag_s);
        let end = if is_current { self.last.min(until) } else { until };
        Seen {
            last: self.last,
            calls: Calls::default(),
            observed_s: end.duration_since(begin).as_secs_f64().max(0.0),
        }
    }
}

/// Returns the statement that adds up the figures of each edge within a window, of those edges that a condition selects.
fn sums(condition: &str) -> String {
    let buckets: Vec<String> = (1..=LATENCY_BUCKETS)
        .map(|number| format!("coalesce(sum(latency_buckets[{number}]), 0)::bigint"))
        .collect();
    format!(
        "select caller, callee, sum(calls)::bigint, sum(failed)::bigint, sum(latency_ms), array[{}], \
         sum(self_calls)::bigint, sum(self_ms) from edge_minutes \
         where environment = $1 and minute >= $2 and minute <= $3 {condition} group by caller, callee \
         order by caller, callee",
        buckets.join(", ")
    )
}

/// Reads a row of [`sums`].
fn figures_of(found: &Row) -> Result<((String, String), Calls), Error> {
    const TABLE: &str = "edge_minutes";
    let buckets: Vec<i64> = row::value(found, TABLE, 5)?;
    let mut latency_buckets = [0; LATENCY_BUCKETS];
    for (bucket, count) in latency_buckets.iter_mut().zip(buckets) {
        *bucket = count;
    }
    let calls = Calls {
        calls: row::value(found, TABLE, 2)?,
        failed: row::value(found, TABLE, 3)?,
        latency_ms: row::value(found, TABLE, 4)?,
        latency_buckets,
        self_calls: row::value(found, TABLE, 6)?,
        self_ms: row::value(found, TABLE, 7)?,
    };
    Ok(((row::value(found, TABLE, 0)?, row::value(found, TABLE, 1)?), calls))
}

/// Returns the begin of the minute in which a time lies.
fn minute(at: Timestamp) -> Timestamp {
    crate::clock::from_ms(at.as_millisecond().div_euclid(60_000).saturating_mul(60_000))
}

/// Adds calls to an edge and to the minute of the last one.
#[cfg(feature = "stage")]
pub(super) async fn write_edge(
    tx: &Transaction<'_>,
    environment: &str,
    caller: &str,
    callee: &str,
    last_seen: Timestamp,
    seen: &EdgeCalls,
) -> Result<(), Error> {
    let EdgeCalls { kind, first_seen, calls } = seen;
    let is_far_end = *kind == Callee::FarEnd;
    let values: [&(dyn ToSql + Sync); 7] =
        [&environment, &caller, &callee, &calls.calls, &last_seen, &is_far_end, first_seen];
    let known = execute(
        tx,
        "update edges set calls = calls + $4, last_seen = greatest(last_seen, $5), \
         far_end = far_end and $6, first_seen = least(first_seen, $7) \
         where environment = $1 and caller = $2 and callee = $3",
        &values,
    )
    .await?;
    if known == 0 && !insert_edge(tx, &values).await? {
        runtime::GRAPH_ROWS_DROPPED.add_one(["environment_edges"]);
        return Ok(());
    }
    if calls.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        "insert into edge_minutes as m (environment, caller, callee, minute, calls, failed, latency_ms, \
         latency_buckets, self_calls, self_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         on conflict (environment, caller, callee, minute) do update set calls = m.calls + excluded.calls, \
         failed = m.failed + excluded.failed, latency_ms = m.latency_ms + excluded.latency_ms, \
         latency_buckets = array(select coalesce(a, 0) + coalesce(b, 0) \
            from unnest(m.latency_buckets, excluded.latency_buckets) with ordinality as bucket (a, b, n) order by n), \
         self_calls = m.self_calls + excluded.self_calls, self_ms = m.self_ms + excluded.self_ms",
        &[
            &environment,
            &caller,
            &callee,
            &minute(last_seen),
            &calls.calls,
            &calls.failed,
            &calls.latency_ms,
            &calls.latency_buckets.as_slice(),
            &calls.self_calls,
            &calls.self_ms,
        ],
    )
    .await?;
    Ok(())
}

/// Stores an edge that is new, and returns whether there was room for it.
#[cfg(feature = "stage")]
async fn insert_edge(tx: &Transaction<'_>, values: &[&(dyn ToSql + Sync)]) -> Result<bool, Error> {
    let statement = format!(
        "insert into edges as e (environment, caller, callee, calls, last_seen, far_end, first_seen) \
         select $1::text, $2::text, $3::text, $4::bigint, $5::timestamptz, $6::boolean, $7::timestamptz \
         where (select count(*) from edges where environment = $1) < {MAX_EDGES} \
         on conflict (environment, caller, callee) do update set calls = e.calls + excluded.calls, \
         last_seen = greatest(e.last_seen, excluded.last_seen), far_end = e.far_end and excluded.far_end, \
         first_seen = least(e.first_seen, excluded.first_seen)"
    );
    Ok(execute(tx, &statement, values).await? > 0)
}

/// Notes that a service has sent spans.
#[cfg(feature = "stage")]
pub(super) async fn write_service(
    tx: &Transaction<'_>,
    environment: &str,
    service: &str,
    last_seen: Timestamp,
) -> Result<(), Error> {
    let statement = format!(
        "insert into span_services as s (environment, service, last_seen) \
         select $1::text, $2::text, $3::timestamptz \
         where exists (select from span_services where environment = $1 and service = $2) \
            or (select count(*) from span_services where environment = $1) < {MAX_SERVICES} \
         on conflict (environment, service) do update set last_seen = greatest(s.last_seen, excluded.last_seen)"
    );
    if execute(tx, &statement, &[&environment, &service, &last_seen]).await? == 0 {
        runtime::GRAPH_ROWS_DROPPED.add_one(["environment_services"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;

    fn observed_s(is_far_end: bool, first_s: Option<i64>, last_s: i64, until_s: i64) -> f64 {
        let times = Times {
            is_far_end,
            caller: String::new(),
            callee: String::new(),
            first: first_s.map(|at| from_ms(at * 1_000)),
            last: from_ms(last_s * 1_000),
        };
        times.seen(from_ms(0), from_ms(until_s * 1_000)).observed_s
    }

    #[test]
    fn an_edge_is_observed_from_its_first_call_to_the_last_that_is_stored() {
        for (is_far_end, first_s, last_s, until_s, expected) in [
            (false, None, 900, 900, 900.0),
            (false, Some(600), 900, 900, 300.0),
            (false, Some(840), 840, 850, 0.0),
            (false, Some(840), 840, 900, 0.0),
            (false, Some(840), 840, 901, 61.0),
            // its calls are stored a minute later
            (true, Some(700), 780, 900, 80.0),
            (true, Some(700), 779, 900, 200.0),
            (false, Some(-500), 10, 900, 900.0),
            // a clock that runs ahead
            (false, Some(890), 2_000, 900, 10.0),
            (false, Some(1_900), 2_000, 900, 0.0),
        ] {
            let observed_s = observed_s(is_far_end, first_s, last_s, until_s);
            assert_eq!(observed_s, expected, "{first_s:?} {last_s} {until_s}");
        }
    }

    #[test]
    fn calls_of_an_instant_are_divided_by_ten_seconds() {
        let mut calls = Calls::default();
        calls.add(1.0, false);
        let seen = Seen { last: from_ms(0), calls, observed_s: 0.0 };
        assert_eq!(seen.calls_per_s(), 0.1);
    }
}
