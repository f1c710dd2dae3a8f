//! What the fuzz targets share: what holds for every item, and a bound on the memory that one input may take.

pub mod capture;
pub mod check;
pub mod told;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts what is allocated, and ends the process at an input that takes more than it may.
///
/// libFuzzer's own limit on allocations works with a sanitizer's allocator only.
#[derive(Debug, Default)]
pub struct Bounded {
    /// Bytes that are allocated.
    live: AtomicUsize,
    /// How many may be.
    limit: AtomicUsize,
}

impl Bounded {
    /// Without a bound until [`Bounded::within`].
    #[must_use]
    pub const fn new() -> Self {
        Self { live: AtomicUsize::new(0), limit: AtomicUsize::new(usize::MAX) }
    }

    /// Does something that may allocate so many bytes more than there are, and must not keep any.
    pub fn within(&self, bytes: usize, run: impl FnOnce()) {
        let before = self.live.load(Relaxed);
        self.limit.store(before + bytes, Relaxed);
        run();
        self.limit.store(usize::MAX, Relaxed);
    }

    /// Ends the process when a bound would not hold: for a target's beginning, as no test can be linked without libFuzzer.
    ///
    /// # Panics
    /// When the bound holds for the first allocation only, or not at all.
    pub fn assert_bounds() {
        let bounded = Self::new();
        assert!(!bounded.counts_beyond(1 << 40), "there is a bound before any was set");
        let cases = [(60, false), (30, false), (20, true)];
        bounded.within(100, || {
            for (bytes, expected) in cases {
                assert_eq!(bounded.counts_beyond(bytes), expected, "{bytes} bytes more, of 100 in all");
            }
        });
    }

    /// Counts so many bytes more. From the first that are beyond the bound there is none, for what tells of it to allocate.
    fn counts_beyond(&self, bytes: usize) -> bool {
        let is_beyond = self.live.fetch_add(bytes, Relaxed) + bytes > self.limit.load(Relaxed);
        if is_beyond {
            self.limit.store(usize::MAX, Relaxed);
        }
        is_beyond
    }

    fn add(&self, bytes: usize) {
        if self.counts_beyond(bytes) {
            eprintln!("an allocation of {bytes} bytes is beyond what one input may take");
            std::process::abort();
        }
    }
}

// SAFETY: the system's allocator does all of it; that it is counted changes nothing.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.add(size);
        self.live.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }
}
