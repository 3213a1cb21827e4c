//! A client with the keys of a server, so that each of its deliveries can be right or wrong in one point.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;
use crate::schedule::Schedule;
use crate::webhooks::args::FloorPlan;
use crate::webhooks::endpoint::{Endpoint, Mischief};
use crate::webhooks::floor;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CALM: Mischief = Mischief { delay: Duration::ZERO, errors: 0.0, resets: 0.0, seed: 1 };

/// A running sink with endpoints `wh_0`, `wh_1`, … that all have the same secret, and ten events.
struct Stage {
    sink: Sink,
    book: Arc<Book>,
    address: SocketAddrV4,
    timetable: Arc<Timetable>,
}

fn stage(conducts: &[Conduct], mischief: Mischief) -> Stage {
    let schedule = Schedule { burst: 1, interval_ns: 1, rounds: 1, warmup_steps: 1, timed_steps: 8 };
    let timetable = Arc::new(Timetable::new(schedule));
    let endpoint = |(number, conduct): (usize, &Conduct)| Endpoint::new(*conduct, format!("wh_{number}"), SECRET);
    let endpoints: Option<Vec<_>> = conducts.iter().enumerate().map(endpoint).collect();
    let book = Arc::new(Book::new(endpoints.unwrap(), 10, mischief));
    let times = Some(Arc::clone(&timetable));
    let plan = SinkPlan { book: Arc::clone(&book), timetable: times, clock: Clock::start(), delay: mischief.delay };
    let sink = BoundSink::bind(Ipv4Addr::LOCALHOST, 2).unwrap();
    let address = sink.address;
    Stage { sink: sink.start(&cpu::allowed().unwrap(), &plan).unwrap(), book, address, timetable }
}

/// A delivery as a server writes it; changed where a test wants it wrong.
#[derive(Clone)]
struct Sent {
    endpoint: u32,
    body: String,
    id: String,
    attempt: u32,
    signed: String,
}

impl Sent {
    fn event(endpoint: u32, event: u32) -> Self {
        let body = format!(
            r#"{{"id":"evt_{event}","type":"trade.new","created":{},"data":{{"n":{event},"owner":"w"}}}}"#,
            unix_seconds()
        );
        Self { endpoint, signed: body.clone(), body, id: format!("dlv_{endpoint}_{event}"), attempt: 1 }
    }

    fn again(&self) -> Self {
        Self { attempt: self.attempt + 1, ..self.clone() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mac = |key: &[u8], text: String| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(text.as_bytes());
            mac.finalize().into_bytes()
        };
        let now = unix_seconds();
        let plain: String =
            mac(SECRET.as_bytes(), self.signed.clone()).iter().map(|byte| format!("{byte:02x}")).collect();
        let key = STANDARD.decode(&SECRET[6..]).unwrap();
        let standard = STANDARD.encode(mac(&key, format!("{}.{now}.{}", self.id, self.signed)));
        let Self { endpoint, body, id, attempt, .. } = self;
        format!(
            "POST {HOOK}{endpoint} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nX-Webhook-Signature: {plain}\r\n\
             X-Webhook-ID: wh_{endpoint}\r\nX-Event-Type: trade.new\r\nX-Delivery-ID: {id}\r\nX-Delivery-Attempt: {attempt}\r\n\
             webhook-id: {id}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{standard}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// A kept connection.
struct Client(TcpStream);

impl Client {
    fn new(stage: &Stage) -> Self {
        let stream = TcpStream::connect(stage.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    /// The status of the answer; 0 where there is none.
    fn post(&mut self, bytes: &[u8]) -> u16 {
        if self.0.write_all(bytes).is_err() {
            return 0;
        }
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => return 0,
            }
        }
        let text = String::from_utf8(answer).unwrap();
        if text.contains("Content-Length: 2") {
            self.0.read_exact(&mut [0; 2]).unwrap();
        }
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn send(&mut self, sent: &Sent) -> u16 {
        self.post(&sent.bytes())
    }
}

#[test]
fn deliveries_are_accepted_counted_and_timed_from_when_they_were_due() {
    let stage = stage(&[Conduct::Healthy; 2], CALM);
    // The clock's beginning, more or less.
    stage.timetable.begin_round(0, 0);
    std::thread::sleep(Duration::from_millis(100));
    let mut client = Client::new(&stage);
    for (endpoint, event) in [(0, 0), (0, 1), (0, 3), (0, 2), (1, 2)] {
        assert_eq!(client.send(&Sent::event(endpoint, event)), 200);
    }
    let tally = stage.sink.finish().unwrap();
    assert_eq!((tally.requests, tally.deliveries, tally.late, tally.faults, tally.connections), (5, 4, 1, 0, 1));
    // Events 0 and 1 are the one that goes ahead and a warm-up.
    assert_eq!(tally.latency.len(), 3);
    assert!(tally.latency.min() > 99_000_000, "{}", tally.latency.min());
    assert_eq!(stage.book.count().accepted, 5);
    assert_eq!(stage.book.count().missing, 15);
}

#[test]
fn each_point_in_which_a_delivery_can_be_wrong_is_refused_and_named() {
    let stage = stage(&[Conduct::Healthy; 2], CALM);
    let mut client = Client::new(&stage);
    let good = Sent::event(0, 1);
    let text = String::from_utf8(good.bytes()).unwrap();
    let changed = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let resigned = |body: String| Sent { signed: body.clone(), body, ..good.clone() }.bytes();
    let wrong = [
        (Sent { body: good.body.replace("\"n\":1", "\"n\":2"), ..good.clone() }.bytes(), Fault::PlainSignature),
        (changed("webhook-timestamp: 1", "webhook-timestamp: 2"), Fault::StandardSignature),
        (changed("webhook-signature: v1,", "webhook-signature: v1a,"), Fault::StandardSignature),
        (changed("application/json", "text/plain"), Fault::ContentType),
        (changed("X-Webhook-ID: wh_0", "X-Webhook-ID: wh_1"), Fault::WebhookId),
        (changed("X-Delivery-ID: dlv", "X-Delivery-ID: other"), Fault::DeliveryId),
        (changed("X-Delivery-Attempt: 1", "X-Delivery-Attempt: 0"), Fault::Attempt),
        (changed("X-Event-Type: trade.new", "X-Event-Type: trade.close"), Fault::EventType),
        (resigned(good.body.replace("evt_", "")), Fault::EventId),
        (resigned(good.body.replace("\"data\"", "\"date\"")), Fault::Body),
        (resigned(good.body.replace("\"n\":1", "\"n\":10")), Fault::Unknown),
        (changed("/hook/0", "/hook/2"), Fault::Request),
        (changed("/hook/0", "/hook/x"), Fault::Request),
    ];
    for (bytes, fault) in &wrong {
        assert_eq!(client.post(bytes), 401, "{fault}");
    }
    assert_eq!(client.send(&good), 200);
    assert_eq!(client.post(&resigned(good.body.replace("\"owner\":\"w\"", "\"owner\":\"v\""))), 401, "another body");
    let tally = stage.sink.finish().unwrap();
    assert_eq!((tally.faults, tally.deliveries), (wrong.len() as u64 + 1, 1));
    for ((_, fault), told) in wrong.iter().zip(&tally.told) {
        assert!(told.ends_with(&fault.to_string()), "{told}, not {fault}");
    }
}

#[test]
fn a_delivery_that_comes_again_unprovoked_is_a_duplicate_and_under_another_id_a_fault() {
    let stage = stage(&[Conduct::Healthy], CALM);
    let mut client = Client::new(&stage);
    let sent = Sent::event(0, 4);
    assert_eq!((client.send(&sent), client.send(&sent.again()), client.send(&sent)), (200, 200, 200));
    assert_eq!(client.send(&Sent { id: "dlv_other".into(), ..sent.again() }), 401);
    let tally = stage.sink.finish().unwrap();
    assert_eq!((tally.deliveries, tally.duplicates, tally.retries, tally.faults), (1, 2, 0, 1));
}

#[test]
fn endpoints_misbehave_as_they_are_told_and_what_they_provoke_is_no_duplicate() {
    let stage = stage(&[Conduct::Fail, Conduct::Hang, Conduct::Healthy], Mischief { resets: 1.0, ..CALM });
    let failing = Sent::event(0, 1);
    let mut client = Client::new(&stage);
    assert_eq!((client.send(&failing), client.send(&failing.again())), (500, 500));
    let reset = Sent::event(2, 1);
    assert_eq!(client.send(&reset), 0, "reset");
    assert_eq!(Client::new(&stage).send(&reset.again()), 200, "only first attempts are failed by chance");
    let crossed = Sent::event(2, 2);
    assert_eq!(Client::new(&stage).send(&crossed), 0, "reset");
    assert_eq!(Client::new(&stage).send(&crossed), 200, "it may have been closed while it was idle");
    // Behind one that is never answered, so that its answer shows that that one was taken.
    let both = [Sent::event(1, 1).bytes(), Sent::event(2, 0).bytes()].concat();
    let mut hanging = Client::new(&stage);
    assert_eq!(hanging.post(&both), 200, "nothing befalls the event that goes ahead");
    let tally = stage.sink.finish().unwrap();
    assert_eq!(hanging.post(b""), 0, "one answer, not two");
    assert_eq!((tally.errors, tally.resets, tally.hangs), (2, 2, 1));
    assert_eq!((tally.retries, tally.sent_again, tally.duplicates, tally.faults, tally.deliveries), (1, 1, 0, 0, 2));
    assert_eq!(stage.book.count().accepted, 3);
}

#[test]
fn a_delayed_answer_comes_late() {
    let delay = Duration::from_millis(60);
    let stage = stage(&[Conduct::Healthy], Mischief { delay, ..CALM });
    let began = std::time::Instant::now();
    assert_eq!(Client::new(&stage).send(&Sent::event(0, 1)), 200);
    assert!(began.elapsed() >= delay);
}

#[test]
fn a_delivery_whose_sender_hung_up_before_the_answer_is_open_again() {
    let stage = stage(&[Conduct::Healthy], Mischief { delay: Duration::from_secs(3600), ..CALM });
    let until = |accepted| {
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while stage.book.accepted() != accepted {
            assert!(std::time::Instant::now() < patience, "never {accepted} accepted");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for sent in [Sent::event(0, 1), Sent::event(0, 1).again()] {
        let mut impatient = Client::new(&stage);
        impatient.0.write_all(&sent.bytes()).unwrap();
        until(1);
        drop(impatient);
        until(0);
    }
    let tally = stage.sink.finish().unwrap();
    assert_eq!((tally.deliveries, tally.retries, tally.duplicates, tally.unanswered), (1, 1, 0, 2));
}

#[test]
fn requests_that_come_in_pieces_or_together_are_taken_one_by_one() {
    let stage = stage(&[Conduct::Healthy], CALM);
    let mut client = Client::new(&stage);
    let both = [Sent::event(0, 1).bytes(), Sent::event(0, 2).bytes()].concat();
    for piece in both[..both.len() - 1].chunks(97) {
        client.0.write_all(piece).unwrap();
        client.0.flush().unwrap();
    }
    assert_eq!((client.post(&both[both.len() - 1..]), client.post(b"")), (200, 200));
    assert_eq!(stage.sink.finish().unwrap().deliveries, 2);
}

#[test]
fn what_is_not_http_costs_its_connection_and_is_told() {
    let stage = stage(&[Conduct::Healthy], CALM);
    assert_eq!(Client::new(&stage).post(b"GET / HTTP/1.1\r\n\r\n"), 0);
    let tally = stage.sink.finish().unwrap();
    assert!(tally.faults == 1 && tally.told[0].contains("no POST"), "{:?}", tally.told);
}

#[test]
fn the_floor_posts_the_servers_own_request_which_is_checked_and_not_counted() {
    let stage = stage(&[Conduct::Healthy], CALM);
    Client::new(&stage).send(&Sent::event(0, 0));
    let request = floor::bare_request(stage.book.sample().unwrap()).unwrap();
    let plan = FloorPlan { cpu: cpu::allowed().unwrap()[0], connections: 3, time: Duration::from_millis(100) };
    let bare = floor::measure(stage.address, &request, plan).unwrap();
    assert!(bare.posts > 0 && bare.seconds >= 0.1 && bare.cpu_ns > 0, "{bare:?}");
    let mut damaged = request.clone();
    *damaged.last_mut().unwrap() = b' ';
    assert!(floor::measure(stage.address, &damaged, plan).is_err());
    let tally = stage.sink.finish().unwrap();
    assert_eq!((tally.deliveries, tally.duplicates), (0, 0));
    assert!(tally.requests > bare.posts && tally.faults >= 1);
    assert!(floor::bare_request(b"GET / HTTP/1.1\r\n\r\n").is_err());
}
