//! What the kernel side must know to tell of settings that are changed: which, and how their values lie in memory.
//!
//! In: the settings, the kernel's type information. Out: offsets, and entries of a map.

use aya::maps::{HashMap, MapError};
use aya::{Ebpf, Pod};
use portwatch_ebpf::abi::{
    SYSCTL_NAME_LEN, SYSCTL_NUMBER, SYSCTL_PORT_RANGE, SYSCTL_PORTS, SYSCTL_TICKS, SYSCTL_UNSIGNED,
    SysctlLayout, SysctlName, WatchedSysctl,
};

use super::btf::{Btf, BtfError};
use crate::event::Setting;

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Watched(WatchedSysctl);

// SAFETY: integers without padding (asserted in abi.rs): every byte is initialised, any value is valid.
unsafe impl Pod for Watched {}

/// Where the members are that lead from a write to the setting.
pub(super) fn resolve(btf: &Btf) -> Result<SysctlLayout, BtfError> {
    let offset = |name: &str, path: &str| btf.member(name, path).map(|member| member.offset);
    Ok(SysctlLayout {
        call_file: offset("kiocb", "ki_filp")?,
        file_inode: offset("file", "f_inode")?,
        file_entry: offset("file", "f_path.dentry")?,
        entry_parent: offset("dentry", "d_parent")?,
        entry_name: offset("dentry", "d_name.name")?,
        inode_vfs: offset("proc_inode", "vfs_inode")?,
        inode_header: offset("proc_inode", "sysctl")?,
        inode_table: offset("proc_inode", "sysctl_entry")?,
        header_set: offset("ctl_table_header", "set")?,
        net_set: offset("net", "sysctls")?,
        table_name: offset("ctl_table", "procname")?,
        table_data: offset("ctl_table", "data")?,
        table_bytes: offset("ctl_table", "maxlen")?,
        own_netns: 0,
    })
}

/// Tells the kernel side which settings are watched.
pub(super) fn watch(ebpf: &mut Ebpf) -> Result<(), MapError> {
    let map = "WATCHED_SYSCTLS";
    let map = ebpf.map_mut(map).ok_or_else(|| MapError::InvalidName { name: map.to_owned() })?;
    let mut map: HashMap<_, SysctlName, Watched> = map.try_into()?;
    for (which, setting) in (0..).zip(Setting::ALL) {
        let form = form(setting);
        map.insert(name(setting), Watched(WatchedSysctl { which, form }), 0)?;
    }
    Ok(())
}

/// How the kernel keeps the value (net/ipv4/sysctl_net_ipv4.c, net/ipv6/addrconf.c, 5.10 to 7.3: the `proc_handler`).
fn form(setting: Setting) -> u32 {
    match setting.name() {
        "ip_local_port_range" => SYSCTL_PORT_RANGE,
        "ip_local_reserved_ports" => SYSCTL_PORTS,
        "tcp_fin_timeout" => SYSCTL_TICKS,
        "tcp_tw_reuse_delay" | "ip_local_port_step_width" => SYSCTL_UNSIGNED,
        _ => SYSCTL_NUMBER,
    }
}

/// In the form that programs look it up by.
fn name(setting: Setting) -> SysctlName {
    let mut bytes = [0; SYSCTL_NAME_LEN];
    // One byte stays for the terminating NUL.
    for (place, byte) in bytes.iter_mut().take(SYSCTL_NAME_LEN - 1).zip(setting.name().bytes()) {
        *place = byte;
    }
    let mut words = SysctlName::default();
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*chunk);
    }
    words
}

#[cfg(test)]
mod tests {
    use portwatch_ebpf::abi::SYSCTL_NAME_LEN;

    use super::{name, resolve};
    use crate::event::Setting;
    use crate::kernel::btf::Btf;
    use crate::kernel::btf::tests::Builder;

    #[test]
    fn each_name_fits_with_its_end() {
        for setting in Setting::ALL {
            let bytes: Vec<u8> = name(setting).into_iter().flat_map(u32::to_ne_bytes).collect();
            let (text, rest) = bytes.split_at(setting.name().len());
            assert_eq!(text, setting.name().as_bytes());
            assert!(!rest.is_empty() && rest.iter().all(|byte| *byte == 0), "{}", setting.name());
            assert_eq!(bytes.len(), SYSCTL_NAME_LEN);
        }
    }

    #[test]
    fn a_kernel_with_other_structures_is_told_by_what_it_lacks() {
        let btf = Btf::parse(Builder::new().bytes()).unwrap();
        assert_eq!(resolve(&btf).unwrap_err().to_string(), "this kernel has no member kiocb.ki_filp");
    }
}
