//! `loadgen mixed`, and `loadgen fanout` with every protocol, against Stentor itself, in a data directory of its own.

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

/// Runs `loadgen fanout` with sockets of all five protocols; its report.
fn fanout(place: &Place, more: &str) -> serde_json::Value {
    place.run("account create listener --tier elite");
    place.run("account watch listener Stentor1oadgenWa11et777777777777777777777777");
    place.run("account create publisher --tier free");
    let (key, publisher) = (place.run("key create listener"), place.run("key create publisher --role publisher"));
    let _server = place.serve();
    let line = format!(
        "fanout --host 127.0.0.1:{} --key {key} --publish-key {publisher} --settle 50ms --timeout 60s --json - \
         --mix watchlist=30,tiered=20,channels=20,rooms=20,sse=10 --jwt-secret {} {more}",
        place.port,
        place.data.join("jwt-secret").display()
    );
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn sockets_of_every_protocol_in_a_mix_get_every_event_once() {
    let place = Place::new();
    let report = fanout(&place, "--sockets 50 --burst 3 --bursts 10 --interval 20ms --threads 2 --vs floor --rounds 2");
    assert_eq!(report["settings"]["mix"], "watchlist=30,tiered=20,channels=20,rooms=20,sse=10");
    for side in report["sides"].as_array().unwrap() {
        assert_eq!((&side["latency"]["count"], &side["lost"]), (&(50 * 30).into(), &0.into()), "{side}");
        assert_eq!((&side["incomplete_steps"], &side["ended"]), (&0.into(), &0.into()), "{side}");
    }
    let protocols = report["sides"][0]["protocols"].as_array().unwrap();
    let told: Vec<(&str, u64, u64)> = protocols
        .iter()
        .map(|of| {
            let number = |value: &serde_json::Value| value.as_u64().unwrap();
            (of["name"].as_str().unwrap(), number(&of["sockets"]), number(&of["latency"]["count"]))
        })
        .collect();
    let expected = [("watchlist", 15), ("tiered", 10), ("channels", 10), ("rooms", 10), ("sse", 5)];
    assert_eq!(told, expected.map(|(name, sockets)| (name, sockets, sockets * 30)));
    assert!(report["sides"][1].get("protocols").is_none(), "the floor's are all of one kind");
}

#[test]
fn sockets_that_come_and_go_are_told_apart_from_those_that_stay() {
    let place = Place::new();
    let report = fanout(&place, "--sockets 100 --events 120 --rate 40 --churn 20%/s");
    let (side, churned) = (&report["sides"][0], &report["sides"][0]["churned"]);
    assert_eq!((&churned["sockets"], &side["latency"]["count"]), (&50.into(), &(50 * 120).into()));
    let reconnects = churned["reconnects"].as_u64();
    // Twenty a second for three seconds.
    assert!((Some(1)..=Some(60)).contains(&reconnects), "{churned}");
    assert_eq!((churned["connect"]["count"].as_u64(), &churned["never_back"]), (reconnects, &0.into()));
    assert!((Some(1)..=Some(50 * 121)).contains(&churned["deliveries"].as_u64()), "{churned}");
    assert_eq!((&side["lost"], &side["duplicated"], &side["ended"]), (&0.into(), &0.into(), &0.into()));
}
