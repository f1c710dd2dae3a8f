//! Of whom is said where they run.

use super::{Check, Mark};
use crate::enrich::Reach;
use crate::term::named;

pub(super) fn check(reach: &Reach) -> Check {
    let (mark, finding, hint) = match reach {
        Reach::Ended(root) => (
            Mark::Ok,
            format!(
                "also of processes that have ended: unit, container and pod, by control groups at {}",
                named(root)
            ),
            None,
        ),
        Reach::EndedInLiving(root) => (
            Mark::Note,
            format!(
                "unit, container and pod by control groups at {}; of those that are gone, as with a short container, none \
                 is known",
                named(root)
            ),
            Some("CAP_DAC_READ_SEARCH finds these, too: run as root".to_owned()),
        ),
        Reach::Living => (
            Mark::Note,
            "unit, container and pod of processes that live only: there are no control groups of version 2"
                .to_owned(),
            Some("boot with systemd.unified_cgroup_hierarchy=1".to_owned()),
        ),
    };
    Check { mark, what: "names".to_owned(), finding, hint }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::cli::doctor::shown;
    use crate::enrich::Reach;
    use crate::term::Paint;

    #[test]
    fn of_whom_names_are_known_is_said_and_what_would_tell_more() {
        let root = || "/sys/fs/cgroup".into();
        let cases = [
            (Reach::Ended(root()), ("ok ", "also of processes that have ended", false)),
            (Reach::EndedInLiving(root()), ("note ", "of those that are gone", true)),
            (Reach::Living, ("note ", "that live only", true)),
        ];
        for (reach, (mark, words, tells_what_to_do)) in cases {
            let text = shown(&check(&reach), Paint::Plain);
            assert!(text.starts_with(mark) && text.contains(words), "{text}");
            assert_eq!(text.contains("hint: "), tells_what_to_do, "{text}");
        }
    }
}
