//! What a series knows after weeks: the seasonal noise for more than a month.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::noises::{SEED, thousandths};
use crate::shop::Noise;
use crate::weeks::Channel;

const WEEKS: usize = 5;

/// Runs the healthy shop with weekends at half load for five weeks; `quick` leaves the densest cadence out.
pub(crate) fn score(quick: bool, page: &mut String) -> Value {
    page.push_str(
        "\n## From the second week on\n\nThe seasonal noise (steep days, weekends at half load) with deployments as above, for five \
         weeks: episodes that fired / decisions / runs of alarms of the naive way, a day. A series is begun on a Sunday at 15 h, and \
         so is each week. It is judged from its 30th sample on, by its own past as well from the third day on, when it has seen each \
         half hour of the day twice. The weekend that ends week 1 is the first it meets as a whole; in week 2 it has seen each hour of \
         the week once, from week 3 on twice.\n\n\
         | a sample | week 1 | week 2 | week 3 | week 4 | week 5 |\n|---|---|---|---|---|---|\n",
    );
    let mut all = Map::new();
    for (name, interval_s) in
        [("10 s", 10), ("1 min", 60), ("5 min", 300)].into_iter().skip(usize::from(quick))
    {
        eprintln!("{WEEKS} weeks, {name}");
        let mut watch = Channel::new(Noise::Weekly, interval_s, SEED);
        let weeks = [(); WEEKS].map(|()| watch.watch(7).a_day(7));
        let _ = write!(page, "| {name} |");
        for [fired, decided, naive] in &weeks {
            let _ = write!(page, " {fired:.2} / {decided:.2} / {naive:.0} |");
        }
        page.push('\n');
        let figures = |which: usize| weeks.iter().map(|week| thousandths(week[which])).collect::<Value>();
        all.insert(
            format!("{interval_s}s"),
            json!({ "fired_a_day": figures(0), "decided_a_day": figures(1), "naive_a_day": figures(2) }),
        );
    }
    Value::Object(all)
}
