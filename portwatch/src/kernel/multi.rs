//! Programs attached by `kprobe.multi`, which aya 0.14 does not know.
//!
//! In: the object that aya has loaded, and aya's maps. Out: links, gone when this is dropped. On preemptible kernels
//! these programs are hardly ever skipped, because they run with preemption off (`kprobe_multi_link_prog_run`,
//! kernel/trace/bpf_trace.c, below `ftrace_test_recursion_trylock`), and they need no more capabilities than fexit.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::mem::take;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use super::bpf;
use super::tracer::OBJECT;
use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use aya_obj::generated::{
    BPF_F_KPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_prog_type,
};

/// Programs and where they run.
pub(super) struct Multi {
    /// Descriptors of the maps, by name.
    maps: HashMap<String, RawFd>,
    /// The programs to load, once one was asked for.
    object: Option<Object>,
    programs: HashMap<&'static str, OwnedFd>,
    /// With the program that runs there.
    links: Vec<(&'static str, OwnedFd)>,
}

impl Multi {
    /// Nothing yet; programs will use the maps of `ebpf`.
    pub(super) fn new(ebpf: &Ebpf) -> Self {
        let maps = ebpf.maps().filter_map(|(name, map)| Some((name.to_owned(), descriptor(map)?))).collect();
        Self { maps, object: None, programs: HashMap::new(), links: Vec::new() }
    }

    /// Runs `program` at the beginning of `function`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn attach(&mut self, program: &'static str, function: &str) -> io::Result<()> {
        let link = self.link(program, function, false)?;
        self.links.push((program, link));
        Ok(())
    }

    /// Runs `begins` at the beginning of `function` and `returns` at its return: both, or neither.
    ///
    /// # Errors
    /// When the kernel refuses either.
    pub(super) fn attach_around(
        &mut self,
        begins: &'static str,
        returns: &'static str,
        function: &str,
    ) -> io::Result<()> {
        let links =
            [(returns, self.link(returns, function, true)?), (begins, self.link(begins, function, false)?)];
        self.links.extend(links);
        Ok(())
    }

    /// Lets go of what is needed to attach more.
    pub(super) fn all_are_attached(&mut self) {
        self.object = None;
        self.maps.clear();
    }

    fn link(&mut self, program: &'static str, function: &str, at_return: bool) -> io::Result<OwnedFd> {
        if !self.programs.contains_key(program) {
            let loaded = self.load(program)?;
            self.programs.insert(program, loaded);
        }
        let descriptor = self.programs[program].as_raw_fd();
        let name = CString::new(function)?;
        let names = [name.as_ptr()];
        // SAFETY: integers, for which zero is a value.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: writes to members of one variant, which the command reads; the name outlives the call.
        unsafe {
            let create = &mut attributes.link_create;
            create.__bindgen_anon_1.prog_fd = descriptor.cast_unsigned();
            create.attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
            let multi = &mut create.__bindgen_anon_3.kprobe_multi;
            multi.flags = if at_return { BPF_F_KPROBE_MULTI_RETURN } else { 0 };
            multi.cnt = 1;
            multi.syms = names.as_ptr() as u64;
            bpf::new_descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
        }
    }

    /// The loaded programs.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.programs.iter().map(|(name, descriptor)| (*name, descriptor.as_fd()))
    }

    /// How often the function tracer ran past `program` without a call of it, for want of memory for its thread or
    /// because it was running there already. Linux 6.7 and newer tell; 0 before.
    pub(super) fn missed(&self, program: &str) -> Option<u64> {
        self.links.iter().filter(|(name, _)| *name == program).map(|(_, link)| missed(link.as_fd())).sum()
    }

    fn load(&mut self, program: &str) -> io::Result<OwnedFd> {
        let object = match &mut self.object {
            Some(object) => object,
            none => none.insert(relocated(&self.maps)?),
        };
        let found = object.programs.get(program).ok_or(io::ErrorKind::NotFound)?;
        let function = object.functions.get(&found.function_key()).ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: integers, for which zero is a value.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: as above; instructions and licence outlive the call.
        unsafe {
            let load = &mut attributes.__bindgen_anon_3;
            load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
            load.expected_attach_type = bpf_attach_type::BPF_TRACE_KPROBE_MULTI as u32;
            load.insns = function.instructions.as_ptr() as u64;
            load.insn_cnt = u32::try_from(function.instructions.len()).map_err(io::Error::other)?;
            load.license = found.license.as_ptr() as u64;
            for (place, byte) in load.prog_name.iter_mut().zip(program.bytes().take(15)) {
                *place = byte.cast_signed();
            }
            bpf::new_descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
        }
    }
}

/// The object's programs, with these maps.
fn relocated(descriptors: &HashMap<String, RawFd>) -> io::Result<Object> {
    let mut object = Object::parse(OBJECT).map_err(io::Error::other)?;
    let maps = take(&mut object.maps);
    let known = maps.iter().filter_map(|(name, map)| Some((name.as_str(), *descriptors.get(name)?, map)));
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(known, &sections).map_err(io::Error::other)?;
    object.relocate_calls(&sections).map_err(io::Error::other)?;
    Ok(object)
}

/// `missed` of `struct bpf_link_info` (kernel/trace/bpf_trace.c, `bpf_kprobe_multi_link_fill_link_info`).
fn missed(link: BorrowedFd<'_>) -> Option<u64> {
    let answer: bpf_link_info = bpf::info(link)?;
    // SAFETY: zeroes, or written by the kernel.
    Some(unsafe { answer.__bindgen_anon_1.kprobe_multi.missed })
}

fn descriptor(map: &Map) -> Option<RawFd> {
    match map {
        Map::Array(data)
        | Map::CgroupArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::RingBuf(data) => Some(data.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}
