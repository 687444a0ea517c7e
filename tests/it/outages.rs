//! Each dependency down at the start, down later, and back again.

use std::time::Duration;

use anyhow::{Result, ensure};
use stack::observe::run_summary::RunObservation;
use stack::testing::bench::until;
use stack::{Options, Program, Stack};
use tests::Pipeline;

/// Longest time for everything to be told after all is well again.
const DEADLINE: Duration = Duration::from_mins(4);
/// How long a sixth mail or a second incident is waited for.
const SETTLED: Duration = Duration::from_secs(5);

/// A short fault, at a pace that leaves time for harm.
const FAULT: [&str; 6] =
    ["--interval=400ms", "--first-fault-after=45", "--once", "--scenario", "error-spike", "--seed=3"];

/// Names what is missing of the observation apart from its mails.
fn without_mails(observation: &RunObservation) -> Vec<String> {
    observation
        .missing()
        .into_iter()
        .filter(|sentence| !sentence.contains("mails") && !sentence.contains("they are of"))
        .collect()
}

#[tokio::test]
async fn while_the_mail_server_is_down_the_incident_flows_on_and_the_mails_follow() -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    pipeline.stack.mail().process().stop().await?;
    pipeline.simulate(&FAULT)?;
    pipeline.wait_for(DEADLINE, Duration::ZERO, without_mails).await?;
    ensure!(
        pipeline.observation.missing().len() > without_mails(&pipeline.observation).len(),
        "mails arrived without a server"
    );
    pipeline.stack.mail().restart().await?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

#[tokio::test]
async fn a_restart_of_kafka_and_of_postgresql_in_the_middle_loses_and_repeats_nothing() -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    pipeline.simulate(&FAULT)?;
    let opened = |observation: &RunObservation| match observation.incident() {
        Some(_) => Vec::new(),
        None => vec!["no incident was opened".to_owned()],
    };
    pipeline.wait_for(DEADLINE, Duration::ZERO, opened).await?;
    pipeline.stack.postgres().restart().await?;
    pipeline.stack.kafka().process().kill9();
    pipeline.stack.kafka().restart().await?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

#[tokio::test]
async fn agents_that_start_before_kafka_and_postgresql_say_what_they_wait_for_and_go_on() -> Result<()> {
    let stack = Stack::start(Options::throw_away()?).await?;
    stack.kafka().process().stop().await?;
    stack.postgres().process().stop().await?;
    for (name, waits_for) in
        [("detection", "kafka"), ("correlation", "postgres"), ("communication", "postgres")]
    {
        let agent = stack.spawn(&Program::new(name))?;
        let url = format!("http://{}/readyz", agent.http());
        let ask = async || {
            let answer = reqwest::get(&url).await.ok()?;
            let status = answer.status().as_u16();
            let text = answer.text().await.ok()?;
            (status == 503 && text.contains(&format!("{waits_for}: down"))).then_some(())
        };
        until(Duration::from_secs(40), async || {
            ask().await.ok_or_else(|| format!("{name} does not say it waits"))
        })
        .await?;
        agent.process().check()?;
    }
    stack.postgres().restart().await?;
    stack.kafka().restart().await?;
    let late = stack.spawn(&Program::new("correlation").replica(2))?;
    late.ready(Duration::from_mins(1)).await?;
    stack.stop().await
}
