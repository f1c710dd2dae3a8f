//! What is found and read: files, folders, pipes; frames of others; lines without frames.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::capture::Files;

#[test]
fn files_and_folders_are_found_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["rest", "parts", "parts/sealed-20261123T101500Z", "empty"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    for name in [
        "parts/1000000.jsonl.zst",
        "parts/000002.jsonl.zst",
        "parts/999999.jsonl.zst",
        "parts/notes.txt",
        "parts/sealed-20261123T101500Z/000001.jsonl.zst",
        "rest/b.jsonl.zst",
        "rest/a.jsonl",
        "single",
    ] {
        std::fs::write(root.join(name), "").unwrap();
    }
    std::os::unix::fs::symlink("../single", root.join("rest/c.jsonl")).unwrap();
    let find = |names: &[&str]| {
        let at = |name: &&str| if *name == "-" { PathBuf::from("-") } else { root.join(name) };
        Files::find(&names.iter().map(at).collect::<Vec<_>>())
    };
    let rows: [(&[&str], &[&str]); 4] = [
        (&["single"], &["single"]),
        (&["parts"], &["parts/000002.jsonl.zst", "parts/999999.jsonl.zst", "parts/1000000.jsonl.zst"]),
        (&["rest"], &["rest/a.jsonl", "rest/b.jsonl.zst", "rest/c.jsonl"]),
        (
            &["single", "-", "rest", "single"],
            &["single", "-", "rest/a.jsonl", "rest/b.jsonl.zst", "rest/c.jsonl", "single"],
        ),
    ];
    for (asked, wanted) in rows {
        let found = find(asked).unwrap().paths;
        let found: Vec<_> =
            found.iter().map(|path| path.strip_prefix(root).unwrap_or(path).to_str().unwrap()).collect();
        assert_eq!(found, wanted, "{asked:?}");
    }
    for (asked, wanted) in
        [("nowhere", "nowhere: No such file"), ("empty", "none is there whose name ends in")]
    {
        let error = find(&["single", asked]).unwrap_err().to_string();
        assert!(error.starts_with("read the capture") && error.contains(wanted), "{error}");
    }
}

#[test]
fn lines_without_frames_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.jsonl");
    let whole = lines(0, 20_000, 100);
    let cut = &whole[..whole.len() - 10];
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let without_end = &whole[..whole.len() - 1];
    for (what, bytes, wanted, missing) in [
        ("all", whole.as_slice(), whole.as_slice(), vec![]),
        ("no last line feed", without_end, whole.as_slice(), vec![]),
        (
            "half a line",
            cut,
            &whole[..last],
            vec![damage(DamageKind::CutOff, cut.len() as u64, (cut.len() - last) as u64)],
        ),
        ("nothing", b"", b"", vec![]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (read, damages) = read(&path);
        assert!(read == wanted, "{what}: {} of {} bytes", read.len(), wanted.len());
        assert_eq!(damages, missing, "{what}");
    }
}

/// Frames as `zstd` makes them: not of whole lines, and one without its length.
fn foreign(lines: &[u8], frame_bytes: usize, level: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for content in lines.chunks(frame_bytes) {
        let mut encoder = zstd::stream::Encoder::new(bytes, level).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(content).unwrap();
        bytes = encoder.finish().unwrap();
    }
    bytes
}

#[test]
fn captures_that_were_compressed_again_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.jsonl.zst");
    let all = lines(0, 60_000, 400);
    assert!(all.len() > 20 << 20);
    let long = [lines(0, 10, 10), lines(10, 1, 16 << 20), lines(11, 10, 10)].concat();
    for (what, lines, frame_bytes) in [
        ("one frame", &all, usize::MAX),
        ("frames that cut lines", &all, 1_234_567),
        ("small frames that cut lines", &all[..1 << 20].to_vec(), 777),
        ("a long line among others", &long, usize::MAX),
        ("a long line that is cut", &long, 5 << 20),
    ] {
        std::fs::write(&path, foreign(lines, frame_bytes, 1)).unwrap();
        let (read, damages) = read(&path);
        let whole = lines.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        assert!(read == lines[..whole], "{what}: {} of {whole} bytes", read.len());
        let cut = (lines.len() - whole) as u64;
        let missing: Vec<_> = damages.iter().map(|damage| (damage.kind.clone(), damage.bytes)).collect();
        assert_eq!(missing, Vec::from_iter((cut > 0).then_some((DamageKind::CutOff, cut))), "{what}");
    }
}

#[test]
fn a_line_of_sixteen_mebibytes_is_recorded_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.jsonl.zst");
    let all = [lines(0, 1000, 1000), lines(1000, 1, 16 << 20), lines(1001, 3, 10)].concat();
    let mut recorder = record(Target::file(&path, false).unwrap());
    recorder.append_last(&all);
    assert_eq!(recorder.finish().state.lost_lines, 0);
    let (read, damages) = read(&path);
    assert!(read == [header(None), all].concat());
    assert_eq!(damages, []);
}

#[test]
fn what_is_no_file_is_refused_and_nothing_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, wanted) in [
        (Path::new("/dev/zero"), "this is a device"),
        (Path::new("/dev/null"), "this is a device"),
        (&socket, "this is a socket"),
        (folder.path(), "this is a folder"),
        (&folder.path().join("nowhere"), "No such file"),
    ] {
        let Err(error) = Reader::open(path) else { panic!("{} was opened", path.display()) };
        assert!(error.to_string().contains(wanted), "{error}");
    }
    // Nobody writes to it, so it has ended.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(read(&pipe)));
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)).unwrap(), (vec![], vec![]));
}
