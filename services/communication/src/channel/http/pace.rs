//! How fast messages follow one another: a token bucket of one token for each destination.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Destinations that are remembered; the limit of one that is forgotten begins anew.
const MOST: usize = 1_000;

/// When the next message to each destination may be sent.
#[derive(Debug, Default)]
pub struct Paces(BTreeMap<String, Instant>);

impl Paces {
    /// Reserves the turn of one message where messages are `interval` apart, and returns when it is. Where that is more than
    /// `most` away nothing is reserved, and the time until then is returned.
    pub fn reserve(
        &mut self,
        destination: &str,
        interval: Duration,
        now: Instant,
        most: Duration,
    ) -> Result<Instant, Duration> {
        let turn = self.0.get(destination).map_or(now, |next| (*next).max(now));
        if turn - now > most {
            return Err(turn - now);
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, next| *next > now);
        }
        if self.0.len() < MOST {
            self.0.insert(destination.to_owned(), turn + interval);
        }
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_to_one_destination_are_a_second_apart() {
        let (mut paces, now, second) = (Paces::default(), Instant::now(), Duration::from_secs(1));
        let mut reserve = |destination, at| paces.reserve(destination, second, at, 2 * second);
        assert_eq!(reserve("a", now), Ok(now));
        assert_eq!(reserve("b", now), Ok(now), "another destination has its own");
        assert_eq!(reserve("a", now), Ok(now + second));
        assert_eq!(reserve("a", now), Ok(now + 2 * second));
        assert_eq!(reserve("a", now), Err(3 * second), "nobody waits for ever");
        assert_eq!(reserve("a", now + 10 * second), Ok(now + 10 * second));
    }
}
