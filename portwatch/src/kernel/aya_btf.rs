//! Gives aya what it needs of the kernel's type information, instead of letting it keep all of it.
//!
//! In: where programs go, and our own reader. Out: a [`Btf`](AyaBtf) that knows these functions and nothing else. aya
//! would parse all of it, which takes 20 MiB for as long as it is there. The programs can do without: they have no
//! CO-RE relocations, offsets are injected.

use aya::{Btf as AyaBtf, BtfError, EbpfLoader};
use aya_obj::btf::{BtfType, Func, FuncLinkage};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::btf::Btf;
use super::plan::{Feature, Kind};

/// A loader that has not read the kernel's type information.
///
/// `EbpfLoader::new` reads the file at once, whatever it is told later, and goes without where it cannot be opened (aya
/// 0.14; 0.15 reads it only when it is asked for). So it is called while this process may open no file. That lasts some
/// microseconds, at the start, when no other thread opens anything.
pub(super) fn loader<'a>() -> EbpfLoader<'a> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return EbpfLoader::new() };
    if setrlimit(Resource::RLIMIT_NOFILE, 0, hard).is_err() {
        return EbpfLoader::new();
    }
    let loader = EbpfLoader::new();
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, soft, hard) {
        log::warn!("restore the limit of open files to {soft}: {error}");
    }
    loader
}

/// What attaching by this plan looks up.
///
/// # Errors
/// Where all of it must be parsed, and cannot be: aya_obj offers no way to make the types that tracepoints are known
/// by.
pub(super) fn of_plan(types: &Btf, plan: &[Feature]) -> Result<AyaBtf, BtfError> {
    let planned = || {
        let planned = plan.iter().flat_map(|feature| &feature.ways).flatten();
        planned.filter(|planned| {
            planned.program.is_ok() && !matches!(planned.kind, Kind::MultiEntry | Kind::MultiExit)
        })
    };
    if planned().any(|planned| planned.kind == Kind::Tracepoint) {
        return AyaBtf::from_sys_fs();
    }
    Ok(with(planned().filter_map(|one| Some((one.function, types.function(one.function)?))).collect()))
}

/// Type information with these functions at these ids.
fn with(mut functions: Vec<(&str, u32)>) -> AyaBtf {
    functions.sort_unstable_by_key(|(_, id)| *id);
    functions.dedup_by_key(|(_, id)| *id);
    let mut btf = AyaBtf::new();
    // Id 0, void, is there from the start.
    let mut next = 1;
    for (name, id) in functions {
        while next < id {
            next = btf.add_type(BtfType::Unknown) + 1;
        }
        let name = btf.add_string(name);
        next = btf.add_type(BtfType::Func(Func::new(name, 0, FuncLinkage::Global))) + 1;
    }
    btf
}

#[cfg(test)]
mod tests {
    use aya::{Btf as AyaBtf, BtfError};
    use aya_obj::btf::BtfKind;

    use nix::sys::resource::{Resource, getrlimit};

    use super::{loader, with};
    use crate::kernel::btf::Btf;

    #[test]
    fn functions_have_the_ids_that_they_were_given() {
        let ids =
            [("tcp_v4_connect", 70_000), ("first", 1), ("next", 2), ("next", 2), ("third", 3), ("far", 1234)];
        let btf = with(ids.to_vec());
        for (name, id) in ids {
            assert_eq!(btf.id_by_type_name_kind(name, BtfKind::Func).unwrap(), id, "{name}");
        }
        let unknown = btf.id_by_type_name_kind("tcp_v6_connect", BtfKind::Func);
        assert!(matches!(unknown, Err(BtfError::UnknownBtfTypeName { .. })), "{unknown:?}");
    }

    /// In a process of its own: the limit is the whole process's, and other tests open files.
    #[test]
    fn the_loader_has_read_no_type_information_and_files_can_be_opened_again() {
        const ALONE: &str = "PORTWATCH_TEST_ALONE";
        let name = "kernel::aya_btf::tests::\
                    the_loader_has_read_no_type_information_and_files_can_be_opened_again";
        if std::env::var_os(ALONE).is_none() {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            let output = test.args(["--exact", name]).env(ALONE, "").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let shown = format!("{:?}", loader());
        assert!(shown.starts_with("EbpfLoader { btf: None,"), "{}", &shown[..shown.len().min(200)]);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
    }

    #[test]
    fn ids_are_those_that_aya_finds_in_the_running_kernel() {
        let Ok(whole) = AyaBtf::from_sys_fs() else {
            println!("skipped: this kernel has no BTF");
            return;
        };
        let own = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
        for name in ["tcp_v4_connect", "tcp_v6_connect", "__inet_hash_connect", "no_such_function"] {
            assert_eq!(own.function(name), whole.id_by_type_name_kind(name, BtfKind::Func).ok(), "{name}");
        }
        for name in ["sys_exit", "inet_sock_set_state", "no_such_tracepoint"] {
            let found = whole.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef);
            assert_eq!(own.tracepoint(name), found.ok(), "{name}");
        }
    }
}
