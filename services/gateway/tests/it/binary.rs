//! How the binary begins and ends.

use std::process::{Command, Stdio};

use anyhow::Result;
use stack::testing::bench::until;

use crate::place::{JSON, PATIENCE, bench};

/// The binary, without settings.
fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    command
}

#[test]
fn off_loopback_without_tokens_it_does_not_start() {
    let run = |settings: &[(&str, &str)]| {
        let output = gateway().arg("--print-config").envs(settings.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let listen = ("FIREWATCH_GATEWAY__LISTEN", "0.0.0.0:4318");
    let (code, problems) = run(&[listen]);
    assert_eq!(code, Some(2), "{problems}");
    assert!(problems.contains("gateway.listen is 0.0.0.0:4318") && problems.contains("tokens"), "{problems}");
    assert_eq!(run(&[listen, ("FIREWATCH_GATEWAY__TOKENS", "true")]).0, Some(0));
    assert_eq!(run(&[]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_until_sigterm() -> Result<()> {
    let bench = bench().await?;
    // free a moment ago
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut running = gateway()
        .env("FIREWATCH_KAFKA__BROKERS", &bench.common.kafka.brokers)
        .env("FIREWATCH_GATEWAY__LISTEN", format!("127.0.0.1:{port}"))
        .env("FIREWATCH_GATEWAY__GRPC_LISTEN", "")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let client = reqwest::Client::new();
    let served = until(PATIENCE, async || {
        let request = client.post(format!("http://127.0.0.1:{port}/v1/logs")).header("content-type", JSON);
        match request.body("{}").send().await {
            Ok(answer) if answer.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let stopped = Command::new("kill").arg(running.id().to_string()).status()?;
    assert!(stopped.success());
    let ended = until(PATIENCE, async || running.try_wait().unwrap().ok_or("it runs")).await;
    if ended.is_err() {
        running.kill()?;
    }
    served?;
    assert_eq!(ended?.code(), Some(0));
    Ok(())
}
