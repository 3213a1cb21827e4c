//! What a run leaves behind: the table on the terminal, and files.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::page::page;
use super::run::Measured;
use crate::hgrm::percentile_file;

#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Also write the latencies' percentiles as the HdrHistogram tools read them; those of others than the server go beside it
    /// (out.hgrm, out.floor.hgrm)
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Also write the results as one page with plots
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write the results to {path}: {source}")]
pub struct WriteError {
    pub path: String,
    pub source: std::io::Error,
}

impl Output {
    /// Writes the files beside the JSON.
    pub fn write(&self, measured: &Measured) -> Result<(), WriteError> {
        if let Some(path) = &self.report {
            write(path, &page(&measured.report))?;
        }
        for (number, (name, latencies)) in measured.latencies.iter().enumerate() {
            if let Some(path) = &self.hgrm {
                let path = if number == 0 { path.clone() } else { beside(path, name) };
                write(&path, &percentile_file(latencies))?;
            }
        }
        Ok(())
    }
}

/// `out.hgrm` of `floor` is `out.floor.hgrm`.
fn beside(path: &Path, name: &str) -> PathBuf {
    match path.extension() {
        Some(extension) => path.with_extension(format!("{name}.{}", extension.to_string_lossy())),
        None => path.with_extension(name),
    }
}

fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    fs::write(path, text).map_err(|source| WriteError { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_files_stand_beside_the_servers() {
        assert_eq!(beside(Path::new("a/out.hgrm"), "floor"), Path::new("a/out.floor.hgrm"));
        assert_eq!(beside(Path::new("out"), "floor"), Path::new("out.floor"));
    }
}
