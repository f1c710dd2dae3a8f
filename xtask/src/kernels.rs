//! Kernels to boot, from Debian's packages.
//!
//! In: a series such as 6.1. Out: a kernel image in the cache, fetched when no kernel of that series is there.
//! The flavour made for virtual machines boots fastest and has what the hooks need built in.

mod modules;

pub(crate) use modules::SOCK_DIAG;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use ebpf_build::cache_dir;

use crate::apt::{self, Apt};

/// In the order in which they are asked: most kernels that tests want are in the first two.
const SUITES: [&str; 4] = ["bookworm", "trixie-backports", "trixie", "bullseye"];
/// Where the newest is.
const NEWEST_SUITE: &str = "trixie-backports";
const PACKAGE_PATTERN: &str = "^linux-(image|binary)-[0-9].*-cloud-amd64$";
/// Since about 6.19 the image is in a package apart from the modules; `linux-image-…` then only names both.
const PACKAGE_PREFIXES: [&str; 2] = ["linux-binary-", "linux-image-"];
/// `./boot/vmlinuz-…`, later `./usr/lib/modules/…/vmlinuz`.
const IMAGE_PATTERN: &str = "./*/vmlinuz*";
const PACKAGE_SUFFIX: &str = "-cloud-amd64";

/// Which kernel, as far as one asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Series {
    /// Such as 6.1: the newest of these.
    Numbered(u64, u64),
    /// The newest that is packaged; asks the archive each time.
    Newest,
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "newest" {
            return Ok(Self::Newest);
        }
        let (major, minor) = text.split_once('.').context("not a series such as 6.1, nor `newest`")?;
        Ok(Self::Numbered(
            major.parse().context("not a series such as 6.1")?,
            minor.parse().context("not a series such as 6.1")?,
        ))
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(major, minor) => write!(f, "{major}.{minor}"),
            Self::Newest => f.write_str("newest"),
        }
    }
}

impl Series {
    fn has(&self, release: &[u64]) -> bool {
        match self {
            Self::Numbered(major, minor) => release.starts_with(&[*major, *minor]),
            Self::Newest => true,
        }
    }
}

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// The series it was asked for by.
    pub(crate) series: Series,
    /// Its image.
    pub(crate) image: PathBuf,
    /// For its command line.
    pub(crate) options: &'static str,
}

/// The source of kernels; asks for each suite of the archive at most once.
#[derive(Debug, Default)]
pub(crate) struct Kernels {
    suites: BTreeMap<&'static str, Apt>,
}

impl Kernels {
    /// A kernel of `series`.
    pub(crate) fn fetch(&mut self, series: &Series) -> Result<Kernel> {
        let cached = if *series == Series::Newest {
            None
        } else {
            newest_cached(&cache_dir().join("kernels"), series)?
        };
        let image = match cached {
            Some(image) => image,
            None => self.download(series).with_context(|| format!("fetch linux {series}"))?,
        };
        Ok(Kernel { series: series.clone(), image, options: "" })
    }

    fn download(&mut self, series: &Series) -> Result<PathBuf> {
        eprintln!("xtask: fetching linux {series}");
        let mut seen = Vec::new();
        for suite in SUITES.iter().filter(|suite| *series != Series::Newest || **suite == NEWEST_SUITE) {
            let apt = self.suite(suite)?;
            let names = apt.names(PACKAGE_PATTERN)?;
            if let Some(package) = newest_package(&names, series) {
                return image_of(apt, package);
            }
            seen.extend(names);
        }
        bail!("there is no package of it\nhint: there are {}", series_of(&seen))
    }

    fn suite(&mut self, suite: &'static str) -> Result<&Apt> {
        Ok(match self.suites.entry(suite) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(Apt::open(&format!("kernels-{suite}"), &[suite])?),
        })
    }
}

/// The image of `package`, fetched unless the cache has it.
fn image_of(apt: &Apt, package: &str) -> Result<PathBuf> {
    let folder = cache_dir().join("kernels").join(apt.version(package)?);
    let image = folder.join("vmlinuz");
    if !image.exists() {
        unpack(apt, package, &folder, &image)?;
    }
    Ok(image)
}

fn unpack(apt: &Apt, package: &str, folder: &Path, image: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let scratch = tempfile::tempdir_in(cache_dir()).context("create a folder in the cache")?;
    apt.download(package, scratch.path())?;
    let files = apt::package_files(scratch.path())?;
    let file = files.first().with_context(|| format!("apt-get download {package} left no file"))?;
    let fresh = scratch.path().join("vmlinuz");
    extract_image(file, &fresh).with_context(|| format!("unpack {package}"))?;
    fs::rename(&fresh, image).with_context(|| format!("create {}", image.display()))
}

/// Only the image: the modules in the same package are ten times its size.
fn extract_image(package: &Path, image: &Path) -> Result<()> {
    let output = fs::File::create(image).with_context(|| format!("create {}", image.display()))?;
    let status = untar(
        package,
        Command::new("tar").args(["--extract", "--to-stdout", "--wildcards", IMAGE_PATTERN]).stdout(output),
    )?;
    if !status.success() {
        bail!("tar --extract {IMAGE_PATTERN}: {status}");
    }
    Ok(())
}

/// Gives the files of a Debian package to this `tar`, and tells how that ended.
fn untar(package: &Path, tar: &mut Command) -> Result<ExitStatus> {
    let mut contents = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("run dpkg-deb")?;
    let archive = contents.stdout.take().context("stdout was not piped")?;
    let unpacked = tar.stdin(archive).status().context("run tar")?;
    let status = contents.wait().context("wait for dpkg-deb")?;
    if !status.success() {
        bail!("dpkg-deb --fsys-tarfile {}: {status}", package.display());
    }
    Ok(unpacked)
}

fn newest_cached(folder: &Path, series: &Series) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let release = numbers(&entry.file_name().to_string_lossy());
        let image = entry.path().join("vmlinuz");
        if series.has(&release) && image.exists() {
            found.push((release, image));
        }
    }
    Ok(found.into_iter().max().map(|(_, image)| image))
}

fn newest_package<'a>(names: &'a [String], series: &Series) -> Option<&'a str> {
    let releases = names.iter().filter_map(|name| Some((release(name)?, name)));
    let newest = releases.filter(|(release, _)| series.has(release)).map(|(release, _)| release).max()?;
    // The same release in both kinds of package: the prefixes say which one holds the image.
    PACKAGE_PREFIXES.iter().find_map(|prefix| {
        names
            .iter()
            .find(|name| name.starts_with(prefix) && release(name).as_ref() == Some(&newest))
            .map(String::as_str)
    })
}

fn release(package: &str) -> Option<Vec<u64>> {
    let name = PACKAGE_PREFIXES.iter().find_map(|prefix| package.strip_prefix(prefix))?;
    Some(numbers(name.strip_suffix(PACKAGE_SUFFIX)?))
}

/// The numbers at the start of `version` and after it: 6.1.0-50 and 6.12.94+deb13 order by them.
fn numbers(version: &str) -> Vec<u64> {
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Vec::new();
    }
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn series_of(names: &[String]) -> String {
    let mut releases: Vec<_> = names.iter().filter_map(|name| release(name)).collect();
    releases.iter_mut().for_each(|release| release.truncate(2));
    releases.sort();
    releases.dedup();
    let text = |release: Vec<u64>| release.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
    releases.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12.94+deb13-cloud-amd64",
            "linux-binary-7.3.4+deb13-cloud-amd64",
            "linux-image-7.3.4+deb13-cloud-amd64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_series_is_not_a_prefix() {
        let newest = |series: &str| newest_package(&names(), &series.parse().unwrap()).map(str::to_owned);
        assert_eq!(newest("6.1").as_deref(), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(newest("6.12").as_deref(), Some("linux-image-6.12.94+deb13-cloud-amd64"));
        assert_eq!(newest("6.9"), None);
    }

    #[test]
    fn the_package_with_the_image_wins() {
        assert_eq!(newest_package(&names(), &Series::Newest), Some("linux-binary-7.3.4+deb13-cloud-amd64"));
    }

    #[test]
    fn the_series_that_are_there_are_told_once() {
        assert_eq!(series_of(&names()), "6.1, 6.12, 7.3");
    }

    #[test]
    fn nonsense_is_no_series() {
        assert!("6".parse::<Series>().is_err());
        assert!("6.x".parse::<Series>().is_err());
        assert_eq!("5.10".parse::<Series>().unwrap(), Series::Numbered(5, 10));
    }

    #[test]
    fn the_cache_gives_the_newest_whole_kernel() {
        let cache = tempfile::tempdir().unwrap();
        for version in ["6.1.99-1", "6.1.176-1", ".6.1.999"] {
            fs::create_dir(cache.path().join(version)).unwrap();
            fs::write(cache.path().join(version).join("vmlinuz"), version).unwrap();
        }
        fs::create_dir(cache.path().join("6.1.180-1")).unwrap();
        let found = newest_cached(cache.path(), &Series::Numbered(6, 1)).unwrap();
        assert_eq!(found, Some(cache.path().join("6.1.176-1/vmlinuz")));
    }
}
