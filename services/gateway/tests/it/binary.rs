//! How the binary ends where its configuration is not safe.

use std::process::Command;

#[test]
fn off_loopback_without_tokens_it_does_not_start() {
    let run = |settings: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FIREWATCH_") {
                command.env_remove(name);
            }
        }
        let output = command.arg("--print-config").envs(settings.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let listen = ("FIREWATCH_GATEWAY__LISTEN", "0.0.0.0:4318");
    let (code, problems) = run(&[listen]);
    assert_eq!(code, Some(2), "{problems}");
    assert!(problems.contains("gateway.listen is 0.0.0.0:4318") && problems.contains("tokens"), "{problems}");
    assert_eq!(run(&[listen, ("FIREWATCH_GATEWAY__TOKENS", "true")]).0, Some(0));
    assert_eq!(run(&[]).0, Some(0));
}
