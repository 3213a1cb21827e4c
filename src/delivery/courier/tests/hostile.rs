//! Answers that nobody would write on purpose, except on purpose.

use std::io::{BufReader, Write};
use std::sync::Mutex;

use super::endpoint::{Endpoint, Received};
use super::*;

const SOUND: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n",
    "HTTP/1.0 301 Moved\r\nLocation: http://[::1]:80/\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 503 X\r\nRetry-After: 5\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
];

/// A release build ends where anything panics, so an endpoint that could make it panic could end the server.
#[test]
fn no_answer_ends_more_than_its_attempt() {
    const ROUNDS: usize = 1_500;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let endpoint = Endpoint::serving(move |_, stream| {
        let mut stream = BufReader::new(stream);
        while Received::read(&mut stream).is_some() {
            let answer = spoiled(&mut random.lock().expect("no holder panics"));
            let cut = answer.len() / 2;
            let sent =
                stream.get_mut().write_all(&answer[..cut]).and_then(|()| stream.get_mut().write_all(&answer[cut..]));
            // What is only the start of an answer would be waited for.
            if sent.is_err() || stream.get_ref().shutdown(std::net::Shutdown::Write).is_err() {
                return;
            }
        }
    });
    let courier = courier(&options());
    let mut answered = 0;
    for _ in 0..ROUNDS {
        answered += usize::from(matches!(attempt(&courier, &endpoint).outcome, Outcome::Answered { .. }));
    }
    // Neither was everything refused at its first byte, nor did nothing get spoiled.
    assert!((ROUNDS / 10..ROUNDS).contains(&answered), "{answered}");
}

fn spoiled(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut answer = SOUND[random.usize(..SOUND.len())].as_bytes().to_vec();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..answer.len());
        match random.u8(..5) {
            0 => answer[at] = random.u8(..),
            1 => answer.truncate(at.max(1)),
            2 => answer.insert(at, b"\r\n:;, 09-\0\xff"[random.usize(..10)]),
            3 => drop(answer.remove(at)),
            _ => {
                let other = SOUND[random.usize(..SOUND.len())].as_bytes();
                answer.splice(at..at, other[random.usize(..other.len())..].iter().copied());
            }
        }
        if answer.is_empty() {
            answer.push(b'H');
        }
    }
    answer
}
