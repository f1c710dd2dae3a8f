//! What is in portwatch's Debian package, and where.
//!
//! In: the executable, pages and completions as `dist` has left them, and the files in `packaging/`. Out: the package.
//! Must not know: the format of packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::deb::{self, Tree};
use crate::checkout::Checkout;

/// Of this workspace, as all of its packages have it, and the first package of that version.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");
const ARCHITECTURE: &str = "amd64";
/// Where nobody says what time it is, 2026-01-01: the same sources make the same package on any day.
const TIME: u64 = 1_767_225_600;
/// Says what time it is, in seconds since 1970: reproducible-builds.org/specs/source-date-epoch.
const TIME_VARIABLE: &str = "SOURCE_DATE_EPOCH";
const PROGRAM: u32 = 0o755;
const TEXT: u32 = 0o644;

const DOCUMENTS: &str = "usr/share/doc/portwatch";
/// Folders of examples in `packaging/`, and how the names of those end that a host can use.
const EXAMPLES: [(&str, &str); 2] = [("prometheus", ".rules.yml"), ("grafana", ".json")];
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Makes the package of what is in the folder `dist`, and returns its path, in the same folder.
pub(super) fn build(checkout: &Checkout, dist: &Path) -> Result<PathBuf> {
    let data = data(checkout, dist)?;
    let control = control(checkout, &data)?;
    let bytes = deb::package(&control, &data, time(std::env::var(TIME_VARIABLE).ok().as_deref())?)?;
    let path = dist.join(format!("portwatch_{VERSION}_{ARCHITECTURE}.deb"));
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn time(told: Option<&str>) -> Result<u64> {
    let Some(told) = told else { return Ok(TIME) };
    told.parse().with_context(|| format!("{TIME_VARIABLE}={told}\nhint: seconds since 1970, such as {TIME}"))
}

fn control(checkout: &Checkout, data: &Tree) -> Result<Tree> {
    let folder = checkout.path("packaging/debian");
    let mut control = Tree::default();
    let about = String::from_utf8(read(&folder.join("control"))?).context("read packaging/debian/control")?;
    let size = data.size_kib();
    let head = format!("Version: {VERSION}\nArchitecture: {ARCHITECTURE}\nInstalled-Size: {size}\n");
    let (name, rest) = about.split_once('\n').context("packaging/debian/control has one line")?;
    control.file("control", TEXT, format!("{name}\n{head}{rest}"));
    for script in SCRIPTS {
        control.file(script, PROGRAM, read(&folder.join(script))?);
    }
    Ok(control)
}

fn data(checkout: &Checkout, dist: &Path) -> Result<Tree> {
    let mut data = Tree::default();
    data.file("usr/bin/portwatch", PROGRAM, read(&dist.join("portwatch"))?);
    let unit = read(&checkout.path("packaging/portwatch.service"))?;
    data.file("usr/lib/systemd/system/portwatch.service", TEXT, unit);
    for (name, page) in files(&dist.join("man"))? {
        data.file(&format!("usr/share/man/man1/{name}.gz"), TEXT, deb::gzip(&page)?);
    }
    let completions = dist.join("completions");
    for (name, place) in [
        ("portwatch.bash", "usr/share/bash-completion/completions/portwatch"),
        ("_portwatch", "usr/share/zsh/vendor-completions/_portwatch"),
        ("portwatch.fish", "usr/share/fish/vendor_completions.d/portwatch.fish"),
    ] {
        data.file(place, TEXT, read(&completions.join(name))?);
    }
    for (kind, ending) in EXAMPLES {
        let folder = checkout.path("packaging").join(kind);
        let examples = if folder.exists() { files(&folder)? } else { Vec::new() };
        for (name, example) in examples.into_iter().filter(|(name, _)| name.ends_with(ending)) {
            data.file(&format!("{DOCUMENTS}/examples/{name}"), TEXT, example);
        }
    }
    let page = read(&checkout.path("docs/operators.md"))?;
    data.file(&format!("{DOCUMENTS}/operators.md"), TEXT, page);
    let debian = checkout.path("packaging/debian");
    data.file(&format!("{DOCUMENTS}/copyright"), TEXT, read(&debian.join("copyright"))?);
    data.file(&format!("{DOCUMENTS}/changelog.gz"), TEXT, deb::gzip(&read(&checkout.path("CHANGELOG.md"))?)?);
    let changes =
        String::from_utf8(read(&debian.join("changelog"))?).context("read packaging/debian/changelog")?;
    let changes = changes.replace("@VERSION@", VERSION);
    data.file(&format!("{DOCUMENTS}/changelog.Debian.gz"), TEXT, deb::gzip(changes.as_bytes())?);
    let overrides = read(&debian.join("lintian-overrides"))?;
    data.file("usr/share/lintian/overrides/portwatch", TEXT, overrides);
    Ok(data)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// The files in a folder, by their names.
fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("read {}", folder.display()))?;
    let file =
        |entry: fs::DirEntry| Ok((entry.file_name().to_string_lossy().into_owned(), read(&entry.path())?));
    entries.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::{TIME, time};

    #[test]
    fn the_time_is_what_is_told_and_else_always_the_same() {
        assert_eq!(time(None).unwrap(), TIME);
        assert_eq!(time(Some("1700000000")).unwrap(), 1_700_000_000);
        assert!(time(Some("today")).unwrap_err().to_string().contains("hint: seconds"));
    }
}
