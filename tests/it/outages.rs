//! Each dependency down at the start, down later, and back again.

use std::time::Duration;

use anyhow::{Result, ensure};
use stack::observe::run_summary::Story;
use stack::testing::bench::until;
use stack::{Options, Program, Stack};
use tests::House;

/// Longest time for everything to be told after all is well again.
const DEADLINE: Duration = Duration::from_mins(4);
/// How long a sixth mail or a second incident is waited for.
const SETTLED: Duration = Duration::from_secs(5);

/// A short fault, at a pace that leaves time for harm.
const FAULT: [&str; 6] =
    ["--interval=400ms", "--first-fault-after=45", "--once", "--scenario", "error-spike", "--seed=3"];

/// Names what is missing of the story apart from its mails.
fn without_mails(story: &Story) -> Vec<String> {
    story
        .missing()
        .into_iter()
        .filter(|sentence| !sentence.contains("mails") && !sentence.contains("they are of"))
        .collect()
}

#[tokio::test]
async fn while_the_mail_server_is_down_the_incident_flows_on_and_the_mails_follow() -> Result<()> {
    let mut house = House::with_copies(1).await?;
    house.stack.mail().part().stop().await?;
    house.simulate(&FAULT)?;
    house.listen(DEADLINE, Duration::ZERO, without_mails).await?;
    ensure!(
        house.story.missing().len() > without_mails(&house.story).len(),
        "mails arrived without a server"
    );
    house.stack.mail().restart().await?;
    house.listen(DEADLINE, SETTLED, Story::missing).await?;
    house.stack.stop().await
}

#[tokio::test]
async fn a_restart_of_kafka_and_of_postgresql_in_the_middle_loses_and_repeats_nothing() -> Result<()> {
    let mut house = House::with_copies(1).await?;
    house.simulate(&FAULT)?;
    let opened = |story: &Story| match story.incident() {
        Some(_) => Vec::new(),
        None => vec!["no incident was opened".to_owned()],
    };
    house.listen(DEADLINE, Duration::ZERO, opened).await?;
    house.stack.postgres().restart().await?;
    house.stack.kafka().part().kill9();
    house.stack.kafka().restart().await?;
    house.listen(DEADLINE, SETTLED, Story::missing).await?;
    house.stack.stop().await
}

#[tokio::test]
async fn agents_that_start_before_kafka_and_postgresql_say_what_they_wait_for_and_go_on() -> Result<()> {
    let stack = Stack::start(Options::throw_away()?).await?;
    stack.kafka().part().stop().await?;
    stack.postgres().part().stop().await?;
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
        agent.part().check()?;
    }
    stack.postgres().restart().await?;
    stack.kafka().restart().await?;
    let late = stack.spawn(&Program::new("correlation").replica(2))?;
    late.ready(Duration::from_mins(1)).await?;
    stack.stop().await
}
