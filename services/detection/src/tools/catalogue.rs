//! `detection catalogue`: how names of metrics are understood.

mod file;
mod otlp;

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::config::Settings;
use crate::metric_profile::{MetricProfile, Override, TABLE};
use crate::series::rules::slo;

/// Arguments of `detection catalogue`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Names of metrics, each as `NAME` or `NAME=UNIT`; without any, the catalogue itself is printed. `explain SERVICE
    /// METRIC` prints what is in force for one series, and why; `explain FILE` which series of a scrape of Prometheus, of an
    /// export of OTLP in JSON, or of JSON as on `raw.metrics`, would be judged, and as what (`-` for standard input).
    pub names: Vec<String>,
}

/// Explains a file, or names.
pub fn command(args: &Args, settings: &Settings, out: impl Write) -> anyhow::Result<()> {
    match args.names.as_slice() {
        [command, file] if command == "explain" => file::explain(Path::new(file), settings, out),
        _ => Ok(run(args, &settings.metrics, out)?),
    }
}

/// Prints how each name is understood, with the corrections of the configuration, or the whole catalogue.
pub fn run(args: &Args, overrides: &[Override], mut out: impl Write) -> io::Result<()> {
    if args.names.is_empty() {
        return out.write_all(TABLE.as_bytes());
    }
    if let [command, service, metric] = args.names.as_slice()
        && command == "explain"
    {
        return explain(service, metric, overrides, out);
    }
    let [metric, kind, unit, bad, ceiling] = ["metric", "kind", "unit", "bad_direction", "ceiling"];
    writeln!(out, "{metric:<44} {kind:<12} {unit:<8} {bad:<13} {ceiling:<8} mode")?;
    for name in &args.names {
        let (metric, unit) = name.split_once('=').unwrap_or((name, ""));
        let profile = MetricProfile::of(metric, unit, overrides);
        let ceiling = profile.ceiling.map_or("-".to_owned(), |ceiling| ceiling.to_string());
        let unit = if profile.unit.is_empty() { "-" } else { &*profile.unit };
        let (kind, bad, mode) = (label(profile.kind), label(profile.bad_direction), label(profile.mode));
        let counter = if profile.counter && profile.mode.is_by_normal() { ", by its increase" } else { "" };
        writeln!(out, "{metric:<44} {kind:<12} {unit:<8} {bad:<13} {ceiling:<8} {mode}{counter}")?;
    }
    Ok(())
}

/// Prints what is in force for one series, and which of it the configuration says.
fn explain(service: &str, metric: &str, overrides: &[Override], mut out: impl Write) -> io::Result<()> {
    let (metric, unit) = metric.split_once('=').unwrap_or((metric, ""));
    let own = overrides.iter().position(|one| one.covers(metric) && one.is_for(service));
    let correction = own.map(|at| overrides[at].clone()).unwrap_or_default();
    let profile = MetricProfile::of(metric, unit, own.map_or(&[], |at| std::slice::from_ref(&overrides[at])));
    let figure = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
    let rows = [
        ("kind", label(profile.kind), correction.kind.is_some()),
        ("unit", profile.unit.to_string(), correction.unit.is_some()),
        ("bad_direction", label(profile.bad_direction), correction.bad_direction.is_some()),
        ("ceiling", figure(profile.ceiling), correction.ceiling.is_some()),
        ("floor", profile.absolute_floor.to_string(), correction.floor.is_some()),
        ("counter", profile.counter.to_string(), correction.counter.is_some()),
        ("mode", label(profile.mode), correction.mode.is_some()),
        ("objective", figure(profile.objective), correction.objective.is_some()),
        ("silent", profile.silent.to_string(), correction.silent.is_some()),
        ("sensitivity", profile.sensitivity.to_string(), correction.sensitivity.is_some()),
    ];
    for (name, value, is_configured) in rows {
        let why = match own {
            Some(at) if is_configured => {
                format!("entry {} of detection.metrics ({})", at + 1, correction.metric)
            }
            _ if name == "objective" => match slo::field_of(&profile) {
                Some(field) => {
                    format!("unless the service catalogue states {field} (topic catalogue.services)")
                }
                None if profile.is_disk_room && profile.may_be_limited() => {
                    "unless another metric reports its size: then 95 % of it in use".to_owned()
                }
                None if profile.is_function && profile.may_be_limited() => {
                    "unless another metric reports its timeout: then that".to_owned()
                }
                None => "name, unit and catalogue".to_owned(),
            },
            _ => "name, unit and catalogue".to_owned(),
        };
        let value = if value.is_empty() { "none" } else { &value };
        writeln!(out, "{name:<13} {value:<12} {why}")?;
    }
    Ok(())
}

/// Returns the name of a value as it is written in the configuration.
fn label(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_they_are_understood() {
        let names = ["disk_used_percent", "http_requests_total", "flux=bytes", "up"].map(String::from);
        let mut out = Vec::new();
        run(&Args { names: names.to_vec() }, &[], &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        metric                                       kind         unit     bad_direction ceiling  mode
        disk_used_percent                            disk         %        up            100      forecast
        http_requests_total                          traffic      1/s      both          -        normal, by its increase
        flux                                         other        By       both          -        normal
        up                                           errors       1        down          1        normal
        ");
    }

    #[test]
    fn what_is_in_force_is_explained_with_where_it_comes_from() {
        let overrides = [
            Override { metric: "latency_*".into(), service: Some("cart".into()), ..Override::default() },
            Override {
                metric: "latency_*".into(),
                service: Some("pay*".into()),
                objective: Some(500.0),
                sensitivity: Some(0.5),
                ..Override::default()
            },
        ];
        let names = ["explain", "payment", "latency_p99_ms"].map(String::from).to_vec();
        let mut out = Vec::new();
        run(&Args { names }, &overrides, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());

        let names = ["explain", "user", "latency_p99_ms"].map(String::from).to_vec();
        let mut stated = Vec::new();
        run(&Args { names }, &overrides, &mut stated).unwrap();
        let stated = String::from_utf8(stated).unwrap();
        let objective = stated.lines().find(|line| line.starts_with("objective")).unwrap();
        insta::assert_snapshot!(
            objective,
            @"objective     none         unless the service catalogue states latency_slo_ms (topic catalogue.services)"
        );
    }
}
