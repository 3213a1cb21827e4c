//! What is installed beside the binary: the service's unit, the container and its seccomp profile, held against the code; and what
//! the binary does for its service manager, its container and its shell.

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stentor::limits;

use crate::data_dir::DataDir;
use crate::process::{STENTOR, Server};
use crate::wait::SOON;

fn install(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(install(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A unit's settings of all sections; of one that stands there more than once, all values.
fn settings(unit: &str) -> HashMap<&str, Vec<&str>> {
    let mut settings = HashMap::<_, Vec<_>>::new();
    let lines = unit.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    for line in lines {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}"));
        settings.entry(name).or_default().push(value);
    }
    settings
}

fn number(settings: &HashMap<&str, Vec<&str>>, name: &str) -> u64 {
    let value = settings[name][0];
    match value.strip_suffix('G') {
        Some(gigabytes) => gigabytes.parse::<u64>().expect(value) << 30,
        None => value.parse().expect(value),
    }
}

/// What `serve` would run with these arguments, as it prints it.
fn accepted(arguments: &[&str]) -> String {
    let output = Command::new(STENTOR).args(arguments).arg("--print-config").output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_units_limits_cover_what_the_server_may_need() {
    let unit = read("stentor.service");
    let unit = settings(&unit);
    let shards = limits::SHARDS_MAX as u64;
    let locked = shards * (limits::RING_BYTES_PER_SHARD + limits::EXECUTOR_IO_BYTES as u64);
    assert!(number(&unit, "LimitMEMLOCK") >= locked + limits::EXECUTOR_MEMLOCK_BYTES_MIN);
    // A shard has no more slots than this, so a higher limit would be of no use.
    assert_eq!(number(&unit, "LimitNOFILE"), u64::from(limits::SHARD_SLOTS_MAX));
    // A shard is a thread, and its executor has another for what blocks; then the hub, the journal, accounts, the core and others.
    let workers = u64::from(limits::CONFIGURED_DELIVERY_WORKERS_MAX);
    let aside = (limits::ASIDE_THREADS_MAX + limits::NAME_LOOKUPS_MAX) as u64;
    assert!(number(&unit, "TasksMax") >= 2 * (2 * shards + workers + aside + 16), "twice that, for the kernel's own");
}

/// Who waits for a stop waits for the default drain and its patience, wherever that is written down.
#[test]
fn a_stop_is_waited_for_as_long_as_the_default_drain_may_take() {
    let patience_s = limits::STOP_PATIENCE_MS / 1_000;
    let stop_s = u64::from(limits::DRAIN_S) + patience_s;
    let unit = read("stentor.service");
    assert_eq!(number(&settings(&unit), "TimeoutStopSec"), stop_s);
    assert!(unit.contains(&format!("(drain_seconds, {} by default)", limits::DRAIN_S)));
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    let told = format!("`drain_seconds` + {patience_s} s. systemd");
    assert!(readme.contains(&told) && readme.contains(&format!("unit's `TimeoutStopSec` is ({stop_s} s")), "{told}");
    for text in [readme, read("Containerfile")] {
        assert!(text.contains(&format!("--stop-timeout {stop_s} ")));
    }
}

#[test]
fn the_unit_starts_a_server_that_keeps_its_data_where_it_may_write() {
    let unit = read("stentor.service");
    let unit = settings(&unit);
    let [program, arguments @ ..] = &unit["ExecStart"][0].split(' ').collect::<Vec<_>>()[..] else {
        panic!("no command")
    };
    assert_eq!(*program, "/usr/local/bin/stentor");
    let place = tempfile::tempdir().expect("a directory");
    let config = place.path().join("stentor.toml");
    fs::write(&config, "").expect("a file");
    let config = config.to_str().expect("UTF-8");
    let arguments: Vec<&str> =
        arguments.iter().map(|argument| if argument.ends_with("/stentor.toml") { config } else { argument }).collect();
    let state = format!("/var/lib/{}", unit["StateDirectory"][0]);
    assert!(accepted(&arguments).contains(&format!("data_dir = {state:?}")));
    for name in ["User", "Group"] {
        assert!(read("stentor.sysusers").contains(&format!("u {} ", unit[name][0])), "{name}");
    }
}

#[test]
fn the_unit_lets_io_uring_through_and_shuts_the_rest_out() {
    let unit = read("stentor.service");
    let unit = settings(&unit);
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(unit["SystemCallFilter"][0].split(' ').any(|allowed| allowed == call), "{call}");
    }
    for (name, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("MemoryDenyWriteExecute", "yes"),
        ("Type", "notify"),
    ] {
        assert_eq!(unit[name], [value], "{name}");
    }
    // The machine is read when the server starts (the plan, the doctor).
    assert!(!unit.contains_key("ProcSubset"));
}

/// By systemd itself: what it would warn of, and how much of the machine is open to the service.
#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let place = tempfile::tempdir().expect("a directory");
    let unit = place.path().join("stentor.service");
    // The program has to be where the unit says.
    fs::write(&unit, read("stentor.service").replace("/usr/local/bin/stentor", STENTOR)).expect("a unit");
    let unit = unit.to_str().expect("UTF-8");
    for arguments in [&["verify", unit][..], &["security", "--offline=true", "--threshold=20", unit]] {
        let output = Command::new("systemd-analyze").arg("--no-pager").args(arguments).output();
        let output =
            output.expect("systemd-analyze, which Debian has: apt-get install --no-install-recommends systemd procps");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && words.trim().is_empty(), "{arguments:?}: {words}");
    }
}

#[test]
fn the_service_manager_is_told_when_the_server_serves_and_when_it_stops() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(SOON)).expect("a timeout");
    let told = || {
        let mut bytes = [0; 256];
        let read = manager.recv(&mut bytes).expect("the server tells it");
        String::from_utf8_lossy(&bytes[..read]).trim().to_owned()
    };
    // The longest that can be configured. Without sessions nobody has to wait for it.
    let drain_s = limits::CONFIGURED_DRAIN_S_MAX;
    let mut server = Server::start_with(&["--shards", "1", "--drain-seconds", &drain_s.to_string()], |command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    assert_eq!(told(), "READY=1");
    server.stop();
    let patience_us = (u64::from(drain_s) * 1_000 + limits::STOP_PATIENCE_MS) * 1_000;
    assert_eq!(told(), format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={patience_us}"));
}

#[test]
fn the_container_starts_a_server_that_is_reached_and_asked_how_it_is() {
    let file = read("Containerfile");
    let list = |instruction: &str| -> Vec<String> {
        let line = file.lines().filter_map(|line| line.split_once(instruction)).map(|(_, list)| list).next_back();
        serde_json::from_str(line.expect(instruction)).expect("a list")
    };
    assert_eq!(list("ENTRYPOINT "), ["/usr/local/bin/stentor"]);
    let command = list("\nCMD ".trim_start());
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let config = accepted(&words);
    let port = config.lines().find_map(|line| line.strip_prefix("listen = \"0.0.0.0:")).expect("an address");
    assert!(file.contains(&format!("EXPOSE {}", port.trim_end_matches('"'))), "{config}");
    // What is asked is the address that `health` asks by itself.
    assert!(file.contains(r#"HEALTHCHECK"#) && file.contains(r#"CMD ["/usr/local/bin/stentor", "health"]"#));
    let help = Command::new(STENTOR).args(["health", "--help"]).output().expect("the binary starts");
    let default = format!("http://127.0.0.1:{}", port.trim_end_matches('"'));
    assert!(String::from_utf8_lossy(&help.stdout).contains(&default), "{default}");
    assert!(file.contains("\nUSER nonroot\n") && file.contains("--profile dist"));
}

#[test]
fn a_seccomp_profile_keeps_what_it_was_and_lets_io_uring_through() {
    let place = tempfile::tempdir().expect("a directory");
    let run = |profile: &str| {
        let path = place.path().join("default.json");
        fs::write(&path, profile).expect("a profile");
        Command::new(install("seccomp-profile")).arg(&path).output().expect("python3 runs it")
    };
    let refusing = json!({ "names": ["io_uring_setup", "io_uring_enter"], "action": "SCMP_ACT_ERRNO" });
    let mixed = json!({ "names": ["read", "io_uring_register"], "action": "SCMP_ACT_ALLOW" });
    let default = json!({ "defaultAction": "SCMP_ACT_ERRNO", "archMap": [], "syscalls": [mixed, refusing] });
    let output = run(&default.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made: Value = serde_json::from_slice(&output.stdout).expect("a profile");
    let mut rules = made["syscalls"].take();
    let rules = rules.as_array_mut().expect("rules");
    let added = rules.pop().expect("a rule");
    assert_eq!(
        (&added["names"], &added["action"]),
        (&json!(["io_uring_setup", "io_uring_enter", "io_uring_register"]), &json!("SCMP_ACT_ALLOW"))
    );
    assert_eq!(*rules, [json!({ "names": ["read"], "action": "SCMP_ACT_ALLOW" })]);
    assert_eq!((&made["defaultAction"], &made["archMap"]), (&json!("SCMP_ACT_ERRNO"), &json!([])));
    for wrong in ["", "[]", "{}", r#"{"syscalls":[{}]}"#] {
        let output = run(wrong);
        assert!(!output.status.success() && output.stdout.is_empty(), "{wrong}");
    }
}

#[test]
fn health_is_the_servers_own_and_an_exit_code() {
    let server = Server::start();
    let ask = |url: &str, more: &[&str]| {
        Command::new(STENTOR).args(["health", "--url", url]).args(more).output().expect("the binary starts")
    };
    let url = format!("http://{}", server.address);
    for more in [&[][..], &["--ready"]] {
        let output = ask(&url, more);
        assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0), "{output:?}");
    }
    // A port that nobody listens on: one that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let output = ask(&format!("http://{free}"), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&free.to_string()), "{output:?}");
    // A port that is none is not another one.
    for wrong in ["nonsense", "http://127.0.0.1:99999", "127.0.0.1:5001"] {
        let output = ask(wrong, &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("http://127.0.0.1:5001"), "{wrong}: {told}");
    }
}

#[test]
fn a_shell_completes_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let script = DataDir::new().value(&["completions", shell]);
        for subcommand in ["serve", "audit", "doctor", "health"] {
            assert!(script.contains(subcommand), "{shell}: {subcommand}");
        }
    }
}

#[test]
fn who_has_read_enough_of_a_text_hears_of_no_failure() {
    for arguments in [&["completions", "bash"][..], &["doctor", "--sysctl"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(STENTOR).args(arguments).stdout(writer).output().expect("the binary starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn the_doctor_prints_a_file_that_sysctl_reads() {
    let file = DataDir::new().value(&["doctor", "--sysctl", "--sockets", "3000000"]);
    assert!(file.starts_with("# For 3,000,000 sockets"), "{file}");
    let settings: Vec<_> = file.lines().filter(|line| line.contains(" = ")).collect();
    assert!(settings.len() >= 7, "{file}");
    for setting in settings {
        let (key, value) = setting.trim_start_matches('#').split_once(" = ").expect("a setting");
        assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{setting}");
        assert!(value.split(' ').all(|word| word.bytes().all(|b| b.is_ascii_alphanumeric())), "{setting}");
    }
}
