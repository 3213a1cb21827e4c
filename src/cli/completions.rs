//! `stentor completions`: what a shell has to know to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::console::Console;
use super::{Command, Failure};

/// Print a shell's completions of this command line
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

impl CompletionsArgs {
    pub fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Command::command(), "stentor", &mut script);
        Console::of_process(|console| console.text(&String::from_utf8_lossy(&script)))
    }
}
