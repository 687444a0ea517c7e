#![no_main]
#![allow(missing_docs, reason = "`fuzz::formats` has them")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::formats::check(input);
});
