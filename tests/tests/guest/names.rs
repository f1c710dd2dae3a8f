//! Names that operators know: units, containers and pods, by control groups with names as runtimes give them.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use portwatch_tests::churn;
use portwatch_tests::netns::{Netns, set};
use portwatch_tests::portwatch::Watching;
use serde_json::{Value, json};

pub(crate) const ROOT: &str = "/sys/fs/cgroup";
const GROUPS: u32 = 400;

/// The path of control group `n`, and unit, container and pod of what runs in it.
pub(crate) fn group(n: u32) -> (String, [Value; 3]) {
    let id = format!("{n:064x}");
    let uid = format!("{n:08x}-4b69-4bdb-a7d5-5ecc73f04ae9");
    let container = |runtime: &str| json!({ "id": id, "runtime": runtime });
    match n % 6 {
        0 => (
            format!("names.slice/docker-{id}.scope"),
            [format!("docker-{id}.scope").into(), container("docker"), Value::Null],
        ),
        1 => {
            let slice = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
            (
                format!("kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{id}.scope"),
                [format!("cri-containerd-{id}.scope").into(), container("containerd"), json!({ "uid": uid })],
            )
        }
        2 => (
            format!("names.slice/shop-{n}.service/workers"),
            [format!("shop-{n}.service").into(), Value::Null, Value::Null],
        ),
        3 => (
            format!("names.slice/shop-{n}.service/libpod-payload-{id}"),
            [format!("shop-{n}.service").into(), container("podman"), Value::Null],
        ),
        4 => (
            format!("lxc.payload.web-{n}/system.slice/nginx.service"),
            ["nginx.service".into(), json!({ "id": format!("web-{n}"), "runtime": "lxc" }), Value::Null],
        ),
        _ => (format!("names.slice/a-{n}\u{1b}[2J"), ["names.slice".into(), Value::Null, Value::Null]),
    }
}

#[test]
fn processes_that_are_gone_are_told_with_their_unit_container_and_pod() {
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    let folders: Vec<String> = groups.iter().map(|(path, _)| format!("{ROOT}/{path}")).collect();
    folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let file = File::open("/proc/thread-self/ns/net").unwrap();
    let file = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    // Each control group is used twice, so the second time it is known.
    let (count, list) = ((2 * GROUPS).to_string(), folders.join(","));
    churn::run(&["strangers", &count, "--cgroups", &list, "--namespaces", &file]).unwrap();
    let session = watching.end().unwrap();
    folders.iter().for_each(|folder| remove(Path::new(folder)));

    let mut shown: Vec<_> = session.failures().collect();
    shown.sort_by_key(|failure| failure["process"]["uid"].as_u64());
    assert_eq!(shown.len(), 2 * GROUPS as usize, "{}", session.end());
    let names = |line: &Value| ["unit", "container", "pod"].map(|name| line["process"][name].clone());
    let mut gone = 0;
    for (n, failure) in shown.iter().enumerate() {
        let (path, expected) = &groups[n % groups.len()];
        assert_eq!(names(failure), *expected, "{path}: {failure}");
        gone += u32::from(failure["process"]["exited"] == true);
    }
    println!("{gone} of {} were gone when they were looked up", shown.len());
    assert!(gone > GROUPS / 4, "too few were gone: {gone}");
    for row in session.rows() {
        let uid = u32::try_from(row["process"]["uid"].as_u64().unwrap()).unwrap();
        let n = (0..2 * GROUPS).find(|n| churn::user(*n) == uid).unwrap();
        let (path, expected) = &groups[n as usize % groups.len()];
        assert_eq!(names(row), *expected, "{path}: {row}");
    }
    assert!(session.end()["lookups_unanswered"].is_null(), "{}", session.end());
}

#[test]
fn a_pod_that_is_new_has_its_name_by_the_folder_that_kubelet_made() {
    const UID: &str = "214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9";
    let id = format!("{:064x}", 0x7d8f);
    let folder = format!("{ROOT}/kubepods/burstable/pod{UID}/{id}");
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let file = File::open("/proc/thread-self/ns/net").unwrap();
    let file = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let watching = Watching::start(&["trace", "--json", "--kubernetes"]).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let logs = [format!("/var/log/pods/shop_web-7d8f_{UID}"), "/var/log/containers".to_owned()];
    logs.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let log = format!("/var/log/containers/web-7d8f_shop_my-app-{id}.log");
    fs::write(&log, "").unwrap();
    churn::run(&["strangers", "3", "--cgroups", &folder, "--namespaces", &file]).unwrap();
    let session = watching.end().unwrap();
    remove(Path::new(&folder));
    fs::remove_file(&log).unwrap();
    logs.iter().for_each(|folder| fs::remove_dir(folder).unwrap());
    assert_eq!(session.failures().count(), 3, "{}", session.stdout);
    for failure in session.failures() {
        let process = &failure["process"];
        assert_eq!(
            process["pod"],
            json!({ "uid": UID, "namespace": "shop", "name": "web-7d8f" }),
            "{failure}"
        );
        assert_eq!(process["container"], json!({ "id": id, "name": "my-app" }), "{failure}");
    }
}

/// The folder, and those above it that are empty then.
pub(crate) fn remove(folder: &Path) {
    let above = folder.ancestors().take_while(|above| *above != Path::new(ROOT));
    for folder in above {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}
