//! Ranks one case: by blame flow where it applies, by hypotheses elsewhere.

use serde::{Deserialize, Serialize};
use shared::events::Category;

use crate::cause::{Case, Minutes, Suspect, blame, probability, ranking};

/// Probability from which on the first suspect is called the cause. On development data it was right in more than 80 % of
/// such cases.
pub const CAUSE_PROBABILITY: f64 = 0.8;
/// Probability below which nothing is named.
pub const VISIBLE_PROBABILITY: f64 = 0.3;

/// How services were ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By hypotheses about service and category.
    Hypotheses,
    /// By blame flow.
    BlameFlow,
}

/// What can be said of the first suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the cause.
    Cause,
    /// It is likely the cause.
    Likely,
    /// The cause is not visible in this telemetry.
    NotVisible,
}

impl Verdict {
    /// Returns what a probability allows to say.
    pub fn of(probability: f64) -> Self {
        if probability >= CAUSE_PROBABILITY {
            Self::Cause
        } else if probability >= VISIBLE_PROBABILITY {
            Self::Likely
        } else {
            Self::NotVisible
        }
    }
}

/// A suspect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Service.
    pub service: String,
    /// Its best category.
    pub category: Category,
    /// Metric whose excess was handed down, with blame flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What services are ranked by: nats with hypotheses, a share with blame flow.
    pub score: f64,
    /// Probability that the service is the cause.
    pub probability: f64,
    /// Probability of the category, given that the service is the cause.
    pub category_probability: f64,
}

/// The ranking of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Name of the case.
    pub case_id: String,
    /// How services were ranked.
    pub method: Method,
    /// What can be said of the first suspect.
    pub verdict: Verdict,
    /// Suspects, best first.
    pub ranking: Vec<Ranked>,
}

/// Ranks a case.
pub fn rank(case_id: &str, case: &Case, history: &Minutes) -> Ranking {
    let suspects = ranking::rank(case, history);
    let by_blame = blame::applies(case).then(|| blame::rank(case)).flatten();
    let (method, ranking) = match by_blame {
        Some(blame) => (Method::BlameFlow, blamed(&blame, &suspects)),
        None => (Method::Hypotheses, suspected(&suspects)),
    };
    let verdict = Verdict::of(ranking.first().map_or(0.0, |first| first.probability));
    Ranking { case_id: case_id.to_owned(), method, verdict, ranking }
}

fn suspected(suspects: &[Suspect]) -> Vec<Ranked> {
    let nats: Vec<f64> = suspects.iter().map(Suspect::nats).collect();
    let probabilities = probability::of_services(&nats);
    let ranked = suspects.iter().zip(probabilities).map(|(suspect, probability)| Ranked {
        service: suspect.service.clone(),
        category: suspect.category(),
        metric: None,
        score: suspect.score,
        probability,
        category_probability: probability::of_category(&suspect.hypotheses),
    });
    ranked.collect()
}

/// Ranks by blame; the category of each service is that of its best hypothesis.
fn blamed(blame: &blame::Blame, suspects: &[Suspect]) -> Vec<Ranked> {
    let ranked = blame.services.iter().map(|blamed| {
        let suspect = suspects.iter().find(|suspect| suspect.service == blamed.service);
        Ranked {
            service: blamed.service.clone(),
            category: suspect.map_or(Category::Unknown, Suspect::category),
            metric: Some(blame.metric.clone()),
            score: blamed.score,
            probability: blamed.probability(),
            category_probability: suspect
                .map_or(0.0, |suspect| probability::of_category(&suspect.hypotheses)),
        }
    });
    ranked.collect()
}
