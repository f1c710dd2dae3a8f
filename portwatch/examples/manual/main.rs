//! Writes manual pages and completions into a folder: `man/portwatch.1` and one for each command, `completions/` for
//! bash, zsh and fish. All of it comes from the definitions that `--help` is made from.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap_complete::Shell;
use portwatch::cli::manual;

mod page;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: manual FOLDER"))?;
    pages(&folder.join("man"))?;
    completions(&folder.join("completions"))
}

fn pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in page::all()? {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

fn completions(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut manual::definition(), "portwatch", folder)?;
    }
    Ok(())
}
