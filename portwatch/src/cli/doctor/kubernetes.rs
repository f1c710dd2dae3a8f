//! Where `--kubernetes` would have its names from.
//!
//! In: nothing. Out: a check for each place there is, and none where this is no node of Kubernetes.

use super::{Check, Mark};
use crate::cli::session::only_ask;
use crate::enrich::{NameSource, name_sources};
use crate::term::clean;

/// Asks each.
pub(super) fn tried() -> Vec<Check> {
    name_sources(only_ask).iter().map(check).collect()
}

fn check(NameSource { place, names }: &NameSource) -> Check {
    let what = "--kubernetes".to_owned();
    let place = clean(place.as_os_str().as_encoded_bytes());
    match names {
        Ok(names) => {
            let finding = format!("names at {place}: {names}");
            Check { mark: Mark::Ok, what, finding, hint: None }
        }
        Err([finding, hint]) => {
            let finding = format!("{place} tells no names of pods: {finding}");
            Check { mark: Mark::Note, what, finding, hint: Some(hint.clone()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::cli::doctor::shown;
    use crate::enrich::NameSource;
    use crate::term::Paint;

    #[test]
    fn who_knows_names_is_told_and_who_does_not_with_what_helps() {
        let cases = [
            (
                NameSource { place: "/var/log/pods".into(), names: Ok(31) },
                "ok         --kubernetes                  names at /var/log/pods: 31\n",
            ),
            (
                NameSource {
                    place: "/run/crio/crio.sock".into(),
                    names: Err(["Permission denied".to_owned(), "be root".to_owned()]),
                },
                "note       --kubernetes                  /run/crio/crio.sock tells no names of pods: Permission denied\n\
                 \x20                                        hint: be root\n",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(shown(&check(&source), Paint::Plain), expected);
        }
    }
}
