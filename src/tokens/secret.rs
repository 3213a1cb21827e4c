//! HS256 secrets: what is long enough, and the one that the server makes for itself.
//!
//! Invariant: whoever starts first on a data directory, all processes on it come to the same secret. It is written and
//! synced under a name of its own, and only then linked to the name that everybody reads, which fails where that exists.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::KeyError;
use crate::limits::TOKEN_SECRET_BYTES_MIN;

pub const SECRET_FILE: &str = "jwt-secret";
const SECRET_RANDOM_BYTES: usize = 32;
const SECRET_DIGITS: usize = 2 * SECRET_RANDOM_BYTES;

/// The bytes of an operator's own secret.
pub(super) fn configured(secret: &str) -> Result<Vec<u8>, KeyError> {
    match secret.len() {
        bytes if bytes < TOKEN_SECRET_BYTES_MIN => Err(KeyError::WeakSecret { bytes }),
        _ => Ok(secret.as_bytes().to_vec()),
    }
}

/// The data directory's secret, made where there is none. Its digits themselves are the key, not the bytes that they
/// stand for: so it can be handed to any other program, or written into `[jwt] secret`, as it stands in the file.
pub(super) fn of_data_dir(data_dir: &Path) -> Result<Vec<u8>, KeyError> {
    let path = data_dir.join(SECRET_FILE);
    match read(&path) {
        Err(KeyError::Missing { .. }) => {
            make(data_dir, &path).map_err(|source| KeyError::SecretNotMade { path: path.clone(), source })?;
            read(&path)
        }
        result => result,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let unreadable = |source| KeyError::of_io(path, source);
    let mut bytes = Vec::new();
    // One byte more than fits, and an editor's line break.
    let bytes_max = SECRET_DIGITS as u64 + 2;
    File::open(path).map_err(unreadable)?.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    let digits = bytes.trim_ascii_end();
    let right = digits.len() == SECRET_DIGITS && digits.iter().all(u8::is_ascii_hexdigit);
    if right { Ok(digits.to_vec()) } else { Err(KeyError::NotASecret { path: path.to_owned() }) }
}

/// Afterwards the file is there, whoever made it.
fn make(data_dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let mut random = [0; SECRET_RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    let draft = Draft(data_dir.join(format!("{SECRET_FILE}.{:016x}", getrandom::u64()?)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
    for byte in random {
        write!(file, "{byte:02x}")?;
    }
    file.sync_all()?;
    match fs::hard_link(&draft.0, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    drop(draft);
    File::open(data_dir)?.sync_all()
}

/// A file under a name that nobody else knows, removed in the end.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_afterwards() {
        let dir = tempfile::tempdir().expect("a directory");
        let data_dir = dir.path().join("new/data");
        let made = of_data_dir(&data_dir).expect("made");
        assert_eq!(made.len(), SECRET_DIGITS);
        assert_eq!(fs::read(data_dir.join(SECRET_FILE)).expect("a file"), made);
        assert_eq!(of_data_dir(&data_dir).expect("read"), made);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&data_dir.join(SECRET_FILE)), mode(&data_dir)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&data_dir).expect("a directory").count(), 1, "no draft is left");
        assert_ne!(of_data_dir(&dir.path().join("other")).expect("made"), made);
    }

    #[test]
    fn those_who_start_at_once_come_to_the_same_secret() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().expect("a directory");
            let start = Barrier::new(8);
            let secrets: Vec<_> = thread::scope(|scope| {
                let open = || {
                    start.wait();
                    of_data_dir(dir.path()).expect("a secret")
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert!(secrets.iter().all(|secret| *secret == secrets[0]));
            assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1, "no draft is left");
        }
    }

    #[test]
    fn an_editors_line_break_is_no_part_of_the_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = of_data_dir(dir.path()).expect("made");
        for end in ["\n", "\r\n"] {
            fs::write(dir.path().join(SECRET_FILE), [&made, end.as_bytes()].concat()).expect("written");
            assert_eq!(of_data_dir(dir.path()).expect("read"), made);
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_told_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(SECRET_FILE);
        for wrong in ["", "hunter2", &"x".repeat(64), &"a".repeat(63), &"a".repeat(65), &"a".repeat(1000)] {
            fs::write(&path, wrong).expect("written");
            let error = of_data_dir(dir.path()).expect_err(wrong);
            assert!(matches!(error, KeyError::NotASecret { .. }), "{wrong}: {error}");
            assert!(error.to_string().contains("jwt-secret"), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("there"), wrong);
        }
    }

    #[test]
    fn a_data_directory_that_can_not_be_is_told() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = of_data_dir(&file.path().join("data")).expect_err("below a file");
        assert!(error.to_string().contains("jwt-secret"), "{error}");
    }

    #[test]
    fn a_configured_secret_has_at_least_as_many_bits_as_the_hash() {
        assert!(configured(&"s".repeat(32)).is_ok());
        let error = configured(&"s".repeat(31)).expect_err("31 bytes");
        assert!(matches!(error, KeyError::WeakSecret { bytes: 31 }), "{error}");
    }
}
