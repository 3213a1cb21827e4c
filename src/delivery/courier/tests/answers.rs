//! What comes of an attempt, by what the endpoint answers.

use std::io::{BufReader, Write};
use std::time::Duration;

use super::endpoint::{Endpoint, OK, Received, reset};
use super::*;
use crate::delivery::signature;
use crate::{clock, limits};

#[test]
fn a_delivery_has_its_headers_its_signatures_and_its_body() {
    let (endpoint, received) = Endpoint::recording();
    let job = job(endpoint.url());
    let before_s = clock::unix_ms() / 1_000;
    let report = courier(&options()).attempt(&job);
    assert!(report.outcome.is_success(), "{report:?}");
    assert_eq!(report.ticket, job.ticket);

    let request = received.recv().expect("a request");
    let header = |name| request.header(name).unwrap_or_else(|| panic!("no {name} in {request:?}"));
    assert_eq!(request.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(header("host"), endpoint.url().split('/').nth(2).expect("an authority"));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("content-length"), BODY.len().to_string());
    assert_eq!(header("user-agent"), concat!("Stentor-Webhooks/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("x-webhook-id"), "wh_0000000000000abc");
    assert_eq!(header("x-event-type"), "trade.new");
    assert_eq!(header("x-delivery-id"), "dlv_010101010101010101010101");
    assert_eq!(header("x-delivery-attempt"), "2");
    assert_eq!(header("webhook-id"), "dlv_010101010101010101010101");
    let timestamp_s: u64 = header("webhook-timestamp").parse().expect("seconds");
    assert!((before_s..=clock::unix_ms() / 1_000).contains(&timestamp_s));
    let signed = signature::sign(&job.secrets, header("webhook-id"), timestamp_s * 1_000, BODY.as_bytes());
    assert_eq!(header("x-webhook-signature"), signed.plain);
    assert_eq!(header("webhook-signature"), signed.standard);
    assert_eq!(request.header("accept-encoding"), None, "an answer is not unpacked");
    assert_eq!(request.body, BODY.as_bytes());
}

#[test]
fn a_body_that_takes_many_packets_arrives_whole() {
    let (endpoint, received) = Endpoint::recording();
    let mut job = job(endpoint.url());
    let body: Vec<u8> = (0..300_000u32).map(|index| (index % 251) as u8).collect();
    job.payload.body = body.clone().into();
    assert!(courier(&options()).attempt(&job).outcome.is_success());
    assert!(received.recv().expect("a request").body == body);
}

#[test]
fn success_is_a_2xx_and_every_other_status_is_told_as_it_is() {
    let courier = courier(&options());
    for code in [200, 201, 202, 204, 299, 300, 304, 400, 404, 410, 429, 500, 503, 599, 999] {
        let body = if matches!(code, 204 | 304) { "\r\n" } else { "Content-Length: 2\r\n\r\nOK" };
        let endpoint = Endpoint::answering(format!("HTTP/1.1 {code} X\r\n{body}"));
        let report = attempt(&courier, &endpoint);
        assert!(matches!(report.outcome, Outcome::Answered { status, .. } if status == code), "{code}: {report:?}");
        assert_eq!(report.outcome.is_success(), code < 300);
    }
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Endpoint::answering(OK);
    let courier = courier(&options());
    for code in [301, 302, 303, 307, 308] {
        for body in ["Content-Length: 0\r\n\r\n", "Content-Length: 2\r\n\r\nOK"] {
            let answer = format!("HTTP/1.1 {code} Moved\r\nLocation: {}\r\n{body}", elsewhere.url());
            let endpoint = Endpoint::answering(answer);
            assert_eq!(status(&courier, &endpoint), code);
            assert_eq!(status(&courier, &endpoint), code);
            assert_eq!(endpoint.accepted(), 1, "its connection is kept all the same");
        }
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[test]
fn early_words_are_not_the_answer() {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    assert_eq!(status(&courier(&options()), &Endpoint::answering(format!("{early}{OK}"))), 200);
}

#[test]
fn retry_after_is_read_in_seconds_and_as_a_date() {
    let courier = courier(&options());
    let retry_after = |value: &str| {
        let answer = format!("HTTP/1.1 503 X\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        match attempt(&courier, &Endpoint::answering(answer)).outcome {
            Outcome::Answered { status: 503, retry_after } => retry_after,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
    assert!(retry_after("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|wait| wait > Duration::from_secs(365 * 86_400)));
    assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
    for senseless in ["soon", "-1", "\u{fc}"] {
        assert_eq!(retry_after(senseless), None, "{senseless}");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_in_time_is_told_so() {
    let silent = Endpoint::serving(|_, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        Received::read(&mut stream);
    });
    let dripping = Endpoint::serving(|_, mut stream| {
        while stream.write_all(b"HTTP/1.1 200 OK\r\nX: y"[..1].as_ref()).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let courier = courier(&hasty());
    let report = attempt(&courier, &silent);
    assert!(matches!(report.outcome, Outcome::Failed(AttemptError::Timeout(1))), "{report:?}");
    // How long the rest of a busy machine lets it wait is not its own doing.
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&report.duration), "{report:?}");
    let report = attempt(&courier, &dripping);
    assert!(!report.outcome.is_success() && report.duration < Duration::from_secs(5), "{report:?}");
}

#[test]
fn a_head_that_comes_in_drops_ends_with_the_attempt() {
    let endpoint = Endpoint::serving(|_, mut stream| {
        let head = b"HTTP/1.1 200 OK\r\nX-Long: ".iter().chain(std::iter::repeat(&b'x'));
        for byte in head {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let report = attempt(&courier(&hasty()), &endpoint);
    assert!(matches!(report.outcome, Outcome::Failed(AttemptError::Timeout(1))), "{report:?}");
    assert!(report.duration < Duration::from_secs(5), "{report:?}");
}

#[test]
fn an_endpoint_that_does_not_read_is_given_up_in_time() {
    let endpoint = Endpoint::serving(|_, _stream| std::thread::sleep(Duration::from_secs(3)));
    let mut job = job(endpoint.url());
    job.payload.body = vec![b' '; 64 << 20].into();
    let report = courier(&hasty()).attempt(&job);
    assert!(matches!(report.outcome, Outcome::Failed(AttemptError::Timeout(1))), "{report:?}");
}

#[test]
fn the_status_counts_whatever_becomes_of_the_body() {
    let head = "HTTP/1.1 200 OK\r\n";
    let courier = courier(&options());
    let endless = |head: &'static str, piece: &'static [u8]| {
        Endpoint::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            Received::read(&mut stream);
            let stream = stream.get_mut();
            let mut alive = stream.write_all(head.as_bytes()).is_ok();
            while alive {
                alive = stream.write_all(piece).is_ok();
            }
        })
    };
    for (what, endpoint) in [
        ("endless", endless("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1_000])),
        ("endless in chunks", endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")),
        ("with too long a length", endless("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", &[b'x'; 1_000])),
        ("cut off", Endpoint::answering_once(format!("{head}Content-Length: 10\r\n\r\nOK"))),
        ("of chunks that are none", Endpoint::answering(format!("{head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"))),
    ] {
        let report = attempt(&courier, &endpoint);
        assert!(report.outcome.is_success(), "{what}: {report:?}");
        assert!(report.duration < Duration::from_secs(5), "{what}: {report:?}");
        assert_eq!(status(&courier, &endpoint), 200, "{what}");
        assert_eq!(endpoint.accepted(), 2, "{what}: the connection is given up");
    }
}

#[test]
fn a_body_that_does_not_come_holds_a_worker_for_a_moment_only() {
    let endpoint = Endpoint::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nOK");
    let slow = WebhookOptions { timeout_seconds: 60, ..options() };
    let report = attempt(&courier(&slow), &endpoint);
    assert!(report.outcome.is_success());
    let moment = Duration::from_millis(limits::ANSWER_BODY_MS_MAX);
    assert!((moment..moment + Duration::from_secs(10)).contains(&report.duration), "{report:?}");
}

#[test]
fn a_head_without_bounds_is_not_read_to_its_end() {
    let endless = |start: &'static str, piece: &'static str| {
        Endpoint::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            Received::read(&mut stream);
            let stream = stream.get_mut();
            let mut alive = stream.write_all(start.as_bytes()).is_ok();
            while alive {
                alive = stream.write_all(piece.as_bytes()).is_ok();
            }
        })
    };
    // Slowly enough that all is read that was sent.
    let murmuring = Endpoint::serving(|_, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        let some = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200);
        while stream.get_mut().write_all(some.as_bytes()).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let courier = courier(&options());
    let too_large = limits::ANSWER_HEAD_BYTES_MAX;
    for (what, endpoint) in [
        ("a header that does not end", endless("HTTP/1.1 200 OK\r\nX-Long: ", "xxxxxxxxxxxxxxxx")),
        ("early words that do not end", murmuring),
        ("early words in a flood", endless("", "HTTP/1.1 103 Early Hints\r\n\r\n")),
        ("a large one", Endpoint::answering(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(too_large)))),
    ] {
        let error = failure(&courier, &endpoint);
        assert!(matches!(error, AttemptError::HeadTooLarge(bytes) if bytes == too_large), "{what}: {error:?}");
    }
    let error = failure(&courier, &endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"));
    assert!(matches!(error, AttemptError::Protocol(_)), "{error:?}");

    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(too_large - 100));
    assert_eq!(status(&courier, &Endpoint::answering(large)), 200);
}

#[test]
fn what_is_no_http_is_told_as_that() {
    let courier = courier(&options());
    for garbage in
        ["SSH-2.0-OpenSSH_9.6\r\n", "\0\u{1}\u{2}\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n"]
    {
        let error = failure(&courier, &Endpoint::answering(garbage));
        assert!(matches!(error, AttemptError::Protocol(_)), "{garbage:?}: {error:?}");
    }
}

#[test]
fn a_connection_that_ends_before_the_answer_is_told_as_that() {
    let courier = courier(&options());
    let closed = Endpoint::answering_once("");
    let halfway = Endpoint::answering_once("HTTP/1.1 200 OK\r\nContent-");
    let torn = Endpoint::serving(|_, stream| {
        let mut stream = BufReader::new(stream);
        Received::read(&mut stream);
        reset(stream.into_inner());
    });
    for (endpoint, expected) in
        [(&closed, "the endpoint closed it"), (&halfway, "the endpoint closed it"), (&torn, "the endpoint reset it")]
    {
        let error = failure(&courier, endpoint);
        assert!(matches!(&error, AttemptError::Broken(reason) if reason == expected), "{error:?}");
        assert_eq!(endpoint.accepted(), 1, "an attempt on a new connection is not repeated");
    }
}

#[test]
fn nobody_there_is_told_as_that() {
    let endpoint = Endpoint::answering(OK);
    let url = endpoint.url();
    drop(endpoint);
    let report = courier(&options()).attempt(&job(url));
    let Outcome::Failed(AttemptError::Connect(reason)) = report.outcome else { panic!("{report:?}") };
    assert_eq!(reason, "the endpoint's machine refused it, nothing listens on that port");
}
