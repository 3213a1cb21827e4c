//! The plane against the fake kernel: each behaviour by name, then seeded storms of all of them at once.

mod accounts;
mod closing;
mod fake_kernel;
mod fan_out;
mod full_sockets;
mod heartbeat;
mod storms;

use std::sync::Arc;

use self::fake_kernel::{FakeClient, FakeKernel};
use super::plane::{EnterError, Plane};
use super::sessions::{Sessions, ShardSizes};
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::accounts::{Account, AccountId, Grants, KeyHash, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier};
use crate::event::{Event, Topic};
use crate::hub::EncodedBatch;
use crate::limits;
use crate::protocol::Admission;
use crate::ws::client::append_client_frame;
use crate::ws::{CloseCode, Opcode, frame_len_at};

const ACCOUNTS: u64 = 3;
const ROOMY: usize = 64 << 20;

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
            hash: KeyHash([number as u8; 32]),
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
    plane: Plane<FakeKernel>,
    stats: Arc<ShardStats>,
    tick: Tick,
    next_seq: u64,
    accounts: Snapshot,
}

impl Bench {
    fn new(seed: u64, slots: u32) -> Self {
        let stats = Arc::new(ShardStats::default());
        let accounts = snapshot();
        let sizes = ShardSizes { slots, log_bytes: 1 << 20 };
        let sessions = Sessions::new(sizes, Arc::new(accounts.clone()), stats.clone());
        Self { plane: Plane::new(FakeKernel::new(seed), sessions), stats, tick: 0, next_seq: 1, accounts }
    }

    fn kernel(&mut self) -> &mut FakeKernel {
        self.plane.sockets()
    }

    fn enter(&mut self, account: u64, buffer_bytes: usize) -> FakeClient {
        let client = FakeClient::new(buffer_bytes);
        self.plane.enter(client.clone(), admission(account), Vec::new()).expect("a free slot");
        client
    }

    /// Publishes one batch and returns the first number.
    fn publish(&mut self, events: Vec<Event>) -> u64 {
        let first = self.next_seq;
        self.next_seq += events.len() as u64;
        self.plane.inbox().extend([Arc::new(EncodedBatch::encode(events, first, 0))]);
        first
    }

    fn turn(&mut self) -> bool {
        self.plane.turn(self.tick, || 0)
    }

    /// Turns until nothing is left to do.
    fn settle(&mut self) {
        // Late completions come in a later turn.
        let enough = if self.kernel().answers_late { 20 } else { 2 };
        let mut quiet = 0;
        for _ in 0..100_000 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            if quiet == enough {
                return;
            }
        }
        panic!("the plane never comes to rest");
    }

    fn pass_time(&mut self, ms: u32) {
        for _ in 0..ms / limits::TICK_MS {
            self.tick += 1;
            self.turn();
        }
        self.settle();
    }
}

fn admission(account: u64) -> Admission {
    Admission::Watchlist { account: AccountId(account), key: KeyNumber(account) }
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
