//! Running other programs, with an error that says which one failed and what it said.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

const COPY_BLOCK: usize = 8192;

/// Runs `command` to its end, its output shown as it comes, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {}", shown(command)))?;
    if !status.success() {
        bail!("{}: {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` to its end and returns its stdout; its stderr is shown only when it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {}", shown(command)))?;
    if !output.status.success() {
        bail!(
            "{}: {}\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not UTF-8", shown(command)))
}

/// Runs `command` to its end and returns its stdout; its stderr is shown as it comes.
pub(crate) fn capture_stdout(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("run {}", shown(command)))?;
    if !output.status.success() {
        bail!("{}: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not UTF-8", shown(command)))
}

/// Runs `command` to its end, its stdout both passed on to `to` as it comes and returned.
pub(crate) fn tee(command: &mut Command, to: impl Write) -> Result<(ExitStatus, String)> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("run {}", shown(command)))?;
    let stdout = child.stdout.take().context("stdout was not piped")?;
    let seen = copy_live(stdout, to)?;
    let status = child.wait().with_context(|| format!("wait for {}", shown(command)))?;
    Ok((status, String::from_utf8_lossy(&seen).into_owned()))
}

/// Copies `from` to `to` as it comes, without the carriage returns that a terminal line adds, and returns
/// what was copied.
pub(crate) fn copy_live(mut from: impl Read, mut to: impl Write) -> Result<Vec<u8>> {
    let mut seen = Vec::new();
    let mut block = [0; COPY_BLOCK];
    loop {
        let length = from.read(&mut block).context("read the output of a command")?;
        if length == 0 {
            return Ok(seen);
        }
        let start = seen.len();
        seen.extend(block.iter().take(length).filter(|byte| **byte != b'\r'));
        to.write_all(seen.get(start..).unwrap_or_default()).context("show the output of a command")?;
        to.flush().context("show the output of a command")?;
    }
}

/// The command line, as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// `word` as one word of a shell command.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether `program` can be started by its name.
pub(crate) fn on_path(program: impl AsRef<OsStr>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program.as_ref()).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("--lib=a/b.rs"), "--lib=a/b.rs");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn a_failure_carries_the_command_and_its_words() {
        let error =
            capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("sh -c 'echo broken >&2; exit 3': exit status: 3\nbroken"), "{error}");
    }
}
