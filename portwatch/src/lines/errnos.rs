//! Names of errors, made once.

use std::sync::LazyLock;

use crate::event::Errno;

/// One more than the largest number that names exist for.
const END: u16 = 192;

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| (0..END).map(|errno| Errno(errno).name()).collect());

/// Hands on [`Errno::name`].
pub(super) fn with_name<R>(errno: Errno, then: impl FnOnce(&str) -> R) -> R {
    match NAMES.get(usize::from(errno.0)) {
        Some(name) => then(name),
        None => then(&errno.name()),
    }
}

/// The number that [`Errno::name`] gave this name.
pub(super) fn named(name: &str) -> Option<Errno> {
    let is_number = name.starts_with(|first: char| first.is_ascii_digit());
    let numbered = || name.parse().ok().map(Errno).filter(|errno| errno.name() == name);
    if is_number { numbered() } else { Errno::from_name(name) }
}

#[cfg(test)]
mod tests {
    use super::{named, with_name};
    use crate::event::Errno;

    #[test]
    fn every_number_has_the_name_that_it_had_and_comes_back() {
        for errno in (0..400).chain([u16::MAX]).map(Errno) {
            assert_eq!(with_name(errno, str::to_owned), errno.name());
            assert_eq!(named(&errno.name()), Some(errno), "{}", errno.name());
        }
        for name in ["", "099", "65536", "ENOTHING", "-1", "99 "] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
