//! What is given up once all is open, tried in threads that end at once.

use std::thread;

use super::{Check, Mark};
use crate::kernel;
use crate::privileges::{Confined, Duty, Looking, confine};

/// As `trace` does: its main thread, and one that only writes.
pub(super) fn tried() -> Vec<Check> {
    let looking = Looking { enters_namespaces: true, maps: Some(kernel::answers), ends_command: false };
    match [&Duty::Look(looking), &Duty::Write].map(in_a_thread) {
        [Ok(looks), Ok(writes)] => checks(&looks, &writes),
        [Err(why), _] | [_, Err(why)] => vec![note("giving up privileges", why)],
    }
}

fn in_a_thread(duty: &Duty<'_>) -> Result<Confined, String> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || confine(duty));
        let confined = thread.map_err(|error| format!("not tried: start a thread: {error}"))?.join();
        confined.map_err(|_| "not tried: the thread that tries it has failed".to_owned())
    })
}

fn checks(looks: &Confined, writes: &Confined) -> Vec<Check> {
    let mut checks: Vec<Check> =
        looks.kept.iter().map(|kept| ok(&format!("keeps {}", kept.name), kept.why)).collect();
    match &looks.capabilities {
        Err(why) => checks.push(note("keeps its capabilities", format!("giving them up failed: {why}"))),
        Ok(()) if looks.kept.is_empty() => {
            checks.push(ok("keeps no capability", "there is none that it has a use for"));
        }
        Ok(()) => {}
    }
    let lacking = looks.lacking.iter();
    checks.extend(
        lacking.map(|right| note(&format!("lacks {}", right.name), format!("goes without {}", right.why))),
    );
    let or_missing = |what, result: &Result<(), String>, finding| match result {
        Ok(()) => ok(what, finding),
        Err(why) => note(what, format!("not here: {why}; portwatch goes on without it")),
    };
    checks.push(or_missing("no_new_privs", &looks.no_new_privs, "no file that is executed gives privileges"));
    checks.push(or_missing("seccomp", &looks.seccomp, "only the system calls that watching takes"));
    checks.push(match &writes.landlock {
        Ok(Some(version)) => ok(
            "Landlock",
            &format!(
                "version {version}: writes captures in their folder only, reads those that are named only"
            ),
        ),
        Ok(None) => note("Landlock", "not tried".to_owned()),
        Err(why) => note("Landlock", format!("not here: {why}; portwatch goes on without it")),
    });
    checks
}

fn ok(what: &str, finding: &str) -> Check {
    Check { mark: Mark::Ok, what: what.to_owned(), finding: finding.to_owned(), hint: None }
}

fn note(what: &str, finding: String) -> Check {
    Check { mark: Mark::Note, what: what.to_owned(), finding, hint: None }
}

#[cfg(test)]
mod tests {
    use super::checks;
    use crate::cli::doctor::shown;
    use crate::privileges::{Confined, Right};
    use crate::term::Paint;

    fn confined(kept: Vec<Right>, landlock: Result<Option<u8>, String>) -> Confined {
        Confined {
            kept,
            lacking: Vec::new(),
            capabilities: Ok(()),
            no_new_privs: Ok(()),
            landlock,
            seccomp: Ok(()),
        }
    }

    fn said(looks: &Confined, writes: &Confined) -> String {
        checks(looks, writes).iter().map(|check| shown(check, Paint::Plain)).collect()
    }

    #[test]
    fn what_is_kept_is_told_with_its_reason_and_what_is_missing_with_what_follows() {
        let kept = vec![Right { name: "CAP_SYS_PTRACE", why: "what is in /proc" }];
        let here = said(&confined(kept, Ok(None)), &confined(Vec::new(), Ok(Some(6))));
        assert_eq!(
            here,
            "ok         keeps CAP_SYS_PTRACE          what is in /proc\n\
             ok         no_new_privs                  no file that is executed gives privileges\n\
             ok         seccomp                       only the system calls that watching takes\n\
             ok         Landlock                      version 6: writes captures in their folder only, reads those that \
             are named only\n"
        );
        let missing = || Err("no such thing".to_owned());
        let mut bare = confined(Vec::new(), Ok(None));
        bare.lacking = vec![Right { name: "CAP_SYS_ADMIN", why: "entering" }];
        bare.seccomp = Err("Permission denied".to_owned());
        let nothing = said(&bare, &confined(Vec::new(), missing()));
        assert_eq!(
            nothing,
            "ok         keeps no capability           there is none that it has a use for\n\
             note       lacks CAP_SYS_ADMIN           goes without entering\n\
             ok         no_new_privs                  no file that is executed gives privileges\n\
             note       seccomp                       not here: Permission denied; portwatch goes on without it\n\
             note       Landlock                      not here: no such thing; portwatch goes on without it\n"
        );
    }
}
