#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| huskies_fuzz::targets::command(data));
