#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcast::tail::fuzzing::splitter(data));
