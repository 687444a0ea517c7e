//! The scoreboard: `make score`. Runs detection over the evaluation kit's public NAB files (found by
//! `FIREWATCH_BENCH_DIR`), over 200 seeds of each of the simulator's scenarios and over healthy weeks under seven kinds
//! of noise, and writes `docs/scoreboard.md` and `target/score/summary.json`. `quick` as an argument runs a tenth of it.

#![allow(clippy::unwrap_used, reason = "shares the shop with the tests, which may fail")]

mod budgets;
mod cases;
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/corpus.rs"]
mod corpus;
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/decoys.rs"]
mod decoys;
mod families;
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/fire.rs"]
mod fire;
mod kit;
mod later;
mod logs;
mod naive;
mod noises;
mod page;
mod scenarios;
mod seeds;
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/shop.rs"]
mod shop;
mod weeks;

fn main() -> anyhow::Result<()> {
    page::write(
        std::env::args().any(|argument| argument == "quick"),
        std::env::args().any(|argument| argument == "families"),
    )
}
