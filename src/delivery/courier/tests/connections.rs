//! Which connections are made, kept and used again.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::endpoint::{Endpoint, OK, Received, reset};
use super::*;
use crate::delivery::guard::{AddressKind, GuardRefusal, ResolveError};
use crate::{clock, limits};

#[test]
fn deliveries_to_one_host_share_a_connection() {
    for answer in [
        OK,
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
    ] {
        let endpoint = Endpoint::answering(answer);
        let courier = courier(&options());
        let statuses: Vec<_> = (0..20).map(|_| status(&courier, &endpoint)).collect();
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
        assert_eq!(endpoint.accepted(), 1, "{answer:?}");
    }
}

#[test]
fn a_connection_that_the_endpoint_wants_closed_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK and more",
    ] {
        let endpoint = Endpoint::answering(answer);
        let courier = courier(&options());
        assert_eq!((status(&courier, &endpoint), status(&courier, &endpoint)), (200, 200));
        assert_eq!(endpoint.accepted(), 2, "{answer:?}");
    }
}

#[test]
fn a_connection_that_was_closed_while_it_was_idle_costs_nothing() {
    let (sender, closed) = channel();
    let endpoint = Endpoint::serving(move |_, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        stream.get_mut().write_all(OK.as_bytes()).expect("a courier that waits");
        drop(stream);
        sender.send(()).expect("a test that waits");
    });
    let courier = courier(&options());
    for _ in 0..3 {
        assert_eq!(status(&courier, &endpoint), 200);
        closed.recv().expect("an end");
    }
    assert_eq!(endpoint.accepted(), 3);
}

/// The endpoint's end and the next request may cross. Here they do each time: it takes the request and goes away.
#[test]
fn a_connection_that_is_closed_at_the_moment_of_its_use_costs_nothing() {
    // However long this machine takes for it.
    clock::simulate(Some(0));
    for by_reset in [false, true] {
        let endpoint = Endpoint::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            Received::read(&mut stream);
            stream.get_mut().write_all(OK.as_bytes()).expect("a courier that waits");
            Received::read(&mut stream);
            if by_reset {
                reset(stream.into_inner());
            }
        });
        let courier = courier(&options());
        for attempts in 1..=4 {
            let report = attempt(&courier, &endpoint);
            assert!(report.outcome.is_success(), "{report:?}");
            assert_eq!(endpoint.accepted(), attempts, "by_reset: {by_reset}");
        }
    }
}

#[test]
fn a_second_try_goes_to_a_new_connection_and_is_the_last_one() {
    let (sender, ready) = channel();
    // Two connections are kept; both go away when they are used again, and so does every one after them.
    let endpoint = Endpoint::serving(move |number, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        if number < 2 {
            sender.send(()).expect("a test that waits");
            stream.get_mut().write_all(OK.as_bytes()).expect("a courier that waits");
            Received::read(&mut stream);
        }
    });
    clock::simulate(Some(0));
    let courier = courier(&options());
    std::thread::scope(|scope| {
        // The first waits for the second one's connection, so that neither can be used by both.
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| status(&courier, &endpoint))).collect();
        (0..2).for_each(|_| ready.recv().expect("a connection"));
        both.into_iter().for_each(|one| assert_eq!(one.join().expect("a status"), 200));
    });
    let kept = endpoint.accepted();
    let error = failure(&courier, &endpoint);
    assert!(matches!(error, AttemptError::Broken(_)), "{error:?}");
    assert_eq!(endpoint.accepted(), kept + 1);
}

/// A request that the endpoint may have been at work on is not sent twice in one attempt.
#[test]
fn a_kept_connection_that_ends_late_costs_its_attempt() {
    for by_reset in [false, true] {
        let (sender, received) = channel();
        let endpoint = Endpoint::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            Received::read(&mut stream);
            stream.get_mut().write_all(OK.as_bytes()).expect("a courier that waits");
            if Received::read(&mut stream).is_none() {
                return;
            }
            sender.send(()).expect("a test that waits");
            std::thread::sleep(Duration::from_millis(limits::STALE_MS_MAX + 100));
            if by_reset {
                reset(stream.into_inner());
            }
        });
        let courier = courier(&options());
        assert_eq!(status(&courier, &endpoint), 200);
        let error = failure(&courier, &endpoint);
        assert!(matches!(error, AttemptError::Broken(_)), "{error:?}");
        received.recv().expect("the second request");
        assert_eq!(endpoint.accepted(), 1, "by_reset: {by_reset}");
    }
}

#[test]
fn the_last_connection_that_was_kept_is_closed_by_time() {
    let (sender, ended) = channel();
    let endpoint = Endpoint::serving(move |_, stream| {
        let mut stream = BufReader::new(stream);
        while Received::read(&mut stream).is_some() {
            stream.get_mut().write_all(OK.as_bytes()).expect("a courier that waits");
        }
        // The test may have ended, and its courier with it.
        let _ = sender.send(());
    });
    let courier = courier(&options());
    assert_eq!(status(&courier, &endpoint), 200);
    let kept = Instant::now();
    courier.sweep(kept);
    assert_eq!(courier.idle.count(), 1);
    courier.sweep(kept + Duration::from_millis(limits::IDLE_CONNECTION_MS_MAX));
    assert_eq!(courier.idle.count(), 0);
    ended.recv().expect("its end");
}

#[test]
fn a_name_is_looked_up_for_the_account_whose_webhook_is_checked_or_sent_to() {
    clock::simulate(Some(0));
    let names = FakeNames::new();
    names.fail(HOST, "Name or service not known");
    let courier = Courier::new(&options(), names.clone()).expect("a courier");
    for account in [AccountId(7), AccountId(8)] {
        assert!(courier.check(account, &format!("https://{HOST}/")).is_err());
        let job = Job { account, ..job(format!("https://{HOST}/")) };
        assert!(!courier.attempt(&job).outcome.is_success());
    }
    assert_eq!(names.askers(), [7, 7, 8, 8].map(AccountId));
}

/// The operator may have closed it since the URL was given.
#[test]
fn a_port_that_is_no_longer_allowed_is_refused_and_not_connected_to() {
    let endpoint = Endpoint::answering(OK);
    let port = endpoint.address().port();
    let only = |port: u16| WebhookOptions { ports: vec![port.to_string().parse().expect("a port")], ..options() };
    assert_eq!(status(&courier(&only(port)), &endpoint), 200);
    let other = if port == 443 { 80 } else { 443 };
    let error = failure(&courier(&only(other)), &endpoint);
    let expected = GuardRefusal::Port { port, allowed: other.to_string() };
    assert!(matches!(&error, AttemptError::Refused(refusal) if *refusal == expected), "{error:?}");
    assert_eq!(endpoint.accepted(), 1);
}

#[test]
fn a_private_address_is_refused_and_not_connected_to() {
    let endpoint = Endpoint::answering(OK);
    let courier = courier(&WebhookOptions::default());
    let expected = |error: &AttemptError| {
        matches!(error, AttemptError::Refused(GuardRefusal::Address { kind: AddressKind::Loopback, .. }))
    };
    let error = failure(&courier, &endpoint);
    let refused = GuardRefusal::Name { name: HOST.to_owned(), kind: AddressKind::Loopback };
    assert!(matches!(&error, AttemptError::Refused(refusal) if *refusal == refused), "{error:?}");
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let report = courier.attempt(&job(format!("http://{host}:{}/", endpoint.address().port())));
        assert!(matches!(&report.outcome, Outcome::Failed(error) if expected(error)), "{host}: {report:?}");
    }
    assert_eq!(endpoint.accepted(), 0);
}

#[test]
fn a_name_that_turns_private_is_refused_though_a_connection_is_kept() {
    clock::simulate(Some(0));
    let endpoint = Endpoint::answering(OK);
    let names = FakeNames::new();
    names.answer(HOST, &["127.0.0.1"]);
    names.answer(HOST, &["10.0.0.1"]);
    let courier = Courier::new(&options(), names).expect("a courier");
    assert_eq!(status(&courier, &endpoint), 200);
    clock::simulate(Some((limits::NAME_CACHED_MS + 1) * 1_000_000));
    let error = failure(&courier, &endpoint);
    assert!(matches!(error, AttemptError::Refused(GuardRefusal::Name { .. })), "{error:?}");
}

#[test]
fn a_name_that_moves_is_followed_though_a_connection_is_kept() {
    clock::simulate(Some(0));
    let old = Endpoint::answering(OK);
    let moved = TcpListener::bind(("127.0.0.2", old.address().port())).expect("the same port elsewhere");
    let new = Endpoint::listening(moved, |_, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        stream.get_mut().write_all(b"HTTP/1.1 202 New\r\nContent-Length: 0\r\n\r\n").expect("a courier that waits");
    });
    let names = FakeNames::new();
    names.answer(HOST, &["127.0.0.1"]);
    names.answer(HOST, &["127.0.0.2"]);
    let courier = Courier::new(&options(), names).expect("a courier");
    assert_eq!(status(&courier, &old), 200);
    clock::simulate(Some((limits::NAME_CACHED_MS + 1) * 1_000_000));
    assert_eq!(status(&courier, &old), 202);
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
}

#[test]
fn the_next_address_is_tried_where_one_does_not_answer() {
    let endpoint = Endpoint::answering(OK);
    let names = FakeNames::new();
    names.answer(HOST, &["127.0.0.9", "127.0.0.1"]);
    assert_eq!(status(&Courier::new(&options(), names).expect("a courier"), &endpoint), 200);
}

#[test]
fn a_name_that_leads_nowhere_is_told_as_that() {
    let names = FakeNames::new();
    names.fail(HOST, "Name or service not known");
    names.hang(HOST);
    let courier = Courier::new(&options(), names).expect("a courier");
    let endpoint = Endpoint::answering(OK);
    let error = failure(&courier, &endpoint);
    assert!(matches!(error, AttemptError::Name(ResolveError::NoAddress { .. })), "{error:?}");
    let error = failure(&courier, &endpoint);
    assert!(matches!(error, AttemptError::Name(ResolveError::Timeout { .. })), "{error:?}");
}

#[test]
fn a_look_up_that_the_server_could_not_make_is_no_failure_of_the_endpoint_and_no_wrong_url() {
    let names = FakeNames::new();
    names.lack(HOST);
    let courier = Courier::new(&options(), names).expect("a courier");
    let report = courier.attempt(&job(format!("https://{HOST}/")));
    assert!(matches!(report.outcome, Outcome::Failed(AttemptError::Sender)), "{report:?}");
    let told = courier.check(OWNER, &format!("https://{HOST}/")).expect_err("nobody knows");
    assert_eq!(told.status(), http::StatusCode::SERVICE_UNAVAILABLE, "{told}");
}

#[test]
fn what_the_operator_denies_is_neither_taken_nor_connected_to() {
    let endpoint = Endpoint::answering(OK);
    let courier = courier(&WebhookOptions { deny: vec!["127.0.0.1".parse().expect("a network")], ..options() });
    let refused = GuardRefusal::Name { name: HOST.to_owned(), kind: AddressKind::Denied };
    let error = failure(&courier, &endpoint);
    assert!(matches!(&error, AttemptError::Refused(refusal) if *refusal == refused), "{error:?}");
    let told = courier.check(OWNER, &endpoint.url()).expect_err("a refusal");
    assert!(matches!(&told, crate::delivery::DeliveryError::Url(refusal) if *refusal == refused), "{told}");
    assert_eq!(endpoint.accepted(), 0);
}

#[test]
fn a_url_is_checked_with_every_address_of_its_host() {
    let names = FakeNames::new();
    names.answer("good.example", &["8.8.8.8"]);
    names.answer("mixed.example", &["8.8.8.8", "10.0.0.1"]);
    let courier = Courier::new(&WebhookOptions::default(), names).expect("a courier");
    assert_eq!(
        courier.check(OWNER, "https://good.example/hook").expect("a good one").as_str(),
        "https://good.example/hook"
    );
    for url in ["https://mixed.example/", "https://absent.example/", "https://good.example:22/", "ftp://good.example/"]
    {
        assert!(courier.check(OWNER, url).is_err(), "{url}");
    }
}

/// ureq reads these variables where nobody tells it not to. They are a process's, so this test runs itself in one that has them.
#[test]
fn proxies_of_the_environment_are_not_used() {
    const INNER: &str = "STENTOR_TEST_WITH_PROXIES";
    if std::env::var_os(INNER).is_some() {
        let endpoint = Endpoint::answering(OK);
        assert_eq!(status(&courier(&options()), &endpoint), 200);
        assert_eq!(endpoint.accepted(), 1);
        return;
    }
    let proxy = Endpoint::answering(OK);
    let mut inner = Command::new(std::env::current_exe().expect("this program"));
    inner
        .args(["--exact", "delivery::courier::tests::connections::proxies_of_the_environment_are_not_used"])
        .env(INNER, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        inner.env(name, format!("http://{}", proxy.address()));
    }
    let output = inner.env_remove("NO_PROXY").env_remove("no_proxy").output().expect("this program again");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(proxy.accepted(), 0);
}
