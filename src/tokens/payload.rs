//! What a payload says and whether it holds now (RFC 7519 §4.1). Its signature was right before.

use serde_json::{Map, Value};

use super::{Claims, TokenError, UserId};
use crate::limits::TOKEN_DATE_S_MAX;

/// What a token's claims have to agree with, as in [`TokenSettings`](super::TokenSettings).
pub(super) struct Expected {
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub leeway_s: u64,
}

impl Expected {
    /// `now_s`: Unix seconds.
    pub fn claims(&self, payload: &Map<String, Value>, now_s: u64) -> Result<Claims, TokenError> {
        let expires_at_s = date("exp", payload, f64::floor)?.ok_or(TokenError::NoExpiry)?;
        // No leeway here: a session ends with its token to the second, so one past its end would open one that ends at once.
        if now_s >= expires_at_s {
            return Err(TokenError::Expired);
        }
        let begins_at_s = date("nbf", payload, f64::ceil)?.unwrap_or(0);
        if now_s.saturating_add(self.leeway_s) < begins_at_s {
            return Err(TokenError::NotYetValid);
        }
        self.issued_by(payload.get("iss"))?;
        self.meant_for(payload.get("aud"))?;
        Ok(Claims { user: user(payload)?, admin_level: admin_level(payload.get("admin_level"))?, expires_at_s })
    }

    fn issued_by(&self, iss: Option<&Value>) -> Result<(), TokenError> {
        match &self.issuer {
            Some(issuer) if iss.and_then(Value::as_str) != Some(issuer) => Err(TokenError::Issuer),
            _ => Ok(()),
        }
    }

    /// §4.1.3: who does not find itself in an audience that is there refuses the token, whatever it expects.
    fn meant_for(&self, aud: Option<&Value>) -> Result<(), TokenError> {
        let meant = match (aud, &self.audience) {
            (None, None) => true,
            (Some(Value::String(one)), Some(audience)) => one == audience,
            (Some(Value::Array(several)), Some(audience)) => {
                several.iter().all(Value::is_string) && several.iter().any(|one| one.as_str() == Some(audience))
            }
            _ => false,
        };
        if meant { Ok(()) } else { Err(TokenError::Audience) }
    }
}

/// A NumericDate (RFC 7519 §2), in whole Unix seconds: it may have a fraction. What lies before 1970 is 1970.
fn date(name: &'static str, payload: &Map<String, Value>, rounded: fn(f64) -> f64) -> Result<Option<u64>, TokenError> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(TokenError::Date(name)) };
    let seconds = match number.as_u64() {
        Some(whole) => whole,
        // `as` stops at both ends of the range, and JSON has no NaN.
        None => rounded(number.as_f64().ok_or(TokenError::Date(name))?) as u64,
    };
    Ok(Some(seconds.min(TOKEN_DATE_S_MAX)))
}

/// `sub`, or `userId` where there is none.
fn user(payload: &Map<String, Value>) -> Result<UserId, TokenError> {
    let name = match (payload.get("sub"), payload.get("userId")) {
        (None, None) => return Err(TokenError::NoUser),
        (Some(sub), Some(user_id)) if sub != user_id => return Err(TokenError::TwoUsers),
        (Some(name), _) | (None, Some(name)) => name,
    };
    name.as_str().and_then(|text| text.parse().ok()).ok_or(TokenError::User)
}

fn admin_level(level: Option<&Value>) -> Result<Option<u32>, TokenError> {
    match level {
        None | Some(Value::Null) => Ok(None),
        Some(level) => match level.as_u64().and_then(|level| u32::try_from(level).ok()) {
            Some(level) => Ok(Some(level)),
            None => Err(TokenError::AdminLevel),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::forge::{AUDIENCE, ISSUER, NOW_S, with};
    use super::*;
    use crate::limits::USER_ID_BYTES_MAX;

    const PLAIN: Expected = Expected { issuer: None, audience: None, leeway_s: 5 };

    /// What comes of a payload at [`NOW_S`].
    fn judged(payload: &Value) -> Result<Claims, TokenError> {
        PLAIN.claims(payload.as_object().expect("an object"), NOW_S)
    }

    fn judged_text(payload: &str) -> Result<Claims, TokenError> {
        judged(&serde_json::from_str(payload).expect(payload))
    }

    #[test]
    fn a_token_ends_with_its_exp_whatever_the_leeway() {
        for (exp, outcome) in [
            (json!(NOW_S + 1), Ok(NOW_S + 1)),
            (json!(NOW_S), Err(TokenError::Expired)),
            (json!(NOW_S - 4), Err(TokenError::Expired)),
            (json!(0), Err(TokenError::Expired)),
            (json!(-1), Err(TokenError::Expired)),
            (json!(i64::MIN), Err(TokenError::Expired)),
            (json!(-1e300), Err(TokenError::Expired)),
            (json!(0.5), Err(TokenError::Expired)),
            (json!(NOW_S as f64 + 0.9), Err(TokenError::Expired)),
            (json!(NOW_S as f64 + 1.9), Ok(NOW_S + 1)),
            (json!(1e300), Ok(TOKEN_DATE_S_MAX)),
            (json!(u64::MAX), Ok(TOKEN_DATE_S_MAX)),
            (json!(NOW_S.to_string()), Err(TokenError::Date("exp"))),
            (json!(true), Err(TokenError::Date("exp"))),
            (json!([NOW_S + 60]), Err(TokenError::Date("exp"))),
            (Value::Null, Err(TokenError::NoExpiry)),
        ] {
            assert_eq!(judged(&with(&json!({ "exp": exp }))).map(|claims| claims.expires_at_s), outcome, "{exp}");
        }
        assert_eq!(judged_text(r#"{"sub":"u","exp":null}"#), Err(TokenError::Date("exp")));
        assert_eq!(judged_text(r#"{"sub":"u","exp":99999999999999999999999}"#).map(|_| ()), Ok(()));
        let last = with(&json!({ "exp": u64::MAX }));
        assert_eq!(PLAIN.claims(last.as_object().expect("an object"), u64::MAX), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_begins_with_its_nbf_less_the_leeway() {
        for (nbf, outcome) in [
            (json!(NOW_S), Ok(())),
            (json!(NOW_S + 5), Ok(())),
            (json!(NOW_S + 6), Err(TokenError::NotYetValid)),
            (json!(NOW_S as f64 + 5.5), Err(TokenError::NotYetValid)),
            (json!(u64::MAX), Err(TokenError::NotYetValid)),
            (json!(1e300), Err(TokenError::NotYetValid)),
            (json!(-1e300), Ok(())),
            (json!(-7), Ok(())),
            (json!("0"), Err(TokenError::Date("nbf"))),
        ] {
            assert_eq!(judged(&with(&json!({ "nbf": nbf }))).map(drop), outcome, "{nbf}");
        }
        let endless = Expected { leeway_s: u64::MAX, ..PLAIN };
        let extreme = with(&json!({ "nbf": u64::MAX, "exp": u64::MAX }));
        assert!(endless.claims(extreme.as_object().expect("an object"), NOW_S).is_ok(), "no leeway overflows");
    }

    #[test]
    fn the_issuer_counts_where_one_is_set() {
        let expecting = Expected { issuer: Some(ISSUER.into()), ..PLAIN };
        for (iss, right) in [
            (json!(ISSUER), true),
            (json!("https://id.example/"), false),
            (json!(""), false),
            (json!([ISSUER]), false),
            (Value::Null, false),
        ] {
            let payload = with(&json!({ "iss": iss }));
            let expected = if right { Ok(()) } else { Err(TokenError::Issuer) };
            assert_eq!(expecting.claims(payload.as_object().expect("an object"), NOW_S).map(drop), expected, "{iss}");
            assert!(judged(&payload).is_ok(), "{iss}");
        }
    }

    #[test]
    fn an_audience_has_to_hold_this_server_and_is_refused_where_it_has_no_name() {
        let expecting = Expected { audience: Some(AUDIENCE.into()), ..PLAIN };
        let outcome = |right| if right { Ok(()) } else { Err(TokenError::Audience) };
        for (aud, named, unnamed) in [
            (json!(AUDIENCE), true, false),
            (json!([AUDIENCE]), true, false),
            (json!(["other", AUDIENCE]), true, false),
            (json!([AUDIENCE, 7]), false, false),
            (json!("other"), false, false),
            (json!(["other"]), false, false),
            (json!([]), false, false),
            (json!({ "stentor": true }), false, false),
            (Value::Null, false, true),
        ] {
            let payload = with(&json!({ "aud": aud }));
            assert_eq!(
                expecting.claims(payload.as_object().expect("an object"), NOW_S).map(drop),
                outcome(named),
                "{aud}"
            );
            assert_eq!(judged(&payload).map(drop), outcome(unnamed), "{aud}");
        }
        assert_eq!(judged_text(r#"{"sub":"u","exp":9e9,"aud":null}"#), Err(TokenError::Audience));
    }

    #[test]
    fn the_user_is_sub_or_user_id_and_one_of_them() {
        for (changes, outcome) in [
            (json!({}), Ok("user_123")),
            (json!({ "sub": null, "userId": "u" }), Ok("u")),
            (json!({ "userId": "user_123" }), Ok("user_123")),
            (json!({ "userId": "u" }), Err(TokenError::TwoUsers)),
            (json!({ "userId": 123 }), Err(TokenError::TwoUsers)),
            (json!({ "sub": null }), Err(TokenError::NoUser)),
            (json!({ "sub": "" }), Err(TokenError::User)),
            (json!({ "sub": 123 }), Err(TokenError::User)),
            (json!({ "sub": ["u"] }), Err(TokenError::User)),
            (json!({ "sub": "a\u{0}b" }), Err(TokenError::User)),
            (json!({ "sub": "u".repeat(USER_ID_BYTES_MAX + 1) }), Err(TokenError::User)),
        ] {
            let outcome = outcome.map(UserId::new);
            assert_eq!(judged(&with(&changes)).map(|claims| claims.user), outcome, "{changes}");
        }
        assert!(judged(&with(&json!({ "sub": "u".repeat(USER_ID_BYTES_MAX) }))).is_ok());
        assert_eq!(judged_text(r#"{"sub":null,"userId":"u","exp":9e9}"#), Err(TokenError::TwoUsers));
    }

    #[test]
    fn an_admin_level_is_a_whole_number_or_none() {
        for (level, outcome) in [
            (json!(0), Ok(Some(0))),
            (json!(u32::MAX), Ok(Some(u32::MAX))),
            (json!(u64::from(u32::MAX) + 1), Err(TokenError::AdminLevel)),
            (json!(-1), Err(TokenError::AdminLevel)),
            (json!(1.0), Err(TokenError::AdminLevel)),
            (json!("1"), Err(TokenError::AdminLevel)),
            (json!(true), Err(TokenError::AdminLevel)),
            (json!([1]), Err(TokenError::AdminLevel)),
            (Value::Null, Ok(None)),
        ] {
            assert_eq!(
                judged(&with(&json!({ "admin_level": level }))).map(|claims| claims.admin_level),
                outcome,
                "{level}"
            );
        }
        assert_eq!(
            judged_text(r#"{"sub":"u","exp":9e9,"admin_level":null}"#).map(|claims| claims.admin_level),
            Ok(None)
        );
    }
}
