//! Paths as runtimes make them, with what operators call what runs there.

use super::{Names, names};
use crate::event::{Runtime, Text};

const ID: &str = "3f084b4c7b789c1a0f174da3fcd339e31125d3096b3ff46a0bef4fad71d09362";
const NODE: &str = "47335b04ebb4aefdc353dda62ddd38e5e1e00fc1372f0c8d0138417f0ccb9e6c";
const UID: &str = "214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9";
const UID_IN_SLICE: &str = "214f3ba8_4b69_4bdb_a7d5_5ecc73f04ae9";

/// Where it is, its path with `ID`, `NODE`, `UID`, `U_I_D`; then unit, container, runtime, pod, each `-` for none.
type Case = (&'static str, &'static str, [&'static str; 4]);

const DOCKER: &[Case] = &[
    ("Docker by systemd", "/system.slice/docker-ID.scope", ["docker-ID.scope", "ID", "docker", "-"]),
    ("Docker by cgroupfs", "/docker/ID", ["-", "ID", "docker", "-"]),
    ("below a container of Docker", "/docker/ID/init.scope", ["init.scope", "ID", "docker", "-"]),
    ("Docker with a parent of its own", "/team/ID", ["-", "ID", "-", "-"]),
    ("ECS", "/ecs/0123456789abcdef0123456789abcdef/ID", ["-", "ID", "-", "-"]),
    ("BuildKit", "/docker/buildkit/ID", ["-", "ID", "docker", "-"]),
    (
        "Docker with a slice of its own",
        "/team.slice/docker-ID.scope/payload",
        ["docker-ID.scope", "ID", "docker", "-"],
    ),
    (
        "rootless Docker",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        ["user@1000.service/docker-ID.scope", "ID", "docker", "-"],
    ),
    ("Docker itself", "/system.slice/docker.service", ["docker.service", "-", "-", "-"]),
];

const CONTAINERD: &[Case] = &[
    ("containerd by itself", "/default/ID", ["-", "ID", "containerd", "-"]),
    ("nerdctl by systemd", "/system.slice/nerdctl-ID.scope", ["nerdctl-ID.scope", "ID", "containerd", "-"]),
    (
        "its CRI outside a pod",
        "/system.slice/system-getty.slice/cri-containerd-ID.scope",
        ["cri-containerd-ID.scope", "ID", "containerd", "-"],
    ),
    ("containerd itself", "/system.slice/containerd.service", ["containerd.service", "-", "-", "-"]),
];

const CRI_O_AND_PODMAN: &[Case] = &[
    ("CRI-O by cgroupfs", "/crio-ID", ["-", "ID", "cri-o", "-"]),
    ("CRI-O's monitor", "/system.slice/crio-conmon-ID.scope", ["crio-conmon-ID.scope", "-", "-", "-"]),
    ("podman", "/machine.slice/libpod-ID.scope/container", ["libpod-ID.scope", "ID", "podman", "-"]),
    ("podman by cgroupfs", "/libpod_parent/libpod-ID", ["-", "ID", "podman", "-"]),
    ("podman's monitor", "/machine.slice/libpod-conmon-ID.scope", ["libpod-conmon-ID.scope", "-", "-", "-"]),
    (
        "a pod of podman",
        "/machine.slice/machine-libpod_pod_NODE.slice/libpod-ID.scope/container",
        ["libpod-ID.scope", "ID", "podman", "-"],
    ),
    (
        "rootless podman",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        ["user@1000.service/libpod-ID.scope", "ID", "podman", "-"],
    ),
    (
        "podman in a service",
        "/system.slice/nginx.service/libpod-payload-ID",
        ["nginx.service", "ID", "podman", "-"],
    ),
    ("the monitor beside it", "/system.slice/nginx.service/runtime", ["nginx.service", "-", "-", "-"]),
    (
        "rootless podman in a service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service/libpod-payload-ID",
        ["user@1000.service/redis.service", "ID", "podman", "-"],
    ),
];

const LXC: &[Case] = &[
    ("LXC", "/lxc.payload.web", ["-", "web", "lxc", "-"]),
    (
        "a service in Incus",
        "/lxc.payload.gha-fleet_worker/system.slice/nginx.service",
        ["nginx.service", "gha-fleet_worker", "lxc", "-"],
    ),
    ("LXC 2", "/lxc/web", ["-", "web", "lxc", "-"]),
    ("LXC 3.0", "/lxc.payload/web", ["-", "web", "lxc", "-"]),
    ("its monitor", "/lxc.monitor.web", ["-", "-", "-", "-"]),
    (
        "Docker in LXC",
        "/lxc.payload.web/system.slice/docker-ID.scope",
        ["docker-ID.scope", "ID", "docker", "-"],
    ),
];

const KUBERNETES: &[Case] = &[
    (
        "containerd, burstable",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_I_D.slice/cri-containerd-ID.scope",
        ["cri-containerd-ID.scope", "ID", "containerd", "UID"],
    ),
    (
        "CRI-O, guaranteed, by crun",
        "/kubepods.slice/kubepods-podU_I_D.slice/crio-ID.scope/container",
        ["crio-ID.scope", "ID", "cri-o", "UID"],
    ),
    (
        "Docker, dashes in the slice",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/docker-ID.scope",
        ["docker-ID.scope", "ID", "docker", "UID"],
    ),
    ("cgroupfs, burstable", "/kubepods/burstable/podUID/ID", ["-", "ID", "-", "UID"]),
    ("cgroupfs, guaranteed", "/kubepods/podUID/ID", ["-", "ID", "-", "UID"]),
    ("cgroupfs, CRI-O", "/kubepods/besteffort/podUID/crio-ID", ["-", "ID", "cri-o", "UID"]),
    (
        "a static pod",
        "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/ID",
        ["-", "ID", "-", "0123456789abcdef0123456789abcdef"],
    ),
    ("from another namespace of control groups", "/../../podUID/ID", ["-", "ID", "-", "UID"]),
    (
        "systemd's name taken for a folder",
        "/system.slice/containerd.service/kubepods-besteffort-podU_I_D.slice:cri-containerd:ID",
        ["containerd.service", "ID", "containerd", "UID"],
    ),
    (
        "the same at the root",
        "/kubepods-burstable-podU_I_D.slice:cri-containerd:ID",
        ["-", "ID", "containerd", "UID"],
    ),
    (
        "kind",
        "/system.slice/docker-NODE.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
         kubelet-kubepods-besteffort-podU_I_D.slice/cri-containerd-ID.scope",
        ["docker-NODE.scope", "ID", "containerd", "UID"],
    ),
    ("kind by cgroupfs", "/docker/NODE/kubelet/kubepods/burstable/podUID/ID", ["-", "ID", "-", "UID"]),
    (
        "kubelet in kind",
        "/docker/NODE/kubelet.slice/kubelet.service",
        ["kubelet.service", "NODE", "docker", "-"],
    ),
    (
        "between pod and container",
        "/kubepods.slice/kubepods-podU_I_D.slice",
        ["kubepods-podU_I_D.slice", "-", "-", "UID"],
    ),
];

const SYSTEMD: &[Case] = &[
    ("a service", "/system.slice/nginx.service", ["nginx.service", "-", "-", "-"]),
    ("below it", "/system.slice/nginx.service/workers/one", ["nginx.service", "-", "-", "-"]),
    (
        "an instance",
        "/system.slice/system-getty.slice/getty@tty1.service",
        ["getty@tty1.service", "-", "-", "-"],
    ),
    (
        "an escaped name",
        r"/system.slice/system-disk\x2dcheck.slice/disk\x2dcheck@dev-sda.service",
        [r"disk\x2dcheck@dev-sda.service", "-", "-", "-"],
    ),
    ("a name that a controller could have", "/system.slice/_cpu.service", ["cpu.service", "-", "-", "-"]),
    ("a session", "/user.slice/user-1000.slice/session-3.scope", ["session-3.scope", "-", "-", "-"]),
    (
        "a user's service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/kollektiv@8000.service",
        ["user@1000.service/kollektiv@8000.service", "-", "-", "-"],
    ),
    (
        "a user's manager",
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        ["user@1000.service/init.scope", "-", "-", "-"],
    ),
    (
        "a user's folder",
        "/user.slice/user-1000.slice/user@1000.service/mine/nginx.service",
        ["user@1000.service", "-", "-", "-"],
    ),
    ("process 1", "/init.scope", ["init.scope", "-", "-", "-"]),
    ("only slices", "/system.slice/system-getty.slice", ["system-getty.slice", "-", "-", "-"]),
    ("a mount's helper", "/system.slice/mnt-data.mount", ["mnt-data.mount", "-", "-", "-"]),
    ("the root", "/", ["-", "-", "-", "-"]),
    ("nobody's folder", "/a/b/c", ["-", "-", "-", "-"]),
];

const HOSTILE: &[Case] = &[
    ("nothing", "", ["-", "-", "-", "-"]),
    ("suffixes alone", "/.service/.slice/.scope", ["-", "-", "-", "-"]),
    ("what is no unit's name", "/a b.service/\u{1b}[2J.scope/\u{202e}.slice", ["-", "-", "-", "-"]),
    ("a number that is too short", "/docker/abc/docker-abc.scope", ["docker-abc.scope", "-", "-", "-"]),
    ("capitals", "/docker/3F084B4C7B789C1A0F174DA3FCD339E31125D3096B3FF46A0BEF4FAD71D09362", ["-"; 4]),
    (
        "no name behind the prefix",
        "/lxc.payload./docker-.scope/pod/-pod.slice",
        ["docker-.scope", "-", "-", "-"],
    ),
    ("what is no pod's", "/kubepods/pod0123/kubepods-podx.slice", ["kubepods-podx.slice", "-", "-", "-"]),
    ("colons", "/:::/a:b/::ID/x:docker:ID", ["-", "ID", "docker", "-"]),
    ("a service in a service", "/system.slice/a.service/nginx.service", ["a.service", "-", "-", "-"]),
];

#[test]
fn each_path_has_the_names_that_operators_know() {
    for (what, path, expected) in
        [DOCKER, CONTAINERD, CRI_O_AND_PODMAN, LXC, KUBERNETES, SYSTEMD, HOSTILE].concat()
    {
        let filled = |text: &str| {
            let long = [("UID", UID), ("U_I_D", UID_IN_SLICE), ("NODE", NODE), ("ID", ID)];
            long.iter().fold(text.to_owned(), |text, (short, long)| text.replace(short, long))
        };
        assert_eq!(said(names(filled(path).as_bytes())), expected.map(filled), "{what}: {path}");
    }
}

fn said(Names { unit, container, pod }: Names) -> [String; 4] {
    let text = |text: Option<Text>| text.map_or("-".to_owned(), |text| String::from_utf8(text.0).unwrap());
    let (id, runtime) = container.map(|container| (container.id, container.runtime)).unzip();
    let runtime = match runtime.flatten() {
        Some(Runtime::Docker) => "docker",
        Some(Runtime::Containerd) => "containerd",
        Some(Runtime::CriO) => "cri-o",
        Some(Runtime::Podman) => "podman",
        Some(Runtime::Lxc) => "lxc",
        None => "-",
    };
    [text(unit), text(id), runtime.to_owned(), text(pod.map(|pod| pod.uid))]
}

#[test]
fn bytes_that_are_no_text_are_kept_as_they_are() {
    let of = names(b"/lxc.payload.\xff\xfe\x1b/x");
    assert_eq!(of.container.unwrap().id, Text(b"\xff\xfe\x1b".to_vec()));
}

#[test]
fn no_path_makes_it_panic() {
    let parts: [&[u8]; 12] = [
        b"",
        b"/",
        b"..",
        b"pod",
        b"-pod",
        b".slice",
        b"_",
        b":",
        b"user@",
        b".service",
        b"docker-",
        b"\xff",
    ];
    for number in 0..parts.len().pow(4) {
        let path: Vec<u8> =
            (0..4).flat_map(|at| parts[number / parts.len().pow(at) % parts.len()]).copied().collect();
        let of = names(&path);
        assert!(of.unit.is_none_or(|unit| unit.0.len() <= 2 * path.len()), "{path:?}");
    }
}
