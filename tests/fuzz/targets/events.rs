#![no_main]
#![allow(missing_docs, reason = "`fuzz::events` has them")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::events::check(input);
});
