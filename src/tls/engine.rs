//! The server's end of one TLS connection, as a machine without I/O over rustls' unbuffered connections: ciphertext in, plaintext
//! out and what is to be sent; plaintext in, records out.
//!
//! Those buffer nothing, which is why they were chosen: an idle socket has its keys and no buffer. What has come of a record whose
//! rest has not is the one thing that has to be kept, and is bounded. No input makes this panic, or allocate in proportion to a
//! number that the peer wrote.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, ServerConfig};

use crate::limits::{TLS_RECORD_BYTES_MAX, TLS_RECORD_MORE_BYTES_MAX, TLS_UNFINISHED_BYTES_MAX};

/// Why a connection can't go on. But for the last two, it was the peer.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the peer ended the connection with the alert {0:?}")]
    PeerGaveUp(AlertDescription),
    #[error("the peer and this server have no TLS in common ({0})")]
    Incompatible(rustls::Error),
    #[error("the peer broke the rules of TLS ({0})")]
    PeerMisbehaved(rustls::Error),
    #[error("the peer sent a message of more than {TLS_UNFINISHED_BYTES_MAX} bytes")]
    TooLong,
    #[error("the connection's keys have encrypted as much as they may")]
    Exhausted,
    #[error("the connection can't carry data: its handshake is not done, or it has failed")]
    NotOpen,
}

/// What can still come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incoming {
    /// The handshake's messages, then data.
    Open,
    /// Nothing: its close_notify has come.
    Finished,
    /// Nothing that counts: the connection has failed.
    Failed,
}

pub struct Engine {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake message, whose rest has not come. Else empty, and without a buffer.
    unfinished: Vec<u8>,
    incoming: Incoming,
    /// Our close_notify was made.
    finished: bool,
}

impl Engine {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        let connection = UnbufferedServerConnection::new(config).expect("only a wrong size of fragments is refused");
        Self { connection, unfinished: Vec::new(), incoming: Incoming::Open, finished: false }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the peer says no more: it has sent its close_notify, or the connection has failed.
    pub fn has_ended(&self) -> bool {
        self.incoming != Incoming::Open
    }

    /// Takes what came, in place, and appends what it says to `plaintext` and what has to be answered to `outgoing`. Both are also
    /// to be heeded where it ends in an error: data from before it, and an alert. What comes after the end, or after our own
    /// close_notify, is passed over: to a broken record rustls would have to answer with an alert, which must not follow that.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.has_ended() || self.finished {
            return Ok(());
        }
        if self.unfinished.is_empty() {
            let used = self.process(ciphertext, plaintext, outgoing)?;
            self.keep(&ciphertext[used..])
        } else {
            let mut bytes = std::mem::take(&mut self.unfinished);
            bytes.extend_from_slice(ciphertext);
            let used = self.process(&mut bytes, plaintext, outgoing)?;
            self.keep(&bytes[used..])
        }
    }

    /// Appends records that hold all of `plaintext` to `outgoing`. Where the keys are used up in the middle of it, what they still
    /// encrypted stands there, and a close_notify behind it: AES-GCM has 2^24 records, after which TLS 1.3 changes keys by itself and
    /// TLS 1.2 can't.
    pub fn send(&mut self, plaintext: &[u8], outgoing: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.finished || self.incoming == Incoming::Failed {
            return Err(TlsError::NotOpen);
        }
        plaintext.chunks(TLS_RECORD_BYTES_MAX).try_for_each(|record| self.write(Some(record), outgoing))
    }

    /// Appends a close_notify, behind which nothing can be sent. Once, and not where the connection has never been or has failed.
    pub fn finish(&mut self, outgoing: &mut Vec<u8>) {
        if self.finished || self.incoming == Incoming::Failed || self.is_handshaking() {
            return;
        }
        self.finished = true;
        // One whose keys are used up has been given its own.
        let _ = self.write(None, outgoing);
    }

    /// Goes through what has come as far as it is whole. Returns how much of it is done with.
    fn process(
        &mut self,
        bytes: &mut [u8],
        plaintext: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut bytes[used..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plaintext.extend_from_slice(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(outgoing, |room| data.encode(room)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.incoming = Incoming::Finished;
                    // Whatever follows is not of this connection (RFC 8446 §6.1).
                    return Ok(bytes.len());
                }
                // It waits for more, as a client that is done with its handshake does.
                Ok(_) => return Ok(used + discard),
                Err(error) => {
                    self.fail(outgoing);
                    return Err(blame(error));
                }
            }
            used += discard;
        }
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), TlsError> {
        if rest.len() > TLS_UNFINISHED_BYTES_MAX {
            self.incoming = Incoming::Failed;
            return Err(TlsError::TooLong);
        }
        self.unfinished = rest.to_vec();
        Ok(())
    }

    /// Makes the record of some plaintext, or of a close_notify where there is none.
    fn write(&mut self, plaintext: Option<&[u8]>, outgoing: &mut Vec<u8>) -> Result<(), TlsError> {
        loop {
            // What has come is looked at again and is still not whole, so none of it is done with.
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut self.unfinished);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let begin = outgoing.len();
                    let mut room = plaintext.map_or(0, <[u8]>::len) + TLS_RECORD_MORE_BYTES_MAX;
                    loop {
                        outgoing.resize(begin + room, 0);
                        let written = match plaintext {
                            Some(plaintext) => traffic.encrypt(plaintext, &mut outgoing[begin..]),
                            None => traffic.queue_close_notify(&mut outgoing[begin..]),
                        };
                        match written {
                            Ok(written) => {
                                outgoing.truncate(begin + written);
                                return Ok(());
                            }
                            // An answer to the peer's new keys goes first, and its length is not ours to know.
                            Err(EncryptError::InsufficientSize(short)) => room = short.required_size,
                            Err(EncryptError::EncryptExhausted) => {
                                outgoing.truncate(begin);
                                self.finished = true;
                                self.say_the_rest(outgoing);
                                return Err(TlsError::Exhausted);
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(outgoing, |room| data.encode(room)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(_) | Err(_) => return Err(TlsError::NotOpen),
            }
        }
    }

    /// Nothing more is taken from this peer; what there is to be said about that is said.
    fn fail(&mut self, outgoing: &mut Vec<u8>) {
        self.incoming = Incoming::Failed;
        self.say_the_rest(outgoing);
    }

    /// Appends the alert that the connection has made to end with. It is asked only as long as it has something: it would look at bytes
    /// again that it has refused.
    fn say_the_rest(&mut self, outgoing: &mut Vec<u8>) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => append(outgoing, |room| data.encode(room)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                _ => return,
            }
        }
    }
}

/// Appends a message of the handshake or an alert. The longest is a flight with a chain of certificates.
fn append(outgoing: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let begin = outgoing.len();
    let required = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(short)) => short.required_size,
        // There was nothing in it.
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return,
    };
    outgoing.resize(begin + required, 0);
    let written = encode(&mut outgoing[begin..]).unwrap_or(0);
    outgoing.truncate(begin + written);
}

fn blame(error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::AlertReceived(alert) => TlsError::PeerGaveUp(alert),
        error @ (rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => {
            TlsError::Incompatible(error)
        }
        error => TlsError::PeerMisbehaved(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};

    use super::super::fixture::{Identity, Peer, connected, enduring, said, server, shake_hands, take_in, to_send};
    use super::*;

    /// What the engine makes of it: plaintext and answers.
    fn received(engine: &mut Engine, mut bytes: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let (mut plaintext, mut outgoing) = (Vec::new(), Vec::new());
        engine.receive(&mut bytes, &mut plaintext, &mut outgoing).expect("it is sound");
        (plaintext, outgoing)
    }

    fn sent(engine: &mut Engine, plaintext: &[u8]) -> Vec<u8> {
        let mut outgoing = Vec::new();
        engine.send(plaintext, &mut outgoing).expect("it is open");
        outgoing
    }

    fn talk(client: &mut ClientConnection, engine: &mut Engine) {
        let bytes = said(client, b"hello");
        assert_eq!(received(engine, bytes), (b"hello".to_vec(), Vec::new()));
        assert_eq!(take_in(client, &sent(engine, b"good day")), b"good day");
    }

    #[test]
    fn both_versions_are_spoken_and_sessions_resumed_by_their_tickets() {
        let identity = Identity::new();
        let tls = server(&identity);
        for (version, spoken) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
            let peer = Peer::speaking(&[version], &[&identity]);
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (mut client, mut engine) = (peer.client(), tls.engine());
                shake_hands(&mut client, &mut engine).expect("a handshake");
                assert_eq!((client.protocol_version(), client.handshake_kind()), (Some(spoken), Some(kind)));
                assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
                talk(&mut client, &mut engine);
            }
        }
    }

    #[test]
    fn a_client_that_speaks_nothing_of_ours_is_told_so() {
        let identity = Identity::new();
        let peer = Peer::trusting(&[&identity]).offering("h2");
        let (mut client, mut engine) = (peer.client(), server(&identity).engine());
        let (mut plaintext, mut outgoing) = (Vec::new(), Vec::new());
        let error =
            engine.receive(&mut to_send(&mut client), &mut plaintext, &mut outgoing).expect_err("h2 is not spoken");
        assert!(matches!(error, TlsError::Incompatible(_)), "{error}");
        client.read_tls(&mut &outgoing[..]).expect("an alert");
        let told = client.process_new_packets().expect_err("an alert").to_string();
        assert!(told.contains("NoApplicationProtocol"), "{told}");
        assert!(engine.has_ended());
        assert!(matches!(engine.send(b"x", &mut outgoing), Err(TlsError::NotOpen)));
    }

    #[test]
    fn every_cut_of_the_stream_says_the_same() {
        let identity = Identity::new();
        let tls = server(&identity);
        for version in [&TLS13, &TLS12] {
            for step in [1, 2, 7, 100] {
                let (mut client, mut engine) = (Peer::speaking(&[version], &[&identity]).client(), tls.engine());
                let (mut plaintext, mut outgoing) = (Vec::new(), Vec::new());
                let mut told_all = false;
                while !told_all {
                    let mut bytes = to_send(&mut client);
                    if !client.is_handshaking() {
                        bytes.extend(said(&mut client, &[b'a'; 20_000]));
                        told_all = true;
                    }
                    for piece in bytes.chunks_mut(step) {
                        engine.receive(piece, &mut plaintext, &mut outgoing).expect("it is sound");
                    }
                    take_in(&mut client, &std::mem::take(&mut outgoing));
                }
                assert_eq!(plaintext, [b'a'; 20_000], "pieces of {step}");
                assert_eq!(engine.unfinished.capacity(), 0, "nothing is held between two records");
            }
        }
    }

    #[test]
    fn several_records_that_come_at_once_are_all_said_and_a_part_of_the_next_one_is_kept() {
        let (mut client, mut engine) = connected();
        let mut bytes = [said(&mut client, b"one "), said(&mut client, b"two "), said(&mut client, b"three")].concat();
        let last = bytes.split_off(bytes.len() - 3);
        assert_eq!(received(&mut engine, bytes).0, b"one two ");
        assert!(!engine.unfinished.is_empty());
        // What is sent meanwhile does not disturb it.
        assert_eq!(take_in(&mut client, &sent(&mut engine, b"go on")), b"go on");
        assert_eq!(received(&mut engine, last).0, b"three");
    }

    #[test]
    fn long_plaintext_is_cut_into_records_of_a_lawful_length() {
        let (mut client, mut engine) = connected();
        let plaintext: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let outgoing = sent(&mut engine, &plaintext);
        let (mut rest, mut records) = (&outgoing[..], 0);
        while let [23, _, _, high, low, behind @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            assert!(length <= TLS_RECORD_BYTES_MAX + TLS_RECORD_MORE_BYTES_MAX - 5);
            rest = &behind[length..];
            records += 1;
        }
        assert_eq!((rest.len(), records), (0, 7));
        assert_eq!(take_in(&mut client, &outgoing), plaintext);
    }

    #[test]
    fn keys_that_are_used_up_end_the_connection_with_a_close_notify_behind_all_that_was_encrypted() {
        let (mut client, mut engine) = enduring(10);
        let (mut outgoing, mut whole) = (Vec::new(), 0);
        let error = loop {
            match engine.send(b"event", &mut outgoing) {
                Ok(()) => whole += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TlsError::Exhausted) && whole > 5, "{error} after {whole} records");
        assert_eq!(take_in(&mut client, &outgoing), b"event".repeat(whole));
        assert!(client.process_new_packets().expect("nothing is wrong").peer_has_closed());
        let behind = outgoing.len();
        engine.finish(&mut outgoing);
        assert_eq!(outgoing.len(), behind, "it was said");
    }

    #[test]
    fn a_byte_that_was_changed_ends_the_connection_with_an_alert_behind_what_was_sound() {
        let (mut client, mut engine) = connected();
        let sound = said(&mut client, b"sound");
        let mut wrong = said(&mut client, b"wrong");
        *wrong.last_mut().expect("a tag") ^= 1;
        let (mut plaintext, mut outgoing) = (Vec::new(), Vec::new());
        let outcome = engine.receive(&mut [sound, wrong].concat(), &mut plaintext, &mut outgoing);
        assert!(matches!(outcome, Err(TlsError::PeerMisbehaved(_))), "{outcome:?}");
        assert_eq!(plaintext, b"sound");
        client.read_tls(&mut &outgoing[..]).expect("an alert");
        let told = client.process_new_packets().expect_err("an alert").to_string();
        assert!(told.contains("BadRecordMac"), "{told}");
        // Nothing that comes later has any effect.
        outgoing.clear();
        assert!(engine.receive(&mut said_anyway(), &mut plaintext, &mut outgoing).is_ok());
        engine.finish(&mut outgoing);
        assert_eq!((&plaintext[..], outgoing.len()), (&b"sound"[..], 0));
    }

    fn said_anyway() -> Vec<u8> {
        vec![23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[test]
    fn a_message_that_never_ends_is_not_kept() {
        let identity = Identity::new();
        let mut engine = server(&identity).engine();
        // A hello of 60,000 bytes, in records that are each fine.
        let mut bytes = vec![22, 3, 1, 0x3f, 0xff, 1, 0, 0xea, 0x60];
        bytes.resize(5 + 0x3fff, 0);
        let mut outgoing = Vec::new();
        engine.receive(&mut bytes.clone(), &mut Vec::new(), &mut outgoing).expect("it may still end");
        let outcome = engine.receive(&mut bytes, &mut Vec::new(), &mut outgoing);
        assert!(matches!(outcome, Err(TlsError::TooLong)), "{outcome:?}");
        assert_eq!(engine.unfinished.capacity(), 0);
    }

    #[test]
    fn either_end_can_finish_first_and_the_server_hears_its_peer_out_until_then() {
        let (mut client, mut engine) = connected();
        client.send_close_notify();
        let bytes = [to_send(&mut client), b"of another protocol".to_vec()].concat();
        assert_eq!(received(&mut engine, bytes), (Vec::new(), Vec::new()));
        assert!(engine.has_ended());
        assert_eq!(take_in(&mut client, &sent(&mut engine, b"last words")), b"last words");
        let mut outgoing = Vec::new();
        engine.finish(&mut outgoing);
        client.read_tls(&mut &outgoing[..]).expect("a record");
        assert!(client.process_new_packets().expect("sound").peer_has_closed());
        engine.finish(&mut outgoing);
        assert!(engine.send(b"x", &mut outgoing).is_err(), "nothing follows a close_notify");

        let (mut client, mut engine) = connected();
        let mut outgoing = Vec::new();
        engine.finish(&mut outgoing);
        take_in(&mut client, &outgoing);
        let bytes = said(&mut client, b"still here");
        assert_eq!(received(&mut engine, bytes), (Vec::new(), Vec::new()));
        assert_eq!(
            received(&mut engine, said_anyway()),
            (Vec::new(), Vec::new()),
            "and no alert behind a close_notify"
        );
    }

    #[test]
    fn new_keys_of_the_peer_are_followed_and_answered_before_what_is_sent_next() {
        let (mut client, mut engine) = connected();
        for _ in 0..3 {
            client.refresh_traffic_keys().expect("TLS 1.3");
            let bytes = said(&mut client, b"in new keys");
            assert_eq!(received(&mut engine, bytes).0, b"in new keys");
            // The client fails to read it where the answer is missing or comes later.
            assert_eq!(take_in(&mut client, &sent(&mut engine, b"in new keys, too")), b"in new keys, too");
        }
    }

    #[test]
    fn a_handshake_that_is_not_done_carries_nothing() {
        let mut engine = server(&Identity::new()).engine();
        let mut outgoing = Vec::new();
        assert!(matches!(engine.send(b"early", &mut outgoing), Err(TlsError::NotOpen)));
        engine.finish(&mut outgoing);
        assert!(outgoing.is_empty() && engine.is_handshaking());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_bytes_make_it_panic(
            first in prop::collection::vec(any::<u8>(), 0..300),
            second in prop::collection::vec(any::<u8>(), 0..300),
            begins_like_tls in any::<bool>(),
        ) {
            let identity = IDENTITY.get_or_init(Identity::new);
            for mut engine in [server(identity).engine(), connected().1] {
                let (mut plaintext, mut outgoing) = (Vec::new(), Vec::new());
                let head: &[u8] = if begins_like_tls { &[22, 3, 1, 0, 200, 1, 0, 0, 196] } else { &[] };
                for bytes in [[head, &first].concat(), second.clone()] {
                    let _ = engine.receive(&mut bytes.clone(), &mut plaintext, &mut outgoing);
                    let _ = engine.send(b"x", &mut outgoing);
                }
                engine.finish(&mut outgoing);
                prop_assert!(plaintext.is_empty() && engine.unfinished.len() <= TLS_UNFINISHED_BYTES_MAX);
            }
        }
    }

    static IDENTITY: std::sync::OnceLock<Identity> = std::sync::OnceLock::new();
}
