//! Settings that were changed, and their values as /proc/sys spells them.
//!
//! In: a record of either kind. Out: a [`SettingChange`].

use portwatch_ebpf::abi;

use super::{Malformed, read, text};
use crate::event::{BootNs, CgroupId, Details, NetnsId, Process, Setting, SettingChange, Tgid, Tid};

/// The change in one record; none if its size is that of something else.
pub(super) fn change(bytes: &[u8], ticks_per_second: u32) -> Option<Result<SettingChange, Malformed>> {
    // SAFETY: the types have integers only.
    let (number, set) = unsafe { (read::<abi::SysctlRecord>(bytes), read::<abi::PortsSysctlRecord>(bytes)) };
    match (number, set) {
        (Some(record), _) => {
            let value = |raw| value(record.form, raw, ticks_per_second);
            Some(
                value(record.old)
                    .zip(value(record.new))
                    .ok_or(Malformed)
                    .and_then(|both| told(&record, both)),
            )
        }
        (_, Some(record)) => Some(told(&record.sysctl, (ports(&record.old), ports(&record.new)))),
        (None, None) => None,
    }
}

fn told(record: &abi::SysctlRecord, (old, new): (String, String)) -> Result<SettingChange, Malformed> {
    let which = usize::try_from(record.which).map_err(|_| Malformed)?;
    let setting = Setting::ALL.get(which).ok_or(Malformed)?;
    Ok(SettingChange {
        at: BootNs(record.boot_ns),
        key: setting.key(&text(record.folder).0),
        netns: NetnsId(record.netns),
        old: (record.has_old == 1).then_some(old),
        new,
        by: Some(Process {
            tgid: Tgid(record.tgid),
            start: BootNs(record.start_boot_ns),
            tid: Some(Tid(record.tid)),
            comm: text(record.comm),
            uid: record.uid,
            gid: record.gid,
            cgroup: CgroupId(record.cgroup_id),
            details: Details::not_read(),
        }),
    })
}

/// As the kernel's `proc_handler` would print it.
fn value(form: u32, raw: u32, ticks_per_second: u32) -> Option<String> {
    match form {
        abi::SYSCTL_NUMBER => Some(raw.cast_signed().to_string()),
        abi::SYSCTL_UNSIGNED => Some(raw.to_string()),
        // proc_dointvec_jiffies, kernel/sysctl.c, rounds towards zero as well.
        abi::SYSCTL_TICKS => {
            Some((i64::from(raw.cast_signed()) / i64::from(ticks_per_second.max(1))).to_string())
        }
        abi::SYSCTL_PORT_RANGE => Some(format!("{} {}", raw & 0xffff, raw >> 16)),
        _ => None,
    }
}

/// Ranges of ports that are spelt: a set may have 32,768, and any user may set one in a namespace of their own.
const MAX_RUNS: usize = 256;

/// Numbers and ranges with commas between (`proc_do_large_bitmap`, kernel/sysctl.c).
fn ports(set: &abi::Ports) -> String {
    let is_in = |port: u16| set[usize::from(port / 64)] & (1 << (port % 64)) != 0;
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in (0..=u16::MAX).filter(|port| is_in(*port)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => runs.push((port, port)),
        }
    }
    let run = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut words: Vec<String> = runs.iter().take(MAX_RUNS).map(run).collect();
    if let Some(more @ 1..) = runs.len().checked_sub(MAX_RUNS) {
        words.push(format!("… {more} more"));
    }
    words.join(",")
}

#[cfg(test)]
mod tests {
    use portwatch_ebpf::abi;

    use super::super::{NoRecord, record};
    use super::{ports, value};
    use crate::event::{Item, Setting, SettingChange};

    fn words(text: &[u8]) -> abi::Words {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text);
        std::array::from_fn(|n| u32::from_ne_bytes(std::array::from_fn(|i| bytes[n * 4 + i])))
    }

    fn sysctl(name: &str, form: u32, folder: &[u8]) -> abi::SysctlRecord {
        let which = Setting::ALL.iter().position(|setting| setting.name() == name).unwrap();
        abi::SysctlRecord {
            boot_ns: 9,
            cgroup_id: 3,
            start_boot_ns: 5,
            comm: words(b"sysctl"),
            folder: words(folder),
            tgid: 7,
            tid: 8,
            uid: 1,
            gid: 2,
            netns: 4,
            which: u32::try_from(which).unwrap(),
            form,
            has_old: 1,
            old: 40003 << 16 | 40000,
            new: 40999 << 16 | 40000,
        }
    }

    fn bytes<T: Copy>(record: &T) -> Vec<u8> {
        // SAFETY: records have no padding (asserted where they are defined).
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }.to_vec()
    }

    fn change<T: Copy>(of: &T) -> SettingChange {
        match record(&bytes(of), 250) {
            Ok(Item::Sysctl(change)) => change,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_of_a_change_arrives() {
        let change = change(&sysctl("ip_local_port_range", abi::SYSCTL_PORT_RANGE, b"ipv4"));
        assert_eq!(change.key.0, b"net.ipv4.ip_local_port_range");
        assert_eq!((change.old.as_deref(), change.new.as_str()), (Some("40000 40003"), "40000 40999"));
        assert_eq!((change.at.0, change.netns.0), (9, 4));
        let by = change.by.unwrap();
        assert_eq!((by.tgid.0, by.tid.unwrap().0, by.start.0, by.cgroup.0), (7, 8, 5, 3));
        assert_eq!((by.uid, by.gid, by.comm.0.as_slice()), (1, 2, b"sysctl".as_slice()));
    }

    #[test]
    fn an_interface_is_part_of_the_key_whatever_it_is_called() {
        for (folder, expected) in [
            (&b"lo"[..], &b"net.ipv6.conf.lo.disable_ipv6"[..]),
            (b"eth0.100", b"net.ipv6.conf.eth0/100.disable_ipv6"),
            (b"a\x1b[2J\xff", b"net.ipv6.conf.a\x1b[2J\xff.disable_ipv6"),
        ] {
            let change = change(&sysctl("disable_ipv6", abi::SYSCTL_NUMBER, folder));
            assert_eq!(change.key.0, expected);
        }
    }

    #[test]
    fn a_setting_that_each_family_has_is_told_by_its_folder() {
        for (folder, expected) in
            [(&b"ipv4"[..], &b"net.ipv4.ip_nonlocal_bind"[..]), (b"ipv6", b"net.ipv6.ip_nonlocal_bind")]
        {
            assert_eq!(change(&sysctl("ip_nonlocal_bind", abi::SYSCTL_NUMBER, folder)).key.0, expected);
        }
    }

    #[test]
    fn a_value_is_spelt_as_the_kernel_spells_it() {
        let cases = [
            ("a number", abi::SYSCTL_NUMBER, 2, "2"),
            ("a negative one", abi::SYSCTL_NUMBER, u32::MAX, "-1"),
            ("an unsigned one", abi::SYSCTL_UNSIGNED, u32::MAX, "4294967295"),
            ("ticks", abi::SYSCTL_TICKS, 60 * 250, "60"),
            ("a second that is not full", abi::SYSCTL_TICKS, 499, "1"),
            ("a range", abi::SYSCTL_PORT_RANGE, 60999 << 16 | 32768, "32768 60999"),
        ];
        for (what, form, raw, expected) in cases {
            assert_eq!(value(form, raw, 250).as_deref(), Some(expected), "{what}");
        }
        assert_eq!(value(abi::SYSCTL_TICKS, 7, 0).as_deref(), Some("7"), "a clock that says nothing");
    }

    #[test]
    fn a_set_of_ports_is_numbers_and_ranges() {
        let set = |of: &[std::ops::RangeInclusive<u16>]| {
            let mut set = [0; 1024];
            of.iter().cloned().flatten().for_each(|port| set[usize::from(port / 64)] |= 1 << (port % 64));
            set
        };
        let cases = [
            (set(&[]), ""),
            (set(&[8080..=8080]), "8080"),
            (set(&[0..=0, 63..=64, 65534..=65535]), "0,63-64,65534-65535"),
            (set(&[0..=65535]), "0-65535"),
        ];
        for (set, expected) in &cases {
            assert_eq!(ports(set), *expected);
        }
        let head = sysctl("ip_local_reserved_ports", abi::SYSCTL_PORTS, b"ipv4");
        let whole = abi::PortsSysctlRecord { sysctl: head, old: cases[1].0, new: cases[2].0 };
        let told = change(&whole);
        assert_eq!((told.old.as_deref(), told.new.as_str()), (Some("8080"), "0,63-64,65534-65535"));
    }

    #[test]
    fn an_old_value_that_is_not_known_is_left_out() {
        let head = sysctl("tcp_tw_reuse", abi::SYSCTL_NUMBER, b"ipv4");
        assert_eq!(change(&abi::SysctlRecord { has_old: 0, ..head }).old, None);
    }

    #[test]
    fn bytes_that_are_no_change_are_refused_as_one() {
        let good = sysctl("tcp_tw_reuse", abi::SYSCTL_NUMBER, b"ipv4");
        let unknown = [
            ("an unknown setting", abi::SysctlRecord { which: 99, ..good }),
            ("an unknown form", abi::SysctlRecord { form: 99, ..good }),
            ("a form of the other record", abi::SysctlRecord { form: abi::SYSCTL_PORTS, ..good }),
        ];
        for (what, bad) in unknown {
            assert_eq!(record(&bytes(&bad), 250), Err(NoRecord::Sysctl), "{what}");
        }
        let short = &bytes(&good)[1..];
        assert_eq!(record(short, 250), Err(NoRecord::Failure), "what is not known counts as a failure");
    }
}
