//! Is an executable static? As much of ELF as that takes.

use anyhow::{Context as _, Result, ensure};

/// The segment type that names a dynamic loader.
const PT_INTERP: u32 = 3;
const MAGIC_64_BIT_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
const PROGRAM_HEADERS_AT: usize = 32;
const PROGRAM_HEADER_SIZE_AT: usize = 54;
const PROGRAM_HEADER_COUNT_AT: usize = 56;

/// Whether the 64-bit ELF file `image` starts without a dynamic loader.
pub(crate) fn is_static(image: &[u8]) -> Result<bool> {
    ensure!(image.starts_with(MAGIC_64_BIT_LITTLE_ENDIAN), "not a 64-bit little-endian ELF file");
    let first = usize::try_from(u64::from_le_bytes(bytes(image, PROGRAM_HEADERS_AT)?))?;
    let size = usize::from(u16::from_le_bytes(bytes(image, PROGRAM_HEADER_SIZE_AT)?));
    let count = usize::from(u16::from_le_bytes(bytes(image, PROGRAM_HEADER_COUNT_AT)?));
    for header in (0..count).map(|index| first.saturating_add(index * size)) {
        if u32::from_le_bytes(bytes(image, header)?) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

fn bytes<const N: usize>(image: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).context("the ELF file points beyond its end")?;
    let slice = image.get(at..end).context("the ELF file points beyond its end")?;
    Ok(slice.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PT_LOAD: u32 = 1;

    fn image(segments: &[u32]) -> Vec<u8> {
        let mut image = vec![0; 64];
        image[..6].copy_from_slice(MAGIC_64_BIT_LITTLE_ENDIAN);
        image[PROGRAM_HEADERS_AT] = 64;
        image[PROGRAM_HEADER_SIZE_AT] = 56;
        image[PROGRAM_HEADER_COUNT_AT] = u8::try_from(segments.len()).unwrap();
        for kind in segments {
            image.extend(kind.to_le_bytes());
            image.extend([0; 52]);
        }
        image
    }

    #[test]
    fn a_loader_segment_makes_it_dynamic() {
        assert!(is_static(&image(&[PT_LOAD, PT_LOAD])).unwrap());
        assert!(!is_static(&image(&[PT_LOAD, PT_INTERP])).unwrap());
    }

    #[test]
    fn damage_is_an_error() {
        assert!(is_static(b"#!/bin/sh").is_err());
        let mut cut = image(&[PT_LOAD]);
        cut.truncate(64);
        assert!(is_static(&cut).is_err());
    }
}
