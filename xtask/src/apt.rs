//! A private apt beside the machine's own: other suites, nothing installed, nothing of the system changed.
//!
//! In: suites of Debian, fetched from where this machine fetches its packages. Out: package files, their
//! signatures checked by apt. Must not know: what the packages are for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt with its own suites and its own, empty, set of installed packages.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
}

impl Apt {
    /// An apt that knows `suites` as they are now; its lists are kept under `name`.
    pub(crate) fn open(name: &str, suites: &[&str]) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            if !process::on_path(program) {
                bail!(
                    "{program} is missing\nhint: kernels and the guest's programs come from Debian packages"
                );
            }
        }
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing\nhint: install the package debian-archive-keyring");
        }
        let folder = ebpf_build::cache_dir().join("apt").join(name);
        let create =
            |dir: PathBuf| fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()));
        create(folder.join("lists/partial"))?;
        create(folder.join("cache/archives/partial"))?;
        let apt = Self { config: folder.join("apt.conf") };
        let write = |file: &str, text: String| {
            fs::write(folder.join(file), text)
                .with_context(|| format!("write {file} in {}", folder.display()))
        };
        write("status", String::new())?;
        write("sources.list", sources(&archive()?, suites))?;
        write("apt.conf", config(&folder))?;
        process::capture(apt.command("apt-get").arg("update")).context("read the lists of packages")?;
        Ok(apt)
    }

    /// The names of the packages that match the regular expression `pattern`.
    pub(crate) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let found = process::capture(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        Ok(found.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// The version of `package` that [`Self::download`] fetches.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        let record =
            process::capture(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let version = record.lines().find_map(|line| line.strip_prefix("Version: "));
        Ok(version.with_context(|| format!("{package} has no version"))?.to_owned())
    }

    /// Fetches `package` alone into the empty folder `into`.
    pub(crate) fn download(&self, package: &str, into: &Path) -> Result<()> {
        process::capture(self.command("apt-get").current_dir(into).args(["download", package]))?;
        Ok(())
    }

    /// Fetches `packages` and all that they depend on into the empty folder `into`.
    pub(crate) fn download_with_dependencies(&self, packages: &[&str], into: &Path) -> Result<()> {
        fs::create_dir(into.join("partial"))
            .with_context(|| format!("create a folder in {}", into.display()))?;
        let archives = format!("Dir::Cache::archives={}", into.display());
        let mut command = self.command("apt-get");
        command.args(["install", "-y", "--download-only", "--no-install-recommends", "-o", &archives]);
        process::capture(command.args(packages))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        command
    }
}

/// The package files in `folder`.
pub(crate) fn package_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Where this machine fetches Debian packages from.
fn archive() -> Result<String> {
    let format = "$(ORIGIN) $(CODENAME) $(REPO_URI)";
    let mut command = Command::new("apt-get");
    let targets =
        process::capture(command.args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    find_archive(&targets).context(
        "this machine's apt fetches nothing from a Debian archive\n\
         hint: kernels and the guest's programs are Debian packages; add a Debian source",
    )
}

/// The archive in lines of origin, code name and address. The archive of security updates has other suites.
fn find_archive(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, codename, address) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && !codename.ends_with("-security")).then(|| address.to_owned())
    })
}

fn sources(archive: &str, suites: &[&str]) -> String {
    let mut list = String::new();
    for suite in suites {
        // Writing to a String does not fail.
        let _ = writeln!(list, "deb [arch=amd64 signed-by={KEYRING}] {archive} {suite} main");
    }
    list
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
// The folder of a user is closed to apt's own user.
APT::Sandbox::User "root";
// Only the lists of packages.
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_neither_security_nor_foreign() {
        let targets = "Foreign main http://foreign.example/\n\
                       Debian bookworm-security http://debian.example/security/\n\
                       Debian bookworm http://debian.example/debian/\n";
        assert_eq!(find_archive(targets).as_deref(), Some("http://debian.example/debian/"));
        assert_eq!(find_archive("Foreign main http://foreign.example/\n"), None);
    }

    #[test]
    fn each_suite_is_one_signed_source() {
        let list = sources("http://debian.example/debian/", &["bookworm", "trixie"]);
        assert_eq!(list.lines().count(), 2);
        assert!(list.lines().all(|line| line.contains("signed-by=")));
    }
}
