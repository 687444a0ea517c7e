#![no_main]
#![allow(missing_docs, reason = "`fuzz::samples` has them")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::samples::check(input);
});
