//! `stack status`.

use std::process::ExitCode;

use anyhow::Result;
use stack::parts::probe;

/// Prints one line for each process. Fails unless all are ready.
pub(crate) async fn status() -> Result<ExitCode> {
    let state = super::running()?;
    let client = probe::client();
    let mut all_ready = state.ready;
    for process in &state.processes {
        let (good, condition) = match &process.http {
            _ if !process.identity.alive() => (false, "ended".to_owned()),
            None => (true, "running".to_owned()),
            Some(http) => match probe::http(&client, &format!("http://{http}/readyz")).await {
                Ok(()) => (true, "ready".to_owned()),
                Err(error) => (false, format!("not ready: {error:#}")),
            },
        };
        all_ready &= good;
        let http = process.http.as_deref().map_or_else(String::new, |http| format!("http://{http}"));
        println!("{:<18} {:>8}  {http:<24} {condition}", process.name, process.identity.pid);
    }
    println!("\nKafka {}   mail {}\n{}", state.brokers, state.mail_url, state.postgres_url);
    Ok(ExitCode::from(u8::from(!all_ready)))
}
