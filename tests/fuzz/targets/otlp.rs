#![no_main]
#![allow(missing_docs, reason = "`fuzz::otlp` has them")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::otlp::check(input);
});
