//! How much is worked on at once: requests, and bytes of all of them together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;
use crate::metrics;

/// Bytes of one permit.
const UNIT: usize = 1_024;

/// Bounds over all requests.
pub struct Gate {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    units: usize,
}

impl Gate {
    /// Lets in `requests` with `bytes` in all.
    pub fn new(requests: usize, bytes: usize) -> Self {
        let units = bytes / UNIT;
        Self { requests: Arc::new(Semaphore::new(requests)), bytes: Arc::new(Semaphore::new(units)), units }
    }

    /// Lets in a request.
    ///
    /// # Errors
    /// If too many are inside.
    pub fn enter(&self) -> Result<Slot, Failure> {
        let request = Arc::clone(&self.requests)
            .try_acquire_owned()
            .map_err(|_| Failure::Busy("too many requests in flight"))?;
        Ok(Slot {
            _request: request,
            bytes: Arc::clone(&self.bytes),
            all: self.units,
            held: None,
            units: 0,
            size: 0,
        })
    }
}

/// The place of one request; what it holds is given back when it is dropped.
pub struct Slot {
    _request: OwnedSemaphorePermit,
    bytes: Arc<Semaphore>,
    all: usize,
    held: Option<OwnedSemaphorePermit>,
    units: usize,
    size: usize,
}

impl Slot {
    /// Takes room for more bytes.
    ///
    /// # Errors
    /// If there is none.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        self.size += bytes;
        let more = self.size.div_ceil(UNIT).saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        let found = u32::try_from(more)
            .ok()
            .and_then(|number| Arc::clone(&self.bytes).try_acquire_many_owned(number).ok());
        let permit = found.ok_or(Failure::Busy("too many bytes in flight"))?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.units += more;
        self.show();
        Ok(())
    }

    /// Gives bytes back.
    pub fn shrink(&mut self, bytes: usize) {
        self.size = self.size.saturating_sub(bytes);
        let spare = self.units - self.size.div_ceil(UNIT).min(self.units);
        if let Some(held) = &mut self.held
            && held.split(spare).is_some()
        {
            self.units -= spare;
        }
        self.show();
    }

    fn show(&self) {
        let held = self.all - self.bytes.available_permits().min(self.all);
        metrics::IN_FLIGHT_BYTES.set([], (held * UNIT) as f64);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held = None;
        self.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_bytes_are_bounded_and_given_back() {
        let gate = Gate::new(2, 10 * UNIT);
        let (mut one, mut two) = (gate.enter().unwrap(), gate.enter().unwrap());
        assert!(matches!(gate.enter(), Err(Failure::Busy(_))));
        one.grow(1).unwrap();
        one.grow(6 * UNIT).unwrap();
        assert!(matches!(two.grow(4 * UNIT), Err(Failure::Busy(_))));
        one.shrink(6 * UNIT);
        drop(two);
        let mut two = gate.enter().unwrap();
        two.grow(9 * UNIT).unwrap();
        assert!(one.grow(UNIT).is_err());
        drop((one, two));
        assert_eq!(gate.bytes.available_permits(), 10);
    }
}
