//! The plane against the fake kernel: each behaviour by name, then seeded storms of all of them at once.

mod accounts;
mod channels;
mod closing;
mod drain;
pub(crate) mod fake_kernel;
mod fan_out;
mod full_sockets;
mod heartbeat;
mod rates;
mod resume;
mod rooms;
mod secured;
mod storms;
mod streams;
mod subscriptions;
mod surveys;
mod tiered;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use self::fake_kernel::{FakeClient, FakeKernel};
use super::plane::{EnterError, Plane};
use super::secured::Secured;
use super::sessions::{SessionParts, Sessions, ShardSizes};
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::accounts::{Account, AccountId, ApiKey, Grants, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier};
use crate::clock::Nanos;
use crate::event::{Event, EventParser, Topic};
use crate::gate::{Entry, Gate, Policy};
use crate::hub::{EncodedBatch, Origin};
use crate::journal::{Chunk, Gap, GapReason, Part};
use crate::limits;
use crate::protocol::{Admission, Protocol, SessionRules, Terms, UnixMs};
use crate::tokens::{KeySource, Minter, NewToken, TokenSettings, UserId, Verifier};
use crate::ws::client::append_client_frame;
use crate::ws::{CloseCode, Opcode, frame_len_at};

const ACCOUNTS: u64 = 3;
const ROOMY: usize = 64 << 20;

/// The API key of account `number`.
fn api_key(number: u64) -> ApiKey {
    ApiKey::parse(&format!("stn_{number:0>43}")).expect("shaped like a key")
}

/// Account `number` watches the wallets whose number is a multiple of its own: w0 goes to all.
fn account(number: u64, version: u64) -> Arc<Account> {
    let owners = (0..6).filter(|wallet| wallet % number == 0).map(|wallet| format!("w{wallet}").parse::<Owner>());
    Arc::new(Account {
        id: AccountId(number),
        name: format!("account-{number}").parse().unwrap(),
        tier: Tier::Elite,
        grants: Grants::none(),
        watchlist: owners.map(Result::unwrap).collect(),
        keys: [LiveKey {
            number: KeyNumber(number),
            id: KeyId(number),
            role: Role::Subscriber,
            hash: api_key(number).hash(),
        }]
        .into(),
        version,
    })
}

fn watches(account: u64, wallet: u64) -> bool {
    wallet.is_multiple_of(account)
}

fn snapshot() -> Snapshot {
    Snapshot::empty().with_changes(1, (1..=ACCOUNTS).map(|number| account(number, 1)))
}

fn event(wallet: u64, pad: usize) -> Event {
    Event {
        kind: "trade.open".into(),
        topic: Topic::parse(&format!("wallet:w{wallet}")).unwrap(),
        data: format!(r#"{{"owner":"w{wallet}","pad":"{}"}}"#, "x".repeat(pad)).into_bytes().into(),
        channel: None,
        key: None,
        id: None,
    }
}

struct Bench {
    plane: Plane<Secured<FakeKernel>>,
    stats: Arc<ShardStats>,
    tick: Tick,
    /// What each turn takes for the time, and how much of it goes by each time that it looks.
    now: Nanos,
    pace: Nanos,
    unix_ms: UnixMs,
    next_seq: u64,
    /// All that was published and is retained.
    journal: Vec<Arc<EncodedBatch>>,
    /// How much of it is read at a time.
    chunk_batches: usize,
    /// How often it was read.
    reads: Cell<u64>,
    is_unreadable: bool,
    accounts: Snapshot,
    gate: Arc<Gate>,
}

/// When every bench begins, in Unix milliseconds.
const EPOCH_MS: UnixMs = 1_800_000_000_000;

/// Connections of one key or user, where the gate counts them.
const KEY_CONNECTIONS: u32 = 6;

const SECRET: &str = "a secret of thirty-two characters";

fn token_settings() -> TokenSettings {
    TokenSettings { source: KeySource::Secret(SECRET.into()), ..TokenSettings::default() }
}

/// A token that ends `ttl_s` after the bench began.
fn token(user: &str, admin_level: Option<u32>, ttl_s: u64) -> String {
    let minter = Minter::open(&token_settings(), Path::new("/nonexistent")).expect("a secret signs");
    minter.mint(&NewToken { user: UserId::new(user), admin_level, ttl_s }, EPOCH_MS / 1000)
}

impl Bench {
    fn new(seed: u64, slots: u32) -> Self {
        Self::with_rules(seed, slots, SessionRules::default())
    }

    fn with_rules(seed: u64, slots: u32, rules: SessionRules) -> Self {
        let stats = Arc::new(ShardStats::default());
        let accounts = snapshot();
        let sizes = ShardSizes { slots, log_bytes: 1 << 20 };
        let policy = Policy { handshakes_per_second: 0, connections_per_key: KEY_CONNECTIONS, ..Policy::default() };
        let gate = Arc::new(Gate::new(policy));
        let tokens = Verifier::open(&token_settings(), Path::new("/nonexistent")).expect("a secret is at hand");
        let parts = SessionParts {
            accounts: Arc::new(accounts.clone()),
            tokens: Arc::new(tokens),
            gate: gate.clone(),
            rules,
            stats: stats.clone(),
            seq: 0,
        };
        let mut plane = Plane::new(Secured::new(FakeKernel::new(seed)), Sessions::new(sizes, parts));
        plane.tell_time(EPOCH_MS);
        Self {
            plane,
            stats,
            tick: 0,
            now: 0,
            pace: 0,
            unix_ms: EPOCH_MS,
            next_seq: 1,
            journal: Vec::new(),
            chunk_batches: 3,
            reads: Cell::new(0),
            is_unreadable: false,
            accounts,
            gate,
        }
    }

    fn kernel(&mut self) -> &mut FakeKernel {
        self.plane.sockets().inner()
    }

    fn enter(&mut self, account: u64, buffer_bytes: usize) -> FakeClient {
        let client = FakeClient::new(buffer_bytes);
        self.admit(&client, admission(account), Vec::new()).expect("a free slot");
        client
    }

    fn admit(&mut self, client: &FakeClient, admission: Admission, leftover: Vec<u8>) -> Result<(), EnterError> {
        self.plane.enter(client.link(), admission, Terms::default(), Entry::uncounted(&self.gate), leftover)
    }

    /// A client of another protocol, on a good link.
    fn visitor(&mut self, admission: Admission) -> FakeClient {
        let client = FakeClient::new(ROOMY);
        self.admit(&client, admission, Vec::new()).expect("a free slot");
        client
    }

    /// The same from an address that the gate counts.
    fn stranger(&mut self, admission: Admission) -> FakeClient {
        let client = FakeClient::new(ROOMY);
        let entry = Entry::enter(&self.gate, [192, 0, 2, 1].into(), 0).expect("the gate is open");
        self.plane.enter(client.link(), admission, Terms::default(), entry, Vec::new()).expect("a free slot");
        client
    }

    /// Puts a changed account into force.
    fn change(&mut self, account: Account) {
        self.accounts = self.accounts.with_changes(account.version, [Arc::new(account)]);
        self.plane.follow_accounts(Arc::new(self.accounts.clone()));
    }

    /// Publishes one batch and returns the first number.
    fn publish(&mut self, events: Vec<Event>) -> u64 {
        let batch = self.publish_far_away(events);
        let first = batch.first_seq();
        self.plane.inbox().extend([batch]);
        first
    }

    /// Publishes one batch that is still on its way to this shard.
    fn publish_far_away(&mut self, events: Vec<Event>) -> Arc<EncodedBatch> {
        let first = self.next_seq;
        self.next_seq += events.len() as u64;
        let batch = Arc::new(EncodedBatch::encode(events, first, 0, Origin::default()));
        self.journal.push(batch.clone());
        batch
    }

    /// A turn in which the journal is asked for nothing.
    fn turn_alone(&mut self) -> bool {
        self.plane.collect();
        let (now, pace) = (Cell::new(self.now), self.pace);
        let busy = self.plane.turn(self.tick, || now.replace(now.get() + pace));
        self.now = now.get();
        busy
    }

    fn turn(&mut self) -> bool {
        self.plane.collect();
        self.plane.tell_newest(self.next_seq - 1);
        if let Some(from) = self.plane.replay_wants() {
            let chunk = self.read(from);
            self.plane.replayed((!self.is_unreadable).then_some(chunk));
        }
        let (now, pace) = (Cell::new(self.now), self.pace);
        let busy = self.plane.turn(self.tick, || now.replace(now.get() + pace));
        self.now = now.get();
        busy
    }

    /// What the journal holds from a number on.
    fn read(&self, from: u64) -> Chunk {
        self.reads.set(self.reads.get() + 1);
        let oldest = self.journal.first().map_or(self.next_seq, |batch| batch.first_seq());
        if from < oldest {
            let gap = Gap { from, to: oldest - 1, reason: GapReason::Retention };
            return Chunk { from, next: oldest, parts: vec![Part::Gap(gap)] };
        }
        let first = self.journal.partition_point(|batch| batch.next_seq() <= from);
        let batches: Vec<_> = self.journal[first..].iter().take(self.chunk_batches).cloned().collect();
        let next = batches.last().map_or(from, |batch| batch.next_seq());
        Chunk { from, next, parts: batches.into_iter().map(Part::Events).collect() }
    }

    /// The number that the replay comes to next.
    fn replay_position(&self) -> u64 {
        self.plane.replay_position()
    }

    /// Drops what was published before a number, at least.
    fn retain_from(&mut self, seq: u64) {
        self.journal.retain(|batch| batch.first_seq() >= seq);
    }

    /// A client that comes back.
    fn resume(&mut self, admission: Admission, since: u64) -> FakeClient {
        self.visit(admission, Terms { since: Some(since), ..Terms::default() })
    }

    fn visit(&mut self, admission: Admission, terms: Terms) -> FakeClient {
        let client = FakeClient::new(ROOMY);
        let entry = Entry::uncounted(&self.gate);
        self.plane.enter(client.link(), admission, terms, entry, Vec::new()).expect("a free slot");
        client
    }

    /// Turns until nothing is left to do.
    fn settle(&mut self) {
        // Late completions come in a later turn.
        let enough = if self.kernel().answers_late { 20 } else { 2 };
        let mut quiet = 0;
        for _ in 0..100_000 {
            // What leaves of ciphertext is nothing that the plane sees.
            let held = self.plane.sockets().held_bytes();
            let rests = !self.turn() && self.plane.sockets().held_bytes() == held;
            quiet = if rests { quiet + 1 } else { 0 };
            if quiet == enough {
                // Whatever has happened, what is told of it is so.
                assert_eq!(self.stats.sockets(), u64::from(self.plane.occupied()));
                assert_eq!(self.stats.behind.get(), self.plane.behind() as u64);
                return;
            }
        }
        panic!("the plane never comes to rest");
    }

    fn pass_time(&mut self, ms: u32) {
        for _ in 0..ms / limits::TICK_MS {
            self.tick += 1;
            self.unix_ms += u64::from(limits::TICK_MS);
            self.plane.tell_time(self.unix_ms);
            self.turn();
        }
        self.settle();
    }
}

fn admission(account: u64) -> Admission {
    keyed(Protocol::Watchlist, account)
}

fn keyed(protocol: Protocol, account: u64) -> Admission {
    Admission::Keyed { protocol, account: AccountId(account), key: KeyNumber(account) }
}

fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_client_frame(&mut frame, opcode, payload, [7, 1, 200, 42]);
    frame
}

/// What a client got: event numbers, pongs, pings and the close code, in order.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Event(u64),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    Cut,
}

fn got(client: &FakeClient) -> Vec<Got> {
    client.read(usize::MAX);
    let bytes = client.bytes();
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let Some(len) = frame_len_at(rest).filter(|&len| len <= rest.len()) else {
            all.push(Got::Cut);
            break;
        };
        let (frame, behind) = rest.split_at(len);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let payload = &frame[header..];
        all.push(match frame[0] {
            0x81 => {
                let text = std::str::from_utf8(payload).unwrap();
                assert!(text.ends_with(r#""tradeType":"open"}}"#), "a whole message");
                let (seq, _) = text.strip_prefix(r#"{"type":"trade","seq":"#).unwrap().split_once(',').unwrap();
                Got::Event(seq.parse().unwrap())
            }
            0x88 => Got::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x89 => Got::Ping,
            0x8a => Got::Pong(payload.to_vec()),
            other => panic!("a frame that nobody sends: {other:#x}"),
        });
        rest = behind;
    }
    all
}

fn events(client: &FakeClient) -> Vec<u64> {
    let event = |got| match got {
        Got::Event(seq) => Some(seq),
        _ => None,
    };
    got(client).into_iter().filter_map(event).collect()
}

/// Sends a text message as the client.
fn say(client: &FakeClient, text: &str) {
    client.send(&client_frame(Opcode::Text, text.as_bytes()));
}

/// Every text message that the client got, and the close as `{"close":code}`; pings are left out.
fn messages(client: &FakeClient) -> Vec<Value> {
    client.read(usize::MAX);
    let bytes = client.bytes();
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while let Some(len) = frame_len_at(rest).filter(|&len| len <= rest.len()) {
        let (frame, behind) = rest.split_at(len);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        match frame[0] {
            0x81 => all.push(serde_json::from_slice(&frame[header..]).expect("a message is JSON")),
            0x88 => all.push(serde_json::json!({ "close": u16::from_be_bytes([frame[2], frame[3]]) })),
            _ => {}
        }
        rest = behind;
    }
    assert!(rest.is_empty(), "half a frame");
    all
}

/// The messages since the last call.
fn news(client: &FakeClient, seen: &mut usize) -> Vec<Value> {
    let all = messages(client);
    let new = all[*seen..].to_vec();
    *seen = all.len();
    new
}

/// `type` of each message, or what else it is.
fn kinds(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| match (&message["type"], &message["code"]) {
        (Value::String(kind), Value::String(code)) => format!("{kind} {code}"),
        (Value::String(kind), _) => kind.clone(),
        _ => message.to_string(),
    };
    messages.iter().map(kind).collect()
}

/// An event as a publisher sends it.
fn published(text: &str) -> Event {
    EventParser::new().parse(text.as_bytes(), 1, None).expect(text)
}

/// An event on a topic of any protocol but the watchlist's.
fn on(topic: &str) -> Event {
    let kind = if topic == "alerts" { "alert" } else { "note" };
    published(&serde_json::json!({ "type": kind, "topic": topic, "data": { "of": topic } }).to_string())
}
