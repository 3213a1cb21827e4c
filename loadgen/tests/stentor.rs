//! `loadgen mixed` against Stentor itself.

mod place;

use std::process::Command;

use place::Place;

#[test]
fn each_socket_of_all_four_protocols_gets_exactly_what_it_should() {
    let place = Place::new();
    let mut words: Vec<String> =
        ["mixed", "--sockets-per-protocol", "20", "--rate", "400", "--duration", "3s"].map(str::to_owned).into();
    for (number, option) in ["--subscriber-key", "--subscriber-key", "--bot-key"].into_iter().enumerate() {
        let grant = if option == "--bot-key" { " --grant bot:*" } else { "" };
        place.run(&format!("account create mixed-{number} --tier elite{grant}"));
        words.extend([option.to_owned(), place.run(&format!("key create mixed-{number}"))]);
    }
    place.run("account create publisher --tier free");
    words.extend(["--publisher-key".to_owned(), place.run("key create publisher --role publisher")]);
    words.extend(["--url".to_owned(), format!("http://127.0.0.1:{}", place.port)]);
    words.extend(["--json".to_owned(), "-".to_owned(), "--timeout".to_owned(), "60s".to_owned()]);
    // Only now, so that it knows every key from its start.
    let _server = place.serve();
    let secret = place.data.join("jwt-secret");
    let output =
        Command::new(env!("CARGO_BIN_EXE_loadgen")).args(&words).arg("--jwt-secret-file").arg(&secret).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for protocol in report["protocols"].as_array().unwrap() {
        assert!(protocol["deliveries_due"].as_u64() > Some(100), "{protocol}");
        assert_eq!(protocol["latency"]["count"], protocol["deliveries_due"], "{protocol}");
    }
}
