//! `detection catalogue`: how names of metrics are understood.

use std::io::{self, Write};

use serde::Serialize;

use crate::metric_profile::{MetricProfile, Override, TABLE};

/// Arguments of `detection catalogue`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Names of metrics, each as `NAME` or `NAME=UNIT`; without any, the catalogue itself is printed.
    pub names: Vec<String>,
}

/// Prints how each name is understood, with the corrections of the configuration, or the whole catalogue.
pub fn run(args: &Args, overrides: &[Override], mut out: impl Write) -> io::Result<()> {
    if args.names.is_empty() {
        return out.write_all(TABLE.as_bytes());
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
}
