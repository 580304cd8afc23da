//! A whole protocol thread, fed what the fuzzer makes of frames and segments.

#![no_main]

#[expect(dead_code, reason = "the tests beside the driver use more of it")]
#[path = "../../stack/tests/hostile/driver.rs"]
mod driver;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    let mut driver = driver::Driver::new();
    driver.play(script);
    driver.finish();
});
