//! The configuration file: any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor::config::{Config, File, ServerSettings};

fuzz_target!(|input: &[u8]| {
    match File::parse(input) {
        Ok(file) => {
            let config = Config::resolve(ServerSettings::default(), file);
            let text = config.to_toml().expect("what came from a file is Unicode");
            if text.contains("(set, not shown)") {
                // A secret has to be put back by hand.
                return;
            }
            let again =
                File::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault:?} in what we print:\n{text}"));
            assert_eq!(Config::resolve(ServerSettings::default(), again), config);
        }
        Err((line, fault)) => {
            assert!((1..=1 + input.iter().filter(|byte| **byte == b'\n').count()).contains(&line));
            assert!(!fault.to_string().is_empty());
        }
    }
});
