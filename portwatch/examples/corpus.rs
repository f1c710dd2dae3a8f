//! Writes what fuzzing begins with: `cargo run --example corpus -- FOLDER` makes `FOLDER/reader` and `FOLDER/decoder`.
//!
//! The first byte of each input says what the target does with the rest, see `fuzz/targets/`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use portwatch::event::{Counts, Item, Summary};
use portwatch::lines::Encoder;
use portwatch_ebpf::abi;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use self::storm::Storm;

mod storm;

/// What the fuzzer takes at most.
const LONGEST: usize = 4096;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("into which folder?")?;
    let write = |target: &str, inputs: Vec<Vec<u8>>| -> Result<()> {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        for (n, input) in inputs.iter().enumerate() {
            let path = folder.join(format!("seed-{n}"));
            fs::write(&path, input).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    };
    write("decoder", records())?;
    write("reader", captures()?)
}

/// One of each kind, as the kernel side writes them.
fn records() -> Vec<Vec<u8>> {
    let key = abi::FailureKey {
        start_boot_ns: 5_000_000_000,
        address: [0, 0, u32::from_be(0xffff), u32::from_be(0x7f00_0001)],
        tgid: 4711,
        netns: 4_026_531_840,
        port_be: 8080_u16.to_be(),
        errno: 99,
        place: abi::PLACE_PORT_SEARCH,
        flags: abi::FLAG_HAD_PORT,
        protocol: abi::PROTOCOL_TCP,
        call: abi::CALL_CONNECT,
    };
    let comm = [0x7765_6200, 0x6f72_6b65, 0x7200_0000, 0].map(u32::from_be);
    let failure = abi::FailureRecord {
        boot_ns: 6_000_000_000,
        cgroup_id: 77,
        search_ns: 1_000_000,
        key,
        source: key.address,
        comm,
        tid: 4712,
        uid: 1000,
        gid: 100,
        source_port: 40041,
        range_low: 40000,
        range_high: 40999,
        own_low: 40000,
        own_high: 40100,
        reserved: [0; 2],
    };
    let sysctl = |which: u32, form: u32| abi::SysctlRecord {
        boot_ns: 6_000_000_000,
        cgroup_id: 77,
        start_boot_ns: 5_000_000_000,
        comm,
        folder: comm,
        tgid: 4711,
        tid: 4712,
        uid: 0,
        gid: 0,
        netns: 4_026_531_840,
        which,
        form,
        has_old: 1,
        old: 60,
        new: 30,
    };
    let count = abi::FailureCount {
        count: 3,
        first_boot_ns: 1,
        last_boot_ns: 2,
        cgroup_id: 77,
        uid: 1000,
        gid: 100,
        leader_comm: comm,
        budget: abi::Budget { spent_at: 0, window: 0, sent: 0 },
    };
    let searches = abi::SearchKey {
        source: key.address,
        destination: key.address,
        netns: 4_026_531_840,
        destination_port_be: 8080_u16.to_be(),
        reserved: [0; 2],
    };
    let times = abi::SearchTimes { count: 9, slow: 2, total_ns: 300_000, longest_ns: 120_000 };
    let with = |kind: u8, parts: &[Vec<u8>]| [&[kind][..], &parts.concat()].concat();
    let mut inputs = vec![
        with(0, &[bytes_of(&failure)]),
        with(1, &[bytes_of(&failure)]),
        with(4, &[bytes_of(&key), bytes_of(&count)]),
        with(5, &[bytes_of(&searches), bytes_of(&times)]),
    ];
    let forms = [
        abi::SYSCTL_NUMBER,
        abi::SYSCTL_UNSIGNED,
        abi::SYSCTL_TICKS,
        abi::SYSCTL_PORT_RANGE,
        abi::SYSCTL_PORTS,
    ];
    for (which, form) in (0..).zip(forms) {
        inputs.push(with(2, &[bytes_of(&sysctl(which, form))]));
    }
    // A range, and every other port, of the first few.
    let ports = [0x0000_ffff_ffff_0000_u64, 0x5555_5555_5555_5555].map(u64::to_ne_bytes).concat();
    inputs.push(with(3, &[bytes_of(&sysctl(1, abi::SYSCTL_PORTS)), ports]));
    inputs
}

fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    // SAFETY: the kernel side's types have integers only, without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()).to_vec() }
}

/// What the target makes of lines: frames, nothing, and a report of each form.
const LINES: [u8; 5] = [1, 3, 4, 8 + 3, 16 + 3];

/// Lines of each kind, by themselves and together; and a file of them.
fn captures() -> Result<Vec<Vec<u8>>> {
    let mut compressor = Compressor::new(1)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let (mut encoder, mut inputs) = (Encoder::default(), Vec::new());
    let (mut all, mut frames, mut failures) = (Vec::new(), Vec::new(), 0);
    for mut item in Storm::of(100) {
        shorten(&mut item);
        failures += u32::from(matches!(item, Item::Failure(_)));
        if failures > 3 && matches!(item, Item::Failure(_)) {
            continue;
        }
        let mut lines = Vec::new();
        encoder.item(&item, &mut lines);
        ensure!(lines.len() < LONGEST, "the fuzzer would cut {item:?}");
        inputs.extend(LINES.map(|kind| [&[kind][..], &lines].concat()));
        frames.extend(compressor.compress(&lines)?);
        if all.len() + lines.len() < LONGEST {
            all.append(&mut lines);
        }
    }
    inputs.extend(LINES.map(|kind| [&[kind][..], &all].concat()));
    // One byte of the frames is another one, at 64.
    inputs.push([&[2, 0, 64, 1][..], &all].concat());
    // A report as text of it, and none.
    inputs.extend([0, 24].map(|kind| [&[kind][..], &frames].concat()));
    Ok(inputs)
}

/// What has many rows says the same with two.
fn shorten(item: &mut Item) {
    match item {
        Item::Ports(snapshot) => {
            snapshot.rows.truncate(2);
            snapshot.rows.iter_mut().for_each(|row| row.holders.truncate(2));
        }
        Item::Counts(Counts { rows, .. }) | Item::Summary(Summary { rows, .. }) => rows.truncate(2),
        _ => {}
    }
}
