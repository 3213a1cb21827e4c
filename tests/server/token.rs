//! `stentor token mint`, as a script uses it.

use std::os::unix::fs::PermissionsExt;

use crate::data_dir::DataDir;

#[test]
fn a_token_stands_alone_on_stdout_and_its_secret_is_the_owners_alone() {
    let data_dir = DataDir::new();
    let mut secrets = Vec::new();
    for level in [&[][..], &["--admin-level", "2"]] {
        let output = data_dir.run(&[&["token", "mint", "--user", "user_123", "--ttl", "15m"], level].concat());
        let (token, words) =
            (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{words}");
        let token = token.strip_suffix('\n').expect("one line");
        let parts: Vec<_> = token.split('.').collect();
        let base64url = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        assert!(parts.len() == 3 && parts.iter().all(base64url), "{token}");
        assert!(!words.contains(parts[2]) && words.contains("user_123"), "words may be logged: {words}");
        let secret = data_dir.path().join("jwt-secret");
        assert_eq!(std::fs::metadata(&secret).expect("there").permissions().mode() & 0o777, 0o600);
        secrets.push(std::fs::read(secret).expect("readable"));
    }
    assert_eq!(secrets[0], secrets[1], "made once");
}

#[test]
fn exit_codes_tell_failure_from_wrong_usage() {
    let data_dir = DataDir::new();
    let mint = |arguments: &[&str]| data_dir.run(&[&["token", "mint"], arguments].concat()).status.code();
    assert_eq!(mint(&[]), Some(2));
    assert_eq!(mint(&["--user", "u", "--ttl", "for ever"]), Some(2));
    assert_eq!(mint(&["--user", "u", "--config", "/nonexistent/stentor.toml"]), Some(2));
    std::fs::write(data_dir.path().join("jwt-secret"), "hunter2").expect("written");
    assert_eq!(mint(&["--user", "u"]), Some(1));
}
