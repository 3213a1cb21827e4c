//! One connection at the desk, from its first byte to its end or its hand-over into the ring.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use glommio::net::TcpStream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::error::RestError;
use super::phase::Phase;
use super::places::Place;
use super::secure_stream::{Broken, SecureStream};
use super::source::{Source, source};
use super::stream::{Stream, StreamParts};
use super::streamed::{Pieces, Streamed};
use super::upgrade::Upgrade;
use super::{Desk, refusals, router};
use crate::gate::{Client, Gate};
use crate::shard::{Arrival, Link, ShardMail};
use crate::tls::Tls;
use crate::{clock, limits, ring};

/// Headers by which proxies name a client, and that are not read: only `X-Forwarded-For` is.
const NAMES_UNREAD: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

/// What a handler may know of the connection, and what it may leave for it.
pub struct ConnectionContext {
    source: Source,
    gate: Arc<Gate>,
    /// Set by a handler that answers 101, or that leaves the answer to the session.
    pub upgrade: RefCell<Option<Upgrade>>,
    /// Set by a handler whose answer's body is still to be made.
    pub streamed: RefCell<Option<Pieces>>,
    /// Whether, when the request under way came, the kernel did not have all of the answer to the one before.
    owes_an_answer: Cell<bool>,
}

impl ConnectionContext {
    /// The address that a request with these headers counts for: its client's, as far as that is known.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.counts_as(headers).address
    }

    /// The client's own address. None: somebody passes the request on, and nobody who is believed says for whom in a way that
    /// is read here. Of a proxy that says it in another way, the list that is read may be the client's own invention.
    pub fn named_client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let is_named_unread = NAMES_UNREAD.iter().any(|name| headers.contains_key(*name));
        let Client { address, is_named } = self.counts_as(headers);
        (is_named && self.source.is_named && !is_named_unread).then_some(address)
    }

    fn counts_as(&self, headers: &HeaderMap) -> Client {
        let forwarded_for = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        Client::of(self.source.address, forwarded_for, &self.gate.policy().trusted_proxies)
    }

    /// Whether hyper still holds bytes of an earlier answer: a socket that left it now would leave without them. It reads no
    /// request before the last answer has gone, unless that one was answered before its body had come.
    pub fn owes_an_answer(&self) -> bool {
        self.owes_an_answer.get()
    }

    /// Whether the request under way is answered by the session that its socket is for, and not by hyper.
    fn leaves_unanswered(&self) -> bool {
        self.upgrade.borrow().as_ref().is_some_and(Upgrade::answers_itself)
    }
}

type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Either<Full<Bytes>, Streamed>>, std::convert::Infallible>>>>;

pub async fn serve(desk: Rc<Desk>, mut stream: TcpStream, place: Place) {
    let Ok(peer) = stream.peer_addr() else { return };
    let source = match source(&desk, &mut stream, &place, peer.ip()).await {
        Ok(source) => source,
        Err(error) => return refusals::tell_connection(&desk, peer.ip(), (&error).into(), &error),
    };
    let phase = place.phase.clone();
    let stream = match &desk.tls {
        None => Stream::plain(stream, phase.clone()),
        Some(tls) => match secured(&desk, tls, stream, &place).await {
            Ok(stream) => stream,
            Err(error) => return refusals::tell_connection(&desk, source.address, (&error).into(), &error),
        },
    };
    let context = Rc::new(ConnectionContext {
        source,
        gate: desk.gate.clone(),
        upgrade: RefCell::default(),
        streamed: RefCell::default(),
        owes_an_answer: Cell::default(),
    });
    let service = service_fn({
        let (desk, context, phase) = (desk.clone(), context.clone(), phase.clone());
        move |request: Request<Incoming>| -> Answering {
            context.owes_an_answer.set(matches!(phase.get(), Phase::Answering(_)));
            phase.set(Phase::Serving);
            let (desk, context, phase) = (desk.clone(), context.clone(), phase.clone());
            Box::pin(async move {
                let reply = router::answer(&desk, &context, request).await;
                if context.leaves_unanswered() {
                    // hyper writes nothing as long as it waits, and it is not asked again.
                    return std::future::pending().await;
                }
                if let Some(pieces) = context.streamed.take() {
                    return Ok(reply.map(|_| Either::Right(Streamed::new(pieces, phase))));
                }
                phase.set(Phase::Answering(clock::now()));
                Ok(reply.map(Either::Left))
            })
        }
    });
    let mut connection = http1::Builder::new().max_buf_size(limits::HEADER_BYTES_MAX).serve_connection(stream, service);
    let serving = poll_fn(|task| match connection.poll_without_shutdown(task) {
        // Handlers run inside that call, so no other moment has to be watched for.
        Poll::Pending if context.leaves_unanswered() => Poll::Ready(Ok(())),
        polled => polled,
    });
    let outcome = futures_lite::future::or(async { Ended::Served(serving.await) }, async {
        expired(&place).await;
        Ended::Expired
    })
    .await;
    let parts = connection.into_parts();
    let mut stream = parts.io;
    match outcome {
        Ended::Served(Ok(())) => match context.upgrade.take() {
            // Records that were made have to leave before the socket does. But for an answer to an alert they have.
            Some(upgrade) if soon(stream.flush()).await.is_some() => {
                hand_over(&desk, stream.into_parts(), parts.read_buf.to_vec(), upgrade);
            }
            Some(_) => tracing::debug!(%peer, "a connection took nothing before its upgrade"),
            // A socket's end says it where there is no TLS.
            None if stream.is_secure() => drop(soon(stream.close()).await),
            None => {}
        },
        Ended::Served(Err(error)) => tracing::debug!(%peer, %error, "a connection at the desk broke"),
        Ended::Expired => say_goodbye(stream, phase.get()).await,
    }
}

/// Has a connection's TLS begin, in the time that a request's head has. Of the request, nothing has come then, and it has as long again.
async fn secured(desk: &Desk, tls: &Tls, tcp: TcpStream, place: &Place) -> Result<Stream, Broken> {
    let mut secure = SecureStream::new(tcp, tls.engine());
    let late = async {
        expired(place).await;
        Err(Broken::Late)
    };
    match futures_lite::future::or(secure.shake_hands(&place.phase, &desk.handshake), late).await {
        Ok(()) => {
            place.phase.set(Phase::Silent(clock::now()));
            if secure.has_plaintext() {
                place.phase.bytes_came();
            }
            Ok(Stream::secure(secure, place.phase.clone()))
        }
        Err(Broken::PlainHttp) => {
            let words = "this port speaks TLS: connect by https:// or wss://";
            farewell(
                Stream::plain(secure.into_tcp(), place.phase.clone()),
                RestError::InvalidRequest(words.to_owned()),
            )
            .await;
            Err(Broken::PlainHttp)
        }
        Err(Broken::Late) if secure.waits_for_turn() => Err(Broken::Overload),
        Err(error) => Err(error),
    }
}

enum Ended {
    Served(hyper::Result<()>),
    Expired,
}

/// Resolves when the connection has outlived the deadline of what it is doing, or when its place is needed.
pub async fn expired(place: &Place) {
    let overdue = async {
        loop {
            let now = clock::now();
            let look_again = now + limits::DESK_LOOK_MS * 1_000_000;
            let deadline = place.phase.get().deadline(place.is_in_a_crowd()).unwrap_or(look_again);
            if deadline <= now {
                return;
            }
            // What it does and how crowded the desk is change meanwhile, and either may bring the deadline nearer.
            glommio::timer::sleep(Duration::from_nanos(deadline.min(look_again) - now)).await;
        }
    };
    futures_lite::future::or(place.phase.dismissed(), overdue).await;
}

/// The 101 has left, or nothing at all: the socket goes into a ring, its process descriptor ends here.
fn hand_over(desk: &Desk, stream: StreamParts, mut leftover: Vec<u8>, upgrade: Upgrade) {
    leftover.extend(stream.leftover);
    let socket = match ring::take_descriptor(stream.tcp) {
        Ok(socket) => Link { socket, tls: stream.tls },
        Err(error) => {
            tracing::error!(%error, "an upgraded socket could not leave the desk");
            return;
        }
    };
    let Upgrade { shard, entry, seat, admission, terms } = upgrade;
    desk.shards[shard].mailbox.post(ShardMail::Arrival(Arrival { socket, admission, terms, leftover, entry, seat }));
}

/// Tells somebody who began a request and did not go on what happened; one who was merely idle knows.
async fn say_goodbye(stream: Stream, phase: Phase) {
    if matches!(phase, Phase::Head(_)) {
        farewell(stream, RestError::Timeout).await;
    }
}

/// Answers with an error outside of hyper, and ends the connection.
async fn farewell(mut stream: Stream, error: RestError) {
    let (parts, body) = error.reply().into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        parts.status,
        body.len()
    );
    soon(async {
        stream.say(&[head.as_bytes(), &body].concat()).await?;
        stream.close().await
    })
    .await;
}

/// What has to be done soon, or not at all.
async fn soon(doing: impl Future<Output = std::io::Result<()>>) -> Option<()> {
    let patience = async {
        glommio::timer::sleep(Duration::from_millis(limits::GOODBYE_MS)).await;
        None
    };
    futures_lite::future::or(async { doing.await.ok() }, patience).await
}
