//! As the manifest of the DaemonSet runs it: these arguments, these capabilities and no others, and a root with nothing
//! but the executable.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use caps::{CapSet, Capability, CapsHashSet};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{chdir, chroot};
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::scrape::{sum, told_when};
use portwatch_tests::tally;

const MANIFEST: &str = include_str!("../../../packaging/kubernetes/daemonset.yaml");
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 7678);
const PATIENCE: Duration = Duration::from_secs(30);

/// A list of the manifest: what stands in one line in brackets, which is JSON as well.
fn listed(key: &str) -> Vec<String> {
    let lines: Vec<&str> = MANIFEST.lines().filter_map(|line| line.trim().strip_prefix(key)).collect();
    assert_eq!(lines.len(), 1, "{key} {lines:?}");
    serde_json::from_str(lines[0].trim()).unwrap()
}

/// The root of a container: the executable, and what the runtime mounts.
fn enter(root: &Path) -> std::io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some(root), root, none, MsFlags::MS_BIND, none)?;
    mount(none, root, none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)?;
    mount(Some("/proc"), &root.join("proc"), none, MsFlags::MS_BIND, none)?;
    mount(Some("/sys"), &root.join("sys"), none, MsFlags::MS_BIND, none)?;
    mount(none, &root.join("sys"), none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)?;
    chroot(root)?;
    chdir("/")?;
    Ok(())
}

/// Root without what the container is not given.
fn confine(wanted: &CapsHashSet) -> std::io::Result<()> {
    // What of them is given to the executable, the bounding set decides, as it is run by root.
    let set = |which, wanted: &CapsHashSet| caps::set(None, which, wanted).map_err(std::io::Error::other);
    for capability in caps::all().difference(wanted) {
        // What this kernel does not know it need not give up.
        let _ = caps::drop(None, CapSet::Bounding, *capability);
    }
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Effective, wanted)?;
    set(CapSet::Permitted, wanted)?;
    set_no_new_privs()?;
    Ok(())
}

#[test]
fn as_the_manifest_says_it_sees_the_host_and_explains_what_it_sees() {
    let args = listed("args:").into_iter().map(|arg| arg.replace("$(HOST_IP)", "127.0.0.1"));
    let wanted: CapsHashSet =
        listed("add:").iter().map(|name| format!("CAP_{name}").parse::<Capability>().unwrap()).collect();
    let root = tempfile::tempdir().unwrap();
    fs::copy(std::env::var("PORTWATCH_BIN").unwrap(), root.path().join("portwatch")).unwrap();
    for folder in ["proc", "sys", "var/log/pods", "var/log/containers"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    let host = Netns::with_ports(40000, 40003).unwrap();
    let mut command = Command::new("/portwatch");
    command.args(args).stdin(Stdio::null()).env_clear();
    let inside = root.path().to_owned();
    let prepare = move || enter(&inside).and_then(|()| confine(&wanted));
    // SAFETY: between fork and exec, in a child of a process whose other threads hold no lock that is needed here.
    unsafe { command.pre_exec(prepare) };
    let watching = Watching::start_as(command).unwrap();
    // Somebody else's namespace, as that of another container.
    let other = Netns::with_ports(41000, 41003).unwrap();
    let full = Full::new("127.0.0.1:8080", 4).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "20"]).unwrap();
    let row = format!(
        r#""netns":{},"protocol":"tcp","source":"127.0.0.1","destination":{{"address":"127.0.0.1","port":8080}},"used":4,"usable":4,"#,
        other.id
    );
    watching.wait_for(&row, PATIENCE).unwrap();
    drop(full);
    // Metrics are told in the namespace that it was started in, which no thread of the test is in any more.
    let within = fs::File::open(format!("/proc/{}/ns/net", watching.pid())).unwrap();
    nix::sched::setns(within, CloneFlags::CLONE_NEWNET).unwrap();
    let told =
        told_when(ADDRESS.into(), "portwatch_failures_by_cause_total{cause=\"range_exhausted\"}", 20.0)
            .unwrap();
    assert_eq!(sum(&told, "portwatch_delivered_total"), 20.0, "{told}");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", watching.pid())).unwrap();
    assert!(mounts.lines().any(|line| line.contains(" / ro,")), "its root can be written: {mounts}");
    let session = watching.end().unwrap();
    assert_eq!(session.counted(|row| row["process"]["pid"] == tally.pid), 20, "{}", session.stdout);
    let failure = session.failures().next().unwrap();
    assert_eq!((&failure["netns"], &failure["cause"]), (&other.id.into(), &"range_exhausted".into()));
    assert!(failure["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with("loadgen")), "{failure}");
    assert_ne!(host.id, other.id);
    let verdicts = session.lines.iter().filter(|line| line["type"] == "verdict");
    assert!(verdicts.count() > 0, "nothing is explained: {}{}", session.stdout, session.stderr);
}
