//! Which form of an answer a client asks for.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether a client names that media type in `Accept` (RFC 9110 §12.5.1), and not with a weight of nothing. What it only covers with a
/// `*` is not named.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(media_type));
        let is_refused = |part: &str| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
        };
        named && !parts.any(is_refused)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_form_is_for_those_who_name_it() {
        const OPEN_METRICS: &str = "application/openmetrics-text";
        for (accept, wanted) in [
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", true),
            ("text/plain;q=0.5, application/OpenMetrics-text; version=0.0.1", true),
            ("application/openmetrics-text;q=0, text/plain", false),
            ("application/openmetrics-text;q=0.0", false),
            ("application/openmetrics", false),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepts(&headers, OPEN_METRICS), wanted, "{accept}");
        }
        assert!(!accepts(&HeaderMap::new(), OPEN_METRICS));
    }
}
