//! The rotation yields what it did in earlier releases: scoreboards and tests name its seeds.

use shared::events::fault::Scenario;
use shared::ids::derive;
use simulator::record::records;
use simulator::{Faults, Noise, Options};

use crate::run;

/// Returns a digest of all records of 400 ticks.
fn digest(noise: Noise, faults: Faults) -> String {
    let options = Options { seed: 7, noise, faults, first_fault_after: 30, ..Options::default() };
    let ticks = run(options, 400);
    let records = ticks.iter().flat_map(|tick| records(tick).expect("records are valid"));
    let parts: Vec<String> = records
        .map(|record| {
            let payload = String::from_utf8(record.payload).expect("payloads are text");
            format!("{} {} {payload}", record.topic.name(), record.key)
        })
        .collect();
    derive(&parts.iter().map(String::as_str).collect::<Vec<_>>()).to_string()
}

#[test]
fn the_records_of_the_rotation_are_the_same_byte_for_byte() {
    let once = |scenario| Faults::Once(Some(scenario));
    for (noise, faults, expected) in [
        (Noise::Gaussian, Faults::Quiet, "7ea914f8-a1d2-5f74-8992-93751ea8d351"),
        (Noise::Gaussian, Faults::Repeat(None), "735aa6b4-8b9a-5782-8446-fc9944191fba"),
        (Noise::Skewed, Faults::Repeat(None), "7f2d218d-289e-5b55-a91a-6b8345054d30"),
        (Noise::Bursty, Faults::Repeat(None), "ef9401ea-9eed-5fff-90ee-d6d0c72cedf5"),
        (Noise::Gaussian, once(Scenario::LatencySpike), "6b79d7c3-d688-57d8-8826-80129c09c226"),
        (Noise::Gaussian, once(Scenario::ErrorSpike), "16998490-0fc5-5295-9e87-bcce4f0ee71a"),
        (Noise::Gaussian, once(Scenario::CpuSaturation), "23e890c9-db69-5e3f-9cf6-23dea07f320f"),
        (Noise::Gaussian, once(Scenario::MemoryLeak), "53187bca-5ae5-5fe1-8a7c-577b7b947cbf"),
        (Noise::Gaussian, once(Scenario::DbConnections), "eaf43b91-1280-58c1-b17f-553e1260fc2a"),
        (Noise::Gaussian, once(Scenario::ConsumerLag), "3c6f9f31-102e-5efd-b5a9-a3f15d473f2e"),
        (Noise::Gaussian, once(Scenario::BadDeployment), "ce325ff8-a5be-535b-af3e-e275074aee2e"),
    ] {
        assert_eq!(digest(noise, faults.clone()), expected, "{noise:?} {faults:?}");
    }
}
