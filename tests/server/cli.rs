//! The command line as scripts use it: values alone on stdout, words on stderr, exit codes.

use std::process::Output;

use crate::data_dir::DataDir;
use crate::process::{OWNER, Server};
use crate::trade::{numbered, trade};

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

/// `stentor publish` against a server, with `input` on standard input.
fn publish(server: &Server, key: &str, arguments: &[&str], input: &str) -> Output {
    let url = format!("http://{}", server.address);
    let all = [&["publish", "--url", &url, "--key", key], arguments].concat();
    server.data_dir.run_with_input(&all, input)
}

#[test]
fn publish_takes_a_file_and_standard_input_and_prints_the_last_number_alone() {
    let server = Server::start();
    let mut socket = server.connect();
    let text: String = (0..1200).map(|number| format!("{}\n", numbered(OWNER, number))).collect();
    let file = server.data_dir.path().join("trades.ndjson");
    std::fs::write(&file, &text).expect("a file");
    let mut expected = server.last_seq();
    for (arguments, input) in [
        (&[file.to_str().expect("UTF-8")][..], ""),
        (&["-"], text.as_str()),
        (&[], text.as_str()),
        (&["--batch", "7", "-"], text.as_str()),
    ] {
        let output = publish(&server, &server.publisher, arguments, input);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        expected += 1200;
        assert_eq!(stdout(&output), format!("{expected}\n"), "{arguments:?}");
        for number in 0..1200 {
            assert_eq!(socket.trade()["data"]["number"], number, "{arguments:?}");
        }
    }
}

#[test]
fn publish_names_the_files_line_and_what_was_accepted_before_it() {
    let server = Server::start();
    let mut bad = trade("trade.open", OWNER);
    bad["data"]["side"] = "up".into();
    let good = trade("trade.open", OWNER);
    let output =
        publish(&server, &server.publisher, &["--batch", "2", "-"], &format!("{good}\n{good}\n{good}\n{bad}\n"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    for part in ["line 4 of standard input", "data.side", "2 events", "seq 2"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
    assert_eq!(server.last_seq(), 2, "the second request was refused whole");
}

#[test]
fn publish_with_a_key_that_may_not_fails_without_publishing() {
    let server = Server::start();
    let event = trade("trade.open", OWNER).to_string();
    for (key, told) in [(server.subscriber.as_str(), "publisher"), ("stn_unknown", "revoked")] {
        let output = publish(&server, key, &["-"], &event);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""), "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
    assert_eq!(server.last_seq(), 0);
}

#[test]
fn a_key_stands_alone_on_stdout() {
    let data_dir = DataDir::new();
    data_dir.account("alice", "elite");
    for role in ["subscriber", "publisher", "admin"] {
        let output = data_dir.run(&["key", "create", "alice", "--role", role]);
        let key = stdout(&output).strip_suffix('\n').expect("one line");
        assert!(key.starts_with("stn_") && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{key}");
        assert!(!stderr(&output).contains(key), "words may be logged");
        assert!(stderr(&output).contains(role));
    }
}

#[test]
fn exit_codes_tell_failure_from_wrong_usage() {
    let data_dir = DataDir::new();
    data_dir.account("alice", "elite");
    let missing_file = ["publish", "--key", "k", "/nonexistent/trades.ndjson"];
    let not_http = ["publish", "--key", "k", "--url", "ftp://127.0.0.1:9", "-"];
    let cases: [(&[&str], i32); 12] = [
        (&["account", "list"], 0),
        (&["key", "list"], 0),
        (&["--version"], 0),
        (&["help", "serve"], 0),
        (&["key", "create", "nobody"], 1),
        (&["account", "create", "alice", "--tier", "pro"], 1),
        (&missing_file, 1),
        (&["account", "create", "bob", "--tier", "gold"], 2),
        (&["account"], 2),
        (&["sing"], 2),
        (&["publish", "--batch", "0", "--key", "k"], 2),
        (&not_http, 2),
    ];
    for (arguments, code) in cases {
        let output = data_dir.run(arguments);
        assert_eq!(output.status.code(), Some(code), "stentor {}: {}", arguments.join(" "), stderr(&output));
        if code != 0 {
            assert_eq!(stdout(&output), "", "stentor {}", arguments.join(" "));
            assert!(!stderr(&output).is_empty(), "stentor {}", arguments.join(" "));
        }
    }
}
