//! Asked of runtimes that answer, and of those that do anything else.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message as _;
use prost::bytes::Bytes;

use super::answer::{InPod, Listed, MOST_CONTAINERS, listed};
use super::call::{MOST_BYTES, Refused, list_containers};
use super::fake::{Answer, CONTAINERD, CRI_O, Described, Does, Fake, described, id, prefixed, uid};
use super::{AGAIN, Found, Runtimes, runtime, tried};
use crate::event::{PodName, Text};

/// Longer than any test takes.
const PATIENT: Duration = Duration::from_secs(60);

fn text(text: &str) -> Text {
    Text(text.as_bytes().to_vec())
}

fn in_pod(n: u32) -> InPod {
    let pod = PodName { namespace: text("shop"), name: text(&format!("web-{n}")) };
    InPod { id: text(&id(n)), name: text("app"), uid: text(&uid(n)), pod }
}

fn encoded(containers: Vec<Described>) -> Bytes {
    Answer { containers }.encode_to_vec().into()
}

/// Container 1 with another label.
fn labelled(key: &str, value: &str) -> Described {
    let mut container = described(1);
    container.labels.insert(format!("io.kubernetes.{key}"), value.to_owned());
    container
}

#[test]
fn names_are_those_that_kubelet_has_given_and_nothing_else() {
    let without = |key: &str| {
        let mut container = described(1);
        container.labels.remove(&format!("io.kubernetes.{key}"));
        container
    };
    let cases = [
        ("as it is", described(1), true),
        ("a static pod", labelled("pod.uid", &"a".repeat(32)), true),
        ("made by hand", Described { id: id(1), ..Described::default() }, false),
        ("nothing", Described::default(), false),
        ("a short identifier", Described { id: "1".to_owned(), ..described(1) }, false),
        (
            "an identifier that leads elsewhere",
            Described { id: "../".repeat(21) + "/", ..described(1) },
            false,
        ),
        ("no pod", without("pod.name"), false),
        ("no namespace", without("pod.namespace"), false),
        ("no container", without("container.name"), false),
        ("no identifier of a pod", without("pod.uid"), false),
        ("an empty name", labelled("pod.name", ""), false),
        ("a long name", labelled("pod.name", &"a".repeat(254)), false),
        ("control characters", labelled("pod.name", "\u{1b}[2J"), false),
        ("HTML", labelled("container.name", "<b>"), false),
        ("a line feed", labelled("pod.namespace", "a\nb"), false),
        ("no UUID", labelled("pod.uid", "7"), false),
    ];
    for (what, container, is_named) in cases {
        let listed = listed(encoded(vec![container, described(2)])).unwrap();
        let names: Vec<_> = listed.containers.iter().map(|container| container.id.clone()).collect();
        let expected: Vec<_> = is_named.then_some(1).into_iter().chain([2]).map(|n| text(&id(n))).collect();
        assert_eq!((names, listed.left_out), (expected, 0), "{what}");
    }
    let first = listed(encoded(vec![described(1)])).unwrap();
    assert_eq!(first, Listed { containers: vec![in_pod(1)], left_out: 0 });
}

#[test]
fn what_is_too_much_is_left_out_and_counted() {
    let many = u32::try_from(MOST_CONTAINERS).unwrap() + 3;
    let listed_of = |containers: Vec<Described>| {
        let Listed { containers, left_out } = listed(encoded(containers)).unwrap();
        (containers.len(), left_out)
    };
    assert_eq!(listed_of((0..many).map(described).collect()), (MOST_CONTAINERS, 3));
    let large = labelled("x", &"x".repeat(300_000));
    assert_eq!(listed_of(vec![large, described(2)]), (1, 1));
    // One whose name is no UTF-8, before one that is as it should be.
    let mut bytes = vec![0x0a, 3, 0x0a, 1, 0xff];
    bytes.extend(encoded(vec![described(2)]));
    let left = listed(bytes.into()).unwrap();
    assert_eq!((left.containers, left.left_out), (vec![in_pod(2)], 1));
}

#[test]
fn fields_that_are_not_known_are_passed_over_and_what_is_no_answer_is_none() {
    let one = encoded(vec![described(1)]);
    let after = |bytes: &[u8]| listed([bytes, &one].concat().into()).map(|listed| listed.containers.len());
    let cases: [(&str, &[u8], Option<usize>); 9] = [
        ("nothing", b"", Some(1)),
        ("a number", &[0x10, 0x96, 0x01], Some(1)),
        ("eight bytes", &[0x19, 1, 2, 3, 4, 5, 6, 7, 8], Some(1)),
        ("a string", &[0x12, 2, 1, 2], Some(1)),
        ("four bytes", &[0x15, 1, 2, 3, 4], Some(1)),
        ("a group", &[0x13], None),
        ("no such way to write", &[0x17], None),
        ("a number without an end", &[0xff; 11], None),
        ("more than there is", &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], None),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(after(bytes), expected, "{what}");
    }
}

#[test]
fn any_bytes_are_read_or_refused() {
    let whole = encoded((0..4).map(described).collect());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = whole.to_vec();
        if random() % 4 == 0 {
            bytes.truncate(random() % (whole.len() + 1));
        }
        for _ in 0..random() % 8 {
            let at = random() % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(random() % 256).unwrap();
            }
        }
        read += usize::from(listed(bytes.into()).is_some());
    }
    assert!(read > 1000, "too few were readable: {read}");
}

fn asked(root: &Path, deadline: Duration) -> Result<Listed, Refused> {
    runtime().unwrap().block_on(list_containers(&root.join(CONTAINERD), deadline))
}

#[test]
fn whatever_a_runtime_does_there_is_an_answer_or_a_reason() {
    let says = |bytes: &[u8], code, said| Does::Says(Bytes::copy_from_slice(bytes), code, said);
    let whole = prefixed(&encoded(vec![described(1)]));
    let cases = [
        ("answers", Does::Has(vec![described(1)]), "1 containers"),
        ("has none", Does::Has(Vec::new()), "0 containers"),
        ("closes", Does::Closes, "is the runtime running?"),
        (
            "speaks something else",
            Does::Writes(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "not the answer of a container runtime",
        ),
        (
            "speaks HTTP/1",
            Does::Writes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "not the answer of a container runtime",
        ),
        ("has no such page", Does::Fails(404), "HTTP status 404"),
        ("has no CRI", says(b"", "12", "unknown service"), "it serves no CRI"),
        ("fails", says(b"", "14", "\u{202e}busy"), "it says: busy (code 14 of gRPC)"),
        ("fails with an answer", says(&whole, "2", "x"), "it says: x (code 2 of gRPC)"),
        ("says no number", says(&whole, "fine", ""), "a code that is no number"),
        ("does not say how it went", says(&whole, "", ""), "it does not say how it went"),
        ("says nothing", says(b"", "0", ""), "half a message"),
        ("leaves something out", says(&whole[..whole.len() - 1], "0", ""), "half a message"),
        ("says more", says(&[&whole[..], b"x"].concat(), "0", ""), "half a message"),
        ("compresses", says(&[&[1], &whole[1..]].concat(), "0", ""), "half a message"),
        ("says another message", says(&prefixed(&[0x17]), "0", ""), "it has no such message"),
        ("says too much", says(&vec![0; MOST_BYTES + 1], "0", ""), "its answer has more than 16 MiB"),
    ];
    for (what, does, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let _fake = Fake::at(root.path(), CONTAINERD, does);
        let came = match asked(root.path(), PATIENT) {
            Ok(listed) => format!("{} containers", listed.containers.len()),
            Err(refused) => format!("{}\nhint: {}", refused.finding(), refused.hint()),
        };
        assert!(came.contains(expected), "one that {what}: {came}");
    }
}

#[test]
fn where_nobody_answers_it_is_told_apart_why() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(asked(root.path(), PATIENT), Err(Refused::Absent));
    let hangs = Fake::at(root.path(), CONTAINERD, Does::Hangs);
    assert_eq!(asked(root.path(), Duration::from_millis(20)), Err(Refused::Late));
    drop(hangs);
    let socket = root.path().join(CONTAINERD);
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let refused = asked(root.path(), PATIENT).unwrap_err();
    assert!(matches!(refused, Refused::Socket(io::ErrorKind::ConnectionRefused, _)), "{refused:?}");
    assert!(refused.hint().contains("mount the folder"), "{refused:?}");
}

/// What is known of container `n` once it is; all are asked again at once meanwhile.
fn found_in_time(runtimes: &Runtimes, n: u32) -> Found {
    let since = Instant::now();
    loop {
        let found = found(runtimes, n);
        if found != Found::default() || since.elapsed() > PATIENT {
            return found;
        }
    }
}

fn found(runtimes: &Runtimes, n: u32) -> Found {
    let mut state = runtimes.shared.state();
    if let (false, Some(earlier)) = (state.is_asking, state.began.checked_sub(AGAIN)) {
        state.began = earlier;
    }
    drop(state);
    runtimes.find(None, Some(&text(&id(n))))
}

fn named(n: u32) -> Found {
    let InPod { name, uid, pod, .. } = in_pod(n);
    Found { container: Some((uid, name)), pod: Some(pod) }
}

fn start(root: &Path) -> Runtimes {
    Runtimes::start(root, || {}, Ok(()))
}

#[test]
fn a_runtime_that_is_gone_and_comes_back_is_asked_again_and_what_it_said_is_known_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let runtimes = start(root.path());
    assert_eq!(found(&runtimes, 1), Found::default(), "there is none yet");
    let fake = Fake::at(root.path(), CONTAINERD, Does::Has(vec![described(1)]));
    assert_eq!(found_in_time(&runtimes, 1), named(1));
    drop(fake);
    assert_eq!(found(&runtimes, 2), Found::default());
    assert_eq!(found(&runtimes, 1), named(1), "while it is gone");
    let _fake = Fake::at(root.path(), CONTAINERD, Does::Has(vec![described(2)]));
    assert_eq!(found_in_time(&runtimes, 2), named(2));
    assert_eq!(found(&runtimes, 1), named(1), "gone a moment ago");
}

#[test]
fn of_two_runtimes_each_tells_what_it_has_and_one_that_hangs_or_fails_is_in_nobodys_way() {
    let cases = [
        ("has another", Does::Has(vec![described(2)])),
        ("hangs", Does::Hangs),
        ("serves no CRI", Does::Says(Bytes::new(), "12", "")),
        ("closes", Does::Closes),
    ];
    for (what, does) in cases {
        let root = tempfile::tempdir().unwrap();
        let has_another = matches!(does, Does::Has(_));
        let _first = Fake::at(root.path(), CONTAINERD, does);
        let _second = Fake::at(root.path(), CRI_O, Does::Has(vec![described(1)]));
        let runtimes = start(root.path());
        assert_eq!(found_in_time(&runtimes, 1), named(1), "the first one {what}");
        if has_another {
            assert_eq!(found_in_time(&runtimes, 2), named(2));
        }
    }
}

#[test]
fn a_new_container_is_asked_about_and_a_strangers_only_once() {
    let root = tempfile::tempdir().unwrap();
    let fake = Fake::at(root.path(), CONTAINERD, Does::Has(vec![described(1)]));
    let runtimes = start(root.path());
    assert_eq!(found_in_time(&runtimes, 1), named(1));
    let (before, since) = (fake.asked(), Instant::now());
    let stranger = text(&id(7));
    while runtimes.shared.state().known.want(None, Some(&stranger), Instant::now()) {
        assert!(since.elapsed() < PATIENT, "it is asked about again and again");
        assert_eq!(found(&runtimes, 7), Found::default());
    }
    let asked = fake.asked();
    assert!(asked > before);
    for _ in 0..100 {
        assert_eq!(found(&runtimes, 7), Found::default());
    }
    assert_eq!(fake.asked(), asked);
}

#[test]
fn those_that_have_a_socket_are_tried_each_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    let _first = Fake::at(root.path(), CONTAINERD, Does::Says(Bytes::new(), "12", ""));
    let _second = Fake::at(root.path(), CRI_O, Does::Has(vec![described(1), described(2)]));
    let [(first, none), (second, two)] = <[_; 2]>::try_from(tried(root.path(), || {})).unwrap();
    assert_eq!((first, second), (root.path().join(CONTAINERD), root.path().join(CRI_O)));
    assert_eq!(two, Ok(2));
    let [finding, hint] = none.unwrap_err();
    assert!(finding.contains("serves no CRI") && hint.contains("disabled_plugins"), "{finding}\n{hint}");
}
