//! Programs attached by `kprobe.multi`, which aya 0.14 does not know.
//!
//! In: the object that aya has loaded, and aya's maps. Out: links, gone when this is dropped. On preemptible kernels
//! these programs are not skipped, because they run with preemption off (`kprobe_multi_link_prog_run`,
//! kernel/trace/bpf_trace.c, below `ftrace_test_recursion_trylock`), and they need no more capabilities than fexit.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::mem::take;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use aya_obj::generated::{BPF_F_KPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};
use nix::libc::{SYS_bpf, c_int, syscall};

use super::tracer::OBJECT;

/// Programs and where they run.
pub(super) struct Multi {
    /// Descriptors of the maps, by name.
    maps: HashMap<String, RawFd>,
    /// The programs to load, once one was asked for.
    object: Option<Object>,
    programs: HashMap<&'static str, OwnedFd>,
    links: Vec<OwnedFd>,
}

impl Multi {
    /// Nothing yet; programs will use the maps of `ebpf`, which must live longer.
    pub(super) fn new(ebpf: &Ebpf) -> Self {
        let maps = ebpf.maps().filter_map(|(name, map)| Some((name.to_owned(), descriptor(map)?))).collect();
        Self { maps, object: None, programs: HashMap::new(), links: Vec::new() }
    }

    /// Runs `program` at the beginning of `function`, or at its return.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn attach(
        &mut self,
        program: &'static str,
        function: &str,
        at_return: bool,
    ) -> io::Result<()> {
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
            self.links.push(bpf(bpf_cmd::BPF_LINK_CREATE, &attributes)?);
        }
        Ok(())
    }

    /// The loaded programs.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.programs.iter().map(|(name, descriptor)| (*name, descriptor.as_fd()))
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
            bpf(bpf_cmd::BPF_PROG_LOAD, &attributes)
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

/// # Safety
/// The members that `command` reads must be set, and their pointers be valid.
unsafe fn bpf(command: bpf_cmd, attributes: &bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let answer = unsafe { syscall(SYS_bpf, command as c_int, attributes, size_of::<bpf_attr>()) };
    match c_int::try_from(answer) {
        // SAFETY: a new descriptor, which nobody else has.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn descriptor(map: &Map) -> Option<RawFd> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data) | Map::RingBuf(data) => {
            Some(data.fd().as_fd().as_raw_fd())
        }
        _ => None,
    }
}
