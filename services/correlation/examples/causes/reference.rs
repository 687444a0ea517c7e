//! Case by case against what `tests/reference/kit.py` wrote of the research code.

use std::path::Path;

use anyhow::{Context as _, Result};
use correlation::backtest::cause::Ranking;
use correlation::backtest::incidents::Incident;
use serde::Deserialize;

#[derive(Deserialize)]
struct Theirs {
    case_id: String,
    ranking: Vec<TheirSuspect>,
}

#[derive(Deserialize)]
struct TheirSuspect {
    service: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    score: f64,
}

#[derive(Deserialize)]
struct TheirIncident {
    ts_ms: i64,
    services: Vec<String>,
    ranking: Vec<TheirSuspect>,
}

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Returns the category as it is named here.
fn named(category: &str) -> &str {
    if category == "none" { "unknown" } else { category }
}

/// Prints how many cases are ranked alike, and the largest difference of a score.
pub(crate) fn compare(ours: &[Ranking], path: &Path) -> Result<()> {
    let theirs: Vec<Theirs> = lines(path)?;
    let (mut same, mut first, mut largest) = (0, 0, 0.0_f64);
    for one in ours {
        let other = theirs.iter().find(|other| other.case_id == one.case_id).context("a case is missing")?;
        let alike = one.ranking.iter().zip(&other.ranking).all(|(a, b)| a.service == b.service);
        same += usize::from(alike && one.ranking.len() == other.ranking.len());
        let heads = one.ranking.first().zip(other.ranking.first());
        let is_first = heads.is_some_and(|(a, b)| {
            a.service == b.service
                && b.category.as_ref().is_none_or(|category| named(category) == a.category.to_string())
        });
        first += usize::from(is_first);
        for suspect in &one.ranking {
            let score = other
                .ranking
                .iter()
                .find(|known| known.service == suspect.service)
                .map_or(f64::NAN, |known| known.score);
            let difference = (suspect.score - score).abs();
            largest = if difference.is_nan() { f64::INFINITY } else { largest.max(difference) };
        }
        if !alike {
            println!("  {} differs in order", one.case_id);
        }
    }
    println!(
        "case by case: {same} of {} rankings in the same order, {first} with the same first service and category, scores differ by {largest:.1e} at most",
        ours.len()
    );
    Ok(())
}

/// Prints how many incidents open in the same row with the same services and ranking.
pub(crate) fn compare_incidents(ours: &[Incident], path: &Path) -> Result<()> {
    let theirs: Vec<TheirIncident> = lines(path)?;
    let same = ours.iter().zip(&theirs).filter(|(ours, theirs)| {
        let alike = ours.ranking.iter().zip(&theirs.ranking).all(|(a, b)| a.service == b.service);
        ours.ts_ms == theirs.ts_ms && ours.services == theirs.services && alike
    });
    println!(
        "incident by incident: {} of {} here and {} there are the same",
        same.count(),
        ours.len(),
        theirs.len()
    );
    Ok(())
}
