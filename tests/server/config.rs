//! `stentor.toml`: what it says counts unless a flag says otherwise, and what is wrong in it is told.

use std::path::Path;
use std::process::{Command, Output};

use crate::process::{STENTOR, Server};

/// A working directory, and `stentor` run in it without any flag but `arguments`.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(STENTOR).args(arguments).current_dir(self.path()).output().expect("the binary runs")
    }

    /// `[server]` of what `stentor serve --print-config` with these flags prints.
    fn printed(&self, flags: &[&str]) -> toml::Table {
        let text = self.printed_text(flags);
        text.parse::<toml::Table>().expect("TOML")["server"].as_table().expect("a section").clone()
    }

    fn printed_text(&self, flags: &[&str]) -> String {
        let output = self.run(&[&["serve", "--print-config"], flags].concat());
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(text.starts_with("# "), "{text}");
        text
    }
}

const FULL: &str = r#"
[server]
listen = "127.0.0.1:7001"
data_dir = "from-file"
shards = 2
cpus = "0"
delivery_cpu = 0
allowed_origins = ["https://app.example"]
trusted_proxies = ["10.0.0.0/8"]
proxy_protocol = true
drain_seconds = 3
restart_seconds = 4
"#;

#[test]
fn flags_override_the_file_and_the_file_the_defaults() {
    let place = Place::new();
    place.write("any.toml", FULL);
    let defaults = place.printed(&[]);
    assert_eq!(defaults["listen"].as_str(), Some("127.0.0.1:5001"));
    assert_eq!(defaults["data_dir"].as_str(), Some("./stentor-data"));
    for left in ["shards", "cpus", "delivery_cpu"] {
        assert!(!defaults.contains_key(left), "{left} is the machine's to decide: {defaults}");
    }

    let file = place.printed(&["--config", "any.toml"]);
    assert_eq!(file, FULL.parse::<toml::Table>().expect("TOML")["server"].as_table().expect("a section").clone());

    let flags =
        ["--listen", "127.0.0.1:9", "--data-dir", "flag", "--shards", "3", "--cpus", "1-2", "--delivery-cpu", "5"];
    let said = "listen = \"127.0.0.1:9\"\ndata_dir = \"flag\"\nshards = 3\ncpus = \"1-2\"\ndelivery_cpu = 5";
    let mut expected = file.clone();
    expected.extend(said.parse::<toml::Table>().expect("TOML"));
    let both = place.printed(&[&["--config", "any.toml"], &flags[..]].concat());
    assert_eq!(both, expected);
    for (flag, key) in flags.chunks(2).zip(["listen", "data_dir", "shards", "cpus", "delivery_cpu"]) {
        let mut one = place.printed(&["--config", "any.toml", flag[0], flag[1]]);
        assert_eq!(one.insert(key.to_owned(), file[key].clone()), both.get(key).cloned(), "{flag:?}");
        assert_eq!(one, file, "{flag:?} overrides {key} alone");
    }
}

#[test]
fn a_file_that_is_not_named_is_not_read() {
    let place = Place::new();
    place.write("stentor.toml", "[server]\nlisten = \"127.0.0.1:7001\"\n");
    assert_eq!(place.printed(&[])["listen"].as_str(), Some("127.0.0.1:5001"));
    let help = String::from_utf8(place.run(&["serve", "--help"]).stdout).expect("UTF-8");
    for told in ["./stentor.toml", "[default: 127.0.0.1:5001]", "[default: ./stentor-data]"] {
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{told}: {help}");
    }
}

#[test]
fn the_server_runs_on_what_the_file_says() {
    let server = Server::start();
    let place = Place::new();
    let data_dir = server.data_dir.path().to_str().expect("UTF-8");
    place.write("stentor.toml", &format!("[server]\nlisten = \"127.0.0.1:0\"\ndata_dir = \"{data_dir}\"\n"));
    let output = place.run(&["serve", "--config", "stentor.toml"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("another Stentor") && words.contains(data_dir), "{words}");

    place.write("stentor.toml", &format!("[server]\nlisten = \"{}\"\ndata_dir = \"data\"\n", server.address));
    let output = place.run(&["serve", "--config", "stentor.toml"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("taken") && words.contains(&server.address.to_string()), "{words}");
    assert!(place.path().join("data/accounts.db").exists(), "relative to the working directory");
}

#[test]
fn what_is_printed_is_a_file_that_prints_the_same_and_tells_no_secret() {
    let place = Place::new();
    let more = "[jwt]\nissuer = \"i\"\njwks_file = \"j\"\n[limits]\nexempt_addresses = []\nconnections_per_key = 0\n";
    for text in [String::new(), format!("{FULL}{more}")] {
        place.write("first.toml", &text);
        let printed = place.printed_text(&["--config", "first.toml"]);
        place.write("second.toml", &printed);
        assert_eq!(place.printed_text(&["--config", "second.toml"]), printed);
        // It says what the file said.
        let (said, printed) =
            (text.parse::<toml::Table>().expect("TOML"), printed.parse::<toml::Table>().expect("TOML"));
        for (section, keys) in &said {
            for (key, value) in keys.as_table().expect("a section") {
                assert_eq!(printed[section].get(key), Some(value), "[{section}] {key}");
            }
        }
    }
    place.write("secret.toml", "[jwt]\nsecret = \"hush, hush\"\n");
    let printed = place.printed_text(&["--config", "secret.toml"]);
    assert!(printed.contains("# secret = \"…\"  (set, not shown)\n") && !printed.contains("hush"), "{printed}");
}

#[test]
fn a_bad_file_is_wrong_usage_and_told_in_one_line() {
    let place = Place::new();
    for (text, told) in [
        ("[server]\nlisen = \"127.0.0.1:1\"\n", &["bad.toml, line 2:", "`lisen`", "did you mean `listen`?"][..]),
        ("[serve]\n", &["bad.toml, line 1:", "[serve]", "did you mean `server`?"]),
        ("[server]\n\nshards = 0\n", &["bad.toml, line 3:", "`shards`", "1 to 256"]),
        ("[server]\ncpus = \"5-3\"\n", &["bad.toml, line 2:", "`cpus`", "backwards"]),
        ("[server]\ndelivery_cpu = true\n", &["bad.toml, line 2:", "`delivery_cpu`", "write a CPU's number"]),
        ("[server]\ndata_dir = 7\n", &["bad.toml, line 2:", "`data_dir`", "write a directory"]),
        ("[server]\nlisten = 127.0.0.1\n", &["bad.toml, line 2:", "not valid TOML"]),
        ("[server]\nmessage_bytes = 1\n", &["bad.toml, line 2:", "`message_bytes`", "put it below [limits]"]),
        ("[server]\nproxy_protocol = true\n", &["bad.toml, line 2:", "`proxy_protocol`", "trusted_proxies"]),
        ("[jwt]\nsecret = \"a\"\njwks_file = \"b\"\n", &["bad.toml, line 3:", "`jwks_file`", "`secret`"]),
        ("[limits]\n\nmessage_burst = 0\n", &["bad.toml, line 3:", "`message_burst`", "messages_per_second = 0"]),
    ] {
        place.write("bad.toml", text);
        // A flag that overrides what is wrong does not hide it.
        for flags in [&["serve", "--config", "bad.toml"][..], &["serve", "--config", "bad.toml", "--print-config"]] {
            assert_wrong_usage(&place.run(flags), told);
        }
    }
    assert_wrong_usage(&place.run(&["serve", "--config", "gone.toml"]), &["gone.toml", "--config", "--print-config"]);
    assert_wrong_usage(&place.run(&["serve", "--config", "."]), &["can't read .", "--config"]);
}

fn assert_wrong_usage(output: &Output, told: &[&str]) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), words.lines().count(), output.stdout.len()), (Some(2), 1, 0), "{words}");
    for part in told {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn the_other_subcommands_keep_their_default_data_directory() {
    let place = Place::new();
    place.write("stentor.toml", "[server]\ndata_dir = \"elsewhere\"\n");
    let output = place.run(&["account", "create", "alice", "--tier", "elite"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(place.path().join("stentor-data/accounts.db").exists() && !place.path().join("elsewhere").exists());
}
