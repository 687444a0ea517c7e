use crate::shop::*;
use crate::fire::*;
use shared::events::fault::Scenario;
use shared::events::anomaly::Status;
use simulator::schedule::Faults;
use simulator::noise::Noise as N;
#[test]
#[ignore]
fn explore() {
    for noise in [Noise::Uniform, Noise::Gaussian, Noise::Skewed(0.2), Noise::Skewed(0.4), Noise::Bursty, Noise::Sluggish(0.5), Noise::Sluggish(0.9)] {
        for (interval, samples) in [(10_000, 360), (10_000, 8640), (1000, 3600), (60_000, 4320), (300_000, 2016)] {
            let reps = 10;
            let (mut s, mut f) = (0, 0);
            for seed in 0..reps { let a = quiet(noise, interval, samples, seed); s += a.suspects; f += a.firing; }
            println!("{noise:?} {interval} {samples}: per run suspects {:.1} firing {:.1}", s as f64 / reps as f64, f as f64 / reps as f64);
        }
    }
}
#[test]
#[ignore]
fn faults() {
    for first in [35, 60, 400] { for noise in [N::Gaussian, N::Skewed] {
        for scenario in [Scenario::CpuSaturation, Scenario::MemoryLeak, Scenario::DbConnections] {
            let mut delays = vec![]; let mut missed = 0; let mut early = 0; let mut again = 0; let mut others = std::collections::BTreeMap::new(); let mut secondary=0;
            for seed in 0..30 {
                let ticks = first as i64 + 2 * simulator::fault::duration(scenario) as i64 + 6 + 20;
                let run = watch(Faults::Repeat(Some(scenario)), noise, seed, first, 6, ticks);
                let svc = simulator::fault::culprit(scenario).name();
                let (from, to) = run.burns[0];
                let f = run.fired(0);
                for (k, at) in &f { if *at < from { *others.entry(format!("EARLY {k:?}")).or_insert(0) += 1; } }
                match f.get(&(svc, metric(scenario))) { Some(at) => delays.push((at - from) / INTERVAL_MS), None => missed += 1 }
                for k in f.keys() { *others.entry(format!("{}/{}", k.0, k.1)).or_insert(0) += 1; }
                let mut fires = std::collections::HashSet::new();
                for a in &run.anomalies { 
                    if a.status == Status::Firing { fires.insert(a.anomaly_id); }
                    let at = a.observed_at.as_millisecond();
                    if a.status == Status::Cleared && fires.contains(&a.anomaly_id) && at > from && at < to { if a.service == svc && a.metric == metric(scenario) { early += 1; } else { secondary += 1; } }
                }
                if let Some(&(from2, _)) = run.burns.get(1) { if run.fired(from2).contains_key(&(svc, metric(scenario))) { again += 1; } }
            }
            delays.sort();
            println!("first {first} {noise:?} {scenario:?}: n {} p50 {} p95 {} max {} missed {missed} early-clear {early} (secondary {secondary}) again {again} fired {others:?}", delays.len(), delays[delays.len()/2], delays[delays.len()*95/100], delays.last().unwrap());
        }
    }}
}
