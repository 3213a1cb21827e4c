//! A directory that stands in for `/` in tests of what reads `/proc` and `/sys`.

use std::fs;
use std::path::Path;

/// Gone when dropped.
pub struct FakeRoot(tempfile::TempDir);

impl FakeRoot {
    /// Each file by its path below the root, and its text.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let root = Self(tempfile::tempdir().expect("a directory"));
        for (path, text) in files {
            root.write(path, text);
        }
        root
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
