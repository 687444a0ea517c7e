#![no_main]
#![allow(missing_docs, reason = "`fuzz::runbooks` has them")]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz::runbooks::check(input);
});
