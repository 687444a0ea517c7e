//! How often what is said with a probability is right.

use std::fmt;

use anyhow::{Context as _, Result};
use correlation::backtest::cause::{Ranking, Verdict};
use serde_json::{Value, json};
use shared::events::Category;

use crate::kit::Known;

/// Upper ends of the ranges of a probability.
const RANGES: [f64; 5] = [0.3, 0.5, 0.8, 0.95, 1.01];

/// Probabilities of first suspects and of their categories, and whether they were right.
pub(crate) struct Calibration {
    services: Vec<(f64, bool)>,
    categories: Vec<(f64, bool)>,
}

impl Calibration {
    pub(crate) fn of(rankings: &[Ranking], known: &[Known]) -> Self {
        let mut calibration = Self { services: Vec::new(), categories: Vec::new() };
        for (ranking, known) in rankings.iter().zip(known) {
            let Some(first) = ranking.ranking.first() else { continue };
            let is_right = first.service == known.culprit;
            calibration.services.push((first.probability, is_right));
            if let Some(category) = category(&known.kind).filter(|_| is_right) {
                calibration.categories.push((first.category_probability, first.category == category));
            }
        }
        calibration
    }
}

/// Returns the category of a kind of injected fault, if it names one.
fn category(kind: &str) -> Option<Category> {
    match kind {
        "cpu_contention" | "cpu_consumed" => Some(Category::Cpu),
        "network_delay" => Some(Category::Network),
        "return" | "exception" => Some(Category::Code),
        _ => None,
    }
}

/// Returns how often each verdict is said, and how often the first service is the faulty one then.
pub(crate) fn verdicts(rankings: &[&Ranking], known: &[Known]) -> Result<Value> {
    let mut verdicts = Value::default();
    for verdict in [Verdict::Cause, Verdict::Likely, Verdict::NotVisible] {
        let (mut said, mut right) = (0, 0);
        for ranking in rankings.iter().filter(|ranking| ranking.verdict == verdict) {
            let known = known.iter().find(|known| known.case_id == ranking.case_id).context("no answer")?;
            let first = ranking.ranking.first();
            said += 1;
            right += usize::from(first.is_some_and(|first| first.service == known.culprit));
        }
        let name = serde_json::to_value(verdict)?;
        let name = name.as_str().context("a verdict is no text")?;
        verdicts[name] = json!({ "said": said, "right": right });
    }
    Ok(verdicts)
}

/// Writes a reliability table, the expected calibration error and the area under the ROC curve.
fn write(f: &mut fmt::Formatter<'_>, what: &str, said: &[(f64, bool)]) -> fmt::Result {
    if said.is_empty() {
        return Ok(());
    }
    let share = |right: usize, of: usize| right as f64 / of as f64;
    let right = said.iter().filter(|(_, right)| *right).count();
    write!(f, "{what}: right {right} of {}", said.len())?;
    let (mut error, mut low) = (0.0, 0.0);
    for high in RANGES {
        let some: Vec<_> = said.iter().filter(|(probability, _)| (low..high).contains(probability)).collect();
        low = high;
        if some.is_empty() {
            continue;
        }
        let right = share(some.iter().filter(|(_, right)| *right).count(), some.len());
        let mean = some.iter().map(|(probability, _)| probability).sum::<f64>() / some.len() as f64;
        error += (right - mean).abs() * share(some.len(), said.len());
        write!(f, "; below {high:.2}: {} said {mean:.2}, right {right:.2}", some.len())?;
    }
    write!(f, "; ECE {error:.3}")?;
    let (hits, misses): (Vec<_>, Vec<_>) = said.iter().partition(|(_, right)| *right);
    let above: f64 = hits
        .iter()
        .flat_map(|(hit, _)| {
            misses.iter().map(move |(miss, _)| match hit.total_cmp(miss) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
        })
        .sum();
    if !hits.is_empty() && !misses.is_empty() {
        write!(f, "; AUROC {:.3}", above / (hits.len() * misses.len()) as f64)?;
    }
    writeln!(f)
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, "service", &self.services)?;
        write(f, "category given the right service", &self.categories)
    }
}
