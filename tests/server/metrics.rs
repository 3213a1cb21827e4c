//! `/metrics`: who may read it, that it tells what happened, and that the dashboard and the alert rules name nothing that is not there.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stentor::ws::CloseCode;

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::limits::{from, proxy_header};
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::numbered;
use crate::wait::{SOON, until};
use crate::webhook_sink::Sink;
use crate::webhooks::Hook;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";

/// What was scraped: each sample with its labels, as they stand in the text.
struct Scrape {
    text: String,
    samples: Vec<(String, f64)>,
}

impl Scrape {
    fn of(server: &Server) -> Self {
        Self::read(&Request::get("/metrics").send(server.address))
    }

    fn read(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let text = reply.text().trim_start_matches("200 ").to_owned();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
        });
        Self { samples: samples.collect(), text }
    }

    /// The sum over all samples of that name whose labels hold these.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let matching = |(sample, _): &&(String, f64)| {
            let (of, with) = sample.split_once('{').unwrap_or((sample, ""));
            of == name && labels.iter().all(|label| with.contains(label))
        };
        let found: Vec<f64> = self.samples.iter().filter(matching).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "{name} {labels:?} is not there:\n{}", self.text);
        found.iter().sum()
    }

    /// The names of all samples, and that of the certificate's end, which has none without TLS.
    fn names(&self) -> BTreeSet<&str> {
        // This server has none; tests/server/tls.rs sees its sample.
        let of_tls = "stentor_tls_certificate_expiration_timestamp_seconds";
        let is_told = self.text.contains(&format!("# TYPE {of_tls} gauge\n"));
        let names = self.samples.iter().map(|(sample, _)| sample.split('{').next().expect("a name"));
        names.chain(is_told.then_some(of_tls)).collect()
    }
}

/// A server whose webhooks may lead to this machine.
fn busy_server() -> Server {
    Server::configured("[webhooks]\nallow = [\"127.0.0.0/8\"]\n")
}

/// Something of everything that is counted: sessions of two protocols, deliveries, refusals, a webhook, and one who resumes.
fn drive(server: &Server) -> Vec<Socket> {
    let sink = Sink::start();
    let hook = Hook::create(server, &server.subscriber, &sink.url("/hook"));
    let mut sockets: Vec<_> = (0..3).map(|_| server.connect()).collect();
    sockets
        .push(Socket::open(server.address, &format!("/ws/alerts?api_key={}", server.subscriber)).expect("an upgrade"));
    sockets[3].message("connected");
    let (first_seq, _) = server.publish(&[numbered(OWNER, 1), numbered(OWNER, 2)]);
    let mut event = numbered(OWNER, 3);
    event["id"] = "once".into();
    let (last_seq, _) = server.publish(std::slice::from_ref(&event));
    server.post_events("application/json", &event.to_string());
    for socket in &mut sockets[..3] {
        (first_seq..=last_seq).for_each(|seq| assert_eq!(socket.trade()["seq"], seq));
    }
    let mut resumed = server.connect_since(first_seq - 1);
    (first_seq..=last_seq).for_each(|seq| assert_eq!(resumed.trade()["seq"], seq));
    sockets.push(resumed);
    for seq in first_seq..=last_seq {
        hook.delivery(server, &server.subscriber, seq, "delivered");
    }

    let bad_key = Socket::open(server.address, "/ws/alerts?apiKey=sk_nobody").expect_err("a refusal");
    assert_eq!(bad_key.status, 401);
    let free = server.member("free", "free", &[]);
    let mut refused = Socket::open(server.address, &format!("/ws/alerts?apiKey={free}")).expect("an upgrade");
    refused.expect_close(CloseCode::TIER);
    assert_eq!(server.post_events("application/json", "{").status, 400);
    assert_eq!(Request::get("/nowhere").send(server.address).status, 404);
    sockets
}

#[test]
fn what_happened_is_told_in_numbers() {
    let server = busy_server();
    let before = Scrape::of(&server);
    assert_eq!(before.sum("stentor_deliveries_total", &[]), 0.0);
    let began = Instant::now();
    let sockets = drive(&server);
    let after = Scrape::of(&server);
    let is = |name: &str, labels: &[&str], value: f64| assert_eq!(after.sum(name, labels), value, "{name} {labels:?}");
    is("stentor_events_total", &[], 3.0);
    is("stentor_duplicate_events_total", &[], 1.0);
    is("stentor_publishes_accepted_total", &[], 3.0);
    is("stentor_publishes_refused_total", &[], 0.0);
    // Each shard takes in each event.
    is("stentor_shard_events_total", &[], 6.0);
    is("stentor_deliveries_total", &[], 9.0);
    is("stentor_replayed_events_total", &[], 3.0);
    is("stentor_caught_up_total", &[], 1.0);
    is("stentor_sessions_behind", &[], 0.0);
    is("stentor_handshakes_accepted_total", &["protocol=\"watchlist\""], 4.0);
    is("stentor_handshakes_accepted_total", &["protocol=\"tiered\""], 1.0);
    is("stentor_handshakes_refused_total", &["reason=\"authentication\""], 1.0);
    is("stentor_handshakes_refused_total", &["reason=\"tier\""], 1.0);
    is("stentor_http_requests_total", &["route=\"/api/events\"", "status=\"2xx\""], 3.0);
    is("stentor_http_requests_total", &["route=\"/api/events\"", "status=\"4xx\""], 1.0);
    is("stentor_http_strays_total", &[], 1.0);
    is("stentor_webhook_deliveries_total", &["outcome=\"delivered\""], 3.0);
    is("stentor_webhook_attempts_total", &["outcome=\"success\""], 3.0);
    is("stentor_webhook_attempt_seconds_count", &[], 3.0);
    is("stentor_journal_last_seq", &[], server.last_seq() as f64);
    is("stentor_journal_kept_seq", &[], server.last_seq() as f64);
    is("stentor_journal_full", &[], 0.0);
    is("stentor_journal_segments", &[], 1.0);
    // `watcher`, `feed` and `free`, each with one key.
    is("stentor_accounts", &[], 3.0);
    is("stentor_keys", &[], 3.0);
    is("stentor_build_info", &[concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")], 1.0);
    // Two requests that somebody had to be sent something of, on one shard or on both.
    let fanouts = after.sum("stentor_fanout_seconds_count", &[]);
    assert!((2.0..=4.0).contains(&fanouts), "{fanouts}");
    let longest = began.elapsed().as_secs_f64() * fanouts;
    let seconds = after.sum("stentor_fanout_seconds_sum", &[]);
    assert!(seconds > 0.0 && seconds < longest, "{seconds} of {longest}");
    assert_eq!(after.sum("stentor_fanout_seconds_bucket", &["le=\"+Inf\""]), fanouts);
    for moved in
        ["stentor_sends_total", "stentor_sent_bytes_total", "stentor_pass_seconds_count", "stentor_replay_reads_total"]
    {
        assert!(after.sum(moved, &[]) > 0.0, "{moved}");
    }
    for moved in
        ["stentor_journal_sync_seconds_count", "stentor_journal_written_bytes_total", "stentor_event_bytes_total"]
    {
        assert!(after.sum(moved, &[]) > before.sum(moved, &[]), "{moved}");
    }
    assert!(after.sum("stentor_slots", &[]) > 2.0 && after.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.sum("stentor_thread_cpu_seconds_total", &["thread=\"shard-1\""]) >= 0.0);

    // The one that was told 4403 is gone, and soon the others are.
    let sockets_are = |count: f64| (Scrape::of(&server).sum("stentor_sockets", &[]) == count).then_some(());
    until("the sockets that are left", SOON, || sockets_are(5.0));
    assert_eq!(Scrape::of(&server).sum("stentor_sockets", &["protocol=\"tiered\""]), 1.0);
    drop(sockets);
    until("no sockets", SOON, || sockets_are(0.0));
    until("the webhook", SOON, || {
        let scrape = Scrape::of(&server);
        (scrape.sum("stentor_webhooks", &["state=\"active\""]) == 1.0
            && scrape.sum("stentor_webhook_lanes", &[]) == 1.0)
            .then_some(())
    });
}

#[test]
fn a_limit_that_was_reached_is_told_by_its_name() {
    let server = Server::configured("[limits]\nexempt_addresses = []\nconnections_per_key = 1\n");
    let _socket = server.connect();
    assert_eq!(Socket::open(server.address, &server.alerts_path()).expect_err("a refusal").status, 429);
    let mut channels = Socket::open(server.address, "/v1/ws").expect("an upgrade");
    channels.say(&json!({ "type": "auth", "apiKey": server.subscriber }).to_string());
    channels.message("error");
    let scrape = Scrape::of(&server);
    assert_eq!(
        scrape.sum("stentor_gate_refusals_total", &["reason=\"key_full\""]),
        2.0,
        "at the desk and in a session"
    );
    assert_eq!(scrape.sum("stentor_gate_refusals_total", &[]), 2.0);
    assert_eq!(scrape.sum("stentor_handshakes_refused_total", &["reason=\"limit\""]), 1.0);
}

#[test]
fn both_forms_say_the_same_and_promtool_finds_nothing_to_say() {
    let server = busy_server();
    let _sockets = drive(&server);
    let plain = Request::get("/metrics").send(server.address);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let plain = Scrape::read(&plain);
    let told = promtool(&["check", "metrics"], Some(&plain.text));
    assert_eq!(told, "", "promtool check metrics");

    let open = Request::get("/metrics").header("Accept", OPEN_METRICS).send(server.address);
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let open = Scrape::read(&open);
    assert!(open.text.ends_with("\n# EOF\n") && open.text.contains("# TYPE stentor_events counter\n"));
    assert!(plain.text.contains("# TYPE stentor_events_total counter\n") && !plain.text.contains("# EOF"));
    assert_eq!(open.names(), plain.names());
}

#[test]
fn what_is_measured_is_told_in_the_same_words_by_the_metrics_the_dashboard_and_the_reader() {
    let server = Server::start();
    let told = Scrape::of(&server).text;
    let about = |name: &str| {
        let help = format!("# HELP {name} ");
        told.lines().find_map(|line| line.strip_prefix(&*help)).unwrap_or_else(|| panic!("{name} in {told}")).to_owned()
    };
    let read = |file: &str| std::fs::read_to_string(dashboards().join(file)).expect(file);
    let (readme, dashboard) = (read("../../README.md"), read("stentor.json"));
    let fanout = about("stentor_fanout_seconds");
    assert!(dashboard.contains(&fanout), "{fanout}");
    assert!(readme.contains(&fanout[1..]), "{fanout}");

    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let mut panels = dashboard["panels"].as_array().expect("panels").iter();
    let factor = panels.find(|panel| panel["title"] == "Events that one send carries").expect("a panel");
    let (above, below) =
        factor["targets"][0]["expr"].as_str().and_then(|query| query.split_once(" / ")).expect("a part");
    let carried = ["stentor_deliveries_total", "stentor_replayed_events_total"];
    assert!(carried.iter().all(|name| above.contains(name)) && below.contains("stentor_sends_total"), "{factor}");
    let sends = about("stentor_sends_total");
    assert!(carried.iter().all(|name| sends.contains(name)), "{sends}");
}

#[test]
fn dashboard_and_alert_rules_name_only_what_is_there_and_promtool_takes_the_rules() {
    let server = busy_server();
    let _sockets = drive(&server);
    let scrape = Scrape::of(&server);
    let names = scrape.names();
    for file in ["stentor.json", "alerts.yml"] {
        let text = std::fs::read_to_string(dashboards().join(file)).expect(file);
        let named = metrics_of(&text);
        assert!(named.len() > 10, "{file} names {named:?}");
        for name in named {
            assert!(names.contains(name), "{file} names {name}, which is not in /metrics");
        }
    }
    let json = std::fs::read_to_string(dashboards().join("stentor.json")).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let rows: Vec<_> = panels.iter().filter(|panel| panel["type"] == "row").map(|row| &row["title"]).collect();
    assert_eq!(rows, ["Fan-out", "Sockets", "Slow consumers", "Journal", "Webhooks", "Rejections", "Machine"]);
    // As rules, so that promtool parses each of its queries.
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(nth, target)| {
            let query = target["expr"].as_str().expect("a query").replace("$__rate_interval", "1m");
            json!({ "record": format!("panel:{nth}"), "expr": query })
        })
        .collect();
    let queries = tempfile::Builder::new().suffix(".yml").tempfile().expect("a file");
    // JSON is YAML, too.
    std::fs::write(&queries, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string()).expect("a file");
    for file in [dashboards().join("alerts.yml").as_path(), queries.path()] {
        let told = promtool(&["check", "rules", file.to_str().expect("UTF-8")], None);
        assert!(told.contains("SUCCESS"), "{told}");
    }
}

#[test]
fn from_elsewhere_it_takes_an_admin_key() {
    let server = Server::configured("[metrics]\nscrapers = [\"127.0.9.0/24\"]\n");
    let scrape = |headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(Request::get("/metrics"), |request, (name, value)| request.header(name, value));
        request.send(server.address)
    };
    let nobody = scrape(&[]);
    assert_eq!((nobody.status, nobody.error()["code"].as_str()), (401, Some("AUTHENTICATION_FAILED")));
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let other = scrape(&[("X-API-Key", &server.subscriber)]);
    assert_eq!((other.status, other.error()["code"].as_str()), (403, Some("FORBIDDEN")));
    let admin = operator(&server, "ops");
    Scrape::read(&scrape(&[("Authorization", &format!("Bearer {admin}"))]));
    // From a network that needs none.
    let from_inside = |headers: &str| {
        let mut stream = from("127.0.9.7", server.address);
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: stentor\r\n{headers}\r\n").expect("a request");
        Reply::read(&mut stream)
    };
    Scrape::read(&from_inside(""));
    let passed_on = from_inside("X-Forwarded-For: 203.0.113.9\r\n");
    assert_eq!(passed_on.status, 401, "it is somebody else's, and nobody trusts who says so");
}

#[test]
fn what_a_proxy_passes_on_is_its_clients_whom_it_has_to_name() {
    const PROXY: &str = "127.0.9.7";
    let networks = "trusted_proxies = [\"127.0.9.0/24\"]\n[metrics]\nscrapers = [\"127.0.9.0/24\", \"192.0.2.1\"]\n";
    let scrape = |server: &Server, before: &[u8], headers: &str| {
        let mut stream = from(PROXY, server.address);
        let request = format!("GET /metrics HTTP/1.1\r\nHost: stentor\r\n{headers}\r\n");
        stream.write_all(&[before, request.as_bytes()].concat()).expect("a request");
        Reply::read(&mut stream).status
    };
    let server = Server::configured(&format!("[server]\n{networks}"));
    for (headers, status) in [
        ("", 200),
        ("X-Forwarded-For: 192.0.2.1\r\n", 200),
        ("X-Forwarded-For: 198.51.100.1\r\n", 401),
        ("X-Forwarded-For: unknown\r\n", 401),
        ("X-Real-IP: 198.51.100.1\r\n", 401),
        ("Forwarded: for=198.51.100.1\r\n", 401),
        ("CF-Connecting-IP: 198.51.100.1\r\n", 401),
        // A list that a proxy has not written, as it names its client otherwise, is the client's own.
        ("X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 198.51.100.1\r\n", 401),
    ] {
        assert_eq!(scrape(&server, b"", headers), status, "{headers}");
    }
    let server = Server::configured(&format!("[server]\nproxy_protocol = true\n{networks}"));
    assert_eq!(scrape(&server, &proxy_header([192, 0, 2, 1]), ""), 200);
    assert_eq!(scrape(&server, &proxy_header([198, 51, 100, 1]), ""), 401);
    // A header of version 2 without an address, as of a client at the proxy's Unix socket.
    assert_eq!(scrape(&server, b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", ""), 401);
}

/// A browser at a scraper's address needs no key, and would send none to ask for one.
#[test]
fn no_page_of_another_origin_may_read_it() {
    let server = Server::start();
    let from_page = |method: &str| {
        let request = Request::new(method, "/metrics").header("Origin", "https://elsewhere.example");
        request.header("Access-Control-Request-Method", "GET").send(server.address)
    };
    let read = from_page("GET");
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None));
    let asked = from_page("OPTIONS");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (405, None));
}

#[test]
fn those_who_scrape_at_once_are_answered_by_few_readings() {
    let server = Server::start();
    let address: SocketAddr = server.address;
    let began = Instant::now();
    let scrapers: Vec<_> = (0..20)
        .map(|_| {
            std::thread::spawn(move || {
                (0..3).map(|_| Request::get("/metrics").send(address).status).collect::<Vec<_>>()
            })
        })
        .collect();
    for scraper in scrapers {
        assert_eq!(scraper.join().expect("answers"), [200; 3]);
    }
    // One after the other they would take 60 × 100 ms.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/dashboards")
}

/// What looks like a name of ours, or of a process.
fn metrics_of(text: &str) -> BTreeSet<&str> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with("stentor_") || word.starts_with("process_")).collect()
}

/// What promtool says, in either direction; it has to be content.
fn promtool(arguments: &[&str], input: Option<&str>) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().expect("promtool, which Debian has: apt-get install --no-install-recommends prometheus");
    child.stdin.take().expect("a pipe").write_all(input.unwrap_or_default().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("an end");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
    told
}
