//! temp
use shared::events::fault::Scenario;
use simulator::schedule::Faults;
use simulator::service::*;
use simulator::*;
fn main() {
    for sc in Scenario::ALL {
        println!("== {sc}");
        let mut shop = Shop::new(Options {
            faults: Faults::Once(Some(sc)),
            first_fault_after: 4,
            seed: 5,
            ..Options::default()
        });
        for n in 0..44i64 {
            let t = shop.tick(1_767_625_200_000 + n * 10_000);
            if n % 3 != 0 && !(3..6).contains(&n) {
                continue;
            }
            let v = |s: &str, m: Metric| {
                t.metrics.iter().find(|x| x.service == s && x.metric == m.name()).unwrap().value
            };
            let mut line = format!("{n:3} ");
            let c = simulator::fault::culprit(sc).name();
            for m in Metric::ALL {
                line += &format!("{:>9.1}", v(c, m));
            }
            line += " | ";
            for s in Service::ALL {
                line += &format!(
                    "{}:{:.1}/{:.0} ",
                    &s.name()[..3],
                    v(s.name(), Metric::ErrorRate),
                    v(s.name(), Metric::LatencyP99)
                );
            }
            if let Some(f) = t.faults.first() {
                line += &format!(" {:?}", f.phase);
            }
            println!("{line}");
            if n == 21 || n == 5 {
                for l in &t.logs {
                    if l.level >= shared::events::raw::Level::Warn {
                        println!("      {} {} {}", l.service, l.level, l.message)
                    }
                }
            }
        }
    }
    let mut shop = Shop::new(Options { seed: 5, ..Options::default() });
    let t0 = std::time::Instant::now();
    let mut b = 0usize;
    let mut n = 0;
    for i in 0..36000i64 {
        let t = shop.tick(1_767_625_200_000 + i * 10_000);
        n += t.spans.len() + t.logs.len();
        b += t.metrics.len();
    }
    println!("{:?} per tick, {} metrics {} others", t0.elapsed() / 36000, b, n);
    let t = shop.tick(1_767_625_200_000);
    for l in &t.logs {
        println!("{l:?}")
    }
    for s in t.spans.iter().take(4) {
        println!("{s:?}")
    }
}
