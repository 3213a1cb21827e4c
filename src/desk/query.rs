//! What a request's address says behind its question mark.

use http::Uri;

use super::error::RestError;

/// The value of the first parameter of that name.
pub fn value(uri: &Uri, name: &str) -> Option<String> {
    values(uri, name).next()
}

/// The values of all parameters of that name, in their order.
pub fn values<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let parameters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    parameters.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// `limit`: how many of something the answer should hold, from 1 to `most`.
pub fn limit(uri: &Uri, default: usize, most: usize) -> Result<usize, RestError> {
    let Some(text) = value(uri, "limit") else { return Ok(default) };
    let number = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number
        .and_then(|text| text.parse().ok())
        .filter(|limit| (1..=most).contains(limit))
        .ok_or_else(|| RestError::InvalidRequest(format!("limit must be a whole number from 1 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_and_the_first_counts() {
        let uri: Uri = "/alerts/latest?a=1&api%5Fkey=b%20c&api_key=d".parse().expect("an address");
        assert_eq!(value(&uri, "api_key").as_deref(), Some("b c"));
        assert_eq!(value(&uri, "apiKey"), None);
        assert_eq!(value(&Uri::from_static("/alerts/latest"), "a"), None);
        let uri = Uri::from_static("/events/stream?topic=a%3A1&other=x&topic=&topic=b");
        assert_eq!(values(&uri, "topic").collect::<Vec<_>>(), ["a:1", "", "b"]);
    }

    #[test]
    fn a_limit_is_digits_within_its_range() {
        let limit = |query: &str| limit(&format!("/x?{query}").parse().expect("an address"), 50, 500);
        for (query, expected) in [("", 50), ("Limit=7", 50), ("limit=1", 1), ("limit=500", 500), ("limit=007", 7)] {
            assert_eq!(limit(query).expect(query), expected, "{query}");
        }
        for wrong in ["", "0", "501", "-1", "+5", "%2B5", "5.0", "1e2", "ten", "%D9%A5", "18446744073709551617"] {
            let refused = limit(&format!("limit={wrong}")).expect_err(wrong);
            assert_eq!(refused.to_string(), "limit must be a whole number from 1 to 500", "{wrong}");
        }
    }
}
