//! Receivers that fail for long, over all agents: each message reaches them once after they heal, in order, and mails do not wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::events::Incident;
use shared::events::command::Action;
use shared::ids::IncidentId;
use shared::store::{Notification, NotificationKind as Kind, NotificationState};
use stack::Options;
use stack::parts::probe;
use tests::Pipeline;
use tests::oracle::plan::troubles::TroubleKind;
use tests::oracle::receivers::{self, Receiver, Receivers};
use tests::people::Person;

/// Longest time until the mails about an incident are there, on a busy machine.
const MAILS: Duration = Duration::from_mins(2);
/// Longest time from the decision to send a mail to its acceptance, seconds. A receiver that hangs takes half of it for one attempt.
const MAIL_DELAY_S: f64 = 10.0;
/// Longest time from the end of an outage until everything is sent: the pauses of a breaker and between attempts.
const HEALED: Duration = Duration::from_mins(4);
/// Time after that in which a second copy would be found.
const SETTLED: Duration = Duration::from_secs(6);
/// Settings that shorten pauses for a run of the oracle.
const SHORT: [&str; 2] =
    ["FIREWATCH_COMMUNICATION__RETRY_MAX_MS", "FIREWATCH_COMMUNICATION__COMMAND_TIMEOUT_MS"];

struct Scene {
    pipeline: Pipeline,
    receivers: Receivers,
    person: Person,
}

impl Scene {
    async fn start(has_own_pauses: bool) -> Result<Self> {
        let receivers = Receivers::start(&[]).await?;
        let mut options = Options::throw_away()?;
        options.settings.extend(receivers.settings());
        options.settings.retain(|name, _| !has_own_pauses || !SHORT.contains(&name.as_str()));
        let pipeline = Pipeline::start_with(options, 1).await?;
        receivers::route(&pipeline.stack).await?;
        let person = Person::new(&pipeline.stack)?;
        Ok(Self { pipeline, receivers, person })
    }

    /// Lets two incidents open and end while receivers fail for `longest`, and checks what arrives then and afterwards.
    async fn outage(self, failing: &[(Receiver, TroubleKind)], longest: Duration) -> Result<()> {
        let begun = Instant::now();
        for (receiver, kind) in failing {
            self.receivers.disturb(*receiver, *kind);
        }
        let mut incidents = Vec::new();
        for service in ["billing", "search"] {
            let Incident { incident_id, .. } = self.person.fault(service).await?;
            incidents.push(incident_id);
        }
        for id in &incidents {
            self.mails(*id, &[Kind::Opened, Kind::RootCause, Kind::Plan]).await?;
            self.person.ask(Some(*id), Action::Resolve { reason: "the pool is larger".to_owned() }).await?;
        }
        for id in &incidents {
            self.mails(*id, &[Kind::Resolved, Kind::Postmortem]).await?;
        }
        tokio::time::sleep(longest.saturating_sub(begun.elapsed())).await;
        let down = self.receivers.record();
        let is_failing = |receiver: Receiver| failing.iter().any(|(other, _)| *other == receiver);
        let early = down.accepted.iter().find(|one| is_failing(one.receiver));
        ensure!(early.is_none(), "a receiver that fails accepted {early:?}");
        self.receivers.heal();
        let healed = Instant::now();
        for id in &incidents {
            probe::until("all messages", HEALED, async || {
                let rows = self.rows(*id).await?;
                let left: Vec<_> =
                    rows.iter().filter(|(_, state)| *state != NotificationState::Sent).collect();
                ensure!(left.is_empty(), "{left:?}");
                Ok(())
            })
            .await?;
        }
        println!(
            "all was sent {:.0} s after the outage of {:.0} s",
            healed.elapsed().as_secs_f64(),
            (healed - begun).as_secs_f64()
        );
        tokio::time::sleep(SETTLED).await;
        for id in incidents {
            self.each_once(id).await?;
        }
        ensure!(self.receivers.record().refused.is_empty(), "{:?}", self.receivers.record().refused);
        self.pipeline.stack.stop().await
    }

    async fn rows(&self, incident: IncidentId) -> Result<Vec<(Notification, NotificationState)>> {
        Ok(self.person.store().reads().notifications(incident).await?)
    }

    /// Waits for the mails of those kinds about an incident. None that is there came late.
    async fn mails(&self, incident: IncidentId, kinds: &[Kind]) -> Result<()> {
        let mailbox = self.pipeline.stack.mail().mailbox();
        let mut arrived = Vec::new();
        probe::until("the mails", MAILS, async || {
            arrived = mailbox.mails().await?;
            arrived.retain(|mail| mail.id.contains(&incident.to_string()));
            for kind in kinds {
                ensure!(arrived.iter().any(|mail| mail.kind.as_deref() == Some(kind.name())), "no {kind}");
            }
            Ok(())
        })
        .await?;
        // the sink does not say when it received a mail
        let longest = "select max(extract(epoch from a.at - n.written_at))::float8 from notifications n \
            join notification_attempts a on a.notification_id = n.id \
            where n.channel = 'email' and n.incident_id::text = $1";
        let client = shared::testing::client(self.person.store()).await?;
        let longest: Option<f64> = client.query_one(longest, &[&incident.to_string()]).await?.try_get(0)?;
        let longest = longest.context("no mail was sent")?;
        ensure!(longest < MAIL_DELAY_S, "a mail was sent {longest} s after it was decided on");
        println!("mails were sent within {longest:.1} s");
        Ok(())
    }

    /// Checks that each receiver has each message about an incident once, in the order in which they were written.
    async fn each_once(&self, incident: IncidentId) -> Result<()> {
        let accepted = self.receivers.record().accepted;
        let mut rows: Vec<Notification> =
            self.rows(incident).await?.into_iter().map(|(one, _)| one).collect();
        rows.sort_by_key(Notification::written_at);
        for receiver in [Receiver::Webhook, Receiver::Slack] {
            let own = rows.iter().filter(|one| one.channel.as_str() == receiver.channel());
            let expected: Vec<String> = own.map(|one| one.id.to_string()).collect();
            let of_incident =
                accepted.iter().filter(|one| one.receiver == receiver && expected.contains(&one.key));
            let arrived: Vec<&str> = of_incident.map(|one| one.key.as_str()).collect();
            ensure!(expected.len() >= Kind::LIFECYCLE.len(), "{rows:?}");
            ensure!(arrived == expected, "{} has {arrived:?} instead of {expected:?}", receiver.channel());
        }
        for (receiver, first, last) in
            [(Receiver::PagerDuty, "trigger", "resolve"), (Receiver::Opsgenie, "create", "close")]
        {
            let prefix = format!("{incident}/");
            let own = accepted.iter().filter(|one| one.receiver == receiver);
            let actions: Vec<&str> = own.filter_map(|one| one.key.strip_prefix(&prefix)).collect();
            let count = |action: &str| actions.iter().filter(|one| **one == action).count();
            let is_sound = actions.first() == Some(&first) && count(first) == 1 && count(last) == 1;
            ensure!(is_sound, "{}: {actions:?}", receiver.channel());
        }
        Ok(())
    }
}

/// Lets all receivers fail in one way until the mails are there, and a little longer.
async fn all_fail(kind: TroubleKind) -> Result<()> {
    let failing = Receiver::ALL.map(|receiver| (receiver, kind));
    Scene::start(false).await?.outage(&failing, Duration::from_secs(30)).await
}

#[tokio::test]
async fn receivers_that_answer_500_get_each_message_once_after_they_heal_and_mails_do_not_wait() -> Result<()>
{
    all_fail(TroubleKind::Fails(500)).await
}

#[tokio::test]
async fn receivers_that_hang_get_each_message_once_after_they_heal_and_mails_do_not_wait() -> Result<()> {
    all_fail(TroubleKind::Hangs).await
}

#[tokio::test]
async fn receivers_that_answer_429_get_each_message_once_after_they_heal_and_mails_do_not_wait() -> Result<()>
{
    all_fail(TroubleKind::Busy { retry_after_s: 3 }).await
}

#[tokio::test]
#[ignore = "takes seven minutes: the pauses are those of the defaults"]
async fn receivers_that_fail_for_five_minutes_get_each_message_once_after_they_heal() -> Result<()> {
    let failing = [
        (Receiver::Webhook, TroubleKind::Fails(500)),
        (Receiver::Slack, TroubleKind::Hangs),
        (Receiver::Opsgenie, TroubleKind::Busy { retry_after_s: 20 }),
    ];
    Scene::start(true).await?.outage(&failing, Duration::from_mins(5)).await
}
