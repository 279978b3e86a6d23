#![no_main]
#[path = "../doors.rs"]
#[allow(dead_code, reason = "each target uses one of them")]
mod doors;

libfuzzer_sys::fuzz_target!(|data: &[u8]| doors::journal(data));
