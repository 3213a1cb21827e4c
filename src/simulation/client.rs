//! A client over all its sessions, and what each message that it gets must be by the shadow model.
//!
//! A subscription is done up to a number: every matching event up to there was delivered or is excused by a gap that was told and is
//! true. An event, an answer that carries a number and a gap each raise that number, and whatever they pass over has to be excused.
//! The next session begins behind it, so nothing may come twice or be missing between sessions either.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::cast::{self, Kind, Mask, TOPICS};
use super::diary::note;
use super::history::History;
use crate::journal::{Gap, GapReason};
use crate::protocol::SlowPolicy;
use crate::shard::tests::fake_kernel::FakeClient;
use crate::ws::client::append_client_frame;
use crate::ws::{Opcode, frame_len_at};

pub struct Client {
    pub kind: Kind,
    /// The last number that it knows of each subscription, from all its sessions.
    pub cursors: BTreeMap<Key, u64>,
    /// The topics that it names in its next session.
    pub wants: BTreeSet<u8>,
    pub session: Option<Session>,
}

/// A subscription: to a topic by name, or, without one, to what the kind of session gets by itself.
pub type Key = Option<u8>;

pub struct Session {
    pub link: FakeClient,
    policy: SlowPolicy,
    kind: Kind,
    subscriptions: BTreeMap<Key, Subscription>,
    /// Commands that were not answered yet.
    pub commands: VecDeque<Command>,
    /// After which number a topic begins that is subscribed to without one.
    default_since: Option<u64>,
    /// Events that a subscription has brought before its answer.
    came_early: BTreeSet<u64>,
    /// What was told to be gone last, as long as no answer came behind it.
    last_gap: Option<(u64, u64)>,
    /// What was told to be gone, whatever it was.
    gone_events: Vec<(u64, u64)>,
    /// What was told to be passed over, as only the newest of each key is wanted.
    skips: Vec<(u64, u64)>,
    /// The newest event of each topic and key that was passed over, until a newer one came.
    skipped: BTreeMap<(u8, Box<str>), u64>,
    bytes: Vec<u8>,
    /// How much it reads at a time; 0 while it stalls.
    pub pace: usize,
    pub greeted: bool,
    /// It reset the connection, or ended its side.
    pub gone: bool,
    /// It was told to come back.
    dismissed: bool,
    pub closed: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Subscription {
    mask: Mask,
    /// Every number up to this one is done.
    done: u64,
    /// The client was told that number.
    known: bool,
    /// It has brought events, and its own answer has not come: answers before that say nothing of it.
    awaited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Auth,
    Ping,
    Subscribe {
        topic: u8,
        since: Option<u64>,
        /// Events came before the answer.
        applied: bool,
        /// Events of the topic that came since it was said: the answer may come behind those that it has brought.
        came: Vec<u64>,
    },
    Unsubscribe(u8),
}

/// What of the server a session's messages are held against.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// No number from here on was given out.
    pub head: u64,
    /// Below this everything is kept, and nothing else may be seen: where nothing goes out before.
    pub seen_max: Option<u64>,
    pub stopping: bool,
}

impl Client {
    pub fn new(kind: Kind) -> Self {
        Self { kind, cursors: BTreeMap::new(), wants: BTreeSet::new(), session: None }
    }

    /// Forgets its session, but not where it was.
    pub fn leave(&mut self) {
        let Some(session) = self.session.take() else { return };
        for (key, subscription) in &session.subscriptions {
            if subscription.known {
                self.cursors.insert(*key, subscription.done);
            }
        }
        session.link.reset();
    }

    /// Reads at its pace, and believes nothing. Returns whether anything came.
    pub fn read(&mut self, most: usize, history: &mut History, present: &Present) -> bool {
        let Some(session) = &mut self.session else { return false };
        let bytes = session.link.take(most);
        let some = !bytes.is_empty();
        session.bytes.extend_from_slice(&bytes);
        session.hear(history, present, &mut self.cursors);
        some
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_client_frame(&mut frame, opcode, payload, [7, 1, 200, 42]);
    frame
}

impl Session {
    /// A session that has just entered. `since` is what it asked for, and `taken_in` how far its shard was.
    pub fn new(kind: Kind, link: FakeClient, policy: SlowPolicy, since: Option<u64>, taken_in: u64) -> Self {
        let mut subscriptions = BTreeMap::new();
        if kind.home() != 0 {
            let done = since.unwrap_or(taken_in);
            subscriptions
                .insert(None, Subscription { mask: kind.home(), done, known: since.is_some(), awaited: false });
        }
        Self {
            link,
            policy,
            kind,
            subscriptions,
            commands: VecDeque::new(),
            default_since: since,
            came_early: BTreeSet::new(),
            last_gap: None,
            gone_events: Vec::new(),
            skips: Vec::new(),
            skipped: BTreeMap::new(),
            bytes: Vec::new(),
            pace: usize::MAX,
            greeted: matches!(kind, Kind::Watchlist { .. }),
            gone: false,
            dismissed: false,
            closed: None,
        }
    }

    fn say(&self, text: &str) {
        self.link.send(&frame(Opcode::Text, text.as_bytes()));
    }

    /// Says who it is, in the channels protocol, and which topics it wants from that number on.
    pub fn authenticate(&mut self, account: u64, since: Option<u64>, topics: &[u8]) {
        let names: Vec<&str> = topics.iter().map(|topic| TOPICS[*topic as usize]).collect();
        let mut message =
            serde_json::json!({ "type": "auth", "apiKey": cast::api_key(account).expose(), "topics": names });
        if let Some(since) = since {
            message["since"] = since.into();
            self.default_since = Some(since);
        }
        self.say(&message.to_string());
        self.commands.push_back(Command::Auth);
        self.commands.extend(topics.iter().map(|topic| Command::Subscribe {
            topic: *topic,
            since,
            applied: false,
            came: Vec::new(),
        }));
    }

    pub fn subscribe(&mut self, topic: u8, since: Option<u64>) {
        let mut message = self.about("subscribe", topic);
        if let Some(since) = since {
            message["since"] = since.into();
        }
        self.say(&message.to_string());
        self.commands.push_back(Command::Subscribe { topic, since, applied: false, came: Vec::new() });
    }

    pub fn unsubscribe(&mut self, topic: u8) {
        self.say(&self.about("unsubscribe", topic).to_string());
        self.commands.push_back(Command::Unsubscribe(topic));
    }

    fn about(&self, kind: &str, topic: u8) -> Value {
        let topic = TOPICS[topic as usize];
        match (self.kind, topic.split_once(':')) {
            (Kind::Channels { .. }, Some((_, mint))) => {
                serde_json::json!({ "type": kind, "channel": "price", "mint": mint })
            }
            _ => serde_json::json!({ "type": kind, "channel": topic }),
        }
    }

    /// The protocol's own sign of life.
    pub fn ping(&mut self) {
        match self.kind {
            Kind::Watchlist { .. } => return self.link.send(&frame(Opcode::Ping, b"are you there")),
            Kind::Tiered { .. } => self.say("ping"),
            Kind::Channels { .. } | Kind::Rooms { .. } => self.say(r#"{"type":"ping"}"#),
        }
        self.commands.push_back(Command::Ping);
    }

    /// Whether a command about a topic was not answered yet.
    pub fn is_awaited(&self, topic: u8) -> bool {
        self.commands.iter().any(|command| match command {
            Command::Subscribe { topic: of, .. } | Command::Unsubscribe(of) => *of == topic,
            Command::Auth | Command::Ping => false,
        })
    }

    /// The number up to which a topic is done, or where it was asked to begin.
    pub fn done(&self, topic: u8) -> Option<u64> {
        self.subscriptions.get(&Some(topic)).map(|subscription| subscription.done)
    }

    /// Acts on the whole frames that have come.
    fn hear(&mut self, history: &mut History, present: &Present, cursors: &mut BTreeMap<Key, u64>) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some(len) = frame_len_at(rest).filter(|len| *len <= rest.len()) {
            let (frame, behind) = rest.split_at(len);
            assert_eq!(self.closed, None, "something comes behind the close");
            self.hear_frame(frame, history, present, cursors);
            rest = behind;
        }
        self.bytes = rest.to_vec();
    }

    fn hear_frame(&mut self, whole: &[u8], history: &mut History, present: &Present, cursors: &mut BTreeMap<Key, u64>) {
        let payload = crate::protocol::payload(whole);
        match whole[0] {
            0x81 => self.hear_text(whole, payload, history, present, cursors),
            0x88 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code)).expect("a code");
                let allowed = match code {
                    1012 => present.stopping,
                    // Or it did not take what stands before its close, while events went on.
                    4409 => self.policy == SlowPolicy::Disconnect || present.stopping,
                    4408 => true,
                    4401 => !self.greeted,
                    _ => false,
                };
                assert!(allowed, "closed with {code} {:?}", String::from_utf8_lossy(&payload[2..]));
                self.closed = Some(code);
            }
            0x89 => self.link.send(&frame(Opcode::Pong, payload)),
            0x8a => {}
            other => panic!("a frame that nobody sends: {other:#x}"),
        }
    }

    fn hear_text(
        &mut self,
        whole: &[u8],
        payload: &[u8],
        history: &mut History,
        present: &Present,
        cursors: &mut BTreeMap<Key, u64>,
    ) {
        let text = std::str::from_utf8(payload).expect("text");
        let kind = text.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split('"').next());
        let kind = kind.unwrap_or_else(|| panic!("no message: {text}"));
        if matches!(kind, "trade" | "alert" | "note") {
            let (_, seq) = text.split_once(r#""seq":"#).unwrap_or_else(|| panic!("no number: {text}"));
            let digits = seq.bytes().take_while(u8::is_ascii_digit).count();
            return self.hear_event(seq[..digits].parse().expect("a number"), whole, history, present);
        }
        note(|| format!("    {text}"));
        let message: Value = serde_json::from_str(text).expect("JSON");
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("{name} of {message}"));
        let named = || {
            let name = match message["mint"].as_str() {
                Some(mint) => format!("price:{mint}"),
                None => message["channel"].as_str().expect("a channel").to_owned(),
            };
            TOPICS.iter().position(|topic| *topic == name).expect("a topic") as u8
        };
        match kind {
            "gap" => {
                let reason = [GapReason::Retention, GapReason::Crash, GapReason::Latest]
                    .into_iter()
                    .find(|reason| message["reason"] == reason.as_str());
                let gap = Gap { from: number("from"), to: number("to"), reason: reason.expect("a reason") };
                self.hear_gap(&gap, history, present);
            }
            "connected" | "connection" => {
                assert!(message["status"] != "error", "{message}");
                assert!(!self.greeted, "greeted twice");
                self.greeted = true;
                self.claim(number("seq"), history, present);
            }
            "pong" => {
                self.answered(&Command::Ping, text);
                self.claim(number("seq"), history, present);
            }
            "authenticated" => {
                self.answered(&Command::Auth, text);
                self.greeted = true;
                self.claim(number("seq"), history, present);
            }
            "subscribed" => self.subscribed(named(), number("seq"), history, present),
            "unsubscribed" => self.unsubscribed(named(), number("seq"), history, present, cursors),
            "room_subscription" => match message["status"].as_str() {
                Some("subscribed") => self.subscribed(named(), number("seq"), history, present),
                Some("unsubscribed") => self.unsubscribed(named(), number("seq"), history, present, cursors),
                other => panic!("{other:?}"),
            },
            "reconnect" => {
                assert!(present.stopping && !std::mem::replace(&mut self.dismissed, true), "{text}");
                let since = number("since");
                assert!(since < present.head, "{text}");
                if self.greeted {
                    self.claim(since, history, present);
                }
            }
            // It did not come in time to say who it is; the close follows.
            "error" => assert!(!self.greeted && message["code"] == "AUTHENTICATION_FAILED", "{text}"),
            _ => panic!("nobody asked for {text}"),
        }
    }

    fn answered(&mut self, expected: &Command, text: &str) {
        let command = self.commands.pop_front();
        assert_eq!(command.as_ref(), Some(expected), "answered by {text}");
    }

    fn hear_event(&mut self, seq: u64, whole: &[u8], history: &mut History, present: &Present) {
        let entry = history.get(seq).unwrap_or_else(|| panic!("event {seq} is nobody's"));
        note(|| format!("    event {seq} on {}, {:?}", TOPICS[entry.topic as usize], entry.event().key));
        assert!(entry.frame() == whole, "event {seq} is not what was published under that number");
        assert!(present.seen_max.is_none_or(|max| seq < max), "event {seq} is seen before it is kept");
        let topic = entry.topic;
        let newer = entry.event().key.clone();
        self.begin_early(topic, seq);
        for command in &mut self.commands {
            if let Command::Subscribe { topic: of, came, .. } = command
                && *of == topic
            {
                came.push(seq);
            }
        }
        let own = self.subscriptions.values().find(|own| own.mask & 1 << topic != 0);
        let own = own.unwrap_or_else(|| panic!("event {seq} on {} was not asked for", TOPICS[topic as usize]));
        assert!(own.done < seq, "event {seq} comes again or too late: everything up to {} is done", own.done);
        self.pass(seq - 1, history, true);
        self.raise(seq, true);
        if let Some(key) = newer {
            self.skipped.remove(&(topic, key));
        }
        history.events_seen += 1;
        if present.seen_max.is_some() {
            history.get_mut(seq).expect("just found").promised = true;
        }
    }

    /// An event may come before the answer to the command that asks for it again, or for it at all from an earlier number on.
    fn begin_early(&mut self, topic: u8, seq: u64) {
        let key = Some(topic);
        let done = self.subscriptions.get(&key).map(|own| own.done);
        if done.is_some_and(|done| done < seq) || !self.kind.named().contains(&topic) {
            return;
        }
        let default = self.default_since;
        let awaited = self.commands.iter_mut().find_map(|command| match command {
            Command::Subscribe { topic: of, since, applied, .. } if *of == topic && !*applied => {
                let since = since.or(if done.is_none() { default } else { None })?;
                (since < seq).then_some((since, applied))
            }
            _ => None,
        });
        if let Some((since, applied)) = awaited {
            *applied = true;
            let own = Subscription { mask: 1 << topic, done: since, known: true, awaited: true };
            self.subscriptions.insert(key, own);
        }
    }

    fn hear_gap(&mut self, gap: &Gap, history: &History, present: &Present) {
        history.check_gap(gap);
        let again = self.last_gap.replace((gap.from, gap.to)) == self.last_gap;
        // A subscription that goes back is told it, too, and its answer may come behind that.
        let goes_back = self.commands.iter().any(|command| matches!(command, Command::Subscribe { .. }));
        assert!(!again || goes_back, "{gap:?} is told twice");
        assert!(gap.to < present.head, "{gap:?} is told, and the next number is {}", present.head);
        self.pass(gap.from - 1, history, true);
        if gap.reason == GapReason::Latest {
            assert_eq!(self.policy, SlowPolicy::Latest, "{gap:?}");
            self.raise(gap.from - 1, true);
            self.skips.push((gap.from, gap.to));
            return;
        }
        self.raise(gap.to, true);
        self.gone_events.push((gap.from, gap.to));
        // What newer ones there were may be gone with it.
        self.skipped.retain(|(topic, key), _| history.newest_of_key(*topic, key).is_some_and(|newest| newest > gap.to));
    }

    fn subscribed(&mut self, topic: u8, seq: u64, history: &History, present: &Present) {
        self.last_gap = None;
        let Some(Command::Subscribe { topic: of, since, applied, came }) = self.commands.pop_front() else {
            panic!("{} is subscribed to, and that was not asked for", TOPICS[topic as usize]);
        };
        assert_eq!(of, topic);
        if let Some(own) = self.subscriptions.get_mut(&Some(topic)) {
            own.awaited = false;
        }
        self.claim(seq, history, present);
        if applied {
            return;
        }
        let is_new = !self.subscriptions.contains_key(&Some(topic));
        let begins = since.or(if is_new { self.default_since } else { None });
        if let Some(done) = begins.or(is_new.then_some(seq)) {
            self.came_early.extend(came);
            self.subscriptions
                .insert(Some(topic), Subscription { mask: 1 << topic, done, known: true, awaited: false });
        }
    }

    fn unsubscribed(
        &mut self,
        topic: u8,
        seq: u64,
        history: &History,
        present: &Present,
        cursors: &mut BTreeMap<Key, u64>,
    ) {
        assert_eq!(self.commands.pop_front(), Some(Command::Unsubscribe(topic)));
        self.claim(seq, history, present);
        if let Some(own) = self.subscriptions.remove(&Some(topic)) {
            cursors.insert(Some(topic), own.done);
            self.default_since = None;
        }
        self.skipped.retain(|(of, _), _| *of != topic);
    }

    /// It is told that everything up to a number was handed over.
    fn claim(&mut self, seq: u64, history: &History, present: &Present) {
        assert!(seq < present.head, "{seq} is told, and the next number is {}", present.head);
        self.pass(seq, history, false);
        self.raise(seq, false);
    }

    /// Whatever matches up to a number and did not come is excused. `awaited`: also of subscriptions whose answer is still to come.
    fn pass(&mut self, to: u64, history: &History, awaited: bool) {
        for own in self.subscriptions.values().filter(|own| awaited || !own.awaited) {
            for seq in history.matching(own.mask, own.done, to) {
                let is_gone = self.gone_events.iter().any(|(from, to)| (*from..=*to).contains(&seq));
                if is_gone || self.came_early.contains(&seq) {
                    continue;
                }
                let entry = history.get(seq).expect("it matches");
                let key = entry.event().key.as_deref();
                let newest = key.and_then(|key| history.newest_of_key(entry.topic, key));
                let told = self.skips.iter().any(|(from, to)| (*from..=*to).contains(&seq));
                let excused = self.policy == SlowPolicy::Latest && told && newest.is_some_and(|newest| newest > seq);
                assert!(
                    excused,
                    "event {seq} on {} is silently missing, told: {told}, newest: {newest:?}, {:?}, done up to {}",
                    TOPICS[entry.topic as usize], self.policy, own.done
                );
                let is_like_it = |newer: &u64| {
                    let newer = history.get(*newer).expect("it came");
                    newer.topic == entry.topic && newer.event().key == entry.event().key
                };
                if self.came_early.range(seq + 1..).any(is_like_it) {
                    continue;
                }
                self.skipped.insert((entry.topic, key.expect("it is excused").into()), seq);
            }
        }
    }

    fn raise(&mut self, done: u64, awaited: bool) {
        for own in self.subscriptions.values_mut().filter(|own| awaited || !own.awaited) {
            if own.done <= done {
                own.done = done;
                own.known = true;
            }
        }
    }

    /// In the end it has everything.
    pub fn check_whole(&mut self, history: &History, present: &Present) {
        self.claim(present.head - 1, history, present);
        assert!(self.bytes.is_empty(), "half a frame");
        assert!(self.commands.is_empty(), "not answered: {:?}", self.commands);
        assert!(self.greeted, "not greeted");
        let newer = self.skipped.first_key_value();
        assert!(newer.is_none(), "passed over, and nothing newer came: {newer:?}");
    }
}
