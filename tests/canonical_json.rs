//! Canonical `data` is, byte for byte, what `JSON.stringify(JSON.parse(text))` gives in a real JavaScript engine.
//!
//! `tests/corpus/canonical/record.js` makes the documents and JavaScript's answers. Its recorded output is checked always;
//! with `node` at hand, so are some hundreds of fresh documents (`STENTOR_REAL_CLIENTS=1` insists on it).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

use stentor::event::canonical;

#[derive(serde::Deserialize)]
struct Pair {
    input: String,
    expected: String,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/canonical")
}

/// Checks every pair, and how many there are at least.
fn check(pairs: &[u8], count_min: usize, source: &str) {
    let pairs: Vec<Pair> = serde_json::from_slice(pairs).expect("pairs of input and expected");
    assert!(pairs.len() >= count_min, "{source}: only {} pairs", pairs.len());
    for Pair { input, expected } in pairs {
        let ours =
            canonical(input.as_bytes()).unwrap_or_else(|refusal| panic!("{source}: {input}\nrefused: {refusal:?}"));
        assert_eq!(String::from_utf8(ours).unwrap(), expected, "{source}: {input}");
    }
}

#[test]
fn recorded_documents_come_out_as_javascript_printed_them() {
    for (name, count_min) in [("edges.json", 25), ("generated.json", 100)] {
        check(&fs::read(corpus().join(name)).expect(name), count_min, name);
    }
}

#[test]
fn fresh_documents_come_out_as_node_prints_them() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").subsec_nanos();
    let source = format!("node record.js {seed} 500");
    match Command::new("node").arg(corpus().join("record.js")).args([&seed.to_string(), "500"]).output() {
        Ok(output) => {
            assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
            check(&output.stdout, 500, &source);
        }
        Err(error) => assert!(
            env::var_os("STENTOR_REAL_CLIENTS").is_none_or(|value| value != "1"),
            "STENTOR_REAL_CLIENTS=1 asks for a check against node, which can't be started ({error}): install Node.js"
        ),
    }
}
