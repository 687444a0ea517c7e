//! Free ports.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Lowest port that is tried.
const LOW: u16 = 12_000;

/// Returns `N` different ports of the loopback interface without a listener.
///
/// They are below the range that the kernel uses for outgoing connections. A port of that range could be taken by a client
/// while the server restarts. A client that retries that very port would even connect to itself in the end (TCP
/// simultaneous open).
pub fn free<const N: usize>() -> Result<[u16; N]> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let high = ephemeral_from();
    let span = u32::from(high - LOW);
    // processes, and the calls of one process, start at different ports
    let start = std::process::id().wrapping_mul(97).wrapping_add(CALLS.fetch_add(61, Ordering::Relaxed));
    let mut held = Vec::with_capacity(N);
    for step in 0..span {
        let port = LOW + (start.wrapping_add(step) % span) as u16;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
            if held.len() == N {
                let ports: Vec<_> = held.iter().map(|(port, _)| *port).collect();
                return ports.try_into().ok().context("collecting the ports");
            }
        }
    }
    bail!("no free port between {LOW} and {high}")
}

fn ephemeral_from() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&low| low > LOW + 1_000)
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ports_are_free_and_differ() {
        let ports = super::free::<3>().unwrap();
        let listeners: Vec<_> =
            ports.map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).unwrap()).into();
        assert_eq!(listeners.len(), 3);
        let others = super::free::<3>().unwrap();
        assert!(others.iter().all(|port| !ports.contains(port)), "{ports:?} are taken, yet got {others:?}");
    }
}
