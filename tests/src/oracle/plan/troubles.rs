//! What goes wrong at receivers that are reached by HTTP.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::oracle::receivers::Receiver;

/// How long a receiver misbehaves, milliseconds.
const FOR_MS: std::ops::Range<u64> = 1_000..6_000;
/// Most requests that a receiver answers before.
const MAX_BEFORE: u32 = 8;

/// A time at which a receiver misbehaves. It begins with a request, so that each is met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Receiver.
    pub receiver: Receiver,
    /// How many requests it answers before, since its last trouble was over.
    pub before: u32,
    /// How long it lasts, milliseconds.
    pub for_ms: u64,
    /// What happens.
    pub kind: TroubleKind,
}

/// How a receiver misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// It answers with this status and takes nothing.
    Fails(u16),
    /// It takes nothing and never answers.
    Hangs,
    /// It takes nothing and asks for a pause.
    Busy {
        /// `Retry-After`, seconds.
        retry_after_s: u64,
    },
    /// It takes the request, and the connection ends before the answer does.
    BreaksOff,
}

impl TroubleKind {
    /// Returns the key in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fails(_) => "receiver failed",
            Self::Hangs => "receiver hung",
            Self::Busy { .. } => "receiver busy",
            Self::BreaksOff => "receiver broke off",
        }
    }
}

/// Draws the troubles of each receiver, in their order.
pub fn draw(rng: &mut ChaCha8Rng) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for receiver in Receiver::ALL {
        for chance in [0.7, 0.4] {
            if !rng.random_bool(chance) {
                break;
            }
            let kinds = [
                TroubleKind::Fails(500),
                TroubleKind::Fails(503),
                TroubleKind::Hangs,
                TroubleKind::Busy { retry_after_s: rng.random_range(1..4) },
                TroubleKind::BreaksOff,
                TroubleKind::BreaksOff,
            ];
            let kind = kinds.choose(rng).copied().unwrap_or(TroubleKind::Hangs);
            let before = rng.random_range(0..MAX_BEFORE);
            troubles.push(Trouble { receiver, before, for_ms: rng.random_range(FOR_MS), kind });
        }
    }
    troubles
}
