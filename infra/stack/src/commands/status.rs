//! `stack status`.

use std::process::ExitCode;

use anyhow::Result;
use stack::parts::probe;

/// Prints one line a process. Fails unless everything is up and ready.
pub(crate) async fn status() -> Result<ExitCode> {
    let state = super::running()?;
    let client = probe::client();
    let mut well = state.ready;
    for process in &state.processes {
        let (good, condition) = match &process.http {
            _ if !process.identity.alive() => (false, "ended".to_owned()),
            None => (true, "runs".to_owned()),
            Some(http) => match probe::http(&client, &format!("http://{http}/readyz")).await {
                Ok(()) => (true, "ready".to_owned()),
                Err(error) => (false, format!("not ready: {error:#}")),
            },
        };
        well &= good;
        let http = process.http.as_deref().map_or_else(String::new, |http| format!("http://{http}"));
        println!("{:<18} {:>8}  {http:<24} {condition}", process.name, process.identity.pid);
    }
    println!("\nKafka {}   mail {}\n{}", state.brokers, state.mail_url, state.postgres_url);
    Ok(ExitCode::from(u8::from(!well)))
}
