//! When what burns.

use std::collections::VecDeque;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use shared::events::fault::Scenario;

use crate::fault::{culprit, duration};
use crate::service::Service;

/// Time after a change within which people take it for the cause of what breaks, milliseconds.
const SUSPICION_MS: u64 = 3_600_000;

/// Which faults break out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Faults {
    /// None.
    Quiet,
    /// One, of this scenario or of any.
    Once(Option<Scenario>),
    /// One after the other: always this scenario, or all of [`Scenario::ROTATION`] in random order and then again.
    Repeat(Option<Scenario>),
    /// These, also several at once.
    Planned(Vec<Outbreak>),
}

impl Faults {
    /// Whether they name a scenario.
    pub fn name(&self, scenario: Scenario) -> bool {
        match self {
            Self::Quiet => false,
            Self::Once(named) | Self::Repeat(named) => *named == Some(scenario),
            Self::Planned(outbreaks) => outbreaks.iter().any(|outbreak| outbreak.scenario == scenario),
        }
    }
}

/// A fault whose time is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbreak {
    /// Scenario.
    pub scenario: Scenario,
    /// First tick with the fault; at least 1.
    pub starts: u64,
    /// Ticks with the fault; by default as many as the scenario has, see [`duration`].
    pub lasts: Option<u64>,
}

/// One planned fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Counts from 1.
    pub(crate) number: u32,
    pub(crate) scenario: Scenario,
    /// First tick with the fault.
    pub(crate) starts: u64,
    /// First tick without it.
    pub(crate) ends: u64,
}

impl Planned {
    fn new(number: u32, outbreak: Outbreak) -> Self {
        let Outbreak { scenario, starts, lasts } = outbreak;
        // a bad version needs a tick before it in which it is rolled out, and a fault lasts
        let (starts, lasts) = (starts.max(1), lasts.unwrap_or_else(|| duration(scenario)).max(1));
        Self { number, scenario, starts, ends: starts.saturating_add(lasts) }
    }

    /// Returns the part of its time, in 0..=1, that has passed when `tick` is over; nothing while it does not burn.
    pub(crate) fn progress(&self, tick: u64) -> Option<f64> {
        let burns = (self.starts..self.ends).contains(&tick);
        burns.then(|| (tick - self.starts + 1) as f64 / (self.ends - self.starts) as f64)
    }
}

/// The plan of a run, drawn an hour ahead, so that healthy deployments can keep away from what is going to break.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    rng: ChaCha8Rng,
    faults: Faults,
    min_gap: u64,
    /// Ticks of [`SUSPICION_MS`].
    suspicion: u64,
    /// The fault that burns, or burnt until this tick, and those to come.
    planned: VecDeque<Planned>,
    /// Scenarios left of the current round.
    round: Vec<Scenario>,
    next_start: u64,
    next_number: u32,
    last_end: Option<u64>,
}

impl Schedule {
    pub(crate) fn new(rng: ChaCha8Rng, options: &crate::Options) -> Self {
        Self {
            rng,
            faults: options.faults.clone(),
            min_gap: options.min_gap.max(1),
            suspicion: SUSPICION_MS.div_ceil(options.interval_ms.max(1)),
            planned: VecDeque::new(),
            round: Vec::new(),
            // a bad version needs a tick before it in which it is rolled out
            next_start: options.first_fault_after.max(1),
            next_number: 1,
            last_end: None,
        }
    }

    /// Forgets what ended before `tick` and plans what may matter to it.
    pub(crate) fn advance(&mut self, tick: u64) {
        // a service that is retired stays so
        self.planned.retain(|fault| fault.ends >= tick || fault.scenario == Scenario::Retirement);
        if let Faults::Planned(outbreaks) = &mut self.faults {
            for outbreak in std::mem::take(outbreaks) {
                let number = self.next_number;
                self.next_number += 1;
                let planned = Planned::new(number, outbreak);
                self.last_end = self.last_end.max(Some(planned.ends));
                self.planned.push_back(planned);
            }
            return;
        }
        while self.next_start <= tick + self.suspicion + 1 {
            let Some(scenario) = self.draw() else { return };
            let (starts, number) = (self.next_start, self.next_number);
            let ends = starts + duration(scenario);
            self.planned.push_back(Planned { number, scenario, starts, ends });
            self.next_number += 1;
            self.next_start = ends + self.min_gap + self.rng.random_range(0..=self.min_gap);
            self.last_end = Some(ends);
        }
    }

    /// Returns the scenario of the next fault, unless there is none.
    fn draw(&mut self) -> Option<Scenario> {
        let wanted = match self.faults {
            Faults::Quiet | Faults::Planned(_) => return None,
            Faults::Once(_) if self.next_number > 1 => return None,
            Faults::Once(wanted) | Faults::Repeat(wanted) => wanted,
        };
        if wanted == Some(Scenario::Retirement) && self.next_number > 1 {
            return None;
        }
        if wanted.is_some() {
            return wanted;
        }
        if self.round.is_empty() {
            self.round = Scenario::ROTATION.to_vec();
            self.round.shuffle(&mut self.rng);
        }
        self.round.pop()
    }

    /// Returns the fault that burns, or burnt until this tick, and those of the next hour.
    pub(crate) fn planned(&self) -> impl Iterator<Item = &Planned> {
        self.planned.iter()
    }

    /// Returns the first tick after the last fault of a run that has one, once it is known.
    pub(crate) fn over_at(&self) -> Option<u64> {
        self.last_end.filter(|_| matches!(self.faults, Faults::Once(_) | Faults::Planned(_)))
    }

    /// Returns whether a service has been taken out of operation before `tick`.
    pub(crate) fn is_retired(&self, service: Service, tick: u64) -> bool {
        self.planned.iter().any(|fault| {
            fault.scenario == Scenario::Retirement
                && culprit(fault.scenario) == service
                && fault.starts <= tick
        })
    }

    /// Returns whether a change of `service` at `tick` would be suspected, wrongly, of a fault to come.
    pub(crate) fn would_mislead(&self, service: Service, tick: u64) -> bool {
        self.planned.iter().any(|fault| {
            fault.scenario != Scenario::BadDeployment
                && culprit(fault.scenario) == service
                && (fault.starts.saturating_sub(self.suspicion)..fault.ends).contains(&tick)
        })
    }
}
