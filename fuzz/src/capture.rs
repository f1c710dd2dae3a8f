//! Capture files for the fuzzer: made of its bytes, and held in memory.

use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// A file that is nowhere but in memory.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    path: PathBuf,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// An empty one.
    ///
    /// # Panics
    /// When the system has none.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: the name is a string with an end; what is returned is a descriptor of our own, or negative.
        let file = unsafe { libc::memfd_create(c"capture".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(file >= 0, "no file in memory: {}", std::io::Error::last_os_error());
        // SAFETY: as above.
        let file = unsafe { File::from_raw_fd(file) };
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Self { file, path }
    }

    /// Makes it hold these bytes.
    ///
    /// # Panics
    /// When the system has no memory.
    pub fn hold(&self, bytes: &[u8]) {
        let held = self.file.set_len(0).and_then(|()| self.file.write_all_at(bytes, 0));
        assert!(held.is_ok(), "{held:?}");
    }

    /// Where it can be opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes frames.
pub struct Frames {
    compressor: Compressor<'static>,
    /// Of those that were made last.
    ends: Vec<usize>,
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// With checksums.
    ///
    /// # Panics
    /// Without memory.
    #[must_use]
    pub fn new() -> Self {
        let compressor = Compressor::new(1).and_then(|mut compressor| {
            compressor.set_parameter(CParameter::ChecksumFlag(true)).map(|()| compressor)
        });
        let Ok(compressor) = compressor else { panic!("zstd has no memory") };
        Self { compressor, ends: Vec::new() }
    }

    /// A file, and what its frames hold: each NUL begins another one, and each frame has whole lines.
    ///
    /// # Panics
    /// When zstd refuses.
    pub fn of(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut file, mut lines) = (Vec::new(), Vec::new());
        self.ends = vec![0];
        for frame in bytes.split(|byte| *byte == 0).filter(|frame| !frame.is_empty()) {
            let frame = [frame, if frame.ends_with(b"\n") { b"" } else { b"\n" }].concat();
            let Ok(compressed) = self.compressor.compress(&frame) else {
                panic!("zstd compresses everything")
            };
            file.extend(compressed);
            self.ends.push(file.len());
            lines.push(frame);
        }
        (file, lines)
    }

    /// Whether a frame ended there in the file that was made last, or none had begun.
    #[must_use]
    pub fn is_an_end(&self, at: usize) -> bool {
        self.ends.contains(&at)
    }
}
