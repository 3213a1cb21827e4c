//! More shards than one: the kernel spreads the connections, and every socket receives the same.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::numbered;

/// The shards that a process has threads for.
fn shards(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("our own child").flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    // An executor names its helpers after itself, with a number behind: shard-0-2.
    let shards = names.filter_map(|name| Some(name.trim().strip_prefix("shard-")?.split('-').next()?.to_owned()));
    shards.collect::<BTreeSet<_>>().len()
}

/// Sockets that listen on a port of 127.0.0.1.
fn listeners(port: u16) -> usize {
    const LISTEN: &str = "0A";
    let address = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&address.as_str()) && row.get(3) == Some(&LISTEN)).count()
}

#[test]
fn sockets_of_four_shards_all_receive_everything_in_order() {
    let server = Server::start_with(&["--shards", "4"], |_| {});
    assert_eq!(shards(server.pid()), 4);
    assert_eq!(listeners(server.address.port()), 4);
    let mut sockets: Vec<Socket> = (0..200).map(|_| server.connect()).collect();
    let events: Vec<Value> = (0..100).map(|number| numbered(OWNER, number)).collect();
    for round in events.chunks(10) {
        let (first_seq, _) = server.publish(round);
        for socket in &mut sockets {
            for (event, seq) in round.iter().zip(first_seq..) {
                let trade = socket.trade();
                assert_eq!(trade["seq"], seq);
                assert_eq!(trade["data"]["number"], event["data"]["number"]);
            }
        }
    }
}

#[test]
fn a_watchlist_change_reaches_every_shard_before_it_is_answered() {
    let server = Server::start_with(&["--shards", "4"], |_| {});
    let mut sockets: Vec<Socket> = (0..40).map(|_| server.connect()).collect();
    for number in 0..20 {
        let owner = format!("wallet-{number}");
        let request = crate::http::Request::post("/api/watchlist").header("X-API-Key", &server.subscriber);
        let reply = request.body(format!("{{\"owner\":\"{owner}\"}}")).send(server.address);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let (seq, _) = server.publish(&[numbered(&owner, number)]);
        for socket in &mut sockets {
            assert_eq!(socket.trade()["seq"], seq);
        }
    }
}
