//! maildev: an SMTP server that stores every mail and shows it on a web page.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::parts::guard::Guard;
use crate::parts::mailbox::Mailbox;
use crate::parts::process::Process;
use crate::parts::{ports, probe};
use crate::run::layout::Layout;

const READY: Duration = Duration::from_mins(1);

/// A mail sink.
pub struct Mail {
    process: Arc<Process>,
    smtp: u16,
    web: u16,
}

impl Mail {
    /// Starts a mail sink on free ports and waits until it answers. It stores mails under `layout`.
    pub async fn start(program: &Path, layout: &Layout, guard: &Arc<Guard>) -> Result<Self> {
        let [smtp, web] = ports::free()?;
        let data = layout.data().join("mail");
        std::fs::create_dir_all(&data)?;
        let program = program.to_owned();
        let process = Process::new("mail", layout.log("mail"), guard.clone(), move || {
            let mut node = Command::new("node");
            node.arg(&program)
                .args(["--smtp", &smtp.to_string(), "--ip", "127.0.0.1"])
                .args(["--web", &web.to_string(), "--web-ip", "127.0.0.1"])
                .arg("--mail-directory")
                .arg(&data);
            node
        });
        process.start()?;
        let mail = Self { process: Arc::new(process), smtp, web };
        mail.ready().await?;
        Ok(mail)
    }

    /// Returns the URL that mails are sent to.
    pub fn smtp_url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.smtp)
    }

    /// Returns the URL of the web page.
    pub fn web_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web)
    }

    /// Returns a reader of the accepted mails.
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::maildev(self.web_url())
    }

    /// Returns the process. Stopped, it refuses connections; paused, it accepts them and does not answer.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Starts it again on the same ports, with the mails it had, and waits until it answers.
    pub async fn restart(&self) -> Result<()> {
        self.process.stop().await?;
        self.process.start()?;
        self.ready().await
    }

    /// Waits until it answers.
    pub async fn ready(&self) -> Result<()> {
        let client = probe::client();
        let url = format!("{}/healthz", self.web_url());
        self.process.until("answer", READY, async || probe::http(&client, &url).await).await
    }
}
