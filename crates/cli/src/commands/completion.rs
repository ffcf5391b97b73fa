use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Print what a shell must know to complete commands and flags.
#[derive(Debug, Args)]
#[command(after_help = "\
  bash  eval \"$(ottla completion bash)\"
  zsh   ottla completion zsh > \"${fpath[1]}/_ottla\"
  fish  ottla completion fish > ~/.config/fish/completions/ottla.fish")]
pub struct Completion {
    /// Which shell.
    shell: Shell,
}

pub fn run(completion: &Completion) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(completion.shell, &mut command, "ottla", &mut text);
    let written = std::io::Write::write_all(&mut std::io::stdout(), &text);
    Ok(written?)
}
