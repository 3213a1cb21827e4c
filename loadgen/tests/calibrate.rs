//! `loadgen calibrate` before it measures anything: what it refuses.

use std::path::Path;
use std::process::{Command, Output};

fn calibrate(words: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).arg("calibrate").args(words).arg("--out").arg(out).output().unwrap()
}

fn refused(words: &[&str]) -> (Option<i32>, String) {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("calibration.json");
    let output = calibrate(words, &out);
    assert!(!out.exists(), "nothing was measured, so nothing is written");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_process_that_is_no_stentor_is_refused() {
    let own = std::process::id().to_string();
    let (code, said) = refused(&["--server-pid", &own]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no threads of a Stentor's shards") && said.contains("--server-pid"), "{said}");
    let (code, said) = refused(&["--server-pid", "4194305"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't read the server's process 4194305"), "{said}");
}

#[test]
fn too_few_sockets_to_tell_costs_apart_are_wrong_usage() {
    let (code, said) = refused(&["--server-pid", "1", "--sockets", "100"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = refused(&[]);
    assert_eq!(code, Some(2), "{said}");
}
