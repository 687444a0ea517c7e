//! Each dependency is down at the start, goes down later, and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::events::fault::Scenario;
use stack::observe::missing::Missing;
use stack::observe::run_summary::RunObservation;
use stack::testing::bench::until;
use stack::{Options, Program, Stack};
use tests::Pipeline;

/// Longest time until the run is complete after the last dependency is back.
const DEADLINE: Duration = Duration::from_mins(4);
/// Time after completion in which a sixth mail or a second incident would still be found.
const SETTLED: Duration = Duration::from_secs(5);

/// Starts the same short fault each time.
fn simulate(pipeline: &Pipeline) -> Result<()> {
    pipeline.simulate_fault(Scenario::ErrorSpike, &["--seed=3"])
}

/// Returns what is missing apart from mails.
fn missing_without_mails(observation: &RunObservation) -> Vec<Missing> {
    let mut missing = observation.missing();
    missing.retain(|missing| !missing.is_about_mails());
    missing
}

/// Returns whether `/readyz` reports a dependency as down, one line `NAME: down: REASON` for each.
fn reports_down(answer: &str, dependency: &str) -> bool {
    answer.lines().any(|line| {
        let mut fields = line.split(": ");
        fields.next() == Some(dependency) && fields.next() == Some("down")
    })
}

#[tokio::test]
async fn while_the_mail_server_is_down_the_incident_proceeds_and_the_mails_follow() -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    pipeline.stack.mail().process().stop().await?;
    simulate(&pipeline)?;
    pipeline.wait_for(DEADLINE, Duration::ZERO, missing_without_mails).await?;
    ensure!(
        pipeline.observation.missing().len() > missing_without_mails(&pipeline.observation).len(),
        "mails arrived although the mail server is down"
    );
    pipeline.stack.mail().restart().await?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

#[tokio::test]
async fn a_restart_of_kafka_and_of_postgresql_in_the_middle_loses_and_repeats_nothing() -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    simulate(&pipeline)?;
    let opened = |observation: &RunObservation| match observation.incident() {
        Some(_) => Vec::new(),
        None => vec![Missing::Incident],
    };
    pipeline.wait_for(DEADLINE, Duration::ZERO, opened).await?;
    pipeline.stack.postgres().restart().await?;
    pipeline.stack.kafka().process().kill9();
    pipeline.stack.kafka().restart().await?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

#[tokio::test]
async fn agents_that_start_before_kafka_and_postgresql_report_both_as_down_and_recover() -> Result<()> {
    let stack = Stack::start(Options::throw_away()?).await?;
    stack.kafka().process().stop().await?;
    stack.postgres().process().stop().await?;
    for (name, dependency) in
        [("detection", "kafka"), ("correlation", "postgres"), ("communication", "postgres")]
    {
        let agent = stack.spawn(&Program::new(name))?;
        let url = format!("http://{}/readyz", agent.http());
        let ask = async || {
            let answer = reqwest::get(&url).await.ok()?;
            let status = answer.status().as_u16();
            let text = answer.text().await.ok()?;
            (status == 503 && reports_down(&text, dependency)).then_some(())
        };
        until(Duration::from_secs(40), async || {
            ask().await.ok_or_else(|| format!("{name} does not report {dependency} as down"))
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
