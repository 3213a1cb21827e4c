//! Whose connection it is: its peer's, or of whoever a proxy in between names before it passes on the first byte.

use std::net::IpAddr;

use futures_lite::AsyncReadExt;
use glommio::net::TcpStream;

use super::Desk;
use super::connection::expired;
use super::phase::PhaseCell;
use super::places::Place;
use crate::gate::{InvalidHeader, Network, ProxyHeader, parse_proxy_header};

/// Why a connection from a trusted proxy was not served.
#[derive(Debug, thiserror::Error)]
pub enum NoHeader {
    #[error(transparent)]
    Invalid(#[from] InvalidHeader),
    #[error("its PROXY protocol header did not come in time")]
    Late,
    #[error("it ended before its PROXY protocol header was whole")]
    Ended,
    #[error("it broke before its PROXY protocol header was whole: {0}")]
    Broke(#[from] std::io::Error),
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The peer's address, or of whoever a proxy passes bytes on for.
    pub address: IpAddr,
    /// Whether that is so, and not of a proxy whose header names nobody.
    pub is_named: bool,
}

/// Where the connection comes from. Where the operator says that trusted proxies speak the PROXY protocol, one of
/// theirs has to begin with its header, in the time that a request's head has; anybody else speaks HTTP from the first byte.
pub async fn source(desk: &Desk, stream: &mut TcpStream, place: &Place, peer: IpAddr) -> Result<Source, NoHeader> {
    let policy = desk.gate.policy();
    if !policy.proxy_protocol || !Network::any_contains(&policy.trusted_proxies, peer) {
        return Ok(Source { address: peer, is_named: true });
    }
    let late = async {
        expired(place).await;
        Err(NoHeader::Late)
    };
    let named = futures_lite::future::or(read_header(stream, &place.phase), late).await?;
    Ok(Source { address: named.unwrap_or(peer), is_named: named.is_some() })
}

/// Reads the header and no byte behind it, which is hyper's.
async fn read_header(stream: &mut TcpStream, phase: &PhaseCell) -> Result<Option<IpAddr>, NoHeader> {
    let silent = phase.get();
    let mut header = Vec::new();
    loop {
        match parse_proxy_header(&header)? {
            ProxyHeader::NeedMore(missing) => {
                let held = header.len();
                header.resize(held + missing, 0);
                let read = stream.read(&mut header[held..]).await?;
                if read == 0 {
                    return Err(NoHeader::Ended);
                }
                header.truncate(held + read);
                phase.bytes_came();
            }
            ProxyHeader::Parsed { source, .. } => {
                // Of the client's request, nothing has come yet.
                phase.set(silent);
                return Ok(source);
            }
        }
    }
}
