//! What the small servers here say in WebSocket.

use tungstenite::handshake::derive_accept_key;

/// The answer to an upgrade whose `Sec-WebSocket-Key` is `key`.
pub fn upgraded(key: &str) -> String {
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A server's frame of at most 65,535 bytes of text.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..=125 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(text.bytes());
    frame
}
