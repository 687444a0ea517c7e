//! The Collector with its OTLP receiver and its Kafka exporter.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use shared::events::Topic;
use stack::parts::process::Process;
use stack::parts::{ports, probe};

use crate::gateway::{exposed, sum};
use crate::requests::Format;
use crate::{Place, Target};

/// Longest time until it is ready.
const READY: Duration = Duration::from_mins(1);

/// How the Collector is set up.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// Format of the requests.
    pub(crate) takes: Format,
    /// Encoding of the records.
    encoding: &'static str,
    batch: Batch,
}

/// Whether points of several requests are written together.
enum Batch {
    /// No queue: a request is answered after Kafka has acknowledged it, as by the gateway.
    Off,
    /// The batch processor and a queue in memory: a request is answered before. So many points are sent at once: fewer in JSON, so
    /// that a record stays below Kafka's limit of a message.
    Of(u32),
}

pub(crate) const SETUPS: [Setup; 5] = [
    Setup {
        name: "Collector, otlp_proto",
        takes: Format::Protobuf,
        encoding: "otlp_proto",
        batch: Batch::Off,
    },
    Setup {
        name: "Collector, otlp_proto, batch",
        takes: Format::Protobuf,
        encoding: "otlp_proto",
        batch: Batch::Of(3_000),
    },
    Setup { name: "Collector, otlp_json", takes: Format::Protobuf, encoding: "otlp_json", batch: Batch::Off },
    Setup { name: "Collector, otlp_json", takes: Format::Json, encoding: "otlp_json", batch: Batch::Off },
    Setup {
        name: "Collector, otlp_json, batch",
        takes: Format::Json,
        encoding: "otlp_json",
        batch: Batch::Of(1_000),
    },
];

/// A running Collector.
pub(crate) struct Collector {
    process: Process,
    listen: String,
    takes: Format,
    telemetry: String,
    client: reqwest::Client,
}

impl Collector {
    pub(crate) async fn start(binary: &Path, place: &Place, setup: &Setup) -> Result<Self> {
        let [listen, telemetry] = ports::free::<2>()?;
        let file = place.layout.dir().join("collector.yaml");
        std::fs::write(&file, configuration(&place.brokers, listen, telemetry, setup))?;
        let binary = binary.to_owned();
        let process =
            Process::new("collector", place.layout.log("collector"), place.guard.clone(), move || {
                let mut command = Command::new(&binary);
                command.arg("--config").arg(&file);
                command
            });
        process.start()?;
        let client = probe::client();
        let [listen, telemetry] = [listen, telemetry].map(|port| format!("127.0.0.1:{port}"));
        process
            .until("readiness", READY, async || {
                tokio::net::TcpStream::connect(&listen).await?;
                exposed(&client, &telemetry).await?;
                Ok(())
            })
            .await?;
        Ok(Self { process, listen, takes: setup.takes, telemetry, client })
    }

    /// Returns where requests go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.listen, self.takes.path())
    }
}

impl Target for Collector {
    fn process(&self) -> &Process {
        &self.process
    }

    async fn written(&self) -> Result<f64> {
        let text = exposed(&self.client, &self.telemetry).await?;
        Ok(sum(&text, "otelcol_exporter_sent_metric_points_total")
            + sum(&text, "otelcol_exporter_sent_metric_points"))
    }
}

fn configuration(brokers: &str, listen: u16, telemetry: u16, setup: &Setup) -> String {
    let (processors, queue) = match setup.batch {
        Batch::Off => (String::new(), "{enabled: false}"),
        Batch::Of(_) => ("batch".to_owned(), "{block_on_overflow: true}"),
    };
    let batch = match setup.batch {
        Batch::Off => String::new(),
        Batch::Of(size) => {
            format!("processors: {{batch: {{send_batch_size: {size}, send_batch_max_size: {size}}}}}\n")
        }
    };
    format!(
        "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{listen}'}}}}}}}}
{batch}exporters:
  kafka:
    brokers: ['{brokers}']
    metrics: {{topic: {topic}, encoding: {encoding}}}
    producer: {{required_acks: -1, compression: zstd, linger: 1ms, max_message_bytes: 1000000}}
    sending_queue: {queue}
service:
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {telemetry}}}}}}}}}]}}}}
  pipelines: {{metrics: {{receivers: [otlp], processors: [{processors}], exporters: [kafka]}}}}
",
        topic = Topic::RawMetrics,
        encoding = setup.encoding,
    )
}
