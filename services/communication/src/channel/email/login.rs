//! When to log in after a login was refused: servers lock accounts that try often.

use std::time::Duration;

use tokio::time::Instant;

/// Pause between two logins after one was refused.
pub const PAUSE: Duration = Duration::from_mins(5);

/// What is known of the login at one mail server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Login(Option<Refused>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    reason: String,
    next: Instant,
}

impl Login {
    /// Lets a mail be sent; or returns why not, and for how long none is. After a refusal one mail a pause tries.
    pub fn admit(&mut self, now: Instant) -> Result<(), (String, Duration)> {
        match &mut self.0 {
            Some(refused) if now < refused.next => Err((refused.reason.clone(), refused.next - now)),
            Some(refused) => {
                refused.next = now + PAUSE;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Records a refusal. Returns whether it is the first in a row.
    pub fn refuse(&mut self, reason: String, now: Instant) -> bool {
        self.0.replace(Refused { reason, next: now + PAUSE }).is_none()
    }

    /// Records that the server takes mail. Returns whether it had refused before.
    pub fn accept(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_refusal_one_mail_a_pause_tries() {
        let (mut login, start) = (Login::default(), Instant::now());
        assert_eq!(login.admit(start), Ok(()));
        assert!(!login.accept());
        assert!(login.refuse("no".to_owned(), start), "loud");
        assert!(!login.refuse("no".to_owned(), start), "once");
        assert_eq!(login.admit(start + PAUSE / 2), Err(("no".to_owned(), PAUSE / 2)));
        let due = start + PAUSE;
        assert_eq!(login.admit(due), Ok(()));
        assert_eq!(login.admit(due), Err(("no".to_owned(), PAUSE)), "one of those that wait");
        assert!(login.accept());
        assert_eq!((login.admit(due), login.admit(due)), (Ok(()), Ok(())));
        assert!(login.refuse("no".to_owned(), due), "loud again");
    }
}
