//! Values of array maps, read where they are.
//!
//! A system call on a map keeps every `kprobe.multi` program from running on that processor until it is done
//! (`bpf_disable_instrumentation`, kernel/bpf/syscall.c, 5.10 to 7.3); on a kernel that preempts, others may run there
//! meanwhile and are not seen. So what is read while programs run is read without one.
//!
//! In: an array map with `BPF_F_MMAPABLE`. Out: copies of its values. Must not know: what they mean.

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use aya::Pod;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

/// Values of an array map that are neighbours.
pub(super) struct Mapped<T> {
    pages: NonNull<c_void>,
    bytes: usize,
    first: NonNull<c_void>,
    count: u32,
    type_: PhantomData<T>,
}

// SAFETY: memory that only the kernel's programs write, and that is only read here; it stays until `drop`.
unsafe impl<T: Pod + Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Pod + Send> Sync for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// How far one value is from the next (`array_map_alloc`, kernel/bpf/arraymap.c, 5.10 to 7.3).
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// The values with these indices in the array map `map`, whose values are each a `T`.
    ///
    /// # Errors
    /// When the kernel does not give the memory, as for indices that the map does not have.
    pub(super) fn new(map: impl AsFd, indices: Range<u32>) -> io::Result<Self> {
        let page =
            sysconf(SysconfVar::PAGE_SIZE)?.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(4096);
        let [from, to] = [indices.start, indices.end].map(|index| index as usize * Self::STRIDE);
        let before = from % page;
        let bytes = (before + to.saturating_sub(from)).next_multiple_of(page);
        let length = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let offset = i64::try_from(from - before).map_err(io::Error::other)?;
        // SAFETY: new pages where nothing is; the kernel checks that they are the map's.
        let pages = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, map, offset) }?;
        // SAFETY: within these pages.
        let first = unsafe { pages.byte_add(before) };
        let count = indices.end.saturating_sub(indices.start);
        Ok(Self { pages, bytes, first, count, type_: PhantomData })
    }

    /// How many values these are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The value `n` after the first one, as it is now; none beyond the last. Programs may write it meanwhile: of a value
    /// that is larger than eight bytes, each part is of some moment of the call.
    pub(super) fn get(&self, n: u32) -> Option<T> {
        // SAFETY: mapped as long as `self` is, and aligned; any bytes are a value of `T`.
        (n < self.count).then(|| unsafe {
            self.first.byte_add(n as usize * Self::STRIDE).cast::<T>().as_ptr().read_volatile()
        })
    }

    /// The first eight bytes of that value, of one moment: for values that are read from their beginning. What
    /// [`Self::get`] answers next was written later, or is the same.
    pub(super) fn first_word(&self, n: u32) -> Option<u64> {
        const { assert!(size_of::<T>() >= size_of::<u64>() && align_of::<T>() == align_of::<u64>()) };
        // SAFETY: as above; as many bytes at least, and aligned.
        let word = (n < self.count).then(|| unsafe {
            self.first.byte_add(n as usize * Self::STRIDE).cast::<u64>().as_ptr().read_volatile()
        });
        // x86 keeps loads in order; the compiler is made to.
        compiler_fence(Ordering::Acquire);
        word
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the pages of `new`; nobody has a reference into them.
        if let Err(errno) = unsafe { munmap(self.pages, self.bytes) } {
            log::warn!("give back the memory of a map: {errno}");
        }
    }
}
