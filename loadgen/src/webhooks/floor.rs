//! The floor: one request, posted over and over on kept connections, by threads on the CPU on which the server delivers. It
//! neither signs, nor chooses, nor remembers: nobody who sends a request and waits for its answer can be faster there.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::args::FloorPlan;
use super::sink::{ACCEPTED, FLOOR, HOOK};
use crate::cpu;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The floor could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BareLoopError {
    #[error("the bare POST loop broke off: {0}")]
    Broken(#[from] io::Error),
    #[error("the sink did not accept a request of the bare POST loop")]
    NotAccepted,
    #[error("can't keep the bare POST loop on CPU {cpu}: {source}")]
    Pin { cpu: usize, source: io::Error },
    #[error("no delivery came that could be the bare POST loop's request")]
    NoSample,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct BareLoop {
    pub posts: u64,
    pub seconds: f64,
    pub cpu_ns: u64,
}

/// The same request to the same endpoint, marked as the floor's.
pub fn bare_request(sample: &[u8]) -> Result<Vec<u8>, BareLoopError> {
    let start = format!("POST {HOOK}");
    let rest = sample.strip_prefix(start.as_bytes()).ok_or(BareLoopError::NoSample)?;
    Ok([format!("POST {FLOOR}").as_bytes(), rest].concat())
}

/// Posts `request` for as long as the plan says.
pub fn measure(sink: SocketAddrV4, request: &[u8], plan: FloorPlan) -> Result<BareLoop, BareLoopError> {
    let streams = (0..plan.connections).map(|_| connect(sink)).collect::<Result<Vec<_>, _>>()?;
    let (stop, start) = (AtomicBool::new(false), Arc::new(Barrier::new(streams.len() + 1)));
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for stream in streams {
            let (stop, start) = (&stop, Arc::clone(&start));
            let run = move || {
                let pinned = cpu::pin(plan.cpu).map_err(|source| BareLoopError::Pin { cpu: plan.cpu, source });
                start.wait();
                pinned.and_then(|()| post_until(stop, stream, request))
            };
            threads.push(scope.spawn(run));
        }
        start.wait();
        let began = Instant::now();
        std::thread::sleep(plan.time);
        stop.store(true, Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        let mut total = BareLoop { posts: 0, seconds, cpu_ns: 0 };
        for thread in threads {
            let (posts, cpu_ns) = thread.join().expect("a thread of the floor does not panic")?;
            total.posts += posts;
            total.cpu_ns += cpu_ns;
        }
        Ok(total)
    })
}

fn connect(sink: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&sink.into(), PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// How many were answered, and the CPU time that it took.
fn post_until(stop: &AtomicBool, mut stream: TcpStream, request: &[u8]) -> Result<(u64, u64), BareLoopError> {
    let mut answer = [0; ACCEPTED.len()];
    let mut posts = 0;
    while !stop.load(Relaxed) {
        stream.write_all(request)?;
        stream.read_exact(&mut answer)?;
        if answer != ACCEPTED {
            return Err(BareLoopError::NotAccepted);
        }
        posts += 1;
    }
    Ok((posts, cpu::thread_ns()))
}
