//! Telemetry as teams send it: cumulative histograms, sums and gauges by OTLP, from three replicas of each service.

mod in_process;
