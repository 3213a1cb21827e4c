//! One request as it lies in a connection's buffer: bytes in, a view of them out.

use crate::limits::{WEBHOOK_POST_BODY_BYTES_MAX, WEBHOOK_POST_HEAD_BYTES_MAX};

/// Headers of one request that are looked at; a few more than a client sends.
const HEADERS_MAX: usize = 32;

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post<'a> {
    pub path: &'a str,
    pub headers: Headers<'a>,
    pub body: &'a [u8],
    /// Of the buffer, head and all.
    pub bytes: usize,
}

/// What a delivery has to carry; one that is missing is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    pub content_type: &'a [u8],
    pub webhook_id: &'a [u8],
    pub event_type: &'a [u8],
    pub delivery_id: &'a [u8],
    pub attempt: &'a [u8],
    pub plain_signature: &'a [u8],
    pub id: &'a [u8],
    pub timestamp: &'a [u8],
    pub standard_signature: &'a [u8],
}

/// Reads the first request of `bytes`. `None`: more bytes are needed.
pub fn read_post(bytes: &[u8]) -> Result<Option<Post<'_>>, &'static str> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut space);
    let body_at = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < WEBHOOK_POST_HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("a request has an endless head"),
        Err(_) => return Err("a request is not HTTP"),
    };
    if request.method != Some("POST") {
        return Err("a request is no POST");
    }
    let mut headers = Headers::default();
    let mut length = None;
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = std::str::from_utf8(header.value).ok().and_then(|text| text.parse::<usize>().ok());
        } else if let Some(field) = headers.named(header.name) {
            *field = header.value;
        }
    }
    let length = length.ok_or("a request has no Content-Length")?;
    if length > WEBHOOK_POST_BODY_BYTES_MAX {
        return Err("a request's body is longer than any event");
    }
    let path = request.path.unwrap_or_default();
    let Some(body) = bytes[body_at..].get(..length) else { return Ok(None) };
    Ok(Some(Post { path, headers, body, bytes: body_at + length }))
}

impl<'a> Headers<'a> {
    fn named(&mut self, name: &str) -> Option<&mut &'a [u8]> {
        let fields: [(&str, &mut &'a [u8]); 9] = [
            ("content-type", &mut self.content_type),
            ("x-webhook-id", &mut self.webhook_id),
            ("x-event-type", &mut self.event_type),
            ("x-delivery-id", &mut self.delivery_id),
            ("x-delivery-attempt", &mut self.attempt),
            ("x-webhook-signature", &mut self.plain_signature),
            ("webhook-id", &mut self.id),
            ("webhook-timestamp", &mut self.timestamp),
            ("webhook-signature", &mut self.standard_signature),
        ];
        fields.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, field)| field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] =
        b"POST /hook/7 HTTP/1.1\r\nHost: a\r\nContent-length: 4\r\nX-Delivery-ID: dlv_1\r\n\r\nbodyPOST";

    #[test]
    fn a_request_is_read_when_its_last_byte_is_there() {
        for cut in 0..WHOLE.len() - 4 {
            assert_eq!(read_post(&WHOLE[..cut]), Ok(None), "{cut} bytes");
        }
        let post = read_post(WHOLE).unwrap().unwrap();
        assert_eq!((post.path, post.body, post.bytes), ("/hook/7", &b"body"[..], WHOLE.len() - 4));
        assert_eq!((post.headers.delivery_id, post.headers.id), (&b"dlv_1"[..], &b""[..]));
    }

    #[test]
    fn what_is_no_delivery_is_told() {
        for wrong in [
            &b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"\0\0\0\0",
        ] {
            assert!(read_post(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        let endless = [b"POST / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; WEBHOOK_POST_HEAD_BYTES_MAX]].concat();
        assert!(read_post(&endless).is_err());
    }
}
